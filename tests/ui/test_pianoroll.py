"""The values of the piano roll: what the control sends is checked, what it gets is complete."""

from __future__ import annotations

import json
import math

import pytest

from demos.ui.pianoroll import MOST_BARS, Roll, pianoroll

NOTES = ((67, 0, 4, 0), (60, 4, 12, 2))


def text(**changed: object) -> str:
    return json.dumps({"bars": 2, "notes": [list(n) for n in NOTES], "erased": [[8, 16, 2]], "rev": 7} | changed)


def test_a_roll_is_read_and_written() -> None:
    roll = Roll.from_json(text())
    assert roll == Roll(NOTES, 2, ((8, 16, 2),), None, 7)
    assert Roll.from_json(roll.to_json()) == roll
    assert "draft" not in json.loads(roll.to_json()) and json.loads(roll.to_json(draft=True))["draft"] is True
    assert Roll.from_json("") == Roll.from_json(None) == Roll()


def test_colours_are_an_answer_to_the_state_that_asked() -> None:
    roll = Roll.from_json(text())
    assert json.loads(roll.answer([0.12345, math.inf])) == {"answers": 7, "heat": [0.123, 0.0]}
    assert json.loads(roll.answer(None))["heat"] is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no roll", "not a piano roll"),
        ("[]", "not a piano roll"),
        ("[" * 100_000, "not a piano roll"),
        (text(notes=[[60, 0, 4]]), "not a piano roll"),
        (text(notes=[[60.5, 0, 4, 0]]), "not a piano roll"),
        (text(notes=[["60", 0, 4, 0]]), "not a piano roll"),
        (text(notes=[[True, 0, 4, 0]]), "not a piano roll"),
        (text(notes=None), "not a piano roll"),
        (text(bars="many"), "not a piano roll"),
        (text(bars=0), "1 to 32 bars"),
        (text(bars=MOST_BARS + 1), "1 to 32 bars"),
        (text(bars=10**9), "1 to 32 bars"),
        (text(notes=[[128, 0, 4, 0]]), "1 to 32 bars"),
        (text(notes=[[60, -1, 4, 0]]), "1 to 32 bars"),
        (text(notes=[[60, 0, 0, 0]]), "1 to 32 bars"),
        (text(notes=[[60, 30, 4, 0]]), "1 to 32 bars"),
        (text(notes=[[60, 0, 4, 4]]), "1 to 32 bars"),
        (text(notes=[[60, 0, 1, 0]] * 10_001), "1 to 32 bars"),
        (text(erased=[[8, 8, 0]]), "1 to 32 bars"),
        (text(erased=[[0, 64, 0]]), "1 to 32 bars"),
    ],
    ids=lambda value: value[:40],
)
def test_anything_else_is_a_sentence(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Roll.from_json(value)
    assert str(caught.value).endswith(".")


def test_the_control_carries_its_settings_and_its_first_value() -> None:
    control = pianoroll("Draw", Roll(NOTES, 2), "tune", ("One", "Two"), (50, 70), "#player")
    script = control.js_on_load or ""
    config = json.loads(script.split("const CONFIG = ", 1)[1].split(";\n", 1)[0])
    assert config["voices"] == ["One", "Two"] and (config["low"], config["high"]) == (50, 70)
    assert config["bars"] == MOST_BARS and config["player"] == "#player"
    assert Roll.from_json(control.value).notes == NOTES
