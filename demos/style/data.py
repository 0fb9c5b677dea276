"""Pictures for training: contents to repaint and styles to repaint them in, as windows of any scale and colour.

Paintings, surfaces and pictograms (see README, "Data"). Five of the twenty named paintings, those whose names have the
lowest SHA-256, are held out of all training: they stand for the styles that a visitor brings.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from demos.core.media import open_image

__all__ = ["HELD_OUT", "STYLE", "Batch", "Gallery", "batches", "framed", "load_gallery", "to_tensor", "window"]

HELD_OUT = 5
PICTOGRAMS = ("fluent_3d", "fluent_flat")
EVERY = 4
STYLE = (256, 320)


@dataclass(frozen=True)
class Gallery:
    """Pictures by kind: `(H, W, 3)` uint8 RGB, pictograms `(H, W, 4)` RGBA.

    Attributes:
        paintings: named ones by file stem.
        held_out: named ones that nothing was trained with.
        monet, surfaces, pictograms: the others.
    """

    paintings: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]
    monet: list[np.ndarray]
    surfaces: dict[str, np.ndarray]
    pictograms: list[np.ndarray]


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes:
        content: `(B, 3, S, S)` in [-1, 1].
        styles: one or two times `(B, 3, *STYLE)`.
        shares: of the content and of each style in what is wanted; their sum is 1.
    """

    content: Tensor
    styles: list[Tensor]
    shares: list[float]


def _pictures(archive: Path, folders: tuple[str, ...] = ()) -> Iterator[tuple[str, np.ndarray]]:
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            inside = not folders or Path(name).parent.name in folders
            if inside and name.lower().endswith((".webp", ".jpg", ".jpeg", ".png")):
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
    pictograms = [rgba for _, rgba in _pictures(folder / "emoji.zip", PICTOGRAMS)][::EVERY]
    return Gallery(
        {stem: rgb for stem, rgb in named.items() if stem not in held},
        {stem: named[stem] for stem in held},
        monet,
        surfaces,
        pictograms,
    )


def to_tensor(rgb: np.ndarray) -> Tensor:
    """`(H, W, 3)` uint8 to `(1, 3, H, W)` in [-1, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 127.5 - 1


def window(rng: np.random.Generator, rgb: np.ndarray, side: int, smallest: int) -> np.ndarray:
    """A random square of at least `smallest` pixels, resized to `side`, perhaps mirrored; `(side, side, 3)` uint8."""
    most = min(rgb.shape[:2])
    cut = round(most * float(np.exp(rng.uniform(min(0.0, np.log(smallest / most)), 0))))
    y, x = (int(rng.integers(size - cut + 1)) for size in rgb.shape[:2])
    part = rgb[y : y + cut, x : x + cut][:, :: rng.choice((-1, 1))]
    how = cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(part), (side, side), interpolation=how)


def _recolour(rng: np.random.Generator, rgb: np.ndarray) -> np.ndarray:
    """Other colours, same strokes: channels permuted and mixed, inverted, with another exposure."""
    mix = np.eye(3)[rng.permutation(3)] + rng.normal(0, 0.15, (3, 3))
    mix /= mix.sum(1, keepdims=True)
    x = rgb.astype(np.float32) / 255 @ mix.T.astype(np.float32)
    if rng.random() < 0.25:
        x = 1 - x
    x = x.clip(0, 1) ** np.exp(rng.normal(0, 0.25)).astype(np.float32)
    return (255 * x).round().astype(np.uint8)


def _composed(rng: np.random.Generator, gallery: Gallery, side: int) -> np.ndarray:
    """A pictogram before a surface or a gradient: plain shapes with sharp edges."""
    size = int(side * rng.uniform(0.5, 1.0))
    rgba = cv2.resize(gallery.pictograms[rng.integers(len(gallery.pictograms))], (size, size), interpolation=1)
    if rng.random() < 0.5:
        back = window(rng, _any(rng, list(gallery.surfaces.values())), side, 60)
    else:
        corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
        back = cv2.resize(corners, (side, side)).round().astype(np.uint8)
    y, x = rng.integers(side - size + 1, size=2)
    alpha = rgba[..., 3:].astype(np.float32) / 255
    part = back[y : y + size, x : x + size]
    back[y : y + size, x : x + size] = (alpha * rgba[..., :3] + (1 - alpha) * part).round()
    return back


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


def batches(gallery: Gallery, n: int, side: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Endless batches of `n` contents of `side` pixels.

    Three of four have one style for each picture; the others mix two, or ask for less of a style, or for the content
    itself, which is what strengths below 1 and 0 mean.
    """
    named, surfaces = list(gallery.paintings.values()), list(gallery.surfaces.values())

    def content() -> np.ndarray:
        kind = rng.random()
        if kind < 0.25:
            return _composed(rng, gallery, side)
        pool = gallery.monet if kind < 0.7 else named if kind < 0.9 else surfaces
        picture = window(rng, _any(rng, pool), side, 96)
        return _recolour(rng, picture) if rng.random() < 0.3 else picture

    def style() -> np.ndarray:
        kind = rng.random()
        pool = named if kind < 0.7 else gallery.monet if kind < 0.82 else surfaces
        picture = _any(rng, pool)
        if pool is surfaces and rng.random() < 0.7:
            picture = np.tile(picture, (2, 2, 1))
        picture = framed(picture, rng)
        return _recolour(rng, picture) if rng.random() < 0.15 else picture

    def many(draw: Callable[[], np.ndarray]) -> Tensor:
        return torch.cat([to_tensor(draw()) for _ in range(n)])

    while True:
        kind, u = rng.random(), float(rng.random())
        if kind < 0.12:
            yield Batch(many(content), [many(style), many(style)], [0.0, u, 1 - u])
        else:
            own = 1.0 if kind < 0.15 else u if kind < 0.25 else 0.0
            yield Batch(many(content), [many(style)], [own, 1 - own])
