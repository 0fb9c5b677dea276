"""Completion: the erased part of a picture drawn anew, given the rest, by each family in its own way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from demos.core.device import autocast
from demos.families.score import schedule
from demos.families.vae import reparametrise
from demos.lab.garments.data import scaled
from demos.lab.garments.kinds import HALF, KINDS, draw, given, pictures

__all__ = ["COMPLETIONS", "cannot_complete", "complete"]

Seen = Callable[[int, int, Callable[[], Tensor]], None]
ROUNDS, STEPS, REPEATS, SHIFT = 40, 25, 4, 1.0
COMPLETIONS: Mapping[str, str] = {
    "autoregressive": "exact where everything after the first erased pixel is erased",
    "vae": "by Gibbs sampling between the latent and the erased part",
    "energy": "by Langevin steps whose known part is noised anew at every level",
    "score": "by following the velocity, every step repeated, the known part noised to its level",
}
"""The families that can, and how."""


def cannot_complete(name: str) -> str:
    """The sentence with which a family refuses to complete a picture."""
    return f"{KINDS[name].title}: there is no way here to draw one part of a picture given the other."


def complete(
    name: str,
    network: Any,
    x: Tensor,
    erased: Tensor,
    label: Tensor,
    generator: torch.Generator,
    on_step: Seen | None = None,
) -> Tensor:
    """Brightnesses `(B, 1, 28, 28)` with the part `erased` `(28, 28)` drawn anew; the rest stays as it was."""
    with autocast(x.device, enabled=name in HALF):
        return _COMPLETE[name](name, network, x, erased, label, generator, on_step)


def _by_sampler(
    name: str, network: Any, x: Tensor, erased: Tensor, label: Tensor, generator: torch.Generator, on_step: Seen | None
) -> Tensor:
    known = x if KINDS[name].unit == "whole" else scaled(x)
    made = draw(name, network, label, generator, on_step, known=known, erased=erased)
    return torch.where(erased, made, x)


@torch.no_grad()
def _by_gibbs(
    name: str, network: Any, x: Tensor, erased: Tensor, label: Tensor, generator: torch.Generator, on_step: Seen | None
) -> Tensor:
    """Rezende et al. 2014, arXiv:1401.4082: z ~ q(z | x), erased ~ p(x | z), and again."""
    model, data = given(network, label), scaled(x)
    now = torch.where(erased, -1.0, data)
    for i in range(1, ROUNDS + 1):
        mean, log_var = model.posterior(now)
        z = reparametrise(mean, log_var, generator)
        now = torch.where(erased, model.decode(z), data)
        if on_step is not None:
            on_step(i, ROUNDS, lambda now=now: pictures(name, now))
    return torch.where(erased, pictures(name, now), x)


@torch.no_grad()
def _by_velocity(
    name: str, network: Any, x: Tensor, erased: Tensor, label: Tensor, generator: torch.Generator, on_step: Seen | None
) -> Tensor:
    """Steps of Euler's method; each is taken back by noise and repeated, so that both parts come to fit together.

    The known part is noised to the level of the step. RePaint, Lugmayr et al. 2022, arXiv:2201.09865.
    """

    def noise() -> Tensor:
        return torch.randn(data.shape, generator=generator).to(data)

    model, data = given(network, label), scaled(x)
    state, times = noise(), schedule(STEPS, shift=SHIFT)
    estimate = state
    for i, (t, after) in enumerate(pairwise(times), 1):
        for left in range(REPEATS, 0, -1):
            v = model.velocity(state, t)
            estimate, state = state - t * v, state - (t - after) * v
            state = torch.where(erased, state, (1 - after) * data + after * noise())
            if left > 1 and after > 0:
                shrink = (1 - t) / (1 - after)
                state = shrink * state + math.sqrt(t**2 - (shrink * after) ** 2) * noise()
        if on_step is not None:
            on_step(i, STEPS, lambda now=estimate: torch.where(erased, pictures(name, now), x))
    return torch.where(erased, pictures(name, state), x)


_COMPLETE = {"autoregressive": _by_sampler, "energy": _by_sampler, "vae": _by_gibbs, "score": _by_velocity}
