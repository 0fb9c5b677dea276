"""Drawings as strokes: the JSON of the sketchpad, and the rasteriser that turns it into what the canvas shows.

A stroke is a chain of capsules: for each pair of neighbouring points, the convex hull of two discs. The diameter at a
point is `width * (0.4 + 1.2 * pressure)`, so that a mouse (pressure 0.5) draws the nominal width. A drawing has two
layers: `brush` strokes (colour hints) below, `pen` strokes (ink) above; an `eraser` clears what lies before it in both.

The page sends

    {"version": 1, "size": 512, "strokes": [
        {"tool": "pen", "colour": "#1b1b1f", "width": 8.0, "points": [[x, y, pressure, t_ms], ...]}, ...]}

with coordinates in canvas units from 0 to `size`, y downwards. The sketchpad draws the same capsules, so that
`render(drawing, 512)` equals its canvas up to antialiasing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

__all__ = ["INK", "Drawing", "Stroke", "parse_colour", "radii", "rasterise", "render", "split_picture"]

INK = (27, 27, 31)
TOOLS = ("pen", "brush", "eraser")
MAX_STROKES = 10_000
MAX_POINTS = 400_000
MAX_TEXT = 16_000_000
MIN_WIDTH, MAX_WIDTH = 0.25, 512.0

_SHIFT = 4
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Stroke:
    """One stroke.

    Attributes:
        points: `(N, 3)` float32, N >= 1: x and y in canvas units, pressure in [0, 1].
        width: Diameter at pressure 0.5, in canvas units.
        colour: RGB, 0 to 255 (an eraser ignores it).
        tool: "pen", "brush" or "eraser".
    """

    points: np.ndarray
    width: float = 8.0
    colour: tuple[int, int, int] = INK
    tool: str = "pen"


@dataclass(frozen=True)
class Drawing:
    """Strokes in the order in which they were drawn, on a square canvas of `size` units."""

    strokes: tuple[Stroke, ...] = ()
    size: float = 512.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever drawn (erasers alone leave the paper empty)."""
        return all(stroke.tool == "eraser" for stroke in self.strokes)

    @classmethod
    def from_json(cls, source: str | Mapping[str, Any]) -> Drawing:
        """Read the sketchpad's JSON, as text or already parsed; empty text is an empty drawing.

        Coordinates are clipped to one canvas size beyond the paper, pressures to [0, 1]; points that aren't finite
        are dropped.

        Raises:
            ValueError: One sentence for the user, if the text isn't a drawing or exceeds the limits.
        """
        data = _parse(source) if isinstance(source, str) else source
        if not isinstance(data, Mapping):
            raise ValueError("The drawing must be a JSON object with a list of strokes.")
        if data.get("version", 1) != 1:
            raise ValueError("The drawing has an unknown format version; this page reads version 1.")
        size = _number(data.get("size", 512.0), "size")
        if not 1 <= size <= 65_536:
            raise ValueError("The drawing's size must be between 1 and 65,536.")
        items = data.get("strokes", [])
        if not isinstance(items, list):
            raise ValueError("The drawing's strokes must be a list.")
        if len(items) > MAX_STROKES:
            raise ValueError(f"The drawing has {len(items):,} strokes; at most {MAX_STROKES:,} are allowed.")
        if sum(len(s["points"]) for s in items if isinstance(s, Mapping) and _is_list(s.get("points"))) > MAX_POINTS:
            raise ValueError(f"The drawing has too many points; at most {MAX_POINTS:,} are allowed.")
        strokes = (_stroke(item, i + 1, size) for i, item in enumerate(items))
        return cls(tuple(s for s in strokes if len(s.points)), size)

    def to_json(self) -> str:
        """The sketchpad's JSON, without times."""
        strokes = [
            {
                "tool": s.tool,
                "colour": "#{:02x}{:02x}{:02x}".format(*s.colour),
                "width": round(float(s.width), 2),
                "points": [[round(x, 2), round(y, 2), round(p, 3)] for x, y, p in s.points.tolist()],
            }
            for s in self.strokes
        ]
        return json.dumps({"version": 1, "size": self.size, "strokes": strokes}, separators=(",", ":"))

    @classmethod
    def from_svg(cls, text: str) -> Drawing:
        """Read the shapes of an SVG picture as strokes; see `demos.core.svg.drawing_from_svg`."""
        from demos.core.svg import drawing_from_svg

        return drawing_from_svg(text)

    def to_svg(self) -> str:
        """The drawing as SVG text; see `demos.core.svg.svg_from_drawing`."""
        from demos.core.svg import svg_from_drawing

        return svg_from_drawing(self)


