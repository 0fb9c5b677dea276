"""Pictures for training: windows of paintings and surfaces, and the same windows with their strokes taken away.

See README, "Data". Five of the twenty named paintings, those whose names have the
lowest SHA-256, are held out of all training: they stand for the styles that a visitor brings.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from demos.core.media import open_image
from demos.style.colour import moments
from demos.style.content import prepared, simplify

__all__ = [
    "HELD_OUT",
    "STYLE",
    "Batch",
    "Gallery",
    "draw_content",
    "framed",
    "load_gallery",
    "restored",
    "to_tensor",
]

HELD_OUT = 5
STYLE = (256, 320)
MEDIANS = (7, 9, 11, 13, 17)


@dataclass(frozen=True)
class Gallery:
    """Pictures by kind: `(H, W, 3)` uint8 RGB.

    Attributes:
        paintings: named ones by file stem.
        held_out: named ones that nothing was trained with.
        monet, surfaces: the others.
    """

    paintings: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]
    monet: list[np.ndarray]
    surfaces: dict[str, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes:
        wanted: windows of pictures, `(B, 3, S, S)` in [-1, 1].
        given: the same without strokes and with other colours, as far as `strength` says.
        style: nearly the whole pictures, `(B, 3, *STYLE)`.
        strength: `(B,)` in [0, 1].
    """

    wanted: Tensor
    given: Tensor
    style: Tensor
    strength: Tensor


def _pictures(archive: Path) -> Iterator[tuple[str, np.ndarray]]:
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            if name.lower().endswith((".webp", ".jpg", ".jpeg", ".png")):
                yield name, np.asarray(open_image(files.read(name)))


def load_gallery(folder: Path) -> Gallery:
    """Everything in the archives of `folder`.

    Raises:
        FileNotFoundError: an archive is missing.
    """
    named, monet = {}, []
    for name, rgba in _pictures(folder / "paintings.zip"):
        if Path(name).parent.name == "monet":
            monet.append(rgba[..., :3])
        else:
            named[Path(name).stem] = rgba[..., :3]
    held = sorted(named, key=lambda stem: hashlib.sha256(stem.encode()).hexdigest())[:HELD_OUT]
    surfaces = {Path(name).stem: rgba[..., :3] for name, rgba in _pictures(folder / "textures.zip")}
    return Gallery(
        {stem: rgb for stem, rgb in named.items() if stem not in held},
        {stem: named[stem] for stem in held},
        monet,
        surfaces,
    )


def to_tensor(rgb: np.ndarray) -> Tensor:
    """`(H, W, 3)` uint8 to `(1, 3, H, W)` in [-1, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 127.5 - 1


def _recolour(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """Other colours, same strokes: channels permuted and mixed, inverted, with another exposure."""
    mix = np.eye(3)[rng.permutation(3)] + rng.normal(0, 0.15, (3, 3))
    mix /= mix.sum(1, keepdims=True)
    x = rgb.astype(np.float32) / 255 @ mix.T.astype(np.float32)
    if rng.random() < 0.25:
        x = 1 - x
    x = x.clip(0, 1) ** np.exp(rng.normal(0, 0.25)).astype(np.float32)
    return (255 * x).round().astype(np.uint8)


def _any(rng: np.random.Generator, pictures: list[np.ndarray]) -> np.ndarray:
    return pictures[rng.integers(len(pictures))]


def framed(rgb: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Nearly the whole picture: what fills `STYLE` of it, at a random place or in the middle; `(*STYLE, 3)` uint8."""
    scale = max(wanted / side for wanted, side in zip(STYLE, rgb.shape, strict=False))
    size = [max(wanted, round(scale * side)) for wanted, side in zip(STYLE, rgb.shape, strict=False)]
    large = cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    room = [side - wanted for side, wanted in zip(size, STYLE, strict=True)]
    y, x = (n // 2 if rng is None else int(rng.integers(n + 1)) for n in room)
    return large[y : y + STYLE[0], x : x + STYLE[1]]


def _faded(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """`rgb` with less colour, a rotated hue and another tone curve."""
    x = rgb.astype(np.float32) / 255
    grey = x.mean(2, keepdims=True)
    mix = np.eye(3, dtype=np.float32) + rng.normal(0, 0.25, (3, 3)).astype(np.float32)
    mix /= mix.sum(1, keepdims=True)
    x = grey + float(rng.uniform(0, 1)) * (x @ mix.T - grey)
    x = (x - grey.mean()) * float(np.exp(rng.normal(0, 0.15))) + grey.mean() + float(rng.normal(0, 0.05))
    return (255 * x.clip(0, 1)).round().astype(np.uint8)


def draw_content(gallery: Gallery, rng: np.random.Generator, side: int) -> np.ndarray:
    """A window of something to repaint, `(side, side, 3)` uint8."""
    kind = rng.random()
    named, surfaces = list(gallery.paintings.values()), list(gallery.surfaces.values())
    picture = _any(rng, gallery.monet if kind < 0.6 else named if kind < 0.85 else surfaces)
    most = min(picture.shape[:2])
    cut = round(most * float(rng.uniform(0.5, 1)))
    y, x = (int(rng.integers(size - cut + 1)) for size in picture.shape[:2])
    part = np.ascontiguousarray(picture[y : y + cut, x : x + cut][:, :: rng.choice((-1, 1))])
    part = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC)
    return _recolour(rng, part) if rng.random() < 0.4 else part


def restored(gallery: Gallery, n: int, side: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Endless batches of `n` windows of `side` pixels that want their strokes back, most of them of named paintings."""
    named, surfaces = list(gallery.paintings.values()), list(gallery.surfaces.values())

    def one() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        kind = rng.random()
        pool = named if kind < 0.75 else gallery.monet if kind < 0.87 else surfaces
        picture = _any(rng, pool)
        if pool is surfaces:
            picture = np.tile(picture, (2, 2, 1))
        if rng.random() < 0.25:
            picture = _recolour(rng, picture)
        style = framed(picture[:, :: rng.choice((-1, 1))], rng)
        y, x = (int(rng.integers(size - side + 1)) for size in STYLE)
        wanted = style[y : y + side, x : x + side]
        strength = 1.0 if rng.random() < 0.75 else float(rng.random())
        given = _faded(rng, simplify(wanted, int(rng.choice(MEDIANS))))
        return wanted, cv2.addWeighted(wanted, 1 - strength, given, strength, 0), style, strength

    while True:
        *pictures, strength = zip(*(one() for _ in range(n)), strict=True)
        wanted, given, style = (torch.cat([to_tensor(rgb) for rgb in part]) for part in pictures)
        yield Batch(wanted, given, style, torch.tensor(strength))


def photographed(gallery: Gallery, n: int, side: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Endless batches of `n` contents of `side` pixels, wanted in the style of a named painting as far as it goes."""
    named = list(gallery.paintings.values())
    while True:
        wanted = torch.cat([to_tensor(draw_content(gallery, rng, side)) for _ in range(n)])
        style = torch.cat([to_tensor(framed(_any(rng, named), rng)) for _ in range(n)])
        given = [prepared(x[None], moments(s[None]), 1.0) for x, s in zip(wanted, style, strict=True)]
        yield Batch(wanted, torch.cat(given), style, torch.ones(n))
