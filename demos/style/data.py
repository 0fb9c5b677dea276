"""Pictures for training: styles, and underpaintings of other pictures in them.

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
from demos.style.codes import StyleCode, collect
from demos.style.colour import moments
from demos.style.underpainting import underpaint

__all__ = [
    "HELD_OUT",
    "STYLE",
    "Batch",
    "Gallery",
    "draw_content",
    "framed",
    "load_gallery",
    "to_tensor",
    "underpainted",
]

HELD_OUT = 5
PICTOGRAMS = "emoji/fluent_3d/"
STYLE = (256, 320)


@dataclass(frozen=True)
class Gallery:
    """Pictures by kind: `(H, W, 3)` uint8 RGB.

    Attributes:
        paintings: named ones by file stem.
        held_out: named ones that nothing was trained with.
        monet, surfaces: the others.
        pictograms: `(H, W, 4)` RGBA, contents only.
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
        given: underpaintings, `(B, 3, S, S)` in [-1, 1].
        style: nearly the whole pictures of their styles, `(B, 3, *STYLE)`.
    """

    given: Tensor
    style: Tensor


def _pictures(archive: Path, folder: str = "") -> Iterator[tuple[str, np.ndarray]]:
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            if name.startswith(folder) and name.lower().endswith((".webp", ".jpg", ".jpeg", ".png")):
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
        [rgba for _, rgba in _pictures(folder / "emoji.zip", PICTOGRAMS)],
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


def _on_paper(rng: np.random.Generator, rgba: np.ndarray) -> np.ndarray:
    """A pictogram on a plain paper, most often a white one; RGB."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    paper = np.full(3, 255) if rng.random() < 0.6 else rng.integers(0, 256, 3)
    return (alpha * rgba[..., :3] + (1 - alpha) * paper).round().astype(np.uint8)


def draw_content(gallery: Gallery, rng: np.random.Generator, side: int) -> np.ndarray:
    """A window of something to repaint, `(side, side, 3)` uint8."""
    kind = rng.random()
    if kind < 0.2:
        picture = _on_paper(rng, _any(rng, gallery.pictograms))
    else:
        named, surfaces = list(gallery.paintings.values()), list(gallery.surfaces.values())
        picture = _any(rng, gallery.monet if kind < 0.65 else named if kind < 0.88 else surfaces)
    most = min(picture.shape[:2])
    cut = round(most * float(rng.uniform(0.5, 1)))
    y, x = (int(rng.integers(size - cut + 1)) for size in picture.shape[:2])
    part = np.ascontiguousarray(picture[y : y + cut, x : x + cut][:, :: rng.choice((-1, 1))])
    part = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC)
    return _recolour(rng, part) if rng.random() < 0.4 else part


def draw_style(gallery: Gallery, rng: np.random.Generator) -> np.ndarray:
    """A style, most often of a named painting, sometimes in other colours, `(*STYLE, 3)` uint8."""
    kind = rng.random()
    pool = gallery.paintings.values() if kind < 0.6 else gallery.monet if kind < 0.85 else gallery.surfaces.values()
    picture = _any(rng, list(pool))
    if kind >= 0.85:
        picture = np.tile(picture, (2, 2, 1))
    if rng.random() < 0.25:
        picture = _recolour(rng, picture)
    return framed(picture[:, :: rng.choice((-1, 1))], rng)


def underpainted(gallery: Gallery, n: int, side: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Endless batches of `n` windows of `side` pixels, out of pictures of 256, underpainted in as many styles."""
    while True:
        given, styles = [], []
        for _ in range(n):
            style = to_tensor(draw_style(gallery, rng))
            code = StyleCode(moments(style)[0], collect(style, int(rng.integers(2**31))))
            given.append(underpaint(to_tensor(draw_content(gallery, rng, side)), code, whole=STYLE[0]))
            styles.append(style)
        yield Batch(torch.cat(given), torch.cat(styles))
