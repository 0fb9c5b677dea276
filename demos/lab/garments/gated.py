"""A gated PixelCNN that looks at blocks of two by two pixels: a quarter of the places, each with four answers.

Two stacks of convolutions pass over the blocks (gated PixelCNN, van den Oord et al. 2016, arXiv:1606.05328): one sees
the rows above, the other what lies to the left in the same row and what the first one found, so that no earlier block
is hidden; each answer is tanh(a) times the sigmoid of b. Inside a block the pixels come upper left, upper right, lower
left, lower right, and a masked layer tells each of those before it. The chain rule holds for this order as for any
other, so the likelihood is exact.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.families.autoregressive import Autoregressive
from demos.lab.garments.data import SIDE
from demos.lab.garments.repeats import Repeats

__all__ = ["Brightness", "GatedPixelCNN", "gate", "in_blocks", "out_of_blocks"]

BLOCK = 4


def in_blocks(x: Tensor) -> Tensor:
    """Pictures `(B, 1, H, W)` as values `(B, H W)`, block after block."""
    b, _, h, w = x.shape
    return x.view(b, h // 2, 2, w // 2, 2).permute(0, 1, 3, 2, 4).reshape(b, h * w)


def out_of_blocks(values: Tensor, side: int = SIDE) -> Tensor:
    """Back to pictures `(B, 1, side, side)`."""
    grid = values.view(len(values), side // 2, side // 2, 2, 2)
    return grid.permute(0, 1, 3, 2, 4).reshape(len(values), 1, side, side)


def gate(x: Tensor) -> Tensor:
    """Maps `(B, 2 C, H, W)` to `(B, C, H, W)`: tanh(a) sigmoid(2 b), by one hyperbolic tangent."""
    a, b = x.tanh().chunk(2, 1)
    return a * (0.5 + 0.5 * b)


class Brightness(nn.Embedding):
    """What a network sees of a value 0 to `values` - 1, `(..., features)`: at first brightness, blackness and waves."""

    def __init__(self, values: int, features: int = 8) -> None:
        super().__init__(values, features)
        x = torch.linspace(-1, 1, values)
        waves = [(math.pi * (k + 1) * x / 2).sin() for k in range(features - 2)]
        with torch.no_grad():
            self.weight.copy_(torch.stack([x, (x <= -1).to(x), *waves], 1))


class _Layer(nn.Module):
    """One step of both stacks; a first layer does not see its own place."""

    def __init__(self, channels: int, width: int, first: bool, dropout: float) -> None:
        super().__init__()
        self.first = first
        self.above = nn.Conv2d(channels, 2 * width, (2, 5))
        self.left = nn.Conv2d(channels, 2 * width, (1, 3))
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.mix = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(width, width, 1))

    def forward(self, above: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        height, width = above.shape[2:]
        upper = self.above(F.pad(above, (2, 2, 1 + self.first, 0)))[:, :, :height]
        row = self.left(F.pad(left, (2 + self.first, 0, 0, 0)))[..., :width]
        seen, told = gate(upper), self.mix(gate(row + self.down(upper)))
        return (seen, told) if self.first else (above + seen, left + told)


class _Answer(nn.Module):
    """Features `(..., inner)` to logits, by way of one more layer."""

    def __init__(self, inner: int, values: int) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(inner, inner), nn.Linear(inner, values)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + F.gelu(self.hidden(x)))


class GatedPixelCNN(ModelMixin):
    """Values `(B, side²)` int64 in the order of `in_blocks` to logits `(B, side², values)`, each blind to its own.

    `side` is even; `deep` adds a layer before the logits, `repeats` (0 for none) is the width of `Repeats` after them;
    `family()` is the family's model.
    """

    @register_to_config
    def __init__(
        self, values: int = 2, width: int = 48, depth: int = 7, inner: int = 64, side: int = SIDE,
        dropout: float = 0.0, deep: bool = False, repeats: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.side, self.cells = side, side // 2
        self.look = Brightness(values)
        features = BLOCK * self.look.embedding_dim
        self.stem = _Layer(features + 1, width, True, 0.0)
        self.place = nn.Parameter(torch.zeros(2, width, self.cells, self.cells))
        self.layers: Any = nn.ModuleList([_Layer(width, width, False, dropout) for _ in range(depth)])
        self.context = nn.Conv2d(width, BLOCK * inner, 1)
        self.inside = nn.Linear(features, BLOCK * inner, bias=False)
        earlier = torch.ones(BLOCK, BLOCK).tril(-1)
        mask = earlier.repeat_interleave(inner, 0).repeat_interleave(self.look.embedding_dim, 1)
        self.register_buffer("mask", mask, persistent=False)
        self.last = nn.ModuleList([(_Answer if deep else nn.Linear)(inner, values) for _ in range(BLOCK)])
        order = in_blocks(torch.arange(side**2).view(1, 1, side, side))[0]
        self.pointer = Repeats(order, side, inner, repeats, values) if repeats else None

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        seen = self.look(x).view(len(x), self.cells, self.cells, -1)
        maps = F.pad(seen, (0, 1), value=1.0).permute(0, 3, 1, 2)
        above, left = self.stem(maps, maps)
        above, left = above + self.place[0], left + self.place[1]
        for layer in self.layers:
            above, left = layer(above, left)
        told = self.context(F.gelu(left)).permute(0, 2, 3, 1) + F.linear(seen, self.inside.weight * self.mask)
        features = F.gelu(told).unflatten(-1, (BLOCK, -1))
        parts = zip(self.last, features.unbind(-2), strict=True)
        logits = torch.stack([last(part) for last, part in parts], -2).flatten(1, 3)
        return self.pointer(features.flatten(1, 3), x, logits) if self.pointer else logits

    def matrices(self) -> list[nn.Parameter]:
        """The weights between hidden features, for `demos.core.muon`."""
        hidden = [*self.layers.parameters(), self.context.weight, self.inside.weight]
        return [weight for weight in hidden if weight.ndim > 1] + (self.pointer.matrices() if self.pointer else [])

    def family(self) -> Autoregressive:
        """The model of values `(B, side²)`."""
        return Autoregressive(self, self.side**2)
