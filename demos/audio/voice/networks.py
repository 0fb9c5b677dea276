"""The voice's networks: a velocity over log-mel frames, and a vocoder that makes them audible.

The first estimates v(x_t, t) = E[noise - data | x_t, digit, voice, length] of flow matching (Lipman et al. 2023,
arXiv:2210.02747) with dilated convolutions along time. The second predicts the magnitude and the phase of a short-time
spectrum, whose inverse transform is the sound (Vocos, Siuzdak 2023, arXiv:2306.00814).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.audio.spectra import istft
from demos.audio.voice.data import DIGITS, MEL, VOICES
from demos.core.network import ModelMixin, register_to_config

__all__ = ["NO_DIGIT", "DigitFlow", "Vocoder"]

NO_DIGIT = DIGITS


def waves(x: Tensor, count: int) -> Tensor:
    """Sines and cosines of `x` `(...)` in [0, 1] at `count` octaves from half a turn on, `(..., 2 * count)`."""
    angle = x.float()[..., None] * (math.pi * 2.0 ** torch.arange(count, device=x.device))
    return torch.cat([angle.sin(), angle.cos()], -1)


class FlowBlock(nn.Module):
    """Residual gated convolution over `(B, M, width)`, its norm scaled and shifted by the embedding."""

    def __init__(self, width: int, embedding: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(embedding, 2 * width)
        self.conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.out = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, emb: Tensor, mask: Tensor) -> Tensor:
        scale, shift = self.modulate(emb)[:, None].chunk(2, -1)
        h = F.glu(self.along_time((self.norm(x) * (1 + scale) + shift) * mask), -1)
        return x + F.linear(h, self.out.weight.squeeze(2), self.out.bias) * mask

    def along_time(self, x: Tensor) -> Tensor:
        """`self.conv` as a convolution of a picture one pixel high: only that can have its channels last on a CPU."""
        (padding,), (dilation,) = self.conv.padding, self.conv.dilation
        picture, kernel = x.transpose(1, 2).unsqueeze(2), self.conv.weight.unsqueeze(2)
        made = F.conv2d(picture, kernel, self.conv.bias, padding=(0, int(padding)), dilation=(1, dilation))
        return made.squeeze(2).transpose(1, 2)


class DigitFlow(ModelMixin):
    """Velocity on standardised log-mel frames `(B, mels, M)`; the constructor's arguments are the shipped ones.

    Buffers hold the frames' mean and deviation, and those of the logarithm of a digit's frames in each voice.
    """

    @register_to_config
    def __init__(
        self,
        width: int = 256,
        embedding: int = 256,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8),
        voices: tuple[str, ...] = VOICES,
    ) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.digit = nn.Embedding(DIGITS + 1, embedding)
        self.voice = nn.Linear(len(voices), embedding, bias=False)
        self.length = nn.Linear(1, embedding)
        self.stem = nn.Conv1d(MEL.mels, width, 3, padding=1)
        self.place = nn.Conv1d(10, width, 1)
        self.blocks = nn.ModuleList([FlowBlock(width, embedding, d) for d in dilations])
        self.head = nn.Conv1d(width, MEL.mels, 1)
        nn.init.zeros_(self.head.weight)
        self.register_buffer("mean", torch.zeros(MEL.mels))
        self.register_buffer("std", torch.ones(MEL.mels))
        self.register_buffer("length_mean", torch.zeros(DIGITS, len(voices)))
        self.register_buffer("length_std", torch.zeros(DIGITS, len(voices)))

    def standardise(self, mel: Tensor) -> Tensor:
        """Log-mel frames to what the flow sees."""
        return (mel - self.mean[:, None]) / self.std[:, None]

    def restore(self, x: Tensor) -> Tensor:
        """The inverse of `standardise`."""
        return x * self.std[:, None] + self.mean[:, None]

    def forward(self, x: Tensor, t: Tensor, digit: Tensor, voice: Tensor, mask: Tensor) -> Tensor:
        """Velocity at `x` `(B, mels, M)`.

        Args:
            t: `(B,)` in [0, 1]; 1 is noise.
            digit: `(B,)` 0 to 9, or `NO_DIGIT`.
            voice: `(B, voices)` weights that sum to one.
            mask: `(B, M)` bool, true for the frames of the digit, which begin at the first.
        """
        frames = mask.sum(1, keepdim=True)
        emb = self.time(waves(t, 8)) + self.digit(digit) + self.voice(voice) + self.length((frames / 50).log())
        place = (torch.arange(x.shape[2], device=x.device) / frames).clamp(0, 1)
        inside = mask[:, :, None].to(x.dtype)
        placed = self.place(waves(place, 5).transpose(1, 2))
        h = (self.stem(x * inside.transpose(1, 2)) + placed).transpose(1, 2) * inside
        emb = F.silu(emb)
        for block in self.blocks:
            h = block(h, emb, inside)
        return self.head(F.silu(h).transpose(1, 2))


class VocoderBlock(nn.Module):
    """ConvNeXt block along time (arXiv:2201.03545)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.conv(x).transpose(1, 2))
        return x + (self.scale * self.down(F.gelu(self.up(h)))).transpose(1, 2)


class Vocoder(ModelMixin):
    """Log-mel frames `(B, mels, M)` to sound `(B, (M - 1) * hop)`; the constructor's arguments are the shipped ones."""

    @register_to_config
    def __init__(self, width: int = 192, depth: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv1d(MEL.mels, width, 7, padding=3)
        self.blocks = nn.ModuleList([VocoderBlock(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * (MEL.n_fft // 2 + 1))

    def forward(self, mel: Tensor) -> Tensor:
        """Sound of frames."""
        h = self.stem((mel + 5) / 3)
        for block in self.blocks:
            h = block(h)
        magnitude, phase = self.head(self.norm(h.transpose(1, 2))).transpose(1, 2).float().chunk(2, 1)
        spectrum = torch.polar(magnitude.clamp(max=6).exp(), phase)
        return istft(spectrum, MEL.n_fft, MEL.hop, (mel.shape[2] - 1) * MEL.hop)
