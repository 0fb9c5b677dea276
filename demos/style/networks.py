"""The networks of the fast engine: one turns a style into a code, the other repaints any content by a code.

The painter is given an underpainting, whose shapes and colours are right and whose detail is smooth, and adds strokes.
It normalises away the statistics of the features, channel by channel, and the code puts others in their place (AdaIN,
Huang and Belongie 2017, arXiv:1703.06868; as modulation of every block in StyleGAN, Karras et al. 2019,
arXiv:1812.04948, whose noise inputs are here as well: they are what strokes and grain are made of where the picture is
flat). Both are convolutional, so a picture of any size is repainted at once and no tile shows a seam.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.style.colour import MOMENTS, moments

__all__ = ["STRIDE", "Painter", "StyleEncoder"]

STRIDE = 8


class StyleEncoder(ModelMixin):
    """Features `(B, code)` of style pictures `(B, 3, H, W)` in [-1, 1], of about 128 pixels a side.

    The last nine numbers are the moments of the colours. The others, of mean 0 and deviation 1, come from means and
    deviations of features at five scales; the first are of single pixels and tell the palette. Features are not
    normalised, since what is normalised away is the style.
    """

    @register_to_config
    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 128, 192), code: int = 137) -> None:
        super().__init__()
        self.palette = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU())
        self.stem = nn.Conv2d(12, widths[0], 3, padding=1)
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)])
        self.head = nn.Sequential(nn.Linear(2 * (64 + sum(widths)), 384), nn.SiLU(), nn.Linear(384, code - MOMENTS))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, 3, H, W)` to `(B, code)`."""
        h = F.relu(self.stem(F.pixel_unshuffle(x, 2)))
        parts = [self.palette(x[:, :, ::3, ::3]), h]
        for down in self.downs:
            h = F.relu(down(h))
            parts.append(h)
        values = []
        for part in parts:
            mean, square = part.float().mean((2, 3)), part.float().square().mean((2, 3))
            values += [mean, ((square - mean**2).clamp_min(0) + 1e-5).sqrt()]
        code = self.head(torch.cat(values, 1)).float()
        return torch.cat([F.layer_norm(code, code.shape[1:]), moments(x)], 1)


class Modulation(nn.Module):
    """Instance norm with scale and shift from the code, noise of a strength from the code, and the non-linearity."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.amounts = nn.Linear(hidden, 3 * channels)
        nn.init.normal_(self.amounts.weight, std=0.05)
        nn.init.zeros_(self.amounts.bias)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        scale, shift, grain = self.amounts(style)[:, :, None, None].chunk(3, 1)
        return F.silu(F.instance_norm(x) * (1 + scale) + shift + 0.3 * grain * noise)


class Repaint(nn.Module):
    """Residual block of two modulated convolutions; begins as the identity."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.mod1, self.mod2 = Modulation(channels, hidden), Modulation(channels, hidden)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate")
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate")
        nn.init.normal_(self.conv2.weight, std=1e-3)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        return x + self.conv2(self.mod2(self.conv1(self.mod1(x, style, noise)), style, noise))


class Painter(ModelMixin):
    """Underpaintings `(B, 3, H, W)` in [-1, 1], of sides that are multiples of 8, and features `(B, code)` to pictures.

    Args:
        widths: channels at strides 2, 4 and 8.
        blocks: modulated blocks at these strides.
        code: length of a code's features.
        hidden: length of what modulates every block.
    """

    @register_to_config
    def __init__(
        self,
        widths: tuple[int, int, int] = (32, 64, 128),
        blocks: tuple[int, int, int] = (2, 2, 3),
        code: int = 137,
        hidden: int = 192,
    ) -> None:
        super().__init__()
        self.style = nn.Sequential(nn.Linear(code, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.stem = nn.Conv2d(12, widths[0], 3, padding=1, padding_mode="replicate")
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)])
        self.repaints = nn.ModuleList(
            [nn.ModuleList([Repaint(w, hidden) for _ in range(n)]) for w, n in zip(widths, blocks, strict=True)]
        )
        self.ups = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(widths)])
        self.last = Modulation(widths[0], hidden)
        self.head = nn.Conv2d(widths[0], 12, 3, padding=1, padding_mode="replicate")
        nn.init.normal_(self.head.weight, std=1e-3)

    def forward(self, x: Tensor, features: Tensor, generator: torch.Generator) -> Tensor:
        """`(B, 3, H, W)`, not clamped.

        Args:
            generator: draws the noise that strokes grow from.

        Raises:
            ValueError: a side is no multiple of 8.
        """
        if x.shape[2] % STRIDE or x.shape[3] % STRIDE:
            raise ValueError(f"Sides have to be multiples of {STRIDE}.")
        style = self.style(features)

        def noise(h: Tensor) -> Tensor:
            shape = (len(h), 1, *h.shape[2:])
            return torch.randn(shape, generator=generator, device=generator.device).to(h.device)

        h = self.stem(F.pixel_unshuffle(x, 2))
        kept = [h]
        for down in self.downs:
            h = down(F.silu(h))
            kept.append(h)
        for i in reversed(range(len(kept))):
            if i + 1 < len(kept):
                h = F.interpolate(self.ups[i](h), scale_factor=2.0, mode="nearest") + kept[i]
            for block in self.repaints[i]:  # pyright: ignore[reportGeneralTypeIssues]
                h = block(h, style, noise(h))
        return x + F.pixel_shuffle(self.head(self.last(h, style, noise(h))), 2).float()
