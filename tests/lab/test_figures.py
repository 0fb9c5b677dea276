"""Distances between sets of points grow with what sets them apart."""

from __future__ import annotations

import math

import pytest
import torch

from demos.lab.figures import mmd, sliced_wasserstein


def normal(n: int, seed: int, mean: float = 0.0, std: float = 1.0) -> torch.Tensor:
    return mean + std * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def test_the_distance_of_a_shift_is_its_length_times_two_over_pi() -> None:
    a = normal(500, 0)
    assert sliced_wasserstein(a, a) == 0
    assert sliced_wasserstein(a, a + torch.tensor([3.0, 0.0])) == pytest.approx(3 * 2 / math.pi, rel=0.01)


def test_both_grow_with_the_shift_and_are_small_between_equals() -> None:
    a = normal(800, 0)
    for distance in (sliced_wasserstein, mmd):
        found = [distance(a, normal(800, 1, mean)) for mean in (0.0, 0.3, 1.0)]
        assert found == sorted(found) and found[0] < 0.1 and found[2] > 3 * max(found[0], 0.05)


def test_the_discrepancy_notices_a_missing_mode_and_numbers_that_are_none() -> None:
    both = torch.cat([normal(400, 0, -2, 0.2), normal(400, 1, 2, 0.2)])
    again = torch.cat([normal(400, 2, -2, 0.2), normal(400, 3, 2, 0.2)])
    assert mmd(both, normal(800, 4, -2, 0.2)) > 10 * max(mmd(both, again), 0.01)
    assert math.isnan(mmd(both, torch.full((10, 2), math.nan)))