def parse_colour(text: object) -> tuple[int, int, int]:
    """RGB of "#rgb" or "#rrggbb".

    Raises:
        ValueError: For any other text.
    """
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise ValueError("A stroke's colour must look like #1b1b1f.")
    digits = text[1:] if len(text) == 7 else "".join(c + c for c in text[1:])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def radii(stroke: Stroke) -> np.ndarray:
    """Radius at each point, `(N,)` in canvas units: `width * (0.4 + 1.2 * pressure) / 2`."""
    return stroke.width * (0.2 + 0.6 * np.clip(stroke.points[:, 2], 0.0, 1.0))


def rasterise(drawing: Drawing, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Ink and colour of a drawing as arrays.

    Args:
        drawing: The strokes.
        size: Side of the square result in pixels, 8 to 4,096.

    Returns:
        Ink coverage, `(size, size)` float32 in [0, 1], and the brush layer, `(size, size, 4)` uint8 straight RGBA.

    Raises:
        ValueError: If `size` is out of range.
    """
    scale = _scale(size)
    ink = np.zeros((size * scale, size * scale), np.uint8)
    brush = np.zeros((1, 1, 4), np.uint8)
    if any(stroke.tool == "brush" for stroke in drawing.strokes):
        brush = np.zeros((*ink.shape, 4), np.uint8)
    for stroke, hulls in _hulls(drawing, size * scale):
        if stroke.tool != "brush":
            _fill(ink, hulls, 0 if stroke.tool == "eraser" else 255)
        if stroke.tool != "pen" and len(brush) > 1:
            _fill(brush, hulls, _paint(stroke))
    coverage = cv2.resize(ink, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    if len(brush) == 1:
        return coverage, np.zeros((size, size, 4), np.uint8)
    colour = cv2.resize(brush, (size, size), interpolation=cv2.INTER_AREA)
    edge = (colour[..., 3] > 0) & (colour[..., 3] < 255)
    premultiplied = colour[edge].astype(np.float32)
    colour[edge, :3] = np.clip(np.rint(premultiplied[:, :3] * 255.0 / premultiplied[:, 3:]), 0, 255)
    return coverage, colour


def render(drawing: Drawing, size: int = 512) -> Image.Image:
    """The drawing on white paper as the canvas shows it, `(size, size)` RGB; raises `ValueError` like `rasterise`."""
    scale = _scale(size)
    layers = {tool: np.zeros((size * scale, size * scale, 4), np.uint8) for tool in ("brush", "pen")}
    for stroke, hulls in _hulls(drawing, size * scale):
        for tool, layer in layers.items():
            if stroke.tool in (tool, "eraser"):
                _fill(layer, hulls, _paint(stroke))
    paper = np.full((size, size, 3), 255.0, np.float32)
    for layer in layers.values():
        rgba = cv2.resize(layer, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        paper = rgba[..., :3] + paper * (1.0 - rgba[..., 3:] / 255.0)
    return Image.fromarray(np.clip(np.rint(paper), 0, 255).astype(np.uint8))


def split_picture(image: Image.Image, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Ink and colour of a raster sketch, so that an uploaded picture serves like strokes.

    Uneven paper is flattened by its local background, a dark board is inverted. What is thin and dark becomes ink; what
    is broad, or light and saturated, becomes colour; paper and transparency become nothing.

    Args:
        image: Any mode; it is fitted into the square, centred.
        size: Side of the square result in pixels, 8 to 4,096.

    Returns:
        The pair that `rasterise` returns: `(size, size)` float32 in [0, 1] and `(size, size, 4)` uint8 RGBA.

    Raises:
        ValueError: If `size` is out of range.
    """
    _scale(size)
    image.draft("RGB", (size, size))
    rgba = np.asarray(ImageOps.contain(image.convert("RGBA"), (size, size), Image.Resampling.BOX), np.float32) / 255.0
    alpha = rgba[..., 3:]
    opaque = alpha[..., 0] > 0.5
    light = bool((alpha < 0.5).mean() > 0.2 and opaque.any() and rgba[opaque][:, :3].min(axis=1).mean() > 0.8)
    rgb = rgba[..., :3] * alpha + (0.0 if light else 1.0) * (1.0 - alpha)
    grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if np.median(rim) < 0.35 and np.median(grey) < 0.35:
        rgb = np.clip(rgb + 1.0 - rgb.max(axis=2, keepdims=True) - rgb.min(axis=2, keepdims=True), 0.0, 1.0)
    return _on_square(*_separate(rgb, size), size)


def _separate(rgb: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Ink `(H, W)` float32 and colour `(H, W, 4)` uint8 of a picture `(H, W, 3)` on light paper, in [0, 1]."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(1, width * 64 // size), max(1, height * 64 // size)), interpolation=cv2.INTER_AREA)
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25)))
    paper = cv2.resize(cv2.GaussianBlur(small, (0, 0), 6), (width, height))
    flat = np.clip(rgb / np.maximum(np.maximum(paper, paper.max(axis=2, keepdims=True) * 0.8), 0.2), 0.0, 1.0)
    depth = 1.0 - flat.min(axis=2)
    chroma = flat.max(axis=2) - flat.min(axis=2)
    dark = 1.0 - flat.max(axis=2)
    core = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(size * 0.022)) + 1,) * 2)
    hued = ((chroma > 0.2) & (depth > 0.15)).astype(np.uint8)
    black = (dark > 0.3).astype(np.uint8) & (1 - hued)
    broad = [
        cv2.dilate(cv2.morphologyEx(m, cv2.MORPH_OPEN, core), np.ones((3, 3), np.uint8)) & m for m in (hued, black)
    ]
    covered = (broad[0] | broad[1]) > 0
    ink = np.clip((dark - 0.12) / 0.5, 0.0, 1.0) * ~covered
    painted = covered | ((hued > 0) & (dark < 0.4))
    colour = np.dstack([flat, np.clip(depth / 0.3, 0.0, 1.0)]) * painted[..., None]
    return ink.astype(np.float32), np.rint(colour * 255.0).astype(np.uint8)


