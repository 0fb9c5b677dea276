"""Pictures in and out: from any upload or drawing to one like Fashion-MNIST's, and from tensors to PIL.

Fashion-MNIST's pictures are 28 × 28, grey, bright on black, and fill the frame on their longer side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demos.core.cancel import OnStep, report
from demos.core.media import Picture, open_image
from demos.lab.garments.data import SIDE

__all__ = ["erased_in", "prepare", "previews", "to_pil"]

EMPTY = "This picture shows nothing: please draw or choose a garment."


def prepare(picture: Picture) -> Image.Image:
    """A 28 × 28 "L" picture; one that already is one stays as it is.

    What is opaque on transparent ground, or differs from the colour of the border, is cut out, made bright on black and
    scaled so that its longer side fills the frame.

    Raises:
        ValueError: not a picture, see `open_image`; numbers that are not finite; or nothing on it.
    """
    if isinstance(picture, Image.Image) and picture.mode == "L" and picture.size == (SIDE, SIDE):
        return picture.copy()
    if isinstance(picture, np.ndarray) and picture.size and not np.isfinite(picture.astype(np.float32)).all():
        raise ValueError("This picture holds numbers that are not finite.")
    rgba = np.asarray(open_image(picture, 512), np.float32)
    grey, alpha = rgba[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32), rgba[..., 3] / 255
    if (alpha < 0.5).mean() > 0.02:
        ink = alpha > 0.5
        if ink.any() and grey[ink].mean() < 96:
            grey = 255 - grey
        bright = grey * alpha
    else:
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        ground = float(np.median(border))
        bright = (ground - grey) / max(ground, 1) if ground > 127 else (grey - ground) / max(255 - ground, 1)
        bright = 255 * bright.clip(0, 1)
    there = bright > max(24.0, 0.15 * bright.max())
    if not there.any():
        raise ValueError(EMPTY)
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    part = bright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = SIDE / max(part.shape)
    size = max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor))
    small = Image.fromarray(part.round().astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    canvas = Image.new("L", (SIDE, SIDE))
    canvas.paste(small, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return canvas


def to_pil(x: Tensor) -> list[Image.Image]:
    """Brightnesses `(B, 1, 28, 28)` uint8 as pictures."""
    return [Image.fromarray(pixels) for pixels in x[:, 0].cpu().numpy()]


def previews(on_step: OnStep | None) -> Callable[[int, int, Callable[[], Tensor]], None] | None:
    """A callback for `draw` that shows all pictures as one."""
    if on_step is None:
        return None

    def seen(i: int, n: int, preview: Callable[[], Tensor]) -> None:
        def grid() -> Image.Image:
            pixels = preview()[:, 0].cpu().numpy()
            columns = int(np.ceil(np.sqrt(len(pixels))))
            whole = np.zeros((-(-len(pixels) // columns) * SIDE, columns * SIDE), np.uint8)
            for k, one in enumerate(pixels):
                row, column = divmod(k, columns)
                whole[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = one
            return Image.fromarray(whole)

        report(on_step, i, n, grid)

    return seen


def erased_in(mask: Any) -> Tensor:
    """A mask of 28 × 28 numbers or a picture of that size as `(28, 28)` bool, true above 0 (of RGBA, where opaque).

    Raises:
        ValueError: anything else, or one that erases nothing or everything.
    """
    try:
        values = np.asarray(mask, np.float32)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim == 3:
        values = values[..., -1] if values.shape[-1] == 4 else values.max(-1)
    if values.shape != (SIDE, SIDE) or not np.isfinite(values).all():
        raise ValueError("The mask must be 28 × 28 numbers, above 0 where the picture is erased.")
    erased = torch.from_numpy(values > 0)
    if not erased.any() or erased.all():
        raise ValueError("Erase a part of the picture, and not all of it.")
    return erased
