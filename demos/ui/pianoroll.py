"""A piano roll: notes of several voices are drawn, moved, marked and listened to on a grid of sixteenths.

The control is a `gr.HTML` whose value is JSON text:

    {"bars": 8, "notes": [[pitch, start, length, voice], …], "erased": [[first, end, voice], …], "heat": [nats, …]}

with MIDI numbers, and times in sixteenths. Each voice sings one note at a time; a note that is repeated is two notes,
each with its beginning marked, and a held one is one. `erased` are the spans that the visitor
marked, and `heat` colours each note. Setting a value is one step of the control's history; with `"draft": true` it is
only shown, until the next value, and with `"offered": true` it is dropped where the notes are no longer those of its
`rev`. The control fires `input` when colours are wanted that it doesn't have, which `coloured` binds: the handler gives
`Roll.answer` back, which is dropped where the notes have changed since.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos.ui.board import board

__all__ = ["BAR", "MOST_BARS", "Roll", "coloured", "pianoroll"]

BAR = 16
MOST_BARS = 32
MOST_NOTES = 10_000
_MARKING = "Drag along a lane at the bottom to mark a voice there; its letter marks all of it."
_MARKED = "Marked notes are to be written anew."
_DESCRIPTION = (
    "Click or drag to draw a note, drag a note to move it, drag its end to lengthen it, click it to remove it. "
    "With the keyboard: arrow keys move the cursor, space adds or removes a note, plus and minus change its length, "
    "Alt with an arrow key moves it, M marks a beat of the voice, 1 to 4 choose the voice, Control Z undoes."
)


@dataclass(frozen=True)
class Roll:
    """What is on a piano roll.

    Attributes:
        notes: `(pitch, start, length, voice)` each, by start and voice.
        bars: length of the roll, of 16 sixteenths each.
        erased: `(first, end, voice)` of each marked span.
        heat: a number a note, or None.
        rev: which state of the visitor's roll this is.
    """

    notes: tuple[tuple[int, int, int, int], ...] = ()
    bars: int = 8
    erased: tuple[tuple[int, int, int], ...] = ()
    heat: tuple[float, ...] | None = None
    rev: int = 0

    @classmethod
    def from_json(cls, text: str | None, voices: int = 4) -> Roll:
        """Read a value of the control; empty text is an empty roll.

        Raises:
            ValueError: not a roll.
        """
        if not text:
            return cls()
        try:
            data = json.loads(text)
            notes = tuple(_whole(row, 4) for row in data["notes"][: MOST_NOTES + 1])
            erased = tuple(_whole(row, 3) for row in data.get("erased") or [])
            bars, rev = int(data["bars"]), int(data.get("rev") or 0)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise ValueError("This is not a piano roll.") from None
        steps = bars * BAR
        sound = all(
            0 <= pitch <= 127 and 0 <= start < start + length <= steps and 0 <= voice < voices
            for pitch, start, length, voice in notes
        )
        marked = all(0 <= first < end <= steps and 0 <= voice < voices for first, end, voice in erased)
        if not (1 <= bars <= MOST_BARS and len(notes) <= MOST_NOTES and sound and marked):
            raise ValueError(f"A piano roll has 1 to {MOST_BARS} bars, and all of its notes lie within them.")
        return cls(notes, bars, erased, None, rev)

    def to_json(self, draft: bool = False, offered: bool = False) -> str:
        """The value to set.

        Args:
            draft: it is shown without becoming a step of the history.
            offered: it is taken only while the visitor's roll is in the state `rev`.
        """
        data: dict[str, Any] = {"bars": self.bars, "notes": self.notes, "erased": self.erased, "rev": self.rev}
        flags = {"draft": draft, "offered": offered}
        return json.dumps(data | {"heat": _numbers(self.heat)} | {name: True for name, on in flags.items() if on})

    def answer(self, heat: Sequence[float] | None) -> str:
        """Colours of the notes, as the reply to `input`."""
        return json.dumps({"answers": self.rev, "heat": _numbers(heat)})


def pianoroll(
    label: str,
    value: Roll | None = None,
    elem_id: str = "pianoroll",
    voices: Sequence[str] = ("Soprano", "Alto", "Tenor", "Bass"),
    pitches: tuple[int, int] = (36, 81),
    player: str = "",
) -> gr.HTML:
    """Build the control.

    Args:
        label: accessible name, also shown faintly on the empty roll.
        value: what it shows at first.
        elem_id: id of the control, unique on the page.
        voices: names, the first letters of which stand in the notes.
        pitches: lowest and highest MIDI number.
        player: CSS selector of the place whose `<audio>` moves the playhead; say how long a sixteenth is with
            `window.atelierPianorolls[elem_id].pace(seconds)`.

    Returns:
        The component; its value is the JSON text that `Roll.from_json` reads.
    """
    config = {
        "id": elem_id,
        "label": label,
        "description": _DESCRIPTION,
        "marking": _MARKING,
        "marked": _MARKED,
        "voices": list(voices),
        "low": pitches[0],
        "high": pitches[1],
        "bars": MOST_BARS,
        "player": player,
    }
    scripts = ("pianoroll_notes.js", "pianoroll_paint.js", "pianoroll.js")
    return board("pianoroll", label, (value or Roll()).to_json(), config, scripts)


def coloured(roll: gr.HTML, fn: Callable[[str], str]) -> None:
    """Let `fn` say the colours of a roll's notes, from its value to `Roll.answer`, whenever they are wanted."""
    roll.input(fn, roll, roll, trigger_mode="always_last", show_progress="hidden", api_visibility="private")


def _whole(row: Any, count: int) -> Any:
    """`count` whole numbers."""
    if not isinstance(row, list) or len(row) != count or not all(type(n) is int for n in row):
        raise ValueError
    return tuple(row)


def _numbers(values: Sequence[float] | None) -> list[float] | None:
    """Rounded for the way to the browser; what is not finite would not be JSON."""
    return None if values is None else [round(v, 3) if math.isfinite(v) else 0.0 for v in values]
