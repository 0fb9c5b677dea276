"""An experiment with the measures themselves: spoil samples in a known way and watch what each measure makes of it.

Both sets come from one model, so that nothing but the spoiling tells them apart: a perfect measure would find no
difference before it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from demos.lab.model import Garments

__all__ = ["MOST", "Measured", "measured"]

MOST = 320
BATCH = 64
NEIGHBOURS, PERMUTATIONS = 5, 200
DRAWN_BY = "gan"
"""The quickest family."""


@dataclass(frozen=True)
class Measured:
    """What the measures say of two sets.

    Attributes:
        fid: Fréchet distance of the classifier's features.
        precision, recall, density, coverage: see `demos.core.metrics.overlap`.
        mmd: squared maximum mean discrepancy of the features under a cubic kernel, unbiased.
        p_value: share of random splits of both sets together with an MMD as large.
        pictures: `(n, 28, 28)` uint8, the spoilt set.
    """

    fid: float
    precision: float
    recall: float
    density: float
    coverage: float
    mmd: float
    p_value: float
    pictures: np.ndarray


@functools.lru_cache(maxsize=1)
def _sets(garments: Garments) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of `MOST` samples `(N, 28, 28)` uint8, labels in turn."""
    made = [
        np.stack([np.asarray(p) for p in garments.sample(DRAWN_BY, BATCH // 2, k, seed=1000 * s + k)])
        for s in (1, 2)
        for k in range(10)
    ]
    both = np.stack(made).reshape(2, 10, BATCH // 2, 28, 28).transpose(0, 2, 1, 3, 4).reshape(2, -1, 28, 28)
    return both[0], both[1]


def _features(garments: Garments, pictures: np.ndarray) -> np.ndarray:
    import torch

    from demos.lab.garments.data import scaled

    x: torch.Tensor = torch.from_numpy(pictures)[:, None].to(garments.device)
    with torch.no_grad(), garments.lane.hold():
        return garments.classifier.features(scaled(x)).float().cpu().numpy()


@functools.lru_cache(maxsize=1)
def _usual(garments: Garments) -> np.ndarray:
    return _features(garments, _sets(garments)[0])


def _two_sample(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Squared MMD and its p-value by permutation (Gretton et al. 2012)."""
    both = np.concatenate([a, b]).astype(np.float64)
    kernel = (both @ both.T / both.shape[1] + 1) ** 3
    np.fill_diagonal(kernel, 0)
    n, m, rng = len(a), len(b), np.random.default_rng(0)
    signs = np.stack([np.arange(n + m)] + [rng.permutation(n + m) for _ in range(PERMUTATIONS)]) < n
    first = signs.astype(np.float64)
    second = 1 - first
    within = ((first @ kernel) * first).sum(1) / (n * (n - 1)) + ((second @ kernel) * second).sum(1) / (m * (m - 1))
    values = within - 2 * ((first @ kernel) * second).sum(1) / (n * m)
    return float(values[0]), float((values >= values[0]).mean())


def measured(garments: Garments, noise: float, labels: int, copied: float, count: int) -> Measured:
    """Spoil one set and compare it with the other.

    Args:
        garments: the models.
        noise: standard deviation of what is added to each pixel, of 255.
        labels: how many of the ten classes are left, 1 to 10: fewer kinds of pictures.
        copied: share that is replaced by pictures of the other set, 0 to 1: a model that has learnt by heart.
        count: pictures in either set, 40 to `MOST`.

    Raises:
        ValueError: a number out of range.
    """
    from demos.core.metrics import frechet_distance, overlap

    if not (0 <= noise <= 128 and 1 <= labels <= 10 and 0 <= copied <= 1 and 40 <= count <= MOST):
        raise ValueError("Noise lies in 0 to 128, classes in 1 to 10, copies in 0 to 1, pictures in 40 to 320.")
    real, made = _sets(garments)
    rng = np.random.default_rng(0)
    kept = np.flatnonzero(np.arange(len(made)) % 10 < labels)
    spoilt = made[kept[np.arange(count) % len(kept)]].astype(np.float32)
    spoilt[: round(copied * count)] = real[: round(copied * count)]
    spoilt = (spoilt + rng.normal(0, 1, spoilt.shape) * noise).round().clip(0, 255).astype(np.uint8)
    usual, unusual = _usual(garments)[:count], _features(garments, spoilt)
    lie = overlap(usual, unusual, NEIGHBOURS)
    mmd, p_value = _two_sample(usual, unusual)
    fid = frechet_distance(usual, unusual)
    return Measured(fid, lie.precision, lie.recall, lie.density, lie.coverage, mmd, p_value, spoilt)
