"""A convolutional network in which a pixel's answer depends on the pixels before it only, row by row, left to right.

Masked convolutions in groups of 16 channels (PixelCNN, van den Oord et al. 2016, arXiv:1601.06759; groups, Xie et al.
2017, arXiv:1611.05431), each with a residual connection. A filter covers three rows above and three columns to each
side; of its own row it covers what lies to the left, and its own place, except in the first layer.
Drawing remembers what every layer saw: a new pixel costs one window a layer and not one picture.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.families.autoregressive import AutoregressivePicture
from demos.lab.garments.data import SIDE
from demos.lab.garments.layers import Given, Labels

__all__ = ["CausalNetwork", "Session"]

REACH = 3
WINDOW = (REACH + 1, 2 * REACH + 1)
GROUP = 16


class _Masked(nn.Conv2d):
    """A convolution of maps over `WINDOW`; with `own` it sees its own place too."""

    mask: Tensor

    def __init__(self, channels: int, out: int, groups: int, own: bool) -> None:
        super().__init__(channels, out, WINDOW, groups=groups)
        mask = torch.ones(WINDOW)
        mask[-1, REACH + own :] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Maps `(B, H, W, channels)` to `(B, H, W, out)`."""
        padded = F.pad(input, (0, 0, REACH, REACH, REACH, 0)).permute(0, 3, 1, 2)
        return F.conv2d(padded, self.weight * self.mask, self.bias, groups=self.groups).permute(0, 2, 3, 1)

    def kernel(self) -> Tensor:
        """The weights for `at`, `(groups, places × channels / groups, out / groups)`."""
        weight = (self.weight * self.mask).unflatten(0, (self.groups, -1))
        return weight.permute(0, 3, 4, 2, 1).flatten(1, 3)

    def at(self, window: Tensor, kernel: Tensor) -> Tensor:
        """The answer `(B, out)` of one place, from its window `(B, *WINDOW, C)`."""
        parts = window.unflatten(-1, (self.groups, -1)).movedim(-2, 0).flatten(2)  # (groups, B, places × C / groups)
        told = torch.bmm(parts, kernel).transpose(0, 1).flatten(1)
        return told if self.bias is None else told + self.bias


class _Layer(nn.Module):
    """What a place sees around it and what the label says, bent and mixed, to be added to what was there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = _Masked(width, width, width // GROUP, own=True)
        self.labels = Labels(width)
        self.mix = nn.Linear(width, width)
        for zero in (self.labels.weight, self.mix.weight, self.mix.bias):
            nn.init.zeros_(zero)

    def think(self, seen: Tensor, label: Tensor) -> Tensor:
        """`(B, ..., width)` of what was seen there."""
        told = self.labels(label).view(len(label), *[1] * (seen.ndim - 2), -1)
        return self.mix(F.gelu(seen + told))


class CausalNetwork(ModelMixin):
    """Pictures `(B, 1, 28, 28)` in [-1, 1] to mixtures of logistics `(B, 28, 28, 3 K)`, each blind to its own pixel.

    `given(label)` is the family's model of labels `(B,)`.
    """

    @register_to_config
    def __init__(self, width: int = 64, depth: int = 7, mixtures: int = 5, side: int = SIDE) -> None:
        super().__init__()
        self.side = side
        self.stem = _Masked(3, width, 1, own=False)
        self.place = nn.Parameter(torch.zeros(side, side, width))
        self.layers: Any = nn.ModuleList([_Layer(width) for _ in range(depth)])
        self.last = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 3 * mixtures))

    @staticmethod
    def look(x: Tensor) -> Tensor:
        """Of `(..., 1)` brightness, blackness and a one, `(..., 3)`: the one tells black from the picture's edge."""
        return torch.cat([x, (x <= -1).to(x), torch.ones_like(x)], -1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """The amounts, see `demos.core.logistic`."""
        h = self.stem(self.look(x.permute(0, 2, 3, 1))) + self.place
        for layer in self.layers:
            h = h + layer.think(layer.look(h), label)
        return self.last(h)

    def session(self, n: int, label: Tensor) -> Session:
        """A memory for drawing `n` pictures pixel by pixel."""
        return Session(self, n, label)

    def given(self, label: Tensor) -> AutoregressivePicture:
        """The model for brightnesses `(B, 1, 28, 28)` of labels `(B,)`."""
        return AutoregressivePicture(Given(self, label), (self.side, self.side))


class Session:
    """Pictures on their way: what each layer has seen so far."""

    def __init__(self, network: CausalNetwork, n: int, label: Tensor) -> None:
        self.network, self.label = network, label
        self.stem, self.kernels = network.stem.kernel(), [layer.look.kernel() for layer in network.layers]
        height, width = network.side + REACH, network.side + 2 * REACH
        self.picture = torch.zeros(n, height, width, 3, device=network.device)
        channels = network.place.shape[-1]
        self.maps = [torch.zeros(n, height, width, channels, device=network.device) for _ in network.layers]

    def amounts(self, row: int, column: int) -> Tensor:
        """What is said of the pixel at `row` and `column`, `(n, 3 mixtures)`; all before it must have been written."""
        window = (slice(None), slice(row, row + WINDOW[0]), slice(column, column + WINDOW[1]))
        h = self.network.stem.at(self.picture[window], self.stem) + self.network.place[row, column]
        for layer, seen, kernel in zip(self.network.layers, self.maps, self.kernels, strict=True):
            seen[:, row + REACH, column + REACH] = h
            h = h + layer.think(layer.look.at(seen[window], kernel), self.label)
        return self.network.last(h)

    def write(self, row: int, column: int, x: Tensor) -> None:
        """Let the pixel be `x` `(n,)` in [-1, 1]."""
        self.picture[:, row + REACH, column + REACH] = self.network.look(x[:, None])
