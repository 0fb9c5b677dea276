"""Sorted projections: against naive code, and as a distance between pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from demos.style.losses import gram_loss, nearest, patch_loss, structure_loss
from demos.style.measure import style_distance
from demos.style.patches import barycentre, directions, order, project, pyramid, ranked, resample, sliced_distance
from tests.style.conftest import tensor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_directions_are_unit_and_half_of_them_see_no_colour() -> None:
    w = directions(16, 5, generator())
    assert w.shape == (16, 3, 5, 5)
    assert torch.allclose(w.flatten(1).norm(dim=1), torch.ones(16), atol=1e-5)
    means = w.mean((2, 3)).abs().amax(1)
    assert means[8:].max() < 1e-6 < means[:8].min()


def test_projections_are_dot_products_with_every_patch() -> None:
    x, w = tensor(0, 12, 14), directions(4, 5, generator())
    naive = [[float((x[0, :, i : i + 5, j : j + 5] * f).sum()) for i in range(8) for j in range(10)] for f in w]
    assert torch.allclose(project(x, w)[0], torch.tensor(naive), atol=1e-4)
    some = project(x, w, 20, generator())
    assert some.shape == (1, 4, 20) and all(v in project(x, w)[0, 0] for v in some[0, 0])
    with pytest.raises(ValueError, match="no patch of 5"):
        project(x[:, :, :4], w)


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_order_is_argsort(scale: float) -> None:
    values = scale * torch.randn(2, 3, 500, generator=generator())
    assert torch.equal(order(values), values.argsort(dim=-1, stable=True))
    ties = torch.tensor([0.0, -0.0, 2.0, -1.0, 2.0, -1.0])
    assert torch.equal(ties[order(ties)], ties.sort()[0])
    assert torch.equal(ranked(values), values.sort(-1)[0])


def test_the_distance_to_oneself_is_0_and_grows_with_noise() -> None:
    x, w = tensor(0), directions(16, 7, generator())
    target = ranked(project(x, w))
    noise = torch.randn(x.shape, generator=generator())
    found = [float(sliced_distance(project(x + s * noise, w), target)) for s in (0.0, 0.1, 0.3, 0.9)]
    assert found[0] == pytest.approx(0, abs=1e-6) and found == sorted(found) and found[1] > 0.001


def test_the_measured_distance_does_as_well() -> None:
    x = tensor(0, 40, 48)
    noise = torch.randn(x.shape, generator=generator())
    found = [style_distance(x + s * noise, x) for s in (0.0, 0.2, 0.6)]
    assert found[0] == pytest.approx(0, abs=1e-6) and found == sorted(found)
    assert style_distance(x.flip(3), x) < style_distance(tensor(1, 40, 48), x)


def test_the_distance_equals_a_naive_one() -> None:
    a, b = torch.randn(1, 3, 50, generator=generator(1)), torch.randn(1, 3, 50, generator=generator(2)).sort(-1)[0]
    naive = np.mean([
        np.mean(np.abs(np.sort(a[0, k]) - b[0, k].numpy())) / (float(b[0, k].std()) + 0.05) for k in range(3)
    ])  # fmt: skip
    assert float(sliced_distance(a, b)) == pytest.approx(naive, rel=1e-5)


def test_gradients_of_the_distance_are_finite_and_lead_towards_the_target() -> None:
    x, w = tensor(0).requires_grad_(True), directions(16, 7, generator())
    target = ranked(project(tensor(1), w))
    before = sliced_distance(project(x, w), target).mean()
    (slope,) = torch.autograd.grad(before, x)
    assert slope.isfinite().all()
    after = sliced_distance(project(x.detach() - 0.05 * slope / slope.square().mean().sqrt(), w), target)
    assert after.item() < before.item()


def test_a_barycentre_with_weights_1_and_0_is_the_first_itself() -> None:
    w = directions(8, 7, generator())
    parts = [project(tensor(i), w) for i in range(2)]
    count = parts[0].shape[-1]
    alone = barycentre(parts, torch.tensor([[1.0, 0.0]]), count)
    assert torch.equal(alone, ranked(parts[0]))
    half = barycentre(parts, torch.tensor([[0.5, 0.5]]), count)
    assert torch.allclose(half, (ranked(parts[0]) + ranked(parts[1])) / 2, atol=1e-6)
    assert (half.diff(dim=-1) >= -1e-6).all()


def test_quantiles_are_resampled_between_the_ends() -> None:
    ranks = torch.randn(1, 2, 100, generator=generator()).sort(-1)[0]
    assert resample(ranks, 100) is ranks
    few = resample(ranks, 10)
    assert few.shape == (1, 2, 10) and (few.diff(dim=-1) >= 0).all()
    assert (few[..., 0] >= ranks[..., 0]).all() and (few[..., -1] <= ranks[..., -1]).all()


def test_a_pyramid_halves_as_far_as_8_pixels() -> None:
    assert [tuple(p.shape[2:]) for p in pyramid(tensor(0, 40, 64), 9)] == [(40, 64), (20, 32), (10, 16)]
    assert len(pyramid(tensor(0, 40, 64), 2)) == 2


def test_nearest_is_brute_force() -> None:
    query, keys = (torch.randn(2, n, 6, generator=generator(n)) for n in (30, 20))
    distance = ((query[:, :, None] - keys[:, None]) ** 2).sum(-1)
    assert torch.equal(nearest(query, keys, 1e9), distance.argmin(2))
    alpha = 0.05
    spread = keys.var(1).sum(1).view(-1, 1, 1)
    scaled = distance / (distance.amin(1, keepdim=True) + alpha * spread + 1e-6)
    assert torch.equal(nearest(query, keys, alpha), scaled.argmin(2))


def test_popular_patches_become_less_attractive() -> None:
    query = torch.zeros(1, 40, 4) + 0.3 * torch.randn(1, 40, 4, generator=generator())
    keys = torch.cat([torch.zeros(1, 1, 4), torch.randn(1, 19, 4, generator=generator(1))], 1)
    plain, fair = (nearest(query, keys, alpha).unique().numel() for alpha in (1e9, 0.01))
    assert fair > plain


def test_losses_of_style_are_least_for_the_style_itself() -> None:
    x, other, one = tensor(0, 64, 64), tensor(1, 64, 64), torch.ones(1, 1)
    for loss in (
        lambda y: gram_loss(y, x, generator()),
        lambda y: patch_loss(y, [x], one, generator(), samples=10_000),
    ):
        y = other.clone().requires_grad_(True)
        away = loss(y).mean()
        away.backward()
        assert loss(x).item() < 0.03 * away.item() and away.item() > 0.05
        assert y.grad is not None and y.grad.isfinite().all()


def test_structure_is_blind_to_brightness_and_contrast_but_not_to_shape() -> None:
    x = tensor(0, 64, 64)
    assert structure_loss(x, x).item() < 0.02
    assert structure_loss(0.6 * x + 0.2, x).item() < 0.05
    assert structure_loss(x.flip(3), x).item() > 0.3 and structure_loss(-x, x).item() > 1
