"""Every patch of a picture replaced by the one of a style that it resembles most.

The scaled distance is that of GPNN (Granot et al. 2022, arXiv:2103.15545): d(q, k) / (alpha + min over q' of d(q', k)).
A patch of the style that something is near to already becomes less attractive, else a few plain ones would serve for
everything. Distances are taken in the space of the patches' largest principal components.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Patches", "rebuilt"]

ALPHA, POWER = 0.05, 0.8
VARIANCE = 0.95


class Patches:
    """Patches `(M, 3 side²)` of a style, among which the nearest are looked for.

    Args:
        pixels: the patches, in [-1, 1].
        side: of a patch.
        queries: how many patches of a picture say which patches of the style are popular.
    """

    def __init__(self, pixels: Tensor, side: int, queries: int) -> None:
        self.pixels, self.side, self.queries = pixels, side, queries
        values, vectors = torch.linalg.eigh(torch.cov(pixels.T))
        kept = int((values.flip(0).cumsum(0) < VARIANCE * values.sum()).sum()) + 1
        self.mean, self.basis, self.spread = pixels.mean(0), vectors[:, -kept:], values[-kept:].sum()
        self.keys = (pixels - self.mean) @ self.basis

    def nearest(self, query: Tensor, seed: int, noise: float = 0.0) -> Tensor:
        """The patch `(N, D)` of the smallest scaled distance to each `query` `(N, D)` with `noise` in every component.

        Where a picture is flat, neighbours then find different patches, not the same one again and again. With the
        factor of each key folded in, a matrix product gives all scaled distances at once.
        """
        draw = torch.Generator().manual_seed(seed)
        query = (query - self.mean) @ self.basis
        if noise:
            query = query + noise * torch.randn(query.shape, generator=draw).to(query)
        size, own = self.keys.square().sum(1), query.square().sum(1)
        some = torch.randperm(len(query), generator=draw)[: self.queries]
        closest = torch.full_like(size, math.inf)
        for part in some.to(query.device).split(1024):
            distance = (query[part] @ self.keys.T).mul_(-2).add_(own[part, None])
            closest = torch.minimum(closest, distance.amin(0) + size)
        factor = 1 / (closest.clamp_min(0) + ALPHA * self.spread + 1e-6)
        folded = torch.cat([-2 * self.keys, torch.ones_like(size)[:, None], size[:, None]], 1) * factor[:, None]
        query = torch.cat([query, own[:, None], torch.ones_like(own)[:, None]], 1)
        return self.pixels[torch.cat([(part @ folded.T).argmin(1) for part in query.split(1024)])]


def rebuilt(x: Tensor, style: Patches, seed: int, stride: int, noise: float = 0.0, quincunx: bool = False) -> Tensor:
    """`x` `(1, 3, H, W)` with its patches, `stride` pixels apart, replaced; overlaps are averaged.

    Args:
        noise: of the search, see `Patches.nearest`.
        quincunx: a second grid of patches lies in the gaps of the first, and patches count less towards their edges.
            Where one patch serves for a whole area, rows and columns of a single grid would show.
    """
    side, (height, width) = style.side, x.shape[2:]
    mode = "reflect" if min(height, width) > side + stride else "replicate"
    padded = F.pad(x, (side, side + stride, side, side + stride), mode=mode)
    offsets = (0, stride // 2) if quincunx else (0,)
    patches = [F.unfold(padded[:, :, i:, i:], side, stride=stride)[0].T for i in offsets]
    found = style.nearest(torch.cat(patches), seed, noise).split([len(grid) for grid in patches])
    ramp = 0.5 - ((torch.arange(side, device=x.device) + 0.5) / side - 0.5).abs() if quincunx else x.new_ones(side)
    planes = x.new_zeros(1, 4, *padded.shape[2:])
    for i, old, new in zip(offsets, patches, found, strict=True):
        weight = ((old - new).square().sum(1, keepdim=True) + 1e-2) ** ((POWER - 2) / 2)
        weight = weight * (ramp[:, None] * ramp).flatten()
        both = torch.cat([new * weight.repeat(1, 3), weight], 1)
        here = planes[:, :, i:, i:]
        here += F.fold(both.T[None], here.shape[2:], side, stride=stride)
    mean = planes[:, :3] / planes[:, 3:].clamp_min(1e-6)
    return mean[:, :, side : side + height, side : side + width]
