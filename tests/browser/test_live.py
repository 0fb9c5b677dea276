"""A player of the Audio tab in a real browser, on a page that holds nothing else, fed with sounds in the making."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demos.audio.files import Sound
from demos.audio.tab.live import Live
from demos.audio.tab.sound import player, present
from demos.ui.events import Step
from tests.browser.conftest import finished, served

pytestmark = pytest.mark.browser
Page = Any
RATE, SECONDS, STEPS = 24_000, 8, 16
READY = "document.querySelector('#player audio') || document.querySelector('#player .empty')"
HEARD = """() => {
  const start = AudioBufferSourceNode.prototype.start;
  window.parts = [];
  AudioBufferSourceNode.prototype.start = function (at) {
    window.parts.push({ from: at, to: at + this.buffer.duration, now: this.context.currentTime,
      samples: [...this.buffer.getChannelData(0)] });
    start.call(this, at);
  };
}"""
AUDIO = "document.querySelector('#player audio')"
PLAYING = f"{AUDIO}?.currentTime > 0 && !{AUDIO}.paused"
DONE = "document.querySelector('#player figure[data-src]')"


def tune() -> np.ndarray:
    t = np.arange(SECONDS * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * (220 + 20 * t) * t)).astype(np.float32)


def growing() -> Iterator[str]:
    live, whole = Live("A tune", RATE, None), tune()
    for i in range(1, STEPS + 1):
        shown = live.more(Step(i, STEPS, whole[: i * len(whole) // STEPS]))
        if shown:
            yield shown
        time.sleep(0.1)
    yield live.done(Sound(whole, RATE, 3))


def short() -> str:
    return present(Sound(tune()[:RATE], RATE, 1), "Short", autoplay=False)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with gr.Blocks() as page:
        place = player("player")
        gr.Button("grow", elem_id="grow").click(growing, None, place, show_progress="hidden")
        gr.Button("short", elem_id="short").click(short, None, place, show_progress="hidden")
    yield from served(page)


def test_parts_follow_each_other_without_a_gap_and_the_file_follows_them(page: Page) -> None:
    page.evaluate(HEARD)

    def listen() -> None:
        page.click("#grow")
        page.wait_for_function(f"{PLAYING} && !{DONE}")

    whole, rate = finished(page, "#player", listen)
    assert rate == RATE and len(whole) == SECONDS * RATE
    page.wait_for_function("document.querySelector('#player .playhead').style.left")
    parts = page.evaluate("window.parts")
    assert len(parts) >= 3 and all(part["from"] >= part["now"] for part in parts)
    assert all(after["from"] == pytest.approx(before["to"], abs=1e-9) for before, after in pairwise(parts))
    heard = np.concatenate([part["samples"] for part in parts])
    assert np.allclose(heard[200:-200], whole[200:-200], atol=1e-3)
    page.wait_for_function(f"!{AUDIO}.srcObject", timeout=20_000)
    assert page.evaluate(f"{AUDIO}.currentTime") == pytest.approx(SECONDS, abs=0.3)


def test_pause_leads_to_the_same_place_in_the_file(page: Page) -> None:
    page.click("#grow")
    page.wait_for_function(f"{PLAYING} && {DONE}")
    page.evaluate(f"{AUDIO}.pause()")
    page.wait_for_function(f"!{AUDIO}.srcObject")
    assert 0.5 < page.evaluate(f"{AUDIO}.currentTime") < SECONDS
    page.evaluate(f"{AUDIO}.play()")
    page.wait_for_function(PLAYING)


def test_who_stops_it_is_left_in_peace_and_gets_the_file(page: Page) -> None:
    page.click("#grow")
    page.wait_for_function(f"{PLAYING} && !{DONE}")
    page.evaluate("window.atelierSounds.hush()")
    page.wait_for_function(DONE)
    page.wait_for_function(f"{AUDIO}.duration > 1")
    assert page.evaluate(f"{AUDIO}.paused && !{AUDIO}.srcObject")


def test_another_sound_takes_its_place(page: Page) -> None:
    page.click("#grow")
    page.wait_for_function(PLAYING)
    page.wait_for_function(DONE)
    page.click("#short")
    page.wait_for_function("document.querySelector('#player figcaption b').innerText === 'Short'")
    assert page.evaluate(f"{AUDIO}.paused && !{AUDIO}.srcObject")
