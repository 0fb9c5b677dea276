"""What the sections on garments share: the model, a visitor's picture in hand, and long jobs that are watched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr
from PIL import Image

from demos.core.cancel import Cancelled, OnStep, Replaced
from demos.core.media import Picture
from demos.core.once import once
from demos.core.strokes import Drawing, render
from demos.lab.tab.stage import FAMILIES
from demos.lab.tab.tiles import pixels
from demos.ui.events import JOBS, Done, Step, stream

if TYPE_CHECKING:
    from demos.lab.model import Garments

__all__ = [
    "ANY", "CHOICES", "EXAMPLE", "FIRST", "LABELS", "LANE", "LIVE", "LONG", "QUIET", "example", "hand_html", "label_of",
    "model", "of_drawing", "title", "watched", "within",
]  # fmt: skip

T = TypeVar("T")
LANE = "lab-garments"
FIRST = "score"
CHOICES = [(title, name) for name, (title, _) in FAMILIES.items()]
ANY = "Any"
LABELS = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PERIOD_S = 0.07
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
LONG: dict[str, Any] = {**QUIET, "concurrency_id": "lab-long", "concurrency_limit": 4, "trigger_mode": "multiple"}
LIVE: dict[str, Any] = {**QUIET, "concurrency_id": "lab-live", "concurrency_limit": 2, "trigger_mode": "always_last"}


def _line(width: float, *points: tuple[float, float]) -> dict[str, Any]:
    return {"tool": "pen", "width": width, "points": [[x, y, 0.5] for x, y in points]}


EXAMPLE = json.dumps({
    "strokes": [_line(46, (x, 132 + (x == 256) * 14), (x, 408)) for x in (190, 223, 256, 289, 322)]
    + [_line(64, (186, 128), (116, 196)), _line(64, (326, 128), (396, 196))]
})  # fmt: skip
"""A T-shirt in seven strokes, to begin with."""


@once
def model() -> Garments:
    """The six families, loaded at their first use."""
    from demos.lab.model import Garments

    return Garments.load("lab")


def title(family: str) -> str:
    """A family's name as people call it."""
    return FAMILIES[family][0] if family in FAMILIES else family


def within(family: str) -> str:
    """A family's name inside a sentence."""
    name = title(family)
    return name if name.isupper() else name.lower()


def label_of(choice: str | None) -> str | None:
    """A choice of the page's list of classes, as the model takes it."""
    return None if choice in (None, "", ANY) else choice


def of_drawing(strokes: str | None) -> Image.Image:
    """A drawing as the models see it.

    Raises:
        ValueError: nothing is drawn.
    """
    drawing = Drawing.from_json(strokes or "")
    if drawing.is_empty:
        raise ValueError("Draw a garment first.")
    return model().prepare(render(drawing, 224))


def example(picture: Picture | None = None) -> Image.Image:
    """The visitor's picture in hand, or the drawing that the page begins with."""
    return model().prepare(picture) if picture is not None else of_drawing(EXAMPLE)


def hand_html(picture: Image.Image, said: str) -> str:
    """The picture in hand, as the models see it."""
    seen = pixels(picture, "The picture in hand, 28 × 28")
    return f'<div class="hand">{seen}<p><b>Picture in hand</b><br>{said}</p></div>'


def watched(page: gr.Request, job: Callable[[OnStep], T], section: str) -> Iterator[Step | Done[T]]:
    """A long job of this visitor, instead of the one before: steps at most some times a second, then what it gave.

    Raises:
        Cancelled: the visitor stopped it, or began a job of another section.
        Replaced: the visitor began another of this section.
    """
    try:
        with JOBS.running(page, LANE, alone=True, name=section) as token:
            for event in stream(job, token):
                token.check()
                yield event
                if isinstance(event, Step):
                    time.sleep(PERIOD_S)
    except Cancelled as end:
        if end.heir == section:
            raise Replaced from None
        raise
