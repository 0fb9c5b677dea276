"""Measure what the page's sections on classifiers show, and a baseline for the six families.

    python -m demos.lab.experiments augment --data DIR

`augment` trains small classifiers on n real pictures with and without generated ones; `labels` compares a
discriminative and a generative classifier by the number of labels; `robustness` spoils pictures and asks both as
shipped, and asks them about digits. `dcgan` trains that model three times, to compare its samples as those of the
families are compared. Each stage writes its figures to `checkpoints/lab/<stage>.json`; those of classifiers after every
row, so that an interruption loses one, and keep the rows that are there. Pictures are those of Fashion-MNIST: 58,000 to
train with, as the shipped models had, and the test set.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from demos.core.atomic import atomic
from demos.core.fit import Budget, fit
from demos.lab.evaluate import SAMPLES, compared, features, rounded
from demos.lab.garments.data import DIMENSIONS, LABELS, NO_LABEL, bits_per_dim, load_pictures, scaled
from demos.lab.garments.dcgan import trained_dcgan
from demos.lab.garments.kinds import draw, given
from demos.lab.garments.semi import chances, drawn, fitted, posterior
from demos.lab.garments.small import Labelled, Trainee, chosen, few, steps_for
from demos.lab.garments.spoil import spoilt
from demos.lab.garments.vae import GarmentVAE
from demos.lab.model import Garments

__all__ = ["STAGES", "main", "measure_augment"]

HELD, SEEDS = 2000, (0, 1, 2)
GENERATED, GENERATORS = 1000, ("vae", "gan", "score")
REAL = (50, 100, 200, 500, 1000, 2000, 5000)
SPOILT = 500
SPOILS = [("noise", amount) for amount in (0, 16, 32, 64, 128)]
SPOILS += [("rotation", amount) for amount in (15, 30, 90, 180)] + [("inversion", 1)]
LATENT, VAE_STEPS, VAE_BATCH = 24, 500, 64
OWN = "own"
TOLD, TOLD_TEST, TOLD_DRAWS, PRIOR_STEPS = (50, 200, 1000, 5000, 58_000), 2000, 8, 400
DCGAN_STEPS = 4000
BOTH = ("discriminative", "generative")


@dataclass(frozen=True)
class Bench:
    """The surroundings of a stage: archives, a folder for what is slow to compute, and the file of figures."""

    data: Path
    runs: Path
    path: Path

    def pictures(self, part: str, archive: str = "fashion_mnist") -> Labelled:
        """All test pictures, or the training pictures without those that were held out."""
        x, y = load_pictures(self.data / f"{archive}.npz", part)
        return Labelled(x, y) if part == "test" else Labelled(x[:-HELD], y[:-HELD])

    @contextmanager
    def figures(self) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
        """What was measured before, and a function that writes it."""
        found = json.loads(self.path.read_text()) if self.path.exists() else {}

        def keep() -> None:
            with atomic(self.path) as part:
                part.write_text(json.dumps(found) + "\n")

        yield found, keep
        keep()


def kept(path: Path, make: Callable[[], Tensor]) -> Labelled:
    """Pictures, labels in turn, that `make` draws once; then those in the file."""
    if not path.exists():
        x = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, x=x.numpy())
    with np.load(path) as file:
        x = torch.from_numpy(file["x"])
    return Labelled(x, torch.arange(len(x)) % len(LABELS))


def generated(bench: Bench, family: str, garments: Garments, n: int = GENERATED) -> Labelled:
    """`n` pictures of a shipped family, kept in `runs`."""

    def make() -> Tensor:
        rng, parts = torch.Generator().manual_seed(0), []
        for _ in tqdm(range(0, n, 100), desc=f"drawing {family}"):
            parts.append(draw(family, garments.networks[family], torch.arange(100) % len(LABELS), rng))
        return torch.cat(parts)[:n]

    return kept(bench.runs / f"{family}-{n}.npz", make)


def own(bench: Bench, real: Labelled, seed: int) -> Labelled:
    """`GENERATED` pictures of a VAE that learnt from the pictures `real` and nothing else, kept in `runs`."""
    name = f"{OWN}-{len(real.y)}-{seed}"

    def make() -> Tensor:
        network, labels = small_vae(real, bench.runs / name, seed), torch.arange(GENERATED) % len(LABELS)
        return draw("vae", network, labels, torch.Generator().manual_seed(seed))

    return kept(bench.runs / f"{name}.npz", make)


def trained(real: Labelled | None, more: Labelled | None, test: Labelled, seed: int, **options: Any) -> float:
    """Test accuracy of a small classifier after its training."""
    trainee = Trainee(real, more, seed=seed, **options)
    for _ in range(options["steps"]):
        trainee.step()
    return round(trainee.accuracy(test), 4)


def measure_augment(bench: Bench) -> None:
    """Accuracy with n real pictures: alone, mirrored and moved, or with a generator of these n or of all pictures."""
    train, test, garments = bench.pictures("train"), bench.pictures("test"), Garments.load(device="cpu")
    arms = ["real", "moved", OWN, *GENERATORS]
    wanted = [(arm, n, seed) for arm in arms for seed in SEEDS for n in REAL]
    wanted += [(family, 0, seed) for family in GENERATORS for seed in SEEDS]
    with bench.figures() as (found, keep):
        rows = found.setdefault("rows", [])
        found |= {"tested": len(test.y), "generated": GENERATED}
        done = {(row["arm"], row["n"], row["seed"]) for row in rows}
        for arm, n, seed in tqdm([one for one in wanted if one not in done], desc="augment"):
            real = few(train, n, seed) if n else None
            more = generated(bench, arm, garments) if arm in GENERATORS else None
            if arm == OWN and real is not None:
                more = own(bench, real, seed)
            options = {"steps": steps_for(n or max(REAL)), "augmented": arm == "moved"}
            accuracy = trained(real, more, test, seed, **options)
            rows.append({"arm": arm, "n": n, "seed": seed, "accuracy": accuracy})
            keep()


def posteriors(garments: Garments, x: Tensor) -> tuple[Tensor, Tensor]:
    """p(y | x) `(N, 10)` of the shipped classifier, and by Bayes' rule with the autoregressive model's p(x | y)."""
    told, network = [], garments.networks["autoregressive"]
    with torch.no_grad():
        sure = torch.cat([garments.classifier(scaled(part)).softmax(1) for part in x.split(500)])
        for label in range(len(LABELS)):
            rows = [given(network, torch.full((len(part),), label)).log_prob(part) for part in x.split(100)]
            told.append(torch.cat(rows))
    return sure, torch.stack(told, 1).double().softmax(1).float()


def measure_robustness(bench: Bench) -> None:
    """Accuracy and mean confidence under noise, rotation and inversion; what both say of digits."""
    x, y = (part[:SPOILT] for part in bench.pictures("test"))
    pictures, garments = [Image.fromarray(one[0].numpy()) for one in x], Garments.load(device="cpu")
    with bench.figures() as (found, keep):
        rows = found.setdefault("rows", [])
        found |= {"tested": SPOILT, "family": "autoregressive"}
        done = {(row["way"], row["amount"]) for row in rows}
        for way, amount in tqdm([one for one in SPOILS if one not in done], desc="robustness"):
            how = {"noise": (amount, 0, False), "rotation": (0, amount, False), "inversion": (0, 0, True)}[way]
            seen = np.stack([np.asarray(spoilt(one, *how, seed=i)) for i, one in enumerate(pictures)])
            row: dict[str, Any] = {"way": way, "amount": amount}
            for name, sure in zip(BOTH, posteriors(garments, torch.from_numpy(seen)[:, None]), strict=True):
                right = float((sure.argmax(1) == y).float().mean())
                row[name] = {"accuracy": round(right, 4), "confidence": round(float(sure.amax(1).mean()), 4)}
            rows.append(row)
            keep()
        if "digits" not in found:
            digits = bench.pictures("test", "mnist").x[:SPOILT]
            found["digits"] = {"percentiles": percentiles(garments)}
            for part, pixels in (("garments", x), ("digits", digits)):
                for name, sure in zip(BOTH, posteriors(garments, pixels), strict=True):
                    found["digits"].setdefault(name, {})[part] = _short(sure.amax(1))


def small_vae(data: Labelled, runs: Path, seed: int = 0) -> GarmentVAE:
    """A VAE of 24 latent numbers given the labels; trained once, its state kept in `runs`."""
    torch.manual_seed(seed)
    network = GarmentVAE(latent=LATENT, widths=(32, 64), embedding=32, mixtures=2)

    def losses(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        at = torch.randint(len(data.x), (VAE_BATCH,), generator=generator)
        model = network.given(data.y[at])
        model.beta = min(1.0, spent / 0.15 + 0.05)
        terms = model.losses(scaled(data.x[at]), generator)
        return {"loss": terms["loss"] / DIMENSIONS, "bits_per_dim": bits_per_dim(terms["bound"])}

    return cast(GarmentVAE, fit(network, losses, runs, budget=Budget(steps=VAE_STEPS), lr=2e-3, seed=seed))


def measure_labels(bench: Bench) -> None:
    """Accuracy of a discriminative and a generative classifier that know n labels of 58,000."""
    train = bench.pictures("train")
    vae = small_vae(Labelled(train.x, torch.full_like(train.y, NO_LABEL)), bench.runs / "vae")
    test = Labelled(*(part[:TOLD_TEST] for part in bench.pictures("test")))
    wanted = [(kind, n, seed) for kind in BOTH for n in TOLD for seed in SEEDS]
    with bench.figures() as (found, keep):
        rows = found.setdefault("rows", [])
        found |= {"tested": len(test.y), "pictures": len(train.y), "draws": TOLD_DRAWS}
        done = {(row["classifier"], row["n"], row["seed"]) for row in rows}
        mean, log_var = posterior(vae, train.x)
        draws = drawn(vae, test.x, TOLD_DRAWS, torch.Generator().manual_seed(0))
        for kind, n, seed in tqdm([one for one in wanted if one not in done], desc="labels"):
            at = chosen(train.y, n, seed) if n < len(train.y) else torch.arange(n)
            if kind == "discriminative":
                accuracy = trained(Labelled(train.x[at], train.y[at]), None, test, seed, steps=steps_for(n))
            else:
                prior = fitted(mean, log_var, train.y, at, steps=PRIOR_STEPS, seed=seed)
                accuracy = round(float((chances(prior, draws).argmax(1) == test.y).float().mean()), 4)
            rows.append({"classifier": kind, "n": n, "seed": seed, "accuracy": accuracy})
            keep()


def measure_dcgan(bench: Bench) -> None:
    """DCGAN's samples beside test pictures, one training a set."""
    x, garments = bench.pictures("train").x, Garments.load(device="cpu")
    with bench.figures() as (found, _):
        start = time.perf_counter()
        networks = [trained_dcgan(x, DCGAN_STEPS, seed) for seed in SEEDS]
        minutes = (time.perf_counter() - start) / 60 / len(SEEDS)
        sets = [one.sample(SAMPLES, torch.Generator().manual_seed(seed)) for seed, one in enumerate(networks)]
        about = {
            "parameters": sum(weight.numel() for weight in networks[0].parameters()),
            "steps": DCGAN_STEPS,
            "minutes": minutes,
        }
        real = features(garments, bench.pictures("test").x[:SAMPLES])
        found |= rounded(about | compared(garments, real, sets))


def percentiles(garments: Garments) -> dict[str, list[float]]:
    """Of test digits among test garments by two scores, in percent; stored with the models, so nothing is asked."""
    groups = {name: garments.score_histograms(name) for name in ("autoregressive", "complexity")}
    return {
        name: _short(100 * np.searchsorted(found["fashion"], found["mnist"]) / len(found["fashion"]))
        for name, found in groups.items()
    }


def _short(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]


STAGES: dict[str, Callable[[Bench], None]] = {
    "augment": measure_augment,
    "labels": measure_labels,
    "robustness": measure_robustness,
    "dcgan": measure_dcgan,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and measure one stage."""
    parser = argparse.ArgumentParser(prog="python -m demos.lab.experiments", description="Measure one stage.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATELIER_DATA"))
    parser.add_argument("--out", type=Path, default=Path("checkpoints/lab"))
    parser.add_argument("--runs", type=Path, default=Path(".runs/lab/experiments"))
    args = parser.parse_args(arguments)
    if args.data is None:
        parser.error("--data DIR (or ATELIER_DATA) is needed")
    torch.set_flush_denormal(True)
    STAGES[args.stage](Bench(Path(args.data), args.runs, args.out / f"{args.stage}.json"))


if __name__ == "__main__":
    main()
