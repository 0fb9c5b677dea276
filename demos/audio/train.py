"""Train the networks of the Audio tab again, one stage after the other.

    python -m demos.audio.train instruments --data DIR
    python -m demos.audio.train music --data DIR
    python -m demos.audio.train vocoder --data DIR
    python -m demos.audio.train flow --data DIR
    python -m demos.audio.train note_judge --data DIR      (likewise digit_judge, voice_judge)

A stage keeps its state, its log and a sound of its progress in `--runs`, goes on from there when it is called again,
and writes its weights below `--out` when it ends. Judges only serve the evaluation.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from demos.audio.instruments.training import train_instruments, train_note_judge
from demos.audio.music.training import train_music
from demos.audio.runs import Run
from demos.audio.voice.training import train_digit_judge, train_flow, train_vocoder, train_voice_judge
from demos.core.fit import Budget

__all__ = ["PRESETS", "STAGES", "main"]

STAGES: dict[str, Callable[[Run], None]] = {
    "instruments": train_instruments,
    "music": train_music,
    "vocoder": train_vocoder,
    "flow": train_flow,
    "note_judge": train_note_judge,
    "digit_judge": train_digit_judge,
    "voice_judge": train_voice_judge,
}


@dataclass(frozen=True)
class Preset:
    """Batch size and default minutes of every stage."""

    batch: Mapping[str, int]
    minutes: Mapping[str, float]


JUDGES = ("note_judge", "digit_judge", "voice_judge")
PRESETS = {
    "cpu": Preset(
        {"instruments": 16, "music": 16, "vocoder": 16, "flow": 32} | dict.fromkeys(JUDGES, 32),
        {"instruments": 60, "music": 60, "vocoder": 45, "flow": 30} | dict.fromkeys(JUDGES, 4),
    ),
    "gpu": Preset(
        {"instruments": 64, "music": 64, "vocoder": 64, "flow": 128} | dict.fromkeys(JUDGES, 128),
        {"instruments": 7, "music": 5, "vocoder": 6, "flow": 3} | dict.fromkeys(JUDGES, 1),
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Read the options and train one stage."""
    parser = argparse.ArgumentParser(prog="python -m demos.audio.train", description="Train one network of Audio.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATELIER_DATA"), help="folder with the archives")
    parser.add_argument("--out", type=Path, default=Path("checkpoints"))
    parser.add_argument("--runs", type=Path, default=Path(".runs/audio"))
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    if args.data is None:
        parser.error("--data DIR (or ATELIER_DATA) is needed")
    preset = PRESETS[args.preset]
    budget = Budget(args.minutes or preset.minutes[args.stage], args.steps)
    batch = args.batch or preset.batch[args.stage]
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    run = Run(Path(args.data), args.runs / args.stage, args.out, budget, batch, args.seed, args.device)
    STAGES[args.stage](run)


if __name__ == "__main__":
    main()
