"""Train the networks of the Sketch tab again, one stage after the other.

    python -m demos.sketch.train autoencoder --data DIR
    python -m demos.sketch.train flow --data DIR
    python -m demos.sketch.train student --data DIR
    python -m demos.sketch.train upscaler --data DIR
    python -m demos.sketch.train palette --data DIR

A stage keeps its state, its log and a contact sheet of its progress in `--runs`, goes on from there when it is called
again, and writes its weights to `--out` when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from demos.core.device import autocast
from demos.core.fit import fit
from demos.core.metrics import psnr
from demos.core.stages import Preset, Run, train_stage
from demos.families.score import euler, interpolate, sample_times, schedule, shifted
from demos.sketch.batches import (
    WORDS,
    Drawings,
    drop,
    example_drawings,
    in_parts,
    make_vocabulary,
    over,
    paper_of,
    sheet,
    to_tensor,
)
from demos.sketch.data import STYLES, Pictograms, load_pictograms
from demos.sketch.networks import Autoencoder, Upscaler
from demos.sketch.palette import FLAT, Palette, mean_shift
from demos.sketch.pipeline import SketchPipeline
from demos.sketch.sampler import PARTS, TYPICAL_LINES, TYPICAL_TEXT, extrapolated, guided
from demos.sketch.unet import SketchUNet

__all__ = ["PRESETS", "STAGES", "main"]


PRESETS = {
    "cpu": Preset(
        {"autoencoder": 64, "flow": 32, "student": 32, "upscaler": 16, "palette": 1},
        {"autoencoder": 40, "flow": 150, "student": 24, "upscaler": 10, "palette": 1},
    ),
    "gpu": Preset(
        {"autoencoder": 512, "flow": 512, "student": 512, "upscaler": 128, "palette": 1},
        {"autoencoder": 5, "flow": 12, "student": 6, "upscaler": 2, "palette": 1},
    ),
}


ARCHIVE = "emoji.zip"
MOST_NOISE = 0.45
MOST_LINES = 2 * TYPICAL_LINES


def pictograms(run: Run) -> Pictograms:
    """All pictures at 128 pixels a side."""
    return load_pictograms(run.data / ARCHIVE)


def reconstruction_loss(a: Tensor, b: Tensor) -> Tensor:
    """Absolute, squared and gradient error: sharp edges without ringing."""
    error = (a - b).float()
    slope = error.diff(dim=3).abs().mean() + error.diff(dim=2).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * slope


def train_autoencoder(run: Run) -> None:
    """KL autoencoder on crops of 64 px with random shifts, flips and, now and then, permuted colours.

    The decoder sees latents with noise of up to `MOST_NOISE` of each channel's deviation, so that the small errors of a
    flow don't show as blotches in plain areas.
    """
    model, data = run.started(Autoencoder()), pictograms(run)
    train, held = data.split()
    size, crop = data.pixels.shape[1], 64
    padded = np.pad(data.pixels, ((0, 0), (8, 8), (8, 8), (0, 0)))

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        pick = train[torch.randint(len(train), (run.batch,), generator=rng).numpy()]
        y, x = torch.randint(size + 16 - crop + 1, (2, run.batch), generator=rng).numpy()
        crops = np.stack([padded[i, r : r + crop, c : c + crop] for i, r, c in zip(pick, y, x, strict=True)])
        target = to_tensor(crops).to(run.device)
        flip = torch.rand(run.batch, 1, 1, 1, generator=rng).to(run.device) < 0.5
        target = torch.where(flip, target.flip(3), target)
        if torch.rand(1, generator=rng) < 0.3:
            target = target[:, [*torch.randperm(3, generator=rng).tolist(), 3]]
        target = target.contiguous(memory_format=torch.channels_last)
        mean, log_var = model.encode(target)
        amount = MOST_NOISE * torch.rand(run.batch, 1, 1, 1, generator=rng).square().to(run.device)
        spread = (0.5 * log_var).exp() + amount * mean.float().std((0, 2, 3), keepdim=True)
        z = mean + spread * torch.randn(mean.shape, generator=rng).to(run.device)
        kl = 0.5 * (mean.float().square() + log_var.exp() - 1 - log_var).mean()
        error = reconstruction_loss(model.decode(z), target)
        return {"loss": error + 2e-5 * kl, "kl": kl}

    probe = to_tensor(data.pixels[held[::4]]).to(run.device)

    @torch.inference_mode()
    def report(ema: nn.Module, step: int) -> dict[str, float]:
        coder = cast(Autoencoder, ema)
        z = torch.cat([coder.encode(x)[0] for x in probe.split(32)])
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).to(run.device)
        rough = z + 0.2 * z.std((0, 2, 3), keepdim=True) * noise
        clean, noisy = (torch.cat([coder.decode(part).clamp(-1, 1) for part in x.split(32)]) for x in (z, rough))
        sheet([over(x[:48:4]) for x in (probe, clean, noisy)], run.runs / "progress.png")
        return {
            "psnr": round(psnr(probe, clean).mean().item(), 3),
            "psnr_noisy": round(psnr(probe, noisy).mean().item(), 3),
        }

    ema: Any = fit(model, losses, run.runs, budget=run.budget, lr=2e-3, weight_decay=0, seed=run.seed, report=report)
    with torch.inference_mode():
        parts = in_parts(data.pixels[train[::4]], 48)
        z = torch.cat([ema.encode(to_tensor(part).to(run.device))[0] for part in parts])
    ema.shift.copy_(z.mean((0, 2, 3), keepdim=True))
    ema.scale.copy_(z.std((0, 2, 3), keepdim=True))
    run.write("autoencoder", ema)


def _progress(run: Run, data: Pictograms, autoencoder: Autoencoder) -> Callable[[nn.Module, int], dict[str, float]]:
    """A report that draws the examples with 8 and 2 steps into a contact sheet."""
    drawing = example_drawings(data, run.device)
    words = torch.zeros(len(drawing), WORDS, dtype=torch.long, device=run.device)
    shape = (len(drawing), autoencoder.config["latent_channels"], 16, 16)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(run.device)

    @torch.inference_mode()
    def report(ema: Any, step: int) -> dict[str, float]:
        rows = [paper_of(drawing)]
        for name, steps in (("fluent_3d", 8), ("fluent_3d", 2), ("noto", 8)):
            style = torch.eye(len(STYLES), device=run.device)[[STYLES.index(name)] * len(drawing)]
            with autocast(run.device):
                z = euler(guided(ema, drawing, words, style, 2.0, 1.0), noise, schedule(steps))
                rows.append(over(autoencoder.from_latent(z)))
        sheet(rows, run.runs / "progress.png")
        return {}

    return report


def train_flow(run: Run) -> None:
    """Flow matching on latents, conditions left out now and then."""
    autoencoder, data = run.finished("autoencoder", Autoencoder), pictograms(run)
    vocabulary = make_vocabulary(data)
    model = run.started(SketchUNet(vocabulary=vocabulary))
    drawings = Drawings(data, autoencoder, vocabulary, run.device)

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        z, drawing, words, style = drawings.batch(run.batch, rng)
        drawing, words = drop(drawing, words, rng)
        noise = torch.randn(z.shape, generator=rng).to(run.device)
        t = sample_times(len(z), rng).to(run.device)
        v = model(interpolate(z, noise, t), t, model.encode_condition(drawing), words, style)
        return {"loss": (v.float() - (noise - z)).square().mean()}

    report = _progress(run, data, autoencoder)
    ema: Any = fit(
        model,
        losses,
        run.runs,
        budget=run.budget,
        lr=1e-3,
        ema_decay=0.998,
        seed=run.seed,
        report=report,
        report_seconds=120,
    )
    run.write("flow", ema)


def train_student(run: Run) -> None:
    """Distil guidance and long steps into one evaluation.

    Half of a batch regresses the guided velocity of the frozen teacher (Meng et al. 2023); the other half learns that
    a step over 1, 1/2, 1/4 or 1/8 of the schedule is two of its own steps over half of that (Frans et al. 2025).
    Weights of the drawing are those that may be asked for; words weigh what `guided` tells a distilled network.
    """
    autoencoder, data = run.finished("autoencoder", Autoencoder), pictograms(run)
    teacher: Any = run.finished("flow", SketchUNet)
    config = {name: value for name, value in teacher.config.items() if not name.startswith("_")}
    model: Any = run.started(cast(SketchUNet, SketchUNet.from_config({**config, "distilled": True})))
    if not run.init:
        model.load_state_dict(teacher.state_dict())
    drawings = Drawings(data, autoencoder, teacher.config["vocabulary"], run.device)
    half = run.batch // 2

    @torch.no_grad()
    def two_steps(
        x: Tensor, times: Tensor, small: Tensor, drawing: Tensor, words: Tensor, style: Tensor, weights: Tensor
    ) -> Tensor:
        features = model.encode_condition(drawing)
        first, middle, last = times
        a, b = first - middle, middle - last
        a_step, b_step = torch.where(small, 0.0, a), torch.where(small, 0.0, b)
        v1 = model(x, first, features, words, style, a_step, weights).float()
        x = x - a.view(-1, 1, 1, 1) * v1
        v2 = model(x, middle, features, words, style, b_step, weights).float()
        share = (a / (a + b)).view(-1, 1, 1, 1)
        return share * v1 + (1 - share) * v2

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        z, drawing, words, style = drawings.batch(run.batch, rng)
        words = words * (torch.rand(len(words), 1, generator=rng).to(run.device) < 0.7)
        noise = torch.randn(z.shape, generator=rng).to(run.device)
        part = 0.5 ** torch.randint(4, (run.batch - half,), generator=rng).float()
        u = part * (1 + (torch.rand(len(part), generator=rng) / part).floor())
        times = shifted(torch.stack([u, u - part / 2, u - part])).to(run.device)
        t = torch.cat([sample_times(half, rng).to(run.device), times[0]])
        step = torch.cat([torch.zeros(half, device=run.device), times[0] - times[2]])
        lines = MOST_LINES * torch.rand(run.batch, 1, generator=rng)
        weights = torch.cat([lines, torch.full_like(lines, TYPICAL_TEXT)], 1).to(run.device)
        x = interpolate(z, noise, t)
        given = (drawing, words, style, weights)
        target = torch.cat([
            extrapolated(teacher, *(g[:half] for g in given))(x[:half], t[:half], step[:half]),
            two_steps(x[half:], times, (part < 0.2).to(run.device), *(g[half:] for g in given)),
        ])  # fmt: skip
        v = model(x, t, model.encode_condition(drawing), words, style, step, weights)
        error = (v.float() - target).square().mean((1, 2, 3))
        return {"loss": error.mean(), "guided": error[:half].mean(), "shortcut": error[half:].mean()}

    report = _progress(run, data, autoencoder)
    ema: Any = fit(
        model, losses, run.runs, budget=run.budget, lr=4e-4, seed=run.seed, report=report, report_seconds=120
    )
    run.write("unet", ema)


def train_upscaler(run: Run) -> None:
    """Twice the side: from the autoencoder's output at 128 px to the true 256 px, on crops."""
    autoencoder = run.finished("autoencoder", Autoencoder)
    model = run.started(Upscaler())
    large = load_pictograms(run.data / ARCHIVE, 256, ("fluent_3d",))
    train, held = large.split()

    @torch.inference_mode()
    def small_of(pixels: np.ndarray) -> Tensor:
        half = nn.functional.interpolate(to_tensor(pixels).to(run.device), scale_factor=0.5, mode="area")
        return autoencoder.from_latent(autoencoder.to_latent(half)).float().cpu()

    smalls = torch.cat([small_of(p) for p in in_parts(large.pixels, 32)])

    def pair(index: np.ndarray) -> tuple[Tensor, Tensor]:
        return smalls[torch.from_numpy(index)].to(run.device), to_tensor(large.pixels[index]).to(run.device)

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        small, target = pair(train[torch.randint(len(train), (run.batch,), generator=rng).numpy()])
        y, x = torch.randint(0, 65, (2,), generator=rng).tolist()
        small, target = small[..., y : y + 64, x : x + 64], target[..., 2 * y : 2 * y + 128, 2 * x : 2 * x + 128]
        if torch.rand(1, generator=rng) < 0.5:
            small, target = small.flip(3), target.flip(3)
        small = small.contiguous(memory_format=torch.channels_last)
        return {"loss": reconstruction_loss(model(small), target)}

    small, target = pair(held[::4])

    @torch.inference_mode()
    def report(ema: nn.Module, step: int) -> dict[str, float]:
        smooth = nn.functional.interpolate(small, scale_factor=2.0, mode="bicubic").clamp(-1, 1)
        large_again = ema(small)
        sheet([over(a[:8]) for a in (smooth, large_again, target)], run.runs / "progress.png")
        return {"psnr": psnr(large_again, target).mean().item(), "bicubic": psnr(smooth, target).mean().item()}

    ema: Any = fit(model, losses, run.runs, budget=run.budget, lr=2e-3, weight_decay=0, seed=run.seed, report=report)
    run.write("upscaler", ema)


def train_palette(run: Run) -> None:
    """Where colours move in each flat style; it has no steps."""
    model, data = run.started(Palette()), pictograms(run)
    train, _ = data.split()
    of_style = [train[data.style[train] == STYLES.index(name)] for name in FLAT]
    model.table.copy_(torch.from_numpy(np.stack([mean_shift(data.pixels[i]) for i in of_style])).flatten(2))
    run.write("palette", model)


STAGES: dict[str, Callable[[Run], None]] = {
    "autoencoder": train_autoencoder,
    "flow": train_flow,
    "student": train_student,
    "upscaler": train_upscaler,
    "palette": train_palette,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, train one stage, and name its weights in the pipeline's index once all parts are there."""
    cv2.setNumThreads(1)
    out = train_stage("sketch", STAGES, PRESETS, "checkpoints/sketch", arguments).out
    if all((out / name / "config.json").exists() for name in PARTS):
        SketchPipeline.from_parts(out).save_config(out)


if __name__ == "__main__":
    main()
