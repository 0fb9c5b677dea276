"""Melodies from elsewhere, on the grid of sixteenths: the top line of a MIDI file, or a tune that somebody hums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from demos.audio.instruments.curves import SOUNDS_DB, Curves
from demos.audio.instruments.data import HOP, SAMPLE_RATE
from demos.audio.music.data import HIGHEST, LOWEST, RANGES, VOICES
from demos.audio.music.midi import GridNote, notes_of

__all__ = ["hummed", "in_range", "voices_of"]

SURE = 0.6
SHORTEST_SECONDS = 0.09
MEDIAN, VIBRATO = 9, 35
LEFT = 0.7


def voices_of(tracks: Mapping[str, Sequence[GridNote]], steps: int) -> dict[int, list[GridNote]]:
    """Notes by voice (0 is the soprano): all four where a file has just these, else the top line as a melody.

    Empty bars at the beginning are left out, and so is what lies beyond `steps` sixteenths.

    Args:
        tracks: notes of each track, as `read_midi` gives them.
        steps: how long the score may be.
    """
    names = [name.rpartition(": ")[2].strip().lower() for name in tracks]
    if len(names) == len(set(names)) and set(names) <= set(VOICES):
        voices = {VOICES.index(name): list(notes) for name, notes in zip(names, tracks.values(), strict=True)}
    else:
        voices = {0: list(max(tracks.values(), key=lambda notes: np.mean([n.pitch for n in notes])))}
    first = min(n.start for notes in voices.values() for n in notes) // 16 * 16
    return {v: top_line([replace(n, start=n.start - first) for n in notes], steps) for v, notes in voices.items()}


def top_line(notes: Sequence[GridNote], steps: int) -> list[GridNote]:
    """The highest of the notes that sound in each sixteenth."""
    voice, starts = np.full(steps, -1, np.int64), np.zeros(steps, bool)
    for note in notes:
        part = slice(note.start, note.start + note.length)
        voice[part] = np.maximum(voice[part], note.pitch)
    for note in notes:
        if note.start < steps and voice[note.start] == note.pitch:
            starts[note.start] = True
    return notes_of(voice, starts)


def in_range(voices: Mapping[int, Sequence[GridNote]]) -> tuple[dict[int, list[GridNote]], int]:
    """The voices moved together to where they are sung, and by how many semitones: whole octaves if any do.

    Raises:
        ValueError: no notes, or a span wider than all four voices together.
    """
    pitches = [n.pitch for notes in voices.values() for n in notes]
    if not pitches:
        raise ValueError("There are no notes here.")
    low, high = min(pitches), max(pitches)
    if high - low > HIGHEST - LOWEST:
        raise ValueError(f"This music spans {high - low} semitones; at most {HIGHEST - LOWEST} can be taken.")

    def outside(move: int) -> tuple[int, bool, int]:
        wrong = [
            max(RANGES[v][0] - n.pitch - move, n.pitch + move - RANGES[v][1], 0) for v in voices for n in voices[v]
        ]
        return sum(wrong), move % 12 != 0, abs(move)

    moves = [m for m in range(-127, 128) if low + m >= LOWEST and high + m <= HIGHEST]
    octaves = [m for m in moves if m % 12 == 0]
    move = min(octaves or moves, key=outside)
    return {v: [replace(n, pitch=n.pitch + move) for n in notes] for v, notes in voices.items()}, move


def hummed(curves: Curves, beats_a_minute: float, steps: int) -> list[GridNote]:
    """The tune in a recording: steady stretches of pitch, tuned to the hummer's own scale, rounded to sixteenths.

    The first note begins at 0.

    Raises:
        ValueError: no note was found.
    """
    sure = (curves.confidence >= SURE) & (curves.level > SOUNDS_DB)
    height = 69 + 12 * np.log2(np.maximum(curves.f0_hz, 1) / 440)
    padded = np.pad(height, MEDIAN // 2, mode="edge")
    height = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN), axis=-1)
    found = _stretches(_steps(height - _mistuning(height, sure), sure), sure)
    if not found:
        raise ValueError("No tune was found in this recording: hum one note after another, close to the microphone.")
    sixteenth, begin = 15 / beats_a_minute * SAMPLE_RATE / HOP, found[0][0]
    notes: list[GridNote] = []
    for first, end, pitch in found:
        start, stop = round((first - begin) / sixteenth), round((end - begin) / sixteenth)
        if notes and start < notes[-1].start + notes[-1].length:
            start = notes[-1].start + notes[-1].length
        if start < steps:
            notes.append(GridNote(start, max(1, min(stop, steps) - start), int(pitch)))
    return notes


def _mistuning(height: np.ndarray, sure: np.ndarray) -> float:
    """How far pitches `(M,)`, without their vibrato, lie from whole semitones: the angle of their mean on a circle."""
    if not sure.any():
        return 0.0
    box = np.ones(VIBRATO)
    steady = np.convolve(height * sure, box, "same") / np.maximum(np.convolve(sure, box, "same"), 1)
    return float(np.angle(np.exp(2j * np.pi * steady[sure]).mean()) / (2 * np.pi))


def _steps(height: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Whole semitones `(M,)`: each is kept until the pitch has clearly left it."""
    now, steps = -1, np.empty(len(height), int)
    for i, (value, is_sure) in enumerate(zip(height.tolist(), sure.tolist(), strict=True)):
        now = -1 if not is_sure else now if now >= 0 and abs(value - now) < LEFT else round(value)
        steps[i] = now
    return steps


def _stretches(pitch: np.ndarray, sure: np.ndarray) -> list[tuple[int, int, int]]:
    """`(first, end, pitch)` of the runs of one pitch that last; short ones join the run that they interrupt."""
    least = round(SHORTEST_SECONDS * SAMPLE_RATE / HOP)
    edges = np.flatnonzero(np.diff(np.where(sure, pitch, -1), prepend=-2, append=-2))
    runs: list[tuple[int, int, int]] = []
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if not sure[first] or end - first < least:
            continue
        if runs and runs[-1][2] == pitch[first] and first - runs[-1][1] < least and sure[runs[-1][1] : first].all():
            runs[-1] = (runs[-1][0], end, runs[-1][2])
        else:
            runs.append((first, end, int(pitch[first])))
    return runs
