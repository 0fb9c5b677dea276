"""The rules of part-writing that a grid of four voices breaks, counted per hundred beats.

Bach breaks them as well, so that his own chorales are the yardstick. Parallels: two voices a perfect fifth (or octave,
or unison) apart that both move, in the same direction, to the same interval. Crossing: a voice below the one that
should lie under it. Range: a pitch outside the span that the voice has in the collection.
"""

from __future__ import annotations

import numpy as np

from demos.audio.music.data import RANGES

__all__ = ["BROKEN", "breaks", "broken_rules"]

BROKEN = ("parallel fifths", "parallel octaves", "crossings", "out of range")
STEPS_A_BEAT = 4
UPPER, LOWER = np.triu_indices(4, 1)
LOWEST, HIGHEST = np.array(RANGES).T


def breaks(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """How often each of the rules in `BROKEN` is broken where `before` leads to `now`: `(..., 4)`.

    Args:
        before: `(..., 4)` MIDI numbers of the four voices, -1 for silence.
        now: the same a sixteenth later.
    """
    sounds = (now[..., UPPER] >= 0) & (now[..., LOWER] >= 0) & (before[..., UPPER] >= 0) & (before[..., LOWER] >= 0)
    interval = (now[..., UPPER] - now[..., LOWER]) % 12
    motion = np.sign(now - before)
    together = (motion[..., UPPER] == motion[..., LOWER]) & (motion[..., UPPER] != 0)
    parallel = sounds & together & (interval == (before[..., UPPER] - before[..., LOWER]) % 12)
    crossed = (now[..., 1:] >= 0) & (now[..., :-1] >= 0) & (now[..., :-1] < now[..., 1:])
    outside = (now >= 0) & ((now < LOWEST) | (now > HIGHEST))
    fifths, octaves = parallel & (interval == 7), parallel & (interval == 0)
    return np.stack([rule.sum(-1) for rule in (fifths, octaves, crossed, outside)], -1)


def broken_rules(grids: list[np.ndarray]) -> dict[str, float]:
    """Errors per 100 beats over grids `(T, 4)` of MIDI numbers, -1 for silence; crossings and range count beats."""
    found = sum((breaks(np.pad(g[:-1], ((1, 0), (0, 0)), constant_values=-1), g).sum(0) for g in grids), np.zeros(4))
    beats = max(sum(map(len, grids)) / STEPS_A_BEAT, 1e-9)
    counted = found / np.array([1, 1, STEPS_A_BEAT, STEPS_A_BEAT])
    return dict(zip(BROKEN, (100 * counted / beats).tolist(), strict=True))
