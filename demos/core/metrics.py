"""Measures of generated pictures: how real, how faithful, how varied.

Distances between sets of pictures work on features of a network that the caller names with the figure; distances
between two pictures work on the pixels of uint8 RGBA with premultiplied alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Overlap",
    "alpha_iou",
    "auroc",
    "chamfer",
    "frechet_distance",
    "histogram_distance",
    "kernel_distance",
    "mean_pairwise_distance",
    "overlap",
    "psnr",
]

DIRECTIONS, QUANTILES = 32, 64


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of two sets of features, each taken for a Gaussian.

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), of which the last trace is the sum of the square roots of the
    eigenvalues of S_a^(1/2) S_b S_a^(1/2): symmetric and positive, therefore stable where S_a or S_b is singular. It
    shrinks as sets grow, so compare only sets of equal size (Heusel et al. 2017, arXiv:1706.08500).

    Args:
        a: `(N, D)` features.
        b: `(M, D)` features.

    Raises:
        ValueError: fewer than two rows, or unequal D.
    """
    a, b = _features(a, b)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(a, rowvar=False)))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cov_b = np.atleast_2d(np.cov(b, rowvar=False))
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    gap = a.mean(0) - b.mean(0)
    return float(max(0.0, gap @ gap + values.sum() + np.trace(cov_b) - 2 * cross))


