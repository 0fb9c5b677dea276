"""The networks of the Anomaly tab: an encoder with a localiser of defects, and a velocity field of normal tiles.

Both are fully convolutional. A mask tells pictures from padding; it multiplies every layer, so that padding to a common
size changes nothing within a picture: its border always looks the way zero padding does.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config

__all__ = ["CODE", "STRIDE", "Inspector", "TileField", "enlarge", "position_code"]

STRIDE = 16
CODE = 8


def position_code(mask: Tensor) -> Tensor:
    """Where every position lies within its picture: `(B, 1, H, W)` of ones from the top left on to `(B, CODE, H, W)`.

    cos(pi k u) for k = 1, 2 of both relative coordinates, and exp(-d / 3) of the distances d to the four borders.
    """
    height, width = mask[:, 0].amax(2).sum(1), mask[:, 0].amax(1).sum(1)
    codes = []
    for size, axis in ((height, 2), (width, 3)):
        shape = [1, 1, 1, 1]
        shape[axis] = mask.shape[axis]
        at = torch.arange(mask.shape[axis], device=mask.device, dtype=torch.float32).view(shape) + 0.5
        last = size.float().view(-1, 1, 1, 1).clamp_min(1)
        u = (at / last).clamp(0, 1)
        near, far = torch.exp(-at.expand_as(u) / 3), torch.exp(-(last - at).clamp_min(0) / 3)
        codes += [torch.cos(math.pi * u), torch.cos(2 * math.pi * u), near, far]
    return torch.cat([c.expand(-1, -1, *mask.shape[2:]) for c in codes], 1) * mask


class Residual(nn.Module):
    """Residual block with batch norm, multiplied by the mask; begins as identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(F.relu(x)))) * mask
        return x + self.norm2(self.conv2(h)) * mask


