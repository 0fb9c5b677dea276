"""Many pictures at once: a zip goes in, a zip of repainted pictures comes out; what can't be read becomes a note."""

import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from demos.core.archive import entries
from demos.core.media import png_bytes, safe_stem, zip_bytes
from demos.style.tab import sources
from demos.style.tab.handlers import Request, framed
from demos.ui.controls import bar
from demos.ui.events import JOBS, guard
from demos.ui.files import served

__all__ = ["restyle_all"]

MOST = 200
MOST_NOTES = 8


@guard
def restyle_all(page: gr.Request, files: list[str] | None, *inputs: Any) -> Iterator[tuple[Any, ...]]:
    """Repaint every picture as the one above: bar, the newest one, note, the zip of what was done."""
    from demos.style.model import Layer

    request, found = Request.of(*inputs), entries(files or [], MOST)
    layer = Layer(request.mix())
    made: dict[str, bytes] = {}
    notes: list[str] = []
    start = time.monotonic()
    with JOBS.running(page, "style") as token:
        for i, entry in enumerate(found, 1):
            if token.cancelled():
                notes.insert(0, f"Stopped after {i - 1} of {len(found)}.")
                break
            newest = gr.skip()
            try:
                done = sources.model().restyle(
                    entry.read(), layer, strength=request.strength, size=int(request.size),
                    **request.options(),
                )  # fmt: skip
                made[f"{i:03d}-{safe_stem(Path(entry.name).stem)}.png"] = png_bytes(done.picture)
                newest = framed(done.content, done.picture, "The newest of many pictures")
            except ValueError as error:
                notes.append(f"{escape(entry.name)}: {error}")
            left = (time.monotonic() - start) / i * (len(found) - i)
            yield bar(i, len(found), f"{i} of {len(found)}, about {left:.0f} s left"), newest, gr.skip(), gr.skip()
    more = len(notes) - MOST_NOTES
    lines = [f"**{len(made)}** of {len(found)} pictures repainted.", *notes[:MOST_NOTES]]
    lines += [f"… and {more} more."] if more > 0 else []
    archive = served(zip_bytes(made), "repainted.zip").path if made else None
    yield bar(None), gr.skip(), "\n\n".join(lines), archive
