"""What the encoder learns from: finding pasted anomalies, telling textures apart, removing noise; and its batches.

Nothing here has seen a real defect. The localiser learns from anomalies pasted into normal tiles and into surfaces of
every kind; its loss counts pixels (cross-entropy and Dice) and whole pictures (the mean of the highest logits, which is
also how a picture is scored). Two linear heads, thrown away afterwards, keep the features rich for pictures of other
kinds: which of 1,399 surfaces is this (exemplars, Dosovitskiy et al. 2014, arXiv:1406.6909), and what was here before
noise was added (Vincent et al. 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.anomaly.data import Tile, batches
from demos.anomaly.features import collate, deep
from demos.anomaly.networks import Inspector
from demos.anomaly.paste import SEEN, paste

__all__ = ["Batch", "Pretext", "image_logit", "localiser_loss", "surface_batches", "tile_batches", "vary"]

COUNT = 32
WINDOW = 128
CROP = 160


@dataclass(frozen=True)
class Batch:
    """Pictures `x` `(B, 3, H, W)`, `mask`, soft `label` `(B, 1, H/2, W/2)`, and classes `kind` `(B,)` or -1."""

    x: Tensor
    mask: Tensor
    label: Tensor
    kind: Tensor


class Pretext(nn.Module):
    """An inspector and the two heads that are only there for its training."""

    def __init__(self, inspector: Inspector, surfaces: int) -> None:
        super().__init__()
        self.inspector = inspector
        width = sum(inspector.config["widths"][1:])
        self.classify = nn.Linear(width, max(1, surfaces))
        self.restore = nn.Conv2d(width, 3 * 64, 1)

    def losses(self, batch: Batch, noise: Tensor) -> dict[str, Tensor]:
        """All losses of a batch whose pictures get `noise` `(B, 3, H, W)` added.

        Returns:
            "pixels", "image" and "restore", and "surface" where the batch names any.
        """
        pyramid = self.inspector.pyramid(batch.x + noise * batch.mask, batch.mask)
        logits = self.inspector.localise(pyramid, batch.mask).float()
        seen = F.max_pool2d(batch.mask, 2)
        pixels, image = localiser_loss(logits, batch.label, seen)
        features, inside = deep(pyramid, batch.mask), F.max_pool2d(batch.mask, 8)
        restored = F.pixel_shuffle(self.restore(features), 8).float()
        off = ((restored - batch.x).abs() * batch.mask).sum() / (3 * batch.mask.sum())
        terms = {"pixels": pixels, "image": image, "restore": off}
        if (batch.kind >= 0).any():
            pooled = F.avg_pool2d(features.float() * inside, 4) / F.avg_pool2d(inside, 4).clamp_min(0.2)
            guess = self.classify(pooled.flatten(2).transpose(1, 2))
            target = batch.kind[:, None].expand(-1, guess.shape[1])
            full = F.avg_pool2d(inside, 4).flatten(1) > 0.9
            terms["surface"] = F.cross_entropy(guess[full].float(), target[full], label_smoothing=0.05)
        return terms


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


def _batch(pairs: list[tuple[np.ndarray, np.ndarray]], kind: list[int]) -> Batch:
    x, mask = collate([picture for picture, _ in pairs])
    label = torch.zeros_like(mask)
    for i, (_, soft) in enumerate(pairs):
        label[i, 0, : soft.shape[0], : soft.shape[1]] = torch.from_numpy(soft)
    return Batch(x, mask, F.max_pool2d(label, 2), torch.tensor(kind))


def tile_batches(
    tiles: list[Tile], n: int, rng: np.random.Generator, share: float = 0.65, whole: float = 0.3
) -> Iterator[Batch]:
    """Endless batches of tiles, a `share` of them with pasted anomalies.

    A part `whole` of the batches has `n` whole tiles of like size, the others `2 n` windows of `CROP` pixels a side,
    which cost as much and show more.
    """

    def part(pixels: np.ndarray, side: int) -> np.ndarray:
        y, x = (rng.integers(max(0, size - side) + 1) for size in pixels.shape)
        return np.ascontiguousarray(pixels[y : y + side, x : x + side])

    for pick in batches([t.pixels.shape[:2] for t in tiles], n, rng):
        entire = rng.random() < whole
        side, pairs = (max(max(t.pixels.shape) for t in tiles) if entire else CROP), []
        for i in pick if entire else rng.integers(len(tiles), size=2 * n):
            pixels = part(vary(rng, tiles[i].pixels), side)
            soft = np.zeros(pixels.shape, np.float32)
            if rng.random() < share:
                donor = part(vary(rng, tiles[rng.integers(len(tiles))].pixels), side)
                pixels, soft = paste(rng, pixels, donor, None, float(rng.uniform(0.4, 1)))
            pairs.append((pixels, soft))
        yield _batch(pairs, [-1] * len(pairs))


def surface_batches(
    surfaces: list[np.ndarray], n: int, rng: np.random.Generator, share: float = 0.5
) -> Iterator[Batch]:
    """Endless batches of `n` windows of surfaces with their index, a `share` of them with pasted anomalies."""

    def window(i: int) -> np.ndarray:
        pixels, side = surfaces[i], round(WINDOW * float(np.exp(rng.uniform(-0.3, 0.3))))
        h, w = (min(side, size) for size in pixels.shape[:2])
        y, x = rng.integers(pixels.shape[0] - h + 1), rng.integers(pixels.shape[1] - w + 1)
        part = cv2.resize(pixels[y : y + h, x : x + w], (WINDOW, WINDOW), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.2:
            part = np.repeat(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        return vary(rng, part)

    while True:
        kind, pairs = rng.integers(len(surfaces), size=n).tolist(), []
        for i in kind:
            pixels, soft = window(i), np.zeros((WINDOW, WINDOW), np.float32)
            if rng.random() < share:
                pixels, soft = paste(rng, pixels, window(int(rng.integers(len(surfaces)))))
            pairs.append((pixels, soft))
        yield _batch(pairs, kind)
