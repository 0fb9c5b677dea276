"""Colours as moments, and the linear map between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from demos.style.colour import MOMENTS, moments, recolour, transfer
from tests.style.conftest import tensor


def noise(seed: int, spread: float = 0.15) -> torch.Tensor:
    """Colours far enough from black and white that nothing is clamped."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.eye(3) + 0.4 * torch.randn(3, 3, generator=g)
    plain = torch.randn(1, 3, 40 * 40, generator=g).clamp(-2.5, 2.5)
    return (spread * (mix / mix.norm()) @ plain + 0.2 * torch.randn(1, 3, 1, generator=g)).view(1, 3, 40, 40)


def test_moments_are_those_of_numpy() -> None:
    x = torch.cat([noise(0), noise(1)])
    found = moments(x)
    assert found.shape == (2, MOMENTS)
    for row, picture in zip(found, x, strict=True):
        flat = picture.flatten(1).numpy()
        assert np.allclose(row[:3], flat.mean(1), atol=1e-5)
        assert np.allclose(row[3:], np.cov(flat, bias=True)[np.triu_indices(3)], atol=1e-5)


def test_the_transfer_gives_the_wanted_moments() -> None:
    moved = transfer(noise(0), noise(1))
    assert torch.allclose(moments(moved), moments(noise(1)), atol=1e-3)
    assert torch.allclose(transfer(noise(1), noise(1)), noise(1), atol=1e-3)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_the_strength_is_a_way_between(strength: float) -> None:
    x, wanted = noise(0), moments(noise(1))
    moved = recolour(x, wanted, torch.tensor([strength]))
    whole = recolour(x, wanted, torch.ones(1))
    assert torch.allclose(moved, x + strength * (whole - x), atol=1e-5)


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.7])
def test_one_colour_alone_is_no_trouble(value: float) -> None:
    flat = torch.full((1, 3, 20, 20), value)
    for content, style in ((flat, noise(1)), (noise(1), flat), (flat, flat)):
        moved = transfer(content, style)
        assert moved.isfinite().all() and moved.abs().max() <= 1
    assert (transfer(noise(1), flat) - value).abs().max() < 0.1


def test_gradients_are_finite() -> None:
    x = tensor(0).requires_grad_(True)
    recolour(x, moments(tensor(1)), torch.ones(1)).square().mean().backward()
    assert x.grad is not None and x.grad.isfinite().all()
