"""Detectors: densities of the encoder's features, the localiser, how both are weighed, and scores of normal pictures.

Each view of a picture, see `demos.anomaly.features`, has its own density. The mean of their energies and the logit of
the localiser are brought to one scale (0 is the median of normal positions, 1 their 99.5th percentile) and mixed to one
map; a picture's score is the mean of the map's highest values. The weight of the localiser and how many values count
are chosen on anomalies pasted into held-out pictures, of kinds that the localiser was not trained with, and never on
real ones. A detector is one safetensors file: its tensors and, as metadata, its settings in JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from demos.anomaly.calibration import auroc, bootstrap, p_values, threshold
from demos.anomaly.densities import DENSITIES
from demos.anomaly.features import VIEWS, Scale, Seen, rows_of
from demos.core.atomic import atomic
from demos.core.cancel import OnStep, report
from demos.core.checkpoint import read_header, verify

__all__ = ["About", "Detector", "Held", "fit_detector", "load_detector", "save_detector"]

MAX_FILE = 16 * 2**20
MAX_ABOUT = 4096
MAX_NAME = 80
MAX_CALIBRATION = 5000
MAX_FEATURES = 4096
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
COUNTS = (32, 8, 128)
ROWS = 250_000
SMOOTH = 1.5


@dataclass(frozen=True)
class About:
    """The settings of a detector, as its file has them.

    Attributes:
        name: what its maker called it.
        density: a key of `DENSITIES`.
        encoder: fingerprint of the encoder whose features it knows.
        features: channels of these features.
        factor, area: see `Scale`.
        weight: share of the localiser in the map, in [0, 1].
        count: how many of the highest values of the map (one for every second pixel) make the score.
        pictures: how many normal pictures it was fitted on.
        calibration: how many held-out normal scores it has.
        folds: folds of the cross-validation that gave these scores; 1 if the pictures were kept out of all fitting.
        separation: AUROC of pasted anomalies against held-out pictures, or -1 if not measured.
    """

    name: str
    density: str
    encoder: str
    features: int
    factor: float
    area: float
    weight: float
    count: int
    pictures: int
    calibration: int
    folds: int
    separation: float

    def checked(self) -> About:
        """Itself.

        Raises:
            ValueError: a setting of another type or out of its range.
        """
        kinds = {"str": str, "int": int, "float": (int, float)}
        numbers = [v for v in asdict(self).values() if not isinstance(v, str)]
        right = (
            all(isinstance(getattr(self, f.name), kinds[str(f.type)]) for f in fields(self))
            and not any(isinstance(v, bool) or not math.isfinite(v) for v in numbers)
            and self.density in DENSITIES
            and len(self.name) <= MAX_NAME
            and len(self.encoder) <= MAX_NAME
            and 1 <= self.features <= MAX_FEATURES
            and 1e-3 <= self.factor <= 1
            and 64 <= self.area <= 2**24
            and 0 <= self.weight <= 1
            and 1 <= self.count <= 4096
            and 1 <= self.calibration <= MAX_CALIBRATION
        )
        if not right:
            raise ValueError("This detector file has settings that make no sense.")
        return self


class Detector(nn.Module):
    """What is normal, fitted; `about` says the rest."""

    levels: Tensor
    calibration: Tensor

    def __init__(self, about: About) -> None:
        super().__init__()
        self.about = about
        self.densities = nn.ModuleList([DENSITIES[about.density](about.features) for _ in range(VIEWS)])
        self.register_buffer("levels", torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
        self.register_buffer("calibration", torch.zeros(about.calibration))
        self.requires_grad_(False)

    @property
    def scale(self) -> Scale:
        """How it reduces pictures."""
        return Scale(self.about.factor, self.about.area)

    def heat(self, seen: Seen) -> np.ndarray:
        """Heat map `(H / 2, W / 2)` float32: 0 is the median of normal positions, 1 their 99.5th percentile."""
        return _heat(_energy(self.densities, seen), seen, self.levels, self.about.weight)

    def score(self, heat: np.ndarray) -> float:
        """The mean of the map's `count` highest values."""
        return _top(heat, self.about.count)

    def p_value(self, score: float) -> float:
        """See `demos.anomaly.calibration`."""
        return float(p_values(np.array([score]), self.calibration.numpy())[0])

    def threshold(self, rate: float) -> tuple[float, float]:
        """The threshold for a rate of false alarms, and the rate that is guaranteed."""
        return threshold(self.calibration.numpy(), rate)


