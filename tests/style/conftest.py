"""A Style model of tiny networks, untrained but awake, and pictures made here."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from demos.core.checkpoint import ROOT
from demos.style.codes import CodeDensity, Presets, collect
from demos.style.colour import MOMENTS, moments
from demos.style.data import to_tensor
from demos.style.model import StyleModel
from demos.style.networks import Painter, StyleEncoder

CODE = 12 + MOMENTS
NAMES = {"stripes": "Stripes", "dots": "Dots", "mist": "Mist", "night": "Night"}


def pixels(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """`(height, width, 3)` uint8: soft colours and a sharp disc, others for each seed."""
    rng = np.random.default_rng(seed)
    soft = cv2.resize(rng.uniform(0, 255, (4, 5, 3)).astype(np.float32), (width, height))
    picture = (soft + rng.normal(0, 8, soft.shape)).clip(0, 255).astype(np.uint8)
    disc = tuple(int(v) for v in rng.integers(256, size=3))
    return np.array(cv2.circle(picture, (width // 2, height // 2), min(height, width) // 4, disc, -1))


def tensor(seed: int, height: int = 48, width: int = 64) -> Tensor:
    """The same as `(1, 3, height, width)` in [-1, 1]."""
    return to_tensor(pixels(seed, height, width))


def encoded(picture: Image.Image | np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(buffer := io.BytesIO(), format, **options)
    return buffer.getvalue()


def awake(network: Any) -> Any:
    """Give weight to the layers that begin near zero."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():
        if name.endswith("weight") and weight.ndim > 1 and weight.std() < 0.06:
            weight.data.normal_(std=0.2, generator=generator)
    return network.eval().requires_grad_(False)


def tiny_painter() -> Painter:
    torch.manual_seed(0)
    return awake(Painter(widths=(8, 8, 16), blocks=(1, 1, 1), code=CODE, hidden=16))


def tiny_encoder() -> StyleEncoder:
    torch.manual_seed(0)
    return awake(StyleEncoder(widths=(8, 8, 16, 16), code=CODE))


def tiny_density() -> CodeDensity:
    density = CodeDensity(CODE, steps=2, hidden=16)
    density.measure(tiny_presets().features)
    return density.eval().requires_grad_(False)


def tiny_presets() -> Presets:
    generator = torch.Generator().manual_seed(2)
    colours = torch.cat([moments(tensor(i)) for i in range(len(NAMES))])
    features = torch.cat([torch.randn(len(NAMES), CODE - MOMENTS, generator=generator), colours], 1)
    return Presets(NAMES, features, torch.stack([collect(tensor(i), count=8) for i in range(len(NAMES))]))


@pytest.fixture(scope="session")
def model() -> StyleModel:
    torch.set_num_threads(1)
    return StyleModel(tiny_encoder(), tiny_painter(), tiny_presets(), tiny_density(), torch.device("cpu"))


@pytest.fixture(scope="session")
def shipped() -> StyleModel:
    """The model as it is shipped."""
    if not (ROOT / "style").is_dir():
        pytest.skip("checkpoints/style has not been trained yet")
    return StyleModel.load("style", "cpu")
