"""The section Voice in a real browser, with the shipped model behind it."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from demos.audio.tab import voice
from demos.core.checkpoint import ROOT
from tests.browser.conftest import finished
from tests.conftest import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (ROOT / "voice" / "flow" / "config.json").is_file(), reason="checkpoints/voice has not been trained yet"
    ),
]
Page = Any
Visit = Callable[..., Page]
Said = Callable[[Callable[[], Any]], np.ndarray]
PATIENCE_S = 90
READY = "document.querySelector('#voice-sound figure[data-src]')"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(types.SimpleNamespace(TITLE="Voice", build=voice.build)) as url:
        yield url


@pytest.fixture
def said(page: Page) -> Said:
    """The samples that a gesture makes the page offer."""
    return lambda gesture: finished(page, "#voice-sound", gesture)[0]


def test_the_section_opens_with_an_example_that_is_spoken(page: Page) -> None:
    assert "7946" in page.input_value("#voice-text textarea, #voice-text input")
    page.wait_for_selector("#voice-sound figure .spectrogram")
    page.wait_for_function("document.querySelector('#voice-sound audio').duration > 3")
    assert page.evaluate("document.querySelector('#voice-sound audio').paused")
    assert page.locator("#voice-shelf li audio").count() == 0


def test_long_numbers_begin_to_sound_before_they_are_finished(page: Page, said: Said) -> None:
    page.locator("#voice-text textarea, #voice-text input").fill("1234567890 " * 4)

    def listen() -> None:
        page.click("#voice-speak")
        page.wait_for_function(
            "(({ paused, currentTime }) => !document.querySelector('#voice-sound figure').dataset.src"
            " && !paused && currentTime > 0)(document.querySelector('#voice-sound audio'))"
        )

    assert len(said(listen)) > 12 * 8000


def test_digits_are_spoken_blended_and_taken_again(page: Page, said: Said) -> None:
    first = said(lambda: page.click("#voice-speak"))
    assert 0.05 < np.abs(first).max() <= 0.951
    same = said(lambda: page.click("#voice-speak"))
    assert np.array_equal(first, same)
    take = said(lambda: page.click("#voice-again"))
    assert not (len(take) == len(first) and np.array_equal(first, take))
    page.locator("#voice-other input").click()
    page.get_by_role("option", name="Theo").click()
    blend = said(lambda: page.click("#voice-speak"))
    assert not (len(blend) == len(take) and np.array_equal(blend, take))
    page.get_by_role("button", name="This session").click()
    page.wait_for_function("document.querySelectorAll('#voice-shelf li:not(.empty)').length === 4")


def test_an_example_is_spoken_at_a_press(page: Page, said: Said) -> None:
    pin = said(lambda: page.click("#voice-example-2"))
    assert page.input_value("#voice-text textarea, #voice-text input") == "4071" and len(pin) > 8000


def test_letters_get_a_sentence(page: Page) -> None:
    page.locator("#voice-text textarea, #voice-text input").fill("call me")
    page.click("#voice-speak")
    page.wait_for_selector("text=Only digits can be spoken")


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_it_fits_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
