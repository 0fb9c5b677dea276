"""Pictograms for training: pictures, styles, words and the fixed split of concepts; drawings as the networks see them.

The archive (see README, "Data") holds 1,417 concepts in six styles. A hundred concepts, chosen by the SHA-256 of their
code points, are held out of all training in every style.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["HELD_OUT", "STYLES", "Pictograms", "condition", "load_pictograms", "premultiply", "words_of"]

STYLES = ("fluent_3d", "fluent_flat", "fluent_high_contrast", "noto", "twemoji", "emojitwo")
HELD_OUT = 100


@dataclass(frozen=True)
class Pictograms:
    """Pictures and their concepts.

    Attributes:
        pixels: `(N, S, S, 4)` uint8, premultiplied RGBA.
        style, concept: `(N,)` int, indices into `STYLES` and into the concepts.
        names, words, held_out: one entry a concept.
    """

    pixels: np.ndarray
    style: np.ndarray
    concept: np.ndarray
    names: list[str]
    words: list[tuple[str, ...]]
    held_out: np.ndarray

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training and of the held-out pictures."""
        held = self.held_out[self.concept]
        return np.flatnonzero(~held), np.flatnonzero(held)


def words_of(text: str) -> tuple[str, ...]:
    """Lower-case words of a prompt, in order, without duplicates."""
    return tuple(dict.fromkeys(re.findall(r"[a-z0-9]+", text.lower())))


def premultiply(image: Image.Image, size: int) -> np.ndarray:
    """RGBA picture to `(size, size, 4)` uint8 premultiplied, resized with alpha taken into account."""
    rgba = np.asarray(image.convert("RGBA"), dtype=np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255
    planes = [
        np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.LANCZOS)) for p in np.moveaxis(rgba, 2, 0)
    ]
    alpha = np.clip(planes[3], 0, 255)
    return np.stack([*(np.clip(p, 0, alpha) for p in planes[:3]), alpha], -1).round().astype(np.uint8)


def load_pictograms(archive: Path, size: int = 128, styles: tuple[str, ...] = STYLES) -> Pictograms:
    """Read the archive; pictures of one concept lie together.

    Raises:
        FileNotFoundError: no archive at `archive`.
    """
    pixels, style, concept, names, words, digests = [], [], [], [], [], []
    with zipfile.ZipFile(archive) as files:
        known = set(files.namelist())
        rows = csv.DictReader(io.TextIOWrapper(files.open("emoji/metadata.csv"), "utf-8"))
        for index, row in enumerate(rows):
            names.append(row["name"])
            words.append(words_of(f"{row['name']} {row['keywords']}"))
            digests.append(hashlib.sha256(row["code"].encode()).hexdigest())
            for name in styles:
                path = f"emoji/{name}/{row['code']}.webp"
                if path in known:
                    with files.open(path) as file:
                        pixels.append(premultiply(Image.open(file), size))
                    style.append(STYLES.index(name))
                    concept.append(index)
    held_out = np.zeros(len(names), bool)
    held_out[np.argsort(digests)[:HELD_OUT]] = True
    return Pictograms(np.stack(pixels), np.array(style), np.array(concept), names, words, held_out)


def condition(ink: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """What the network sees of a drawing: ink and premultiplied colour, `(5, S, S)` uint8.

    Args:
        ink: `(S, S)` float in [0, 1].
        colour: `(S, S, 4)` uint8 straight RGBA.
    """
    alpha = colour[..., 3:].astype(np.uint16)
    rgb = (colour[..., :3] * alpha // 255).astype(np.uint8)
    return np.concatenate([np.rint(255 * ink).astype(np.uint8)[None], rgb.transpose(2, 0, 1), colour[..., 3][None]])
