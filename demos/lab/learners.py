"""One small model of each family for points in the plane, and the step that trains any of them.

All six train by `losses(x, generator)["loss"]` and one Adam over one flat vector of weights: for networks as small as
these, most of a step is the cost of starting operations, and one long vector needs few. What is shown and measured is a
running average of the weights, which is smoother than the weights themselves.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from demos.families.autoregressive import AutoregressiveMixture
from demos.families.energy import Energy
from demos.families.flow import Flow
from demos.families.gan import GAN, RelativisticGAN
from demos.families.score import FlowMatching
from demos.families.vae import VAE, log_normal
from demos.lab.networks import MADE, Bounded, Fourier, TimeField, mlp

__all__ = ["BROKEN", "FAMILIES", "Learner", "Recipe"]

WARM_UP = 300


@dataclass(frozen=True)
class Recipe:
    """How a family is built and trained here.

    Attributes:
        title: as people call it.
        kind: its class; capabilities are read from it.
        build: makes the model with hidden layers of a width, its weights drawn from a generator.
        rate: learning rate.
        batch: points a step.
        betas: of Adam.
        keep: share of the averaged weights that stays in each step.
        curve: which of its losses is drawn; a bound is drawn with its sign turned.
        unit: what that loss is.
    """

    title: str
    kind: type[nn.Module]
    build: Callable[[int, torch.Generator], nn.Module]
    rate: float
    batch: int = 256
    betas: tuple[float, float] = (0.9, 0.99)
    keep: float = 0.98
    curve: str = "loss"
    unit: str = "nats, −log p(x)"


def _autoregressive(width: int, generator: torch.Generator) -> nn.Module:
    return AutoregressiveMixture(MADE(2, 3 * 16, width, generator, 1.5), 2)


def _gaussian(x: Tensor, described: Tensor) -> Tensor:
    mean, log_var = described.chunk(2, -1)
    return log_normal(x, mean, log_var.clamp(-8, 4))


def _observe(described: Tensor, generator: torch.Generator | None) -> Tensor:
    mean, log_var = described.chunk(2, -1)
    if generator is None:
        return mean
    return mean + (0.5 * log_var.clamp(-8, 4)).exp() * torch.randn(mean.shape, generator=generator)


def _vae(width: int, generator: torch.Generator, beta: float = 1.0) -> nn.Module:
    w = width
    encoder = nn.Sequential(Fourier(2, 12, 1.5, generator), mlp([26, w, w, 4], generator, 0.5))
    decoder = mlp([2, w, w, 4], generator)
    return VAE(encoder, decoder, _gaussian, 2, _observe, beta)


def _heavy_vae(width: int, generator: torch.Generator) -> nn.Module:
    return _vae(width, generator, 12.0)


def _flow(width: int, generator: torch.Generator) -> nn.Module:
    return Flow(2, steps=4, hidden=width, bins=8, generator=generator)


def _gan(width: int, generator: torch.Generator) -> nn.Module:
    w = width
    critic = nn.Sequential(Fourier(2, 12, 1.5, generator), mlp([26, w, w, 1], generator))
    return RelativisticGAN(mlp([4, w, w, w, 2], generator), critic, 4, penalty=0.05)


def _plain_gan(width: int, generator: torch.Generator) -> nn.Module:
    w = width // 2
    return GAN(mlp([2, w, w, 2], generator), mlp([2, w, 1], generator), 2)


def _energy(width: int, generator: torch.Generator) -> nn.Module:
    w = width
    network = nn.Sequential(Fourier(2, 16, 1.5, generator), mlp([34, w, w, 1], generator, 0.1), Bounded(7.0))
    return Energy(network, (2,), spread=1.5, chains=512, steps=8, step=0.03, restart=0.01, generator=generator)


def _score(width: int, generator: torch.Generator) -> nn.Module:
    return FlowMatching(TimeField(width, generator), (2,), steps=12)


FAMILIES: Mapping[str, Recipe] = {
    "autoregressive": Recipe("Autoregressive", AutoregressiveMixture, _autoregressive, 4e-3),
    "vae": Recipe("VAE", VAE, _vae, 5e-3, curve="bound", unit="nats, −ELBO"),
    "flow": Recipe("Normalizing flow", Flow, _flow, 4e-3),
    "gan": Recipe(
        "GAN", RelativisticGAN, _gan, 3e-3, betas=(0.0, 0.95), keep=0.99, curve="critic",
        unit="the critic’s loss; 0.69: it cannot tell",
    ),
    "energy": Recipe(
        "Energy-based", Energy, _energy, 4e-3, betas=(0.5, 0.99), keep=0.99, curve="contrast",
        unit="energy of data − of chains; 0: alike",
    ),
    "score": Recipe("Score-based", FlowMatching, _score, 4e-3, keep=0.99, unit="squared error of the velocity"),
}  # fmt: skip

BROKEN: Mapping[tuple[str, str], Recipe] = {
    ("mode collapse", "gan"): replace(FAMILIES["gan"], build=_plain_gan, betas=(0.9, 0.99), keep=0.9),
    ("posterior collapse", "vae"): replace(FAMILIES["vae"], build=_heavy_vae),
}
"""Recipes that fail, by the way to fail and the family: a hinge loss with a weak critic and momentum; a KL term that
weighs 12 times as much."""


def _flatten(module: nn.Module) -> Tensor:
    """One vector that holds all weights of a module, which are views of it from now on."""
    parameters = list(module.parameters())
    flat = torch.cat([p.detach().flatten() for p in parameters])
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.data = part.view_as(p)
    return flat


class Learner:
    """A model in training, and its averaged copy to be shown.

    Attributes:
        shown: the copy; it changes only in `publish`.
        steps: done so far.
        seconds: of computation so far.
        curve: the loss that is drawn, of every step.
        diverged: whether a loss stopped being finite, which ends the training.
    """

    def __init__(self, recipe: Recipe, width: int, seed: int, rate: float = 1.0) -> None:
        self.recipe = recipe
        self.generator = torch.Generator().manual_seed(seed)
        self.model: Any = recipe.build(width, self.generator)
        self.shown: Any = copy.deepcopy(self.model).requires_grad_(False)
        self._beta = getattr(self.model, "beta", None)
        weights = _flatten(self.model)
        self._gradient = torch.zeros_like(weights)
        start = 0
        for p in self.model.parameters():
            p.grad = self._gradient[start : start + p.numel()].view_as(p)
            start += p.numel()
        self._weights = nn.Parameter(weights)
        self._weights.grad = self._gradient
        self._average = weights.clone()
        self._visible = _flatten(self.shown)
        self._adam = torch.optim.Adam([self._weights], recipe.rate * rate, recipe.betas, fused=True)
        self.steps, self.seconds, self.diverged = 0, 0.0, False
        self.curve: list[float] = []

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return len(self._weights)

    def set_rate(self, factor: float) -> None:
        """Change the learning rate to `factor` times the recipe's."""
        self._adam.param_groups[0]["lr"] = self.recipe.rate * factor

    def step(self, x: Tensor) -> None:
        """One step on data `(B, 2)`; a VAE's KL term grows to its weight over the first 300 steps.

        After a loss that is not finite nothing is learnt any more.
        """
        if self.diverged:
            return
        if self._beta is not None:
            self.model.beta = self._beta * min(1.0, self.steps / WARM_UP)
        self._gradient.zero_()
        losses = self.model.losses(x, self.generator)
        value = float(losses[self.recipe.curve].detach()) * (-1 if self.recipe.curve == "bound" else 1)
        losses["loss"].backward()
        if not math.isfinite(value) or not bool(torch.isfinite(self._gradient.sum())):
            self.diverged = True
            return
        self._adam.step()
        self.steps += 1
        self.curve.append(value)
        keep = min(self.recipe.keep, self.steps / (self.steps + 10))
        self._average.lerp_(self._weights.detach(), 1 - keep)

    def publish(self) -> None:
        """Let `shown` be the average as it is now."""
        self._visible.copy_(self._average)
        for theirs, ours in zip(self.shown.buffers(), self.model.buffers(), strict=True):
            theirs.copy_(ours)
