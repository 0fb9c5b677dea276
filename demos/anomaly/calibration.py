"""From scores to probabilities that hold: conformal p-values, thresholds, and the figures of a detector.

Let n normal pictures be scored by a detector that never saw them. If a new normal picture is exchangeable with these n
(no order tells them apart: same camera, same light, same product), then p = (1 + #{scores >= its score}) / (n + 1)
exceeds no level a with a probability above a: P(p <= a) <= a, whatever the detector and the distribution (Vovk,
Gammerman and Shafer 2005; Bates et al. 2023, arXiv:2104.08279). With scores from cross-validation the final detector
differs a little from those that made the scores, and the guarantee holds approximately, provably within 2a up to a term
that vanishes with the size of the folds (Vovk et al. 2018; Barber et al. 2021, arXiv:1905.02928).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

__all__ = ["aupro", "auroc", "bootstrap", "p_values", "threshold"]


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Conformal p-values in [1 / (n + 1), 1] of `scores` `(N,)` given `n` held-out normal scores."""
    ordered = np.sort(calibration)
    above = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return (1 + above) / (len(ordered) + 1)


def threshold(calibration: np.ndarray, rate: float) -> tuple[float, float]:
    """The score above which at most `rate` of normal pictures lie, and the rate that is guaranteed.

    A picture is anomalous if its score is strictly above: then its p-value is at most the guaranteed rate. `n` scores
    cannot vouch for less than 1 / (n + 1), and a smaller `rate` counts as that.

    Raises:
        ValueError: no scores, or a rate outside (0, 1).
    """
    if not len(calibration) or not 0 < rate < 1:
        raise ValueError("The rate of false alarms must lie between 0 and 1.")
    n = len(calibration)
    allowed = max(1, math.floor(rate * (n + 1) + 1e-9))
    return float(np.sort(calibration)[n - allowed]), allowed / (n + 1)


def auroc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """Probability that an anomalous score exceeds a normal one, ties counting half; NaN if either has none."""
    from demos.core import metrics  # here, because the page must open without torch

    return metrics.auroc(normal, anomalous) if len(normal) and len(anomalous) else math.nan


def bootstrap(
    normal: np.ndarray, anomalous: np.ndarray, rng: np.random.Generator, draws: int = 500
) -> tuple[float, float]:
    """95 % interval of the AUROC, resampling both sets of scores."""
    values = [auroc(rng.choice(normal, len(normal)), rng.choice(anomalous, len(anomalous))) for _ in range(draws)]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def aupro(maps: list[np.ndarray], masks: list[np.ndarray], limit: float = 0.3, levels: int = 200) -> float:
    """Area under the mean overlap of regions against false positive pixels, up to `limit`, divided by it.

    Every connected region counts alike, however large (Bergmann et al. 2021, "The MVTec anomaly detection dataset").

    Args:
        maps: `(H, W)` scores of every picture, normal and anomalous.
        masks: `(H, W)` bool of the same sizes, true where something is wrong.
        limit: highest rate of false positive pixels.
        levels: thresholds at which the curve is taken.

    Returns:
        In [0, 1]; NaN without a region or without a normal pixel.
    """
    normal = np.sort(np.concatenate([m[~mask] for m, mask in zip(maps, masks, strict=True)]))
    regions = []
    for scores, mask in zip(maps, masks, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8))
        regions += [np.sort(scores[labels == i]) for i in range(1, count)]
    if not regions or not len(normal):
        return math.nan
    rates = np.linspace(0, limit, levels)
    cuts = normal[np.minimum(len(normal) - 1, ((1 - rates) * len(normal)).astype(int))]
    overlap = np.mean([1 - np.searchsorted(r, cuts, side="right") / len(r) for r in regions], 0)
    return float(np.trapezoid(overlap, rates) / limit)
