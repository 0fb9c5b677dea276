"""The families on MNIST, where published figures exist: the Lab's code on the data that everybody has measured.

    python -m demos.lab.digits made --data DIR
    python -m demos.lab.digits measure --data DIR

Stages: made, pixelcnn, vae and linked learn zeros and ones; autoregressive and flow all 256 brightnesses. Each keeps
its state and its log in `.runs/lab_digits`, goes on from there when it is called again, and leaves its weights there at
the end; `measure` asks the finished ones about the 10,000 test pictures and writes `checkpoints/lab/digits.json`.

Binarisation: a pixel is one with the probability of its brightness, drawn anew each time in training and once, with
seed 0, for validation and test (Salakhutdinov and Murray 2008). Many published figures are those of one fixed drawing
of all pictures (Larochelle's), from which less can be learnt: figures of the two conventions differ by a nat or so.
The first 50,000 training pictures are learnt, the last 10,000 validate.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demos.core.atomic import atomic
from demos.core.checkpoint import load_network
from demos.core.fit import fit
from demos.core.network import ModelMixin
from demos.core.stages import Preset, Run, train_stage
from demos.families.flow import PictureFlow
from demos.families.vae import VAE
from demos.lab.garments.binary import BinaryMADE, BinaryVAE
from demos.lab.garments.data import DIMENSIONS, bits_per_dim, dequantised, load_pictures
from demos.lab.garments.gated import GatedPixelCNN, in_blocks
from demos.lab.garments.subscale import SubscaleFlow

__all__ = ["DIGITS", "Digits", "binarised", "digits", "main", "measure"]

HELD, SHOWN = 10_000, 500
WEIGH_IN = 0.1
DRAWS = 64
NOTE = (
    "MNIST, 50,000 pictures learnt, 10,000 for validation, the 10,000 test pictures measured. Nats: each pixel is one "
    "with the probability of its brightness, drawn anew in training and once with seed 0 for the test; many published "
    "figures are those of one fixed drawing of all pictures, from which less can be learnt, and differ by a nat or so. "
    "Bits per dimension: 256 brightnesses."
)
Prepare = Callable[[Tensor, torch.Generator], Tensor]


def binarised(x: Tensor, generator: torch.Generator) -> Tensor:
    """Brightnesses `(B, 1, H, W)` uint8 to zeros and ones int64, one with probability brightness / 255."""
    return (torch.rand(x.shape, generator=generator) < x / 255).long()


def _flat(x: Tensor, generator: torch.Generator) -> Tensor:
    return binarised(x, generator).flatten(1).float()


@dataclass(frozen=True)
class Digits:
    """One model of digits.

    Attributes:
        title: as the table says.
        network: makes the network to train; its `family()` is the family's model.
        prepare: what the model sees of brightnesses `(B, 1, H, W)` uint8.
        binary: whether it models zeros and ones, in nats, or 256 brightnesses, in bits per dimension.
        lr: highest learning rate.
        muon: whether its `matrices()` learn by Muon.
        published: figures of others, in the same unit.
    """

    title: str
    network: Callable[[], ModelMixin]
    prepare: Prepare
    binary: bool
    lr: float
    published: Mapping[str, float]
    muon: bool = False


DIGITS: Mapping[str, Digits] = {
    "made": Digits(
        "MADE, residual",
        BinaryMADE,
        lambda x, generator: binarised(x, generator).flatten(1),
        True,
        1e-3,
        {"MADE, 32 masks": 86.64, "EoNADE, 128 orderings": 85.10},
    ),
    "pixelcnn": Digits(
        "Gated PixelCNN on 2 × 2 blocks",
        GatedPixelCNN,
        lambda x, generator: in_blocks(binarised(x, generator)),
        True,
        2e-3,
        {"PixelCNN": 81.30},
    ),
    "vae": Digits(
        "VAE, flows as prior and posterior",
        BinaryVAE,
        _flat,
        True,
        2e-3,
        {"VAE, 5,000 draws": 86.76, "ladder VAE, 5,000 draws": 81.74},
    ),
    "linked": Digits(
        "VAE, the same with linked pixels",
        lambda: BinaryVAE(linked=True),
        _flat,
        True,
        2e-3,
        {"VLAE": 78.53},
    ),
    "autoregressive": Digits(
        "Gated PixelCNN on 2 × 2 blocks, exact values",
        lambda: GatedPixelCNN(256, inner=128, deep=True, repeats=256),
        lambda x, generator: in_blocks(x).long(),
        False,
        6e-3,
        {"PixelCNN": 0.81},
        muon=True,
    ),
    "flow": Digits(
        "Flow of piecewise linear couplings",
        SubscaleFlow,
        dequantised,
        False,
        2e-3,
        {"RealNVP": 1.06, "Glow": 1.05},
    ),
}
"""The models in the order of the table."""


def digits(data: Path, part: str) -> Tensor:
    """Pictures `(N, 1, 28, 28)` uint8: "train", "held" or "test".

    Raises:
        ValueError: `data` has no such file or it is not what it should be.
    """
    archive = Path(data) / "mnist.npz"
    try:
        x, _ = load_pictures(archive, "test" if part == "test" else "train")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{archive} is not there or is no archive of x_train, y_train, x_test and y_test.") from error
    if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[2] != x.shape[3] or not len(x):
        raise ValueError(f"{archive} should hold square uint8 pictures (N, 28, 28), not {tuple(x.shape)}.")
    held = min(HELD, len(x) // 6)
    return x if part == "test" else x[-held:] if part == "held" else x[:-held]


def _asked(family: Any, data: Tensor, generator: torch.Generator, draws: int) -> dict[str, Tensor]:
    """Log-probabilities or densities `(B,)`: what is compared, and of a bound the importance-weighted one."""
    if not isinstance(family, VAE):
        return {"value": family.log_prob(data)}
    weighted = {"importance": family.log_prob(data, generator, draws)} if draws else {}
    return {"value": family.elbo(data, generator), **weighted}


@torch.no_grad()
def _figures(one: Digits, network: Any, x: Tensor, importance: int = 0, size: int = 100) -> dict[str, float]:
    """Means over pictures, prepared with seed 0, in the model's unit."""
    drawn, draws, parts = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1), []
    family = network.family()
    for part in x.split(size):
        parts.append(_asked(family, one.prepare(part, drawn).to(network.device), draws, importance))
    means = {name: torch.cat([part[name] for part in parts]).double().mean() for name in parts[0]}
    if one.binary:
        return {name: -mean.item() for name, mean in means.items()}
    return {name: bits_per_dim(mean, continuous=isinstance(family, PictureFlow)).item() for name, mean in means.items()}


