"""Human-like sketches and colour hints simulated from pictures.

Edges at several scales are traced once into chains of points, and once more with edges that run side by side joined to
one: a hand draws a thin part (a whisker, a smile) by one stroke and not by its two edges. Every time a picture is drawn
for training its chains are perturbed as a hand would: simplified, shaky, shifted, rotated, doubled, left out, filled
in, of varying width. Colour hints are a few rough strokes of the picture's own colours, displaced.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from skimage.morphology import skeletonize

from demos.core.trace import chains

__all__ = [
    "SINGLE",
    "Picture",
    "augment",
    "colour_words",
    "draw_hints",
    "draw_lines",
    "edge_chains",
]

Chains = list[np.ndarray]
SCALES = ((0.7, 60, 160), (1.1, 60, 170), (1.8, 50, 140))
JOINED = ((0, 2), (1, 3))
"""Scales whose edges are joined, and how far, in pixels, they are widened for that."""
SINGLE = range(len(SCALES), len(SCALES) + len(JOINED))
"""Where `edge_chains` has the joined ones."""
USES = (0.25, 0.35, 0.2, 0.3, 0.3, 0.2, 0.6)
"""How often each of the levels of `edge_chains` is drawn, relative to each other."""
COLOURS = {
    "black": (25, 25, 28), "white": (245, 245, 245), "grey": (140, 140, 145), "red": (225, 45, 50),
    "orange": (245, 135, 30), "yellow": (250, 205, 50), "green": (75, 165, 70), "blue": (50, 120, 220),
    "purple": (140, 80, 200), "pink": (245, 130, 180), "brown": (130, 85, 60),
}  # fmt: skip


def edge_chains(rgba: np.ndarray) -> list[Chains]:
    """Chains of a picture at every scale, joined ones, the outline of its shape and, of line art only, its skeleton.

    Args:
        rgba: `(S, S, 4)` uint8 premultiplied.
    """
    paper = np.dstack([rgba[..., :3] + (255 - rgba[..., 3:]), rgba[..., 3]])
    maps = []
    for sigma, low, high in SCALES:
        soft = cv2.GaussianBlur(paper, (0, 0), sigma)
        edges = [
            cv2.Canny(np.ascontiguousarray(part), low, high, L2gradient=True) for part in (soft[..., :3], soft[..., 3])
        ]
        maps.append(np.maximum(*edges) > 0)
    maps += [_joined(maps[scale], radius) for scale, radius in JOINED]
    levels: list[Chains] = [[c - 0.5 for c in chains(edges)] for edges in maps]
    outline, _ = cv2.findContours((rgba[..., 3] > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    levels.append([np.concatenate([c[:, 0], c[:1, 0]]).astype(np.float32) for c in outline if len(c) > 8])
    opaque = rgba[..., 3] > 127
    if opaque.any() and rgba[opaque][:, :3].max(1).mean() < 60:
        levels.append([c - 0.5 for c in chains(skeletonize(opaque))])
    return [[c for c in level if len(c) >= 4] for level in levels]


def _joined(edges: np.ndarray, radius: int) -> np.ndarray:
    """Edges `(S, S)` bool; those closer to each other than twice the radius become one line between them."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    wide = np.pad(edges.astype(np.uint8), 2 * radius)
    inner = slice(2 * radius, -2 * radius)
    return skeletonize(cv2.morphologyEx(wide, cv2.MORPH_CLOSE, disc) > 0)[inner, inner]


def augment(rng: np.random.Generator, size: int) -> np.ndarray:
    """Random flip, scale, rotation and shift as an affine map `(2, 3)` of pixel coordinates."""
    angle = np.deg2rad(rng.normal(0, 5)) if rng.random() < 0.5 else 0.0
    zoom = rng.uniform(0.75, 1.08) if rng.random() < 0.6 else 1.0
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]])
    if rng.random() < 0.5:
        matrix[:, 0] *= -1
    slack = 0.04 + 0.5 * max(0.0, 1 - zoom)
    centre = (size - 1) / 2
    shift = centre + rng.uniform(-slack, slack, 2) * size - matrix @ [centre, centre]
    return np.concatenate([matrix, shift[:, None]], 1).astype(np.float32)


def _shaken(rng: np.random.Generator, chain: np.ndarray, wobble: float, epsilon: float) -> np.ndarray:
    """A chain redrawn by hand: simplified, resampled, smoothed, displaced by slow noise and a small rigid error."""
    if epsilon > 0.2:
        chain = cv2.approxPolyDP(np.ascontiguousarray(chain[:, None], dtype=np.float32), epsilon, False)[:, 0]
    steps = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    length = np.concatenate([[0], np.cumsum(steps)])
    n = int(np.clip(length[-1] / 2, 3, 200))
    at = np.linspace(0, length[-1], n)
    chain = np.stack([np.interp(at, length, chain[:, 0]), np.interp(at, length, chain[:, 1])], 1)
    smooth = rng.uniform(0, 2.0)
    if smooth > 0.3 and n > 6:
        chain = gaussian_filter1d(chain, smooth, axis=0, mode="nearest")
    noise = gaussian_filter1d(rng.normal(size=(n, 2)), min(6.0, n / 4), axis=0, mode="reflect")
    noise *= wobble / max(noise.std(), 1e-3)
    turn = rng.normal(0, 0.02 * wobble)
    centre = chain.mean(0)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (chain - centre) @ spin.T + centre + 0.5 * noise + rng.normal(0, 0.35 * wobble, 2)


