"""What the Anomaly tab costs: one picture, learning from a hundred, a folder of a thousand.

    python -m benchmarks.inspection

The pictures are PNG files of 256 × 256 pixels, read and decoded as uploads are.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import psutil
from PIL import Image

from benchmarks.timing import figures, machine, measure, table
from demos.anomaly.densities import DENSITIES
from demos.anomaly.model import AnomalyModel

__all__ = ["files", "main", "measure_all"]

Row = tuple[str, ...]


def files(count: int, side: int = 256) -> list[bytes]:
    """PNG files of grained surfaces, coloured, all different."""
    rng, made = np.random.default_rng(0), []
    for _ in range(count):
        grain = cv2.GaussianBlur(rng.uniform(0, 255, (side, side, 3)), (0, 0), 1.5)
        Image.fromarray(grain.round().astype(np.uint8)).save(buffer := io.BytesIO(), "PNG", compress_level=1)
        made.append(buffer.getvalue())
    return made


def folder(model: AnomalyModel, detector: Any, pictures: Sequence[bytes], count: int) -> Row:
    """Pictures a second over `count` pictures, and how much memory the last nine tenths of them have added."""
    process, start = psutil.Process(), time.perf_counter()
    before, named = 0.0, ((str(i), pictures[i % len(pictures)]) for i in range(count))
    for i, _ in enumerate(model.score_many(named, detector)):
        if i == count // 10:
            before = process.memory_info().rss
    rate, grown = count / (time.perf_counter() - start), process.memory_info().rss - before
    name = f"a folder of {count:,} pictures: memory {grown / 1e6:+.0f} MB after the first tenth"
    return name, f"{rate:.0f} a second", "", "1"


def measure_all(model: AnomalyModel, pictures: Sequence[bytes], count: int, runs: int) -> Iterator[Row]:
    """A row for every measurement; `pictures` are those to learn from."""
    for density in DENSITIES:
        fitted = model.fit(pictures, density, 0, density=density)
        name = f"{density}: learn from {len(pictures)} pictures, with cross-validation"
        yield name, f"{fitted.seconds:.1f} s", "", "1"
        name = f"{density}: score and map of one picture"
        yield name, *figures(measure(lambda made=fitted: model.inspect(pictures[0], made.detector), runs))
        if density == "gaussian":
            yield folder(model, fitted.detector, pictures, count)


def main() -> None:
    """Read the options, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description="The cost of inspection.")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--pictures", type=int, default=1000, help="in the folder")
    options = parser.parse_args()
    where = machine()
    rows = list(measure_all(AnomalyModel.load(device="cpu"), files(100), options.pictures, options.runs))
    print(table(("", "median", "90 % below", "runs"), rows, where))


if __name__ == "__main__":
    main()
