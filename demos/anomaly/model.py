"""The Anomaly tab's wrapper: pictures in, scores, maps and regions out; no tensors outside, no Gradio inside.

A detector is the name of a shipped one, a detector's file, or what `fit` gave. Everything that a caller may set is
checked here, because the page and the API reach the same functions.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demos.anomaly.densities import DENSITIES
from demos.anomaly.detectors import Detector, Held, fit_detector, load_detector
from demos.anomaly.features import Scale, Seen, collate, look, open_rgb, thin
from demos.anomaly.networks import STRIDE, Inspector, TileField
from demos.anomaly.paste import UNSEEN, paste
from demos.anomaly.results import Fitted, Inspection, Region, Row, regions_of
from demos.core.cancel import OnStep, report
from demos.core.checkpoint import find, load_network
from demos.core.device import Lane, autocast, pick_device, set_threads
from demos.core.limits import number_in
from demos.core.media import Picture
from demos.core.seed import normalise_seed, seeds_from
from demos.families.score import euler, schedule

__all__ = ["LIMITS", "AnomalyModel", "Fitted", "Inspection", "Region", "Row", "fingerprint"]

Which: TypeAlias = "str | os.PathLike[str] | Detector"
SHIPPED = "magnetic_tile"
LIMITS = {
    "pictures": (10, 5000),
    "count": (1, 16),
    "steps": (1, 50),
    "side": (64, 384),
    "false_alarm_rate": (0.001, 0.5),
}
HELD, PASTED, THIN = 256, 48, 200
SHIFT = 2.0


def fingerprint(network: Inspector) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the encoder's weights: detectors are bound to their encoder."""
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(name.encode() + weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


class AnomalyModel:
    """Loads once, answers one caller at a time."""

    def __init__(
        self, inspector: Inspector, field: TileField | None, detectors: dict[str, Detector], device: torch.device
    ) -> None:
        self.inspector, self.field, self.detectors, self.device = inspector, field, detectors, device
        self.fingerprint = fingerprint(inspector)
        self.lane, self.fitting = Lane(), Lane()

    @classmethod
    def load(cls, checkpoint: str | Path = "anomaly", device: str | None = None) -> AnomalyModel:
        """Read a checkpoint folder; nothing is downloaded.

        Raises:
            ValueError: the folder is missing, damaged, or holds something else.
        """
        folder = find(checkpoint)
        parts: list[Any] = []
        where = pick_device(device)
        for name, kind in (("inspector", Inspector), ("normal", TileField)):
            network: Any = load_network(kind, folder / name)
            parts.append(network.to(where, memory_format=torch.channels_last))
        if where.type == "cpu":
            set_threads()
        print_of = fingerprint(parts[0])
        files = sorted((folder / "detectors").glob("*.safetensors"))
        return cls(parts[0], parts[1], {file.stem: load_detector(file, print_of) for file in files}, where)

    def detector(self, which: Which = SHIPPED) -> Detector:
        """The detector of that name, or in that file.

        A path is trusted: pass only those that Gradio has already checked, never text that a visitor typed.

        Raises:
            ValueError: there is none, or its file is refused (see `load_detector`).
        """
        if isinstance(which, Detector):
            if which.about.encoder != self.fingerprint:
                raise ValueError("This detector was fitted with another version of the encoder; please fit it again.")
            return which
        if isinstance(which, str) and which in self.detectors:
            return self.detectors[which]
        return load_detector(Path(which), self.fingerprint)

    def inspect(self, image: Picture, detector: Which = SHIPPED, *, false_alarm_rate: float = 0.05) -> Inspection:
        """Score one picture and say where it is unusual.

        Raises:
            ValueError: the picture or the detector can't be read, or a rate outside 0.001 to 0.5.
        """
        rate = number_in(LIMITS, "false_alarm_rate", false_alarm_rate)
        picture, judge = open_rgb(image), self.detector(detector)
        heat, score = self._score(picture, judge)
        threshold, kept = judge.threshold(rate)
        large = cv2.resize(heat, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
        regions = regions_of(large, threshold) if score > threshold else []
        return Inspection(picture, large, score, judge.p_value(score), threshold, kept, regions)

    def score_many(
        self, images: Iterable[tuple[str, Picture]], detector: Which = SHIPPED, *, false_alarm_rate: float = 0.05
    ) -> Iterator[Row]:
        """Score named pictures as they come; one that can't be read becomes a row with its error.

        Raises:
            ValueError: at the first row: the detector can't be read, or the rate is out of range.
        """
        rate = number_in(LIMITS, "false_alarm_rate", false_alarm_rate)
        judge = self.detector(detector)
        limit, _ = judge.threshold(rate)
        for name, image in images:
            try:
                heat, score = self._score(open_rgb(image), judge)
            except ValueError as error:
                yield Row(name, error=str(error))
                continue
            yield Row(name, score, judge.p_value(score), score > limit, heat=heat.astype(np.float16))

    def fit(
        self,
        images: Sequence[Picture],
        name: str = "own",
        seed: int | None = 0,
        *,
        density: str = "gaussian",
        on_step: OnStep | None = None,
    ) -> Fitted:
        """Learn what is normal from 10 to 5,000 normal pictures.

        Up to 256 pictures calibrate the detector by cross-validation; of more, 256 only calibrate and the others only
        train. Anomalies pasted into up to 48 of them choose the localiser's weight.

        Args:
            images: normal pictures of any size, grey or colour; unreadable ones are left out and named in the result.
            name: what to call it.
            seed: of all that is random; None or negative draws one.
            density: a key of `DENSITIES`.
            on_step: called as `on_step(i, n, None)`; may raise `Cancelled`.

        Raises:
            ValueError: too few or too many pictures, or no such density.
        """
        if density not in DENSITIES:
            raise ValueError(f"There is no density “{str(density)[:40]}”; choose {', '.join(DENSITIES)}.")
        low, high = LIMITS["pictures"]
        if not low <= len(images) <= high:
            raise ValueError(f"A detector needs {low} to {high:,} normal pictures; these are {len(images):,}.")
        start, seed = time.monotonic(), normalise_seed(seed)
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        sizes, skipped = _sizes(images)
        if len(sizes) < low:
            reason = next(iter(skipped.values()))
            raise ValueError(f"Only {len(sizes)} of these pictures can be used, and {low} are needed. {reason}")
        scale = Scale.of(list(sizes.values()))
        order = rng.permutation(list(sizes)).tolist()
        held_out, training = sorted(order[:HELD]), sorted(order[HELD:])
        total = len(sizes)
        held: list[Held] = []
        kinds, before = list(UNSEEN), None
        for i in held_out:
            pixels = scale.apply(open_rgb(images[i]))
            pasted: tuple[Seen, ...] = ()
            if before is not None and len(held) <= PASTED:
                kind = kinds[len(held) % len(kinds)]
                pasted = (self._look(paste(rng, pixels, before, kind, 0.7)[0]),)
            held.append(Held(self._look(pixels), pasted))
            before = pixels
            report(on_step, 500 * len(held) // total, 1000)
        seen = []
        for i in training:
            seen.append(thin(self._look(scale.apply(open_rgb(images[i]))), THIN, generator))
            report(on_step, 500 * (len(held) + len(seen)) // total, 1000)
        with self.fitting.hold():
            made = fit_detector(
                held, density, str(name).strip() or "own", scale, self.fingerprint, training=seen or None, seed=seed,
                on_step=lambda i, n, preview: report(on_step, 500 + 500 * i // n, 1000),
            )  # fmt: skip
        scores = dict(zip(held_out, made.calibration.tolist(), strict=True))
        return Fitted(made, scores, skipped, time.monotonic() - start)

    def sample_normal(
        self, seed: int | None = 0, *, count: int = 1, height: int = 272, width: int = 224, steps: int = 24,
        on_step: OnStep | None = None,
    ) -> list[Image.Image]:  # fmt: skip
        """Draw normal tiles: grey pictures at the resolution of the photographs that the model learned from.

        Args:
            seed: of the first picture; picture `i` has `seed + i`.
            count: 1 to 16.
            height, width: 64 to 384, rounded to multiples of 16, in pixels as the detector sees them.
            steps: solver steps, 1 to 50.
            on_step: called as `on_step(i, n, preview)`; the preview makes a list of pictures. May raise `Cancelled`.

        Raises:
            ValueError: a setting out of range, or no generative model.
        """
        count, steps = int(number_in(LIMITS, "count", count)), int(number_in(LIMITS, "steps", steps))
        height, width = (round(number_in(LIMITS, "side", side) / STRIDE) * STRIDE for side in (height, width))
        factor = 1 / self.detector().about.factor if SHIPPED in self.detectors else 1.0
        size = (round(width * factor), round(height * factor))
        noise = torch.cat([_noise(s, height, width) for s in seeds_from(seed, count)]).to(self.device)

        def shown(x: Tensor) -> list[Image.Image]:
            return [Image.fromarray(p).resize(size, Image.Resampling.BICUBIC) for p in _to_grey(x)]

        with self.lane.hold():
            x = self._flow(noise, torch.ones_like(noise), steps, on_step=_previews(on_step, shown))
        return shown(x)

    def erase(
        self, image: Picture, mask: np.ndarray | None = None, seed: int | None = 0, *, steps: int = 24,
        on_step: OnStep | None = None,
    ) -> Image.Image:  # fmt: skip
        """A tile as the model would have it without its defect: drawn anew where marked, kept elsewhere.

        Args:
            image: a picture of a magnetic tile.
            mask: `(H, W)` of any size, above 0 where to draw anew; None for what `inspect` finds suspicious.
            seed: of the new part.
            steps: solver steps, 1 to 50.
            on_step: called as `on_step(i, n, preview)`; may raise `Cancelled`.

        Returns:
            RGB, of the size of `Inspection.picture`; outside of the mask and a soft border its pixels are unchanged.

        Raises:
            ValueError: nothing is marked or suspicious, bad input, or no generative model.
        """
        steps, seed = int(number_in(LIMITS, "steps", steps)), normalise_seed(seed)
        picture, scale = open_rgb(image), self.detector().scale
        if mask is None:
            found = self.inspect(image)
            mask = (found.heat > found.threshold).astype(np.float32) * found.anomalous
        marked = np.asarray(mask)
        if marked.ndim != 2 or not marked.size or not np.isfinite(marked).all() or marked.max() <= 0:
            raise ValueError("Mark the part of the picture that is to be drawn anew.")
        small = scale.apply(picture)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        rough = cv2.resize((marked > 0).astype(np.float32), grey.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.05
        area = cv2.dilate(rough.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
        soft = cv2.GaussianBlur(area.astype(np.float32), (0, 0), 1.5)

        def shown(x: Tensor) -> Image.Image:
            new = _to_grey(x)[0, : grey.shape[0], : grey.shape[1]].astype(np.float32)
            change = (new - grey) * soft
            large = cv2.resize(change, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
            return Image.fromarray((picture + large).round().clip(0, 255).astype(np.uint8))

        x, valid = (t.to(self.device) for t in collate([grey]))
        data = x[:, :1]
        inside = torch.zeros_like(valid)
        inside[0, 0, : grey.shape[0], : grey.shape[1]] = torch.from_numpy(area.astype(np.float32))
        noise = _noise(seed, *data.shape[2:]).to(self.device)

        def keep(x: Tensor, t: float) -> Tensor:
            return inside * x + (1 - inside) * ((1 - t) * data + t * noise)

        with self.lane.hold():
            return shown(self._flow(noise, valid, steps, project=keep, on_step=_previews(on_step, shown)))

    def _flow(self, x: Tensor, mask: Tensor, steps: int, **options: Any) -> Tensor:
        field = self.field
        if field is None:
            raise ValueError("This checkpoint has no generative model of normal pictures.")
        with torch.inference_mode(), autocast(self.device):
            return euler(lambda x, t, step: field(x, t, mask).float(), x, schedule(steps, shift=SHIFT), **options)

    def _look(self, pixels: np.ndarray) -> Seen:
        with self.lane.hold():
            return look(self.inspector, pixels)

    def _score(self, picture: np.ndarray, judge: Detector) -> tuple[np.ndarray, float]:
        """Heat map at half the working size, and the score."""
        seen = self._look(judge.scale.apply(picture))
        heat = judge.heat(seen)
        return heat, judge.score(heat)


def _sizes(images: Sequence[Picture]) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
    """Sizes `(H, W)` of the pictures that can be read, and what is wrong with the others, by index."""
    sizes, skipped = {}, {}
    for i, image in enumerate(images):
        try:
            sizes[i] = open_rgb(image).shape[:2]
        except ValueError as error:
            skipped[i] = str(error)
    return sizes, skipped


def _noise(seed: int, height: int, width: int) -> Tensor:
    return torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


def _to_grey(x: Tensor) -> np.ndarray:
    """`(B, 1, H, W)` in [-1, 1] to `(B, H, W)` uint8."""
    return (127.5 * (x[:, 0].float().clamp(-1, 1) + 1)).round().byte().cpu().numpy()


def _previews(on_step: OnStep | None, shown: Any) -> Any:
    return lambda i, n, estimate: report(on_step, i, n, lambda: shown(estimate))
