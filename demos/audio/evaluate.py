"""Measure the Audio tab's models beside their baselines: `python -m demos.audio.evaluate MODEL --data DIR`.

MODEL is instruments, music or voice. Every figure is printed by name and written as JSON; with folders of more
trainings of the same model (`--also`) it is the mean over all and its standard deviation. Judges are classifiers that
were trained on real recordings alone (`python -m demos.audio.train note_judge`, `digit_judge`, `voice_judge`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from demos.audio.classifier import Classifier
from demos.audio.instruments import measure as instruments
from demos.audio.instruments.data import load_notes
from demos.audio.instruments.model import Instruments
from demos.audio.music import measure as music
from demos.audio.music.data import load_chorales
from demos.audio.music.model import Chorales
from demos.audio.voice import measure as voice
from demos.audio.voice.data import load_digits
from demos.audio.voice.model import Voices
from demos.core.checkpoint import load_network

__all__ = ["MODELS", "main", "over_seeds", "table"]

SPREAD = " ±"
Figures = dict[str, dict[str, float]]


def table(figures: Figures) -> str:
    """The figures in Markdown, one line each."""
    lines = ["| what | which | value |", "| --- | --- | ---: |"]
    return "\n".join([*lines, *(f"| {a} | {b} | {v:.4g} |" for a, row in figures.items() for b, v in row.items())])


def over_seeds(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every figure and, as "name ±", its standard deviation over more than one row, whose own are left out."""
    if len(rows) == 1:
        return dict(rows[0])
    found = {}
    for name in (name for name in rows[0] if not name.endswith(SPREAD)):
        values = [row[name] for row in rows]
        found[name] = float(np.mean(values))
        found[name + SPREAD] = float(np.std(values, ddof=1))
    return found


def measure_instruments(data: Path, folder: Path, judges: Path, cache: Path, seeds: int, limit: int | None) -> Figures:
    """Resynthesis, pitch, speed and judge."""
    model = Instruments.load(folder)
    notes = load_notes(data / "notes.zip", cache, None if limit is None else max(2, limit))
    found: Figures = {f"resynthesis, {name}": row for name, row in instruments.resynthesis(model, notes).items()}
    found["pitch tracker on held-out notes"] = instruments.tracker_errors([n for n in notes if n.held_out])
    found["pitch of played notes"] = instruments.pitch_errors(model, notes)
    found["speed"] = instruments.speed(model)
    judge = judges / "notes"
    if judge.is_dir():
        found["judge's accuracy"] = instruments.judged(model, notes, load_network(Classifier, judge))
    else:
        print(f"No row for the judge: {judge} does not exist (python -m demos.audio.train note_judge).")
    return found


def measure_music(data: Path, folder: Path, judges: Path, cache: Path, seeds: int, limit: int | None) -> Figures:
    """Likelihoods of the test split, rules and speed."""
    model = Chorales.load(folder)
    test = load_chorales(data / "Jsb16thSeparated.json")["test"][:limit]
    found: Figures = {"negative log-likelihood, nats": music.likelihoods(model, test)}
    drawn = [music.rules(model, test, seed=1000 * seed) for seed in range(seeds)]
    for name in drawn[0]:
        found[f"broken rules per 100 beats, {name}"] = over_seeds([row[name] for row in drawn])
    found["speed"] = music.speed(model, test[0])
    return found


def measure_voice(data: Path, folder: Path, judges: Path, cache: Path, seeds: int, limit: int | None) -> Figures:
    """Judges, vocoder and speed."""
    model = Voices.load(folder)
    held = [d for d in load_digits(data / "spoken_digits.zip") if d.held_out][:limit]
    digits, voices = (load_network(Classifier, judges / name) for name in ("digits", "voices"))
    rows = [voice.judged(model, held, digits, voices, seed=1000 * seed) for seed in range(seeds)]
    found: Figures = {"judges' accuracy": over_seeds(rows)}
    found["vocoder"] = {"spectral distance": voice.vocoder_distance(model, held)}
    found["speed"] = voice.speed(model)
    return found


MODELS: dict[str, Callable[[Path, Path, Path, Path, int, int | None], Figures]] = {
    "instruments": measure_instruments,
    "music": measure_music,
    "voice": measure_voice,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure one model, print the table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m demos.audio.evaluate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--data", type=Path, required=True, help="folder with the archives")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="folders of more trainings of the model")
    parser.add_argument("--runs", type=Path, default=Path(".runs/audio"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="so many notes an instrument (2 at least), pieces or recordings")
    args = parser.parse_args(arguments)
    torch.set_flush_denormal(True)
    shipped, judges = (args.checkpoints.resolve() / name for name in (args.model, "audio_judges"))
    measure, cache = MODELS[args.model], args.runs / "cache"
    each = [measure(args.data, folder, judges, cache, args.seeds, args.limit) for folder in (shipped, *args.also)]
    figures = {what: over_seeds([found[what] for found in each]) for what in each[0]}
    facts: dict[str, Any] = {
        "model": args.model,
        "trainings": len(each),
        "seeds": args.seeds,
        "torch_threads": torch.get_num_threads(),
    }
    args.runs.mkdir(parents=True, exist_ok=True)
    target = args.runs / f"evaluation_{args.model}.json"
    target.write_text(json.dumps({**facts, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    print(table(figures))


if __name__ == "__main__":
    main()
