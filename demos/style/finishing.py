"""The last stage of the fast engine: a few steps towards the Gram matrices of the patches in a code.

The painter knows a style by 137 numbers; the patches know more. Along new random filters at every step, at three
scales, the pixels move down the gradient of `gram_distance`, with momentum and steps of a given size. Five steps on
every second place are enough, and help most with styles that the painter has not seen.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from demos.style.codes import LEVELS, StyleCode
from demos.style.losses import gram_distance, rectifiers, responses
from demos.style.patches import pyramid

__all__ = ["finish"]

STEPS, STEP, MOMENTUM = 5, 0.045, 0.6
FILTERS, STRIDE = 40, 2
WEIGHTS = (1.0, 0.7, 0.7)


def finish(y: Tensor, code: StyleCode, generator: torch.Generator, steps: int = STEPS) -> Tensor:
    """`y` `(1, 3, H, W)` in [-1, 1] after `steps`, with new filters from `generator` at each.

    The first step moves pixels by `STEP` (root mean square), later ones by less.
    """
    bags = [bag.float().to(y.device) / 127.5 - 1 for bag in reversed(code.patches.unbind())]
    moved = torch.zeros_like(y)
    for k in range(steps):
        moved = MOMENTUM * moved + _slope(y, bags, generator)
        y = (y - STEP * (1 - 0.7 * k / steps) * moved / _size(moved)).clamp(-1, 1)
    return y


def _slope(y: Tensor, bags: list[Tensor], generator: torch.Generator) -> Tensor:
    """The gradient at `y`, that of every level of the same size before it is weighted.

    The first level is the one whose short side is about that of the style's; what is larger has its detail already.
    Where a picture is flat, a stride of two pixels leaves a pattern of that period, which (1, 2, 1) / 4 takes away.
    """
    with torch.enable_grad():
        halvings = max(0, round(math.log2(min(y.shape[2:]) / LEVELS[-1])))
        levels = [level.detach().requires_grad_() for level in pyramid(y, halvings + len(bags))[halvings:]]
        losses = [_distance(*pair, generator) for pair in zip(levels, bags, strict=False)]
        slopes = torch.autograd.grad(torch.stack(losses).sum(), levels)
    total, smooth = torch.zeros_like(y), y.new_tensor((0.25, 0.5, 0.25))
    for i, slope in enumerate(slopes):
        slope = F.conv2d(slope.transpose(0, 1), (smooth[:, None] * smooth)[None, None], padding=1).transpose(0, 1)
        large = F.interpolate(slope, scale_factor=2.0 ** (halvings + i), mode="nearest")
        below, right = y.shape[2] - large.shape[2], y.shape[3] - large.shape[3]
        total += WEIGHTS[i] / _size(slope) * F.pad(large, (0, right, 0, below))
    return total


def _distance(x: Tensor, bag: Tensor, generator: torch.Generator) -> Tensor:
    filters, bias = rectifiers(FILTERS, generator, x.device)
    top, left = torch.randint(STRIDE, (2,), generator=generator).tolist()
    goal = responses(bag, filters).flatten(0, 1)[None]
    return gram_distance(responses(x[:, :, top:, left:], filters, STRIDE), goal, bias).sum()


def _size(x: Tensor) -> Tensor:
    return x.square().mean().sqrt() + 1e-8
