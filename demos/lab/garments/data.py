"""Fashion-MNIST and MNIST as tensors, and the units in which the models see them.

A picture is `(1, 28, 28)` uint8, bright on black. Networks see x = v / 127.5 - 1; densities of real numbers are those
of y = (v + u) / 256 with u uniform in [0, 1), so that their integral over a brightness is a probability (Theis et al.
2016, arXiv:1511.01844). Bits per dimension are always those of one of the 784 pixels with 256 brightnesses.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "DIMENSIONS",
    "LABELS",
    "NO_LABEL",
    "SIDE",
    "batch",
    "bits_per_dim",
    "dequantised",
    "load_pictures",
    "noise_pictures",
    "scaled",
]

LABELS = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
NO_LABEL = len(LABELS)
SIDE = 28
DIMENSIONS = SIDE * SIDE


def load_pictures(archive: Path, part: str) -> tuple[Tensor, Tensor]:
    """Pictures `(N, 1, 28, 28)` uint8 and labels `(N,)` int64 of "train" or "test"."""
    with np.load(archive) as files:
        x, y = files[f"x_{part}"], files[f"y_{part}"]
    return torch.from_numpy(x)[:, None], torch.from_numpy(y.astype(np.int64))


def noise_pictures(n: int, generator: torch.Generator) -> Tensor:
    """`(n, 1, 28, 28)` uint8 of independent pixels, every brightness equally likely."""
    return torch.randint(0, 256, (n, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def batch(x: Tensor, y: Tensor, n: int, generator: torch.Generator, drop: float = 0.12) -> tuple[Tensor, Tensor]:
    """`n` random pictures and their labels, of which a share `drop` is replaced by `NO_LABEL`."""
    chosen = torch.randint(len(x), (n,), generator=generator)
    dropped = torch.rand(n, generator=generator) < drop
    return x[chosen], y[chosen].masked_fill(dropped, NO_LABEL)


def scaled(x: Tensor) -> Tensor:
    """Brightnesses 0 to 255 as float32 in [-1, 1]."""
    return x.float() / 127.5 - 1


def dequantised(x: Tensor, generator: torch.Generator) -> Tensor:
    """Brightnesses with uniform noise, as y in [0, 1)."""
    return (x.float() + torch.rand(x.shape, generator=generator, device=generator.device).to(x.device)) / 256


def bits_per_dim(log_prob: Tensor, *, continuous: bool = False) -> Tensor:
    """Bits per dimension of log-probabilities `(...)` in nats, or, if `continuous`, of log-densities of y."""
    return -log_prob / (DIMENSIONS * math.log(2)) + (8.0 if continuous else 0.0)
