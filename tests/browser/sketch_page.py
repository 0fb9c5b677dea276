"""What a visitor does and sees in the Sketch tab, for the tests that drive its page."""

from __future__ import annotations

import base64
import functools
import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demos.sketch import tab
from demos.sketch.model import Settings
from demos.sketch.tab import handlers
from tests.conftest import serving

Page = Any
Visit = Callable[..., Page]
PATIENCE_S = 60
READY = "document.querySelector('#sketch-frame img')?.offsetWidth"
"""True once the page shows its first picture."""
SAME = 3.0
"""Two pictures this near to each other, of 255, are the same picture."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The Sketch tab alone, its examples drawn; a test file that imports this opens it."""
    with serving(tab) as url:
        handlers.example_pictures()
        yield url


def at(page: Page, x: float, y: float, pad: str = "sketch-pad") -> tuple[float, float]:
    box = page.locator(f"#{pad} .pad-canvas").bounding_box()
    return box["x"] + x * box["width"] / 512, box["y"] + y * box["height"] / 512


def draw(page: Page, *points: tuple[float, float], pad: str = "sketch-pad") -> None:
    """One stroke with the mouse."""
    page.locator(f"#{pad} .pad-canvas").scroll_into_view_if_needed()
    page.mouse.move(*at(page, *points[0], pad))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point, pad), steps=4)
    page.mouse.up()


def scribble(page: Page, pad: str = "sketch-pad", top: float = 150, bottom: float = 360) -> None:
    """A broad zigzag, which changes any picture."""
    draw(page, *[(130 + 250 * (i % 2), top + (bottom - top) * i / 7) for i in range(8)], pad=pad)


def press(page: Page, action: str) -> None:
    page.click(f"#sketch-pad [data-act={action}]")


def text_of(page: Page) -> str:
    """The drawing on the page, as JSON."""
    return page.evaluate("window.atelierSketchpads['sketch-pad'].text()")


def strokes(page: Page) -> list[dict[str, Any]]:
    return json.loads(text_of(page) or '{"strokes": []}')["strokes"]


def words_of(page: Page) -> list[str]:
    return page.locator("#sketch-words .token span").all_inner_texts()


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGBA")


def framed(page: Page) -> Image.Image | None:
    """The picture in the big frame."""
    source = page.evaluate("document.querySelector('#sketch-frame img')?.src ?? ''")
    return decoded(source) if source else None


def pixels(picture: Image.Image) -> NDArray[np.float64]:
    """The picture on white paper at 128 px."""
    paper = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return np.asarray(paper.resize((128, 128), Image.Resampling.BOX), float)


def apart(a: Image.Image | None, b: Image.Image | None) -> float:
    """Mean absolute difference, 0 to 255."""
    return 255.0 if a is None or b is None else float(np.abs(pixels(a) - pixels(b)).mean())


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that only Python can see."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)


def expected(page: Page, seed: int, steps: int = 8, style: str = "fluent_3d", quick: bool = False) -> Image.Image:
    """What the model makes of what the page shows now."""
    return _drawn(text_of(page), Settings(" ".join(words_of(page)), style, steps, seed=seed, quick=quick))


@functools.lru_cache(maxsize=64)
def _drawn(strokes: str, settings: Settings) -> Image.Image:
    return handlers.model().draw(strokes, settings).pictures[0]


def shows(page: Page, picture: Image.Image) -> None:
    until(lambda: apart(framed(page), picture) < SAME, "the picture that belongs to the drawing")


def follows(page: Page, **settings: Any) -> Image.Image:
    """Wait until the frame shows the picture of the drawing that the page holds by then; returns it."""

    def now() -> Image.Image:
        return expected(page, **{"seed": seed_of(page), **settings})

    until(lambda: apart(framed(page), now()) < SAME, "the picture that belongs to the drawing")
    return now()


def seed_of(page: Page) -> int:
    return int(page.get_by_label("Seed", exact=True).first.input_value())


def set_number(page: Page, label: str, value: float) -> None:
    box = page.get_by_label(label).first
    box.fill(str(value))
    box.press("Tab")


def forget_words(page: Page) -> None:
    while words_of(page):
        left = len(words_of(page)) - 1
        page.locator("#sketch-words .token-remove").first.click()
        until(lambda left=left: len(words_of(page)) <= left, "a word to be removed")


def say(page: Page, *words: str) -> None:
    """Type words into the box."""
    for word in words:
        box = page.locator("#sketch-words input")
        box.click()
        box.fill(word)
        box.press("Enter")
        until(lambda word=word: word in words_of(page), f"the word {word}")
    page.keyboard.press("Escape")


def open_part(page: Page, title: str) -> None:
    page.locator("button.label-wrap").filter(has_text=title).click()
    page.wait_for_timeout(300)  # what it holds is mounted now, and filled with its first values later


def thumbnails(page: Page, gallery: str = "#sketch-gallery") -> int:
    return page.locator(f"{gallery} .grid-container img").count()


def refined(page: Page, count: int = 2, steps: int = 4) -> None:
    set_number(page, "number input for Pictures", count)
    set_number(page, "number input for Steps", steps)
    page.click("#sketch-refine")
    until(lambda: thumbnails(page) == count, "the variations")
    page.wait_for_function("document.querySelector('#sketch-frame img')?.naturalWidth === 512")