def _on_square(ink: np.ndarray, colour: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    top, left = (size - ink.shape[0]) // 2, (size - ink.shape[1]) // 2
    where = np.s_[top : top + ink.shape[0], left : left + ink.shape[1]]
    square, layer = np.zeros((size, size), np.float32), np.zeros((size, size, 4), np.uint8)
    square[where], layer[where] = ink, colour
    return square, layer


def _scale(size: int) -> int:
    """Samples per pixel and axis."""
    if not 8 <= size <= 4096:
        raise ValueError("The size of a rendered drawing must be between 8 and 4,096 pixels.")
    return 4 if size <= 1024 else 2


def _paint(stroke: Stroke) -> tuple[int, int, int, int]:
    return (0, 0, 0, 0) if stroke.tool == "eraser" else (*stroke.colour, 255)


def _fill(image: np.ndarray, hulls: np.ndarray, value: int | tuple[int, int, int, int]) -> None:
    colour = value if isinstance(value, tuple) else (value,)
    for hull in hulls:
        cv2.fillConvexPoly(image, hull, colour, cv2.LINE_8, _SHIFT)


def _hulls(drawing: Drawing, side: int) -> Iterator[tuple[Stroke, np.ndarray]]:
    """Each stroke with its capsules as convex polygons `(segments, corners, 2)`, fixed-point pixels of a raster.

    `fillConvexPoly` also draws the outline, which widens a shape by half a sample; the radii make up for it.
    """
    for start in range(0, len(drawing.strokes), 256):
        strokes = drawing.strokes[start : start + 256]
        chains = [s.points if len(s.points) > 1 else np.repeat(s.points, 2, axis=0) for s in strokes]
        widths = np.repeat([s.width for s in strokes], [len(c) for c in chains])
        factor = side / drawing.size
        points = np.concatenate(chains)
        radius = (points[:, 2].clip(0.0, 1.0) * 0.6 + 0.2) * widths * factor - 0.5
        centre = points[:, None, :2] * np.float32(factor) - np.float32(0.5)
        a, b = centre[:-1], centre[1:]
        r = np.maximum(radius, 0.0).astype(np.float32)[:, None, None]
        ra, rb = r[:-1], r[1:]
        apart = np.linalg.norm(b - a, axis=2, keepdims=True)
        cosine = np.clip((ra - rb) / np.maximum(apart, 1e-6), -1.0, 1.0)
        swallowed, swallows = cosine >= 1.0, cosine <= -1.0
        a, ra, b, rb = (
            np.where(swallows, b, a),
            np.where(swallows, rb, ra),
            np.where(swallowed, a, b),
            np.where(swallowed, ra, rb),
        )
        tangent = np.arccos(cosine)
        heading = np.arctan2((centre[1:] - centre[:-1])[..., 1:], (centre[1:] - centre[:-1])[..., :1])
        part = np.linspace(0.0, 1.0, 9 if r.max() < 30 else 17, dtype=np.float32)[:, None]
        back = heading + tangent + part * (2 * np.pi - 2 * tangent)
        front = heading - tangent + part * 2 * tangent
        hulls = [
            a + ra * np.concatenate([np.cos(back), np.sin(back)], axis=2),
            b + rb * np.concatenate([np.cos(front), np.sin(front)], axis=2),
        ]
        fixed = np.rint(np.concatenate(hulls, axis=1) * (1 << _SHIFT)).astype(np.int32)
        first = 0
        for stroke, chain in zip(strokes, chains, strict=True):
            yield stroke, fixed[first : first + len(chain) - 1]
            first += len(chain)


def _parse(text: str) -> object:
    if len(text) > MAX_TEXT:
        raise ValueError("The drawing is larger than 16 MB.")
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("The drawing isn't valid JSON.") from error


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"The drawing's {what} must be a number.")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"The drawing's {what} is too large.") from error


