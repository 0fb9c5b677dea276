"""Distributions of patches, compared along random directions.

A style is what the small patches of a picture have in common, at every scale. The sliced Wasserstein distance compares
two sets of patches by projecting both onto directions and matching the sorted projections (Rabin et al. 2011; patches
as in GPDM, Elnekave and Weiss 2022, arXiv:2203.00256). A direction over all k × k patches is one filter of a
convolution. Sorted projections can be averaged: the mean of those of several pictures with weights is the barycentre
along that direction, a target between styles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["barycentre", "directions", "order", "project", "pyramid", "resample", "sliced_distance"]


def directions(count: int, side: int, generator: torch.Generator, channels: int = 3) -> Tensor:
    """Random unit filters `(count, channels, side, side)`.

    The second half has mean 0 in every channel: these see strokes and grain, whatever the colour below.
    """
    w = torch.randn(count, channels, side, side, generator=generator)
    half = count // 2
    w[half:] -= w[half:].mean((2, 3), keepdim=True)
    return w / w.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """`x` `(B, C, H, W)` and its halves, quarters, ... by averaging; no more `levels` than keep 8 pixels a side."""
    out = [x]
    while len(out) < levels and min(out[-1].shape[2:]) >= 16:
        out.append(F.avg_pool2d(out[-1], 2))
    return out


def project(x: Tensor, filters: Tensor, count: int | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Projections `(B, K, N)` of the patches of `x` `(B, C, H, W)`: all, or `count` at random positions.

    Raises:
        ValueError: the picture is smaller than a patch.
    """
    if min(x.shape[2:]) < filters.shape[2]:
        raise ValueError(f"A picture of {x.shape[3]} × {x.shape[2]} pixels has no patch of {filters.shape[2]} pixels.")
    flat = F.conv2d(x, filters).flatten(2)
    if count is None or flat.shape[2] <= count:
        return flat
    at = torch.randint(flat.shape[2], (count,), generator=generator).to(flat.device)
    return flat[:, :, at]


def order(values: Tensor) -> Tensor:
    """Indices `(..., N)` that sort `values` `(..., N)` along the last dimension.

    On a CPU value and index are packed into one integer, which NumPy sorts several times faster than the pair.
    """
    if values.device.type != "cpu":
        return values.argsort(-1)
    bits = np.ascontiguousarray(values.detach().float().numpy()).view(np.int32)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    packed = (key.astype(np.int64) << 32) | np.arange(bits.shape[-1])
    packed.sort(-1)
    return torch.from_numpy(packed & 0xFFFFFFFF)


def ranked(values: Tensor) -> Tensor:
    """`values` `(..., N)` sorted; no gradient."""
    if values.device.type != "cpu":
        return values.detach().sort(-1)[0]
    return torch.from_numpy(np.sort(values.detach().float().numpy(), -1))


def resample(ranks: Tensor, count: int) -> Tensor:
    """`(B, K, N)` sorted values at `count` equally spaced quantiles."""
    if ranks.shape[-1] == count:
        return ranks
    return F.interpolate(ranks, count, mode="linear", align_corners=False)


def barycentre(parts: Sequence[Tensor], weights: Tensor, count: int) -> Tensor:
    """Sorted projections `(B, K, count)` between those of several pictures.

    Args:
        parts: unsorted projections `(B, K, N)` of each picture; N may differ.
        weights: `(B, len(parts))`, sums of 1.
    """
    columns = weights.T.reshape(len(parts), -1, 1, 1)
    return sum(w * resample(ranked(p), count) for w, p in zip(columns, parts, strict=True))  # pyright: ignore[reportReturnType]


def sliced_distance(values: Tensor, target: Tensor, floor: float = 0.05) -> Tensor:
    """Mean distance `(B,)` of projections `(B, K, N)` to the sorted `target` `(B, K, N)`, relative to its spread.

    Every direction counts the same, whether it sees the colours, which differ much, or the grain, which differs little.
    """
    spread = target.std(-1, keepdim=True) + floor
    return ((values.gather(-1, order(values)) - target).abs() / spread).mean((1, 2))
