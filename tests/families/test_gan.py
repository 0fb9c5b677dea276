"""Adversarial pairs: each loss reaches its own network, and a small pair learns where the data lie."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from demos.families.gan import GAN, RelativisticGAN, critic_loss, feature_distance, frozen, generator_loss


def pair() -> GAN:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    return GAN(generator, critic, 2)


def data(n: int, seed: int = 0) -> Tensor:
    return torch.tensor([2.0, -1.0]) + 0.2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def test_the_hinge_has_a_margin() -> None:
    real, made = [torch.tensor([3.0, 1.0])], [torch.tensor([-1.0, -5.0])]
    assert critic_loss(real, made) == 0
    assert critic_loss([torch.zeros(4)], [torch.zeros(4)]) == 2
    assert generator_loss([torch.tensor([1.0, 3.0]), torch.tensor([4.0])]) == -3


def test_each_term_reaches_its_own_network() -> None:
    model = pair()
    terms = model.losses(data(32), torch.Generator().manual_seed(0))
    critic = torch.autograd.grad(terms["critic"], list(model.parameters()), retain_graph=True, allow_unused=True)
    names = [n for n, _ in model.named_parameters()]
    assert {n.split(".")[0] for n, g in zip(names, critic, strict=True) if g is not None} == {"discriminator"}
    fool = torch.autograd.grad(terms["generator"], list(model.generator.parameters()))
    assert all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in fool)
    assert all(p.requires_grad for p in model.parameters())
    assert terms["loss"].item() == pytest.approx((terms["generator"] + terms["critic"]).item())


def test_frozen_restores_also_after_a_fault() -> None:
    model = pair()
    model.discriminator[0].requires_grad_(False)  # pyright: ignore[reportIndexIssue]
    before = [p.requires_grad for p in model.discriminator.parameters()]
    with pytest.raises(RuntimeError, match="a bug"), frozen(model.discriminator):
        assert not any(p.requires_grad for p in model.discriminator.parameters())
        raise RuntimeError("a bug")
    assert [p.requires_grad for p in model.discriminator.parameters()] == before and set(before) == {True, False}


def test_feature_distance_is_relative() -> None:
    a = [torch.ones(3), torch.full((2,), 10.0)]
    assert feature_distance(a, a) == 0
    assert feature_distance(a, [2 * f for f in a]) == pytest.approx(1)


def test_a_pair_finds_the_data() -> None:
    model, rng = pair(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3, betas=(0.5, 0.9))
    start = (model.sample(500, rng).mean(0) - data(500).mean(0)).norm()
    for step in range(300):
        optimiser.zero_grad()
        model.losses(data(64, step), rng)["loss"].backward()
        optimiser.step()
    made = model.sample(500, torch.Generator().manual_seed(1)).detach()
    assert (made.mean(0) - data(500).mean(0)).norm() < 0.3 * start
    assert torch.equal(made, model.sample(500, torch.Generator().manual_seed(1)))


def test_what_it_cannot_answer() -> None:
    for question in (pair().log_prob, pair().encode):
        with pytest.raises(NotImplementedError):
            question(data(2))


def test_penalties_are_the_slopes_at_both_and_reach_the_critic_only() -> None:
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    model = RelativisticGAN(generator, critic, 2, penalty=0.5)
    losses = model.losses(torch.randn(32, 2, generator=torch.Generator().manual_seed(1)), torch.Generator())
    slope = critic.weight.detach().square().sum()
    assert losses["penalty"].item() == pytest.approx(0.5 * slope.item(), rel=1e-4)
    (losses["critic"] + 0 * losses["generator"]).backward()
    assert critic.weight.grad is not None and torch.isfinite(critic.weight.grad).all()
    assert generator.weight.grad is None or not generator.weight.grad.any()


def test_a_relativistic_pair_finds_the_mean_of_a_gaussian() -> None:
    rng = torch.Generator().manual_seed(0)
    generator = nn.Linear(2, 2)
    first, last = nn.Linear(2, 24), nn.Linear(24, 1)
    critic = nn.Sequential(first, nn.SiLU(), last)
    for layer in (generator, first, last):
        nn.init.normal_(layer.weight, std=0.5, generator=rng)
        nn.init.zeros_(layer.bias)
    model = RelativisticGAN(generator, critic, 2, penalty=0.1)
    adam = torch.optim.Adam(model.parameters(), 0.01, (0.0, 0.9))
    target = torch.tensor([1.0, -0.5])
    for _ in range(250):
        adam.zero_grad()
        model.losses(target + 0.5 * torch.randn(128, 2, generator=rng), rng)["loss"].backward()
        adam.step()
    assert torch.allclose(model.sample(2000, rng).mean(0), target, atol=0.25)
