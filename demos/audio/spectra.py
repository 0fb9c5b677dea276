"""Spectra of sound: short-time Fourier transform, log-mel, level, and distances between two sounds.

Frame `m` is centred at sample `m * hop`, so that N samples have `N // hop + 1` frames. Everything runs in float32 under
autocast too: a spectrum in bfloat16 has eight bits. The loss over several window lengths follows DDSP (Engel et al.
2020, arXiv:2001.04643): short windows see when, long ones see at which frequency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "SIZES",
    "Mel",
    "istft",
    "level_db",
    "log_spectral_distance",
    "magnitudes",
    "mel_filters",
    "spectral_distance",
    "stft",
]

SIZES = (2048, 1024, 512, 256, 128, 64)
FLOOR = 1e-5


def stft(x: Tensor, n_fft: int, hop: int, pad_mode: str = "constant") -> Tensor:
    """Complex spectra `(B, n_fft // 2 + 1, N // hop + 1)` of `(B, N)` under a Hann window."""
    with torch.autocast(x.device.type, enabled=False):
        window = torch.hann_window(n_fft, device=x.device)
        return torch.stft(x.float(), n_fft, hop, window=window, pad_mode=pad_mode, return_complex=True)


class _Magnitudes(torch.autograd.Function):
    """`magnitudes` with a backward pass of its own.

    The gradient of a real transform is a real transform back. PyTorch pads it with zeros to a complex one instead,
    which makes the backward pass of a spectral loss 2.5 times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, n_fft: int, hop: int) -> Tensor:
        spectrum = stft(x, n_fft, hop).transpose(1, 2)
        size = spectrum.abs()
        ctx.save_for_backward(spectrum, size)
        ctx.lengths = x.shape[1], n_fft, hop
        return size

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore
        spectrum, size = ctx.saved_tensors
        length, n_fft, hop = ctx.lengths
        share = gradients[0] / size.clamp_min(1e-20)
        share[..., 1:-1] *= 0.5
        frames = torch.fft.irfft(spectrum * share, n_fft, norm="forward")
        frames = F.pad(frames * torch.hann_window(n_fft, device=frames.device), (0, -n_fft % hop))
        pieces = frames.split(hop, 2)
        out = frames.new_zeros(len(frames), frames.shape[1] + len(pieces) - 1, hop)
        for i, piece in enumerate(pieces):
            out[:, i : i + frames.shape[1]] += piece
        out = out.flatten(1)[:, n_fft // 2 :]
        return F.pad(out, (0, max(0, length - out.shape[1])))[:, :length], None, None


def magnitudes(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """Absolute values of `stft`, a frame a row: `(B, N)` to `(B, N // hop + 1, n_fft // 2 + 1)`."""
    return cast(Tensor, _Magnitudes.apply(x, n_fft, hop))


def istft(spectrum: Tensor, n_fft: int, hop: int, length: int) -> Tensor:
    """`(B, length)` samples from complex spectra; the inverse of `stft` where `hop` is at most half of `n_fft`."""
    with torch.autocast(spectrum.device.type, enabled=False):
        window = torch.hann_window(n_fft, device=spectrum.device)
        return torch.istft(spectrum, n_fft, hop, window=window, length=length)


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, n_fft: int, mels: int, low_hz: float, high_hz: float) -> Tensor:
    """Triangles of unit height, equally spaced on the mel scale 2595 log10(1 + f / 700): `(mels, n_fft // 2 + 1)`."""

    def mel(f: float) -> float:
        return 2595 * math.log10(1 + f / 700)

    edges = 700 * (10 ** (torch.linspace(mel(low_hz), mel(high_hz), mels + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    width = edges.diff().clamp_min(sample_rate / n_fft)
    rise = 1 - (edges[1:-1, None] - bins).clamp_min(0) / width[:-1, None]
    fall = 1 - (bins - edges[1:-1, None]).clamp_min(0) / width[1:, None]
    return torch.minimum(rise, fall).clamp_min(0).float()


@dataclass(frozen=True)
class Mel:
    """How log-mel frames are made; two networks that speak to each other hold equal ones."""

    sample_rate: int
    n_fft: int
    hop: int
    mels: int
    low_hz: float = 20.0

    def __call__(self, x: Tensor) -> Tensor:
        """Natural logarithm of mel magnitudes, at least log 1e-5: `(B, N)` to `(B, mels, N // hop + 1)`."""
        with torch.autocast(x.device.type, enabled=False):
            filters = mel_filters(self.sample_rate, self.n_fft, self.mels, self.low_hz, self.sample_rate / 2)
            return (filters.to(x.device) @ magnitudes(x, self.n_fft, self.hop).transpose(1, 2)).clamp_min(FLOOR).log()


def level_db(x: Tensor, hop: int, window: int = 1024, floor: float = -80.0) -> Tensor:
    """Root mean square in dB below full scale of each frame, Hann-weighted: `(B, N)` to `(B, N // hop + 1)`."""
    with torch.autocast(x.device.type, enabled=False):
        weight = torch.hann_window(window, device=x.device)
        power = F.conv1d(
            x.float().square()[:, None], (weight / weight.sum())[None, None], stride=hop, padding=window // 2
        )
        frames = x.shape[1] // hop + 1
        return (10 * power[:, 0, :frames].clamp_min(1e-12).log10()).clamp_min(floor)


def spectral_distance(a: Tensor, b: Tensor, sizes: tuple[int, ...] = SIZES) -> Tensor:
    """Mean absolute difference of magnitudes and of their logarithms, averaged over window lengths: `(B,)`.

    Magnitudes are scaled so that a full-scale sine peaks near 1 at every length.
    """
    total = a.new_zeros(len(a), dtype=torch.float32)
    for size in sizes:
        x, y = (magnitudes(s, size, size // 4) * (4 / size) for s in (a, b))
        linear = (x - y).abs().sum(2).mean(1) / y.detach().sum(2).mean(1).clamp_min(1e-3)
        total = total + linear + ((x + FLOOR).log() - (y + FLOOR).log()).abs().mean((1, 2))
    return total / len(sizes)


def log_spectral_distance(a: Tensor, b: Tensor, n_fft: int = 1024, hop: int = 256, floor_db: float = -80.0) -> Tensor:
    """Root mean square difference of spectra in dB over frequency, averaged over frames: `(B,)`.

    Bins more than 80 dB below the loudest of `b` count as that quiet (Gray and Markel 1976, IEEE TASSP 24(5)).
    """
    x, y = (stft(s, n_fft, hop).abs() for s in (a, b))
    floor = y.amax((1, 2), keepdim=True).clamp_min(1e-6) * 10 ** (floor_db / 20)
    error = 20 * (torch.maximum(x, floor) / torch.maximum(y, floor)).log10()
    return error.square().mean(1).sqrt().mean(1)