@dataclass(frozen=True)
class Held:
    """A normal picture, and pasted copies of it that are anomalous."""

    normal: Seen
    pasted: tuple[Seen, ...] = ()


def _energy(densities: Iterable[Any], seen: Seen) -> Tensor:
    """The mean energy `(h, w)` over the views, at the first one's positions."""
    maps = [density.energy(view.features, view.code) for density, view in zip(densities, seen.views, strict=True)]
    return torch.cat([F.interpolate(m[None, None], size=maps[0].shape, mode="bilinear")[0] for m in maps]).mean(0)


def _heat(energy: Tensor, seen: Seen, levels: Tensor, weight: float) -> np.ndarray:
    h, w = seen.logits.shape
    size = (energy.shape[0] * 4, energy.shape[1] * 4)
    fine = F.interpolate(energy[None, None], size=size, mode="bilinear")[0, 0, :h, :w]
    parts = [
        ((m - low) / (high - low)).clamp(-2, 1e4) for m, (low, high) in zip((fine, seen.logits), levels, strict=True)
    ]
    mixed = (1 - weight) * parts[0] + weight * parts[1]
    return cv2.GaussianBlur(mixed.numpy(), (0, 0), SMOOTH)


def _top(heat: np.ndarray, count: int) -> float:
    flat = heat.ravel()
    count = min(count, flat.size)
    return float(np.partition(flat, flat.size - count)[-count:].mean())