def _stroke(item: object, number: int, size: float) -> Stroke:
    """One stroke of the JSON; its points may be empty if none was finite.

    Raises:
        ValueError: If it isn't a stroke.
    """
    if not isinstance(item, Mapping):
        raise ValueError(f"Stroke {number} isn't a JSON object.")
    tool = item.get("tool", "pen")
    if tool not in TOOLS:
        raise ValueError(f"Stroke {number} has an unknown tool; use pen, brush or eraser.")
    width = _number(item.get("width", 8.0), "width")
    if not np.isfinite(width) or width <= 0:
        raise ValueError(f"Stroke {number} has a width that isn't a positive number.")
    points = item.get("points")
    if not isinstance(points, list):
        raise ValueError(f"Stroke {number} has no list of points.")
    array = _points(points, number)
    array = array[np.isfinite(array).all(axis=1)]
    array = np.clip(array, [-size, -size, 0.0], [2 * size, 2 * size, 1.0]).astype(np.float32)
    if points and not len(array):
        raise ValueError(f"Stroke {number} has no point with finite coordinates.")
    colour = parse_colour(item.get("colour", "#1b1b1f"))
    limit = MAX_WIDTH * size / 512.0
    return Stroke(array, float(np.clip(width, MIN_WIDTH * size / 512.0, limit)), colour, tool)


def _points(points: list[Any], number: int) -> np.ndarray:
    """Points of 2, 3 or 4 numbers as `(N, 3)` float64; null counts as not finite, a missing pressure as 0.5."""
    if not points:
        return np.zeros((0, 3))
    try:
        array = np.asarray(points)
    except (ValueError, OverflowError):
        array = np.zeros(0, object)
    if len(array.shape) != 2 or array.dtype.kind not in "if" or not 2 <= array.shape[1] <= 4:
        array = np.asarray([_point(point, number) for point in points])
    array = array[:, :3].astype(np.float64)
    return array if array.shape[-1] == 3 else np.pad(array, ((0, 0), (0, 1)), constant_values=0.5)


def _point(point: object, number: int) -> list[float]:
    if not isinstance(point, list) or not 2 <= len(point) <= 4:
        raise ValueError(f"Stroke {number} has a point that isn't [x, y] or [x, y, pressure].")
    x, y, pressure = (*point, 0.5)[:3]
    return [float("nan") if v is None else _number(v, "coordinates") for v in (x, y, pressure)]
