"""From a picture to lines: edges or a skeleton, linked into chains, smoothed and simplified into pen strokes.

Edges are Canny's (1986): maxima of the gradient magnitude along its direction, kept by hysteresis between two
thresholds; the gradient is that of the strongest channel among colour and alpha. Thresholds are stated as contrasts: an
ideal step of `c` levels blurred by `sigma` has the gradient `c / (sigma * sqrt(2 pi))`, so that the same contrast is
found at every scale. Pictures that are line art already are thinned to their skeleton instead.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from skimage.morphology import skeletonize

from demos.core.strokes import MAX_STROKES, Drawing, Stroke, split_picture

__all__ = ["chains", "edge_map", "import_drawing", "trace"]

MAX_FILE_BYTES = 24_000_000
MAX_PIXELS = 50_000_000

_FRACTION = 16


def trace(image: Image.Image, detail: float = 0.5, size: float = 512.0) -> Drawing:
    """Trace a picture into pen strokes.

    Args:
        image: Any mode; alpha, where there is some, contributes its contour. Fitted into the canvas, centred.
        detail: 0 (only the main contours) to 1 (fine detail as well).
        size: Side of the canvas in canvas units.

    Returns:
        The strokes, longest first; an empty drawing for a picture without contrast.
    """
    detail = float(np.clip(detail, 0.0, 1.0))
    side = int(np.clip(max(image.size), 64, 384))
    image.draft("RGB", (side, side))
    picture = _on_square(image, side)
    mask, width = _line_art(picture, side)
    shortest = side * (0.015 if mask is not None else 0.05 - 0.03 * detail)
    if mask is None:
        sigma = side / 256 * 2.2 ** (1.0 - 1.6 * detail)
        mask = edge_map(np.asarray(picture), sigma, 42.0 - 24.0 * detail, 90.0 - 50.0 * detail)
        width = side / 85
    scale = size / side
    lines = [line for line in chains(mask & _inside(image, side)) if _length(line) >= shortest]
    lines = sorted(lines, key=_length, reverse=True)[:MAX_STROKES]
    strokes = [Stroke(_pen(_simplified(_smoothed(line), side / 700) * scale), float(width * scale)) for line in lines]
    return Drawing(tuple(strokes), size)


def edge_map(rgba: np.ndarray, sigma: float, low: float, high: float) -> np.ndarray:
    """Edges of a picture in colour and alpha.

    Args:
        rgba: `(H, W, 4)` uint8, straight alpha.
        sigma: Standard deviation of the blur in pixels, above 0.
        low: Contrast (levels, 0 to 255) of the weakest edge pixel that may continue an edge.
        high: Contrast that an edge must reach somewhere.

    Returns:
        `(H, W)` bool, one pixel wide.
    """
    alpha = rgba[..., 3:].astype(np.int16)
    paper = (rgba[..., :3].astype(np.int32) * alpha + 255 * (255 - alpha)) // 255
    channels = np.concatenate([paper.astype(np.int16), alpha], axis=2) * _FRACTION
    channels = cv2.GaussianBlur(channels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    dx = cv2.Sobel(channels, -1, 1, 0, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.Sobel(channels, -1, 0, 1, borderType=cv2.BORDER_REPLICATE)
    strongest = np.hypot(dx.astype(np.float32), dy.astype(np.float32)).argmax(axis=2)[..., None]
    dx = np.take_along_axis(dx, strongest, axis=2)
    dy = np.take_along_axis(dy, strongest, axis=2)
    per_level = 8 * _FRACTION / np.sqrt(2 * np.pi * (sigma**2 + 0.6))
    return cv2.Canny(dx, dy, low * per_level, high * per_level, L2gradient=True) > 0


def chains(mask: np.ndarray) -> list[np.ndarray]:
    """Link the pixels of a thin mask into polylines.

    Each walk begins at a line's end, or anywhere on a closed line, and goes straight on where lines meet; what it
    leaves becomes further chains, which begin at the junction.

    Args:
        mask: `(H, W)` bool; lines wider than a pixel are thinned first.

    Returns:
        Chains of at least two points, `(N, 2)` float32 x and y in pixels, a pixel's centre lying at + 0.5; a closed
        line ends where it began.
    """
    thin = np.pad(skeletonize(mask), 1)
    stride = thin.shape[1]
    steps = (1, stride, -1, -stride, stride + 1, stride - 1, -stride - 1, 1 - stride)
    degree = cv2.filter2D(thin.astype(np.uint8), -1, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT)
    pixels = np.flatnonzero(thin)
    pixels = pixels[np.argsort(degree.ravel()[pixels] != 2, kind="stable")]
    lines = thin.tobytes()
    alive, used = bytearray(lines), bytearray(len(lines))
    found: list[np.ndarray] = []
    for start in pixels.tolist():
        if not alive[start]:
            continue
        path = _walk([start], alive, lines, steps, stride)
        back = _walk([start], alive, lines, steps, stride)
        walked = _joined(back[:0:-1] + path, used, steps)
        for pixel in walked:
            used[pixel] = 1
        if len(walked) > 1:
            found.append(np.asarray(walked))
    return [np.stack([c % stride - 0.5, c // stride - 0.5], axis=1).astype(np.float32) for c in found]


def import_drawing(path: str | Path) -> str:
    """The strokes of a picture, an SVG or a saved drawing, as the sketchpad's JSON.

    Raises:
        ValueError: One sentence for the user, if the file can't be read, is too large or holds no lines.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError("The file could not be found.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError("The file is larger than 24 MB.")
    start = path.read_bytes()[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] in (b"<", b"{"):
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError("The file's text isn't UTF-8.") from error
        drawing = Drawing.from_svg(text) if start[:1] == b"<" else Drawing.from_json(text)
    else:
        drawing = trace(_opened(path))
    if drawing.is_empty:
        raise ValueError("No lines were found in this file.")
    return drawing.to_json()


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"The picture has {image.width} × {image.height} pixels; at most 50 megapixels fit.")
            image.draft("RGB", (1024, 1024))
            return ImageOps.exif_transpose(image).convert("RGBA")
    except Image.DecompressionBombError as error:
        raise ValueError("The picture has too many pixels; at most 50 megapixels fit.") from error
    except UnidentifiedImageError as error:
        raise ValueError("This file isn't a picture, an SVG or a saved drawing.") from error
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError("The picture is damaged or incomplete.") from error


