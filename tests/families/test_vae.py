"""The variational autoencoder, on linear Gaussians whose evidence is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from demos.families.vae import VAE, kl_divergence, log_normal, reparametrise

STD = 0.5


class Posterior(nn.Module):
    """q(z | x) of x = z + STD e with z ~ N(0, 1): exact when `error` is 0."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = nn.Parameter(torch.tensor(error))

    def forward(self, x: Tensor) -> Tensor:
        variance = STD**2 / (1 + STD**2)
        return torch.cat([x / (1 + STD**2) + self.error, torch.full_like(x, math.log(variance))], -1)


def likelihood(x: Tensor, mean: Tensor) -> Tensor:
    return log_normal(x, mean, torch.full_like(x, 2 * math.log(STD)))


def evidence(x: Tensor) -> Tensor:
    return log_normal(x, 0.0, torch.full_like(x, math.log(1 + STD**2)))


def made(error: float = 0.0) -> VAE:
    return VAE(Posterior(error), nn.Identity(), likelihood, 2)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * math.sqrt(1 + STD**2)


def test_the_bound_is_the_evidence_where_the_posterior_is_exact(x: Tensor) -> None:
    rng = torch.Generator().manual_seed(1)
    assert torch.allclose(made().log_prob(x, rng, 2), evidence(x), atol=1e-4)
    elbo = torch.stack([made().elbo(x, rng) for _ in range(200)]).mean(0)
    assert torch.allclose(elbo.mean(), evidence(x).mean(), atol=0.02)


def test_the_bound_lies_below_and_tightens_with_samples(x: Tensor) -> None:
    rng = torch.Generator().manual_seed(1)
    model = made(0.4)
    bounds = [model.elbo(x, rng).mean().item(), *(model.log_prob(x, rng, n).mean().item() for n in (4, 64, 512))]
    assert bounds == sorted(bounds)
    assert bounds[0] < evidence(x).mean() - 0.2 and abs(bounds[-1] - evidence(x).mean().item()) < 0.05
    assert model.bound == "lower bound"


@pytest.mark.parametrize(("prior_mean", "prior_std"), [(0.0, 1.0), (0.7, 0.3)])
def test_the_divergence_is_that_of_torch(prior_mean: float, prior_std: float) -> None:
    mean, log_var = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    p = torch.distributions.Normal(prior_mean, prior_std)
    wanted = torch.distributions.kl_divergence(q, p).sum(-1)
    assert torch.allclose(kl_divergence(mean, log_var, prior_mean, prior_std), wanted, atol=1e-4)


def test_draws_have_the_mean_and_the_variance_and_carry_gradients() -> None:
    mean = torch.full((20_000, 1), 2.0, requires_grad=True)
    log_var = torch.full((20_000, 1), math.log(0.25), requires_grad=True)
    z = reparametrise(mean, log_var, torch.Generator().manual_seed(0))
    assert z.mean().item() == pytest.approx(2, abs=0.02) and z.std().item() == pytest.approx(0.5, abs=0.02)
    z.square().sum().backward()
    assert mean.grad is not None and log_var.grad is not None and torch.isfinite(log_var.grad).all()


def test_samples_and_codes_have_their_shapes_and_seeds(x: Tensor) -> None:
    model = made()
    a, b, c = (model.sample(7, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert a.shape == (7, 2) and torch.equal(a, b) and not torch.equal(a, c)
    assert torch.allclose(model.decode(model.encode(x)), x / (1 + STD**2))


def test_losses_are_the_terms_of_the_bound_and_beta_weighs_one(x: Tensor) -> None:
    rng = torch.Generator
    plain = made(0.2).losses(x, rng().manual_seed(3))
    assert torch.allclose(plain["loss"], plain["reconstruction"] + plain["divergence"])
    assert torch.allclose(plain["bound"], made(0.2).elbo(x, rng().manual_seed(3)).mean(), atol=1e-5)
    heavy = VAE(Posterior(0.2), nn.Identity(), likelihood, 2, beta=4.0).losses(x, rng().manual_seed(3))
    assert torch.allclose(heavy["loss"] - plain["loss"], 3 * plain["divergence"], atol=1e-4)


def test_samples_are_observed_with_their_noise(x: Tensor) -> None:
    def observe(mean: Tensor, generator: torch.Generator | None) -> Tensor:
        return mean if generator is None else mean + STD * torch.randn(mean.shape, generator=generator)

    model = VAE(Posterior(), nn.Identity(), likelihood, 2, observe)
    drawn = model.sample(20_000, torch.Generator().manual_seed(0))
    assert drawn.std().item() == pytest.approx(math.sqrt(1 + STD**2), abs=0.02)
    assert torch.equal(model.decode(x), x)


@pytest.mark.parametrize(("error", "nats"), [(0.0, 0.0), (0.4, 0.8), (-0.8, 3.2)])
def test_the_regret_is_the_divergence_that_the_encoder_left(x: Tensor, error: float, nats: float) -> None:
    """Of two dimensions with means `error` beside the exact ones: error² / variance."""
    model = made(error)
    with torch.no_grad():
        found = model.regret(x, torch.Generator().manual_seed(1), steps=120, rate=0.03)
    assert not found.requires_grad and model.encoder.error.grad is None
    assert found.mean().item() == pytest.approx(nats, abs=0.1)