def _train(name: str, run: Run) -> None:
    """The family's own loss, in nats a pixel; a bound's KL term grows to its full weight over the first tenth."""
    one = DIGITS[name]
    x, held = digits(run.data, "train"), digits(run.data, "held")[:SHOWN]
    network = run.started(one.network())

    def step(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        pictures = x[torch.randint(len(x), (run.batch,), generator=generator)]
        family = network.family()
        if isinstance(family, VAE):
            family.beta = min(1.0, 0.1 + spent / WEIGH_IN)
        terms = family.losses(one.prepare(pictures, generator).to(run.device), generator)
        return {key: value / DIMENSIONS if key == "loss" else value.detach() for key, value in terms.items()}

    def report(ema: Any, at: int) -> dict[str, float]:
        found = {f"held_{key}": round(value, 4) for key, value in _figures(one, ema, held).items()}
        return {**found, "core_minutes": round(time.process_time() / 60, 3)}

    matrices = network.matrices() if one.muon else ()
    run.write(name, fit(network, step, run.runs, budget=run.budget, lr=one.lr, matrices=matrices, seed=run.seed,
                        report=report, report_seconds=300))  # fmt: skip


STAGES: Mapping[str, Callable[[Run], None]] = {name: (lambda run, name=name: _train(name, run)) for name in DIGITS}
MINUTES = dict.fromkeys(DIGITS, 25.0)
BATCH = {"made": 256, "pixelcnn": 32, "vae": 256, "linked": 256, "autoregressive": 32, "flow": 32}
PRESETS = {
    "cpu": Preset(BATCH, MINUTES),
    "gpu": Preset({name: 4 * size for name, size in BATCH.items()}, MINUTES),
}


def _training(log: Path) -> dict[str, float]:
    """Steps, and minutes of computing by all processes that took part: each of them counts from zero."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    minutes = [line["core_minutes"] for line in lines]
    ends = [now for now, following in zip(minutes, [*minutes[1:], 0.0], strict=True) if following < now]
    return {"core_minutes": round(sum(ends), 3), "steps": lines[-1]["step"]}


def measure(data: Path, runs: Path, path: Path) -> dict[str, Any]:
    """Figures of every finished model on the test pictures, also written to `path`; rows of the others stay there.

    Raises:
        ValueError: the data are not there, or no model is finished.
    """
    x, finished = digits(data, "test"), [name for name in DIGITS if (runs / "out" / name).is_dir()]
    if not finished:
        raise ValueError(f"No model is finished in {runs / 'out'}.")
    rows = json.loads(path.read_text(encoding="utf-8"))["models"] if path.is_file() else {}
    for name in finished:
        one, folder = DIGITS[name], runs / "out" / name
        network: Any = load_network(type(one.network()), folder)
        rows[name] = {
            "title": one.title,
            "unit": "nats" if one.binary else "bits/dim",
            "kind": network.family().bound,
            **{key: round(value, 4) for key, value in _figures(one, network, x, DRAWS).items()},
            "draws": DRAWS if isinstance(network.family(), VAE) else 0,
            "parameters": sum(weight.numel() for weight in network.parameters()),
            **_training(runs / name / "log.jsonl"),
            "published": dict(one.published),
        }
    found = {"note": NOTE, "pictures": len(x), "models": {name: rows[name] for name in DIGITS if name in rows}}
    with atomic(path) as part:
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Train one stage or measure what is finished."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] != ["measure"]:
            train_stage("lab_digits", STAGES, PRESETS, ".runs/lab_digits/out", given, "demos.lab.digits")
            return
        parser = argparse.ArgumentParser(prog="python -m demos.lab.digits measure", description="Measure the models.")
        parser.add_argument("--data", type=Path, default=os.environ.get("ATELIER_DATA"), required=False)
        parser.add_argument("--runs", type=Path, default=Path(".runs/lab_digits"), help="where the trainings lie")
        parser.add_argument("--out", type=Path, default=Path("checkpoints/lab/digits.json"))
        args = parser.parse_args(given[1:])
        if args.data is None:
            parser.error("--data DIR (or ATELIER_DATA) is needed")
        print(json.dumps(measure(Path(args.data), args.runs, args.out), indent=1))
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