class Inspector(ModelMixin):
    """U-Net on pictures `(B, 3, H, W)` in [-1, 1] of sides that are multiples of 16, grey ones repeated three times.

    `pyramid` is the encoder, whose features the densities model; `localise` gives a logit of "here is a defect" for
    every second pixel. Pictures are padded at the right and the bottom; `mask` `(B, 1, H, W)` is 1 inside them.
    """

    @register_to_config
    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 96, 160), depth: int = 2) -> None:
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Conv2d(24, a, 3, padding=1)
        self.stages = nn.ModuleList()
        self.downs = nn.ModuleList()
        for i, width in enumerate(widths):
            self.stages.append(nn.ModuleList([Residual(width) for _ in range(depth if i else 1)]))
            if i < 3:
                self.downs.append(nn.Conv2d(width, widths[i + 1], 3, stride=2, padding=1))
        self.whole = nn.Linear(d, d)
        self.ups = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)])
        self.refine = nn.ModuleList([Residual(c), Residual(b), Residual(a)])
        self.head = nn.Conv2d(a, 1, 1)
        nn.init.constant_(cast(Tensor, self.head.bias), -3.0)

    def pyramid(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8 and 16, `(B, widths[i], H / 2^(i+1), W / 2^(i+1))`; zero in the padding."""
        h = F.pixel_unshuffle(torch.cat([x * mask, local_contrast(x, mask), mask], 1), 2)
        masks = _masks(mask)
        h, features = self.stem(h) * masks[0], []
        for i, stage in enumerate(self.stages):
            for block in stage:  # pyright: ignore[reportGeneralTypeIssues]
                h = block(h, masks[i])
            features.append(h)
            if i < 3:
                h = self.downs[i](F.relu(h)) * masks[i + 1]
        return features

    def localise(self, features: list[Tensor], mask: Tensor) -> Tensor:
        """Logits `(B, 1, H / 2, W / 2)` from what `pyramid` gave; they mean nothing in the padding."""
        masks = _masks(mask)
        h = features[3]
        mean = h.sum((2, 3)) / masks[3].sum((2, 3)).clamp_min(1)
        h = F.relu(h + self.whole(mean)[:, :, None, None]) * masks[3]
        for i, (up, refine) in enumerate(zip(self.ups, self.refine, strict=True)):
            h = enlarge(up(h), masks[3 - i]) + features[2 - i]
            h = refine(h * masks[2 - i], masks[2 - i])
        return self.head(F.relu(h))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Logits of a defect, `(B, 1, H / 2, W / 2)`."""
        return self.localise(self.pyramid(x, mask), mask)


def local_contrast(x: Tensor, mask: Tensor) -> Tensor:
    """Grey minus its mean over 7 and over 31 pixels, in units of the deviation around: `(B, 2, H, W)` in [-5, 5].

    What stands out from the grain does so by its contrast; without it the first hundreds of steps are spent on finding
    that out. Means are taken within the picture only.
    """

    def mean(y: Tensor, side: int) -> Tensor:
        for kernel in ((side, 1), (1, side)):
            y = F.avg_pool2d(y, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
        return y

    grey, near, far = x.mean(1, keepdim=True).float() * mask, mean(mask, 7), mean(mask, 31)
    fine, coarse = mean(grey, 7) / near.clamp_min(1e-3), mean(grey, 31) / far.clamp_min(1e-3)
    spread = (mean((grey - coarse).square() * mask, 31) / far.clamp_min(1e-3)).sqrt() + 0.03
    return (torch.cat([grey - fine, grey - coarse], 1) / spread).clamp(-5, 5) * mask


def enlarge(x: Tensor, mask: Tensor) -> Tensor:
    """Twice the side, bilinear between positions where `mask` is 1; a picture's border takes nothing from beyond."""
    large, weight = (F.interpolate(m, scale_factor=2.0, mode="bilinear") for m in (x * mask, mask))
    return large / weight.clamp_min(0.1)


def _masks(mask: Tensor) -> list[Tensor]:
    """The mask at strides 2, 4, 8, 16: a position counts if any of its pixels does."""
    masks = []
    for _ in range(4):
        mask = F.max_pool2d(mask, 2)
        masks.append(mask)
    return masks


class Modulated(nn.Module):
    """Residual block whose second norm is scaled and shifted by the embedding of the time (AdaGN)."""

    def __init__(self, channels: int, out: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * out)
        self.norm2 = nn.GroupNorm(8, out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(emb)[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))


class TileField(ModelMixin):
    """Velocity of the straight path from normal tiles to noise, on grey pictures `(B, 1, H, W)` in [-1, 1].

    Sides are multiples of 16. It works on patches of 4 × 4 pixels and predicts the clean picture, which lies near a
    low-dimensional set where noise and velocity don't (Li and He 2025, arXiv:2511.13720); the velocity follows from it.
    """

    @register_to_config
    def __init__(self, widths: tuple[int, int, int] = (48, 96, 160), embedding: int = 192, heads: int = 5) -> None:
        super().__init__()
        a, b, c = widths
        self.heads = heads
        self.stem = nn.Conv2d(16 + CODE, a, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.first = Modulated(a, a, embedding)
        self.down1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.in2 = nn.ModuleList([Modulated(b, b, embedding) for _ in range(2)])
        self.down2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([Modulated(c, c, embedding) for _ in range(2)])
        self.norm = nn.GroupNorm(8, c)
        self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.up2 = nn.Conv2d(c, b, 3, padding=1)
        self.out2 = nn.ModuleList([Modulated(2 * b, b, embedding), Modulated(b, b, embedding)])
        self.up1 = nn.Conv2d(b, a, 3, padding=1)
        self.last = Modulated(2 * a, a, embedding)
        head = nn.Conv2d(a, 16, 3, padding=1)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(self.out.weight)
        self.head = nn.Sequential(nn.GroupNorm(8, a), nn.SiLU(), head)

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        b, c, h, w = x.shape
        tokens = self.qkv(self.norm(x).flatten(2).transpose(1, 2))
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in tokens.chunk(3, -1))
        score = q @ k.transpose(2, 3) * (c // self.heads) ** -0.5
        score = score.masked_fill(mask.flatten(2)[:, :, None] == 0, -1e4)
        y = score.softmax(-1).to(v.dtype) @ v
        return x + self.out(y.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(2, (h, w))

    def clean(self, x: Tensor, t: Tensor, mask: Tensor, code: Tensor | None = None) -> Tensor:
        """Estimate E[x_0 | x_t] `(B, 1, H, W)` of noisy pictures at the times `t` `(B,)`; zero in the padding.

        `code` `(B, CODE, H / 4, W / 4)` says where a window lies in its picture; None for whole pictures.
        """
        angle = t.float()[:, None] * torch.exp(torch.linspace(0, 5, 32, device=t.device)) * math.pi
        emb = self.time(torch.cat([angle.cos(), angle.sin()], 1))
        small = F.max_pool2d(mask, 4)
        h0 = self.stem(torch.cat([F.pixel_unshuffle(x * mask, 4), position_code(small) if code is None else code], 1))
        h1 = self.first(h0, emb) * small
        h2 = self.down1(h1)
        for block in self.in2:
            h2 = block(h2, emb)
        h = self.down2(h2)
        h = self._attend(self.middle[0](h, emb), F.max_pool2d(mask, 16))
        h = self.middle[1](h, emb)
        h = self.up2(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        h = self.out2[1](self.out2[0](torch.cat([h, h2], 1), emb), emb)
        h = self.up1(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        h = self.last(torch.cat([h, h1], 1), emb)
        return F.pixel_shuffle(self.head(h), 4).float() * mask

    def forward(self, x: Tensor, t: Tensor, mask: Tensor, code: Tensor | None = None) -> Tensor:
        """Velocity (x_t - x_0) / t at `x` `(B, 1, H, W)`; times below 0.05 count as 0.05 in the division."""
        return (x - self.clean(x, t, mask, code)) / t.clamp_min(0.05).view(-1, 1, 1, 1)
