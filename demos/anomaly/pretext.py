"""What the encoder learns from: finding pasted anomalies and removing noise; and its batches.

Nothing here has seen a real defect. The localiser learns from anomalies pasted into normal tiles and into surfaces of
every kind; its loss counts pixels (cross-entropy and Dice) and whole pictures (the mean of the highest logits, which is
also how a picture is scored). A linear head, thrown away afterwards, keeps the features rich for pictures of other
kinds: it restores what was here before noise was added (Vincent et al. 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.anomaly.data import Tile
from demos.anomaly.features import collate, deep
from demos.anomaly.networks import Inspector
from demos.anomaly.paste import SEEN, paste

__all__ = ["Batch", "Pretext", "image_logit", "localiser_loss", "vary", "window_batches"]

COUNT = 32
SIDES = (128, 160, 224)
SURFACES = 1 / 3


@dataclass(frozen=True)
class Batch:
    """Pictures `x` `(B, 3, H, W)`, their `mask` and soft `label` `(B, 1, H/2, W/2)`."""

    x: Tensor
    mask: Tensor
    label: Tensor


class Pretext(nn.Module):
    """An inspector and the head that is only there for its training."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__()
        self.inspector = inspector
        width = sum(inspector.config["widths"][1:])
        self.restore = nn.Conv2d(width, 3 * 64, 1)

    def losses(self, batch: Batch, noise: Tensor) -> dict[str, Tensor]:
        """All losses of a batch whose pictures get `noise` `(B, 3, H, W)` added.

        Returns:
            "pixels", "image" and "restore".
        """
        pyramid = self.inspector.pyramid(batch.x + noise * batch.mask, batch.mask)
        logits = self.inspector.localise(pyramid, batch.mask).float()
        seen = F.max_pool2d(batch.mask, 2)
        pixels, image = localiser_loss(logits, batch.label, seen)
        restored = F.pixel_shuffle(self.restore(deep(pyramid, batch.mask)), 8).float()
        off = ((restored - batch.x).abs() * batch.mask).sum() / (3 * batch.mask.sum())
        return {"pixels": pixels, "image": image, "restore": off}


def image_logit(logits: Tensor, seen: Tensor, count: int = COUNT) -> Tensor:
    """Mean of the `count` highest logits `(B, 1, H, W)` where `seen`, `(B,)`."""
    flat = logits.masked_fill(seen == 0, -30.0).flatten(1)
    return flat.topk(min(count, flat.shape[1]))[0].mean(1)


def localiser_loss(logits: Tensor, label: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of the pixels (cross-entropy, defects weighted fourfold, and Dice) and of the pictures; both scalars."""
    weight = seen * (1 + 3 * label)
    entropy = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    entropy = (entropy * weight).sum() / seen.sum()
    chance, wrong = torch.sigmoid(logits) * seen, label.flatten(1).amax(1) > SEEN
    overlap = 2 * (chance * label).sum((1, 2, 3)) + 1
    dice = 1 - overlap / ((chance + label).sum((1, 2, 3)) + 1)
    image = F.binary_cross_entropy_with_logits(image_logit(logits, seen), wrong.float())
    return 4 * entropy + 0.5 * (dice * wrong).sum() / wrong.sum().clamp_min(1), image


def vary(rng: np.random.Generator, pixels: np.ndarray, flip: bool = True) -> np.ndarray:
    """A mirrored picture of another exposure: gain, gamma, and light that falls off to one side."""
    if flip:
        pixels = pixels[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    x = pixels.astype(np.float32) / 255
    x = x ** np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.12))
    if rng.random() < 0.5:
        light = cv2.resize(rng.normal(1, 0.08, (2, 2)).astype(np.float32), (x.shape[1], x.shape[0]))
        x = x * light.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    return (255 * x).round().clip(0, 255).astype(np.uint8)


def _batch(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    x, mask = collate([picture for picture, _ in pairs])
    label = torch.zeros_like(mask)
    for i, (_, soft) in enumerate(pairs):
        label[i, 0, : soft.shape[0], : soft.shape[1]] = torch.from_numpy(soft)
    return Batch(x, mask, F.max_pool2d(label, 2))


def window_batches(
    tiles: list[Tile], surfaces: list[np.ndarray], n: int, rng: np.random.Generator, share: float = 0.6
) -> Iterator[Batch]:
    """Endless batches of windows of tiles and, a third of them, of surfaces; a `share` has pasted anomalies.

    A batch has as many pixels as `n` squares of `SIDES[0]` pixels a side; its side is one of `SIDES`.
    """

    def of_tile(side: int) -> np.ndarray:
        return _cut(rng, vary(rng, tiles[rng.integers(len(tiles))].pixels), side)

    def of_surface(side: int) -> np.ndarray:
        part = _cut(rng, surfaces[rng.integers(len(surfaces))], round(side * float(np.exp(rng.uniform(-0.3, 0.3)))))
        part = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.2:
            part = np.repeat(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        return vary(rng, part)

    while True:
        side, pairs = int(rng.choice(SIDES)), []
        for _ in range(max(2, round(n * (SIDES[0] / side) ** 2))):
            draw = of_surface if surfaces and rng.random() < SURFACES else of_tile
            pixels = draw(side)
            soft = np.zeros(pixels.shape[:2], np.float32)
            if rng.random() < share:
                strength = 1.0 if draw is of_surface else float(rng.uniform(0.4, 1))
                pixels, soft = paste(rng, pixels, draw(side), None, strength)
            pairs.append((pixels, soft))
        yield _batch(pairs)


def _cut(rng: np.random.Generator, pixels: np.ndarray, side: int) -> np.ndarray:
    """A random window, at most `side` pixels a side."""
    y, x = (rng.integers(max(0, size - side) + 1) for size in pixels.shape[:2])
    return np.ascontiguousarray(pixels[y : y + side, x : x + side])
