"""Autoregression: exact likelihoods that sum to one, causality, memory, and draws that follow the probabilities."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from demos.core.cancel import Cancelled
from demos.families.autoregressive import (
    Autoregressive,
    AutoregressiveMixture,
    Block,
    Memory,
    draw,
    log_prob_of,
    mixture_log_prob,
    rotate,
)

LENGTH, VALUES = 4, 3


class Tiny(nn.Module):
    """A one-block causal transformer over values, shifted by a start token."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VALUES + 1, 16)
        self.block = Block(16, 2, causal=True)
        self.head = nn.Linear(16, VALUES)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.full_like(x[:, :1], VALUES)
        return self.head(self.block(self.table(torch.cat([start, x[:, :-1]], 1)))[0])


@pytest.fixture
def model() -> Autoregressive:
    torch.manual_seed(0)
    made = Autoregressive(Tiny(), LENGTH).eval()
    for p in made.parameters():
        p.data.mul_(2)
    return made


def everything() -> Tensor:
    return torch.tensor(list(itertools.product(range(VALUES), repeat=LENGTH)))


def test_probabilities_of_all_sequences_sum_to_one(model: Autoregressive) -> None:
    p = model.log_prob(everything()).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    assert p.max() > 2 * p.min()
    assert model.bound == "exact"


def test_samples_follow_the_probabilities(model: Autoregressive) -> None:
    x = model.sample(4000, torch.Generator().manual_seed(0))
    index = (x * VALUES ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    seen = torch.bincount(index, minlength=VALUES**LENGTH) / len(x)
    assert (seen - model.log_prob(everything()).exp()).abs().max() < 0.03
    again = model.sample(4000, torch.Generator().manual_seed(0))
    assert torch.equal(x, again) and not torch.equal(x, model.sample(4000, torch.Generator().manual_seed(1)))


def test_a_position_does_not_see_later_ones(model: Autoregressive) -> None:
    x = everything()[:10]
    changed = x.clone()
    changed[:, 2] = (changed[:, 2] + 1) % VALUES
    a, b = model.network(x), model.network(changed)
    assert torch.allclose(a[:, :3], b[:, :3], atol=1e-6) and not torch.allclose(a[:, 3], b[:, 3], atol=1e-3)


def test_a_block_that_looks_both_ways_sees_later_ones_but_no_masked_ones() -> None:
    torch.manual_seed(0)
    block, x = Block(16, 2, causal=False).eval(), torch.randn(1, 6, 16)
    changed = x.clone()
    changed[:, 5] += torch.randn(16)
    assert not torch.allclose(block(x)[0][:, 0], block(changed)[0][:, 0], atol=1e-4)
    mask = torch.tensor([[True] * 5 + [False]])
    assert torch.allclose(block(x, mask=mask)[0][:, :5], block(changed, mask=mask)[0][:, :5], atol=1e-6)


def test_memory_gives_what_the_whole_sequence_gives() -> None:
    torch.manual_seed(0)
    block, x = Block(16, 2, causal=True).eval(), torch.randn(2, 7, 16)
    whole, _ = block(x)
    memory: Memory | None = None
    parts = []
    for part in x.split([3, 1, 1, 2], 1):
        y, memory = block(part, memory)
        parts.append(y)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)


def test_rotated_products_depend_on_distance_only() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))

    def score(i: int, j: int) -> float:
        return float((rotate(q, torch.tensor([i])) * rotate(k, torch.tensor([j]))).sum())

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-4)
    assert abs(score(5, 2) - score(5, 4)) > 1e-3


def test_temperature_sharpens_and_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([0.0, 1.0, 0.5]).expand(3000, 3)
    rng = torch.Generator().manual_seed(0)
    assert (draw(logits, rng, 0) == 1).all()
    shares = [(draw(logits, rng, t) == 1).float().mean().item() for t in (0.3, 1.0, 2.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[1] == pytest.approx(log_prob_of(logits[:1], torch.tensor([1])).exp().item(), abs=0.03)


def test_it_can_be_stopped_and_has_no_latent(model: Autoregressive) -> None:
    def on_step(i: int, n: int, x: Tensor) -> None:
        assert n == LENGTH
        if i == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        model.sample(1, torch.Generator(), on_step)
    with pytest.raises(NotImplementedError):
        model.encode(everything())


def test_gradients_are_finite(model: Autoregressive) -> None:
    model.log_prob(everything()).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_mixture_is_that_of_torch() -> None:
    weight, mean, log_std = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, generator=torch.Generator().manual_seed(1))
    wanted = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=weight), torch.distributions.Normal(mean, log_std.exp())
    ).log_prob(x)
    assert torch.allclose(mixture_log_prob(torch.cat([weight, mean, log_std], -1), x), wanted, atol=1e-5)


def test_real_variables_are_drawn_one_after_the_other() -> None:
    class Doubling(nn.Module):
        """x_1 ~ N(1, 0.1²); x_2 ~ N(2 x_1, 0.1²)."""

        def __init__(self) -> None:
            super().__init__()
            self.log_std = nn.Parameter(torch.tensor(-2.302585))

        def forward(self, x: Tensor) -> Tensor:
            zero, one = torch.zeros(len(x)), torch.ones(len(x))
            rows = [torch.stack([zero, mean, self.log_std.expand(len(x))], 1) for mean in (one, 2 * x[:, 0])]
            return torch.stack(rows, 1)

    model, seen = AutoregressiveMixture(Doubling(), 2), []
    x = model.sample(4000, torch.Generator().manual_seed(0), lambda i, n, x: seen.append((i, n, x[0, 1].item())))
    assert seen[0] == (1, 2, 0.0) and seen[1][:2] == (2, 2) and seen[1][2] != 0
    assert torch.allclose(x.mean(0), torch.tensor([1.0, 2.0]), atol=0.02)
    assert (x[:, 1] - 2 * x[:, 0]).std().item() == pytest.approx(0.1, abs=0.01)
    assert torch.allclose(model.conditionals(x).sum(1), model.log_prob(x))
