"""Pictures for training: magnetic tiles with the masks of their defects, and surfaces of other kinds.

Tiles keep their aspect ratio and are all reduced by the same factor, so that a crack is as wide in a large picture as
in a small one; their median area is then 256 × 256 pixels. A fifth of the normal training pictures, chosen by the
SHA-256 of their names, is held out of all training: it chooses between models and calibrates the shipped detector.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

__all__ = ["KINDS", "SCALE", "Tile", "batches", "load_surfaces", "load_tiles", "split_held_out"]

KINDS = ("blowhole", "break", "crack", "fray", "uneven")
SCALE = 0.85
HELD_OUT = 0.2
SURFACES = ("textures.zip", "paintings.zip")
SURFACE_SIDE = 320


@dataclass(frozen=True)
class Tile:
    """One photograph.

    Attributes:
        name: path in the archive.
        pixels: `(H, W)` uint8.
        defect: "free" or one of `KINDS`.
        mask: `(H, W)` bool, true on the defect; all false on a normal tile.
    """

    name: str
    pixels: np.ndarray
    defect: str
    mask: np.ndarray

    @property
    def defective(self) -> bool:
        """Whether it has a defect."""
        return self.defect != "free"


def load_tiles(archive: Path, split: str, scale: float = SCALE, limit: int | None = None) -> list[Tile]:
    """The tiles of a split, "train" (normal ones only) or "test", in the archive's order; the first `limit` of them.

    Raises:
        FileNotFoundError: no archive at `archive`.
    """
    tiles: list[Tile] = []
    with zipfile.ZipFile(archive) as files:
        table = io.TextIOWrapper(files.open("magnetic_tile/metadata.csv"), "utf-8")
        rows = [row for row in csv.DictReader(table) if row["split"] == split]
        for row in rows[:limit]:
            pixels = _decode(files.read(row["image"]), cv2.IMREAD_GRAYSCALE)
            mask = np.zeros_like(pixels)
            if row["mask"]:
                mask = _decode(files.read(row["mask"]), cv2.IMREAD_GRAYSCALE)
            size = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 127
            tiles.append(Tile(row["image"], pixels, row["defect"], mask))
    return tiles


def load_surfaces(folder: Path) -> list[np.ndarray]:
    """Textures and paintings in `folder`, as far as they exist, `(H, W, 3)` uint8 RGB of 320 pixels a side or less."""
    pictures = []
    for name in SURFACES:
        if not (folder / name).exists():
            continue
        with zipfile.ZipFile(folder / name) as files:
            for entry in sorted(files.namelist()):
                if not entry.lower().endswith((".webp", ".jpg", ".jpeg", ".png")):
                    continue
                rgb = cv2.cvtColor(_decode(files.read(entry), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
                scale = min(1.0, SURFACE_SIDE / max(rgb.shape[:2]))
                if scale < 1:
                    rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                pictures.append(rgb)
    return pictures


def split_held_out(tiles: list[Tile], share: float = HELD_OUT) -> tuple[list[Tile], list[Tile]]:
    """Normal tiles to train with, and those held out; a tile's side depends on its name alone."""

    def held(tile: Tile) -> bool:
        digest = hashlib.sha256(Path(tile.name).name.encode()).digest()
        return int.from_bytes(digest[:4], "big") < share * 2**32

    return [t for t in tiles if not held(t)], [t for t in tiles if held(t)]


def batches(sizes: list[tuple[int, int]], n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless batches of `n` indices of pictures of nearly the same size `(H, W)`, so that little padding is needed."""
    size = np.array(sizes, float)
    while True:
        order = rng.permutation(len(size))
        noisy = size[order] * rng.uniform(0.93, 1.07, (len(size), 2))
        order = order[np.lexsort((noisy[:, 0], (noisy[:, 1] / 40).round()))]
        chunks = [order[i : i + n] for i in range(0, len(order) - n + 1, n)] or [rng.choice(len(size), n)]
        for i in rng.permutation(len(chunks)):
            yield chunks[i]


def _decode(data: bytes, flag: int) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if pixels is None:
        raise ValueError("The archive holds a damaged picture.")
    return pixels
