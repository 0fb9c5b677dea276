"""The garments' invertible network: two scales of mixing and coupling, as in RealNVP and Glow.

Every second pixel of every second row becomes a channel: 28 × 28 × 1 turns into 14 × 14 × 4. Ten steps mix the
channels and couple one half of them to the other by a convolutional network. Half of the channels then are noise; the
rest turns into 7 × 7 × 8 and goes through eight steps more. The last two couplings of a scale bend by splines besides:
half of all pixels are black, and the uniform noise that makes them real numbers is no Gaussian under any scaling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from demos.families.flow import Mixing, PictureFlow, spline
from demos.lab.garments.data import DIMENSIONS
from demos.lab.garments.layers import Given, Labels

__all__ = ["ConvCoupling", "GarmentFlow"]

OnStep = Callable[[int, int, Tensor], None]
EDGE = 4.0
STRETCH = 4.0


class ConvCoupling(nn.Module):
    """Coupling of maps `(B, H, W, C)`: one half scaled, shifted and, with `bins`, bent as the other half says.

    At first it is the identity.
    """

    def __init__(self, channels: int, width: int, bins: int = 0, clamp: float = 3.0) -> None:
        super().__init__()
        self.kept = channels - channels // 2
        self.moved, self.bins, self.clamp = channels // 2, bins, clamp
        self.labels = Labels(width)
        self.first = nn.Conv2d(self.kept, width, 3, padding=1)
        self.middle = nn.Conv2d(width, width, 1)
        self.last = nn.Conv2d(width, self.moved * (2 + (3 * bins - 1 if bins else 0)), 3, padding=1)
        for zero in (self.last.weight, self.last.bias, self.labels.weight):
            assert zero is not None
            nn.init.zeros_(zero)

    def _amounts(self, kept: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.first(kept.permute(0, 3, 1, 2)) + self.labels(label)[:, :, None, None]
        h = F.gelu(self.middle(F.gelu(h)))
        with torch.autocast(kept.device.type, enabled=False):
            told = self.last(h.to(kept.dtype)).permute(0, 2, 3, 1).unflatten(-1, (self.moved, -1))
        return self.clamp * torch.tanh(told[..., 0] / self.clamp), told[..., 1], told[..., 2:]

    def forward(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """What was coupled, and the log-determinant `(B,)`."""
        kept, moved = x.split([self.kept, self.moved], -1)
        scale, shift, bends = self._amounts(kept, label)
        total = scale
        moved = (moved + shift) * scale.exp()
        if self.bins:
            moved, log_slope = spline(moved, bends, EDGE)
            total = total + log_slope
        return torch.cat([kept, moved], -1), total.flatten(1).sum(1)

    def inverse(self, y: Tensor, label: Tensor) -> Tensor:
        """Back to what `forward` was given."""
        kept, moved = y.split([self.kept, self.moved], -1)
        scale, shift, bends = self._amounts(kept, label)
        if self.bins:
            moved, _ = spline(moved, bends, EDGE, inverse=True)
        return torch.cat([kept, moved * (-scale).exp() - shift], -1)


def _squeeze(x: Tensor) -> Tensor:
    """`(B, H, W, C)` to `(B, H/2, W/2, 4 C)`."""
    b, h, w, c = x.shape
    return x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4).reshape(b, h // 2, w // 2, 4 * c)


def _unsqueeze(x: Tensor) -> Tensor:
    b, h, w, c = x.shape
    return x.view(b, h, w, c // 4, 2, 2).permute(0, 1, 4, 2, 5, 3).reshape(b, 2 * h, 2 * w, c // 4)


class _Scale(nn.Module):
    def __init__(self, channels: int, steps: int, width: int, bins: int) -> None:
        super().__init__()
        self.mixings = nn.ModuleList([Mixing(channels) for _ in range(steps)])
        self.couplings = nn.ModuleList(
            [ConvCoupling(channels, width, bins if i >= steps - 2 else 0) for i in range(steps)]
        )

    def forward(self, h: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        total = h.new_zeros(len(h))
        for mixing, coupling in zip(self.mixings, self.couplings, strict=True):
            with torch.autocast(h.device.type, enabled=False):
                h, constant = mixing(h)
            h, part = coupling(h, label)
            total = total + part + constant * (h.shape[1] * h.shape[2])
        return h, total

    def inverse(self, h: Tensor, label: Tensor, seen: Callable[[Tensor], None]) -> Tensor:
        steps: Any = zip(reversed(self.mixings), reversed(self.couplings), strict=True)
        for mixing, coupling in steps:
            h = mixing.inverse(coupling.inverse(h, label))
            seen(h)
        return h


class GarmentFlow(ModelMixin, ConfigMixin):
    """Invertible between y `(B, 1, side, side)` in [0, 1) and noise `(B, side²)`; `given(label)` is the family's model.

    `side` is a multiple of 4.
    """

    @register_to_config
    def __init__(
        self, widths: tuple[int, int] = (96, 128), steps: tuple[int, int] = (10, 8), bins: int = 6, side: int = 28
    ) -> None:
        super().__init__()
        self.side = side
        self.fine = _Scale(4, steps[0], widths[0], bins)
        self.coarse = _Scale(8, steps[1], widths[1], bins)

    def forward(self, y: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Noise and log |det| `(B,)`."""
        h, fine = self.fine(_squeeze(STRETCH * y.permute(0, 2, 3, 1)), label)
        h, early = h.chunk(2, -1)
        h, coarse = self.coarse(_squeeze(h), label)
        z = torch.cat([early.flatten(1), h.flatten(1)], 1)
        return z, fine + coarse + self.side**2 * math.log(STRETCH)

    def inverse(self, z: Tensor, on_step: OnStep | None, label: Tensor) -> Tensor:
        """Noise to y; `on_step(i, n, y)` sees the maps on their way as pictures."""
        side = self.side
        early, h = z.chunk(2, 1)
        early, h = early.view(-1, side // 2, side // 2, 2), h.view(-1, side // 4, side // 4, 8)
        n, done = len(self.fine.mixings) + len(self.coarse.mixings), 0

        def seen(h: Tensor) -> None:
            nonlocal done
            done += 1
            if on_step is not None:
                whole = torch.cat([_unsqueeze(h), early], -1) if h.shape[1] == side // 4 else h
                on_step(done, n, _unsqueeze(whole).permute(0, 3, 1, 2) / STRETCH)

        h = _unsqueeze(self.coarse.inverse(h, label, seen))
        h = _unsqueeze(self.fine.inverse(torch.cat([h, early], -1), label, seen))
        return h.permute(0, 3, 1, 2) / STRETCH

    def given(self, label: Tensor) -> PictureFlow:
        """The model for y `(B, 1, 28, 28)` of labels `(B,)`."""
        return PictureFlow(Given(self, label), DIMENSIONS)
