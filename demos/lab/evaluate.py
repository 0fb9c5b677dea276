"""Measure the garments' models: one row a family, and what tells garments from digits.

    python -m demos.lab.evaluate --data DIR

Figures go to `checkpoints/lab/figures.json` and to the terminal. Bits per dimension are those of the Fashion-MNIST test
set or of its first pictures where that is slow; the row says of how many, and an unnormalised energy has none. FID,
precision, recall, density and coverage compare 1,000 samples, labels in equal parts, with 1,000 test pictures on the
features of this project's classifier: means of three sets of samples, with their standard deviations as "spread"; the
floor compares as many sets of training pictures with the test pictures. `--only` measures some families and keeps the
others' rows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demos.core.atomic import atomic
from demos.core.metrics import auroc, frechet_distance, overlap
from demos.lab.garments.data import LABELS, NO_LABEL, load_pictures, scaled
from demos.lab.garments.kinds import KINDS, bits, draw
from demos.lab.garments.scores import SCORES
from demos.lab.model import Garments

__all__ = ["SAMPLES", "compared", "evaluate", "features", "main", "rounded"]

SAMPLES, SETS = 1000, 3
TESTED = {"autoregressive": 2000, "flow": 2000, "vae": 2000, "score": 200}
BAYES = 1000
NEIGHBOURS = 5


def features(garments: Garments, x: Tensor) -> np.ndarray:
    """The classifier's features `(N, 128)` of pictures."""
    with torch.no_grad():
        parts = [garments.classifier.features(scaled(part)) for part in x.split(500)]
    return torch.cat(parts).numpy()


def mean_bits(garments: Garments, name: str, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean bits per dimension without a label and with the right one."""
    found = []
    for label in (torch.full_like(y, NO_LABEL), y):
        rng, rows = torch.Generator().manual_seed(0), []
        for i in range(0, len(x), 100):
            with torch.no_grad():
                rows.append(bits(name, garments.networks[name], x[i : i + 100], label[i : i + 100], rng))
        found.append(float(torch.cat(rows).mean()))
    return found[0], found[1]


def samples(garments: Garments, name: str, n: int = SAMPLES, seed: int = 0) -> tuple[Tensor, float]:
    """`n` pictures and the seconds that 64 of them took, of the middle one of the runs."""
    made, seconds = [], []
    rng = torch.Generator().manual_seed(seed)
    while sum(len(part) for part in made) < n:
        start = time.perf_counter()
        made.append(draw(name, garments.networks[name], torch.arange(64) % len(LABELS), rng))
        seconds.append(time.perf_counter() - start)
    return torch.cat(made)[:n], float(np.median(seconds))


def compared(garments: Garments, real: np.ndarray, sets: Sequence[Tensor]) -> dict[str, Any]:
    """FID, precision, recall, density and coverage of sets of pictures: their means, and the deviations as "spread".

    Args:
        real: features of the pictures that they are compared with.
    """
    others = [features(garments, one) for one in sets]
    found = [{"fid": frechet_distance(real, one), **asdict(overlap(real, one, NEIGHBOURS))} for one in others]
    values = {key: [row[key] for row in found] for key in found[0]}
    spread = {key: float(np.std(several, ddof=1)) for key, several in values.items()}
    return {key: float(np.mean(several)) for key, several in values.items()} | {"spread": spread}


def accuracies(garments: Garments, x: Tensor, y: Tensor, family: str) -> dict[str, float]:
    """Share of pictures that the classifier, and Bayes' rule with a conditional density, name correctly."""
    with torch.no_grad():
        discriminative = float((garments.classifier(scaled(x)).argmax(1) == y).float().mean())
        told = torch.stack(
            [
                torch.cat(
                    [
                        bits(family, garments.networks[family], part, torch.full((len(part),), k), torch.Generator())
                        for part in x.split(100)
                    ]
                )
                for k in range(len(LABELS))
            ]
        )
    return {"discriminative": discriminative, "generative": float((told.argmin(0) == y).float().mean())}


def evaluate(garments: Garments, data: Path, path: Path, runs: Path, only: Sequence[str]) -> dict[str, Any]:
    """Measure and write after every row, so that an interruption loses one."""
    x, y = load_pictures(data / "fashion_mnist.npz", "test")
    train, _ = load_pictures(data / "fashion_mnist.npz", "train")
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    real = features(garments, x[:SAMPLES])

    def keep() -> None:
        with atomic(path) as part:
            part.write_text(json.dumps(rounded(figures), indent=1) + "\n")

    families = figures.setdefault("families", {})
    for name, about in garments.families().items():
        if name not in only:
            continue
        row: dict[str, Any] = {"title": about["title"], "parameters": about["parameters"], "kind": about["kind"]}
        if about["density"]["able"]:
            row["note"] = about["density"]["note"]
        if name in TESTED:
            n = row["tested"] = TESTED[name]
            row["bits_per_dim"], row["bits_per_dim_given_label"] = mean_bits(garments, name, x[:n], y[:n])
        if (log := runs / name / "log.jsonl").exists():
            row["minutes"] = json.loads(log.read_text().splitlines()[-1])["minutes"]
        elif "minutes" in families.get(name, {}):
            row["minutes"] = families[name]["minutes"]
        sets, seconds = zip(*(samples(garments, name, seed=seed) for seed in range(SETS)), strict=True)
        row["seconds_per_64"] = float(np.median(seconds))
        families[name] = row | compared(garments, real, sets)
        print(name, rounded(families[name]), flush=True)
        keep()
    figures["floor"] = compared(garments, real, train[: SETS * SAMPLES].split(SAMPLES))
    figures |= {"samples": SAMPLES, "sets": SETS, "neighbours": NEIGHBOURS, "threads": torch.get_num_threads()}
    if "scores" in only:
        found = garments.references.scores()
        figures["auroc"] = {
            name: {
                "title": title,
                "mnist": auroc(found[name]["fashion"].numpy(), found[name]["mnist"].numpy()),
                "noise": auroc(found[name]["fashion"].numpy(), found[name]["noise"].numpy()),
            }
            for name, title in SCORES.items()
        }
        solved = garments.references.bits("score")
        figures["auroc"]["score"] = {
            "title": "−log p, score-based",
            "mnist": auroc(solved["fashion"].numpy(), solved["mnist"].numpy()),
            "noise": auroc(solved["fashion"].numpy(), solved["noise"].numpy()),
        }
        figures["bayes"] = {"n": BAYES, "family": "autoregressive"} | accuracies(
            garments, x[:BAYES], y[:BAYES], "autoregressive"
        )
    keep()
    return figures


def rounded(value: Any) -> Any:
    """Floats inside dictionaries with four digits."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m demos.lab.evaluate", description="Measure the garments' models.")
    parser.add_argument("--data", type=Path, default=os.environ.get("ATELIER_DATA"))
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/lab"))
    parser.add_argument("--runs", type=Path, default=Path(".runs/lab"), help="where the logs of training lie")
    parser.add_argument("--only", nargs="*", choices=[*KINDS, "scores"], default=[*KINDS, "scores"])
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data DIR (or ATELIER_DATA) is needed")
    figures = evaluate(
        Garments.load(args.checkpoint, "cpu"), Path(args.data), args.checkpoint / "figures.json", args.runs, args.only
    )
    print(json.dumps(rounded(figures), indent=1))


if __name__ == "__main__":
    main()
