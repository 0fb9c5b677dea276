"""Surfaces with a vertical grain, and an Anomaly model of tiny untrained networks fitted to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from demos.anomaly.model import AnomalyModel
from demos.anomaly.networks import Inspector, TileField

Surface = Callable[[int], np.ndarray]


def surface(seed: int, height: int = 96, width: int = 80) -> np.ndarray:
    """`(height, width)` uint8: a grain along the columns and light that falls off to the right."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), sigmaX=0.8, sigmaY=6)
    light = np.linspace(150, 110 + rng.normal(0, 4), width)
    return (light + 60 * grain).clip(0, 255).astype(np.uint8)


def spoiled(pixels: np.ndarray, radius: int, depth: float) -> np.ndarray:
    """With a round dark spot in the middle, antialiased."""
    spot = np.zeros(pixels.shape, np.uint8)
    cv2.circle(spot, (pixels.shape[1] // 2, pixels.shape[0] // 2), radius, 255, -1, cv2.LINE_AA)
    return (pixels * (1 - depth * spot / 255.0)).round().astype(np.uint8)


def awake(network: Any) -> Any:
    """Fill the layers that begin at zero."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():
        if name.endswith("weight") and not weight.any():
            weight.data.normal_(std=0.1, generator=generator)
    return network.eval().requires_grad_(False)


def tiny_inspector() -> Inspector:
    torch.manual_seed(0)
    return awake(Inspector(widths=(8, 16, 32, 32), depth=1))


def tiny_field() -> TileField:
    torch.manual_seed(0)
    return awake(TileField(widths=(8, 16, 16), embedding=16, heads=2))


@pytest.fixture(scope="session")
def model() -> AnomalyModel:
    """Tiny networks, and a detector called magnetic_tile that knows 24 surfaces."""
    torch.set_num_threads(1)
    bare = AnomalyModel(tiny_inspector(), tiny_field(), {}, torch.device("cpu"))
    fitted = bare.fit([surface(i) for i in range(24)], "surfaces", 0, density="gaussian")
    return AnomalyModel(bare.inspector, bare.field, {"magnetic_tile": fitted.detector}, bare.device)
