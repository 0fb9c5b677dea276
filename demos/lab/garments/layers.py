"""Building blocks that the families' networks for pictures of garments share."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.lab.garments.data import NO_LABEL

__all__ = ["Block", "Given", "Labels", "Norm", "Times"]


class Given(nn.Module):
    """A network told what it is to be conditioned on: p(x | label) is p(x) under such a network.

    Args:
        network: called with what this module is called with, then the label.
        label: `(B,)` int64 in 0 to 10, 10 for no label; repeated for inputs of several times as many rows.
    """

    def __init__(self, network: nn.Module, label: Tensor) -> None:
        super().__init__()
        self.network, self.label = network, label

    def forward(self, *inputs: Any) -> Any:
        """The network's answer under the label."""
        return self.network(*inputs, self.label.repeat(len(inputs[0]) // len(self.label)))

    def inverse(self, *inputs: Any) -> Any:
        """The inverse of an invertible network under the label."""
        return cast(Any, self.network).inverse(*inputs, self.label)

    def session(self, n: int) -> Any:
        """The memory with which an autoregressive network draws `n` pictures under the label."""
        return cast(Any, self.network).session(n, self.label)


class Labels(nn.Embedding):
    """Embeddings `(B, width)` of labels, one of them for "no label"."""

    def __init__(self, width: int) -> None:
        super().__init__(NO_LABEL + 1, width)


class Times(nn.Module):
    """Embeddings `(B, width)` of times `(B,)` in [0, 1], from sines and cosines of 0.25 to 64 turns."""

    rates: Tensor

    def __init__(self, width: int, waves: int = 32) -> None:
        super().__init__()
        rates = 2 * math.pi * torch.logspace(-2, 6, waves, base=2.0)
        self.register_buffer("rates", rates, persistent=False)
        self.body = nn.Sequential(nn.Linear(2 * waves, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """The embeddings."""
        angle = t[:, None] * self.rates
        return self.body(torch.cat([angle.sin(), angle.cos()], 1))


class Norm(nn.GroupNorm):
    """Group normalisation in float32: on a CPU several times as fast as in bfloat16 where groups are a few channels."""

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.GroupNorm`, of the input's type."""
        return F.group_norm(input.float(), self.num_groups, self.weight, self.bias, self.eps).to(input.dtype)


class Block(nn.Module):
    """Residual block (B, C, H, W) whose second norm is scaled and shifted by an embedding `(B, E)` (AdaGN)."""

    def __init__(self, channels: int, out: int, embedding: int, groups: int = 8) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(groups, channels), Norm(groups, out)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * out)
        self.skip = nn.Conv2d(channels, out, 1) if out != channels else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """The block's sum, `(B, out, H, W)`."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, 1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))
