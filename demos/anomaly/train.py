"""Train the networks of the Anomaly tab again, one stage after the other.

    python -m demos.anomaly.train encoder --data DIR
    python -m demos.anomaly.train normal --data DIR
    python -m demos.anomaly.train detector --data DIR
    python -m demos.anomaly.train examples --data DIR

`encoder` learns features and the localiser from pasted anomalies, `normal` is a generative model of normal tiles, and
`detector` fits the shipped detector to the features; a detector belongs to its encoder, so train it again after it.
`examples` draws the tab's examples with what the others have made.
A fifth of the normal tiles is held out of all three; it calibrates the detector. A stage keeps its state, its log and a
contact sheet in `--runs`, goes on from there when it is called again, and writes its weights to `--out` when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from demos.anomaly.calibration import auroc
from demos.anomaly.data import SCALE, Tile, batches, load_surfaces, load_tiles, split_held_out
from demos.anomaly.densities import DENSITIES
from demos.anomaly.detectors import Detector, Held, fit_detector, save_detector
from demos.anomaly.features import Scale, Seen, collate, look
from demos.anomaly.model import SHIFT, AnomalyModel, fingerprint
from demos.anomaly.networks import Inspector, TileField, position_code
from demos.anomaly.paste import PASTES, UNSEEN, paste
from demos.anomaly.pretext import Batch, Pretext, image_logit, window_batches
from demos.core.device import autocast
from demos.core.fit import fit
from demos.core.stages import Preset, Run, train_stage
from demos.families.score import euler, interpolate, sample_times, schedule

__all__ = ["PRESETS", "fit_tiles", "main", "pasted_pairs"]

WINDOW, WHOLE = 128, 0.25
SLACK = 0.03
EXAMPLES = ("stain", "clean", "pit", "crack", "chip", "clean")
QUICK = {"detector": 1, "examples": 1}
PRESETS = {
    "cpu": Preset({"encoder": 24, "normal": 12} | QUICK, {"encoder": 75, "normal": 45} | QUICK),
    "gpu": Preset({"encoder": 96, "normal": 64} | QUICK, {"encoder": 12, "normal": 8} | QUICK),
}


def split_tiles(run: Run) -> tuple[list[Tile], list[Tile]]:
    """Normal tiles to train with and those held out."""
    return split_held_out(load_tiles(run.data / "magnetic_tile.zip", "train"))


def pasted_pairs(
    tiles: list[Tile], seed: int, kinds: Iterable[str], limit: int | None = None
) -> list[tuple[Tile, str, np.ndarray, np.ndarray]]:
    """Tiles with one pasted anomaly each, kinds in turn: the tile, the kind, the changed pixels and the soft label."""
    names, pairs = list(kinds), []
    for i, tile in enumerate(tiles[:limit]):
        rng, kind = np.random.default_rng([seed, i]), names[i % len(names)]
        donor = tiles[int(rng.integers(len(tiles)))].pixels
        pairs.append((tile, kind, *paste(rng, tile.pixels, donor, kind, float(rng.uniform(0.4, 1)))))
    return pairs


def train_encoder(run: Run) -> None:
    """Features and localiser; the log has the AUROC of anomalies pasted into held-out tiles."""
    train, held = split_tiles(run)
    model: Any = run.ready(Pretext(run.started(Inspector())))
    rng = np.random.default_rng(run.seed)
    stream = window_batches(train, load_surfaces(run.data), run.batch, rng)

    def losses(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        batch = next(stream)
        batch = Batch(*(part.to(run.device) for part in (batch.x, batch.mask, batch.label)))
        level = 0.12 * torch.rand(len(batch.x), 1, 1, 1, generator=generator).square()
        noise = level * torch.randn(batch.x.shape, generator=generator)
        terms = model.losses(batch, noise.to(run.device))
        return {"loss": terms["pixels"] + 0.5 * terms["image"] + 0.5 * terms["restore"], **terms}

    probe = pasted_pairs(held, 0, PASTES, 56)

    @torch.inference_mode()
    def report(ema: Any, step: int) -> dict[str, float]:
        scores: dict[str, list[float]] = {"normal": []}
        rows = []
        for tile, kind, pixels, soft in probe:
            for name, picture in (("normal", tile.pixels), (kind, pixels)):
                x, mask = (t.to(run.device) for t in collate([picture]))
                logits = ema.inspector(x, mask).float()
                scores.setdefault(name, []).append(image_logit(logits, nn.functional.max_pool2d(mask, 2)).item())
            chance = torch.sigmoid(logits)[0, 0].cpu().numpy()
            rows.append(_strip([pixels, 255 * soft, cv2.resize(255 * chance, pixels.shape[::-1])]))
        Image.fromarray(np.concatenate([np.concatenate(rows[i : i + 4], 1) for i in range(0, 28, 4)])).save(
            run.runs / "progress.png"
        )
        normal = np.array(scores.pop("normal"))
        figures = {f"auroc_{kind}": round(auroc(normal, np.array(s)), 3) for kind, s in scores.items()}
        return {"auroc": round(float(np.mean(list(figures.values()))), 4), **figures}

    ema: Any = fit(
        model, losses, run.runs, budget=run.budget, lr=3e-3, seed=run.seed, report=report, report_seconds=180
    )
    run.write("inspector", ema.inspector)


def _strip(parts: list[np.ndarray], height: int = 128, width: int = 320) -> np.ndarray:
    """Pictures side by side on a canvas `(height, width)` uint8."""
    whole = np.concatenate([np.asarray(p, np.float32) for p in parts], 1)
    factor = min(height / whole.shape[0], width / whole.shape[1])
    small = cv2.resize(whole, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)[:height, :width]
    canvas = np.zeros((height, width), np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small.clip(0, 255)
    return canvas


def train_normal(run: Run) -> None:
    """Flow matching, by the velocity that follows from the predicted picture; on windows and now and then on tiles."""
    train, _ = split_tiles(run)
    model: Any = run.started(TileField())
    rng = np.random.default_rng(run.seed)
    stream = batches([t.pixels.shape[:2] for t in train], run.batch, rng)

    def window(tile: Tile) -> tuple[Tensor, ...]:
        """A mirrored tile cut to `WINDOW` pixels a side, its mask, and where it lies."""
        x, mask = collate([tile.pixels[:, :: rng.choice((-1, 1))]])
        code = position_code(nn.functional.max_pool2d(mask, 4))
        y, x0 = (4 * int(rng.integers(max(0, size - WINDOW) // 4 + 1)) for size in tile.pixels.shape)
        parts = [part[..., y : y + WINDOW, x0 : x0 + WINDOW] for part in (x[:, :1], mask)]
        parts.append(code[..., y // 4 : (y + WINDOW) // 4, x0 // 4 : (x0 + WINDOW) // 4])
        return tuple(nn.functional.pad(p, (0, WINDOW // s - p.shape[3], 0, WINDOW // s - p.shape[2]))
                     for p, s in zip(parts, (1, 1, 4), strict=True))  # fmt: skip

    def losses(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        code = None
        if rng.random() < WHOLE:
            x, mask = collate([train[i].pixels[:, :: rng.choice((-1, 1))] for i in next(stream)])
            x = x[:, :1]
        else:
            windows = [window(train[i]) for i in rng.integers(len(train), size=2 * run.batch)]
            x, mask, code = (torch.cat(parts) for parts in zip(*windows, strict=True))
            code = code.to(run.device)
        x, mask = x.to(run.device), mask.to(run.device)
        noise = torch.randn(x.shape, generator=generator).to(run.device)
        t = sample_times(len(x), generator, mean=0.4).to(run.device)
        v = model(interpolate(x, noise, t), t, mask, code).float()
        error = (v - (noise - x)).square() * mask
        return {"loss": error.sum() / mask.sum()}

    @torch.inference_mode()
    def report(ema: Any, step: int) -> dict[str, float]:
        noise = torch.randn(4, 1, 272, 224, generator=torch.Generator().manual_seed(1)).to(run.device)
        ones = torch.ones_like(noise)
        with autocast(run.device):
            x = euler(lambda x, t, d: ema(x, t, ones).float(), noise, schedule(24, shift=SHIFT))
        pixels = (127.5 * (x[:, 0].clamp(-1, 1) + 1)).byte().cpu().numpy()
        Image.fromarray(np.concatenate(list(pixels), 1)).save(run.runs / "progress.png")
        return {}

    ema: Any = fit(
        model, losses, run.runs, budget=run.budget, lr=1e-3, seed=run.seed, report=report, report_seconds=240
    )
    run.write("normal", ema)


def fit_tiles(
    network: Inspector, seen: list[Seen], areas: list[int], held: list[Tile], density: str, seed: int = 0
) -> Detector:
    """The detector of magnetic tiles: fitted to what was `seen` of tiles of `areas`, calibrated on `held`."""
    made = pasted_pairs(held, seed, UNSEEN)
    pasted = [(look(network, pixels),) if soft.max() > 0 else () for _, _, pixels, soft in made]
    groups = [Held(look(network, t.pixels), more) for t, more in zip(held, pasted, strict=True)]
    scale = Scale(SCALE, float(np.median(areas)))
    return fit_detector(groups, density, "magnetic_tile", scale, fingerprint(network), training=seen, seed=seed)


def fit_shipped(run: Run) -> None:
    """The shipped detector: the simplest density that tells anomalies of an unseen kind as well as the best one.

    As well means within one standard error, `SLACK`; the densities are ordered from the simplest on.
    """
    train, held = split_tiles(run)
    network = run.finished("inspector", Inspector)
    seen, areas = [look(network, tile.pixels) for tile in train], [tile.pixels.size for tile in train]
    fitted = [fit_tiles(network, seen, areas, held, density, run.seed) for density in DENSITIES]
    for detector in fitted:
        print(detector.about)
    enough = max(detector.about.separation for detector in fitted) - SLACK
    best = next(detector for detector in fitted if detector.about.separation >= enough)
    save_detector(best, run.out / "detectors" / "magnetic_tile.safetensors")


def draw_examples(run: Run) -> None:
    """The tab's examples: tiles that the generative model draws, all but two with an anomaly, the plainest of eight."""
    folder, model = Path(__file__).parent / "examples", AnomalyModel.load(run.out, run.device)
    tiles = model.sample_normal(run.seed, count=len(EXAMPLES) + 1, steps=40)
    donor = np.asarray(tiles.pop().convert("L"))
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for i, (kind, tile) in enumerate(zip(EXAMPLES, tiles, strict=True)):
        pixels = np.asarray(tile.convert("L"))
        if kind in PASTES:
            made = [paste(np.random.default_rng([run.seed, i, j]), pixels, donor, kind) for j in range(8)]
            pixels = max(made, key=lambda pair: float(pair[1].sum()))[0]
        Image.fromarray(pixels).save(folder / f"{i + 1}-{kind}.png", optimize=True)


STAGES: dict[str, Callable[[Run], None]] = {
    "encoder": train_encoder,
    "normal": train_normal,
    "detector": fit_shipped,
    "examples": draw_examples,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and train one stage."""
    cv2.setNumThreads(1)
    train_stage("anomaly", STAGES, PRESETS, "checkpoints/anomaly", arguments)


if __name__ == "__main__":
    main()