def _on_square(image: Image.Image, side: int) -> Image.Image:
    """The picture fitted into a square: cut-outs in transparency a little smaller, opaque pictures with their rim."""
    picture = image.convert("RGBA")
    cut_out = bool((np.asarray(picture)[..., 3] < 128).any())
    picture = ImageOps.contain(picture, (side - 4, side - 4) if cut_out else (side, side), Image.Resampling.BOX)
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    if cut_out:
        square = Image.new("RGBA", (side, side))
        square.paste(picture, (left, top))
        return square
    border = (top, side - picture.height - top, left, side - picture.width - left)
    return Image.fromarray(cv2.copyMakeBorder(np.asarray(picture), *border, cv2.BORDER_REPLICATE))


def _inside(image: Image.Image, side: int) -> np.ndarray:
    """Where a picture lies in the square that it is fitted into, `(side, side)` bool; beside it its rim is repeated."""
    scale = side / max(image.size)
    far = [(side - scale * length) / 2 for length in image.size]
    at = np.arange(side) + 0.5
    across, down = (np.abs(at - side / 2) <= side / 2 - margin for margin in far)
    return down[:, None] & across


def _line_art(picture: Image.Image, side: int) -> tuple[np.ndarray | None, float]:
    """Centre lines and their width in pixels, if the picture consists of dark lines on paper; otherwise None."""
    ink, colour = split_picture(picture, side)
    painted = colour[..., 3] > 64
    black = painted & (colour[..., :3].max(axis=2) < 128)
    mask = cv2.morphologyEx(((ink > 0.5) | black).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((2, 2), np.uint8))
    rim = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
    if not 0.001 < mask.mean() < 0.35 or (painted & ~rim).mean() > 0.003:
        return None, 0.0
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    bone = skeletonize(mask > 0)
    typical, thickest = np.percentile(depth[bone], [50, 97]) if bone.any() else (0.0, side)
    if thickest > max(3.0, 2.2 * typical) or typical > side / 20:
        return None, 0.0
    return bone, float(np.clip(2 * typical - 0.5, 1.0, side / 10))


