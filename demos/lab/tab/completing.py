"""What the page calls about a half-erased picture: which part, and the families that can draw it anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.core.cancel import Cancelled
from demos.core.strokes import Drawing, rasterise
from demos.lab.tab.garments import FAMILIES, example, label_of, model, title, watched
from demos.lab.tab.tiles import pixels, row, tile
from demos.ui.controls import bar
from demos.ui.events import Step, guard

__all__ = ["REGIONS", "brushed", "complete", "complete_first", "ground"]

HERE = "complete"
SIDE = 28
BRUSHED = "What I brush over"
REGIONS = ("Lower half", "Right half", BRUSHED)
BLANK = 72
"""Brightness at which what is erased is shown."""


def mask_of(region: str, strokes: str | None) -> np.ndarray:
    """`(28, 28)` float32, 1 where the picture is erased.

    Raises:
        ValueError: no such region, or nothing brushed.
    """
    erased = np.zeros((SIDE, SIDE), np.float32)
    if region == "Lower half":
        erased[SIDE // 2 :] = 1
    elif region == "Right half":
        erased[:, SIDE // 2 :] = 1
    elif region == BRUSHED:
        drawing = Drawing.from_json(strokes or "")
        if drawing.is_empty:
            raise ValueError("Brush over the part of the picture that should be drawn anew.")
        ink, colour = rasterise(drawing, 4 * SIDE)
        painted = np.maximum(ink, colour[..., 3] / 255).reshape(SIDE, 4, SIDE, 4).mean((1, 3))
        erased[painted > 0.4] = 1
    else:
        raise ValueError("Choose which part is erased.")
    return erased


def _erased(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(mask > 0, BLANK, np.asarray(picture)).astype(np.uint8))


@guard
def ground(where: str, hand: Image.Image | None) -> Any:
    """The picture under the brush, as the drawing surface finds it."""
    if where != HERE:
        return gr.skip()
    return pixels((hand or example()).resize((16 * SIDE, 16 * SIDE), Image.Resampling.NEAREST), "")


@guard
def brushed(strokes: str, region: str) -> str:
    """Whoever brushes means what is brushed."""
    return region if Drawing.from_json(strokes or "").is_empty else BRUSHED


@guard
def complete(
    page: gr.Request, all_families: bool, family: str, hand: Image.Image | None, region: str, strokes: str,
    label: str, seed: float | None,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """The erased part drawn anew by one family or by all: tiles, bar."""
    garments, picture, mask = model(), hand or example(), mask_of(region, strokes)
    table = garments.families()
    if not all_families and not table[family]["completion"]["able"]:
        garments.complete(family, picture, mask)
    chosen = list(FAMILIES) if all_families else [family]
    shown = {"Seen": tile(picture, "Seen"), "Erased": tile(_erased(picture, mask), "Erased")}
    for name in chosen:
        can = table[name]["completion"]
        shown[title(name)] = tile(
            None, title(name), "…" if can["able"] else can["note"].partition(": ")[2].capitalize()
        )

    def tiles() -> str:
        return row(list(shown.values()), "of-4 many" if all_families else "of-3")

    able = [name for name in chosen if table[name]["completion"]["able"]]
    try:
        yield tiles(), bar(0, len(able))
        for i, name in enumerate(able):
            for event in watched(page, lambda on_step, name=name: garments.complete(
                name, picture, mask, int(seed or 0), label_of(label), on_step
            ), HERE):  # fmt: skip
                if isinstance(event, Step):
                    if event.preview is not None:
                        shown[title(name)] = tile(event.preview, title(name), "…")
                    percent = 100 * i + round(100 * event.i / event.n)
                    yield tiles(), bar(percent, 100 * len(able), f"{title(name)}, {i + 1} of {len(able)}")
                else:
                    how = table[name]["completion"]["note"]
                    shown[title(name)] = tile(event.value, title(name), f"{how[:1].upper()}{how[1:]}.")
        yield tiles() + f'<p class="soft">Seed {int(seed or 0)}</p>', bar(None)
    except Cancelled:
        yield gr.skip(), bar(None)


@guard
def complete_first(page: gr.Request, done: bool, *asked: Any) -> Iterator[tuple[Any, ...]]:
    """A first completion when the section is opened for the first time: tiles, bar, that it is done."""
    if not done:
        for step in complete(page, False, *asked):
            yield (*step, True) if isinstance(step, tuple) else step
