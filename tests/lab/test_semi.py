"""The generative classifier of few labels, on latents whose clusters are known and on a tiny VAE."""

from __future__ import annotations

import math

import pytest
import torch

from demos.lab.garments.data import NO_LABEL, scaled
from demos.lab.garments.kinds import given
from demos.lab.garments.semi import Draws, LabelPrior, chances, drawn, fitted, posterior
from demos.lab.garments.vae import GarmentVAE


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def vae() -> GarmentVAE:
    torch.manual_seed(0)
    return GarmentVAE(latent=6, widths=(8, 8), embedding=8, mixtures=1).eval()


def clusters(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents `(n, 4)` in ten clusters, and which."""
    y = torch.arange(n) % 10
    centres = 3 * torch.randn(10, 4, generator=rng(9))
    return centres[y] + 0.4 * torch.randn(n, 4, generator=rng(seed)), y


def test_the_prior_is_a_density_for_every_label() -> None:
    z, y = clusters(40, 0)
    prior = LabelPrior(z[:, :2], y, rng())
    with torch.no_grad():
        for value in prior.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=rng(1)))
        side = torch.linspace(-25, 25, 500)
        grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).flatten(0, 1)
        whole = prior(grid).exp().sum(0) * (side[1] - side[0]) ** 2
    assert torch.allclose(whole, torch.ones(10), atol=0.01)


def test_bayes_rule_weighs_the_draws() -> None:
    prior = LabelPrior(torch.randn(20, 3, generator=rng(1)), torch.arange(20) % 10, rng())
    draws = Draws(torch.randn(4, 5, 3, generator=rng(2)), torch.randn(4, 5, generator=rng(3)))
    found = chances(prior, draws)
    assert found.shape == (5, 10) and torch.allclose(found.sum(1), torch.ones(5))
    with torch.no_grad():
        by_hand = [
            [
                sum(math.exp(draws.weights[k, i] + prior(draws.z[k, i : i + 1])[0, y]) for k in range(4))
                for y in range(10)
            ]
            for i in range(5)
        ]
    expected = torch.tensor(by_hand)
    assert torch.allclose(found, expected / expected.sum(1, keepdim=True), rtol=1e-3)
    assert found.std() > 0.01


def test_the_weights_make_the_bound_of_the_family(vae: GarmentVAE) -> None:
    x = torch.randint(0, 256, (7, 1, 28, 28), generator=rng(), dtype=torch.uint8)
    draws = drawn(vae, x, 5, rng(4))
    model = given(vae, torch.full((7,), NO_LABEL))
    with torch.no_grad():
        joint = torch.stack([model.prior.log_prob(z) for z in draws.z]) + draws.weights
        bound = model.log_prob(scaled(x), rng(4), 5)
    assert torch.allclose(joint.logsumexp(0) - math.log(5), bound, rtol=1e-4)
    mean, log_var = posterior(vae, x)
    assert mean.shape == log_var.shape == (7, 6)


def test_pictures_without_labels_help() -> None:
    z, y = clusters(1000, 0)
    test, right = clusters(500, 1)
    draws = Draws(test[None], torch.zeros(1, 500))
    narrow = torch.full_like(z, -8.0)
    labelled = torch.arange(10)
    alone = fitted(z[:10], narrow[:10], y[:10], labelled, steps=250, seed=0)
    helped = fitted(z, narrow, y, labelled, steps=250, seed=0)
    accuracies = [float((chances(prior, draws).argmax(1) == right).float().mean()) for prior in (alone, helped)]
    assert accuracies[1] > 0.8 and accuracies[1] > accuracies[0]


def test_labels_that_are_not_known_are_not_looked_at() -> None:
    z, y = clusters(200, 0)
    wrong = torch.where(torch.arange(200) < 50, y, 0)
    ends = [fitted(z, torch.zeros_like(z), labels, torch.arange(50), steps=5, seed=1)(z[:3]) for labels in (y, wrong)]
    assert torch.equal(*ends)
