"""Measures of sets of pictures: they must say what was done to the sets."""

import numpy as np
import pytest

from demos.core.metrics import auroc, overlap


def clouds(seed: int, n: int = 600) -> np.ndarray:
    """Two groups of points in eight dimensions, ten apart."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 8))
    points[: n // 2, 0] += 10
    return points


def test_two_samples_of_one_distribution_overlap() -> None:
    found = overlap(clouds(0), clouds(1))
    assert min(found.precision, found.recall, found.coverage) > 0.8
    assert found.density == pytest.approx(1, abs=0.15)


def test_a_lost_mode_costs_recall_and_coverage_not_precision() -> None:
    made = clouds(1, 1200)[:600]
    found = overlap(clouds(0), made)
    assert found.precision > 0.8
    assert 0.35 < found.recall < 0.6 and 0.35 < found.coverage < 0.6


def test_noise_costs_precision_and_density() -> None:
    rng = np.random.default_rng(2)
    found = overlap(clouds(0), clouds(1) + 2 * rng.normal(size=(600, 8)))
    assert found.precision < 0.5 and found.density < 0.5


def test_one_far_point_raises_precision_but_hardly_density() -> None:
    real, rng = clouds(0), np.random.default_rng(3)
    real[:1] = 60
    made = np.concatenate([rng.normal(size=(300, 8)) + 30, clouds(1)[:300]])
    found = overlap(real, made)
    assert found.precision > 0.9 and found.density < 0.7


@pytest.mark.parametrize("k", [0, 600])
def test_neighbours_must_exist(k: int) -> None:
    with pytest.raises(ValueError, match="k must lie"):
        overlap(clouds(0), clouds(1), k)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    normal, unusual = rng.integers(0, 9, 50).astype(float), rng.integers(3, 12, 40).astype(float)
    pairs = (unusual[:, None] > normal).mean() + 0.5 * (unusual[:, None] == normal).mean()
    assert auroc(normal, unusual) == pytest.approx(pairs)
    assert auroc(unusual, normal) == pytest.approx(1 - pairs)
    with pytest.raises(ValueError):
        auroc(normal, np.zeros(0))
