"""A differentiable synthesiser: harmonics of a pitch, filtered noise, and a room (DDSP, arXiv:2001.04643).

Partial k has the frequency f_k = k f0 sqrt(1 + B k²), where B is zero for winds and bowed strings and the stiffness of
the string for a piano (Fletcher 1964, doi:10.1121/1.1919095). Amplitudes are linear between frames and phases are
continuous, so that nothing clicks; partials fade out before half of the sample rate, so that nothing folds back. The
sines don't depend on amplitudes and carry no gradient: within a frame the sum over partials is a matrix product. Each
sound is made by itself, a block at a time, of just the partials that it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demos.audio.spectra import istft, stft

__all__ = ["FRAMES_A_BLOCK", "echoes", "filtered_noise", "harmonic_parts", "harmonics", "partials", "reverberate"]

FADE = (0.88, 0.98)
FRAMES_A_BLOCK = 50


def partials(count: int, stretch: Tensor) -> Tensor:
    """Frequencies of partials 1 to `count` in units of f0, `(B, count)` float64, for stiffness `stretch` `(B,)`."""
    k = torch.arange(1, count + 1, device=stretch.device, dtype=torch.float64)
    return k * (1 + stretch.double()[:, None] * k.square()).sqrt()


def _sine(x: Tensor) -> Tensor:
    """sin(x) in place; on a CPU by NumPy, whose vectorised sine is ten times as fast as PyTorch's."""
    if x.device.type != "cpu":
        return torch.sin_(x)
    np.sin(x.numpy(), out=x.numpy())
    return x


def harmonic_parts(
    f0_hz: Tensor,
    amplitude: Tensor,
    sample_rate: int,
    hop: int,
    stretch: Tensor | None = None,
) -> Iterator[Tensor]:
    """Sum of partials, `(B, (M - 1) * hop)` in parts of `FRAMES_A_BLOCK` frames; every partial begins at phase 0.

    Args:
        f0_hz: `(B, M)` at frames `hop` samples apart, linear in between.
        amplitude: `(B, M, K)` of partials 1 to K; differentiable.
        stretch: `(B,)` stiffness B of the string, at least 0.
    """
    b, frames, count = amplitude.shape
    with torch.no_grad(), torch.autocast(f0_hz.device.type, enabled=False):
        ratio = partials(count, f0_hz.new_zeros(b) if stretch is None else stretch)
        f0 = f0_hz.double()
        cycles = 0.5 * hop * (f0[:, 1:] + f0[:, :-1]) / sample_rate
        start = F.pad(cycles.cumsum(1), (1, 0))[:, :-1]
        n = torch.arange(hop, device=f0.device, dtype=torch.float64)
        slope = (f0[:, 1:] - f0[:, :-1]) / hop
        inside = (f0[:, :-1, None] * n + 0.5 * slope[..., None] * n.square()) / sample_rate
        highest = F.max_pool1d(f0[:, None], 3, 1, 1)[:, 0]
        place = highest[..., None] * ratio[:, None] / (sample_rate / 2)
        audible = ((FADE[1] - place) / (FADE[1] - FADE[0])).clamp(0, 1).float()
    amplitude = amplitude.float() * audible
    weight = (n / hop).float()
    for first in range(0, frames - 1, FRAMES_A_BLOCK):
        m = slice(first, min(frames - 1, first + FRAMES_A_BLOCK))
        after, sounds = slice(m.start + 1, m.stop + 1), []
        counts = (audible[:, m.start : after.stop] > 0).any(1).sum(1)
        with torch.autocast(f0_hz.device.type, enabled=False):
            for i, k in enumerate(counts.tolist()):
                with torch.no_grad():
                    turn = (start[i, m, None] * ratio[i, :k]).frac_().mul_(2 * math.pi).float()
                    since = (inside[i, m, :, None] * (2 * math.pi)).float()
                    wave = _sine(torch.addcmul(turn[:, None], since, ratio[i, :k].float()))
                sounds.append(wave @ torch.stack([amplitude[i, m, :k], amplitude[i, after, :k]], -1))
            left, right = torch.stack(sounds).unbind(-1)
            part = (left + weight * (right - left)).flatten(1)
        yield part


def harmonics(f0_hz: Tensor, amplitude: Tensor, sample_rate: int, hop: int, stretch: Tensor | None = None) -> Tensor:
    """What `harmonic_parts` gives, in one piece."""
    none = amplitude.new_zeros(len(amplitude), 0)
    return torch.cat([none, *harmonic_parts(f0_hz, amplitude, sample_rate, hop, stretch)], 1)


def filtered_noise(magnitude: Tensor, hop: int, generator: torch.Generator) -> Tensor:
    """White noise shaped over time and frequency: `(B, (M - 1) * hop)`.

    Args:
        magnitude: `(B, M, bands)` at equally spaced frequencies from 0 to half of the sample rate; 1 leaves noise of
            unit variance as it is. Differentiable.
        generator: draws the noise, on its own device.
    """
    b, frames, _ = magnitude.shape
    length, n_fft = (frames - 1) * hop, 4 * hop
    noise = torch.randn(b, length, generator=generator, device=generator.device).to(magnitude.device)
    with torch.autocast(magnitude.device.type, enabled=False):
        gain = F.interpolate(magnitude.float(), n_fft // 2 + 1, mode="linear", align_corners=True).transpose(1, 2)
        return istft(stft(noise, n_fft, hop) * gain, n_fft, hop, length)


def reverberate(dry: Tensor, impulse: Tensor) -> Tensor:
    """`dry` `(B, N)` and its echo in a room with the impulse response `(B, L)` or `(1, L)`, cut at N."""
    return dry + _convolved(dry, impulse)[:, : dry.shape[1]]


def echoes(parts: Iterable[Tensor], impulse: Tensor) -> Iterator[Tensor]:
    """`reverberate` for a sound that comes in parts `(B, n)`: what rings on after a part is added to those after it."""
    ringing = impulse.new_zeros(1, impulse.shape[1])
    for part in parts:
        n = part.shape[1]
        wet = _convolved(part, impulse) + F.pad(ringing, (0, n))
        ringing = wet[:, n:]
        yield part + wet[:, :n]


def _convolved(x: Tensor, impulse: Tensor) -> Tensor:
    """`(B, N + L)`; the last value is 0."""
    length = x.shape[1] + impulse.shape[1]
    with torch.autocast(x.device.type, enabled=False):
        n = 1 << (length - 1).bit_length()
        return torch.fft.irfft(torch.fft.rfft(x.float(), n) * torch.fft.rfft(impulse.float(), n), n)[:, :length]
