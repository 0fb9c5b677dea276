"""The section Voice in a real browser, with the shipped model behind it."""

from __future__ import annotations

import io
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from demos.audio.tab import voice
from demos.core.checkpoint import ROOT
from tests.conftest import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (ROOT / "voice" / "flow" / "config.json").is_file(), reason="checkpoints/voice has not been trained yet"
    ),
]
Page = Any
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(types.SimpleNamespace(TITLE="Voice", build=voice.build)) as url:
        yield url


@pytest.fixture
def visit(open_page: Visit, address: str) -> Visit:
    """Open the page as a new visitor."""

    def opened(query: str = "", **options: Any) -> Page:
        page = open_page(address + query, 60, **options)
        page.wait_for_selector("#voice-speak")
        return page

    return opened


def said(page: Page, gesture: Callable[[], Any]) -> np.ndarray:
    """The samples that a gesture makes the page play."""
    figure = page.locator("#voice-sound figure")
    before = figure.get_attribute("data-take") if figure.count() else None
    gesture()
    page.wait_for_function(
        "before => { const figure = document.querySelector('#voice-sound figure');"
        " return figure && figure.dataset.take !== before && figure.querySelector('audio').duration > 0.2; }",
        arg=before,
    )
    with page.expect_download() as event:
        page.click("#voice-sound a[download]")
    with open(event.value.path(), "rb") as file:
        return soundfile.read(io.BytesIO(file.read()))[0]


def test_digits_are_spoken_blended_and_taken_again(page: Page) -> None:
    first = said(page, lambda: page.click("#voice-speak"))
    assert 0.05 < np.abs(first).max() <= 0.951
    same = said(page, lambda: page.click("#voice-speak"))
    assert np.array_equal(first, same)
    take = said(page, lambda: page.click("#voice-again"))
    assert not (len(take) == len(first) and np.array_equal(first, take))
    page.locator("#voice-other input").click()
    page.get_by_role("option", name="Theo").click()
    blend = said(page, lambda: page.click("#voice-speak"))
    assert not (len(blend) == len(take) and np.array_equal(blend, take))
    page.get_by_role("button", name="This session").click()
    page.wait_for_function("document.querySelectorAll('#voice-shelf li:not(.empty)').length === 4")


def test_an_example_is_spoken_at_a_press(page: Page) -> None:
    pin = said(page, lambda: page.click("#voice-example-2"))
    assert page.input_value("#voice-text textarea, #voice-text input") == "4071" and len(pin) > 8000


def test_letters_get_a_sentence(page: Page) -> None:
    page.locator("#voice-text textarea, #voice-text input").fill("call me")
    page.click("#voice-speak")
    page.wait_for_selector("text=Only digits can be spoken")


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_it_fits_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
