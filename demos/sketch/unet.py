"""The velocity network of the Sketch tab: a small U-Net on latents that sees a drawing, words and a style.

It estimates v(x_t, t) = E[noise - data | x_t] of the straight path x_t = (1 - t) data + t noise (flow matching, Lipman
et al. 2023, arXiv:2210.02747). After distillation it also knows the length of the step it is asked for (shortcut
models, Frans et al. 2025, arXiv:2410.12557) and the guidance weights (Meng et al. 2023, arXiv:2210.03142), so that one
evaluation a step is enough; both inputs start at zero and leave the undistilled network as it was.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config

__all__ = ["SketchUNet"]


def sinusoid(x: Tensor, channels: int) -> Tensor:
    """Sinusoidal features of `x` `(B,)` in [0, 1] as `(B, channels)`."""
    frequency = 2 * math.pi * torch.exp(torch.linspace(math.log(0.25), math.log(128), channels // 2, device=x.device))
    angle = x.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], 1)


class Block(nn.Module):
    """Residual block whose second norm is scaled and shifted by the embedding (AdaGN)."""

    def __init__(self, channels: int, out: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(16, channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * out)
        self.norm2 = nn.GroupNorm(16, out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Conv2d(channels, out, 1) if out != channels else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(emb)[:, :, None, None].chunk(2, 1)
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    """Pixels attend to all pixels and to the words `(B, T, W)`; `mask` `(B, T)` is true for real words.

    Written out, because the backward pass of the fused kernel is several times slower on a CPU at this size.
    """

    def __init__(self, channels: int, word_channels: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(16, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.words = nn.Linear(word_channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).chunk(3, -1)
        word_k, word_v = self.words(words).chunk(2, -1)

        def split(a: Tensor) -> Tensor:
            return a.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        k, v = split(torch.cat([k, word_k], 1)), split(torch.cat([v, word_v], 1))
        seen = torch.cat([mask.new_ones(b, h * w), mask], 1)[:, None, None]
        score = split(q) @ k.transpose(2, 3) * (c // self.heads) ** -0.5
        y = score.masked_fill(~seen, -1e4).softmax(-1).to(v.dtype) @ v
        return x + self.out(y.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(2, (h, w))


class SketchUNet(ModelMixin):
    """U-Net on `(B, latent_channels, 16, 16)` latents; the arguments of the constructor are the shipped ones.

    `vocabulary` lists the words it knows; word `i` of the list has the index `i + 1`, and 0 is padding.
    `distilled` says that `step` and `guidance` mean something to it.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 8,
        widths: tuple[int, int] = (96, 192),
        embedding: int = 384,
        word_channels: int = 128,
        vocabulary: tuple[str, ...] = (),
        styles: int = 6,
        distilled: bool = False,
    ) -> None:
        super().__init__()
        a, b = widths
        self.index = {word: i + 1 for i, word in enumerate(vocabulary)}
        self.condition = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(80, 64, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(64, a, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(a, a, 3, padding=1),
        )
        self.stem = nn.Conv2d(latent_channels, a, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(128, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.style = nn.Linear(styles, embedding)
        self.word = nn.Embedding(len(vocabulary) + 1, word_channels, padding_idx=0)
        self.word_pool = nn.Linear(word_channels, embedding)
        self.step = nn.Linear(128, embedding)
        self.guidance = nn.Linear(4, embedding)
        self.down1 = nn.ModuleList([Block(a, a, embedding), Block(a, a, embedding)])
        self.down = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.down2 = nn.ModuleList([Block(b, b, embedding), Block(b, b, embedding)])
        self.middle = nn.ModuleList([Block(b, b, embedding), Block(b, b, embedding)])
        self.attention = nn.ModuleList([Attention(b, word_channels) for _ in range(3)])
        self.up2 = nn.ModuleList([Block(2 * b, b, embedding), Block(2 * b, b, embedding)])
        self.up = nn.Conv2d(b, a, 3, padding=1)
        self.up1 = nn.ModuleList([Block(2 * a, a, embedding), Block(2 * a, a, embedding)])
        last = nn.Conv2d(a, latent_channels, 3, padding=1)
        self.head = nn.Sequential(nn.GroupNorm(16, a), nn.SiLU(), last)
        nn.init.normal_(self.word.weight, std=0.5)
        for layer in (self.step, self.guidance):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(last.weight)

    def encode_condition(self, drawing: Tensor) -> Tensor:
        """Features of a drawing `(B, 5, 128, 128)` in [0, 1]; they serve all steps of a sampling run."""
        return self.condition(drawing)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        condition: Tensor,
        words: Tensor,
        style: Tensor,
        step: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """Velocity at `x` `(B, Z, 16, 16)`.

        Args:
            t: `(B,)` in [0, 1]; 1 is noise.
            condition: result of `encode_condition`.
            words: `(B, T)` indices into the vocabulary, 0 for padding.
            style: `(B, styles)` weights that sum to one.
            step: `(B,)` length of the step to be taken, 0 for the instantaneous velocity.
            guidance: `(B, 2)` weights of lines and of words; None for the unguided velocity.
        """
        mask = words > 0
        tokens = self.word(words) * mask[..., None]
        pooled = tokens.sum(1) / mask.sum(1, keepdim=True).clamp_min(1).sqrt()
        emb = self.time(sinusoid(t, 128)) + self.style(style) + self.word_pool(pooled)
        if step is not None:
            emb = emb + self.step(sinusoid(step, 128))
        if guidance is not None:
            emb = emb + self.guidance(torch.cat([guidance, guidance.square() / 4], 1))
        emb = F.silu(emb)
        h = self.stem(x) + condition
        skips = []
        for block in self.down1:
            h = block(h, emb)
            skips.append(h)
        h = self.down(h)
        for block in self.down2:
            h = block(h, emb)
            skips.append(h)
        h = self.attention[0](h, tokens, mask)
        h = self.middle[0](h, emb)
        h = self.attention[1](h, tokens, mask)
        h = self.middle[1](h, emb)
        for block in self.up2:
            h = block(torch.cat([h, skips.pop()], 1), emb)
        h = self.attention[2](h, tokens, mask)
        h = self.up(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        for block in self.up1:
            h = block(torch.cat([h, skips.pop()], 1), emb)
        return self.head(h)
