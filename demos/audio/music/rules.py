"""The rules of part-writing that a grid of four voices breaks, counted per hundred beats.

Bach breaks them as well, so that his own chorales are the yardstick. Parallels: two voices a perfect fifth (or octave,
or unison) apart that both move, in the same direction, to the same interval. Crossing: a voice below the one that
should lie under it. Range: a pitch outside the span that the voice has in the collection.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from demos.audio.music.data import RANGES

__all__ = ["BROKEN", "broken_rules"]

BROKEN = ("parallel fifths", "parallel octaves", "crossings", "out of range")
STEPS_A_BEAT = 4


def broken_rules(grids: list[np.ndarray]) -> dict[str, float]:
    """Errors per 100 beats over grids `(T, 4)` of MIDI numbers, -1 for silence; crossings and range count beats."""
    total: dict[str, float] = dict.fromkeys(BROKEN, 0.0)
    beats = 0.0
    for grid in grids:
        beats += len(grid) / STEPS_A_BEAT
        for name, interval in (("parallel fifths", 7), ("parallel octaves", 0)):
            total[name] += sum(_parallels(grid[:, a], grid[:, b], interval) for a, b in combinations(range(4), 2))
        sounding = grid >= 0
        for a, b in pairwise(range(4)):
            crossed = sounding[:, a] & sounding[:, b] & (grid[:, a] < grid[:, b])
            total["crossings"] += crossed.sum() / STEPS_A_BEAT
        for voice, (low, high) in enumerate(RANGES):
            outside = sounding[:, voice] & ((grid[:, voice] < low) | (grid[:, voice] > high))
            total["out of range"] += outside.sum() / STEPS_A_BEAT
    return {name: 100 * count / max(beats, 1e-9) for name, count in total.items()}


def _parallels(upper: np.ndarray, lower: np.ndarray, interval: int) -> int:
    sounds = (upper >= 0) & (lower >= 0)
    both = sounds[1:] & sounds[:-1]
    same = ((upper - lower) % 12 == interval)[1:] & ((upper - lower) % 12 == interval)[:-1]
    moves = (np.sign(np.diff(upper)) == np.sign(np.diff(lower))) & (np.diff(upper) != 0)
    return int((both & same & moves).sum())
