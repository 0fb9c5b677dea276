"""The section Voice: its handlers and its endpoints as clients reach them, with tiny networks."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client
from gradio_client.exceptions import AppError

from demos.audio.tab import voice
from demos.ui.controls import bar
from demos.ui.events import JOBS

pytestmark = pytest.mark.usefixtures("tiny")
TAB = types.SimpleNamespace(TITLE="Voice", build=voice.build)


def spoken(text: str, other: str = "", seed: int = 0, keep: bool = True, session: str = "one") -> list[tuple[Any, ...]]:
    page = gr.Request(session_hash=session)
    return list(voice.speak(page, text, "anna", other, 0.5, 1.0, 0.0, seed, keep))


def test_digits_are_spoken_with_a_bar_and_a_seed() -> None:
    *steps, (player, note, progress, seed) = spoken("40 71", seed=5)
    assert steps and all('role="progressbar"' in step[2] for step in steps)
    assert "<audio" in player and "40 71" in player and "seed 5" in note and seed == 5 and progress == bar(None)
    assert spoken("40 71", keep=False)[-1][3] != spoken("40 71", keep=False)[-1][3]
    assert not len(JOBS)


def test_the_section_opens_with_its_example_made_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    text = voice.EXAMPLES["A phone number"]
    for _ in range(2):
        player = voice.opened(text, "anna", "", 0.5, 1.0, 0.0, 4)
        assert "data-autoplay" not in player and "<audio" in player and "seed 4" in player and text in player
        monkeypatch.setattr(voice.sound, "voices", None)


def test_long_numbers_come_in_parts_that_make_the_whole() -> None:
    steps = [step for step in spoken("1234567890" * 5) if isinstance(step[0], str)]
    (*_, parts), files = (
        [re.findall(r"/file=(\S+?)[ \"]", re.search('data-parts="[^"]+"', step[0])[0]) for step in steps],  # pyright: ignore[reportOptionalSubscript]
        re.findall(r'data-src="[^"]*/file=([^"]+)"', steps[-1][0]),
    )
    heard, whole = (np.concatenate([soundfile.read(f)[0] for f in some]) for some in (parts, files))
    assert len(steps) >= 2 and len(parts) >= 2 and "data-src" not in steps[0][0] and len(heard) == len(whole)
    loud = np.abs(whole) > 0.02
    assert np.std(np.log(np.abs(heard[loud] / whole[loud]))) < 0.2


def test_a_new_take_has_a_seed_of_its_own() -> None:
    takes = [list(voice.take(gr.Request(session_hash="a"), "1", "anna", "bert", 0.5, 1.0, 0.0))[-1] for _ in range(2)]
    assert takes[0][3] != takes[1][3]


@pytest.mark.parametrize("name", list(voice.EXAMPLES))
def test_examples_can_be_spoken(name: str) -> None:
    assert "<audio" in spoken(voice.EXAMPLES[name])[-1][0]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "1 to 64 digits"), ("call me", "“c” is none"), ("1" * 65, "there are 65"), ("1" * 5000, "1,000 characters")],
)
def test_what_cannot_be_spoken_is_a_sentence(text: str, words: str) -> None:
    with pytest.raises(gr.Error, match=words):
        spoken(text)
    assert not len(JOBS)


def test_titles_cannot_carry_markup() -> None:
    with pytest.raises(gr.Error, match="Only digits") as caught:
        spoken("<img src=x onerror=alert(1)>")
    assert "<" not in str(caught.value)


def test_stop_ends_it_quietly() -> None:
    page = gr.Request(session_hash="mine")
    steps = voice.speak(page, "1234567890", "anna", "", 0.5, 1.0, 0.0, 0, True)
    next(steps)
    JOBS.stop(page)
    assert list(steps)[-1][2] == bar(None) and not len(JOBS)


def test_programs_hear_the_same_for_the_same_seed(client: Client) -> None:
    assert client.predict(api_name="/voices") == ["anna", "bert", "carl"]
    one, same, other = (client.predict("12 3", "anna", seed=s, api_name="/speak_digits") for s in (1, 1, 2))
    assert Path(one).read_bytes() == Path(same).read_bytes() != Path(other).read_bytes()
    samples, rate = soundfile.read(one)
    assert rate == 8000 and np.abs(samples).max() > 0.02 and np.isfinite(samples).all()
    blend = client.predict("12 3", "anna", "bert", 0.5, 1.0, 1, api_name="/speak_digits")
    assert Path(blend).read_bytes() != Path(one).read_bytes()
    slow = client.predict("12 3", "anna", speed=0.5, seed=1, api_name="/speak_digits")
    assert len(soundfile.read(slow)[0]) > 1.5 * len(samples)


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("one", {}, "Only digits"),
        ("1" * 65, {}, "there are 65"),
        ("", {}, "1 to 64 digits"),
        (7, {}, "must be a text"),
        ("1", {"voice": "zoe"}, "no voice “zoe”"),
        ("1", {"blend_with": "zoe"}, "no voice “zoe”"),
        ("1", {"blend_with": "bert", "blend": 2}, "“blend”"),
        ("1", {"speed": 0}, "“speed”"),
        ("1", {"speed": "fast"}, "“speed”"),
        ("1", {"seed": "x"}, "seed must be"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_calls_get_a_sentence(client: Client, text: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(AppError, match=words) as caught:
        client.predict(text, **{"voice": "anna", **settings}, api_name="/speak_digits")
    assert "went wrong" not in str(caught.value)
