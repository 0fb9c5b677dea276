"""Measure both engines of the Style tab: `python -m demos.style.evaluate --data DIR`.

Three photographs that nothing was trained with are repainted in paintings that the network has seen and in the five
that it has not. Every row answers the same pairs at 256 pixels: the content untouched, colour transfer alone, the fast
engine, the exact engine, which is the bound, and direct matching of patch distributions (GPDM). `--sheet` writes the
contact sheet of all presets.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data as samples
from torch import Tensor
from tqdm import tqdm

from demos.style import exact
from demos.style.baselines import gpdm
from demos.style.colour import transfer
from demos.style.data import load_gallery
from demos.style.measure import measures
from demos.style.model import Layer, StyleModel, opened, pixels_of

__all__ = ["Row", "closed", "main", "rows_of", "sheet", "table"]

COLUMNS = {"style": 4, "colour": 3, "ssim": 3, "edges": 3, "seconds": 2}
SIDE = 256
Row = Callable[[Image.Image, Image.Image], Tensor]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")


def photograph(name: str, side: int) -> Image.Image:
    """One of the photographs that come with scikit-image, at most `side` pixels a side."""
    return opened(getattr(samples, name)(), side)


def rows_of(model: StyleModel, steps: int) -> dict[str, Row]:
    """What is compared: from a content and a style to pixels `(1, 3, H, W)`; `steps` of GPDM a level, 0 for none."""

    def same_scale(content: Image.Image, style: Image.Image) -> Tensor:
        return pixels_of(opened(style, max(content.size)))

    rows: dict[str, Row] = {
        "content": lambda c, s: pixels_of(c),
        "colour transfer": lambda c, s: transfer(pixels_of(c), same_scale(c, s)),
        "fast": lambda c, s: pixels_of(model.restyle(c, Layer([(s, 1.0)]), size=SIDE).picture.convert("RGBA")),
        "exact": lambda c, s: exact.rebuild(pixels_of(c), same_scale(c, s)),
    }
    if steps:
        rows["GPDM"] = lambda c, s: gpdm(pixels_of(c), same_scale(c, s), torch.Generator().manual_seed(0), steps)
    return rows


def measure(rows: dict[str, Row], styles: dict[str, Image.Image]) -> dict[str, dict[str, float]]:
    """Mean figures of every row over all photographs and `styles`."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    for photo in PHOTOGRAPHS:
        content = photograph(photo, SIDE)
        for style in tqdm(styles.values(), desc=photo):
            goal = pixels_of(opened(style, SIDE))
            for name, row in rows.items():
                start = time.perf_counter()
                y = row(content, style)
                seconds = time.perf_counter() - start
                found[name].append(measures(y, pixels_of(content), goal) | {"seconds": seconds})
    return {
        name: {key: float(np.mean([figures[key] for figures in many])) for key in COLUMNS}
        for name, many in found.items()
    }


def closed(figures: dict[str, dict[str, float]]) -> float:
    """Share of the style's distance between colour transfer and the exact engine that the fast engine closes."""
    start, bound = figures["colour transfer"]["style"], figures["exact"]["style"]
    return (start - figures["fast"]["style"]) / (start - bound)


def table(figures: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in figures.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[key]:.{digits}f}" for key, digits in COLUMNS.items()) + " |")
    return "\n".join(lines)


def sheet(model: StyleModel, side: int = 256) -> Image.Image:
    """Three photographs in every preset, a preset a column in two bands."""
    names = list(model.titles)
    photos = [photograph(name, side) for name in PHOTOGRAPHS]
    half, band = -(-len(names) // 2), sum(photo.height for photo in photos)
    canvas = Image.new("RGB", (side * (half + 1), 2 * band), "white")
    for i in range(2):
        top = i * band
        for photo in photos:
            canvas.paste(photo.convert("RGB"), (0, top))
            for x, name in enumerate(names[i * half : (i + 1) * half], 1):
                canvas.paste(model.restyle(photo, Layer([(name, 1.0)]), size=side).picture, (x * side, top))
            top += photo.height
    return canvas


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the archives")
    parser.add_argument("--checkpoint", default="style")
    parser.add_argument("--gpdm-steps", type=int, default=0, help="steps a level of GPDM; the paper has 300")
    parser.add_argument("--styles", type=int, help="so many styles of each kind only")
    parser.add_argument("--sheet", type=Path, help="write the contact sheet there")
    parser.add_argument("--out", type=Path, default=Path(".runs/style/evaluation.json"))
    args = parser.parse_args()
    model, gallery = StyleModel.load(args.checkpoint), load_gallery(args.data)
    if args.sheet:
        sheet(model).save(args.sheet, quality=88, method=6)
    kinds = {
        "seen": [rgb for name, rgb in gallery.paintings.items() if name in model.titles],
        "unseen": list(gallery.held_out.values()),
    }
    results = {}
    for kind, pictures in kinds.items():
        styles = {str(i): Image.fromarray(rgb) for i, rgb in enumerate(pictures[: args.styles])}
        figures = measure(rows_of(model, args.gpdm_steps), styles)
        results[kind] = figures | {"closed": closed(figures)}
        print(f"\n{kind}: {len(styles)} styles, {len(PHOTOGRAPHS)} photographs\n\n{table(figures)}")
        print(f"\nclosed by the fast engine: {closed(figures):.0%}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