def kernel_distance(a: np.ndarray, b: np.ndarray, subsets: int, size: int, generator: np.random.Generator) -> float:
    """Kernel distance of two sets of features: an unbiased estimate, so that equal distributions average to zero.

    The squared maximum mean discrepancy under k(x, y) = (x.y / D + 1)^3, averaged over `subsets` random pairs of
    subsets; usually reported times 1,000 (KID, Bińkowski et al. 2018, arXiv:1801.01401).

    Args:
        a: `(N, D)` features.
        b: `(M, D)` features.
        subsets: number of pairs of subsets.
        size: features in each; no more than the smaller set has.
        generator: chooses the subsets.

    Raises:
        ValueError: fewer than two rows, or unequal D.
    """
    a, b = _features(a, b)
    size = min(size, len(a), len(b))
    total = 0.0
    for _ in range(subsets):
        x, y = (s[generator.choice(len(s), size, replace=False)] for s in (a, b))
        xx, yy, xy = ((p @ q.T / a.shape[1] + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
        total += (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (size * (size - 1)) - 2 * xy.mean()
    return total / subsets


@dataclass(frozen=True)
class Overlap:
    """How the made and the real lie among each other; each at best 1, density above where the made are crowded.

    Attributes:
        precision: share of made features inside a ball of a real one: how faithful.
        recall: share of real features inside a ball of a made one: how varied.
        density: real balls that a made feature lies in, by k in the mean: precision that one outlier cannot raise.
        coverage: share of real balls with a made feature inside: recall that made outliers cannot raise.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def overlap(real: np.ndarray, made: np.ndarray, k: int = 5) -> Overlap:
    """Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
    arXiv:2002.09797) by balls around features that reach to their k-th neighbour within their own set.

    Args:
        real: `(N, D)` features.
        made: `(M, D)` features.
        k: neighbours; below N and M.

    Raises:
        ValueError: fewer than two rows, unequal D, or k too large.
    """
    real, made = _features(real, made)
    if not 0 < k < min(len(real), len(made)):
        raise ValueError(f"k must lie between 1 and {min(len(real), len(made)) - 1}, not be {k}.")

    def radii(x: np.ndarray) -> np.ndarray:
        return np.partition(_distances(x, x), k, axis=1)[:, k]

    between = _distances(real, made)
    in_real, in_made = between <= radii(real)[:, None], between <= radii(made)[None]
    return Overlap(
        precision=float(in_real.any(0).mean()),
        recall=float(in_made.any(1).mean()),
        density=float(in_real.sum(0).mean() / k),
        coverage=float(in_real.any(1).mean()),
    )


def auroc(normal: np.ndarray, unusual: np.ndarray) -> float:
    """Probability that an unusual score exceeds a normal one, ties counting half.

    Raises:
        ValueError: no scores on one side.
    """
    if not len(normal) or not len(unusual):
        raise ValueError("Both sides need a score.")
    ordered = np.sort(normal)
    below, up_to = (np.searchsorted(ordered, unusual, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(ordered)))


def chamfer(a: np.ndarray, b: np.ndarray) -> float:
    """Symmetric chamfer distance of two sets of pixels, in pixels.

    The mean of d(a, b) and d(b, a), where d(a, b) is the mean over the pixels of `a` of the Euclidean distance to the
    nearest pixel of `b` (Barrow et al., "Parametric correspondence and chamfer matching", IJCAI 1977). Two empty masks
    are 0 apart; if one is empty the distance is the diagonal of the picture, which no other pair exceeds.

    Args:
        a: `(H, W)` bool.
        b: `(H, W)` bool.
    """
    if not a.any() or not b.any():
        return 0.0 if not a.any() and not b.any() else float(np.hypot(*a.shape))
    to_a, to_b = (cv2.distanceTransform((~m).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (a, b))
    return float(to_b[a].mean() + to_a[b].mean()) / 2


def histogram_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Distance between the colours of two pictures' opaque pixels, wherever these lie, in units of Delta E.

    The sliced 1-Wasserstein distance (Rabin et al. 2012, "Wasserstein barycenter and its application to texture
    mixing") in CIELAB: the mean over directions of the distance between sorted projections. Unlike a difference of bins
    it grows with how far a colour is off and needs no choice of bins; CIELAB (CIE 1976) makes distances those that a
    person sees. It is doubled, because the mean of |cos| over the sphere is 1/2: two plain colours are then as far
    apart as their Delta E. Two pictures without opaque pixels are 0 apart, one without is 100 from any other (black to
    white).

    Args:
        a: `(H, W, 4)` uint8 premultiplied RGBA.
        b: as `a`; sizes may differ.
    """
    lab_a, lab_b = _lab(a), _lab(b)
    if not len(lab_a) or not len(lab_b):
        return 0.0 if len(lab_a) == len(lab_b) else 100.0
    turn = np.arange(DIRECTIONS) * np.pi * (3 - np.sqrt(5))
    height = (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    flat = np.sqrt(1 - height**2)
    directions = np.stack([flat * np.cos(turn), flat * np.sin(turn), height])
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    rows_a, rows_b = (_quantiles(np.sort(lab @ directions, 0), levels) for lab in (lab_a, lab_b))
    return float(2 * np.abs(rows_a - rows_b).mean())


def alpha_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of the pixels with alpha above one half; 1 if neither picture has any.

    Args:
        a: `(H, W, 4)` uint8 RGBA.
        b: as `a`.
    """
    shape_a, shape_b = a[..., 3] > 127, b[..., 3] > 127
    union = (shape_a | shape_b).sum()
    return float((shape_a & shape_b).sum() / union) if union else 1.0


def mean_pairwise_distance(x: Tensor) -> Tensor:
    """Diversity: mean absolute difference over all pairs of variations.

    Args:
        x: `(S, B, ...)`, S variations of each of B pictures.

    Returns:
        `(B,)`, in the units of `x`; zeros if S is 1.
    """
    pairs = torch.combinations(torch.arange(len(x)))
    total = x.new_zeros(x.shape[1], dtype=torch.float32)
    for i, j in pairs.tolist():
        total += (x[i].float() - x[j].float()).abs().flatten(1).mean(1)
    return total / max(1, len(pairs))


def psnr(a: Tensor, b: Tensor, peak: float = 2.0) -> Tensor:
    """Peak signal-to-noise ratio, 10 log10(peak^2 / mean squared error), in dB.

    Args:
        a: `(B, ...)`.
        b: as `a`.
        peak: width of the range of values; 2 for pictures in [-1, 1].

    Returns:
        `(B,)`; at most 100 dB above the ratio of `peak` to 1.
    """
    error = (a.float() - b.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(peak**2 / error.clamp_min(1e-10))


def _features(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"Two sets of at least two features of equal length are needed, not {a.shape} and {b.shape}.")
    return a, b


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances `(N, M)`."""
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(square.clip(0))


def _lab(rgba: np.ndarray) -> np.ndarray:
    """CIELAB of the opaque pixels, `(N, 3)`."""
    pixels = rgba[rgba[..., 3] > 127].astype(np.float32)
    if not len(pixels):
        return np.zeros((0, 3), np.float32)
    rgb = np.clip(pixels[:, :3] / pixels[:, 3:], 0, 1)
    return cv2.cvtColor(rgb[None], cv2.COLOR_RGB2LAB)[0]


def _quantiles(ordered: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles `(levels, K)` of sorted columns `(N, K)`."""
    at = levels * (len(ordered) - 1)
    low = np.floor(at).astype(int)
    part = (at - low)[:, None]
    return ordered[low] * (1 - part) + ordered[np.minimum(low + 1, len(ordered) - 1)] * part
