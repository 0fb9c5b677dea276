"""The section Music in a real browser, with the shipped models behind it."""

from __future__ import annotations

import io
import json
import types
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from demos.audio.files import wav_bytes
from demos.audio.music.midi import GridNote, midi_bytes, read_midi
from demos.audio.tab import music
from demos.core.checkpoint import ROOT
from tests.browser.conftest import downloaded, recorded
from tests.conftest import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not all((ROOT / name / "config.json").is_file() for name in ("music", "instruments")),
        reason="checkpoints/music and checkpoints/instruments have not been trained yet",
    ),
]
Page = Any
Visit = Callable[..., Page]
LANE_TOP = 46 * 11
PATIENCE_S = 90
READY = (
    "document.querySelector('#music-roll .roll-grid')?.style.width"
    " && document.querySelector('#music-sound figure audio')"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(types.SimpleNamespace(TITLE="Music", build=music.build)) as url:
        yield url


def roll(page: Page) -> dict[str, Any]:
    return json.loads(page.evaluate("window.atelierPianorolls['music-roll'].text()"))


def voice(page: Page, number: int) -> list[list[int]]:
    return [note[:3] for note in roll(page)["notes"] if note[3] == number]


def pressed(page: Page, button: str, word: str) -> None:
    """Press a button, and wait until its note is there and the score sounds."""
    before = page.locator("#music-sound figure").get_attribute("data-take") if figure(page) else None
    page.click(f"#music-{button}")
    page.wait_for_function(
        "([word, before]) => { const figure = document.querySelector('#music-sound figure');"
        " return figure && figure.dataset.take !== before"
        " && document.querySelector('#music-note').innerText.includes(word); }",
        arg=[word, before],
    )


def figure(page: Page) -> bool:
    return page.locator("#music-sound figure").count() > 0


def at(page: Page, step: float, y: float) -> tuple[float, float]:
    box = page.locator("#music-roll .roll-grid").bounding_box()
    return box["x"] + step * box["width"] / (16 * roll(page)["bars"]), box["y"] + y


def humming(rate: int, rest: float = 0.5) -> bytes:
    """A WAV file of three hummed notes, a beat each at 80 beats a minute, with silence before and after them."""
    beat = 60 / 80
    samples = np.zeros(int((2 * rest + 3 * beat) * rate))
    for i, f0_hz in enumerate((220.0, 246.94, 277.18)):
        t, first = np.arange(int(0.95 * beat * rate)) / rate, int((rest + i * beat) * rate)
        samples[first : first + len(t)] = 0.3 * np.sin(2 * np.pi * f0_hz * t) * np.hanning(len(t)) ** 0.25
    return wav_bytes(samples, rate)


def test_a_harmonised_melody_can_be_heard_at_once_and_taken_again(page: Page) -> None:
    assert all(voice(page, v) for v in range(4)) and "Harmonised" in page.inner_text("#music-note")
    page.wait_for_function("document.querySelector('#music-sound audio')?.duration > 3")
    assert page.evaluate("document.querySelector('#music-sound audio').paused")
    melody, alto = voice(page, 0), voice(page, 1)
    pressed(page, "again", "Harmonised")
    assert voice(page, 0) == melody and voice(page, 1) != alto


def test_a_drawn_melody_is_harmonised_refilled_and_downloaded(page: Page) -> None:
    page.click("#music-roll [data-act=clear]")
    for i, pitch in enumerate((67, 69, 71, 72, 71, 69, 67, 67)):
        page.mouse.click(*at(page, 4 * i + 0.5, (81 - pitch + 0.5) * 11))
    melody = voice(page, 0)
    assert [n[0] for n in melody] == [67, 69, 71, 72, 71, 69, 67, 67]
    pressed(page, "harmonise", "Harmonised")
    assert voice(page, 0) == melody and all(voice(page, v) for v in (1, 2, 3))
    page.wait_for_function("!document.querySelector('#music-sound audio').paused")
    page.wait_for_function("!document.querySelector('#music-roll .roll-head').hidden")
    before = roll(page)
    page.mouse.move(*at(page, 9, LANE_TOP + 18))
    page.mouse.down()
    page.mouse.move(*at(page, 15, LANE_TOP + 46), steps=4)
    page.mouse.up()
    assert roll(page)["erased"] == [[8, 16, 1], [8, 16, 2], [8, 16, 3]]
    pressed(page, "refill", "Refilled")
    after = roll(page)
    later = [[n for n in score["notes"] if n[1] > 16] for score in (before, after)]
    assert not after["erased"] and later[0] == later[1] and after["notes"] != before["notes"]
    tracks = read_midi(downloaded(page, "#music-midi"))
    assert [[n.pitch, n.start, n.length] for n in next(iter(tracks.values()))] == melody
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "#music-stems"))) as stems:
        assert len(stems.namelist()) == 4
        samples, _ = soundfile.read(io.BytesIO(stems.read("bass.wav")))
        assert np.abs(samples).max() > 0.02
    whole, _ = soundfile.read(io.BytesIO(downloaded(page, "#music-sound a[download]")))
    assert 0.1 < np.abs(whole).max() <= 0.951


