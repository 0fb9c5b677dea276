"""Pitch of one voice or instrument: YIN's difference function, its best lags linked over time.

The cumulative-mean-normalised difference d'(lag) of a frame with itself dips at the period (de Cheveigné and Kawahara
2002, doi:10.1121/1.1458024). As in pYIN (Mauch and Dixon 2014) several dips of each frame stay candidates, and a
Viterbi search picks the path whose dips are deep and whose pitch moves little. The lag is then refined at twice, four
and eight times the period, where the same offset in samples is a smaller part of the period: that makes notes of three
or four kHz precise to a cent or so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demos.core.cancel import OnStep, report

__all__ = ["Pitch", "track"]

CANDIDATES = 6
UNVOICED_COST = 0.35
JUMP_COST = 1.5
SWITCH_COST = 0.15
BLOCK = 512


@dataclass(frozen=True)
class Pitch:
    """Pitch of each frame.

    Attributes:
        f0_hz: `(M,)`; where nothing is voiced, drawn from the voiced neighbours; 0 if no frame is voiced.
        confidence: `(M,)` in [0, 1], how periodic the frame is; 0 where unvoiced.
    """

    f0_hz: np.ndarray
    confidence: np.ndarray

    @property
    def voiced(self) -> np.ndarray:
        """`(M,)` bool."""
        return self.confidence > 0


def track(
    samples: np.ndarray,
    sample_rate: int,
    hop: int,
    low_hz: float = 30.0,
    high_hz: float = 4200.0,
    window: int = 1024,
    on_step: OnStep | None = None,
) -> Pitch:
    """Pitch of `(N,)` samples at frames centred at multiples of `hop`, `N // hop + 1` of them.

    Args:
        on_step: called as `on_step(i, n, None)` after each block of frames; may raise `Cancelled`.

    Raises:
        ValueError: a range that is empty, or reaches beyond a quarter of the sample rate.
    """
    if not 0 < low_hz < high_hz <= sample_rate / 4:
        raise ValueError(f"The range of pitch must lie within 0 and {sample_rate / 4:g} Hz.")
    longest = int(np.ceil(sample_rate / low_hz)) + 2
    shortest = max(2, int(sample_rate / high_hz) - 1)
    size = window + longest
    frames = len(samples) // hop + 1
    padded = np.pad(_softened(samples, sample_rate), (window // 2, size + hop))
    views = np.lib.stride_tricks.sliding_window_view(padded, size)[: frames * hop : hop]
    lags, costs = np.empty((frames, CANDIDATES)), np.empty((frames, CANDIDATES))
    for start in range(0, frames, BLOCK):
        part = slice(start, min(frames, start + BLOCK))
        lags[part], costs[part] = _candidates(_difference(views[part], window, longest), shortest)
        report(on_step, part.stop, frames)
    path = _viterbi(np.log2(lags), costs)
    voiced = path >= 0
    if not voiced.any():
        return Pitch(np.zeros(frames), np.zeros(frames))
    at = np.flatnonzero(voiced)
    f0 = np.interp(np.arange(frames), at, np.log(sample_rate / lags[at, path[at]]))
    confidence = np.zeros(frames)
    confidence[at] = np.clip(1 - costs[at, path[at]], 1e-3, 1)
    return Pitch(np.exp(f0), confidence)


def _softened(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Without what lies above 6 kHz, so that a dip between two whole lags is still seen at both."""
    n = 1 << (len(samples) + sample_rate // 100).bit_length()
    f = np.arange(n // 2 + 1) * (sample_rate / n)
    gain = 0.5 + 0.5 * np.cos(np.pi * np.clip((f - 3000) / 3000, 0, 1))
    return np.fft.irfft(np.fft.rfft(np.asarray(samples, np.float32), n) * gain.astype(np.float32), n)[: len(samples)]


def _difference(views: np.ndarray, window: int, longest: int) -> np.ndarray:
    """d'(lag) for lags 0 to `longest` - 1, `(M, longest)`; 1 where a frame is silent."""
    n = 1 << (views.shape[1] + window - 1).bit_length()
    head = np.fft.rfft(views[:, :window], n, axis=1)
    correlation = np.fft.irfft(np.conj(head) * np.fft.rfft(views, n, axis=1), n, axis=1)[:, :longest]
    power = np.cumsum(np.pad(views.astype(np.float64) ** 2, ((0, 0), (1, 0))), 1)
    energy = power[:, window : window + longest] - power[:, :longest]
    d = np.maximum(energy[:, :1] + energy - 2 * correlation, 0)
    d[:, 0] = 0
    mean = np.cumsum(d, 1) / np.maximum(np.arange(longest), 1)
    silent = energy[:, :1] < window * 1e-10
    return np.where((mean > 0) & ~silent, d / np.maximum(mean, 1e-20), 1.0)


def _candidates(d: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """The `CANDIDATES` best dips of each frame: lags refined below a sample, and costs; both `(M, CANDIDATES)`."""
    inner = d[:, 1:-1]
    dip = (inner < d[:, :-2]) & (inner <= d[:, 2:])
    dip[:, : shortest - 1] = False
    # A dip at twice the period is as deep as the one at the period: a little of each octave counts.
    octaves = 0.03 * np.log2(np.arange(1, d.shape[1] - 1))
    bend = d[:, :-2] - 2 * inner + d[:, 2:]
    depth = inner - (d[:, :-2] - d[:, 2:]) ** 2 / (8 * np.maximum(bend, 1e-12))
    score = np.where(dip, np.maximum(depth, 0) + octaves - octaves[shortest], 9.0)
    best = np.argpartition(score, CANDIDATES, axis=1)[:, :CANDIDATES]
    cost = np.take_along_axis(score, best, 1)
    lag = best + 1.0
    step = 1.0
    for multiple in (1, 2, 4, 8):
        finer = _dip_near(d, lag * multiple, 2.0 if multiple > 1 else 0.5) / multiple
        near = np.abs(finer - lag) < step
        fits = lag * multiple + 3 < d.shape[1]
        lag = np.where(fits & near, finer, lag)
        step = 1.0 / multiple
    return lag, cost


def _dip_near(d: np.ndarray, lag: np.ndarray, reach: float) -> np.ndarray:
    """The bottom of a parabola through the lowest of d within `reach` samples of `lag`; `(M, C)`."""
    last = d.shape[1] - 2
    offsets = np.arange(-int(reach), int(reach) + 1)
    at = np.clip(np.rint(lag).astype(int)[..., None] + offsets, 1, last)
    rows = np.arange(len(d))[:, None, None]
    pick = np.take_along_axis(at, d[rows, at].argmin(-1)[..., None], -1)[..., 0]
    rows = rows[..., 0]
    before, here, after = d[rows, pick - 1], d[rows, pick], d[rows, pick + 1]
    bend = before - 2 * here + after
    return pick + np.where(bend > 1e-12, 0.5 * (before - after) / np.maximum(bend, 1e-12), 0).clip(-1, 1)


def _viterbi(octave: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Index of the chosen candidate of each frame `(M,)`, -1 for unvoiced."""
    frames, count = cost.shape
    state = np.concatenate([cost, np.full((frames, 1), UNVOICED_COST)], 1)
    total, back = state[0], np.zeros((frames, count + 1), int)
    switch = np.zeros((count + 1, count + 1))
    switch[-1, :-1] = switch[:-1, -1] = SWITCH_COST
    for m in range(1, frames):
        move = switch.copy()
        move[:-1, :-1] = np.minimum(JUMP_COST * np.abs(octave[m][None] - octave[m - 1][:, None]), 2 * SWITCH_COST + 0.3)
        reach = total[:, None] + move
        back[m] = reach.argmin(0)
        total = reach.min(0) + state[m]
    path = np.empty(frames, int)
    path[-1] = total.argmin()
    for m in range(frames - 1, 0, -1):
        path[m - 1] = back[m, path[m]]
    return np.where(path == count, -1, path)
