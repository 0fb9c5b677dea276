"""Drawings from and to SVG, so that sketches travel to and from Inkscape, Illustrator or Figma.

Reading flattens paths, polylines, polygons, lines, rectangles, circles and ellipses, with their transforms and the
viewBox, into strokes; a filled shape of a saturated colour is also hatched with the brush. Nothing outside the text is
ever opened: entities, scripts, styles beyond simple classes, `use`, text and images are ignored or refused. Writing
keeps layers and erasers (as masks), and marks each element so that a drawing read back has its tools and its order.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import cv2
import numpy as np
import svgelements

from demos.core.strokes import INK, MAX_POINTS, MAX_STROKES, MAX_WIDTH, Drawing, Stroke, parse_colour, radii

__all__ = ["drawing_from_svg", "svg_from_drawing"]

MAX_SVG_TEXT = 4_000_000
CANVAS = 512.0

_NAMES = ("fill", "stroke", "stroke-width", "display", "visibility")
_HIDDEN = {"defs", "symbol", "clipPath", "pattern", "marker", "metadata", "style", "script", "text", "use", "image"}
_RULE = re.compile(r"\.([\w-]+)\s*\{([^}]*)\}")
_SHAPES = {
    "path": lambda a: svgelements.Path(a.get("d", "")),
    "polyline": lambda a: svgelements.Path(svgelements.Polyline(points=a.get("points", ""))),
    "polygon": lambda a: svgelements.Path(svgelements.Polygon(points=a.get("points", ""))),
    "line": lambda a: svgelements.Path(svgelements.SimpleLine(*_lengths(a, "x1", "y1", "x2", "y2"))),
    "rect": lambda a: svgelements.Path(svgelements.Rect(*_lengths(a, "x", "y", "width", "height", "rx", "ry"))),
    "circle": lambda a: svgelements.Path(svgelements.Circle(*_lengths(a, "cx", "cy", "r"))),
    "ellipse": lambda a: svgelements.Path(svgelements.Ellipse(*_lengths(a, "cx", "cy", "rx", "ry"))),
}


@dataclass
class _Context:
    """What an element inherits: presentation attributes and the transform to canvas units."""

    style: dict[str, str]
    matrix: svgelements.Matrix
    classes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def drawing_from_svg(text: str) -> Drawing:
    """The shapes of an SVG picture as strokes on a canvas of 512 units, its viewBox fitted and centred.

    Raises:
        ValueError: One sentence for the user, if the text isn't SVG, defines entities, or is too large.
    """
    if len(text) > MAX_SVG_TEXT:
        raise ValueError("The SVG is larger than 4 MB.")
    if re.search(r"<!ENTITY", text, re.IGNORECASE):
        raise ValueError("The SVG defines XML entities, which are not allowed.")
    try:
        root = ElementTree.fromstring(text.strip().encode())
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise ValueError("The SVG isn't valid XML.") from error
    if _tag(root) != "svg":
        raise ValueError("The file isn't an SVG picture.")
    classes = {name: _declarations(body) for s in root.iter() if _tag(s) == "style" for name, body in _rules(s.text)}
    marked: list[tuple[float, Stroke]] = []
    points = 0
    try:
        for order, stroke in _strokes(root, _Context({}, _fit(root), classes)):
            points += len(stroke.points)
            marked.append((order, stroke))
            if points > MAX_POINTS or len(marked) > MAX_STROKES:
                raise ValueError("The SVG has too many lines; simplify it first.")
    except RecursionError as error:
        raise ValueError("The SVG is nested too deeply.") from error
    if all(order >= 0 for order, _ in marked):
        marked.sort(key=lambda pair: pair[0])
    return Drawing(tuple(stroke for _, stroke in marked), CANVAS)


def svg_from_drawing(drawing: Drawing) -> str:
    """The drawing as SVG text: brush layer below ink, erasers as masks, a path a stroke or more where width varies."""
    size = f"{drawing.size:g}"
    numbered = list(enumerate(drawing.strokes))
    blocks = [(erases, list(g)) for erases, g in groupby(numbered, key=lambda pair: pair[1].tool == "eraser")]
    masks, layers = "", {"brush": "", "pen": ""}
    for erases, block in blocks:
        name = f"erased-{block[0][0]}"
        if erases:
            paths = "".join(_element(number, stroke, "#000000") for number, stroke in block)
            masks += (
                f'<mask id="{name}" maskUnits="userSpaceOnUse" x="0" y="0" width="{size}" height="{size}">'
                f'<rect width="{size}" height="{size}" fill="#ffffff"/>{paths}</mask>'
            )
            layers = {tool: f'<g mask="url(#{name})">{body}</g>' if body else "" for tool, body in layers.items()}
        for tool in layers if not erases else ():
            chosen = [(number, stroke) for number, stroke in block if stroke.tool == tool]
            layers[tool] += "".join(_element(n, s, "#{:02x}{:02x}{:02x}".format(*s.colour)) for n, s in chosen)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}" '
        f'fill="none" stroke-linecap="round" stroke-linejoin="round"><defs>{masks}</defs>'
        f'<g id="colour">{layers["brush"]}</g><g id="ink">{layers["pen"]}</g></svg>'
    )


def _element(number: int, stroke: Stroke, colour: str) -> str:
    mark = f'data-tool="{stroke.tool}" data-order="{number}" stroke="{colour}"'
    xy = stroke.points[:, :2].tolist()
    if len(xy) == 1:
        xy = xy * 2
    width = 2 * radii(stroke)
    width = np.round((width[1:] + width[:-1]) if len(width) > 1 else 2 * width, 0) / 2
    parts = []
    for start, stop in _runs(width):
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in xy[start : stop + 1])
        parts.append(f'<path {mark} stroke-width="{max(float(width[start]), 0.5):g}" d="M{line}"/>')
    return "".join(parts)


def _runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return pairwise(edges)


def _strokes(element: ElementTree.Element, context: _Context) -> Iterator[tuple[float, Stroke]]:
    """Strokes of an element and its children, each with its order (-1 where the file doesn't say)."""
    tag = _tag(element)
    style = {**context.style, **{n: element.attrib[n] for n in _NAMES if n in element.attrib}}
    for name in element.get("class", "").split():
        style.update(context.classes.get(name, {}))
    style.update(_declarations(element.get("style", "")))
    if style.get("display") == "none" or (tag in _HIDDEN and not _own_masks(element)):
        return
    matrix = svgelements.Matrix(element.get("transform", "")) * context.matrix
    if tag in _SHAPES and style.get("visibility") != "hidden":
        yield from _shape(element, tag, style, matrix)
    below = _Context(style, matrix, context.classes)
    for child in element:
        if tag != "mask" or child.get("data-tool") == "eraser":
            yield from _strokes(child, below)


def _own_masks(element: ElementTree.Element) -> bool:
    return _tag(element) == "defs" and element.find(".//*[@data-tool='eraser']") is not None


def _shape(
    element: ElementTree.Element, tag: str, style: dict[str, str], matrix: svgelements.Matrix
) -> Iterator[tuple[float, Stroke]]:
    try:
        path = (_SHAPES[tag](element.attrib) * matrix).reify()
        order = float(element.get("data-order", "-1"))
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError, AttributeError):
        return
    scale = float(np.sqrt(abs(matrix.a * matrix.d - matrix.b * matrix.c)))
    stroke, fill = _colour(style.get("stroke", "none")), _colour(style.get("fill", "black"))
    width = _width(style.get("stroke-width", "1")) * scale
    lines = [line for line in _flattened(path) if np.isfinite(line).all()]
    tool = element.get("data-tool")
    if tool in ("pen", "brush", "eraser"):
        yield from ((order, Stroke(_with_pressure(line), max(width, 0.5), stroke or INK, tool)) for line in lines)
        return
    if fill is not None and max(fill) - min(fill) > 40:
        yield from ((order, hatch) for hatch in _hatched(lines, fill))
    if stroke is not None or fill is not None:
        width = float(np.clip(width, 2.0, 40.0)) if stroke is not None else 6.0
        colour = INK if stroke is None or min(stroke) > 200 else stroke
        yield from ((order, Stroke(_with_pressure(line), width, colour, "pen")) for line in lines)


