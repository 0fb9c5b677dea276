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
        noise: what is added to a patch that is looked for, in every component; where a picture is flat, neighbours
            then find different patches, not the same one again and again.
    """

    def __init__(self, pixels: Tensor, side: int, queries: int, noise: float = 0.0) -> None:
        self.pixels, self.side, self.queries, self.noise = pixels, side, queries, noise
        values, vectors = torch.linalg.eigh(torch.cov(pixels.T))
        kept = int((values.flip(0).cumsum(0) < VARIANCE * values.sum()).sum()) + 1
        self.mean, self.basis, self.spread = pixels.mean(0), vectors[:, -kept:], values[-kept:].sum()
        self.keys = (pixels - self.mean) @ self.basis

    def nearest(self, query: Tensor, seed: int) -> Tensor:
        """The patch `(N, D)` of the smallest scaled distance to each `query` `(N, D)`.

        With the factor of each key folded in, a matrix product gives all scaled distances at once.
        """
        draw = torch.Generator().manual_seed(seed)
        query = (query - self.mean) @ self.basis
        if self.noise:
            query = query + self.noise * torch.randn(query.shape, generator=draw).to(query)
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


def rebuilt(x: Tensor, style: Patches, seed: int, stride: int, taper: bool = False) -> Tensor:
    """`x` `(1, 3, H, W)` with its patches, `stride` pixels apart, replaced; overlaps are averaged.

    Args:
        taper: patches count less towards their edges, so that a wide stride shows no grid.
    """
    side, (height, width) = style.side, x.shape[2:]
    mode = "reflect" if min(height, width) > side + stride else "replicate"
    padded = F.pad(x, (side, side + stride, side, side + stride), mode=mode)
    patches = F.unfold(padded, side, stride=stride)[0].T
    found = style.nearest(patches, seed)
    weight = ((patches - found).square().sum(1, keepdim=True) + 1e-2) ** ((POWER - 2) / 2)
    ramp = 0.5 - ((torch.arange(side, device=x.device) + 0.5) / side - 0.5).abs() if taper else x.new_ones(side)
    weight = weight * (ramp[:, None] * ramp).flatten()
    both = torch.cat([found * weight.repeat(1, 3), weight], 1)
    planes = F.fold(both.T[None], padded.shape[2:], side, stride=stride)
    mean = planes[:, :3] / planes[:, 3:].clamp_min(1e-6)
    return mean[:, :, side : side + height, side : side + width]
