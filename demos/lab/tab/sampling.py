"""What the page calls about samples: draw from one family and watch it, from all six, take one in hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from demos.core.cancel import Cancelled
from demos.core.media import png_bytes
from demos.lab.tab.figures import capability_list
from demos.lab.tab.garments import FAMILIES, hand_html, label_of, model, title, watched
from demos.lab.tab.tiles import sheet, sheet_of, six, strip
from demos.ui.controls import bar
from demos.ui.events import Step, guard
from demos.ui.files import served

__all__ = ["WAYS", "draw", "draw_all", "draw_if", "empty_six", "pick", "save"]

CHEAPEST_FIRST = ("vae", "gan", "flow", "score", "energy", "autoregressive")
HERE, ALL = "samples", "all six"
SIDE, EACH = 28, 9
WAYS = {
    "autoregressive": "Pixel after pixel, row by row, each drawn given all before it.",
    "vae": "A latent from the prior, decoded in one pass.",
    "flow": "Noise through the inverse, a few pixels first, then those between them.",
    "gan": "A latent through the generator in one pass.",
    "energy": "Langevin steps down the energy while the noise shrinks.",
    "score": "Noise that follows the learnt velocity.",
}
"""How each family draws, in a sentence."""


@guard
def draw(
    page: gr.Request, shown: Any, family: str, label: str, count: float, seed: float | None
) -> Iterator[tuple[Any, ...]]:
    """Samples of one family as they come: sheet, way of the first, note, bar, pictures, what is shown, abilities."""
    asked, way = (family, label, int(count), int(seed or 0)), []
    if shown == asked:
        return
    try:
        garments, able = model(), capability_list(family)
    except ValueError as error:
        yield sheet(None, str(error)), gr.skip(), "", bar(None), gr.skip(), gr.skip(), gr.skip()
        return
    begun = time.monotonic()
    said = f"{asked[2]} samples of the {title(family)} model"

    def job(on_step: Any) -> list[Image.Image]:
        return garments.sample(family, asked[2], label_of(label), asked[3], on_step)

    try:
        for event in watched(page, job, HERE):
            if isinstance(event, Step):
                now = gr.skip()
                if event.preview is not None:
                    way.append(event.preview.crop((0, 0, SIDE, SIDE)))
                    now = sheet(event.preview, f"{said}, on their way")
                yield now, gr.skip(), WAYS[family], bar(event.i, event.n), gr.skip(), gr.skip(), able
                able = gr.skip()
                continue
            found = event.value
            note = f"{WAYS[family]} Seed {asked[3]} · {time.monotonic() - begun:.1f} s"
            steps = strip([*way, found[0]])
            yield sheet(sheet_of(found), said, len(found)), steps, note, bar(None), found, asked, able
    except Cancelled:
        yield gr.skip(), gr.skip(), "Stopped.", bar(None), gr.skip(), None, able


@guard
def draw_if(where: str, page: gr.Request, *asked: Any) -> Iterator[tuple[Any, ...]]:
    """Samples, while their section is the open one."""
    if where == HERE:
        yield from draw(page, *asked)


def empty_six() -> str:
    """Six dark panels."""
    return six({title(name): (None, "") for name in FAMILIES})


@guard
def draw_all(page: gr.Request, shown: Any, label: str, seed: float | None) -> Iterator[tuple[Any, ...]]:
    """Samples of all six with one label and one seed, the quickest family first: panels, bar, what is shown."""
    asked, garments = (label, int(seed or 0)), model()
    if shown == asked:
        return
    panels: dict[str, tuple[Image.Image | None, str]] = dict.fromkeys(map(title, FAMILIES), (None, ""))
    try:
        for i, family in enumerate(CHEAPEST_FIRST):
            begun = time.monotonic()
            for event in watched(page, lambda on_step, family=family: garments.sample(
                family, EACH, label_of(label), asked[1], on_step
            ), ALL):  # fmt: skip
                part = f"{title(family)}, {i + 1} of {len(CHEAPEST_FIRST)}"
                if isinstance(event, Step):
                    if event.preview is not None:
                        panels[title(family)] = event.preview, "…"
                    yield six(panels), bar(100 * i + round(100 * event.i / event.n), 600, part), gr.skip()
                else:
                    panels[title(family)] = sheet_of(event.value), f"{time.monotonic() - begun:.1f} s"
        yield six(panels), bar(None), asked
    except Cancelled:
        yield gr.skip(), bar(None), None


@guard
def save(drawn: list[Image.Image], shown: Any) -> str:
    """The sheet as a PNG file, a pixel a pixel."""
    if not drawn or not shown:
        raise ValueError("There are no samples yet.")
    return served(png_bytes(sheet_of(drawn)), f"{shown[0]}-{shown[3]}.png").path


@guard
def pick(drawn: list[Image.Image], shown: Any, event: gr.EventData) -> tuple[Any, ...]:
    """A sample in hand: sheet, the picture, how it is shown."""
    at = int(event.index)
    if not 0 <= at < len(drawn):
        raise ValueError("There is no such picture on the sheet.")
    said = f"Sample {at + 1} of the {title(shown[0])} model, seed {shown[3]}." if shown else f"Sample {at + 1}."
    whole = sheet(sheet_of(drawn), f"{len(drawn)} samples", len(drawn), at)
    return whole, drawn[at], hand_html(drawn[at], said)
