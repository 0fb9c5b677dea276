"""The page that `python app.py` serves, in a real browser, with the shipped models behind all tabs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demos.sketch.tab import handlers
from tests.browser.conftest import section
from tests.browser.sketch_page import READY as READY
from tests.browser.sketch_page import Visit, apart, follows, framed, scribble, strokes, words_of
from tests.conftest import serving

pytestmark = pytest.mark.browser
PATIENCE_S = 90
FILLED = {
    "Audio": "#audio-note figure",
    "Style": "#style-frame .after",
    "Anomaly": "#anomaly-frame .at-heat-map",
    "Lab": "#lab-stage canvas",
}
"""Tabs after the first, and what is there once their example is shown."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as url:
        handlers.example_pictures()
        yield url


@pytest.mark.parametrize("width", [1200, 390])
def test_every_tab_shows_an_example_and_the_drawing_is_there_afterwards(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 1000})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    scribble(page)
    picture, drawn, words = follows(page), strokes(page), words_of(page)
    for title, filled in FILLED.items():
        section(page, title)
        page.locator(filled).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, title
    section(page, "Sketch")
    page.locator("#sketch-frame img").wait_for()
    assert (strokes(page), words_of(page)) == (drawn, words)
    assert apart(framed(page), picture) < 1
    scribble(page, top=300)
    assert apart(follows(page), picture) > 1
    assert wrong == []
