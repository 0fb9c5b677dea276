"""The energy-based model, on mixtures of Gaussians whose constant is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from demos.families.energy import Energy, annealed_log_z, grid_log_z, langevin

CENTRES = torch.tensor([[-1.0, 0.0], [1.0, 0.5]])
STD, LEVEL = 0.4, 2.5
LOG_Z = -LEVEL


def mixture(x: Tensor) -> Tensor:
    """The energy of two Gaussians whose constant is exp(-LEVEL)."""
    each = -0.5 * (x[:, None] - CENTRES).square().sum(-1) / STD**2
    return LEVEL - (each.logsumexp(1) - math.log(2 * 2 * math.pi * STD**2))


class Rest(nn.Module):
    """What makes a model's energy that of the mixture."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * mixture(x) - x.square().sum(1) / (2 * self.spread**2))[:, None]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model() -> Energy:
    return Energy(Rest(1.5), (2,), 1.5, chains=400, step=0.05, generator=rng(1))


def moments(x: Tensor) -> Tensor:
    return torch.cat([x.mean(0), x.std(0)])


WANTED = torch.tensor([0.0, 0.25, math.hypot(1.0, STD), math.hypot(0.25, STD)])


def test_the_constant_is_estimated_by_a_grid_and_by_annealing(model: Energy) -> None:
    assert grid_log_z(model.energy, 4.0).item() == pytest.approx(LOG_Z, abs=0.01)
    assert annealed_log_z(model, 600, 60, rng()).item() == pytest.approx(LOG_Z, abs=0.12)
    x = CENTRES[:1]
    assert model.log_prob(x).item() - LOG_Z == pytest.approx(-mixture(x).item() + LEVEL, abs=1e-4)


def test_adjusted_langevin_keeps_the_distribution_at_any_step_length() -> None:
    start = CENTRES[torch.randint(2, (2500,), generator=rng())] + STD * torch.randn(2500, 2, generator=rng(1))
    for step in (0.02, 0.2):
        x = langevin(mixture, start, 30, step, rng(2))
        assert torch.allclose(moments(x), WANTED, atol=0.07)
    lengths = torch.full((2500,), 0.2)
    assert torch.equal(langevin(mixture, start, 3, lengths, rng(2)), langevin(mixture, start, 3, 0.2, rng(2)))
    crude = langevin(mixture, start, 30, 0.2, rng(2), adjusted=False)
    assert not torch.allclose(moments(crude), WANTED, atol=0.07)


def test_heat_widens_and_the_seed_decides() -> None:
    start = torch.zeros(2000, 2)
    cold, hot = (langevin(mixture, start, 40, 0.05, rng(), temperature=t) for t in (0.3, 3.0))
    assert hot.std() > 1.3 * cold.std()
    assert torch.equal(hot, langevin(mixture, start, 40, 0.05, rng(), temperature=3.0))


def test_samples_have_the_moments_of_the_mixture(model: Energy) -> None:
    assert torch.allclose(moments(model.sample(1500, rng(), steps=100)), WANTED, atol=0.12)


def test_training_moves_the_chains_to_the_model_and_restarts_some(model: Energy) -> None:
    before = model.chains.clone()
    x = CENTRES[torch.randint(2, (300,), generator=rng())] + STD * torch.randn(300, 2, generator=rng(1))
    losses = [model.losses(x, rng(i)) for i in range(12)][-1]
    assert not torch.equal(model.chains, before)
    assert torch.allclose(moments(model.chains), WANTED, atol=0.35)
    assert abs(losses["contrast"].item()) < 0.6
    again = model.sample(500, rng(), steps=5, hottest=1.0, fresh=False)
    assert torch.allclose(moments(again), WANTED, atol=0.35)


def test_the_gradient_is_that_of_the_likelihood() -> None:
    model = Energy(Rest(1.5), (2,), 1.5, chains=4000, steps=25, step=0.1, penalty=0.0, restart=0.0, generator=rng(1))
    for i in range(3):
        model.losses(torch.zeros(4000, 2), rng(i))
    x = 0.3 * torch.randn(4000, 2, generator=rng(9))
    losses = model.losses(x, rng(5))
    losses["loss"].backward()
    at = (torch.arange(120) + 0.5) / 120 * 8 - 4
    points = torch.cartesian_prod(at, at)
    weight = torch.ones((), requires_grad=True)

    def energy(x: Tensor) -> Tensor:
        return weight * mixture(x)

    exact = energy(x).mean() + torch.logsumexp(-energy(points), 0)
    (wanted,) = torch.autograd.grad(exact, weight)
    slope = dict(model.named_parameters())["network.weight"].grad
    assert slope is not None and slope.item() == pytest.approx(wanted.item(), abs=0.08)
