"""Pitch and level of a performance over time: what drives an instrument, found by listening or drawn by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from demos.audio.files import LONGEST_SECONDS, SILENCE
from demos.audio.instruments.data import FLOOR_DB, HOP, SAMPLE_RATE
from demos.audio.pitch import track
from demos.audio.spectra import level_db
from demos.core.cancel import OnStep

__all__ = ["Curves", "listen", "since_onset", "tuned"]

PITCH_HZ = (24.0, 4200.0)
USUAL_DB = -12.0
SOUNDS_DB = FLOOR_DB + 20
SMOOTHING = 7


@dataclass(frozen=True)
class Curves:
    """One value each 5 ms.

    Attributes:
        f0_hz: `(M,)` pitch, 24 to 4,200 Hz wherever it sounds.
        level: `(M,)` dB below full scale, `FLOOR_DB` to 0.
        confidence: `(M,)` in [0, 1], how sure the pitch is.
    """

    f0_hz: np.ndarray
    level: np.ndarray
    confidence: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """`(M,)` times of the values."""
        return np.arange(len(self.level)) * HOP / SAMPLE_RATE

    def checked(self) -> Curves:
        """The same curves within their ranges.

        Raises:
            ValueError: lengths that differ, fewer than 10 or more than 12,001 values, or one that is not finite.
        """
        longest = int(LONGEST_SECONDS * SAMPLE_RATE / HOP) + 1
        f0, level, sure = (np.asarray(c, np.float64) for c in (self.f0_hz, self.level, self.confidence))
        if not f0.shape == level.shape == sure.shape or f0.ndim != 1 or not 10 <= len(f0) <= longest:
            raise ValueError(f"The curves must have equal lengths, from 10 to {longest:,} values.")
        if not all(np.isfinite(c).all() for c in (f0, level, sure)):
            raise ValueError("The curves must be finite numbers.")
        return Curves(np.clip(f0, *PITCH_HZ), np.clip(level, FLOOR_DB, 0), np.clip(sure, 0, 1))


def listen(samples: np.ndarray, on_step: OnStep | None = None) -> Curves:
    """Curves of `(N,)` samples; the level is moved so that the loud parts lie where the instruments' notes do.

    `on_step(i, n, None)` is called as the search for the pitch goes on; it may raise `Cancelled`.
    """
    found = track(samples, SAMPLE_RATE, HOP, 40.0, 2100.0, on_step=on_step)
    level = level_db(torch.from_numpy(samples)[None], HOP)[0].double().numpy()
    if np.abs(samples).max(initial=0) >= SILENCE:
        level = np.clip(level + USUAL_DB - np.percentile(level, 95), FLOOR_DB, 0)
    else:
        level = np.full_like(level, FLOOR_DB)
    f0 = np.where(found.f0_hz > 0, found.f0_hz, 220.0)
    return Curves(f0, level, found.confidence)


def tuned(curves: Curves, transpose: float, offset: float, threshold: float, autotune: float) -> Curves:
    """Curves moved by semitones and dB, drawn to the nearest semitone, and silent where the pitch isn't sure enough."""
    semitones = 12 * np.log2(np.maximum(curves.f0_hz, 1) / 440)
    semitones += autotune * (np.round(semitones) - semitones) + transpose
    sure = (curves.confidence >= max(threshold, 1e-3)) & (curves.level > SOUNDS_DB)
    width = np.hanning(SMOOTHING + 2)[1:-1]
    gate = np.convolve(np.pad(sure.astype(float), SMOOTHING // 2, mode="edge"), width / width.sum(), "valid")
    level = FLOOR_DB + gate * (np.clip(curves.level + offset, FLOOR_DB, 0) - FLOOR_DB)
    return Curves(np.clip(440 * 2 ** (semitones / 12), *PITCH_HZ), level, curves.confidence)


def since_onset(curves: Curves) -> np.ndarray:
    """Seconds since the last onset `(M,)`: where sound begins, and where the pitch leaps by more than a semitone."""
    sounding = curves.level > SOUNDS_DB
    begins = sounding & ~np.concatenate([[False], sounding[:-1]])
    step = 8
    octave = np.log2(np.maximum(curves.f0_hz, 1))
    leap = np.abs(octave - np.concatenate([np.full(min(step, len(octave)), octave[0]), octave])[: len(octave)]) > 1 / 12
    begins |= leap & ~np.concatenate([[False], leap[:-1]]) & sounding
    index = np.arange(len(begins))
    return (index - np.maximum.accumulate(np.where(begins, index, 0))) * HOP / SAMPLE_RATE
