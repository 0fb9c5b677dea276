"""Chorales as grids of four voices: loading, the fixed split, transposition, and what is given of them in training.

A grid `(T, 4)` holds the pitch of soprano, alto, tenor and bass in each sixteenth as a MIDI number, -1 for silence; as
tokens, 0 is silence and 1 to 46 are the pitches 36 to 81. The grid doesn't tell a repeated note from a held one. The
split is the usual one of the JSB chorales: 229 for training, 76 for validation, 77 for testing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = ["LOWEST", "RANGES", "STRIDES", "TOKENS", "VOICES", "Chorales", "from_tokens", "load_chorales", "to_tokens"]

VOICES = ("soprano", "alto", "tenor", "bass")
LOWEST, HIGHEST = 36, 81
TOKENS = HIGHEST - LOWEST + 2
RANGES = ((60, 81), (52, 74), (46, 69), (36, 66))
STRIDES = (1, 2, 4)
STRIDE_SHARES = (0.8, 0.1, 0.1)


def to_tokens(grid: np.ndarray) -> np.ndarray:
    """MIDI numbers, -1 for silence, to tokens.

    Raises:
        ValueError: a pitch below 36 or above 81.
    """
    if ((grid >= 0) & ((grid < LOWEST) | (grid > HIGHEST))).any():
        raise ValueError(f"Pitches must lie between {LOWEST} and {HIGHEST}.")
    return np.where(grid < 0, 0, grid - LOWEST + 1)


def from_tokens(tokens: np.ndarray) -> np.ndarray:
    """The inverse of `to_tokens`."""
    return np.where(tokens == 0, -1, tokens + LOWEST - 1)


def load_chorales(path: Path) -> dict[str, list[np.ndarray]]:
    """Grids `(T, 4)` of "train", "valid" and "test".

    Raises:
        FileNotFoundError: no file at `path`.
    """
    pieces = json.loads(path.read_text(encoding="utf-8"))
    return {split: [np.array(piece, np.int64) for piece in pieces[split]] for split in ("train", "valid", "test")}


def shifts(grid: np.ndarray, most: int = 6) -> np.ndarray:
    """Transpositions in semitones, -6 to 6 at most, that keep each voice within its range in the whole collection."""
    low, high = -most, most
    for voice, (bottom, top) in enumerate(RANGES):
        pitches = grid[:, voice][grid[:, voice] >= 0]
        if len(pitches):
            low, high = max(low, bottom - int(pitches.min())), min(high, top - int(pitches.max()))
    return np.arange(min(low, 0), max(high, 0) + 1)


@dataclass(frozen=True)
class Chorales:
    """Endless batches of windows of `frames` steps from `pieces`."""

    pieces: list[np.ndarray]
    frames: int = 256

    def batch(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`x` tokens and `given` bool `(n, frames, 4)`; `valid` bool, `phase` `(n, frames)`; `stride` `(n,)` index."""
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        size = np.array([len(p) for p in self.pieces], float)
        rows = [self._row(rng, self.pieces[i]) for i in rng.choice(len(size), n, p=size / size.sum())]
        return {k: torch.from_numpy(np.stack([row[k] for row in rows])) for k in rows[0]}

    def _row(self, rng: np.random.Generator, grid: np.ndarray) -> dict[str, np.ndarray]:
        index = int(rng.choice(len(STRIDES), p=STRIDE_SHARES))
        stride = STRIDES[index]
        grid = np.where(grid >= 0, grid + rng.choice(shifts(grid)), -1)[::stride]
        start = int(rng.integers(0, max(1, len(grid) - self.frames + 1)))
        window = to_tokens(grid[start : start + self.frames])
        blank = self.frames - len(window)
        return {
            "x": np.pad(window, ((0, blank), (0, 0))),
            "given": np.pad(erase(rng, len(window)), ((0, blank), (0, 0)), constant_values=True),
            "valid": np.arange(self.frames) < len(window),
            "phase": (start + np.arange(self.frames)) * stride % 16,
            "stride": np.array(index),
        }


def erase(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Which cells `(frames, 4)` are given: none, some voices, all but a span, or a few."""
    given = np.zeros((frames, 4), bool)
    kind = rng.random()
    if kind < 0.2:
        given[:, 0] = True
    elif kind < 0.35:
        given[:, rng.permutation(4)[: rng.integers(1, 4)]] = True
    elif kind < 0.55:
        first, last = np.sort(rng.integers(0, frames + 1, 2))
        given[:] = True
        given[first:last, rng.random(4) < 0.75] = False
    elif kind < 0.65:
        given[:] = rng.random((frames, 4)) < rng.random()
    elif kind < 0.7:
        given[: rng.integers(0, frames)] = True
    return given
