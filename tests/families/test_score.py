"""Flow matching: the path, the times, and Euler's method on fields whose flow is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from demos.core.cancel import Cancelled
from demos.families.score import (
    SHIFT,
    FlowMatching,
    Velocity,
    divergence,
    euler,
    heun,
    interpolate,
    sample_times,
    schedule,
    shifted,
    unshifted,
)

MEAN, STD = 1.5, 0.4


def noise(n: int = 2000, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(mean: float = MEAN, std: float = STD) -> Velocity:
    """E[x_1 - x_0 | x_t] for data from N(mean, std²); its flow carries the noise z to mean + std * z."""

    def velocity(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
        t = t.view(-1, 1, 1, 1)
        slope = (t - (1 - t) * std**2) / ((1 - t) ** 2 * std**2 + t**2)
        return -mean + slope * (x - (1 - t) * mean)

    return velocity


def test_the_path_goes_from_data_to_noise() -> None:
    data, end = noise(3, 1), noise(3, 2)
    t = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)
    x = interpolate(data, end, t)
    assert torch.equal(x[0], data[0]) and torch.equal(x[1], end[1])
    assert torch.allclose(x[2], 0.75 * data[2] + 0.25 * end[2])
    flat = interpolate(data.flatten(1), end.flatten(1), t)
    assert torch.equal(flat, x.flatten(1))


def test_times_cover_the_open_interval() -> None:
    t = sample_times(20_000, torch.Generator().manual_seed(0))
    again = sample_times(20_000, torch.Generator().manual_seed(0))
    assert t.shape == (20_000,) and torch.equal(t, again)
    assert t.min() >= 0 and t.max() <= 1
    assert torch.histc(t, 10, 0, 1).min() > 100
    early, late = (sample_times(20_000, torch.Generator().manual_seed(0), mean=m) for m in (-1.0, 2.0))
    assert early.mean() + 0.2 < t.mean() < late.mean() - 0.05


def even(steps: int, start: float = 1.0) -> list[float]:
    """Equal steps from `start` to 0."""
    return [start * (1 - i / steps) for i in range(steps + 1)]


@pytest.mark.parametrize("shift", [1.0, SHIFT, 6.0])
def test_the_shift_keeps_the_ends_and_the_order(shift: float) -> None:
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    t = shifted(u, shift)
    assert t[0] == 0 and t[-1] == 1 and (t.diff() > 0).all()
    assert (t >= u).all()
    assert torch.allclose((t / (1 - t))[:-1], (shift * u / (1 - u))[:-1])
    assert torch.allclose(unshifted(t, shift), u)


@pytest.mark.parametrize("start", [1.0, 0.6, 0.05])
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_a_schedule_goes_from_its_start_to_zero(start: float, steps: int) -> None:
    times = schedule(steps, start)
    assert len(times) == steps + 1
    assert times[0] == pytest.approx(start, abs=1e-12) and times[-1] == 0
    assert all(t > after for t, after in pairwise(times))
    assert schedule(steps, start, shift=1.0) == pytest.approx(even(steps, start))
    lengths = [t - after for t, after in pairwise(times)]
    assert steps == 1 or lengths[0] < lengths[-1]


@pytest.mark.parametrize("times", [[1.0, 0.0], even(7), schedule(1), schedule(2), schedule(9)], ids=len)
def test_straight_paths_are_exact_in_any_steps(times: list[float]) -> None:
    z, target = noise(5), noise(5, 1)
    assert torch.allclose(euler(lambda x, t, d: z - target, z, times), target)
    assert torch.allclose(euler(lambda x, t, d: z - target, z, times, order=2), target, atol=1e-6)
    assert torch.allclose(euler(gaussian(std=1e-9), z, times), torch.full_like(z, MEAN), atol=1e-6)


def test_one_step_gives_the_mean_and_many_give_the_distribution() -> None:
    z = noise()
    once = euler(gaussian(), z, schedule(1))
    assert torch.allclose(once, torch.full_like(z, MEAN))
    variances = [float(euler(gaussian(), z, schedule(steps)).var()) for steps in (1, 4, 16, 64)]
    assert variances == sorted(variances) and variances[-1] < STD**2 * 1.05
    for times in (schedule(400), even(400)):
        many = euler(gaussian(), z, times)
        assert many.mean() == pytest.approx(MEAN, abs=0.02)
        assert many.var() == pytest.approx(STD**2, rel=0.05)
        assert torch.allclose(many, MEAN + STD * z, atol=0.03)


@pytest.mark.parametrize("times", [even, schedule])
@pytest.mark.parametrize(("order", "low", "high"), [(1, 1.6, 2.4), (2, 3.2, 6.0)])
def test_it_converges_in_its_order(order: int, low: float, high: float, times: Callable[[int], list[float]]) -> None:
    z = noise(200)
    exact = MEAN + STD * z
    errors = [float((euler(gaussian(), z, times(n), order=order) - exact).abs().mean()) for n in (16, 32, 64, 128)]
    ratios = [coarse / fine for coarse, fine in pairwise(errors)]
    assert all(low < ratio < high for ratio in ratios), ratios


def test_it_can_begin_in_the_middle() -> None:
    z = noise(200)
    start = 0.6
    middle = (1 - start) * MEAN + ((1 - start) ** 2 * STD**2 + start**2) ** 0.5 * z
    assert torch.allclose(euler(gaussian(), middle, schedule(400, start)), MEAN + STD * z, atol=0.03)


def test_the_field_is_asked_at_the_right_times() -> None:
    asked: list[tuple[list[float], list[float]]] = []

    def velocity(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
        asked.append((t.tolist(), step.tolist()))
        return torch.zeros_like(x)

    euler(velocity, noise(2), [0.9, 0.5, 0.4, 0.0])
    assert [t for t, _ in asked] == [pytest.approx([t, t]) for t in (0.9, 0.5, 0.4)]
    assert [step for _, step in asked] == [pytest.approx([d, d]) for d in (0.4, 0.1, 0.4)]


def test_project_sees_each_state_with_its_time_and_decides_what_goes_on() -> None:
    z, seen = noise(4), []
    kept = torch.zeros_like(z)
    kept[:, 0] = 1
    data, times = torch.full_like(z, -3.0), schedule(5)

    def project(x: Tensor, t: float) -> Tensor:
        seen.append(t)
        return (1 - kept) * x + kept * ((1 - t) * data + t * z)

    x = euler(gaussian(), z, times, project=project)
    assert seen == times[1:]
    assert torch.allclose(x[:, 0], data[:, 0])
    assert torch.allclose(x[:, 1:], euler(gaussian(), z, times)[:, 1:])


def test_on_step_counts_from_one_and_gets_an_estimate_of_the_data() -> None:
    z, target, seen = noise(4), noise(4, 1), []
    euler(lambda x, t, d: z - target, z, schedule(3), on_step=lambda i, n, estimate: seen.append((i, n, estimate)))
    assert [(i, n) for i, n, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    assert all(torch.allclose(estimate, target) for _, _, estimate in seen)


def test_cancelled_ends_it_at_that_step() -> None:
    calls = 0

    def velocity(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x

    def on_step(i: int, n: int, estimate: Tensor) -> None:
        if i == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        euler(velocity, noise(2), schedule(50), on_step=on_step)
    assert calls == 2


CENTRES = torch.tensor([[-1.2, 0.3], [1.0, -0.4]])
WIDE = 0.35


class Known(nn.Module):
    """The velocity of a mixture of two Gaussians: E[noise - data | x_t], in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(CENTRES.clone())

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        t = t[:, None]
        variance = (1 - t).square() * WIDE**2 + t.square()
        gap = x[:, None] - (1 - t[:, None]) * self.centres
        share = (-0.5 * gap.square().sum(-1) / variance).softmax(1)
        slope = (t - (1 - t) * WIDE**2) / variance
        return (share[..., None] * (slope[:, None] * gap - self.centres)).sum(1)


