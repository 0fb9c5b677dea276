"""The small networks: masks leak nothing, and a seed decides the weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from demos.lab.networks import MADE, Bounded, Fourier, TimeField, mlp


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("length", [2, 5])
def test_a_masked_network_sees_earlier_variables_only(length: int) -> None:
    network = MADE(length, 3, 24, rng())
    x = torch.randn(4, length, generator=rng(1))
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x).sum((0, 2)), x).abs().sum(1)
    assert not jacobian.triu().any()
    below = jacobian[torch.tril_indices(length, length, -1).unbind()]
    assert (below > 0).all()
    assert network(x).shape == (4, length, 3)
    assert torch.allclose(network(x)[:, 0], network(x[:1])[:, 0].expand(4, -1))


MAKE: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda seed: mlp([2, 8, 8, 3], rng(seed)),
    "fourier": lambda seed: Fourier(2, 5, 1.0, rng(seed)),
    "field": lambda seed: TimeField(8, rng(seed)),
    "made": lambda seed: MADE(2, 3, 8, rng(seed)),
}


@pytest.mark.parametrize("name", MAKE)
def test_the_seed_decides_all_weights_and_nothing_else_does(name: str) -> None:
    torch.manual_seed(1)
    first = MAKE[name](5).state_dict()
    torch.manual_seed(2)
    again, other = MAKE[name](5).state_dict(), MAKE[name](6).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_shapes_and_bounds() -> None:
    x = torch.randn(7, 2, generator=rng())
    assert Fourier(2, 5, 1.0, rng())(x).shape == (7, 12)
    assert TimeField(8, rng())(x, torch.rand(7, generator=rng())).shape == (7, 2)
    squeezed = Bounded(3.0)(torch.tensor([-100.0, 0.0, 0.01, 100.0]))
    assert squeezed.abs().max() <= 3 and squeezed[2].item() == pytest.approx(0.01, rel=1e-3)
