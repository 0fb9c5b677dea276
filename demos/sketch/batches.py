"""Batches of drawings with their pictures, and contact sheets to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from demos.core.strokes import Drawing, rasterise
from demos.sketch.data import STYLES, Pictograms, condition
from demos.sketch.networks import Autoencoder
from demos.sketch.simulate import COLOURS, Picture, colour_words, draw_lines, edge_chains

__all__ = [
    "WORDS",
    "Drawings",
    "drop",
    "example_drawings",
    "in_parts",
    "make_vocabulary",
    "over",
    "paper_of",
    "sheet",
    "to_tensor",
]

WORDS = 12
STOP_WORDS = {"a", "and", "in", "of", "on", "or", "the", "with", "without"}
EXAMPLES = Path(__file__).parent / "examples"


def to_tensor(pixels: np.ndarray) -> Tensor:
    """`(B, S, S, 4)` uint8 to `(B, 4, S, S)` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def in_parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows in parts of nearly equal size, at most `size`."""
    return np.array_split(rows, -(-len(rows) // size))


def over(x: Tensor, paper: float = 1.0) -> np.ndarray:
    """Premultiplied `(B, 4, H, W)` over a paper of grey value `paper` in [0, 1], as `(B, H, W, 3)` uint8."""
    x = (x.float().clamp(-1, 1) + 1) / 2
    rgb = x[:, :3] + paper * (1 - x[:, 3:])
    return (255 * rgb.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def paper_of(drawing: Tensor) -> np.ndarray:
    """Drawings `(B, 5, S, S)` in [0, 1] as they look on white paper, `(B, S, S, 3)` uint8."""
    ink, rgb, alpha = drawing[:, :1], drawing[:, 1:4], drawing[:, 4:]
    shown = (rgb + 1 - alpha) * (1 - ink)
    return (255 * shown).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def sheet(rows: list[np.ndarray], path: Path) -> None:
    """Write a contact sheet; every entry `(N, H, W, 3)` is a row."""
    Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)).save(path)


def make_vocabulary(data: Pictograms) -> tuple[str, ...]:
    """All words of the training concepts and the names of colours, in alphabetical order."""
    words = {w for i, ws in enumerate(data.words) if not data.held_out[i] for w in ws} | set(COLOURS)
    return tuple(sorted(words - STOP_WORDS))


def drop(drawing: Tensor, words: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Leave out the drawing, the words or both now and then, for classifier-free guidance (arXiv:2207.12598)."""
    u = torch.rand(len(words), generator=generator).to(words.device)
    drawing = drawing * (u > 0.13).float()[:, None, None, None]
    return drawing, words * ((u > 0.06) & (u < 0.75)).long()[:, None]


def example_drawings(data: Pictograms, device: str) -> Tensor:
    """The drawings in `examples/` and the lines of fifteen held-out pictures, `(B, 5, 128, 128)` in [0, 1]."""
    rng = np.random.default_rng(7)
    _, held = data.split()
    texts = [file.read_text() for file in sorted(EXAMPLES.glob("*.json"))]
    drawn = [condition(*rasterise(Drawing.from_json(text), 128)) for text in texts]
    for i in held[20::37]:
        ink = draw_lines(rng, edge_chains(data.pixels[i]), np.eye(2, 3, dtype=np.float32), 128)
        drawn.append(np.concatenate([ink[None], np.zeros((4, 128, 128), np.uint8)]))
    return torch.from_numpy(np.stack(drawn)).to(device).float() / 255


class Drawings:
    """Endless batches of (latent, drawing, words, style) for the training concepts."""

    def __init__(self, data: Pictograms, autoencoder: Autoencoder, vocabulary: tuple[str, ...], device: str) -> None:
        self.data, self.autoencoder, self.device = data, autoencoder, device
        self.index = {word: i + 1 for i, word in enumerate(vocabulary)}
        self.train, _ = data.split()
        self.pictures = [Picture(data.pixels[i], edge_chains(data.pixels[i])) for i in tqdm(self.train, "trace")]

    def words(self, rng: np.random.Generator, i: int, rgba: np.ndarray) -> list[int]:
        """A random part of a picture's words, with the names of its colours now and then."""
        known = [w for w in self.data.words[self.data.concept[i]] if w in self.index and w not in COLOURS]
        if rng.random() < 0.5:
            known = list(rng.permutation(known)[: rng.integers(0, len(known) + 1)])
        if rng.random() < 0.5:
            known += colour_words(rgba)
        chosen = [self.index[w] for w in known[:WORDS]]
        return chosen + [0] * (WORDS - len(chosen))

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents `(n, Z, 16, 16)`, drawings `(n, 5, 128, 128)`, words `(n, WORDS)`, one-hot styles `(n, 6)`."""
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        pick = rng.integers(len(self.train), size=n)
        drawn = [self.pictures[i].draw(rng) for i in pick]
        words = [self.words(rng, int(self.train[i]), rgba) for i, (rgba, _) in zip(pick, drawn, strict=True)]
        x = to_tensor(np.stack([rgba for rgba, _ in drawn])).to(self.device)
        with torch.no_grad():
            z = self.autoencoder.to_latent(x.contiguous(memory_format=torch.channels_last)).float()
        drawing = torch.from_numpy(np.stack([d for _, d in drawn])).to(self.device).float() / 255
        style = torch.eye(len(STYLES))[torch.from_numpy(self.data.style[self.train[pick]])]
        return z, drawing, torch.tensor(words, device=self.device), style.to(self.device)
