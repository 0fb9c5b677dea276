"""Several voices, each played by an instrument, as one sound and as stems that add up to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from demos.audio.files import Sound, fade, normalise
from demos.audio.instruments.data import SAMPLE_RATE
from demos.audio.instruments.model import LIMITS, Instruments, TuneNote
from demos.audio.music.midi import GridNote
from demos.core.cancel import OnStep
from demos.core.seed import normalise_seed

__all__ = ["TEMPO", "Performance", "perform"]

TEMPO = (40.0, 140.0)
LOUDNESS = (0.75, 0.6)


@dataclass(frozen=True)
class Performance:
    """The mix, and each voice alone at the level that it has in the mix."""

    mix: Sound
    stems: dict[str, Sound]


def perform(
    model: Instruments,
    voices: Mapping[str, Sequence[GridNote]],
    players: Sequence[str],
    beats_a_minute: float = 80.0,
    *,
    seed: int | None = 0,
    on_step: OnStep | None = None,
) -> Performance:
    """Play the voices that have notes; the first is a little louder than the others.

    Args:
        voices: notes by name.
        players: an instrument a voice, in their order.
        beats_a_minute: 40 to 140, four sixteenths a beat.
        seed: of the instruments' noise; None or negative draws one.
        on_step: called as `on_step(i, n, so_far)` after each batch of notes, with a function that gives the samples
            `(m,)` of the mix so far, before they are brought to their final level; may raise `Cancelled`.

    Raises:
        ValueError: no notes, no instrument for a voice, or a tempo out of range.
    """
    seed, sixteenth = normalise_seed(seed), 15 / _tempo(beats_a_minute)
    if len(players) != len(voices):
        raise ValueError(f"Name {len(voices)} instruments, one a voice; {len(players)} are named.")
    tunes = {name: _tune(notes, sixteenth, LOUDNESS[i > 0]) for i, (name, notes) in enumerate(voices.items())}
    parts = [(n, tune, player) for (n, tune), player in zip(tunes.items(), players, strict=True) if tune]
    if not parts:
        raise ValueError("There are no notes to play yet.")
    tunes, named = [tune for _, tune, _ in parts], [player for *_, player in parts]
    sounds = model.together(tunes, named, seed=seed, on_step=on_step)
    stems = {name: fade(made, SAMPLE_RATE) for (name, *_), made in zip(parts, sounds, strict=True)}
    mix = np.sum(list(stems.values()), 0)
    made = normalise(mix, SAMPLE_RATE)
    gain = float(np.abs(made).max(initial=0)) / max(1e-9, float(np.abs(mix).max(initial=0)))
    loudest = gain * max(float(np.abs(s).max(initial=0)) for s in stems.values())
    gain *= min(1.0, 0.95 / max(1e-9, loudest))

    def sound(samples: np.ndarray) -> Sound:
        return Sound((gain * samples).astype(np.float32), SAMPLE_RATE, seed)

    return Performance(sound(mix), {name: sound(s) for name, s in stems.items()})


def _tempo(value: object) -> float:
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not TEMPO[0] <= number <= TEMPO[1]:
        raise ValueError(f"“tempo” must be a number of beats a minute from {TEMPO[0]:g} to {TEMPO[1]:g}.")
    return number


def _tune(notes: Sequence[GridNote], sixteenth: float, loudness: float) -> list[TuneNote]:
    """Notes in seconds; one longer than an instrument's longest is struck again."""
    longest = math.floor(LIMITS["seconds"][1] / sixteenth)
    tune = []
    for note in notes:
        for at in range(note.start, note.start + note.length, longest):
            length = min(longest, note.start + note.length - at)
            tune.append(TuneNote(note.pitch, at * sixteenth, length * sixteenth, loudness))
    return tune
