"""A generative classifier of few labels: Bayes' rule with p(x | y), learnt from all pictures and the labels of n.

A VAE learns p(x | z) and q(z | x) from pictures alone. What a label says of z is p(z | y), so that
p(x | y) = E_q(z | x)[p(x | z) p(z | y) / q(z | x)] (after Kingma et al. 2014, arXiv:1406.5298). Under a flow u = f(z)
that all labels share, each label is a Gaussian of u (Izmailov et al. 2020, arXiv:1912.13025). It learns log p(z | y)
where the label is known and log 1/10 sum_y p(z | y) where it is not: pictures without a label say where the clusters
lie, and labels what they are called.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from demos.families.flow import Flow
from demos.families.vae import VAE, log_normal, reparametrise
from demos.lab.garments.data import LABELS, NO_LABEL, scaled
from demos.lab.garments.vae import GarmentVAE

__all__ = ["Draws", "LabelPrior", "chances", "drawn", "fitted", "posterior"]

BATCH, RATE, WEIGHT_DECAY = 32, 2e-3, 1e-2
KINDS, SPREAD = len(LABELS), 0.1


class LabelPrior(nn.Module):
    """p(z | y): a Gaussian for every label, with a variance a dimension, seen through one flow.

    Args:
        z: latents `(N, Z)` at whose means a label the Gaussians begin.
        y: their labels `(N,)`, each of the ten at least once.
        generator: draws the initial weights.
    """

    def __init__(self, z: Tensor, y: Tensor, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.flow = Flow(z.shape[1], steps=4, hidden=64, generator=generator)
        with torch.no_grad():
            u = self.flow.encode(z)
            means = torch.stack([u[y == label].mean(0) for label in range(KINDS)])
            spread = (u - means[y]).square().mean().clamp_min(SPREAD).log() / 2
        self.means, self.log_scales = nn.Parameter(means), nn.Parameter(spread.expand_as(means).clone())

    def forward(self, z: Tensor) -> Tensor:
        """In nats, log p(z | y) of latents `(B, Z)` under every label, `(B, 10)`."""
        u, log_det = self.flow(z)
        distance = ((u[:, None] - self.means) / self.log_scales.exp()).square().sum(2)
        constant = self.log_scales.sum(1) + 0.5 * z.shape[1] * math.log(2 * math.pi)
        return log_det[:, None] - 0.5 * distance - constant


@dataclass(frozen=True)
class Draws:
    """Draws of q(z | x), which serve every prior.

    Attributes:
        z: `(K, N, Z)`.
        weights: log p(x | z) - log q(z | x), `(K, N)` nats.
    """

    z: Tensor
    weights: Tensor


@torch.no_grad()
def posterior(vae: GarmentVAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance `(N, Z)` of q(z | x) for pictures `(N, 1, 28, 28)` uint8 whose labels nobody told."""
    parts = [_untold(vae, len(part)).posterior(scaled(part)) for part in x.split(500)]
    mean, log_var = (torch.cat(column) for column in zip(*parts, strict=True))
    return mean, log_var


@torch.no_grad()
def drawn(vae: GarmentVAE, x: Tensor, count: int, generator: torch.Generator) -> Draws:
    """`count` draws for each of the pictures `(N, 1, 28, 28)` uint8."""
    rows = []
    for part in x.split(100):
        model, pixels = _untold(vae, len(part)), scaled(part)
        mean, log_var = model.posterior(pixels)
        zs = [reparametrise(mean, log_var, generator) for _ in range(count)]
        told = [model.log_likelihood(pixels, model.decoder(z)) - log_normal(z, mean, log_var) for z in zs]
        rows.append((torch.stack(zs), torch.stack(told)))
    z, weights = (torch.cat(column, 1) for column in zip(*rows, strict=True))
    return Draws(z, weights)


def fitted(mean: Tensor, log_var: Tensor, labels: Tensor, labelled: Tensor, *, steps: int, seed: int) -> LabelPrior:
    """Learn p(z | y).

    Args:
        mean, log_var: of q(z | x), `(N, Z)`, for all pictures.
        labels: `(N,)`; only those at `labelled` are looked at.
        labelled: places `(n,)` of the pictures whose labels are known.
        steps: of training, each with as many pictures with labels as without.
        seed: of first weights and batches.
    """
    rng = torch.Generator().manual_seed(seed)
    prior = LabelPrior(mean[labelled], labels[labelled], rng)
    optimiser = torch.optim.AdamW(prior.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        some = labelled[torch.randint(len(labelled), (BATCH,), generator=rng)]
        any_ = torch.randint(len(mean), (BATCH,), generator=rng)
        at = torch.cat([some, any_])
        told = prior(reparametrise(mean[at], log_var[at], rng))
        known = told[:BATCH].gather(1, labels[some][:, None]).mean()
        unknown = (told[BATCH:].logsumexp(1) - math.log(KINDS)).mean()
        optimiser.zero_grad()
        (-(known + unknown) / 2).backward()
        nn.utils.clip_grad_norm_(prior.parameters(), 5.0)
        optimiser.step()
        rates.step()
    return prior.eval()


@torch.no_grad()
def chances(prior: LabelPrior, draws: Draws) -> Tensor:
    """Bayes' rule: p(y | x) `(N, 10)`, all labels equally likely before, from importance-weighted log p(x | y)."""
    joint = torch.stack([prior(z) for z in draws.z]) + draws.weights[:, :, None]
    return joint.double().logsumexp(0).softmax(1).float()


def _untold(vae: GarmentVAE, n: int) -> VAE:
    return vae.given(torch.full((n,), NO_LABEL))
