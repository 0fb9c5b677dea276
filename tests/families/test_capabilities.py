"""Every family answers the questions it claims, and refuses the others, as the table read from the code says."""

from __future__ import annotations

import ast
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from demos.families.autoregressive import Autoregressive, AutoregressiveMixture
from demos.families.capabilities import QUESTIONS, capabilities, refusal
from demos.families.energy import Energy
from demos.families.flow import Flow
from demos.families.gan import GAN, RelativisticGAN
from demos.families.score import FlowMatching
from demos.families.vae import VAE, log_normal

ABLE = {
    Autoregressive: ("generation", "density exact"),
    AutoregressiveMixture: ("generation", "density exact"),
    VAE: ("generation", "density lower bound", "representation"),
    Flow: ("generation", "density exact", "representation"),
    GAN: ("generation",),
    RelativisticGAN: ("generation",),
    Energy: ("generation", "density unnormalised"),
    FlowMatching: ("generation", "density exact", "representation"),
}


class Ordered(nn.Module):
    """Mixtures of four Gaussians: the first fixed, the second around half of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.amounts = nn.Parameter(0.3 * torch.randn(12, generator=rng(3)))

    def forward(self, x: Tensor) -> Tensor:
        first = self.amounts.expand(len(x), -1)
        second = first + torch.cat([0 * x[:, :1].expand(-1, 4), 0.5 * x[:, :1].expand(-1, 4), 0 * first[:, 8:]], 1)
        return torch.stack([first, second], 1)


class Towards(nn.Module):
    """Some velocity that depends on place and time."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.tensor([[0.5, -0.4], [0.4, 0.3]]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x @ self.turn.T) + t[:, None] * x


