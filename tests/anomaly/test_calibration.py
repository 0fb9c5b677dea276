"""P-values, thresholds and figures: exact on cases that can be worked out, uniform on normals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest

from demos.anomaly.calibration import aupro, auroc, bootstrap, p_values, threshold


@pytest.mark.parametrize("n", [9, 40, 200])
def test_p_values_of_normal_pictures_are_uniform(n: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.gumbel(size=(1500, n + 1))
    p = np.array([p_values(row[:1], row[1:])[0] for row in scores])
    assert kstest(p - rng.uniform(size=len(p)) / (n + 1), "uniform").pvalue > 0.01
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).mean() <= level + 3 * math.sqrt(level / len(p))
    shifted = np.array([p_values(row[:1] + 1, row[1:])[0] for row in scores])
    assert kstest(shifted, "uniform").pvalue < 1e-6


def test_p_values_count() -> None:
    calibration = np.array([3.0, 1.0, 2.0])
    assert p_values(np.array([0.0, 1.0, 1.5, 3.0, 9.0]), calibration).tolist() == [1.0, 1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("n", [1, 10, 19, 20, 99, 400])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_above_the_threshold_is_where_the_p_value_is_small(n: int, rate: float) -> None:
    calibration = np.random.default_rng(n).normal(size=n)
    limit, kept = threshold(calibration, rate)
    assert kept <= max(rate, 1 / (n + 1)) + 1e-9
    assert kept > rate - 1 / (n + 1)
    for score in np.concatenate([calibration, calibration + 1e-6, [-9, 9]]):
        assert (score > limit) == (p_values(np.array([score]), calibration)[0] <= kept + 1e-12)


@pytest.mark.parametrize("rate", [0, 1, -1, math.nan])
def test_a_rate_lies_between_0_and_1(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold(np.ones(3), rate)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40), rng.integers(2, 12, 30)
    pairs = np.mean((b[:, None] > a) + 0.5 * (b[:, None] == a))
    assert auroc(a, b) == pytest.approx(pairs)
    assert auroc(b, a) == pytest.approx(1 - pairs)
    assert math.isnan(auroc(a, np.array([])))
    low, high = bootstrap(a, b, rng)
    assert low < pairs < high and high - low < 0.35


def test_aupro_counts_every_region_alike() -> None:
    mask = np.zeros((60, 60), bool)
    mask[2:32, 2:32], mask[50:54, 50:54] = True, True
    exact = mask.astype(float) + 1e-6 * np.random.default_rng(0).random(mask.shape)
    assert aupro([exact], [mask]) == pytest.approx(1, abs=0.01)
    half = exact.copy()
    half[50:54, 50:54] = -1
    assert aupro([half], [mask]) == pytest.approx(0.5, abs=0.01)
    noise = np.random.default_rng(1).random((6, 60, 60))
    assert aupro(list(noise), [mask] * 6) == pytest.approx(0.15, abs=0.05)
    assert math.isnan(aupro([exact], [np.zeros_like(mask)]))
