"""What the wrapper answers with: inspections and their regions, rows of a folder, fitted detectors."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from demos.anomaly.detectors import Detector

__all__ = ["Fitted", "Inspection", "Region", "Row", "regions_of"]

SMALLEST = 6


@dataclass(frozen=True)
class Region:
    """A suspicious part of a picture, in pixels of `Inspection.picture`.

    Attributes:
        contour: `(N, 2)` int points (x, y) of its outline.
        box: left, top, width, height.
        area: in pixels.
        share: of the picture's area.
        peak: highest value of the heat map within it.
    """

    contour: np.ndarray
    box: tuple[int, int, int, int]
    area: int
    share: float
    peak: float


@dataclass(frozen=True)
class Inspection:
    """What a detector says of one picture.

    Attributes:
        picture: `(H, W, 3)` uint8, as it was inspected: upright, over white, at most 1,024 pixels a side.
        heat: `(H, W)` float32; 0 is usual, 1 is reached by one in 200 positions of normal pictures.
        score: higher is less normal.
        p_value: the share of normal pictures that score this high, see `demos.anomaly.calibration`.
        threshold: the score above which a picture is anomalous.
        false_alarm_rate: the rate that this threshold keeps to.
        regions: where the heat map exceeds the threshold, the hottest first.
    """

    picture: np.ndarray
    heat: np.ndarray
    score: float
    p_value: float
    threshold: float
    false_alarm_rate: float
    regions: list[Region]

    @property
    def anomalous(self) -> bool:
        """Whether the score exceeds the threshold."""
        return self.score > self.threshold


@dataclass(frozen=True)
class Row:
    """One picture of many: its figures and its heat map at half the working size, or what went wrong."""

    name: str
    score: float | None = None
    p_value: float | None = None
    anomalous: bool | None = None
    error: str = ""
    heat: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Fitted:
    """A detector made from a visitor's pictures.

    Attributes:
        detector: to be used, or saved by `save_detector`.
        scores: held-out score of every picture that calibrated it, by its index among those given.
        skipped: why a picture was left out, by its index.
        seconds: how long it took.
    """

    detector: Detector
    scores: dict[int, float]
    skipped: dict[int, str]
    seconds: float


def regions_of(heat: np.ndarray, threshold: float) -> list[Region]:
    """Connected parts of `heat` `(H, W)` above `threshold`, but for specks, the hottest first."""
    hot = (heat > threshold).astype(np.uint8)
    contours, _ = cv2.findContours(hot, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    regions = []
    for contour in contours:
        left, top, width, height = (int(v) for v in cv2.boundingRect(contour))
        part = np.zeros((height, width), np.uint8)
        cv2.drawContours(part, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
        inside = part.astype(bool)
        area = int(inside.sum())
        if area >= SMALLEST:
            peak = float(heat[top : top + height, left : left + width][inside].max())
            regions.append(Region(contour[:, 0], (left, top, width, height), area, area / heat.size, peak))
    return sorted(regions, key=lambda region: -region.peak)
