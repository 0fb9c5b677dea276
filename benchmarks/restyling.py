"""What the Style tab costs: both engines, beside two known networks and the published settings of direct matching.

    python -m benchmarks.restyling

The other networks have their published shapes and random weights: their speed does not depend on the weights.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from skimage import data as samples

from benchmarks.startup import Memory
from benchmarks.timing import figures, machine, measure, table
from demos.core.device import autocast
from demos.style.baselines import AdaIN, Johnson, gpdm
from demos.style.model import Layer, StyleModel, opened, pixels_of

__all__ = ["main", "measure_all"]

Row = tuple[str, ...]


def measure_all(model: StyleModel, runs: int, size: int = 512, exact: int = 256, steps: int = 300) -> Iterator[Row]:
    """A row for every measurement at `size` and, for the exact engine, at `exact` pixels a side."""
    photo = Image.fromarray(samples.astronaut()).resize((size, size))
    x, style = pixels_of(opened(photo, size)), opened(samples.coffee(), exact)
    mix = Layer([(next(iter(model.titles)), 1.0)])
    yield f"Atelier, fast: {size} × {size}", *figures(measure(lambda: model.restyle(photo, mix, size=size), runs))
    for name, network in (("Johnson", Johnson()), ("AdaIN", AdaIN())):
        network.eval()
        inputs = (x,) if name == "Johnson" else (x, x)
        with torch.inference_mode(), autocast(model.device):
            seconds = measure(lambda network=network, inputs=inputs: network(*inputs), runs)
        millions = sum(p.numel() for p in network.parameters()) / 1e6
        yield f"{name}, {millions:.1f} M parameters, random weights: {size} × {size}", *figures(seconds)
    small = photo.resize((exact, exact))
    yield f"Atelier, exact: {exact} × {exact}", *figures(measure(lambda: model.rebuild(small, style, size=exact), 1))
    content, goal = pixels_of(opened(small, exact)), pixels_of(style)
    if steps:
        seconds = measure(lambda: gpdm(content, goal, torch.Generator().manual_seed(0), steps), 1, warmup=0)
        yield f"GPDM, {steps} steps a level, 64 projections: {exact} × {exact}", *figures(seconds)
    yield memory(model, mix, 2 * size)


def memory(model: StyleModel, mix: Layer, size: int) -> Row:
    """How much memory the fast engine holds at most while it repaints `size` × `size` pixels."""
    noise = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    watch = Memory(os.getpid())
    before = watch.now()
    model.restyle(noise, mix, size=size)
    return f"Atelier, fast, {size} × {size}: memory above idle", f"{watch.peak - before:.0f} MB", "", "1"


def main() -> None:
    """Read the options, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restyling", description="The cost of repainting.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--gpdm-steps", type=int, default=300)
    options = parser.parse_args()
    where = machine()
    rows = list(measure_all(StyleModel.load(device="cpu"), options.runs, steps=options.gpdm_steps))
    print(table(("", "median", "90 % below", "runs"), rows, where))


if __name__ == "__main__":
    main()