class Wells(nn.Module):
    """An energy with two wells beside the quadratic."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        near = torch.exp(-(x - 1).square().sum(1, keepdim=True)) + torch.exp(-(x + 1).square().sum(1, keepdim=True))
        return -self.depth * near


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(outputs: int, seed: int) -> nn.Linear:
    layer = nn.Linear(2, outputs)
    for p in layer.parameters():
        nn.init.normal_(p, std=0.5, generator=rng(seed))
    return layer


def likelihood(x: Tensor, mean: Tensor) -> Tensor:
    return log_normal(x, mean, torch.full_like(x, -1.0))


def observe(mean: Tensor, generator: torch.Generator | None) -> Tensor:
    return mean if generator is None else mean + math.exp(-0.5) * torch.randn(mean.shape, generator=generator)


MAKE: dict[type, Callable[[], Any]] = {
    AutoregressiveMixture: lambda: AutoregressiveMixture(Ordered(), 2),
    VAE: lambda: VAE(linear(4, 1), linear(2, 2), likelihood, 2, observe),
    Flow: lambda: Flow(2, steps=3, hidden=16, bins=6, generator=rng(1)),
    GAN: lambda: GAN(linear(2, 1), linear(1, 2), 2),
    RelativisticGAN: lambda: RelativisticGAN(linear(2, 1), linear(1, 2), 2),
    Energy: lambda: Energy(Wells(), (2,), 1.5, chains=300, steps=3, step=0.1, generator=rng(1)),
    FlowMatching: lambda: FlowMatching(Towards(), (2,), 16),
}
DENSE = [kind for kind in MAKE if len(ABLE[kind]) > 1]


def log_density(model: Any, x: Tensor) -> Tensor:
    if isinstance(model, VAE):
        return model.log_prob(x, rng(5), 64).detach()
    return model.log_prob(x).detach()


@pytest.mark.parametrize("kind", ABLE, ids=lambda kind: kind.__name__)
def test_the_table_is_read_from_the_code(kind: type) -> None:
    row = capabilities({"it": kind})["it"]
    able = tuple(f"{question} {row[question].note}".strip() for question in QUESTIONS if row[question].able)
    assert able == ABLE[kind]
    assert all(row[question].note.endswith(".") for question in QUESTIONS if not row[question].able)


def test_a_method_that_does_something_is_no_refusal() -> None:
    class Half:
        def encode(self, x: int) -> int:
            if x < 0:
                raise NotImplementedError("Below zero.")
            return x

        def decode(self, x: int) -> int:
            raise ValueError("Never.")

    assert refusal(Half, "encode") is None and refusal(Half, "decode") is None
    assert refusal(GAN, "log_prob") == "An adversarial network gives no density."


def test_threads_read_the_code_one_after_the_other_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, at_work, parsed = ast.parse, threading.Lock(), []

    def alone(source: str) -> ast.AST:
        assert at_work.acquire(blocking=False), "two threads parse at the same moment"
        try:
            time.sleep(0.01)
            parsed.append(source)
            return parse(source)
        finally:
            at_work.release()

    class Mute:
        def encode(self) -> None:
            raise NotImplementedError("No.")

        def decode(self) -> None:
            raise NotImplementedError("Neither.")

    monkeypatch.setattr(ast, "parse", alone)
    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(refusal, Mute, method) for method in ("encode", "decode") * 8]
        assert [job.result() for job in jobs] == ["No.", "Neither."] * 8
    assert len(parsed) == 2


@pytest.mark.parametrize("kind", MAKE, ids=lambda kind: kind.__name__)
def test_what_is_claimed_works_and_the_rest_is_refused(kind: type) -> None:
    model, x = MAKE[kind](), torch.randn(5, 2, generator=rng(2))
    row = capabilities({"it": kind})["it"]
    assert model.sample(7, rng()).shape == (7, 2)
    if row["density"].able:
        assert log_density(model, x).shape == (5,)
        assert model.bound == row["density"].note
    else:
        with pytest.raises(NotImplementedError):
            model.log_prob(x)
    if row["representation"].able:
        assert model.decode(model.encode(x)).shape == x.shape
    else:
        with pytest.raises(NotImplementedError):
            model.encode(x)


@pytest.mark.parametrize("kind", MAKE, ids=lambda kind: kind.__name__)
def test_samples_follow_the_seed_and_report_their_steps(kind: type) -> None:
    model, seen = MAKE[kind](), []
    a, b, c = (model.sample(6, rng(seed)).detach() for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    model.sample(6, rng(1), on_step=lambda i, n, x: seen.append((i, n, x.shape)))
    assert [i for i, _, _ in seen] == list(range(1, seen[-1][1] + 1))
    assert all(shape == (6, 2) for _, _, shape in seen)


@pytest.mark.parametrize("kind", MAKE, ids=lambda kind: kind.__name__)
def test_losses_reach_every_weight(kind: type) -> None:
    model, x = MAKE[kind](), torch.randn(64, 2, generator=rng(2))
    losses = model.losses(x, rng())
    losses["loss"].backward()
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert sum(float(p.grad.abs().sum()) > 0 for p in model.parameters()) > 0


@pytest.mark.parametrize("kind", DENSE, ids=lambda kind: kind.__name__)
def test_densities_integrate_to_one_and_samples_have_their_moments(kind: type) -> None:
    model, side, cells = MAKE[kind](), 7.0, 70
    at = (torch.arange(cells) + 0.5) / cells * 2 * side - side
    points = torch.cartesian_prod(at, at)
    p = log_density(model, points).exp() * (2 * side / cells) ** 2
    if model.bound == "unnormalised":
        p = p / p.sum()
    assert float(p.sum()) == pytest.approx(1, abs=0.03)
    mean = (p[:, None] * points).sum(0)
    spread = (p[:, None] * (points - mean).square()).sum(0).sqrt()
    x = model.sample(1500, rng(4)).detach()
    assert torch.allclose(x.mean(0), mean, atol=0.15)
    assert torch.allclose(x.std(0), spread, atol=0.15)