def _flattened(path: svgelements.Path) -> Iterator[np.ndarray]:
    """Subpaths as `(N, 2)` polylines in canvas units, curves sampled about every 4 units."""
    line: list[tuple[float, float]] = []
    for segment in path:
        if segment.end is None:
            continue
        end = (float(segment.end.x), float(segment.end.y))
        if isinstance(segment, svgelements.Move):
            if line:
                yield np.asarray(line)
            line = [end]
        elif isinstance(segment, svgelements.Line | svgelements.Close):
            line.append(end)
        else:
            chord = abs(segment.end - segment.start) if segment.start is not None else 0.0
            reach = max([chord, *(abs(segment.point(t) - segment.start) for t in (0.25, 0.5, 0.75))])
            count = int(np.clip(reach if np.isfinite(reach) else 0.0, 16, 800) / 4) * 2
            line += [(p.x, p.y) for p in (segment.point(i / count) for i in range(1, count + 1))]
    if line:
        yield np.asarray(line)


def _hatched(lines: list[np.ndarray], colour: tuple[int, int, int], pitch: int = 12) -> Iterator[Stroke]:
    """Horizontal brush strokes that fill the shape (even-odd), inset by half their width."""
    mask = np.zeros((int(CANVAS),) * 2, np.uint8)
    cv2.fillPoly(mask, [np.rint(np.clip(line, -1e4, 1e4)).astype(np.int32) for line in lines], (1,))
    inside = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pitch + 1, pitch + 1)), borderValue=1)
    rows = np.flatnonzero(inside.any(axis=1))
    for y in np.linspace(rows[0], rows[-1], len(rows) // (pitch - 2) + 2).astype(int) if len(rows) else ():
        row = np.flatnonzero(np.diff(np.concatenate([[0], inside[y], [0]]).astype(np.int8)))
        for left, right in zip(row[::2].tolist(), row[1::2].tolist(), strict=True):
            yield Stroke(_with_pressure(np.array([[left, y], [right, y]])), pitch + 2.0, colour, "brush")


def _fit(root: ElementTree.Element) -> svgelements.Matrix:
    """The transform of the viewBox (or of width and height) onto the canvas, uniform and centred."""
    try:
        box = [float(v) for v in re.split(r"[\s,]+", root.get("viewBox", "").strip())]
    except ValueError:
        box = []
    if len(box) != 4:
        box = [0.0, 0.0, *(float(v) or CANVAS for v in _lengths(root.attrib, "width", "height"))]
    x, y, width, height = box
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        raise ValueError("The SVG has no usable size.")
    scale = CANVAS / max(width, height)
    left, top = (CANVAS - width * scale) / 2 - x * scale, (CANVAS - height * scale) / 2 - y * scale
    return svgelements.Matrix(scale, 0, 0, scale, left, top)


def _with_pressure(xy: np.ndarray) -> np.ndarray:
    xy = np.clip(xy, -CANVAS, 2 * CANVAS)
    return np.pad(xy, ((0, 0), (0, 1)), constant_values=0.5).astype(np.float32)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""


def _rules(text: str | None) -> list[tuple[str, str]]:
    return _RULE.findall(text or "")


def _declarations(body: str) -> dict[str, str]:
    pairs = (part.split(":", 1) for part in body.split(";") if ":" in part)
    return {name.strip(): value.strip() for name, value in pairs if name.strip() in _NAMES}


def _width(text: str) -> float:
    match = re.match(r"\s*(\d*\.?\d+(?:[eE][-+]?\d+)?)", text)
    return min(float(match.group(1)), MAX_WIDTH) if match else 1.0


def _lengths(attributes: Mapping[str, str], *names: str) -> list[float]:
    """Lengths in user units; what is missing, relative or malformed is 0."""
    values = (svgelements.Length(attributes.get(name, "0")).value(ppi=96) for name in names)
    return [float(v) if isinstance(v, int | float) else 0.0 for v in values]


def _colour(text: str) -> tuple[int, int, int] | None:
    if text.strip() in ("none", "transparent", ""):
        return None
    if text.startswith("#") and len(text) in (4, 7):
        try:
            return parse_colour(text)
        except ValueError:
            return INK
    try:
        colour = svgelements.Color(text)
    except (ValueError, TypeError, IndexError):
        return INK
    rgb = (colour.red, colour.green, colour.blue)
    return INK if None in rgb else (int(rgb[0] or 0), int(rgb[1] or 0), int(rgb[2] or 0))
