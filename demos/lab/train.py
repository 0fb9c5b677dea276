"""Train the garments' networks of the Lab tab again, one stage after the other.

    python -m demos.lab.train classifier --data DIR

Stages: classifier, vae, gan, flow, autoregressive, score, energy, background. All learn from the 60,000 training
pictures of Fashion-MNIST; all but the classifier and the background see their labels, an eighth of them hidden. A stage
keeps its state, its log and a contact sheet in `--runs`, goes on from there when it is called again, and writes its
weights to `--out` when it ends. `references` comes last: it asks the finished models about test pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from demos.core.fit import fit
from demos.core.stages import Preset, Run, train_stage
from demos.lab.garments.causal import CausalNetwork
from demos.lab.garments.classifier import GarmentClassifier
from demos.lab.garments.data import LABELS, NO_LABEL, batch, bits_per_dim, dequantised, load_pictures, scaled
from demos.lab.garments.energy import GarmentEnergy
from demos.lab.garments.gan import GarmentDiscriminator, GarmentGenerator, pair
from demos.lab.garments.kinds import KINDS
from demos.lab.garments.references import measure
from demos.lab.garments.subscale import SubscaleFlow
from demos.lab.garments.unet import GarmentScore
from demos.lab.garments.vae import GarmentVAE

__all__ = ["PRESETS", "main"]

HELD = 2000
SHEET = 60
WEIGH_IN = 0.15
MUTATED = 0.1
PENALTY = 0.5
MINUTES = {
    "classifier": 2.0,
    "vae": 6.0,
    "gan": 10.0,
    "flow": 34.0,
    "autoregressive": 65.0,
    "score": 11.0,
    "energy": 20.0,
    "background": 3.0,
    "references": 1.0,
}
BATCH = {
    "classifier": 128,
    "vae": 128,
    "gan": 32,
    "flow": 32,
    "autoregressive": 32,
    "score": 32,
    "energy": 32,
    "background": 32,
    "references": 100,
}
PRESETS = {
    "cpu": Preset(BATCH, MINUTES),
    "gpu": Preset({name: 4 * size for name, size in BATCH.items()}, MINUTES),
}
Losses = Callable[[Tensor, Tensor, torch.Generator, float], dict[str, Tensor]]
Probe = Callable[[Any, Tensor, Tensor, torch.Generator], tuple[Tensor | None, dict[str, float]]]


def sheet(x: Tensor, path: Path, columns: int = 10) -> None:
    """Write pictures `(N, 1, 28, 28)` in [-1, 1] as one contact sheet, twice as large."""
    pixels = ((x[:, 0].float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()
    rows = [np.concatenate(list(pixels[i : i + columns]), 1) for i in range(0, len(pixels), columns)]
    whole = Image.fromarray(np.concatenate(rows))
    whole.resize((2 * whole.width, 2 * whole.height), Image.Resampling.NEAREST).save(path)


def train(
    run: Run, network: Any, losses: Losses, probe: Probe, *, lr: float, drop: float = 0.12, **options: Any
) -> Any:
    """Train on labelled batches of uint8 pictures and return the averaged network.

    `probe` is asked once a while for a contact sheet and for figures on pictures held out of the training set.
    """
    x, y = load_pictures(run.data / "fashion_mnist.npz", "train")
    held_x, held_y = x[-HELD:].to(run.device), y[-HELD:].to(run.device)
    x, y = x[:-HELD], y[:-HELD]

    def step(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        pictures, labels = batch(x, y, run.batch, generator, drop)
        return losses(pictures.to(run.device), labels.to(run.device), generator, spent)

    @torch.no_grad()
    def report(ema: Any, step: int) -> dict[str, float]:
        made, figures = probe(ema, held_x, held_y, torch.Generator().manual_seed(1))
        if made is not None:
            sheet(made, run.runs / "progress.png")
        return figures

    return fit(
        network, step, run.runs, budget=run.budget, lr=lr, seed=run.seed, report=report, report_seconds=150, **options
    )


def sheet_labels(device: str) -> Tensor:
    """A label a column: `(SHEET,)`."""
    return torch.arange(SHEET, device=device) % len(LABELS)


def train_classifier(run: Run) -> None:
    """p(y | x) by cross-entropy with smoothed labels, on pictures mirrored and moved by up to two pixels."""
    model = run.started(GarmentClassifier())

    def losses(x: Tensor, y: Tensor, generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        dx, dy = (int(i) for i in torch.randint(-2, 3, (2,), generator=generator))
        pixels = torch.roll(scaled(x), (dx, dy), (2, 3))
        if torch.rand(1, generator=generator) < 0.5:
            pixels = pixels.flip(3)
        return {"loss": F.cross_entropy(model(pixels).float(), y, label_smoothing=0.05)}

    def probe(ema: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[None, dict[str, float]]:
        return None, {"accuracy": round(float((ema(scaled(x)).argmax(1) == y).float().mean()), 4)}

    run.write("classifier", train(run, model, losses, probe, lr=3e-3, drop=0.0))


def train_vae(run: Run) -> None:
    """The evidence lower bound in nats a pixel; the KL term's weight grows to one over the first seventh."""
    model = run.started(GarmentVAE())

    def losses(x: Tensor, y: Tensor, generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        family = model.given(y)
        family.beta = min(1.0, spent / WEIGH_IN + 0.05)
        terms = family.losses(scaled(x), generator)
        bits = bits_per_dim(terms["bound"])
        return {"loss": terms["loss"] / 784, "bits_per_dim": bits, "divergence": terms["divergence"].detach()}

    def probe(ema: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        bound = ema.given(y[:500]).elbo(scaled(x[:500]), generator)
        labels = sheet_labels(run.device)[: SHEET // 2]
        z = cast(Any, ema.given(labels).prior).sample(len(labels), generator)
        pictures, nothing = scaled(x[:20]), ema.given(torch.full_like(y[:20], NO_LABEL))
        rows = [ema.given(labels).decode(z), pictures, nothing.decode(nothing.encode(pictures))]
        return torch.cat(rows), {"held_out": round(float(bits_per_dim(bound.mean())), 4)}

    run.write("vae", train(run, model, losses, probe, lr=2e-3))


def train_flow(run: Run) -> None:
    """The exact log-density of dequantised pictures."""
    model = run.started(SubscaleFlow((48, 64, 64, 64, 64), labelled=True))

    def losses(x: Tensor, y: Tensor, generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        log_prob = model.given(y).log_prob(dequantised(x, generator)).mean()
        return {"loss": bits_per_dim(log_prob, continuous=True)}

    def probe(ema: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        log_prob = ema.given(y[:500]).log_prob(dequantised(x[:500], generator)).mean()
        made = ema.given(sheet_labels(run.device)).sample(SHEET, generator, temperature=0.8)
        return 2 * made - 1, {"held_out": round(float(bits_per_dim(log_prob, continuous=True)), 4)}

    run.write("flow", train(run, model, losses, probe, lr=2e-3))


def train_autoregressive(run: Run) -> None:
    """The exact log-probability of pictures."""
    model = run.started(CausalNetwork())

    def losses(x: Tensor, y: Tensor, generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        return {"loss": bits_per_dim(model.given(y).log_prob(x).mean())}

    def probe(ema: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        made = ema.given(sheet_labels(run.device)).sample(SHEET, generator)
        return scaled(made), {"held_out": round(float(bits_per_dim(ema.given(y[:500]).log_prob(x[:500]).mean())), 4)}

    run.write("autoregressive", train(run, model, losses, probe, lr=2e-3))


def train_background(run: Run) -> None:
    """A small autoregressive model of pictures of whose pixels a share is replaced by noise (arXiv:1906.02845)."""
    model = run.started(CausalNetwork(width=32, depth=4, mixtures=5))

    def spoilt(x: Tensor, generator: torch.Generator) -> Tensor:
        replaced = torch.rand(x.shape, generator=generator) < MUTATED
        return torch.where(replaced, torch.randint(0, 256, x.shape, generator=generator, dtype=torch.uint8), x)

    def losses(x: Tensor, y: Tensor, generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        return {"loss": bits_per_dim(model.given(y).log_prob(spoilt(x, generator)).mean())}

    def probe(ema: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[None, dict[str, float]]:
        log_prob = ema.given(torch.full_like(y[:500], NO_LABEL)).log_prob(spoilt(x[:500], generator))
        return None, {"held_out": round(float(bits_per_dim(log_prob.mean())), 4)}

    run.write("background", train(run, model, losses, probe, lr=2e-3, drop=1.0))


def train_denoiser(run: Run, part: str, network: GarmentScore | GarmentEnergy) -> None:
    """What learns from dequantised pictures that get noise: a velocity or an energy, written to `part`."""
    model = run.started(network)

    def losses(x: Tensor, y: Tensor, generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        return model.given(y).losses(2 * dequantised(x, generator) - 1, generator)

    def probe(ema: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return ema.given(sheet_labels(run.device)).sample(SHEET, generator), {}

    run.write(part, train(run, model, losses, probe, lr=1e-3))


def train_score(run: Run) -> None:
    """The velocity of flow matching on dequantised pictures."""
    train_denoiser(run, "score", GarmentScore())


def train_gan(run: Run) -> None:
    """A relativistic pair; the generator is what is kept."""
    model = run.started(GarmentGenerator())
    both: Any = nn.ModuleList([model, run.ready(GarmentDiscriminator())])

    def losses(x: Tensor, y: Tensor, generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        return pair(both[0], both[1], y, penalty=PENALTY).losses(scaled(x), generator)

    def probe(ema: Any, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return pair(ema[0], ema[1], sheet_labels(run.device)).sample(SHEET, generator), {}

    run.write("gan", train(run, both, losses, probe, lr=6e-4, clip=20.0, weight_decay=0.0)[0])


def train_energy(run: Run) -> None:
    """The energy of noised pictures, by denoising."""
    train_denoiser(run, "energy", GarmentEnergy())


def measure_references(run: Run) -> None:
    """What the finished models say of test garments, digits and noise, for the wrapper to compare with."""
    networks: dict[str, Any] = {name: run.finished(name, kind.network) for name, kind in KINDS.items()}
    networks["background"] = run.finished("background", CausalNetwork)
    measure(networks, run.data, run.seed).save(run.out / "references")


STAGES: dict[str, Callable[[Run], None]] = {
    "classifier": train_classifier,
    "vae": train_vae,
    "flow": train_flow,
    "autoregressive": train_autoregressive,
    "background": train_background,
    "score": train_score,
    "gan": train_gan,
    "energy": train_energy,
    "references": measure_references,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and train one stage."""
    train_stage("lab", STAGES, PRESETS, "checkpoints/lab", arguments)


if __name__ == "__main__":
    main()
