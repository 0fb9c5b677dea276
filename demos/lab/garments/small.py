"""A classifier small enough to be trained while somebody watches, on few pictures, real or generated.

Every way of augmenting gets the same network, the same first weights and the same number of steps; where there are
generated pictures, they are one half of each batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.lab.garments.data import LABELS, scaled

__all__ = ["Labelled", "Trainee", "chosen", "few", "moved", "steps_for"]

BATCH, RATE, WARM_UP = 32, 2e-3, 20
SHIFT = 2


class Labelled(NamedTuple):
    """Pictures `(N, 1, 28, 28)` uint8 and their labels `(N,)` int64."""

    x: Tensor
    y: Tensor


def chosen(y: Tensor, n: int, seed: int) -> Tensor:
    """Places `(n,)` of `n` pictures with labels `y` `(N,)`, none twice, labels in parts as equal as can be.

    Raises:
        ValueError: there are too few of some label.
    """
    rng = torch.Generator().manual_seed(seed)
    rank = torch.empty_like(y)
    for label in range(len(LABELS)):
        at = (y == label).nonzero()[:, 0]
        rank[at] = torch.randperm(len(at), generator=rng)
    wanted = torch.full((len(LABELS),), n // len(LABELS))
    wanted[torch.randperm(len(LABELS), generator=rng)[: n % len(LABELS)]] += 1
    places = (rank < wanted[y]).nonzero()[:, 0]
    if len(places) != n:
        raise ValueError(f"There are too few pictures of some label to choose {n} in equal parts.")
    return places


def few(data: Labelled, n: int, seed: int) -> Labelled:
    """`n` of the pictures, see `chosen`."""
    at = chosen(data.y, n, seed)
    return Labelled(data.x[at], data.y[at])


def moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures `(B, 1, 28, 28)`, half of them mirrored, each moved by up to two pixels; black moves in."""
    flip = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    side = x.shape[-1]
    at = torch.randint(0, 2 * SHIFT + 1, (2, len(x), 1), generator=generator) + torch.arange(side)
    padded = F.pad(x, (SHIFT,) * 4)[:, 0]
    return padded[torch.arange(len(x))[:, None, None], at[0][:, :, None], at[1][:, None, :]][:, None]


def steps_for(n: int) -> int:
    """Steps of training with `n` real pictures: 10 times the root of `n` and 200 more, at most 1,200."""
    return min(1200, 200 + round(10 * math.sqrt(n)))


class _Small(nn.Sequential):
    def __init__(self, generator: torch.Generator, widths: tuple[int, int] = (16, 32)) -> None:
        a, b = widths
        super().__init__(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, a, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(a, b, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(49 * b, 64),
            nn.ReLU(),
            nn.Linear(64, len(LABELS)),
        )
        for module in self:
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]


class Trainee:
    """A classifier of 106,000 weights on its way, by cross-entropy, AdamW and a rate that falls to zero.

    Args:
        real: pictures to learn from; None to learn from generated ones alone.
        generated: pictures that make up half of each batch.
        steps: how often `step` will be called.
        seed: of the first weights and of the batches.
        augmented: whether real pictures are mirrored and moved, see `moved`.
    """

    def __init__(
        self,
        real: Labelled | None,
        generated: Labelled | None = None,
        *,
        steps: int,
        seed: int,
        augmented: bool = False,
    ) -> None:
        self.sources = [source for source in (real, generated) if source is not None]
        if not self.sources:
            raise ValueError("There is nothing to learn from.")
        self.augmented = augmented
        self.rng = torch.Generator().manual_seed(seed)
        self.network = _Small(self.rng)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=0.01, fused=True)
        self.rates = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser,
            lambda i: min(1.0, (i + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(1.0, i / steps))),
        )

    def step(self) -> float:
        """Learn from one batch; the loss in nats."""
        parts = []
        for source in self.sources:
            at = torch.randint(len(source.x), (BATCH // len(self.sources),), generator=self.rng)
            parts.append((source.x[at], source.y[at]))
        x, y = (torch.cat(column) for column in zip(*parts, strict=True))
        loss = F.cross_entropy(self.network(scaled(moved(x, self.rng) if self.augmented else x)), y)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.rates.step()
        return float(loss.detach())

    @torch.no_grad()
    def accuracy(self, test: Labelled) -> float:
        """Share of pictures that are named right."""
        right = [
            (self.network(scaled(x)).argmax(1) == y).sum()
            for x, y in zip(test.x.split(500), test.y.split(500), strict=True)
        ]
        return float(torch.stack(right).sum()) / len(test.y)
