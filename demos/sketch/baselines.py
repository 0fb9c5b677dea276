"""What the Sketch model has to beat: regression in one pass, and the nearest training picture.

Regression is the model's own network, given zeros for noise at t = 1 and trained to say the latent at once. Squared
error makes it E[z | drawing, words, style]: the mean of all pictures that fit, hence grey and soft where they differ,
and the same whatever the seed. The nearest picture is crisp by nature and follows the lines only as far as the training
set happens to. Train the regression: `python -m demos.sketch.baselines --data DIR --minutes 70`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from demos.core.device import autocast
from demos.core.fit import Budget, fit
from demos.sketch.batches import Drawings, make_vocabulary, to_tensor
from demos.sketch.data import Pictograms, load_pictograms
from demos.sketch.networks import Autoencoder
from demos.sketch.simulate import edge_chains
from demos.sketch.unet import SketchUNet

__all__ = ["Generator", "Nearest", "Regression", "sketch_features", "train_regression"]

Generator = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""From drawings `(B, 5, 128, 128)` in [0, 1], words `(B, 12)`, styles `(B, 6)` and a seed to premultiplied pictures
`(B, 4, 128, 128)` in [-1, 1]."""

SIDE = 32


class Regression:
    """A `Generator` that ignores its seed."""

    def __init__(self, unet: SketchUNet, autoencoder: Autoencoder) -> None:
        self.unet, self.autoencoder = unet, autoencoder

    def latents(self, drawing: Tensor, words: Tensor, style: Tensor) -> Tensor:
        """Standardised latents `(B, Z, 16, 16)`."""
        zeros = drawing.new_zeros(len(drawing), self.unet.config["latent_channels"], 16, 16)
        t = drawing.new_ones(len(drawing))
        return self.unet(zeros, t, self.unet.encode_condition(drawing), words, style)

    @torch.inference_mode()
    def __call__(self, drawing: Tensor, words: Tensor, style: Tensor, seed: int) -> Tensor:
        """Pictures `(B, 4, 128, 128)` in [-1, 1]; `seed` changes nothing."""
        with autocast(drawing.device):
            return self.autoencoder.from_latent(self.latents(drawing, words, style))


def train_regression(
    data: Pictograms,
    autoencoder: Autoencoder,
    out: Path,
    budget: Budget,
    seed: int,
    device: str,
    batch: int = 32,
    init: Path | None = None,
) -> SketchUNet:
    """Train on the batches of the flow, with no condition left out; `out` gets the state and the log.

    Args:
        init: folder of the weights to begin with, such as those that the flow began with.
    """
    torch.manual_seed(seed)
    vocabulary = make_vocabulary(data)
    model = SketchUNet(vocabulary=vocabulary).to(device, memory_format=torch.channels_last)
    if init:
        model.load_state_dict(SketchUNet.from_pretrained(init).float().state_dict())
    drawings = Drawings(data, autoencoder, vocabulary, device)
    regression = Regression(model, autoencoder)

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        z, drawing, words, style = drawings.batch(batch, rng)
        return {"loss": (regression.latents(drawing, words, style).float() - z).square().mean()}

    ema: Any = fit(model, losses, out, budget=budget, lr=1e-3, seed=seed)
    return ema


def sketch_features(ink: np.ndarray) -> np.ndarray:
    """Ink `(S, S)` uint8 as a vector of length one: 32 px a side, blurred, without its mean.

    The product of two such vectors is the correlation of the blurred drawings, which forgives lines that are displaced
    by up to about the blur, 8 px at 128 px.
    """
    small = cv2.resize(ink, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    soft = np.sqrt(cv2.GaussianBlur(small, (0, 0), 1.5))
    soft -= soft.mean()
    return (soft / max(float(np.linalg.norm(soft)), 1e-6)).ravel()


class Nearest:
    """A `Generator` that answers with the training picture of the style whose lines correlate best with the drawing.

    Every training picture is compared at all scales of its traced lines (`edge_chains`), and the best counts. Words,
    colour hints and seed are ignored.
    """

    def __init__(self, data: Pictograms, train: Iterable[int] | None = None) -> None:
        features, index = [], []
        for i in data.split()[0] if train is None else train:
            for level in edge_chains(data.pixels[i]):
                ink = np.zeros(data.pixels.shape[1:3], np.uint8)
                cv2.polylines(ink, [np.rint(16 * chain).astype(np.int32) for chain in level], False, 255, 2, shift=4)
                features.append(sketch_features(ink))
                index.append(i)
        self.data, self.features, self.index = data, np.stack(features), np.array(index)
        self.style = data.style[self.index]

    def find(self, ink: np.ndarray, style: int) -> int:
        """Index of the picture nearest to ink `(S, S)` uint8."""
        rows = np.flatnonzero(self.style == style)
        return int(self.index[rows[np.argmax(self.features[rows] @ sketch_features(ink))]])

    def __call__(self, drawing: Tensor, words: Tensor, style: Tensor, seed: int) -> Tensor:
        """Training pictures `(B, 4, 128, 128)` in [-1, 1]; only lines and style count."""
        inks = (255 * drawing[:, 0]).round().byte().cpu().numpy()
        found = [self.find(ink, s) for ink, s in zip(inks, style.argmax(1).tolist(), strict=True)]
        return to_tensor(self.data.pixels[found]).to(drawing.device)


def main() -> None:
    """Train the regression and save it in half precision."""
    parser = argparse.ArgumentParser(description="Train the regression that the Sketch model is compared with.")
    parser.add_argument("--data", type=Path, required=True, help="folder with emoji.zip")
    parser.add_argument("--autoencoder", type=Path, default=Path("checkpoints/sketch/autoencoder"))
    parser.add_argument("--out", type=Path, default=Path(".runs/sketch/regression"))
    parser.add_argument("--minutes", type=float, default=70.0, help="as long as the flow and its student together")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--init", type=Path, help="begin with the weights in this folder")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_flush_denormal(True)
    data = load_pictograms(args.data / "emoji.zip")
    autoencoder = Autoencoder.from_pretrained(args.autoencoder).float().eval().requires_grad_(False)
    autoencoder.to(args.device, memory_format=torch.channels_last)
    budget = Budget(args.minutes, args.steps)
    model = train_regression(data, autoencoder, args.out, budget, args.seed, args.device, args.batch, args.init)
    model.half().save_pretrained(args.out / "weights")


if __name__ == "__main__":
    main()
