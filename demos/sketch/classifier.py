"""The Atelier pictogram classifier: style, group and concept of a picture; its features are what FID and KID compare.

A network trained on photographs has never seen flat shapes with transparency, and its 2,048 features are too many for
the 563 held-out pictures. Here the mean and the standard deviation of every channel at four depths of the network are
taken, standardised, and whitened to their 128 main components over the training pictures. The last layer alone would
not do: it serves to tell pictures apart, and hardly changes when they are blurred. Figures on these features compare
with each other, not with published FIDs. Train it: `python -m demos.sketch.classifier --data DIR --steps 600`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.fit import Budget, fit
from demos.core.network import ModelMixin, register_to_config
from demos.sketch.batches import in_parts, to_tensor
from demos.sketch.data import Pictograms, load_pictograms
from demos.sketch.simulate import augment

__all__ = ["GROUPS", "Classifier", "calibrate", "card", "features_of", "load_groups", "train_classifier"]

GROUPS = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
)

CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: image-classification
tags: [pictograms, rgba, frechet-distance]
---
# Atelier pictogram classifier

Names the style (6), the group (8) and the training concept of an RGBA pictogram of 128 px. Its {features} features
are what FID and KID of the Sketch tab compare (`python -m demos.sketch.evaluate --data DIR`): the mean and the standard
deviation of every channel at four depths, whitened over the training pictures. These figures compare with each other,
not with published FIDs, which rest on another network.

A small residual network with group normalisation, {parameters:.2f} M parameters, weights in fp16, input premultiplied
RGBA in [-1, 1].

| on the {pictures} pictures of the 100 held-out concepts | |
| --- | ---: |
| style named correctly | {style_accuracy:.1%} |
| group named correctly | {group_accuracy:.1%} |

Trained with `python -m demos.sketch.classifier --data DIR --steps {step}`, seed {seed}, batch 64, in {minutes:.0f}
minutes on a {device} ({threads} threads, bf16 autocast, shared with other work).

Data: 1,417 pictograms in six styles, of which 1,317 concepts were seen. Licences: Fluent Emoji (Microsoft) MIT, Noto
Emoji (Google) Apache-2.0, Twemoji (Twitter) CC-BY-4.0, EmojiTwo CC-BY-4.0. The weights are under Apache-2.0.

Limits: 1,317 concepts are few and {passes:.0f} passes over {train:,} pictures are short, so styles that look alike are
confused, and groups are guessed from colour and outline; the features see colour and rough shape better than meaning.
"""


class Block(nn.Module):
    """Residual block with normalisation first (He et al. 2016, arXiv:1603.05027)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(h)))


class Classifier(ModelMixin):
    """Small residual network, pooled by mean and maximum, on premultiplied RGBA `(B, 4, 128, 128)` in [-1, 1]."""

    @register_to_config
    def __init__(
        self,
        widths: tuple[int, int, int] = (48, 96, 192),
        features: int = 128,
        styles: int = 6,
        groups: int = 8,
        concepts: int = 1317,
    ) -> None:
        super().__init__()
        a, b, c = widths
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(64, a, 3, padding=1),
            Block(a),
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            Block(b),
            nn.Conv2d(b, c, 3, stride=2, padding=1),
            Block(c),
            nn.GroupNorm(8, c),
            nn.ReLU(),
        )
        self.project = nn.Linear(2 * c, features)
        self.register_buffer("mean", torch.zeros(2 * (a + b + 2 * c)))
        self.register_buffer("components", torch.zeros(2 * (a + b + 2 * c), features))
        self.style = nn.Linear(features, styles)
        self.group = nn.Linear(features, groups)
        self.concept = nn.Linear(features, concepts)

    def moments(self, x: Tensor) -> Tensor:
        """Mean and standard deviation over the picture of every channel after each block and at the end, `(B, M)`."""
        found = []
        for i, layer in enumerate(self.trunk):
            x = layer(x)
            if i in (2, 4, 6, 8):
                found += [x.mean((2, 3)), x.std((2, 3))]
        return torch.cat(found, 1)

    def features(self, x: Tensor) -> Tensor:
        """Whitened features `(B, features)`: mean 0 and covariance 1 over the training pictures, once calibrated."""
        return (self.moments(x) - self.mean) @ self.components

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the style `(B, styles)`, the group `(B, groups)` and the training concept `(B, concepts)`."""
        h = self.trunk(x)
        h = F.relu(self.project(torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1)))
        return self.style(h), self.group(h), self.concept(h)


def load_groups(archive: Path) -> np.ndarray:
    """Index into `GROUPS` of every concept, `(concepts,)` int, in the order of `load_pictograms`."""
    with zipfile.ZipFile(archive) as files:
        rows = csv.DictReader(io.TextIOWrapper(files.open("emoji/metadata.csv"), "utf-8"))
        return np.array([GROUPS.index(row["group"]) for row in rows])


