"""Small networks for points in the plane; none knows its loss or its sampler.

All begin with weights drawn from an explicit generator, so that a seed decides a whole training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MADE", "Bounded", "Fourier", "TimeField", "dense", "mlp"]


def dense(inputs: int, outputs: int, generator: torch.Generator, gain: float = 1.0) -> nn.Linear:
    """A linear layer with normal weights of variance gain² / inputs, and small uniform biases."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs), generator=generator)
    nn.init.uniform_(layer.bias, -0.5, 0.5, generator=generator)
    return layer


def mlp(sizes: Sequence[int], generator: torch.Generator, last_gain: float = 1.0) -> nn.Sequential:
    """Linear layers of these sizes with SiLU between them; `last_gain` scales the last one's weights."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [dense(inputs, outputs, generator, math.sqrt(2)), nn.SiLU()]
    last = dense(sizes[-2], sizes[-1], generator, last_gain)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


class Fourier(nn.Module):
    """Points `(B, D)` beside sines and cosines of random projections, `(B, D + 2 F)`: small networks then see detail.

    Random Fourier features (Tancik et al. 2020, arXiv:2006.10739); `scale` is their standard deviation in radians per
    unit.
    """

    directions: Tensor

    def __init__(self, inputs: int, features: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("directions", scale * torch.randn(inputs, features, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """The point and its features."""
        angle = x @ self.directions
        return torch.cat([x, angle.sin(), angle.cos()], -1)


class Bounded(nn.Module):
    """Numbers squeezed softly into (-limit, limit): an energy then digs no well that its chains cannot find."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        """`limit` tanh(x / `limit`)."""
        return self.limit * torch.tanh(x / self.limit)


class TimeField(nn.Module):
    """A vector field that depends on time: x `(B, 2)` and t `(B,)` to `(B, 2)`."""

    directions: Tensor
    rates: Tensor

    def __init__(self, width: int, generator: torch.Generator, features: int = 16, scale: float = 2.0) -> None:
        super().__init__()
        self.register_buffer("directions", scale * torch.randn(2, features, generator=generator))
        self.register_buffer("rates", math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0]))
        self.body = mlp([2 + 2 * features + 8, width, width, width, 2], generator, 0.1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The velocity at `x` and `t`."""
        angle, turn = x @ self.directions, t[:, None] * self.rates
        return self.body(torch.cat([x, angle.sin(), angle.cos(), turn.sin(), turn.cos()], -1))


class _Masked(nn.Linear):
    """A linear layer some of whose weights are always zero."""

    mask: Tensor

    def __init__(self, mask: Tensor, generator: torch.Generator, gain: float) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        seen = mask.sum(1, keepdim=True).clamp_min(1)
        with torch.no_grad():
            self.weight.copy_(torch.randn(mask.shape, generator=generator) * gain / seen.sqrt())
            self.bias.uniform_(-0.5, 0.5, generator=generator)
        self.register_buffer("mask", mask.float())

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """`(B, D)` to `(B, D, K)`: what belongs to variable i depends on variables before it only (arXiv:1502.03509).

    Every unit has a degree; weights lead from a degree m to hidden degrees >= m and to outputs > m only. The first
    variable's answers are biases. Variables after the first are seen through sines and cosines too.

    Args:
        length: D.
        outputs: K.
        width: units in each of two hidden layers.
        generator: draws the weights.
        spread: the outputs' biases are drawn from [-spread, spread].
    """

    rates: Tensor

    def __init__(self, length: int, outputs: int, width: int, generator: torch.Generator, spread: float = 1.0) -> None:
        super().__init__()
        self.length, self.outputs = length, outputs
        self.register_buffer("rates", math.pi / 4 * torch.tensor([1.0, 2.0, 3.0, 5.0, 8.0]))
        given = torch.arange(1, length + 1).repeat_interleave(1 + 2 * len(self.rates))
        hidden = torch.arange(width) % max(1, length - 1) + 1
        last = torch.arange(1, length + 1).repeat_interleave(outputs)
        self.body = nn.Sequential(
            _Masked(hidden[:, None] >= given, generator, math.sqrt(2)),
            nn.SiLU(),
            _Masked(hidden[:, None] >= hidden, generator, math.sqrt(2)),
            nn.SiLU(),
            out := _Masked(last[:, None] > hidden, generator, 0.3),
        )
        nn.init.uniform_(out.bias, -spread, spread, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """The answers `(B, D, K)`."""
        angle = x[..., None] * self.rates
        seen = torch.cat([x[..., None], angle.sin(), angle.cos()], -1).flatten(1)
        return self.body(seen).unflatten(1, (self.length, self.outputs))
