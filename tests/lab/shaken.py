"""Networks as they are after some training: what begins at zero is zero no more."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["rng", "shaken"]


def rng(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def shaken(network: Any, amount: float = 0.1) -> Any:
    """The network with all weights moved, those that begin at zero too."""
    generator = rng(7)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(amount * torch.randn(weight.shape, generator=generator).to(weight))
    return network.eval()
