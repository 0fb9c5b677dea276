"""How near a repainted picture is to its style and to its content.

Style: the sliced Wasserstein distance between patches, on directions and patch sizes that nothing is fitted to, and the
distance of colour histograms. Content: structural similarity of luminances and agreement of edges.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from skimage.metrics import structural_similarity

from demos.style.losses import luminance
from demos.style.patches import directions, project, pyramid, ranked, resample

__all__ = ["colour_distance", "edge_f1", "measures", "similarity", "style_distance"]

SIDES = (5, 9, 13)
DIRECTIONS = 128
LEVELS = 3
SEED = 20_000


def style_distance(y: torch.Tensor, style: torch.Tensor) -> float:
    """Mean absolute distance of sorted projections of patches of 5, 9 and 13 pixels, at three scales.

    Pictures `(1, 3, H, W)` in [-1, 1]. Directions are fixed; half see no colour. Each counts relative to the spread of
    the style along it, so that 0.1 is a tenth of a standard deviation.
    """
    total = []
    for side in SIDES:
        filters = directions(DIRECTIONS, side, torch.Generator().manual_seed(SEED + side))
        for a, b in zip(pyramid(y, LEVELS), pyramid(style, LEVELS), strict=False):
            if min(*a.shape[2:], *b.shape[2:]) >= side:
                goal = ranked(project(b, filters))
                made = resample(ranked(project(a, filters)), goal.shape[-1])
                total.append(float(((made - goal).abs() / (goal.std(-1, keepdim=True) + 0.02)).mean()))
    return float(np.mean(total))


def colour_distance(y: torch.Tensor, style: torch.Tensor) -> float:
    """Half the L1 distance, in [0, 1], of histograms of 8 × 8 × 8 colours."""
    a, b = (np.histogramdd(x[0].flatten(1).T.numpy(), 8, ((-1, 1),) * 3)[0] for x in (y, style))
    return float(0.5 * np.abs(a / a.sum() - b / b.sum()).sum())


def similarity(y: torch.Tensor, content: torch.Tensor) -> float:
    """SSIM of luminances with the window of the paper (Wang et al. 2004)."""
    a, b = (luminance(x)[0, 0].numpy() for x in (y, content))
    value: Any = structural_similarity(a, b, data_range=2.0, gaussian_weights=True, sigma=1.5)
    return float(value)


def edge_f1(y: torch.Tensor, content: torch.Tensor, tolerance: int = 2) -> float:
    """F1 of Canny edges of blurred luminances, where an edge counts as found within `tolerance` pixels."""

    def edges(x: torch.Tensor) -> np.ndarray:
        grey = (127.5 * (luminance(x)[0, 0].numpy() + 1)).clip(0, 255).astype(np.uint8)
        grey = cv2.GaussianBlur(grey, (0, 0), 1.5)
        high = float(np.percentile(np.hypot(cv2.Sobel(grey, 3, 1, 0), cv2.Sobel(grey, 3, 0, 1)), 90))
        return cv2.Canny(grey, 0.5 * high, high, L2gradient=True) > 0

    made, wanted = edges(y), edges(content)
    reach = np.ones((2 * tolerance + 1,) * 2, np.uint8)
    near_wanted, near_made = (cv2.dilate(e.astype(np.uint8), reach) > 0 for e in (wanted, made))
    precision = (made & near_wanted).sum() / max(1, made.sum())
    recall = (wanted & near_made).sum() / max(1, wanted.sum())
    return float(2 * precision * recall / max(1e-9, precision + recall))


def measures(y: torch.Tensor, content: torch.Tensor, style: torch.Tensor) -> dict[str, float]:
    """All four figures of `y` `(1, 3, H, W)`."""
    return {
        "style": style_distance(y, style),
        "colour": colour_distance(y, style),
        "ssim": similarity(y, content),
        "edges": edge_f1(y, content),
    }
