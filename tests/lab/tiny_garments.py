"""Six tiny untrained families behind the real wrapper, for tests of the page."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from demos.lab.garments.causal import CausalNetwork
from demos.lab.garments.classifier import GarmentClassifier
from demos.lab.garments.energy import GarmentEnergy
from demos.lab.garments.gan import GarmentGenerator
from demos.lab.garments.kinds import KINDS
from demos.lab.garments.references import DIRECTIONS, WITH_DIRECTIONS, References
from demos.lab.garments.scores import STATISTICS, Normal
from demos.lab.garments.subscale import SubscaleFlow
from demos.lab.garments.unet import GarmentScore
from demos.lab.garments.vae import GarmentVAE
from demos.lab.model import Garments

__all__ = ["tiny_garments"]


def _shaken(network: Any, rng: torch.Generator) -> Any:
    """A network whose last layers, zero at first, answer something."""
    assert isinstance(network, nn.Module)
    with torch.no_grad():
        for value in network.parameters():
            if not value.any():
                value.add_(0.02 * torch.randn(value.shape, generator=rng))
    return network.eval()


@functools.cache
def tiny_garments() -> Garments:
    """The wrapper as the page knows it; samples take a second at most."""
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    networks = {
        "autoregressive": CausalNetwork(width=16, depth=1, mixtures=1),
        "vae": GarmentVAE(widths=(8, 8), embedding=8, mixtures=1),
        "flow": SubscaleFlow(widths=(8, 8), depth=1, labelled=True),
        "gan": GarmentGenerator(widths=(8, 8), embedding=8),
        "energy": GarmentEnergy(widths=(8, 16), embedding=16),
        "score": GarmentScore(widths=(8, 16), embedding=16, steps=4),
    }
    assert networks.keys() == KINDS.keys()
    background, classifier = CausalNetwork(width=16, depth=1, mixtures=1), GarmentClassifier((8, 16), 16)
    rows = {
        name: torch.randn(40, len(STATISTICS), generator=rng) + 4 + 3 * i
        for i, name in enumerate(["noise", "mnist", "fashion"])
    }
    directions = {
        name: 0.1 * torch.randn(DIRECTIONS, int(torch.tensor(KINDS[name].latent).prod()), generator=rng)
        for name in WITH_DIRECTIONS
    }
    solved = {name: values[:, 0] for name, values in rows.items()}
    references = References(rows, solved, Normal.fit(rows["fashion"]), directions)
    shaken = {name: _shaken(network, rng) for name, network in networks.items()}
    return Garments(shaken, _shaken(background, rng), _shaken(classifier, rng), references, torch.device("cpu"))
