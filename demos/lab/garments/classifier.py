"""A small classifier of garments: p(y | x), and the features on which sets of pictures are compared.

A residual network in the manner of He et al. 2016 (arXiv:1603.05027) that stays frozen once trained. FID, precision,
recall, density and coverage work on its 128 features before the last layer: figures compare with each other, not with
those of an Inception network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config

__all__ = ["GarmentClassifier"]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class GarmentClassifier(ModelMixin):
    """Pictures `(B, 1, 28, 28)` in [-1, 1] to logits `(B, classes)`."""

    @register_to_config
    def __init__(self, widths: tuple[int, int] = (48, 96), features: int = 128, classes: int = 10) -> None:
        super().__init__()
        a, b = widths
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, a, 3, padding=1),
            _Residual(a),
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            _Residual(b),
            nn.GroupNorm(8, b),
            nn.ReLU(),
        )
        self.project = nn.Linear(2 * b, features)
        self.drop = nn.Dropout(0.2)
        self.classify = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """Features `(B, features)`, before their activation."""
        h = self.trunk(x)
        return self.project(torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, classes)`."""
        return self.classify(self.drop(F.silu(self.features(x))))
