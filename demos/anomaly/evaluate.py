"""Measure detectors of magnetic tiles: `python -m demos.anomaly.evaluate --data DIR --checkpoint FOLDER [FOLDER ...]`.

Every row of the table is an alternative: each density alone, the localiser alone, their mixtures, and reconstruction by
the generative model; mean ± standard deviation over the seeds and over the checkpoints, each of which is a training
from another seed. All choices were made within the training pictures (see `demos.anomaly.detectors`); the test pictures
only appear here. The column "pasted" is what the choice went by: anomalies of a kind that nothing was trained with.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demos.anomaly.calibration import aupro, auroc, bootstrap
from demos.anomaly.data import KINDS, Tile, load_tiles, split_held_out
from demos.anomaly.densities import DENSITIES
from demos.anomaly.detectors import Detector
from demos.anomaly.features import Seen, collate, look
from demos.anomaly.model import AnomalyModel
from demos.anomaly.networks import TileField
from demos.anomaly.train import fit_tiles
from demos.core.device import autocast

__all__ = ["COLUMNS", "measure", "reconstruction", "table"]

COLUMNS = {
    "auroc": ("image AUROC", 3),
    "pixel": ("pixel AUROC", 3),
    "aupro": ("AUPRO@30 %", 3),
    **{kind: (kind, 3) for kind in KINDS},
    "alarms": ("false alarms at 5 %", 3),
    "pasted": ("pasted", 3),
}
Heat = Callable[[Tile], np.ndarray]
TIMES = (0.15, 0.3)


def measure(tiles: list[Tile], heat: Heat, count: int, limit: float = math.nan) -> dict[str, float]:
    """All columns that follow from heat maps, and the 95 % interval of the AUROC.

    Args:
        tiles: normal and defective ones.
        heat: gives the map of a tile, of any size.
        count: how many of its highest values make the score.
        limit: threshold above which a score is an alarm.
    """
    maps = [heat(tile) for tile in tqdm(tiles, "test", leave=False)]
    scores = np.array([np.sort(m, None)[-count:].mean() for m in maps])
    bad = np.array([tile.defective for tile in tiles])
    normal = scores[~bad]
    low, high = bootstrap(normal, scores[bad], np.random.default_rng(0))
    found = {"auroc": auroc(normal, scores[bad]), "low": low, "high": high}
    for kind in KINDS:
        found[kind] = auroc(normal, scores[[tile.defect == kind for tile in tiles]])
    masks = [tile.mask for tile in tiles]
    large = [cv2.resize(m, mask.shape[::-1]) for m, mask in zip(maps, masks, strict=True)]
    flat, truth = np.concatenate([m.ravel() for m in large]), np.concatenate([m.ravel() for m in masks])
    found["pixel"] = auroc(flat[~truth], flat[truth])
    found["aupro"] = aupro(large, masks)
    found["alarms"] = float((normal > limit).mean()) if math.isfinite(limit) else math.nan
    return found


def of_detector(detector: Detector, seen: dict[str, Seen]) -> Heat:
    """Heat maps by a detector, as the app makes them, of tiles whose features are known by name."""
    return lambda tile: detector.heat(seen[tile.name])


@torch.inference_mode()
def reconstruction(field: TileField, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Heat map of the error of removing noise: the sum of |x - E[x | x_t]| over a few small times."""
    x, mask = (t.to(field.device) for t in collate([pixels]))
    x, error = x[:, :1], torch.zeros_like(x[:, :1])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
    for time_ in TIMES:
        t = torch.full((1,), time_, device=x.device)
        with autocast(x.device):
            clean: Tensor = field.clean((1 - time_) * x + time_ * noise, t, mask)
        error += (clean.float() - x).abs()
    heat = error[0, 0, : pixels.shape[0], : pixels.shape[1]].cpu().numpy()
    return cv2.GaussianBlur(heat, (0, 0), 3)[::2, ::2]


def weighed(detector: Detector, weight: float) -> Detector:
    """The same density with another share of the localiser; its threshold does not hold any more."""
    other = Detector(replace(detector.about, weight=weight))
    other.densities = detector.densities
    other.levels.copy_(detector.levels)
    return other.eval()


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """The rows in Markdown, mean ± standard deviation over the runs."""

    def cell(runs: list[dict[str, float]], key: str, digits: int) -> str:
        values = np.array([run[key] for run in runs if math.isfinite(run.get(key, math.nan))])
        if not len(values):
            return "–"
        spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{values.mean():.{digits}f}{spread}"

    head = ["", *(title for title, _ in COLUMNS.values())]
    body = [[name, *(cell(runs, key, digits) for key, (_, digits) in COLUMNS.items())] for name, runs in rows.items()]
    rule = ["---", *["---:"] * len(COLUMNS)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))


def main() -> None:
    """Measure every alternative, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with magnetic_tile.zip")
    parser.add_argument("--checkpoint", type=Path, nargs="+", default=[Path("checkpoints/anomaly")])
    parser.add_argument("--out", type=Path, default=Path(".runs/anomaly/evaluation.json"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default=None)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_flush_denormal(True)
    archive = args.data / "magnetic_tile.zip"
    train, held = split_held_out(load_tiles(archive, "train"))
    tiles, areas = load_tiles(archive, "test"), [tile.pixels.size for tile in train]
    rows: dict[str, list[dict[str, float]]] = {}
    models = [AnomalyModel.load(folder, args.device) for folder in args.checkpoint]

    def add(name: str, heat: Heat, count: int, limit: float = math.nan, pasted: float = math.nan) -> None:
        rows.setdefault(name, []).append({**measure(tiles, heat, count, limit), "pasted": pasted})
        print(name, json.dumps(rows[name][-1]), flush=True)

    for model in models:
        seen = {tile.name: look(model.inspector, tile.pixels) for tile in tqdm([*train, *tiles], "features")}
        for seed in range(args.seeds):
            for density in DENSITIES:
                made = fit_tiles(model.inspector, [seen[tile.name] for tile in train], areas, held, density, seed)
                about = made.about
                add(f"{density} + localiser", of_detector(made, seen), about.count, made.threshold(0.05)[0],
                    about.separation)  # fmt: skip
                add(f"{density} alone", of_detector(weighed(made, 0.0), seen), about.count)
                if density == "flow":
                    add("localiser alone", of_detector(weighed(made, 1.0), seen), about.count)
        field = model.field
        if field is not None:
            add("reconstruction", lambda tile, field=field: reconstruction(field, tile.pixels), 32)
        shipped = model.detectors.get("magnetic_tile")
        if shipped is not None:
            add(f"shipped ({shipped.about.density})", of_detector(shipped, seen), shipped.about.count,
                shipped.threshold(0.05)[0], shipped.about.separation)  # fmt: skip
    facts = {"test": len(tiles), "seeds": args.seeds, "checkpoints": len(models), "threads": torch.get_num_threads()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
