"""Measure the Sketch model and its baselines on the held-out concepts: `python -m demos.sketch.evaluate --data DIR`.

Every held-out picture is drawn once by a simulated hand, with a generator fixed by the picture, and every row of the
table answers the same drawings, words and styles. FID and KID compare the features of the project's own classifier
(`demos.sketch.classifier`) with those of the true pictures, so they hold within this table only. Two rows are limits:
the autoencoder's reconstruction of the true pictures, and real training pictures of the same styles, which tell how far
two sets of real pictures are apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage.morphology import skeletonize
from torch import Tensor
from tqdm import tqdm

from demos.core.device import autocast
from demos.core.metrics import (
    alpha_iou,
    chamfer,
    frechet_distance,
    histogram_distance,
    kernel_distance,
    mean_pairwise_distance,
    psnr,
)
from demos.core.trace import edge_map
from demos.sketch.baselines import Generator, Nearest, Regression
from demos.sketch.batches import WORDS, in_parts, make_vocabulary, over, paper_of, to_tensor
from demos.sketch.classifier import Classifier, features_of
from demos.sketch.data import STYLES, Pictograms, load_pictograms
from demos.sketch.model import SketchModel
from demos.sketch.networks import Autoencoder
from demos.sketch.sampler import TYPICAL_LINES, TYPICAL_TEXT, SketchSampler
from demos.sketch.simulate import SINGLE, draw_hints, draw_lines, edge_chains
from demos.sketch.unet import SketchUNet

__all__ = ["COLUMNS", "Task", "edges", "make_task", "measure", "produce", "table"]

COLUMNS = {
    "fid": ("FID", 2),
    "kid": ("KID ×1000", 2),
    "lines": ("lines, px", 2),
    "colour": ("colour, ΔE", 1),
    "colour_without_words": ("colour without words, ΔE", 1),
    "alpha_iou": ("alpha IoU", 3),
    "diversity": ("diversity", 3),
    "seconds": ("s a picture", 3),
}
Measured = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Task:
    """N true pictures `(N, S, S, 4)` uint8 and what is given for each.

    `drawing` and `hinted` `(N, 5, S, S)` uint8 have the same lines, the latter colour hints as well; `words` `(N, 12)`,
    `style` `(N,)`.
    """

    pictures: np.ndarray
    drawing: np.ndarray
    hinted: np.ndarray
    words: np.ndarray
    style: np.ndarray

    def lines(self) -> list[np.ndarray]:
        """The centre lines of the drawn strokes, `(S, S)` bool each."""
        return [skeletonize(d[0] > 127) for d in self.drawing]


def make_task(data: Pictograms, vocabulary: tuple[str, ...], limit: int | None = None, single: bool = False) -> Task:
    """Draw the edges of the held-out pictures, or of `limit` of them evenly spread; thin parts by a `single` stroke."""
    _, held = data.split()
    if limit is not None and limit < len(held):
        held = held[np.linspace(0, len(held) - 1, limit).round().astype(int)]
    index = {word: i + 1 for i, word in enumerate(vocabulary)}
    drawing, hinted, words = [], [], []
    for i in held:
        rng = np.random.default_rng([1, int(i)])
        rgba = data.pixels[i]
        levels = [chains if single == (i in SINGLE) else [] for i, chains in enumerate(edge_chains(rgba))]
        ink = draw_lines(rng, levels, np.eye(2, 3, dtype=np.float32), len(rgba))[None]
        hints = draw_hints(rng, rgba).transpose(2, 0, 1)
        drawing.append(np.concatenate([ink, np.zeros_like(hints)]))
        hinted.append(np.concatenate([ink, hints]))
        known = [index[w] for w in data.words[data.concept[i]] if w in index][:WORDS]
        words.append(known + [0] * (WORDS - len(known)))
    return Task(data.pixels[held], np.stack(drawing), np.stack(hinted), np.array(words), data.style[held])


def produce(
    generator: Generator,
    task: Task,
    seed: int,
    *,
    hints: bool = False,
    words: bool = True,
    batch: int = 16,
    device: str = "cpu",
) -> tuple[np.ndarray, float]:
    """Answers `(N, S, S, 4)` uint8 premultiplied to all drawings, and the seconds that one took within a batch."""
    made, seconds = [], 0.0
    for start in tqdm(range(0, len(task.pictures), batch), "draw", leave=False):
        part = slice(start, start + batch)
        drawing = torch.from_numpy((task.hinted if hints else task.drawing)[part]).to(device).float() / 255
        tokens = torch.from_numpy(task.words[part]).to(device) * int(words)
        style = torch.eye(len(STYLES), device=device)[torch.from_numpy(task.style[part]).to(device)]
        begin = time.perf_counter()
        made.append(to_pixels(generator(drawing, tokens, style, 100_000 * seed + start)))
        seconds += time.perf_counter() - begin
    return np.concatenate(made), seconds / len(task.pictures)


def to_pixels(x: Tensor) -> np.ndarray:
    """`(B, 4, S, S)` in [-1, 1] to `(B, S, S, 4)` uint8 premultiplied: no colour exceeds its alpha."""
    x = (127.5 * (x.float().clamp(-1, 1) + 1)).round()
    return torch.minimum(x, x[:, 3:]).byte().permute(0, 2, 3, 1).cpu().numpy()


def edges(rgba: np.ndarray) -> np.ndarray:
    """Edges `(S, S)` bool of a premultiplied picture, at the one scale at which all rows are compared."""
    alpha = rgba[..., 3:].astype(np.float32)
    rgb = np.where(alpha > 0, 255 * rgba[..., :3] / np.maximum(alpha, 1), 0)
    return edge_map(np.concatenate([rgb, alpha], 2).clip(0, 255).astype(np.uint8), 1.1, 20, 45)


def measure(task: Task, made: np.ndarray, classifier: Classifier) -> Measured:
    """Mean over seeds, and their standard deviation, of every column that follows from the pictures.

    Args:
        made: `(seeds, N, S, S, 4)` uint8; one seed will do for what does not depend on it.
    """
    lines, real = task.lines(), features_of(classifier, task.pictures)
    values: dict[str, list[float]] = {name: [] for name in ("fid", "kid", "lines", "colour", "alpha_iou")}
    for pictures in made:
        fake = features_of(classifier, pictures)
        size = max(2, len(fake) // 2)
        values["fid"].append(frechet_distance(fake, real))
        values["kid"].append(1000 * kernel_distance(fake, real, 100, size, np.random.default_rng(0)))
        values["lines"].append(_mean(chamfer, lines, [edges(p) for p in pictures]))
        values["colour"].append(_mean(histogram_distance, pictures, task.pictures))
        values["alpha_iou"].append(_mean(alpha_iou, pictures, task.pictures))
    diversity = mean_pairwise_distance(torch.from_numpy(made)).mean().item() / 255
    return {**{name: _summary(v) for name, v in values.items()}, "diversity": _summary([diversity])}


def measure_generator(
    task: Task, generator: Generator, classifier: Classifier, seeds: int, batch: int, device: str, hints: bool = False
) -> tuple[Measured, np.ndarray]:
    """All columns of a generator, and its pictures of the first seed; without words it draws once only."""
    draw = partial(produce, generator, task, hints=hints, batch=batch, device=device)
    made, seconds = zip(*(draw(seed) for seed in range(seeds)), strict=True)
    silent, _ = draw(0, words=False)
    columns = measure(task, np.stack(made), classifier)
    columns["colour_without_words"] = _summary([_mean(histogram_distance, silent, task.pictures)])
    return columns | {"seconds": _summary(list(seconds))}, made[0]


def table(rows: dict[str, Measured]) -> str:
    """The rows in Markdown, mean ± standard deviation over seeds."""

    def cell(columns: Measured, name: str, digits: int) -> str:
        value = columns.get(name)
        if value is None:
            return "–"
        spread = f" ± {value['spread']:.{digits}f}" if value["spread"] else ""
        return f"{value['mean']:.{digits}f}{spread}"

    head = ["", *(title for title, _ in COLUMNS.values())]
    body = [[name, *(cell(c, key, digits) for key, (_, digits) in COLUMNS.items())] for name, c in rows.items()]
    rule = ["---", *["---:"] * len(COLUMNS)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))


def write_sheet(task: Task, shown: dict[str, np.ndarray], path: Path, columns: int = 12) -> None:
    """A contact sheet: one named row a method, the drawings on top."""
    pick = np.linspace(0, len(task.pictures) - 1, min(columns, len(task.pictures))).round().astype(int)
    rows = {"drawing": paper_of(torch.from_numpy(task.drawing[pick]).float() / 255)}
    rows |= {name: over(to_tensor(pictures[pick])) for name, pictures in shown.items()}
    side = task.pictures.shape[1]
    picture = Image.new("RGB", (side * (len(pick) + 1), side * len(rows)), "white")
    for y, (name, row) in enumerate(rows.items()):
        ImageDraw.Draw(picture).text((6, side * y + side // 2), name.replace(", ", "\n"), "black")
        picture.paste(Image.fromarray(np.concatenate(list(row), 1)), (side, side * y))
    picture.save(path)


def reconstruct(autoencoder: Autoencoder, pixels: np.ndarray, device: str) -> tuple[np.ndarray, float]:
    """Pictures through the autoencoder, `(N, S, S, 4)` uint8, and their mean PSNR in dB before rounding."""
    made, quality = [], []
    with torch.inference_mode(), autocast(device):
        for part in in_parts(pixels, 32):
            x = to_tensor(part).to(device)
            again = autoencoder.from_latent(autoencoder.to_latent(x)).float()
            quality.append(psnr(x, again))
            made.append(to_pixels(again))
    return np.concatenate(made), torch.cat(quality).mean().item()


def training_pictures(data: Pictograms, task: Task, seed: int) -> np.ndarray:
    """A random training picture of each true picture's style, `(N, S, S, 4)` uint8."""
    rng, (train, _) = np.random.default_rng(seed), data.split()
    of_style = [rng.permutation(train[data.style[train] == s]) for s in range(len(STYLES))]
    rank = [int((task.style[:n] == s).sum()) for n, s in enumerate(task.style)]
    return data.pixels[[of_style[s][r % len(of_style[s])] for s, r in zip(task.style, rank, strict=True)]]


