"""The first stage of the fast engine: the content rebuilt, from coarse to fine, from the bag of patches in a code.

It settles what large shapes become and where the colours go; what many patches agree on is smooth, and the painter
adds the strokes. It is the exact engine's search among a few thousand patches in a few rounds.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from demos.style.codes import LEVELS, StyleCode
from demos.style.colour import recolour
from demos.style.exact import resize
from demos.style.matching import Patches, rebuilt

__all__ = ["underpaint"]

SIDE, QUERIES = 9, 1024
FINE, WIDE = (4, 0.25), (7, 0.5)
"""Pixels between patches of one grid, and noise of the search; the second where a picture is larger than any level."""
ROUNDS, KEEP = 2, 1.0
SMALLEST = 16


def underpaint(content: Tensor, code: StyleCode, strength: float = 1.0, whole: int | None = None) -> Tensor:
    """`content` `(1, 3, H, W)` in [-1, 1] on its way to patches of `code`, as far as `strength` in [0, 1] says.

    Args:
        whole: short side in pixels of the picture of which `content` is a window.
    """
    short = whole or min(content.shape[2:])
    halvings = max(0, round(math.log2(short / LEVELS[0])))
    patches = functools.cache(lambda level: _patches(code.patches[level]))
    x = content
    for i in range(halvings, -1, -1):
        size = [max(SMALLEST, round(side / 2**i)) for side in content.shape[2:]]
        base = recolour(resize(content, size), code.colours, content.new_tensor([strength]))
        x = base if i == halvings else resize(x, size)
        style = patches(min(len(LEVELS) - 1, halvings - i))
        stride, noise = FINE if short / 2**i <= 1.25 * LEVELS[-1] else WIDE
        for n in range(ROUNDS if i else 1):
            x = rebuilt(x, style, n, stride, noise, quincunx=True)
            if i:
                x = recolour((x + KEEP * base) / (1 + KEEP), code.colours, content.new_ones(1))
        x = torch.lerp(base, x, strength)
    return resize(x, content.shape[2:]).clamp(-1, 1)


def _patches(bag: Tensor) -> Patches:
    """All patches of 9 pixels within those of one level, `(N, 3, 11, 11)` uint8."""
    pixels = F.unfold(bag.float() / 127.5 - 1, SIDE).transpose(1, 2).flatten(0, 1)
    return Patches(pixels, SIDE, QUERIES)
