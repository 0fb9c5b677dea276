"""Exact values that a picture makes likely: those of pixels before, and those that its shrinking leaves.

A digit of MNIST was shrunk from a black and white one, so the greys of one picture come from few: where a pixel and the
one above it are both grey, they are equal in 9 of 100 cases, greys of two pictures in 0.5. Features of brightness are
smooth and can't say "this value again"; a pointer (Vinyals et al. 2015, arXiv:1506.03134) can. Here it adds to the
logits, so that pixels which agree with each other add up.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.lab.garments.shrinkage import Shrinkage

__all__ = ["NEIGHBOURS", "Repeats", "sources"]

NEIGHBOURS = (
    *((0, -x) for x in range(1, 11)),
    *((-y, x) for y in range(1, 4) for x in range(-3, 4)),
    *((-y, x) for y in range(4, 7) for x in range(-1, 2)),
    *((-y, 0) for y in range(7, 11)),
    *((1, -x) for x in range(1, 3)),
)
"""Where a value may come from, as rows down and columns to the right."""
NEAREST = (
    *((0, -x) for x in range(1, 5)),
    *((-y, 0) for y in range(1, 5)),
    *((-1, -1), (-1, 1), (-2, -1), (-2, 1), (-1, 2)),
)
"""Those that are compared with each other."""


def sources(order: Tensor, side: int) -> Tensor:
    """Where in the order each pixel's neighbours come, `(side², len(NEIGHBOURS))`; -1 if not before the pixel itself.

    Args:
        order: rows times `side` plus columns of the pixels, one after the other, `(side²,)`.
    """
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    rows, columns = order[:, None] // side, order[:, None] % side
    down, right = torch.tensor(NEIGHBOURS).T
    rows, columns = rows + down, columns + right
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    found = rank[(rows * side + columns).where(inside, 0)]
    return found.where(inside & (found < torch.arange(len(order))[:, None]), -1)


class Repeats(nn.Module):
    """Raises logits of values that came before, of those one below and one above them, and of what `Shrinkage` tells.

    A small network decides by how much, for each value, for each neighbour's and for all earlier pixels' by how many
    had it. It is told the pixel's features, which neighbours aren't black, how bright they are, how often their values
    came before, which of the nearest are equal, and the codes of row and column. At first it changes nothing.

    Args:
        order: see `sources`; two rows of pixels come before the next two.
        features: of each pixel.
        hidden: width of the network.
        code: see `Shrinkage`.
    """

    order: Tensor
    sources: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, order: Tensor, side: int, features: int, hidden: int, values: int = 256, code: int = 64) -> None:
        super().__init__()
        self.values, self.side, count = values, side, len(NEIGHBOURS)
        pairs = torch.combinations(torch.tensor([NEIGHBOURS.index(one) for one in NEAREST]))
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("sources", sources(order, side), persistent=False)
        self.register_buffer("first", pairs[:, 0], persistent=False)
        self.register_buffer("second", pairs[:, 1], persistent=False)
        self.shrinkage = Shrinkage(side, hidden, code, values)
        self.hidden = nn.Linear(features + 3 * count + len(pairs) + 2 * code, hidden)
        self.deeper = nn.Linear(hidden, hidden)
        self.likely = nn.Linear(hidden, values)
        self.gains = nn.Linear(hidden, 3 * (count + 1))
        for last in (self.likely, self.gains):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, features: Tensor, x: Tensor, logits: Tensor) -> Tensor:
        """Features `(B, N, features)`, values `(B, N)` and logits `(B, N, values)` to new logits."""
        one_hot = F.one_hot(x, self.values).to(logits)
        one_hot[..., 0] = 0
        often = (one_hot.cumsum(1) - one_hot).log1p()
        near = x[:, self.sources].where(self.sources >= 0, 0)
        grey = (near > 0).to(logits)
        equal = (near[..., self.first] == near[..., self.second]) & (near[..., self.first] > 0)
        pictures = torch.empty_like(x).index_copy_(1, self.order, x).unflatten(1, (self.side, -1))
        codes = self.shrinkage(pictures, often[:, :: 2 * self.side]).flatten(1, 2)[:, self.order]
        told = [features, grey, near / (self.values - 1), often.gather(-1, near) * grey, equal.to(logits), codes]
        hidden = F.gelu(self.hidden(torch.cat(told, -1)))
        hidden = hidden + F.gelu(self.deeper(hidden))
        logits = logits + self.likely(hidden)
        gains = self.gains(hidden).unflatten(-1, (3, -1))
        for by, gain in zip((-1, 0, 1), gains.unbind(-2), strict=True):
            logits = logits.scatter_add(-1, (near + by).clamp(0, self.values - 1), gain[..., :-1] * grey)
            logits = logits + gain[..., -1:] * F.pad(often, (by, -by))
        return logits

    def matrices(self) -> list[nn.Parameter]:
        """The weights between hidden features."""
        layers: Any = (self.hidden, self.deeper, self.shrinkage.look, self.shrinkage.summary)
        return [layer.weight for layer in layers]