def with_model(sampler: SketchSampler, steps: int, weights: dict[str, float]) -> Generator:
    """The shipped model with so many steps, computing as the app does."""

    def generate(drawing: Tensor, words: Tensor, style: Tensor, seed: int) -> Tensor:
        seeds = list(range(seed, seed + len(drawing)))
        with autocast(drawing.device):
            return sampler.generate(drawing, words, style, seeds, steps=steps, **weights)

    return generate


def _mean(distance: Callable[[np.ndarray, np.ndarray], float], a: object, b: object) -> float:
    return float(np.mean([distance(x, y) for x, y in zip(a, b, strict=True)]))  # pyright: ignore


def _summary(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "spread": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}


def main() -> None:
    """Measure every row, print the table, write JSON and the contact sheet beside it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with emoji.zip")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/sketch"))
    parser.add_argument("--classifier", type=Path, default=Path("checkpoints/sketch_classifier"))
    parser.add_argument("--regression", type=Path, default=Path(".runs/sketch/regression/weights"))
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME=FOLDER", help="more U-Nets, with 8 steps")
    parser.add_argument("--out", type=Path, default=Path(".runs/sketch/evaluation.json"))
    parser.add_argument("--limit", type=int, help="so many held-out pictures instead of all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 8, 30])
    parser.add_argument("--lines", type=float, default=TYPICAL_LINES, help="weight of the drawing")
    parser.add_argument("--text", type=float, default=TYPICAL_TEXT, help="weight of the words")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_flush_denormal(True)

    data = load_pictograms(args.data / "emoji.zip")
    classifier = Classifier.from_pretrained(args.classifier).float().eval().to(args.device)
    sampler = SketchModel.load(args.checkpoint, args.device).sampler
    task, by_one = (make_task(data, make_vocabulary(data), args.limit, single) for single in (False, True))
    again, quality = reconstruct(sampler.autoencoder, data.pixels[data.split()[1]], args.device)
    print(f"Autoencoder on {len(again)} held-out pictures: PSNR {quality:.2f} dB.")
    again, _ = reconstruct(sampler.autoencoder, task.pictures, args.device)

    rows: dict[str, Measured] = {}
    shown = {"true picture": task.pictures}
    drawn = partial(measure_generator, classifier=classifier, batch=args.batch, device=args.device)

    def add(name: str, generator: Generator, seeds: int, hints: bool = False, on: Task = task) -> None:
        rows[name], made = drawn(on, generator, seeds=seeds, hints=hints)
        if on is task:
            shown[name] = made
        print(name, json.dumps(rows[name]), flush=True)

    weights = {"lines": args.lines, "text": args.text}
    for steps in args.steps:
        add(f"model, {steps} step{'s' * (steps > 1)}", with_model(sampler, steps, weights), args.seeds)
    add("model, 8 steps, hints", with_model(sampler, 8, weights), args.seeds, hints=True)
    add("model, 8 steps, single strokes", with_model(sampler, 8, weights), args.seeds, on=by_one)
    for name, _, folder in (text.partition("=") for text in args.also):
        other = SketchUNet.from_pretrained(folder).float().eval().to(args.device)
        parts = SketchSampler(sampler.autoencoder, other, sampler.upscaler)
        add(f"{name}, 8 steps", with_model(parts, 8, weights), 1)
        add(f"{name}, 8 steps, single strokes", with_model(parts, 8, weights), 1, on=by_one)
    if args.regression.is_dir():
        unet = SketchUNet.from_pretrained(args.regression).float().eval().to(args.device)
        regression = Regression(unet, sampler.autoencoder)
        add("regression", regression, 1)
        add("regression, hints", regression, 1, hints=True)
    else:
        print(f"No row for the regression: {args.regression} does not exist (python -m demos.sketch.baselines).")
    nearest = Nearest(data)
    add("nearest training picture", nearest, 1)
    add("nearest training picture, single strokes", nearest, 1, on=by_one)
    rows["autoencoder"], shown["autoencoder"] = measure(task, again[None], classifier), again
    real = np.stack([training_pictures(data, task, seed) for seed in range(args.seeds)])
    rows["training pictures"] = measure(task, real, classifier)

    args.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"pictures": len(task.pictures), "seeds": args.seeds, "batch": args.batch, "weights": weights}
    facts |= {"autoencoder_psnr": quality, "torch_threads": torch.get_num_threads(), "device": args.device}
    args.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    write_sheet(task, shown, args.out.with_suffix(".png"))
    print(f"\n{table(rows)}\n")


if __name__ == "__main__":
    main()
