"""The exact engine: rebuild a picture from patches of the style, from coarse to fine. No network and no training.

Every patch x_p of the picture is drawn to the patch of the style nearest to it, and overlapping patches agree on their
pixels by weighted means; between two rounds the content is blended in. This lowers

    E(x) = sum_p |x_p - nearest(x_p)|^r + w |x - content|^2,    r = 0.8,

by iteratively reweighted least squares (texture optimisation, Kwatra et al. 2005; for style transfer Elad and Milanfar
2017, arXiv:1609.03057). Nearest is meant by the bidirectional similarity of GPNN (Granot et al. 2022,
arXiv:2103.15545): a patch of the style that is served already becomes less attractive, so that the patches are
distributed as the style's. A small picture settles the large shapes, a large one the strokes. Means blur a little; the
last steps therefore draw the sorted projections of all patches to those of the style, along random directions (GPDM,
Elnekave and Weiss 2022, arXiv:2203.00256).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from demos.style.colour import transfer
from demos.style.matching import Patches, rebuilt
from demos.style.patches import barycentre, directions, project, pyramid, sliced_distance

__all__ = ["KEEP", "Round", "plan", "rebuild", "resize"]

SIDES = (11, 7)
ROUNDS = 3
KEYS, QUERIES, SAMPLES = 8192, 4096, 8192
POLISH, STEP = 100, 0.02
KEEP = 0.5


@dataclass(frozen=True)
class Round:
    """One pass over the picture at `height` × `width` with patches of `side` pixels."""

    height: int
    width: int
    side: int


def plan(height: int, width: int, smallest: int = 64, rounds: int = ROUNDS) -> list[Round]:
    """Rounds for a picture of `height` × `width`, halved as long as the short side keeps `smallest` pixels."""
    halvings = max(0, round(math.log2(min(height, width) / smallest)))
    found = []
    for i in range(halvings, -1, -1):
        tall, wide = (max(max(SIDES) + 5, round(side / 2**i)) for side in (height, width))
        found += [Round(tall, wide, side) for side in SIDES for _ in range(rounds)]
    return found


def rebuild(
    content: Tensor,
    style: Tensor,
    seed: int = 0,
    *,
    keep: float = KEEP,
    rounds: list[Round] | None = None,
    polish: int = POLISH,
    start: tuple[int, Tensor] | None = None,
    on_step: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor:
    """`content` `(1, 3, H, W)` in [-1, 1] rebuilt from patches of `style` `(1, 3, h, w)`.

    Args:
        seed: chooses the patches that are looked at where there are many.
        keep: w, how much of the content is blended in after every round but the last.
        rounds: what `plan` gives, or fewer.
        polish: how many last steps.
        start: the number of steps done and the picture after them, to go on from there.
        on_step: called after each step (a round, or one of the last steps) with its number from 1, the number of steps
            and the picture; may raise to stop.
    """
    height, width = content.shape[2:]
    rounds = rounds or plan(height, width)
    base, total = transfer(content, style), len(rounds) + polish
    done, x = start or (0, resize(base, (rounds[0].height, rounds[0].width)))
    patches, goal, blend = None, style, base
    for i in range(done, total):
        if i < len(rounds):
            size, side = (rounds[i].height, rounds[i].width), rounds[i].side
            if patches is None or rounds[i] != rounds[i - 1]:
                goal = resize(style, [max(side + 5, round(n * size[0] / height)) for n in style.shape[2:]])
                patches = _patches(goal, side, seed + size[0] + side)
                blend = resize(base, size)
            x = rebuilt(resize(x, size), patches, seed + i, max(1, side // 3))
            if i + 1 < len(rounds):
                x = transfer((x + keep * blend) / (1 + keep), goal)
        else:
            x = _polish(x, style, STEP * (1 - (i - len(rounds)) / polish), seed + i)
        if on_step is not None:
            on_step(i + 1, total, x)
    return x.clamp(-1, 1)


def _polish(x: Tensor, style: Tensor, step: float, seed: int) -> Tensor:
    """A step of that root mean square down the gradient of the sliced distance."""
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        loss = x.new_zeros(())
        for made, goal in zip(pyramid(x, 3), pyramid(style, 3), strict=False):
            filters = directions(64, SIDES[-1], generator).to(x.device)
            values = project(made, filters, SAMPLES, generator)
            wanted = barycentre([project(goal, filters, SAMPLES, generator)], x.new_ones(1, 1), values.shape[-1])
            loss = loss + sliced_distance(values, wanted).mean()
        (slope,) = torch.autograd.grad(loss, x)
    return (x - step * slope / slope.square().mean().sqrt()).detach().clamp(-1, 1)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """`(B, C, H, W)` at another size, bicubic, in [-1, 1]."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bicubic", antialias=True).clamp(-1, 1)


def _patches(style: Tensor, side: int, seed: int) -> Patches:
    """Patches of `style` `(1, 3, H, W)`, at most `KEYS` of them."""
    height, width = style.shape[2:]
    count = (height - side + 1) * (width - side + 1)
    at = torch.arange(count)
    if count > KEYS:
        at = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:KEYS]
    row, column = at // (width - side + 1), at % (width - side + 1)
    step = torch.arange(side)
    down, right = (row[:, None] + step)[:, :, None], (column[:, None] + step)[:, None]
    return Patches(style[0][:, down.to(style.device), right.to(style.device)].transpose(0, 1).flatten(1), side, QUERIES)
