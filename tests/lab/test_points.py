"""The distributions of the playground: samples follow their densities, and bad input is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from demos.lab.points import BOX, DISTRIBUTIONS, drawn, from_points, read_points


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawing(points: list[list[float]], width: float = 30) -> str:
    return json.dumps({"version": 1, "size": 512, "strokes": [{"tool": "pen", "width": width, "points": points}]})


CROSS = drawing([[100.0, 256.0], [400.0, 256.0]])


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, "drawing"])
def test_the_density_integrates_to_one_and_samples_follow_it(name: str) -> None:
    known = drawn(CROSS, 0.15) if name == "drawing" else DISTRIBUTIONS[name](0.15)
    side, cells = 3.6, 90
    at = (torch.arange(cells) + 0.5) / cells * 2 * side - side
    points = torch.cartesian_prod(at, at)
    p = known.log_prob(points).exp() * (2 * side / cells) ** 2
    assert known.known and float(p.sum()) == pytest.approx(1, abs=0.01)
    x = known.sample(20_000, rng())
    mean = (p[:, None] * points).sum(0)
    assert torch.allclose(x.mean(0), mean, atol=0.04)
    assert torch.allclose(x.std(0), (p[:, None] * (points - mean).square()).sum(0).sqrt(), atol=0.04)
    coarse = 6
    found = torch.histogramdd(x, [coarse, coarse], range=[-side, side] * 2).hist / len(x)
    wanted = p.view(coarse, cells // coarse, coarse, cells // coarse).sum((1, 3))
    assert (found - wanted).abs().max() < 0.012
    assert (x.abs() < BOX + 0.6).float().mean() > 0.99


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_samples_follow_their_seed_and_noise(name: str) -> None:
    known = DISTRIBUTIONS[name](0.1)
    assert torch.equal(known.sample(50, rng(1)), known.sample(50, rng(1)))
    entropy = [
        float(-DISTRIBUTIONS[name](s).log_prob(DISTRIBUTIONS[name](s).sample(2000, rng())).mean()) for s in (0.05, 0.3)
    ]
    assert entropy[1] > entropy[0] + 0.1


def test_a_drawing_is_where_its_lines_are() -> None:
    x = drawn(CROSS, 0.02).sample(3000, rng())
    left, right = (100 / 512 * 2 - 1) * BOX, (400 / 512 * 2 - 1) * BOX
    assert x[:, 0].min() > left - 0.3 and x[:, 0].max() < right + 0.3
    assert x[:, 1].abs().max() < 0.3 and x[:, 0].std() > 0.7


@pytest.mark.parametrize("strokes", ["", drawing([[256.0, 256.0]], 2), drawing([[256.0, 256.0]] * 50_000, 2)])
def test_a_dot_is_no_distribution(strokes: str) -> None:
    with pytest.raises(ValueError, match="Draw some more"):
        drawn(strokes, 0.1)


def test_a_drawing_of_many_points_and_one_with_gaps_are_read() -> None:
    angle = np.linspace(0, 40 * math.pi, 50_000)
    spiral = np.stack([256 + 4 * angle * np.cos(angle) / 2.7, 256 + 4 * angle * np.sin(angle) / 2.7], 1)
    assert drawn(drawing(spiral.tolist(), 4), 0.05).sample(10, rng()).shape == (10, 2)
    holes = drawing([[100.0, 256.0], [float("nan"), 1.0], [400.0, 256.0]])
    assert torch.isfinite(drawn(holes, 0.1).sample(100, rng())).all()
    with pytest.raises(ValueError):
        drawn("[1, 2", 0.1)


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        ([[0.0, 1.0]], "From 20"),
        ([[0.0, 1.0]] * 50_001, "From 20"),
        ([[2.0, 2.0]] * 100, "one place"),
        ([[0.0, math.nan]] * 30, "finite"),
        ([[0.0, math.inf]] * 30, "finite"),
        ([[0.0, 1e30]] * 30, "finite"),
        ([[1.0, 2.0, 3.0]] * 30, "two numbers"),
        ([[1.0], [1.0, 2.0]], "two numbers"),
        ("nonsense", "two numbers"),
        (None, "two numbers"),
    ],
)
def test_bad_points_are_refused(points: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_points(points, 0.1)


def test_points_are_fitted_into_the_plane() -> None:
    many = np.random.default_rng(0).normal(1000, 3, (50_000, 2))
    known = from_points(many, 0.0)
    assert len(known.points) == 20_000 and not known.known
    x = known.sample(500, rng())
    assert x.abs().max() <= 0.86 * BOX
    assert torch.equal(x, from_points(many, 0.0).sample(500, rng()))
    with pytest.raises(NotImplementedError):
        known.log_prob(x)


def test_a_file_of_points_is_read() -> None:
    assert read_points(b"x,y\n1,2\n3;4\n\n5\t6 \n").tolist() == [[1, 2], [3, 4], [5, 6]]
    assert read_points(b"").shape == (0, 2)
    with pytest.raises(ValueError, match="Line 2"):
        read_points(b"1,2\na,b\n")
