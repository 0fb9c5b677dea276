"""Notes on a grid of sixteenths, to MIDI files and back (by mido)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np

__all__ = ["MOST_NOTES", "GridNote", "grid_of", "midi_bytes", "notes_of", "read_midi"]

TICKS = 120
MOST_NOTES = 10_000
MOST_BYTES = 512 * 2**10
PERCUSSION = 9


@dataclass(frozen=True, order=True)
class GridNote:
    """A note: start and length in sixteenths, MIDI number."""

    start: int
    length: int
    pitch: int


def midi_bytes(voices: dict[str, list[GridNote]], beats_a_minute: float = 80.0) -> bytes:
    """A MIDI file with one track and one channel a voice, in the order given."""
    file = mido.MidiFile(type=1, ticks_per_beat=4 * TICKS)
    for channel, (name, notes) in enumerate(voices.items()):
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        if channel == 0:
            track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(beats_a_minute)))
        events = [(n.start + n.length, 0, "note_off", n.pitch) for n in notes]
        events += [(n.start, 1, "note_on", n.pitch) for n in notes]
        now = 0
        for at, _, kind, pitch in sorted(events):
            number = channel if channel < PERCUSSION else channel + 1
            track.append(mido.Message(kind, channel=number, note=pitch, velocity=80, time=(at - now) * TICKS))
            now = at
        file.tracks.append(track)
    target = io.BytesIO()
    file.save(file=target)
    return target.getvalue()


def read_midi(source: str | Path | bytes) -> dict[str, list[GridNote]]:
    """Notes of each track that has any, rounded to sixteenths, percussion left out.

    Raises:
        ValueError: not a MIDI file, damaged, above 512 kB, without notes, or with more than 10,000.
    """
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError:
        raise ValueError("This MIDI file cannot be opened.") from None
    if len(data) > MOST_BYTES:
        raise ValueError(f"This MIDI file is too large: at most {MOST_BYTES // 2**10} kB are read.")
    try:
        file = mido.MidiFile(file=io.BytesIO(data))
        ticks = max(1, file.ticks_per_beat) / 4
        voices = {f"{i}: {track.name}"[:40]: _notes(track, ticks) for i, track in enumerate(file.tracks)}
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, LookupError, AttributeError):
        raise ValueError("This is not a MIDI file, or it is damaged.") from None
    voices = {name: notes for name, notes in voices.items() if notes}
    count = sum(map(len, voices.values()))
    if not count:
        raise ValueError("There are no notes in this MIDI file.")
    if count > MOST_NOTES:
        raise ValueError(f"This MIDI file has {count:,} notes; at most {MOST_NOTES:,} are taken.")
    return voices


def _notes(track: mido.MidiTrack, ticks: float) -> list[GridNote]:
    now, open_notes, notes = 0, {}, []
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == PERCUSSION:
            continue
        key = (message.channel, message.note)
        if key in open_notes:
            start = open_notes.pop(key)
            first = round(start / ticks)
            notes.append(GridNote(first, max(1, round(now / ticks) - first), message.note))
        if message.type == "note_on" and message.velocity > 0:
            open_notes[key] = now
    return sorted(notes)


def grid_of(notes: list[GridNote], steps: int) -> np.ndarray:
    """One voice `(steps,)` of MIDI numbers, -1 for silence. Of notes that overlap the later sounds, then the higher."""
    voice = np.full(steps, -1, np.int64)
    for note in sorted(notes, key=lambda n: (n.start, n.pitch)):
        if note.start < steps:
            voice[note.start :] = np.where(np.arange(note.start, steps) < note.start + note.length, note.pitch, -1)
    return voice


def notes_of(voice: np.ndarray, starts: np.ndarray | None = None) -> list[GridNote]:
    """Notes of one voice `(T,)`: one wherever the pitch changes, and where `starts` `(T,)` says so."""
    begins = np.diff(voice, prepend=-2) != 0
    if starts is not None:
        begins |= starts
    at = np.flatnonzero(begins)
    ends = [*at[1:].tolist(), len(voice)]
    return [GridNote(a, b - a, int(voice[a])) for a, b in zip(at.tolist(), ends, strict=True) if voice[a] >= 0]
