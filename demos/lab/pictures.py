"""What is drawn of a model in the plane: its samples, its density, and the picture that only its family has.

Everything leaves as base64 text: places as 16-bit whole numbers, 8,192 to the unit of the plane; shades as bytes. Grids
begin at the upper left. `INSIDE` holds each family's own picture: how p(x₂ | x₁) changes with x₁ (autoregressive), the
latent plane with real points in it (VAE), a grid of the latent plane warped into the data's (flow), the critic's
surface (GAN), the energy with Langevin paths (energy), the field at a middle time with ways from noise to data
(score).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demos.families.autoregressive import AutoregressiveMixture
from demos.families.energy import Energy, grid_log_z
from demos.families.flow import Flow
from demos.families.gan import GAN
from demos.families.score import FlowMatching
from demos.families.vae import VAE
from demos.lab.points import BOX

__all__ = ["CELLS", "INSIDE", "heat", "log_density", "places", "plane", "shades"]

CELLS = 44
UNIT = 8192
FIELD_TIME = 0.35
EDGE = 4.0
"""The energy's integral is taken over [-EDGE, EDGE]²."""


def places(points: Tensor) -> str:
    """Points of the plane, at most 4 units from its middle; what is not a number lies in the corner."""
    whole = (torch.nan_to_num(points.detach(), nan=-4.0) * UNIT).clamp(-32768, 32767).round()
    return base64.b64encode(whole.numpy().astype("<i2").tobytes()).decode()


def shades(values: Tensor) -> str:
    """Numbers in [0, 1] as bytes."""
    whole = (255 * torch.nan_to_num(values.detach()).clamp(0, 1)).round()
    return base64.b64encode(whole.numpy().astype(np.uint8).tobytes()).decode()


def plane(cells: int = CELLS) -> Tensor:
    """The middles `(cells², 2)` of a grid's cells, row by row from above."""
    at = (torch.arange(cells) + 0.5) / cells * 2 * BOX - BOX
    y, x = torch.meshgrid(-at, at, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def heat(log_p: Tensor, log_most: float | None) -> str:
    """Shades of the root of a density relative to `exp(log_most)`, by default to what nearly all of it stays below."""
    if log_most is None:
        log_most = float(torch.quantile(torch.nan_to_num(log_p, nan=-100.0), 0.995))
    return shades((0.5 * (log_p - log_most)).exp())


def log_density(model: Any, x: Tensor, generator: torch.Generator, fast: bool = True) -> Tensor | None:
    """What a model says about log p(x) `(B,)` in nats, None if it gives no density.

    Args:
        model: of any family.
        x: `(B, 2)`.
        generator: draws what an estimate needs.
        fast: few samples and steps, for a picture.
    """
    if isinstance(model, VAE):
        return model.log_prob(x, generator, 20 if fast else 64).detach()
    if isinstance(model, FlowMatching):
        return model.log_prob(x, steps=6 if fast else None).detach()
    if isinstance(model, Energy):
        return (model.log_prob(x) - grid_log_z(model.energy, EDGE, 64)).detach()
    return None if isinstance(model, GAN) else model.log_prob(x).detach()


def _conditional(model: AutoregressiveMixture, held: Tensor, generator: torch.Generator) -> dict[str, Any]:
    each = model.conditionals(plane()).view(CELLS, CELLS, 2).exp()
    columns = each[..., 1] / each[..., 1].amax(0).clamp_min(1e-9)
    first = each[0, :, 0]
    return {"columns": shades(columns), "first": shades(first / first.max().clamp_min(1e-9))}


def _latent(model: VAE, held: Tensor, generator: torch.Generator) -> dict[str, Any]:
    mean, log_var = model.posterior(held)
    turn = torch.atan2(held[:, 1], held[:, 0]) / (2 * math.pi) + 0.5
    return {"codes": places(mean), "stds": places((0.5 * log_var).exp()), "hues": shades(turn)}


def _warped(model: Flow, held: Tensor, generator: torch.Generator) -> dict[str, Any]:
    along = torch.linspace(-2.5, 2.5, 41)
    across = torch.linspace(-2.5, 2.5, 11)
    lines = torch.cat([torch.cartesian_prod(across, along), torch.cartesian_prod(across, along).flip(1)])
    return {"grid": places(model.decode(lines)), "each": len(along)}


def _critic(model: GAN, held: Tensor, generator: torch.Generator) -> dict[str, Any]:
    score = model.discriminator(plane())[:, 0]
    level = model.discriminator(held).mean()
    return {"surface": shades(torch.sigmoid(score - level))}


def _landscape(model: Energy, held: Tensor, generator: torch.Generator) -> dict[str, Any]:
    energy = model.energy(plane())
    low = energy.min()
    way: list[Tensor] = []
    model.sample(10, generator, lambda i, n, x: way.append(x), steps=60)
    return {
        "surface": shades(1 - (energy - low) / (energy.max() - low).clamp_min(1e-6)),
        "paths": places(torch.stack(way[::2], 1)),
        "each": len(way[::2]),
    }


def _field(model: FlowMatching, held: Tensor, generator: torch.Generator) -> dict[str, Any]:
    arrows = -model.velocity(plane(15), FIELD_TIME)
    way: list[Tensor] = [torch.randn(36, 2, generator=generator)]
    model.decode(way[0], lambda i, n, x: way.append(x))
    return {"field": places(arrows), "paths": places(torch.stack(way, 1)), "each": len(way)}


INSIDE: Mapping[str, Callable[[Any, Tensor, torch.Generator], dict[str, Any]]] = {
    "autoregressive": _conditional,
    "vae": _latent,
    "flow": _warped,
    "gan": _critic,
    "energy": _landscape,
    "score": _field,
}
"""Each family's own picture of a model, given held-out points and a generator."""
