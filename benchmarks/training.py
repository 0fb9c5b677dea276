"""Pictures a second of the shipped training preset, stage by stage.

    python -m benchmarks.training --data DIR

Each stage of `demos.sketch.train` runs as it is, with fresh weights; the clock is read at the start of every step, so
that a step is all of it: drawing the batch, losses, gradients, optimiser and moving average.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import torch
from torch import Tensor

from benchmarks.timing import figures, machine, quantile, table
from demos.core.fit import Budget, fit
from demos.core.stages import Run
from demos.sketch import train
from demos.sketch.batches import make_vocabulary
from demos.sketch.data import Pictograms, load_pictograms
from demos.sketch.networks import Autoencoder
from demos.sketch.unet import SketchUNet

__all__ = ["main", "part_of", "time_stage"]

STAGES = {name: train.STAGES[name] for name in ("autoencoder", "flow", "student")}


class _Enough(Exception):
    """All steps have been timed."""


def part_of(data: Pictograms, every: int) -> Pictograms:
    """Every n-th picture: tracing fewer of them saves minutes, and a step costs the same."""
    return dataclasses.replace(
        data, pixels=data.pixels[::every], style=data.style[::every], concept=data.concept[::every]
    )


def time_stage(
    stage: str, data: Pictograms, batch: int, steps: int, device: str = "cpu", warmup: int = 3
) -> list[float]:
    """Seconds of each of `steps` training steps of a stage, after `warmup` steps that don't count."""
    marks: list[float] = []

    def clocked(model: Any, losses: Callable[..., dict[str, Tensor]], out: Path, **options: Any) -> None:
        def marked(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
            marks.append(time.perf_counter())
            if len(marks) > warmup + steps:
                raise _Enough
            return losses(rng, spent)

        fit(model, marked, out, **options)

    with tempfile.TemporaryDirectory() as name, mock.patch.multiple(train, fit=clocked, pictograms=lambda run: data):
        folder = Path(name)
        Autoencoder().save_pretrained(folder / "out" / "autoencoder")
        SketchUNet(vocabulary=make_vocabulary(data)).save_pretrained(folder / "out" / "flow")
        budget = Budget(steps=100 * (warmup + steps))
        with contextlib.suppress(_Enough):
            STAGES[stage](Run(folder, folder / stage, folder / "out", budget, batch, 0, device))
    return [after - before for before, after in itertools.pairwise(marks[warmup:])]


def main() -> None:
    """Read the options, time the stages, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Pictures a second in training.")
    parser.add_argument("--data", type=Path, default=os.environ.get("ATELIER_DATA"), help="folder with emoji.zip")
    parser.add_argument("--preset", choices=train.PRESETS, default="cpu")
    parser.add_argument("--steps", type=int, default=20, help="of each stage, after three that don't count")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data DIR (or ATELIER_DATA) is needed")
    where, rows = machine(), []
    torch.set_flush_denormal(True)
    cv2.setNumThreads(1)
    data = part_of(load_pictograms(options.data / "emoji.zip"), 8)
    for stage in STAGES:
        batch = train.PRESETS[options.preset].batch[stage]
        seconds = time_stage(stage, data, batch, options.steps, options.device)
        rate = f"{batch / quantile(seconds, 0.5):.0f}"
        rows.append((stage, str(batch), rate, *figures(seconds)))
    print(table(("stage", "batch", "pictures a second", "median step", "90 % below", "steps"), rows, where))


if __name__ == "__main__":
    main()