def draw_lines(rng: np.random.Generator, levels: list[Chains], matrix: np.ndarray, size: int) -> np.ndarray:
    """Ink `(S, S)` uint8 of one picture's chains, drawn by hand under the affine map `matrix`."""
    ink = np.zeros((2 * size, 2 * size), np.uint8)
    weights = np.array([use * (len(level) > 0) for use, level in zip(USES, levels, strict=False)])
    if weights.sum() > 0:
        level = levels[rng.choice(len(levels), p=weights / weights.sum())]
        for points, width in _strokes(rng, level, matrix):
            chain = np.rint((points + 0.5) * 16).astype(np.int32)
            cv2.polylines(ink, [chain], False, 255, max(1, round(2 * width)), cv2.LINE_8, 3)
    return cv2.resize(ink, (size, size), interpolation=cv2.INTER_AREA)


def _strokes(rng: np.random.Generator, level: Chains, matrix: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Points and width, in pixels, of the strokes of one drawing."""
    wobble = float(rng.gamma(1.5, 0.5))
    epsilon = float(rng.gamma(1.2, 0.7)) if rng.random() < 0.7 else 0.0
    width = float(np.exp(rng.uniform(np.log(1), np.log(4))))
    lengths = np.array([len(c) for c in level])
    missing = rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0
    shortest = rng.choice([4, 8, 14, 22], p=[0.4, 0.3, 0.2, 0.1])
    keep = (rng.random(len(level)) > missing * np.exp(-lengths / 60)) & (lengths >= min(shortest, lengths.max()))
    order = np.flatnonzero(keep)
    if rng.random() < 0.08 and len(order) > 2:
        order = order[: rng.integers(1, len(order))]
    dots = rng.random() < 0.4
    strokes = []
    for i in order:
        chain = level[i] @ matrix[:, :2].T + matrix[:, 2]
        if dots and lengths[i] < 40 and np.abs(chain[0] - chain[-1]).max() < 3:
            half = 0.5 * (chain - chain.mean(0))
            strokes.append((half + chain.mean(0), 2.2 * float(np.abs(half).max(0).min())))
        for _ in range(2 if rng.random() < 0.06 else 1):
            strokes.append((_shaken(rng, chain, wobble, epsilon), width * rng.uniform(0.8, 1.25)))
    return strokes


def draw_hints(rng: np.random.Generator, rgba: np.ndarray) -> np.ndarray:
    """A few rough strokes of the picture's own colours, `(S, S, 4)` uint8 premultiplied like the picture."""
    hints = np.zeros(rgba.shape, np.uint8)
    inside = np.argwhere(rgba[::4, ::4, 3] > 200) * 4
    if len(inside) == 0:
        return hints
    soft = cv2.blur(rgba, (5, 5))
    colours = soft[inside[:, 0], inside[:, 1], :3].astype(np.int16)
    for _ in range(int(rng.integers(1, 9))):
        first = rng.integers(len(inside))
        near = inside[np.abs(colours - colours[first]).max(1) < 30]
        path = [inside[first]]
        for _ in range(int(rng.integers(1, 5))):
            close = near[np.abs(near - path[-1]).max(1) < 30]
            path.append(close[rng.integers(len(close))] if len(close) else path[-1])
        points = np.array(path)[:, ::-1] + rng.normal(0, 1.5, (len(path), 2))
        colour = np.clip(colours[first] + rng.normal(0, 10, 3), 0, 255).tolist()
        width = round(np.exp(rng.uniform(np.log(3), np.log(20))))
        cv2.polylines(hints, [np.rint(points).astype(np.int32)], False, (*colour, 255), width)
    return hints


def colour_words(rgba: np.ndarray, most: int = 2) -> tuple[str, ...]:
    """Names of the colours that cover at least a sixth of a picture's shape, most common first."""
    pixels = rgba[::4, ::4].reshape(-1, 4)
    pixels = pixels[pixels[:, 3] > 200][:, :3].astype(float)
    if len(pixels) == 0:
        return ()
    table = np.array(list(COLOURS.values()), float)
    nearest = ((pixels[:, None] - table) ** 2).sum(2).argmin(1)
    counts = np.bincount(nearest, minlength=len(table)) / len(pixels)
    names = list(COLOURS)
    return tuple(names[i] for i in np.argsort(-counts)[:most] if counts[i] > 1 / 6)


class Picture:
    """One training picture with its traced chains; `draw` gives an augmented picture and a drawing of it.

    Colours are permuted now and then, but only where hints tell: hints of any colour are to be followed, while a
    drawing without them gets the colours of the set.
    """

    def __init__(self, rgba: np.ndarray, levels: list[Chains]) -> None:
        self.rgba, self.levels = rgba, levels

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Augmented `(S, S, 4)` uint8 premultiplied picture and the `(5, S, S)` uint8 condition drawn from it."""
        size = self.rgba.shape[0]
        matrix = augment(rng, size)
        rgba = cv2.warpAffine(self.rgba, matrix, (size, size), flags=cv2.INTER_LINEAR)
        hinted = rng.random() < 0.5
        if hinted and rng.random() < 0.3:
            rgba = np.ascontiguousarray(rgba[..., [*rng.permutation(3), 3]])
        ink = draw_lines(rng, self.levels, matrix, size) if rng.random() < 0.92 else np.zeros((size, size), np.uint8)
        hints = draw_hints(rng, rgba) if hinted else np.zeros_like(rgba)
        return rgba, np.concatenate([ink[None], hints.transpose(2, 0, 1)])
