"""Many pictures at once: a zip goes in, a zip of repainted pictures comes out; what can't be read becomes a note."""

import time
import zipfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

import gradio as gr

from demos.core.media import MAX_BYTES, png_bytes, safe_stem, zip_bytes
from demos.style.tab import sources
from demos.style.tab.handlers import Request, framed
from demos.ui.controls import bar
from demos.ui.events import JOBS, guard
from demos.ui.files import served

__all__ = ["listed", "restyle_all"]

MOST = 200
MOST_NOTES = 8


def listed(files: Sequence[str]) -> list[tuple[str, Path, str]]:
    """Name, file and place in the zip (empty for a plain file) of every picture, by name; nothing is unpacked to disk.

    Raises:
        ValueError: no files, or more than 200.
    """
    found = []
    for path in map(Path, files):
        if path.suffix.lower() != ".zip":
            found.append((path.name, path, ""))
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                inside = [info.filename for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            found.append((path.name, path, ""))
            continue
        for name in inside:
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if not any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in parts):
                found.append(("/".join(part for part in parts if part not in ("/", ".", "..")), path, name))
    if not 1 <= len(found) <= MOST:
        raise ValueError(f"Drop 1 to {MOST} pictures, or a zip of them; these are {len(found)}.")
    return sorted(found)


def content_of(path: Path, inside: str) -> bytes:
    """A file's content, at most one byte more than is allowed.

    Raises:
        ValueError: damaged or encrypted.
    """
    try:
        if not inside:
            with open(path, "rb") as file:
                return file.read(MAX_BYTES + 1)
        with zipfile.ZipFile(path) as archive, archive.open(inside) as file:
            return file.read(MAX_BYTES + 1)
    except Exception as error:  # zlib.error and lzma.LZMAError share no base
        raise ValueError("This file is damaged or encrypted.") from error


@guard
def restyle_all(page: gr.Request, files: list[str] | None, *inputs: Any) -> Iterator[tuple[Any, ...]]:
    """Repaint every picture as the one above: bar, the newest one, note, the zip of what was done."""
    from demos.style.model import Layer

    request, found = Request.of(*inputs), listed(files or [])
    layer = Layer(request.mix())
    made: dict[str, bytes] = {}
    notes: list[str] = []
    start = time.monotonic()
    with JOBS.running(page, "style") as token:
        for i, (name, path, inside) in enumerate(found, 1):
            if token.cancelled():
                notes.insert(0, f"Stopped after {i - 1} of {len(found)}.")
                break
            newest = gr.skip()
            try:
                done = sources.model().restyle(
                    content_of(path, inside), layer, strength=request.strength, size=int(request.size),
                    **request.options(),
                )  # fmt: skip
                made[f"{i:03d}-{safe_stem(Path(name).stem)}.png"] = png_bytes(done.picture)
                newest = framed(done.content, done.picture, "The newest of many pictures")
            except ValueError as error:
                notes.append(f"{escape(name)}: {error}")
            left = (time.monotonic() - start) / i * (len(found) - i)
            yield bar(i, len(found), f"{i} of {len(found)}, about {left:.0f} s left"), newest, gr.skip(), gr.skip()
    more = len(notes) - MOST_NOTES
    lines = [f"**{len(made)}** of {len(found)} pictures repainted.", *notes[:MOST_NOTES]]
    lines += [f"… and {more} more."] if more > 0 else []
    archive = served(zip_bytes(made), "repainted.zip").path if made else None
    yield bar(None), gr.skip(), "\n\n".join(lines), archive