def distort(rng: np.random.Generator, rgba: np.ndarray) -> np.ndarray:
    """A picture flipped, moved, turned, scaled and recoloured, `(S, S, 4)` uint8 premultiplied."""
    size = rgba.shape[0]
    moved = cv2.warpAffine(rgba, augment(rng, size), (size, size), flags=cv2.INTER_LINEAR).astype(np.float32)
    alpha = moved[..., 3:]
    if rng.random() < 0.5:
        mix = np.eye(3) * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03, (3, 3))
        moved[..., :3] = np.clip(moved[..., :3] @ mix.T + rng.normal(0, 0.02, 3) * alpha, 0, alpha)
    return np.rint(moved).astype(np.uint8)


@torch.inference_mode()
def accuracy(model: Classifier, data: Pictograms, groups: np.ndarray) -> dict[str, float]:
    """Part of the held-out pictures whose style and whose group the model names."""
    _, held = data.split()
    device = next(model.parameters()).device
    parts = [model(to_tensor(data.pixels[i]).to(device)) for i in in_parts(held, 64)]
    style, group = (torch.cat([p[k] for p in parts]).argmax(1).cpu().numpy() for k in (0, 1))
    return {
        "style_accuracy": round(float((style == data.style[held]).mean()), 4),
        "group_accuracy": round(float((group == groups[data.concept[held]]).mean()), 4),
    }


@torch.inference_mode()
def features_of(model: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Features `(N, D)` of premultiplied pictures `(N, 128, 128, 4)` uint8."""
    return _batched(model, model.features, pixels).cpu().numpy()


@torch.inference_mode()
def calibrate(model: Classifier, data: Pictograms, every: int = 3) -> None:
    """Set the mean and the principal components that whiten the features over each `every`-th training picture."""
    moments = _batched(model, model.moments, data.pixels[data.split()[0][::every]]).double()
    scale = moments.std(0) + 1e-6
    values, vectors = torch.linalg.eigh(torch.cov(((moments - moments.mean(0)) / scale).T))
    most = model.config["features"]
    values, vectors = values.flip(0)[:most].clamp_min(1e-2), vectors.flip(1)[:, :most]
    model.mean.copy_(moments.mean(0))
    model.components.copy_(vectors / scale[:, None] / values.sqrt())


def _batched(model: Classifier, function: Callable[[Tensor], Tensor], pixels: np.ndarray) -> Tensor:
    parts = in_parts(pixels, 64)
    return torch.cat([function(to_tensor(p).to(model.device)).float() for p in parts])


def train_classifier(
    data: Pictograms, groups: np.ndarray, out: Path, budget: Budget, seed: int, device: str, batch: int = 64
) -> Classifier:
    """Train on the training concepts and return the averaged model; `out` gets the state and the log.

    Args:
        groups: result of `load_groups`.
        batch: pictures a step.
    """
    torch.manual_seed(seed)
    train, _ = data.split()
    label = np.cumsum(~data.held_out) - 1
    model = Classifier(concepts=int(label[-1]) + 1)
    model.to(device, memory_format=torch.channels_last)

    def losses(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        pick = train[rng.integers(len(train), size=batch)]
        x = to_tensor(np.stack([distort(rng, data.pixels[i]) for i in pick])).to(device)
        logits = model(x.contiguous(memory_format=torch.channels_last))
        concept = data.concept[pick]
        terms = {
            name: F.cross_entropy(row.float(), torch.from_numpy(target).to(device), label_smoothing=0.05)
            for name, row, target in zip(
                ("style", "group", "concept"), logits, (data.style[pick], groups[concept], label[concept]), strict=True
            )
        }
        return {"loss": terms["style"] + terms["group"] + terms["concept"], **terms}

    def report(ema: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(ema, Classifier)
        return accuracy(ema, data, groups)

    ema = fit(model, losses, out, budget=budget, lr=2e-3, warmup=100, ema_decay=0.99, seed=seed, report=report)
    assert isinstance(ema, Classifier)
    calibrate(ema, data)
    return ema


def card(model: Classifier, data: Pictograms, scores: dict[str, float], run: Path, seed: int) -> str:
    """The model card, with the figures of a finished run."""
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    return CARD.format(
        features=model.config["features"],
        parameters=model.num_parameters() / 1e6,
        pictures=len(data.split()[1]),
        step=last["step"],
        train=len(data.split()[0]),
        passes=last["step"] * 64 / len(data.split()[0]),
        minutes=last["minutes"],
        seed=seed,
        device=model.device.type.upper(),
        threads=torch.get_num_threads(),
        **scores,
    )


def main() -> None:
    """Train, write the weights and their card, print the accuracy of the saved weights on the held-out pictures."""
    parser = argparse.ArgumentParser(description="Train the pictogram classifier.")
    parser.add_argument("--data", type=Path, required=True, help="folder with emoji.zip")
    parser.add_argument("--out", type=Path, default=Path("checkpoints/sketch_classifier"))
    parser.add_argument("--run", type=Path, default=Path(".runs/sketch/classifier"), help="state of the training")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    archive = args.data / "emoji.zip"
    data, groups = load_pictograms(archive), load_groups(archive)
    model = train_classifier(data, groups, args.run, Budget(args.minutes, args.steps), args.seed, args.device)
    model.half().save_pretrained(args.out)
    scores = accuracy(model.float(), data, groups)
    (args.out / "README.md").write_text(card(model, data, scores, args.run, args.seed), encoding="utf-8")
    print(scores)


if __name__ == "__main__":
    main()
