"""Pasted anomalies: they change what they mark, mark what they change, and repeat with their generator."""

from __future__ import annotations

import numpy as np
import pytest

from demos.anomaly.paste import PASTES, UNSEEN, paste
from tests.anomaly.conftest import surface


@pytest.mark.parametrize("kind", [*PASTES, *UNSEEN])
@pytest.mark.parametrize("colour", [False, True])
def test_every_kind_changes_what_it_marks_and_little_else(kind: str, colour: bool) -> None:
    for seed in range(6):
        picture, donor = surface(seed), surface(seed + 50, 70, 120)
        if colour:
            picture, donor = (np.stack([p, p // 2, 255 - p], 2) for p in (picture, donor))
        before = picture.copy()
        made, label = paste(np.random.default_rng(seed), picture, donor, kind)
        assert np.array_equal(picture, before)
        assert made.shape == picture.shape and made.dtype == np.uint8
        assert label.shape == picture.shape[:2] and label.dtype == np.float32
        assert label.min() >= 0 and label.max() <= 1
        off = np.abs(made.astype(float) - picture).reshape(*label.shape, -1).mean(2)
        assert label.max() > 0.25
        assert off[label > 0.25].mean() > 4 * off[label == 0].mean()


def test_the_same_generator_gives_the_same_anomaly() -> None:
    a, b, other = (paste(np.random.default_rng(s), surface(0), surface(1)) for s in (3, 3, 4))
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    assert not np.array_equal(a[0], other[0])


def test_stronger_ones_change_more() -> None:
    def change(strength: float) -> float:
        made = [paste(np.random.default_rng(i), surface(i), surface(9), "pit", strength)[0] for i in range(20)]
        return float(np.mean([np.abs(m.astype(float) - surface(i)).sum() for i, m in enumerate(made)]))

    assert change(1.0) > 1.5 * change(0.3)


def test_what_can_not_be_seen_is_not_marked() -> None:
    flat = np.full((64, 64), 128, np.uint8)
    made, label = paste(np.random.default_rng(0), flat, flat, "natural")
    assert np.abs(made.astype(int) - 128).max() <= 1
    assert not label.any()


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (200, 16), (300, 300)])
def test_any_size_will_do(shape: tuple[int, int]) -> None:
    for seed in range(10):
        made, label = paste(np.random.default_rng(seed), surface(seed, *shape), surface(seed + 1, 20, 17))
        assert made.shape == shape and np.isfinite(label).all()