def test_takes_differ_keep_the_melody_and_can_be_undone(page: Page) -> None:
    melody = voice(page, 0)
    pressed(page, "harmonise", "Harmonised")
    first = roll(page)["notes"]
    pressed(page, "again", "Harmonised")
    assert voice(page, 0) == melody and roll(page)["notes"] != first
    page.click("#music-roll [data-act=undo]")
    assert roll(page)["notes"] == first
    page.click("#music-roll [data-act=heat]")
    page.wait_for_function("JSON.parse(window.atelierPianorolls['music-roll'].text()).heat?.length > 8")


def test_it_composes_and_stop_brings_the_melody_back(page: Page) -> None:
    melody = roll(page)["notes"]
    page.locator("#music-bars input[type=number]").fill("32")
    page.keyboard.press("Enter")
    page.click("#music-compose")
    page.wait_for_function("document.querySelector('.at-progress .at-bar-text')?.innerText.includes('Sixteenth')")
    page.click("#music-stop")
    page.wait_for_function("!document.querySelector('.at-progress .at-bar-text')")
    assert roll(page)["notes"] == melody
    page.locator("#music-bars input[type=number]").fill("2")
    page.keyboard.press("Enter")
    pressed(page, "compose", "Composed")
    assert roll(page)["bars"] == 2 and all(voice(page, v) for v in range(4))


def test_melodies_come_from_files_and_from_humming(page: Page) -> None:
    tune = [GridNote(0, 4, 48), GridNote(4, 4, 50), GridNote(8, 8, 52)]
    data = {"name": "tune.mid", "mimeType": "audio/midi", "buffer": midi_bytes({"a": tune})}
    page.locator("#music-upload").locator("xpath=..").locator("input[type=file]").first.set_input_files(data)
    page.wait_for_function("document.querySelector('#music-note').innerText.includes('from the file')")
    assert [p - voice(page, 0)[0][0] for p, *_ in voice(page, 0)] == [0, 2, 4]
    hum = {"name": "hum.wav", "mimeType": "audio/wav", "buffer": humming(24_000)}
    page.locator("#music-hum button[aria-label='Upload file']").click()
    page.locator("#music-hum input[type=file]").first.set_input_files(hum)
    page.wait_for_function("document.querySelector('#music-note').innerText.includes('you hummed')")
    assert [(p - voice(page, 0)[0][0], s) for p, s, _ in voice(page, 0)] == [(0, 0), (2, 4), (4, 8)]


def test_a_tune_is_hummed_into_the_microphone(address: str, page_that_hears: Callable[[str, bytes], Page]) -> None:
    page = page_that_hears(address, humming(48_000, 1.5))
    page.wait_for_function(READY)
    recorded(page, "#music-hum", 9)
    page.wait_for_function("document.querySelector('#music-note').innerText.includes('you hummed')")
    tune = "".join(str(pitch - min(p for p, *_ in voice(page, 0))) for pitch, *_ in voice(page, 0))
    assert "024" in tune and set(tune) <= set("024")


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_it_fits_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#music-roll .roll-grid").bounding_box()
    page.touchscreen.tap(box["x"] + 100, box["y"] + 21.5 * 9)
    assert voice(page, 0).count([60, 11, 4]) == 1
