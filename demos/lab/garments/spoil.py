"""Ways of spoiling a picture that leave a person in no doubt of what it shows."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

__all__ = ["spoilt"]


def spoilt(picture: Image.Image, noise: float, angle: float, inverted: bool, seed: int = 0) -> Image.Image:
    """A picture of mode "L" turned by `angle` degrees, inverted, and with Gaussian noise of that size, of 255, added.

    Raises:
        ValueError: a number out of range.
    """
    if not (0 <= noise <= 128 and -180 <= angle <= 180):
        raise ValueError("Noise lies in 0 to 128, the angle in -180 to 180.")
    turned = picture.rotate(angle, Image.Resampling.BILINEAR)
    pixels = np.asarray(ImageOps.invert(turned) if inverted else turned, np.float32)
    pixels = pixels + np.random.default_rng(seed).normal(0, 1, pixels.shape) * noise
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
