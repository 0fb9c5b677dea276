"""Who tells real sound from made sound: one look at each of several periods and of several spectra.

A period discriminator folds the samples into rows of p and convolves along columns (HiFi-GAN, Kong et al. 2020,
arXiv:2010.05646); a spectral one convolves complex spectra (arXiv:2210.13438). They serve training only.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.audio.spectra import stft

__all__ = ["Discriminators"]


class Judge(nn.Module):
    """Strided 2-D convolutions with a score at the end; `forward` gives the score's map and all features."""

    def __init__(self, channels: int, width: int, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 4 * width]
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.layers = nn.ModuleList(
            [nn.utils.parametrizations.weight_norm(nn.Conv2d(a, b, kernel, stride, padding))
             for a, b in pairwise(sizes)]
        )  # fmt: skip
        self.last = nn.utils.parametrizations.weight_norm(nn.Conv2d(sizes[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.last(x), features


class Discriminators(nn.Module):
    """Scores and features of sounds `(B, N)` by all judges."""

    def __init__(
        self, periods: tuple[int, ...] = (2, 3, 5, 7, 11), sizes: tuple[int, ...] = (512, 256, 128), width: int = 16
    ) -> None:
        super().__init__()
        self.periods, self.sizes = periods, sizes
        self.of_periods = nn.ModuleList([Judge(1, width, (5, 1), (3, 1)) for _ in periods])
        self.of_spectra = nn.ModuleList([Judge(2, width, (3, 5), (1, 2)) for _ in sizes])

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The judges' scores, and their features, for `(B, N)`."""
        scores: list[Tensor] = []
        features: list[Tensor] = []
        for period, judge in zip(self.periods, self.of_periods, strict=True):
            folded = F.pad(x, (0, -x.shape[1] % period)).unflatten(1, (-1, period))[:, None]
            score, seen = judge(folded)
            scores.append(score)
            features += seen
        for size, judge in zip(self.sizes, self.of_spectra, strict=True):
            spectrum = torch.view_as_real(stft(x, size, size // 4)).permute(0, 3, 2, 1) * (8 / size)
            score, seen = judge(spectrum)
            scores.append(score)
            features += seen
        return scores, features
