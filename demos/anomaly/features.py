"""From pictures to what detectors see: a working size, the encoder's features, where they lie, the localiser's logits.

A detector reduces all pictures by one factor, chosen so that its typical picture has about 256 × 256 pixels: what is
wrong is then as large in the features as it is in the world. A picture whose area would be more than four times off the
typical one is brought to the typical area instead. The encoder looks at it twice, the second time from twice as far:
half the size shows the large structures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from demos.anomaly.networks import STRIDE, Inspector, enlarge, position_code
from demos.core.device import autocast
from demos.core.media import Picture, open_image

__all__ = ["SIDE", "VIEWS", "Scale", "Seen", "View", "collate", "deep", "look", "open_rgb", "rows_of", "thin"]

SIDE = 256
MAX_SIDE = 1024
MIN_SIDE = 16
LONGEST = 16
VIEWS = 2


@dataclass(frozen=True)
class Scale:
    """How a detector reduces pictures: by `factor`, unless that leaves under a quarter of `area` or over four of it."""

    factor: float
    area: float

    @classmethod
    def of(cls, sizes: list[tuple[int, int]]) -> Scale:
        """For pictures of these sizes `(H, W)`: the median area becomes `SIDE`² pixels, if it is not smaller anyway."""
        median = float(np.median([height * width for height, width in sizes]))
        factor = min(1.0, SIDE / math.sqrt(median))
        return cls(factor, median * factor**2)

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """`(H, W, 3)` uint8, reduced; no side falls below 16 pixels."""
        height, width = pixels.shape[:2]
        factor = self.factor
        if not self.area / 4 <= height * width * factor**2 <= 4 * self.area:
            factor = math.sqrt(self.area / (height * width))
        size = tuple(max(MIN_SIDE, round(n * factor)) for n in (width, height))
        if size == (width, height):
            return pixels
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


@dataclass(frozen=True)
class View:
    """The encoder's features of a picture at one size.

    Attributes:
        features: `(F, h, w)` float16 at stride 8.
        code: `(CODE, h, w)` float32, see `position_code`.
    """

    features: Tensor
    code: Tensor


@dataclass(frozen=True)
class Seen:
    """What the network sees in one picture of `size` (H, W) working pixels.

    Attributes:
        views: `VIEWS` of them, of the picture and of its half.
        logits: `(H2, W2)` float32 at stride 2, the localiser's, of the first view.
    """

    size: tuple[int, int]
    views: tuple[View, ...]
    logits: Tensor


def open_rgb(source: Picture) -> np.ndarray:
    """The picture as `(H, W, 3)` uint8 over white, at most 1,024 pixels a side; grey has three equal channels.

    Raises:
        ValueError: as `open_image`; an array with numbers that are not finite; fewer than 16 pixels a side; one side
            more than 16 times the other.
    """
    if isinstance(source, np.ndarray) and source.dtype.kind not in "bui" and not np.isfinite(source).all():
        raise ValueError("This picture holds numbers that are not finite.")
    if isinstance(source, np.ndarray) and source.dtype == np.uint16:
        source = (source // 257).astype(np.uint8)
    picture = open_image(source, 4 * MAX_SIDE)
    if max(picture.size) > LONGEST * min(picture.size):
        raise ValueError(f"This picture is {picture.width} × {picture.height} pixels, too narrow to be inspected.")
    if min(picture.size) < MIN_SIDE:
        raise ValueError(f"A picture to be inspected must have at least {MIN_SIDE} pixels a side.")
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
    if picture.getchannel("A").getextrema() != (255, 255):
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    return np.asarray(picture.convert("RGB"))


def collate(pictures: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Grey `(H, W)` or RGB `(H, W, 3)` uint8 pictures to `(B, 3, H, W)` in [-1, 1] and masks `(B, 1, H, W)`."""
    height, width = (-(-max(p.shape[i] for p in pictures) // STRIDE) * STRIDE for i in (0, 1))
    x = torch.zeros(len(pictures), 3, height, width)
    mask = torch.zeros(len(pictures), 1, height, width)
    for i, picture in enumerate(pictures):
        pixels = torch.from_numpy(np.array(picture)).float() / 127.5 - 1
        h, w = picture.shape[:2]
        x[i, :, :h, :w] = pixels if pixels.ndim == 2 else pixels.movedim(2, 0)
        mask[i, :, :h, :w] = 1
    return x.contiguous(memory_format=torch.channels_last), mask


@torch.inference_mode()
def look(network: Inspector, pixels: np.ndarray) -> Seen:
    """Look at one picture of working size, `(H, W)` or `(H, W, 3)` uint8."""
    views, logits = [], torch.empty(0)
    for i in range(VIEWS):
        height, width = (-(-n // 2**i) for n in pixels.shape[:2])
        part = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) if i else pixels
        x, mask = (t.to(network.device) for t in collate([part]))
        with autocast(network.device):
            pyramid = network.pyramid(x, mask)
            if i == 0:
                found = network.localise(pyramid, mask)
                logits = found[0, 0, : -(-height // 2), : -(-width // 2)].float().cpu().clone()
        maps = deep(pyramid, mask).to(torch.float16), position_code(F.max_pool2d(mask, 8))
        views.append(View(*(m[0, :, : -(-height // 8), : -(-width // 8)].cpu().clone() for m in maps)))
    return Seen((pixels.shape[0], pixels.shape[1]), tuple(views), logits)


def deep(pyramid: list[Tensor], mask: Tensor) -> Tensor:
    """Features of strides 4, 8 and 16 brought to stride 8 and put together, `(B, F, H / 8, W / 8)`."""
    _, fine, middle, coarse = pyramid
    return torch.cat([F.avg_pool2d(fine, 2), middle, enlarge(coarse, F.max_pool2d(mask, STRIDE))], 1)


def thin(seen: Seen, limit: int, generator: torch.Generator) -> Seen:
    """`limit` random positions of every view as a map of one row: enough to fit to, and small to keep."""
    return Seen(seen.size, tuple(_thinned(view, limit, generator) for view in seen.views), seen.logits[:0])


def _thinned(view: View, limit: int, generator: torch.Generator) -> View:
    keep = torch.randperm(view.features[0].numel(), generator=generator)[:limit]
    return View(*(m.flatten(1)[:, None, keep] for m in (view.features, view.code)))


def rows_of(views: list[View], limit: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """About `limit` positions, equally many a picture for its size: features `(N, F)` float32 and codes `(N, CODE)`."""
    share = min(1.0, limit / sum(v.features[0].numel() for v in views))
    parts = [_thinned(v, max(1, int(v.features[0].numel() * share)), generator) for v in views]
    features = torch.cat([p.features[:, 0] for p in parts], 1).T
    return features.float(), torch.cat([p.code[:, 0] for p in parts], 1).T.contiguous()
