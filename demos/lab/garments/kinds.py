"""The six families of garments under one roof: which network, which units, and how each is asked.

Pictures go in and come out as brightnesses `(B, 1, 28, 28)`; labels are `(B,)` int64, 10 for none.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from demos.core.device import autocast
from demos.core.network import ModelMixin
from demos.families.autoregressive import AutoregressivePicture
from demos.families.energy import DenoisingEnergy
from demos.families.flow import PictureFlow
from demos.families.gan import RelativisticGAN
from demos.families.score import FlowMatching
from demos.families.vae import VAE
from demos.lab.garments.causal import CausalNetwork
from demos.lab.garments.data import DIMENSIONS, bits_per_dim, dequantised, scaled
from demos.lab.garments.energy import GarmentEnergy
from demos.lab.garments.gan import GarmentGenerator, pair
from demos.lab.garments.subscale import SubscaleFlow
from demos.lab.garments.unet import GarmentScore
from demos.lab.garments.vae import GarmentVAE

__all__ = ["KINDS", "Kind", "bits", "HALF", "draw", "encode", "given", "pictures"]

DRAWS, SOLVER_STEPS, TEMPERATURE = 16, 8, 0.8
HALF = ("energy", "score")
"""Families that ask their network so often to draw a picture that bfloat16 pays."""


@dataclass(frozen=True)
class Kind:
    """One family here.

    Attributes:
        title: as people call it.
        network: what is stored.
        family: whose methods answer; capabilities are read from it.
        unit: whether the model works on y in [0, 1) ("unit"), on x in [-1, 1] ("signed") or on brightnesses ("whole").
        latent: shape of z, empty without one.
        note: what its likelihood is a likelihood of.
        draw: options of `sample` besides the number, the generator and the callback.
    """

    title: str
    network: type[ModelMixin]
    family: type[nn.Module]
    unit: str
    note: str = ""
    latent: tuple[int, ...] = ()
    draw: Mapping[str, Any] | None = None


KINDS: Mapping[str, Kind] = {
    "autoregressive": Kind(
        "Autoregressive",
        CausalNetwork,
        AutoregressivePicture,
        "whole",
        "exact: probabilities of 256 brightnesses",
    ),
    "vae": Kind(
        "Variational autoencoder",
        GarmentVAE,
        VAE,
        "signed",
        f"lower bound: importance-weighted with {DRAWS} draws",
        (40,),
        {"noisy": False},
    ),
    "flow": Kind(
        "Normalizing flow",
        SubscaleFlow,
        PictureFlow,
        "unit",
        "exact: probabilities of 256 brightnesses, spread evenly inside each",
        (DIMENSIONS,),
        {"temperature": TEMPERATURE},
    ),
    "gan": Kind("Adversarial network", GarmentGenerator, RelativisticGAN, "signed", latent=(64,)),
    "energy": Kind(
        "Energy-based",
        GarmentEnergy,
        DenoisingEnergy,
        "signed",
        "unnormalised: the energy, up to a constant that is the same for all pictures",
    ),
    "score": Kind(
        "Score-based",
        GarmentScore,
        FlowMatching,
        "signed",
        f"estimate: {SOLVER_STEPS} steps of Heun's method, one random direction for the divergence",
        (1, 28, 28),
    ),
}
"""In the order in which the page shows them."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """No parallel kernels inside: among thousands of tiny ones, threads that wait for each other cost the most.

    On two cores, one of them busy, 64 pictures pixel by pixel took 320 seconds with two threads and 3 with one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def given(network: Any, label: Tensor) -> Any:
    """The family's model under labels `(B,)`."""
    if isinstance(network, GarmentGenerator):
        return pair(network, nn.Identity(), label)
    return network.given(label)


def pictures(name: str, data: Tensor) -> Tensor:
    """Brightnesses, uint8, of data in a model's own units."""
    unit = KINDS[name].unit
    if unit == "whole":
        return data.to(torch.uint8)
    level = (
        torch.nan_to_num(data.float()) * 256 - 0.5 if unit == "unit" else (torch.nan_to_num(data.float()) + 1) * 127.5
    )
    return level.round().clamp(0, 255).to(torch.uint8)


def _own(name: str, x: Tensor) -> Tensor:
    """Brightnesses in a model's own units, in the middle of each brightness."""
    unit = KINDS[name].unit
    return x if unit == "whole" else (x.float() + 0.5) / 256 if unit == "unit" else scaled(x)


def bits(name: str, network: Any, x: Tensor, label: Tensor, generator: torch.Generator) -> Tensor:
    """Bits per dimension `(B,)` of pictures, of an energy up to a constant.

    Of a lower bound the importance-weighted one with 16 draws; of flow and score those of dequantised pictures.

    Raises:
        NotImplementedError: the family has no density.
    """
    model = given(network, label)
    if name == "autoregressive":
        return bits_per_dim(model.log_prob(x))
    if name == "vae":
        return bits_per_dim(model.log_prob(scaled(x), generator, DRAWS))
    data = dequantised(x, generator)
    if name == "flow":
        return bits_per_dim(model.log_prob(data), continuous=True)
    more = {"generator": generator, "steps": SOLVER_STEPS} if name == "score" else {}
    log_prob = model.log_prob(2 * data - 1, **more) + DIMENSIONS * math.log(2)
    return bits_per_dim(log_prob, continuous=True)


@torch.no_grad()
def draw(
    name: str,
    network: Any,
    label: Tensor,
    generator: torch.Generator,
    on_step: Callable[[int, int, Callable[[], Tensor]], None] | None = None,
    **options: Any,
) -> Tensor:
    """One picture a label; `on_step(i, n, preview)` is given a function that makes the pictures on their way."""
    model = given(network, label)

    def seen(i: int, n: int, data: Tensor) -> None:
        if on_step is not None:
            on_step(i, n, lambda: pictures(name, data))

    alone = one_thread() if name == "autoregressive" else contextlib.nullcontext()
    with alone, autocast(label.device, enabled=name in HALF):
        return pictures(name, model.sample(len(label), generator, seen, **{**(KINDS[name].draw or {}), **options}))


@torch.no_grad()
def encode(name: str, network: Any, x: Tensor, label: Tensor) -> Tensor:
    """Latents `(B, *latent)` of pictures.

    Raises:
        NotImplementedError: the family has none.
    """
    return given(network, label).encode(_own(name, x))
