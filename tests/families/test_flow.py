"""Normalizing flows: the inverse and the log-determinant against autograd, densities that integrate to one, samples."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from demos.families.flow import Flow, Mixing, SplineCoupling, spline

SHAPES = [(2, 0), (3, 2), (8, 5)]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def awake(channels: int, context: int = 0, steps: int = 3, spread: float = 0.3) -> Flow:
    """A flow in double precision whose couplings and mixings all do something."""
    generator = torch.Generator().manual_seed(1)
    flow = Flow(channels, context, steps, hidden=16, generator=generator).double()
    for weight in flow.parameters():
        weight.data += spread * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    return flow


def given(n: int, context: int, *size: int) -> Tensor | None:
    return numbers(n, context, *size, seed=5) if context else None


@pytest.mark.parametrize(("channels", "context"), SHAPES)
def test_the_log_determinant_is_that_of_autograds_jacobian(channels: int, context: int) -> None:
    flow, x, c = awake(channels, context), numbers(4, channels), given(4, context)
    _, log_det = flow(x, c)
    for i in range(4):
        one = None if c is None else c[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(lambda v, one=one: flow(v[None], one)[0][0], x[i])
        exact = torch.linalg.slogdet(jacobian)[1]  # pyright: ignore[reportArgumentType]
        assert log_det[i].item() == pytest.approx(exact.item(), abs=1e-9)
    assert log_det.std() > 1e-3


@pytest.mark.parametrize(("channels", "context"), SHAPES)
def test_decode_inverts_encode(channels: int, context: int) -> None:
    flow, x, c = awake(channels, context), numbers(50, channels), given(50, context)
    z = flow.encode(x, c)
    assert (z - x).abs().mean() > 0.1
    assert torch.allclose(flow.decode(z, c), x, atol=1e-9)
    assert torch.allclose(flow.encode(flow.decode(x, c), c), x, atol=1e-9)


def test_mixing_has_the_determinant_that_it_says() -> None:
    mixing = Mixing(6, torch.Generator().manual_seed(3)).double()
    start = mixing(torch.eye(6, dtype=torch.float64))[0]
    assert torch.allclose(start @ start.T, torch.eye(6, dtype=torch.float64), atol=1e-6)
    for weight in mixing.parameters():
        weight.data += 0.2 * numbers(*weight.shape)
    w = mixing(torch.eye(6, dtype=torch.float64))[0] - mixing.bias
    assert torch.linalg.slogdet(w)[1].item() == pytest.approx(mixing.log_scale.sum().item(), abs=1e-9)


def test_an_untrained_flow_is_a_standard_normal() -> None:
    flow, x = Flow(4, generator=torch.Generator().manual_seed(0)), numbers(9, 4).float()
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    assert torch.allclose(flow.log_prob(x), exact, atol=1e-4)


def test_an_affine_flow_has_the_density_of_its_gaussian() -> None:
    flow = awake(3, steps=1, spread=0.0)
    mixing = flow.mixings[0]
    assert isinstance(mixing, Mixing)
    for weight in mixing.parameters():
        weight.data += 0.3 * numbers(*weight.shape, seed=2)
    w = mixing(torch.eye(3, dtype=torch.float64))[0].T - mixing.bias[:, None]
    back = torch.linalg.inv(w)
    gaussian = torch.distributions.MultivariateNormal(-back @ mixing.bias, back @ back.T)
    x = numbers(20, 3)
    assert torch.allclose(flow.log_prob(x), gaussian.log_prob(x), atol=1e-9)


def test_the_density_integrates_to_one() -> None:
    flow = awake(2, spread=0.15)
    axis = torch.linspace(-12, 12, 481, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = flow.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("context", [0, 2])
def test_a_map_is_scored_position_by_position(context: int) -> None:
    flow, x, c = awake(4, context), numbers(2, 4, 3, 5), given(2, context, 3, 5)
    scores = flow.log_prob(x, c)
    assert scores.shape == (2, 3, 5)
    rows = flow.log_prob(x.movedim(1, -1).reshape(-1, 4), None if c is None else c.movedim(1, -1).reshape(-1, context))
    assert torch.allclose(scores.flatten(), rows)
    other = x.clone()
    other[0, :, 1, 2] += 1
    changed = flow.log_prob(other, c) != scores
    assert changed.sum() == 1 and changed[0, 1, 2]
    assert torch.allclose(flow.decode(flow.encode(x, c), c), x, atol=1e-9)


def test_samples_follow_the_density() -> None:
    flow = awake(2, spread=0.15)
    generator = torch.Generator().manual_seed(0)
    x = flow.sample(4000, generator).double()
    entropy = -flow.log_prob(x)
    axis = torch.linspace(-12, 12, 481, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    log_p = flow.log_prob(grid)
    exact = -(log_p.exp() * log_p).sum() * (axis[1] - axis[0]) ** 2
    assert entropy.mean().item() == pytest.approx(exact.item(), abs=5 * entropy.std().item() / math.sqrt(4000))


def test_samples_repeat_with_their_seed_and_take_the_shape_of_the_context() -> None:
    flow, c = awake(4, 3).float(), numbers(2, 3, 5, 6).float()
    a, b, other = (flow.sample(2, torch.Generator().manual_seed(s), c) for s in (1, 1, 2))
    assert a.shape == (2, 4, 5, 6) and torch.equal(a, b) and not torch.allclose(a, other)
    assert flow.sample(7, torch.Generator().manual_seed(1), numbers(7, 3).float()).shape == (7, 4)


def test_scales_are_clamped_and_gradients_finite_far_away() -> None:
    flow = awake(4, spread=2.0).float()
    x = 1e3 * numbers(16, 4).float()
    flow.log_prob(x).mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in flow.parameters())
    _, log_det = flow(x)
    mixings = sum(m.log_scale.sum() for m in flow.mixings)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    assert ((log_det - mixings).abs() <= 3 * 2 * 1.9 + 1e-3).all()


def test_autocast_does_not_touch_it() -> None:
    flow, x = awake(4).float(), numbers(8, 4).float()
    plain = flow.log_prob(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(flow.log_prob(x), plain)


def test_training_finds_two_moons_denser_than_a_gaussian_does() -> None:
    generator = torch.Generator().manual_seed(0)

    def moons(n: int) -> Tensor:
        side = torch.randint(0, 2, (n,), generator=generator).float()
        angle = math.pi * torch.rand(n, generator=generator)
        x = torch.stack([angle.cos() + side - 0.5, (1 - 2 * side) * (angle.sin() - 0.25)], 1)
        return x + 0.08 * torch.randn(n, 2, generator=generator)

    test = moons(2000)
    flow = Flow(2, steps=6, hidden=32, generator=generator)
    optimiser = torch.optim.Adam(flow.parameters(), 5e-3)
    for _ in range(250):
        loss = -flow.log_prob(moons(256)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    gaussian = torch.distributions.MultivariateNormal(test.mean(0), test.T.cov())
    assert flow.log_prob(test).mean() > gaussian.log_prob(test).mean() + 0.5


@pytest.mark.parametrize(
    ("context", "x", "c"),
    [(0, (2, 3), None), (0, (4,), None), (0, (2, 4), (2, 1)), (3, (2, 4), None), (3, (2, 4), (2, 2))],
)
def test_other_shapes_are_refused(context: int, x: tuple[int, ...], c: tuple[int, ...] | None) -> None:
    flow = awake(4, context)
    for call in (flow.log_prob, flow.decode):
        with pytest.raises(ValueError, match="expected"):
            call(numbers(*x), None if c is None else numbers(*c))


def test_one_channel_cannot_be_coupled() -> None:
    with pytest.raises(ValueError, match="two channels"):
        Flow(1)


@pytest.mark.parametrize("inverse", [False, True])
def test_a_spline_is_monotone_and_has_the_slope_that_it_says(inverse: bool) -> None:
    amounts = 2 * numbers(60, 3 * 6 - 1).double()
    x = torch.linspace(-3.4, 3.4, 60, dtype=torch.float64, requires_grad=True)
    y, log_slope = spline(x, amounts, 3.0, inverse)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(slope.log(), log_slope, atol=1e-6)
    assert torch.equal(y[x.abs() > 3], x[x.abs() > 3])
    back, log_back = spline(y.detach(), amounts, 3.0, not inverse)
    assert torch.allclose(back, x, atol=1e-6) and torch.allclose(log_back, -log_slope, atol=1e-5)


def test_a_spline_of_zeros_is_the_identity() -> None:
    x = numbers(40)
    y, log_slope = spline(x, x.new_zeros(40, 17), 4.0)
    assert torch.allclose(y, x, atol=1e-5) and torch.allclose(log_slope, torch.zeros_like(x), atol=1e-5)


def test_a_spline_flow_has_autograds_jacobian_and_its_inverse() -> None:
    flow = Flow(2, steps=3, hidden=16, bins=5, generator=torch.Generator().manual_seed(0)).double()
    for coupling in flow.couplings:
        assert isinstance(coupling, SplineCoupling)
        last = coupling.body[-1]
        assert isinstance(last, torch.nn.Linear)
        torch.nn.init.normal_(last.weight, std=0.5, generator=torch.Generator().manual_seed(1))
    x = numbers(12, 2).double()
    z, log_det = flow(x)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x)[0].sum(0), x).permute(1, 0, 2)
    assert torch.allclose(torch.linalg.slogdet(jacobian).logabsdet, log_det, atol=1e-6)
    assert torch.allclose(flow.decode(z), x, atol=1e-6)