def log_mixture(x: Tensor) -> Tensor:
    each = -0.5 * (x[:, None] - CENTRES).square().sum(-1) / WIDE**2
    return each.logsumexp(1) - math.log(2 * 2 * math.pi * WIDE**2)


def mixed(n: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return CENTRES[torch.randint(2, (n,), generator=rng)] + WIDE * torch.randn(n, 2, generator=rng)


def test_heun_is_of_second_order() -> None:
    errors = []
    for steps in (8, 16):
        times = [i / steps for i in range(steps + 1)]
        x = heun(lambda x, t: -x * (1 + t), torch.ones(1, 1, dtype=torch.float64), times)
        errors.append(abs(x.item() - math.exp(-1.5)))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.7)


def test_the_divergence_is_exact_and_the_probe_agrees_in_the_mean() -> None:
    turn = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    v, exact = divergence(lambda x: torch.sin(x @ turn.T), x)
    wanted = (torch.cos(x @ turn.T) * turn.diagonal()).sum(1)
    assert torch.allclose(exact, wanted, atol=1e-5) and torch.allclose(v, torch.sin(x @ turn.T))
    rng = torch.Generator().manual_seed(1)
    signs = [torch.randint(0, 2, x.shape, generator=rng) * 2.0 - 1 for _ in range(400)]
    mean = torch.stack([divergence(lambda x: torch.sin(x @ turn.T), x, sign)[1] for sign in signs]).mean(0)
    assert torch.allclose(mean, wanted, atol=0.35)


def test_the_likelihood_is_that_of_the_mixture_exactly_and_by_probes() -> None:
    x = mixed(200)
    model = FlowMatching(Known(), (2,), 40)
    assert model.bound == "exact"
    assert torch.allclose(model.log_prob(x), log_mixture(x), atol=0.03)
    estimate = FlowMatching(Known(), (2,), 40, probes=4)
    assert estimate.bound == "estimate"
    rng = torch.Generator().manual_seed(0)
    assert estimate.log_prob(x, rng).mean().item() == pytest.approx(log_mixture(x).mean().item(), abs=0.15)
    with pytest.raises(ValueError, match="generator"):
        estimate.log_prob(x)


def test_samples_and_codes_are_those_of_the_mixture() -> None:
    model, seen = FlowMatching(Known(), (2,), 24), []
    x = model.sample(3000, torch.Generator().manual_seed(0), lambda i, n, x: seen.append((i, n)))
    assert seen == [(i, 24) for i in range(1, 25)]
    assert torch.allclose(x.mean(0), CENTRES.mean(0), atol=0.08)
    assert torch.allclose(x.std(0), mixed(20_000).std(0), atol=0.06)
    z = model.encode(mixed(3000, 1))
    assert torch.allclose(z.mean(0), torch.zeros(2), atol=0.08) and torch.allclose(z.std(0), torch.ones(2), atol=0.06)
    assert torch.allclose(model.decode(z), mixed(3000, 1), atol=0.05)


def test_the_true_velocity_has_the_least_loss() -> None:
    x = mixed(4000)

    def loss(shift: float) -> float:
        known = Known()
        with torch.no_grad():
            known.centres.add_(shift)
        model = FlowMatching(known, (2,))
        return model.losses(x, torch.Generator().manual_seed(0))["loss"].item()

    assert loss(0.0) < min(loss(0.3), loss(-0.3))
