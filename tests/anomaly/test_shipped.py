"""The shipped networks: the detector on tiles that the generative model draws, the encoder on other surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from demos.anomaly.detectors import Detector
from demos.anomaly.model import AnomalyModel
from demos.core.checkpoint import ROOT
from tests.anomaly.conftest import spoiled, surface

pytestmark = pytest.mark.skipif(not (ROOT / "anomaly").is_dir(), reason="checkpoints/anomaly has not been trained yet")


@pytest.fixture(scope="module")
def shipped() -> AnomalyModel:
    return AnomalyModel.load("anomaly", "cpu")


@pytest.fixture(scope="module")
def own(shipped: AnomalyModel) -> Detector:
    return shipped.fit([surface(i) for i in range(24)]).detector


@pytest.fixture(scope="module")
def tiles(shipped: AnomalyModel) -> list[np.ndarray]:
    return [np.asarray(tile.convert("L")) for tile in shipped.sample_normal(5, count=3, steps=12)]


GROWING = [((0, 3, 6, 12), (0.7,) * 4), ((8,) * 4, (0.0, 0.25, 0.5, 0.9))]


@pytest.mark.parametrize(("radii", "depths"), [((0, 4, 10, 20), (0.3,) * 4), GROWING[1]])
def test_scores_of_tiles_grow_with_the_size_and_the_contrast_of_a_defect(
    shipped: AnomalyModel, tiles: list[np.ndarray], radii: tuple[int, ...], depths: tuple[float, ...]
) -> None:
    found = [[shipped.inspect(spoiled(t, r, d)) for t in tiles] for r, d in zip(radii, depths, strict=True)]
    means = [np.mean([f.score for f in group]) for group in found]
    assert means == sorted(means) and means[-1] > means[0] + 0.5
    assert all(last.p_value <= first.p_value for first, last in zip(found[0], found[-1], strict=True))


@pytest.mark.parametrize(("radii", "depths"), GROWING)
def test_scores_of_a_new_kind_grow_likewise(
    shipped: AnomalyModel, own: Detector, radii: tuple[int, ...], depths: tuple[float, ...]
) -> None:
    for seed in (100, 101, 102):
        pictures = [spoiled(surface(seed), r, d) for r, d in zip(radii, depths, strict=True)]
        scores = [shipped.inspect(p, own).score for p in pictures]
        assert scores == sorted(scores) and scores[-1] > 2 * scores[0]


def test_the_region_lies_on_the_defect(shipped: AnomalyModel, tiles: list[np.ndarray]) -> None:
    for tile in tiles:
        found = shipped.inspect(spoiled(tile, 16, 0.9))
        left, top, width, height = found.regions[0].box
        assert found.anomalous
        assert left <= tile.shape[1] / 2 <= left + width and top <= tile.shape[0] / 2 <= top + height
