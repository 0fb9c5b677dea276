"""A small U-Net (Ronneberger et al. 2015, arXiv:1505.04597) for pictures, times and labels, and the velocity it gives.

Squares of 2 × 2 pixels become channels, so that it works at 14 × 14 and 7 × 7.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.families.score import FlowMatching
from demos.lab.garments.data import SIDE
from demos.lab.garments.layers import Block, Given, Labels, Norm, Times

__all__ = ["GarmentScore", "UNet"]


class UNet(nn.Module):
    """Pictures `(B, 1, H, W)`, times `(B,)` in [0, 1] and labels `(B,)` to pictures, at first black ones."""

    def __init__(self, widths: tuple[int, int], embedding: int) -> None:
        super().__init__()
        a, b = widths
        self.labels, self.time = Labels(embedding), Times(embedding)
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, a, 3, padding=1))
        self.down = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.fine = nn.ModuleList([Block(a, a, embedding), Block(a, a, embedding)])
        self.coarse = nn.ModuleList([Block(b, b, embedding), Block(b, b, embedding), Block(b, a, embedding)])
        self.again = nn.ModuleList([Block(2 * a, a, embedding), Block(2 * a, a, embedding)])
        last = nn.Conv2d(a, 4, 3, padding=1)
        self.last = nn.Sequential(Norm(8, a), nn.SiLU(), last, nn.PixelShuffle(2))
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The answer, of the shape of `x`, float32."""
        emb = F.silu(self.time(t) + self.labels(label))
        h = self.stem(x)
        first = self.fine[0](h, emb)
        second = self.fine[1](first, emb)
        h = self.down(second)
        for block in self.coarse:
            h = block(h, emb)
        h = F.interpolate(h, scale_factor=2.0, mode="nearest")
        h = self.again[0](torch.cat([h, second], 1), emb)
        h = self.again[1](torch.cat([h, first], 1), emb)
        return self.last(h).float()


class GarmentScore(ModelMixin):
    """Velocity of x `(B, 1, 28, 28)` in [-1, 1] at time `(B,)`; `given(label)` is the family's model."""

    @register_to_config
    def __init__(
        self, widths: tuple[int, int] = (64, 128), embedding: int = 128, steps: int = 12, probes: int = 1
    ) -> None:
        super().__init__()
        self.solver_steps, self.directions = steps, probes
        self.unet = UNet(widths, embedding)

    def given(self, label: Tensor) -> FlowMatching:
        """The model for x `(B, 1, 28, 28)` in [-1, 1] of labels `(B,)`."""
        return FlowMatching(Given(self.unet, label), (1, SIDE, SIDE), self.solver_steps, self.directions)