def _walk(path: list[int], alive: bytearray, lines: bytes, steps: tuple[int, ...], stride: int) -> list[int]:
    """Extend a path over pixels that are alive, straight on where there is a choice, and take them out."""
    alive[path[0]] = 0
    while True:
        free = [path[-1] + step for step in steps if alive[path[-1] + step]]
        if len(free) > 1 and len(path) > 1:
            ahead = [max(free, key=lambda pixel: _cosine(path, pixel, stride))]
        else:
            ahead = free[:1] or _across(path, alive, lines, steps, stride)
        if not ahead:
            return path
        path += ahead
        alive[ahead[-1]] = 0


def _across(path: list[int], alive: bytearray, lines: bytes, steps: tuple[int, ...], stride: int) -> list[int]:
    """The way straight on over up to three pixels of a line that was walked before; empty if there is none."""
    if len(path) < 4:
        return []
    ways = [[path[-1]]]
    for _ in range(4):
        further = {
            way[-1] + step: [*way, way[-1] + step]
            for way in ways
            for step in steps
            if lines[way[-1] + step] and _cosine(path, way[-1] + step, stride) > 0.75
        }
        ends = [pixel for pixel in further if alive[pixel]]
        if ends:
            return further[max(ends, key=lambda pixel: _cosine(path, pixel, stride))][1:]
        ways = list(further.values())
    return []


def _cosine(path: list[int], pixel: int, stride: int) -> float:
    """Cosine between the path's last few steps and the step to a pixel."""
    (y, x), (v, u) = divmod(path[-1], stride), divmod(pixel, stride)
    y0, x0 = divmod(path[-min(len(path), 6)], stride)
    dx, dy, ex, ey = x - x0, y - y0, u - x, v - y
    return (dx * ex + dy * ey) / (((dx * dx + dy * dy) * (ex * ex + ey * ey)) ** 0.5 or 1.0)


def _joined(walked: list[int], used: bytearray, steps: tuple[int, ...]) -> list[int]:
    """Close a loop, or let a branch begin and end at the line it touches."""
    if len(walked) > 6 and walked[-1] - walked[0] in steps:
        return [*walked, walked[0]]
    for _ in range(2):
        touching = [walked[-1] + step for step in steps if used[walked[-1] + step]]
        walked = [*walked, touching[0]] if touching else walked
        walked = walked[::-1]
    return walked


def _length(line: np.ndarray) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _smoothed(line: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Average each point with its neighbours; ends stay, a closed line stays closed."""
    if len(line) < 5:
        return line
    closed = bool((line[0] == line[-1]).all())
    for _ in range(rounds):
        before, after = np.roll(line, 1, axis=0), np.roll(line, -1, axis=0)
        if closed:
            before[0], after[-1] = line[-2], line[1]
        smooth = 0.5 * line + 0.25 * (before + after)
        if not closed:
            smooth[[0, -1]] = line[[0, -1]]
        line = smooth
    return line


def _simplified(line: np.ndarray, tolerance: float) -> np.ndarray:
    closed = bool((line[0] == line[-1]).all())
    points = cv2.approxPolyDP(line[:, None].astype(np.float32), tolerance, False)[:, 0]
    return np.concatenate([points, points[:1]]) if closed and (points[0] != points[-1]).any() else points


def _pen(points: np.ndarray) -> np.ndarray:
    return np.pad(points, ((0, 0), (0, 1)), constant_values=0.5).astype(np.float32)
