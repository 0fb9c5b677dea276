"""How far made points are from real ones, in the plane."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["mmd", "sliced_wasserstein"]


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = 32) -> float:
    """Sliced Wasserstein distance of order 1 between `(N, 2)` and `(M, 2)`, in units of the plane.

    The mean over evenly spaced directions of the mean distance between equal quantiles of the projections (Rabin et al.
    2012). It is not zero between two samples of one distribution: compare only figures from equally many points.
    """
    n = min(len(a), len(b))
    angle = torch.arange(directions) * (math.pi / directions)
    lines = torch.stack([angle.cos(), angle.sin()])
    one, two = ((x[:n] @ lines).sort(0).values for x in (a, b))
    return float((one - two).abs().mean())


def mmd(a: Tensor, b: Tensor, width: float = 0.5) -> float:
    """Maximum mean discrepancy between `(N, 2)` and `(M, 2)` under exp(-|x - y|² / (2 width²)) (Gretton et al. 2012).

    The square root of the unbiased estimate of its square, 0 where that is negative, NaN where a point is.
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (torch.cdist(x, y).square() / (-2 * width**2)).exp()

    n, m = len(a), len(b)
    within_a = (kernel(a, a).sum() - n) / (n * (n - 1))
    within_b = (kernel(b, b).sum() - m) / (m * (m - 1))
    square = float(within_a + within_b - 2 * kernel(a, b).mean())
    return square if math.isnan(square) else math.sqrt(max(0.0, square))
