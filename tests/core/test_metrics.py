"""Metrics against values known from mathematics."""

import numpy as np
import pytest
import torch

from demos.core.metrics import (
    alpha_iou,
    chamfer,
    frechet_distance,
    histogram_distance,
    kernel_distance,
    mean_pairwise_distance,
    psnr,
)


def whitened(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Samples whose empirical mean is exactly 0 and covariance exactly the identity."""
    x = rng.normal(size=(n, d))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


def plain(colour: tuple[int, int, int], alpha: int = 255) -> np.ndarray:
    return np.full((8, 8, 4), [*(c * alpha // 255 for c in colour), alpha], np.uint8)


def line(row: int) -> np.ndarray:
    mask = np.zeros((64, 48), bool)
    mask[row] = True
    return mask


def test_frechet_distance_of_known_gaussians() -> None:
    rng = np.random.default_rng(0)
    a, b = whitened(rng, 300, 5), whitened(rng, 200, 5)
    shift, scale = np.array([1.0, -2, 0, 0.5, 3]), np.array([1.0, 2, 3, 0.5, 0.1])
    expected = shift @ shift + ((scale - 1) ** 2).sum()
    assert frechet_distance(a, b * scale + shift) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_correlated_gaussians_against_the_matrix_root() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) for _ in range(2))
    s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_frechet_distance_with_fewer_rows_than_columns() -> None:
    a = np.random.default_rng(2).normal(size=(5, 40))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 1) == pytest.approx(40, rel=1e-6)


def test_kernel_distance_is_unbiased_and_grows() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 500, 8))
    same = kernel_distance(a, b, 50, 200, np.random.default_rng(0))
    near = kernel_distance(a, b + 0.3, 50, 200, np.random.default_rng(0))
    far = kernel_distance(a, b + 1.0, 50, 200, np.random.default_rng(0))
    assert abs(same) < 0.02 < near < far
    assert kernel_distance(a, b, 50, 200, np.random.default_rng(0)) == same


def test_kernel_distance_against_the_definition() -> None:
    a, b = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    expected = (2 * 1 + 1) ** 3 + 1 - 2 * np.mean([1, 2**3, 1, 3**3])
    assert kernel_distance(a, b, 1, 2, np.random.default_rng(0)) == pytest.approx(expected)


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (5, 4))])
def test_features_that_do_not_fit(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    a, b = (np.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match="features"):
        frechet_distance(a, b)
    with pytest.raises(ValueError, match="features"):
        kernel_distance(a, b, 1, 2, np.random.default_rng(0))


@pytest.mark.parametrize("shift", [0, 1, 7])
def test_chamfer_of_a_shifted_line_is_the_shift(shift: int) -> None:
    assert chamfer(line(20), line(20 + shift)) == pytest.approx(shift)


def test_chamfer_counts_both_directions() -> None:
    extra = line(20) | line(30)
    assert chamfer(line(20), extra) == pytest.approx(2.5)
    assert chamfer(extra, line(20)) == pytest.approx(2.5)


def test_chamfer_of_empty_masks() -> None:
    empty = np.zeros((64, 48), bool)
    assert chamfer(empty, empty) == 0
    assert chamfer(empty, line(3)) == chamfer(line(3), empty) == pytest.approx(80)


def test_histogram_distance_of_plain_colours_is_their_delta_e() -> None:
    assert histogram_distance(plain((0, 0, 0)), plain((255, 255, 255))) == pytest.approx(100, rel=0.02)
    red, green = np.array([53.24, 80.09, 67.20]), np.array([87.73, -86.18, 83.18])
    expected = float(np.linalg.norm(red - green))
    assert histogram_distance(plain((255, 0, 0)), plain((0, 255, 0))) == pytest.approx(expected, rel=0.05)


def test_histogram_distance_ignores_place_number_and_alpha() -> None:
    a = np.concatenate([plain((200, 10, 10)), plain((10, 10, 200))])
    assert histogram_distance(a, a[::-1]) == 0
    assert histogram_distance(a, np.concatenate([a, a, np.zeros_like(a)])) == pytest.approx(0, abs=0.5)
    assert histogram_distance(plain((200, 100, 0)), plain((200, 100, 0), 204)) == pytest.approx(0, abs=1)


def test_histogram_distance_without_pixels() -> None:
    empty = np.zeros((8, 8, 4), np.uint8)
    assert histogram_distance(empty, empty) == 0
    assert histogram_distance(empty, plain((9, 9, 9))) == 100


def test_alpha_iou() -> None:
    a, b = np.zeros((2, 8, 8, 4), np.uint8)
    assert alpha_iou(a, b) == 1
    a[:4, :, 3], b[2:6, :, 3] = 255, 255
    assert alpha_iou(a, b) == pytest.approx(2 / 6)
    assert alpha_iou(a, a) == 1


def test_mean_pairwise_distance() -> None:
    x = torch.tensor([0.0, 1.0, 3.0])[:, None, None].expand(3, 2, 5)
    assert mean_pairwise_distance(x).tolist() == pytest.approx([2.0, 2.0])
    assert mean_pairwise_distance(x[:1]).tolist() == [0, 0]


def test_psnr() -> None:
    a = torch.zeros(2, 4, 8, 8)
    assert psnr(a, a + torch.tensor([0.02, 0.2]).view(2, 1, 1, 1)).tolist() == pytest.approx([40, 20])
    assert torch.isfinite(psnr(a, a)).all()