def _levels(maps: list[Tensor]) -> Tensor:
    """Median and 99.5th percentile of maps of normal pictures, `(2,)`, never equal."""
    values = torch.cat([m.flatten()[:: 1 + m.numel() // 4096] for m in maps])
    low, high = torch.quantile(values[:: 1 + len(values) // 2**20], torch.tensor([0.5, 0.995]))
    return torch.stack([low, torch.maximum(high, low + 1e-3 * (1 + low.abs()))])


def fit_detector(
    held: list[Held], density: str, name: str, scale: Scale, encoder: str, *,
    training: list[Seen] | None = None, folds: int = 4, seed: int = 0, on_step: OnStep | None = None,
) -> Detector:  # fmt: skip
    """Fit a density to normal pictures and calibrate it on pictures that it did not see.

    Args:
        held: the pictures that calibrate, with pasted copies of some of them to choose the weight of the localiser by.
        density: a key of `DENSITIES`.
        name: what to call the detector.
        scale: how the pictures were reduced.
        encoder: fingerprint of the encoder.
        training: other pictures, thinned or not, to fit the density to; without them, `held` serves by
            cross-validation in `folds` parts, and in the end all of it.
        folds: at least 2; no more than there are pictures.
        seed: of all that is random.
        on_step: told of the progress; may raise `Cancelled`.

    Raises:
        ValueError: an unknown density, or fewer than two pictures.
    """
    if density not in DENSITIES:
        raise ValueError(f"There is no density “{density[:40]}”; the densities are {', '.join(DENSITIES)}.")
    if len(held) < 2:
        raise ValueError("At least two normal pictures are needed.")
    features, generator = held[0].normal.views[0].features.shape[0], torch.Generator().manual_seed(seed)
    parts = 1 if training is not None else min(folds, len(held))
    order = torch.randperm(len(held), generator=generator).tolist()
    fits = 1 if training is not None else parts + 1

    def fitted(seen: list[Seen], index: int) -> nn.ModuleList:
        rng, models = torch.Generator().manual_seed(seed + index), nn.ModuleList()

        def inner(i: int, n: int, preview: Any) -> None:
            report(on_step, round(1000 * (index + (len(models) + i / n) / VIEWS)), 1000 * fits)

        for views in zip(*(s.views for s in seen), strict=True):
            model: Any = DENSITIES[density](features)
            model.fit(*rows_of(list(views), ROWS, rng), rng, inner, effort=1 if training is None else 4)
            models.append(model)
        return models.eval().requires_grad_(False)

    normal: dict[int, tuple[Tensor, Seen]] = {}
    pasted: list[tuple[Tensor, Seen]] = []
    models = nn.ModuleList()
    for part in range(parts):
        out = set(order[part::parts])
        seen = training if training is not None else [h.normal for i, h in enumerate(held) if i not in out]
        models = fitted(seen, part)
        for i in sorted(out):
            normal[i], *others = [(_energy(models, s), s) for s in (held[i].normal, *held[i].pasted)]
            pasted += others
    if training is None:
        models = fitted([h.normal for h in held], parts)
    pairs = [normal[i] for i in range(len(held))]
    levels = torch.stack([_levels([e for e, _ in pairs]), _levels([s.logits for _, s in pairs])])
    weight, count, separation = _choose(pairs, pasted, levels)
    scores = [_top(_heat(e, s, levels, weight), count) for e, s in pairs][:MAX_CALIBRATION]
    about = About(
        name=name[:MAX_NAME], density=density, encoder=encoder, features=features, factor=scale.factor,
        area=scale.area, weight=weight, count=count, pictures=len(training or held), calibration=len(scores),
        folds=parts, separation=separation,
    )  # fmt: skip
    detector = Detector(about.checked())
    detector.densities = models
    detector.levels.copy_(levels)
    detector.calibration.copy_(torch.tensor(scores))
    return detector.eval()


def _choose(
    normal: list[tuple[Tensor, Seen]], pasted: list[tuple[Tensor, Seen]], levels: Tensor
) -> tuple[float, int, float]:
    """The localiser's weight, the count, and their AUROC of pasted against held-out pictures.

    The smallest weight that is within one standard error of the best (Breiman et al. 1984), with its best count.
    """
    if not pasted:
        return WEIGHTS[len(WEIGHTS) // 2], COUNTS[0], -1.0
    found = []
    for weight in WEIGHTS:
        maps = [[_heat(e, s, levels, weight) for e, s in group] for group in (normal, pasted)]
        scores = [[np.array([_top(m, count) for m in group]) for group in maps] for count in COUNTS]
        values = [auroc(a, b) for a, b in scores]
        at = int(np.argmax(values))
        found.append((values[at], weight, COUNTS[at], scores[at]))
    best, _, _, (a, b) = max(found, key=lambda f: f[0])
    low, high = bootstrap(a, b, np.random.default_rng(0))
    value, weight, count, _ = next(f for f in found if f[0] >= best - (high - low) / 3.92)
    return weight, count, value


def save_detector(detector: Detector, path: Path) -> Path:
    """Write the detector as one safetensors file; it appears complete or not at all."""
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in detector.state_dict().items()}
    with atomic(path) as part:
        save_file(tensors, part, metadata={"atelier_detector": json.dumps(asdict(detector.about), sort_keys=True)})
    return path


def load_detector(path: Path, encoder: str | None = None) -> Detector:
    """Read a detector's file, checking everything before a number of it is used.

    Args:
        path: the file.
        encoder: fingerprint that it must have; None accepts any.

    Raises:
        ValueError: too large, not safetensors, damaged, not a detector, of another encoder, or with tensors that are
            missing, superfluous, of another shape or not finite.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        raise ValueError("This detector file could not be found; please choose it again.") from None
    if size > MAX_FILE:
        raise ValueError(f"This file is larger than {MAX_FILE // 2**20} MB; a detector is smaller.")
    read_header(path)
    about = _read_about(path)
    if encoder is not None and about.encoder != encoder:
        raise ValueError("This detector was fitted with another version of the encoder; please fit it again.")
    detector = Detector(about)
    try:
        verify([path], detector)
    except ValueError:
        raise ValueError("This detector file does not hold what a detector of its kind holds.") from None
    state = load_file(path)
    if not all(torch.isfinite(tensor.float()).all() for tensor in state.values()):
        raise ValueError("This detector file holds numbers that are not finite.")
    for name, tensor in detector.state_dict().items():
        if not tensor.is_floating_point() and not torch.equal(state[name].sort()[0], tensor.sort()[0]):
            raise ValueError("This detector file holds an order that is none.")
    if (state["levels"][:, 1] <= state["levels"][:, 0]).any():
        raise ValueError("This detector file has settings that make no sense.")
    detector.load_state_dict(state)
    return detector.eval()


def _read_about(path: Path) -> About:
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("atelier_detector", "")
        if not 2 <= len(text) <= MAX_ABOUT:
            raise ValueError
        about = About(**json.loads(text))
    except Exception:
        raise ValueError("This safetensors file is not a detector of this app.") from None
    return about.checked()
