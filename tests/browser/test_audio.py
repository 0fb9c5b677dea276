"""The Audio tab's Instruments and Timbre transfer in a real browser, with the shipped model behind them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from demos.audio import tab
from demos.audio.pitch import track
from demos.core.checkpoint import ROOT
from tests.browser.conftest import downloaded, recorded
from tests.conftest import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (ROOT / "instruments" / "config.json").is_file(), reason="checkpoints/instruments has not been trained yet"
    ),
]
Page = Any
Visit = Callable[..., Page]
RATE = 24_000
NOTE, PLAYED = "#audio-note", "#audio-transferred"
PATIENCE_S = 90
READY = f"document.querySelector('{NOTE} figure')"


def tone(f0_hz: float, seconds: float, rate: int = RATE) -> bytes:
    """A WAV file of a sawtooth-like tone that swells and fades."""
    t = np.arange(int(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * f0_hz * k * t) / k for k in range(1, 6))
    soundfile.write(target := io.BytesIO(), 0.2 * wave * np.sin(np.pi * t / seconds), rate, format="WAV")
    return target.getvalue()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(tab) as url:
        yield url


@pytest.fixture
def transfer(page: Page) -> Page:
    """The page with the section Timbre transfer open, and its first example there."""
    page.get_by_role("tab", name="Timbre transfer").click()
    page.wait_for_selector(f"{PLAYED} figure")
    return page


def take(page: Page, player: str = NOTE) -> str:
    return page.get_attribute(f"{player} figure", "data-take")


def new_sound(page: Page, gesture: Callable[[], Any], player: str = NOTE) -> str:
    """Wait until a gesture has made another sound, and that one is playing; gives its title."""
    before = take(page, player)
    gesture()
    page.wait_for_function(
        """([player, before]) => {
             const figure = document.querySelector(`${player} figure`), audio = figure.querySelector("audio");
             return figure.dataset.take !== before && !audio.paused && audio.currentTime > 0;
           }""",
        arg=[player, before],
    )
    return page.inner_text(f"{player} figcaption b")


def samples_of(page: Page, player: str = NOTE) -> np.ndarray:
    """The samples of the WAV file that the player offers."""
    samples, rate = soundfile.read(io.BytesIO(downloaded(page, f"{player} a[download]")))
    assert rate == RATE
    return samples


def pitch_of(samples: np.ndarray) -> float:
    """The median pitch as a MIDI number."""
    found = track(samples.astype(np.float32), RATE, 120)
    return float(np.median(69 + 12 * np.log2(found.f0_hz[found.confidence > 0.5] / 440)))


def on_map(page: Page, x: float, y: float) -> tuple[float, float]:
    box = page.locator("#audio-map .map").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, canvas: str, places: list[tuple[float, float]]) -> None:
    """Drag through places given in shares of the canvas."""
    page.locator(canvas).scroll_into_view_if_needed()
    box = page.locator(canvas).bounding_box()
    for i, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def test_the_tab_opens_with_a_map_and_a_quiet_example(page: Page) -> None:
    assert page.locator("#audio-map .names button").count() >= 3
    assert page.evaluate(f"document.querySelector('{NOTE} audio').paused")
    page.wait_for_function(f"document.querySelector('{NOTE} audio').duration > 1")
    assert page.locator(f"{NOTE} .spectrogram").evaluate("picture => picture.naturalWidth") > 100
    assert np.abs(samples_of(page)).max() > 0.01


def test_a_click_on_the_map_sounds_and_is_kept(page: Page) -> None:
    first = new_sound(page, lambda: page.mouse.click(*on_map(page, 0.5, 0.45)))
    assert first.endswith(", A3") and pitch_of(samples_of(page)) == pytest.approx(57, abs=0.3)
    name = page.locator("#audio-map .names button").first
    title = new_sound(page, lambda: name.click())
    assert title.lower().startswith(name.inner_text().lower())
    assert page.inner_text("#audio-map .foot output").lower() == name.inner_text().lower()
    page.get_by_text("This session").click()
    page.wait_for_selector("#audio-notes li audio")
    assert page.locator("#audio-notes li").count() == 2
    assert page.locator("#audio-notes li b").all_inner_texts() == [title, first]


def test_a_drag_sounds_on_its_way_and_ends_where_it_ends(page: Page) -> None:
    def gesture() -> None:
        page.mouse.move(*on_map(page, 0.2, 0.2))
        page.mouse.down()
        page.mouse.move(*on_map(page, 0.8, 0.7), steps=20)
        page.mouse.up()

    new_sound(page, gesture)
    page.wait_for_timeout(2500)
    first = page.locator("#audio-map .first")
    assert first.evaluate("spot => [parseFloat(spot.style.left), parseFloat(spot.style.top)]") == pytest.approx(
        [80, 70], abs=2
    )
    blend = re.sub(r"\d+ % ", "", page.inner_text("#audio-map .foot output")).lower()
    assert page.inner_text(f"{NOTE} figcaption b").lower().split(" and ")[0].split(",")[0] in blend


def test_the_piano_is_played_with_mouse_and_keys(page: Page) -> None:
    assert page.locator("#audio-piano .keys button").count() >= 25
    assert new_sound(page, lambda: page.get_by_role("button", name="C 4", exact=True).click()).endswith(", C4")
    assert pitch_of(samples_of(page)) == pytest.approx(60, abs=0.3)
    assert new_sound(page, lambda: page.keyboard.press("d")).endswith(", E3")
    page.locator("#audio-piano .keys .on").focus()
    assert new_sound(page, lambda: page.keyboard.press("ArrowRight")).endswith(", F3")
    page.click("#audio-stop")
    page.wait_for_function(f"document.querySelector('{NOTE} audio').paused", timeout=1500)
    page.keyboard.press("x")
    assert new_sound(page, lambda: page.keyboard.press("w")).endswith(", C♯4")


def test_glide_invention_and_arrow_keys(page: Page) -> None:
    glide = page.get_by_role("button", name="Glide to a second")
    assert " to " in new_sound(page, glide.click)
    assert " to " not in new_sound(page, glide.click)
    invented = new_sound(page, lambda: page.click("#audio-invent"))
    assert invented.startswith("Invented") and page.inner_text("#audio-map .badge").startswith("Invented from seed")
    page.locator("#audio-map .map").focus()
    title = new_sound(page, lambda: page.keyboard.press("Shift+ArrowLeft"))
    assert not title.startswith("Invented") and page.inner_text("#audio-map .badge") == ""


def test_an_example_is_heard_redrawn_and_played(transfer: Page) -> None:
    page = transfer
    new_sound(page, lambda: page.click("#audio-whistle"), PLAYED)
    page.wait_for_selector("#audio-given #waveform, #audio-given .waveform-container", state="attached")
    assert 76 < pitch_of(samples_of(page, PLAYED)) < 88
    drag(page, "#audio-curves .pitch", [(0.01, 0.5), (0.999, 0.5)])
    new_sound(page, lambda: page.click("#audio-synthesise"), PLAYED)
    samples = samples_of(page, PLAYED).astype(np.float32)
    found = track(samples, RATE, 120)
    assert np.ptp(12 * np.log2(found.f0_hz[found.confidence > 0.8])) < 1
    drag(page, "#audio-curves .level", [(0.5, 0.98), (0.999, 0.98)])
    new_sound(page, lambda: page.click("#audio-synthesise"), PLAYED)
    samples = samples_of(page, PLAYED)
    half = len(samples) // 2
    assert np.abs(samples[half + RATE // 2 :]).max() < 0.05 * np.abs(samples[:half]).max()
    page.get_by_role("button", name="As heard").click()
    new_sound(page, lambda: page.click("#audio-synthesise"), PLAYED)
    again = track(samples_of(page, PLAYED).astype(np.float32), RATE, 120)
    assert np.ptp(12 * np.log2(again.f0_hz[again.confidence > 0.8])) > 5


def test_curves_are_redrawn_by_keyboard(transfer: Page) -> None:
    page = transfer

    def curve(name: str) -> list[float]:
        return json.loads(page.evaluate("window.atelierSurfaces['audio-curves'].text()"))[name]

    before, quiet = curve("pitch"), curve("level")
    page.focus("#audio-curves .pitch")
    assert "arrow" in page.inner_text("#audio-curves .foot") and "pitch" in page.get_attribute(
        "#audio-curves .pitch", "aria-label"
    )
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "ArrowUp", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    moved = [after - was for was, after in zip(before, curve("pitch"), strict=True)]
    assert moved[120] == pytest.approx(3, abs=0.02) and moved[:100] == [0] * 100 and moved[140:] == [0] * 261
    assert page.get_attribute("#audio-curves .pitch", "aria-valuetext").startswith("1.20 s")
    assert page.evaluate("getComputedStyle(document.querySelector('#audio-curves .pitch')).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    assert quiet[120] - curve("level")[120] == pytest.approx(6, abs=0.2)
    new_sound(page, lambda: page.click("#audio-synthesise"), PLAYED)
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
    assert curve("pitch") == before and curve("level") == quiet


def test_uploads_give_a_sound_a_hint_or_a_sentence(transfer: Page) -> None:
    page = transfer
    page.get_by_role("button", name="Upload file").first.click()
    files = page.locator("#audio-given input[type=file]").first

    def send(data: bytes) -> None:
        files.set_input_files({"name": "a.wav", "mimeType": "audio/wav", "buffer": data})

    new_sound(page, lambda: send(tone(220, 1.5)), PLAYED)
    assert pitch_of(samples_of(page, PLAYED)) == pytest.approx(57, abs=0.3)
    page.click("#audio-given button[title='Clear'], #audio-given button[aria-label='Clear']")
    soundfile.write(silence := io.BytesIO(), np.zeros(RATE), RATE, format="WAV")
    send(silence.getvalue())
    page.wait_for_selector(f"{PLAYED} .hint:has-text('No pitch was found')")
    page.click("#audio-given button[title='Clear'], #audio-given button[aria-label='Clear']")
    send(b"RIFF nonsense")
    page.wait_for_selector("text=not a sound file")


def test_a_microphone_is_recorded(address: str, page_that_hears: Callable[[str, bytes], Page]) -> None:
    page = page_that_hears(address, tone(196, 8, 48_000))
    page.get_by_role("tab", name="Timbre transfer").click()
    page.wait_for_selector(f"{PLAYED} figure")
    new_sound(page, lambda: recorded(page, "#audio-given", 4), PLAYED)
    assert pitch_of(samples_of(page, PLAYED)) == pytest.approx(55, abs=0.5)


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_nothing_is_wider_than_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#audio-map .map").bounding_box()
    before = take(page)
    page.touchscreen.tap(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function(f"before => document.querySelector('{NOTE} figure').dataset.take !== before", arg=before)
    names = page.locator("#audio-map .names span")
    for i in range(names.count()):
        label = names.nth(i).bounding_box()
        assert box["x"] - 1 <= label["x"] and label["x"] + label["width"] <= box["x"] + box["width"] + 1
