"""The Sketch tab's wrapper: a drawing in, pictures out; no tensors outside, no Gradio inside.

A drawing (strokes or a picture of one), words and a style condition a latent flow; see `demos.sketch.unet`. Everything
that a caller may set is checked here, because the page and the API reach the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demos.core.cancel import OnStep, report
from demos.core.checkpoint import find, load_network
from demos.core.device import Lane, autocast, pick_device, precast, set_threads
from demos.core.limits import number_in
from demos.core.seed import normalise_seed, seeds_from
from demos.core.strokes import Drawing, rasterise, split_picture
from demos.sketch.data import STYLES, condition, words_of
from demos.sketch.sampler import PARTS, TYPICAL_LINES, TYPICAL_TEXT, SketchSampler

__all__ = ["LIMITS", "Pictures", "Settings", "SketchModel"]

SIDE = 128
WORDS = 12
LIMITS = {"count": (1, 16), "steps": (1, 50), "guidance": (0.0, 4.0), "faithfulness": (0.0, 2.0)}
LONGEST_PROMPT = 2_000
Sketch = Drawing | Image.Image | str | Mapping[str, Any] | None


@dataclass(frozen=True)
class Settings:
    """What shapes a picture besides the drawing.

    Attributes:
        prompt: words; those that the model does not know are ignored and named in the result.
        style: a style's name, or weights of several: `{"noto": 1, "fluent_3d": 3}` or "noto:1, fluent_3d:3".
        steps: solver steps, 1 to 50: up to 3 for a draft that the distilled network draws or ends, 8 for a picture.
        guidance: weight of the words, 0 to 4.
        faithfulness: how closely to follow the lines, 0 to 2.
        seed: of the first picture; picture `i` has `seed + i`. None or negative draws one.
        quick: whether the distilled network draws alone, one evaluation a step, and between those of longer jobs.
    """

    prompt: str = ""
    style: str | Mapping[str, float] = "fluent_3d"
    steps: int = 8
    guidance: float = TYPICAL_TEXT
    faithfulness: float = 1.0
    seed: int | None = 0
    quick: bool = False


@dataclass(frozen=True)
class Pictures:
    """Results of one call: RGBA pictures, their seeds and latents `(n, Z, 16, 16)`, and the words that were ignored."""

    pictures: list[Image.Image]
    seeds: list[int]
    latents: np.ndarray
    ignored: tuple[str, ...] = ()
    steps: list[Image.Image] = field(default_factory=list)


def _blend(text: str) -> dict[str, float]:
    """Weights written as "noto" or "fluent_3d:2, noto:1"."""
    weights = {}
    for part in text.split(","):
        name, _, weight = part.partition(":")
        try:
            weights[name.strip()] = float(weight or 1)
        except ValueError:
            raise ValueError("A blend of styles is written like “fluent_3d:2, noto:1”.") from None
    return weights


def to_pictures(x: Tensor) -> list[Image.Image]:
    """Premultiplied `(B, 4, H, W)` in [-1, 1] to straight RGBA pictures."""
    x = (x.float().clamp(-1, 1) + 1) / 2
    alpha = ((x[:, 3:] - 0.02) / 0.96).clamp(0, 1)
    rgb = torch.where(alpha > 0, x[:, :3] / x[:, 3:].clamp_min(1e-3), 0).clamp(0, 1)
    pixels = (255 * torch.cat([rgb, alpha], 1)).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(p, "RGBA") for p in pixels]


class SketchModel:
    """Loads once, answers one caller at a time; one who wants it quick goes between the evaluations of another."""

    def __init__(self, sampler: SketchSampler, device: torch.device) -> None:
        self.sampler = sampler
        self.device = device
        self.lane = Lane()
        self.words = sampler.unet.index

    @classmethod
    def load(cls, checkpoint: str | Path = "sketch", device: str | None = None) -> SketchModel:
        """Read a checkpoint folder; nothing is downloaded.

        Raises:
            ValueError: the folder is missing, damaged, or holds something else.
        """
        folder, where = find(checkpoint), pick_device(device)
        parts: dict[str, Any] = {
            name: precast(load_network(kind, folder / name).to(where, memory_format=torch.channels_last), where)
            for name, kind in PARTS.items()
        }
        if where.type == "cpu":
            set_threads()
        return cls(SketchSampler(**parts), where)

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles."""
        return STYLES

    def known_words(self, prompt: str) -> tuple[list[int], tuple[str, ...]]:
        """Indices of the words that the model knows (plural or singular), and the words that it does not.

        Raises:
            ValueError: no text, or more than 2,000 characters.
        """
        if not isinstance(prompt, str):
            raise ValueError("The words must be a text.")
        if len(prompt) > LONGEST_PROMPT:
            raise ValueError(f"The words are limited to {LONGEST_PROMPT:,} characters; this text has {len(prompt):,}.")
        known, ignored = [], []
        for word in words_of(prompt):
            forms = (word, word.removesuffix("s"), word.removesuffix("es"), word + "s")
            index = next((self.words[f] for f in forms if f in self.words), None)
            known.append(index) if index else ignored.append(word)
        return known[:WORDS], tuple(ignored)

    def draw(
        self,
        sketch: Sketch,
        settings: Settings | None = None,
        *,
        count: int = 1,
        size: int = 256,
        on_step: OnStep | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Pictures:
        """Pictures of a drawing.

        Args:
            sketch: strokes (`Drawing`, their JSON) or a picture of a drawing; None or empty to go by words alone.
            count: how many, 1 to 16.
            size: side of the pictures in pixels: 128, 256 or 512 (by the upscaler).
            on_step: called as `on_step(i, n, preview)`; the preview makes a list of small pictures. May raise
                `Cancelled`.
            check: called between the evaluations of a network, for who is not told of whole steps soon enough. May
                raise `Cancelled`.

        Raises:
            ValueError: nothing was drawn or said, or a setting is out of range.
        """
        job = self._job(sketch, settings or Settings(), count, check)
        with self.lane.hold(urgent=job.quick), autocast(self.device):
            latents = self._sample(job, self.sampler.noise(job.seeds), on_step)
            return self._finish(job, latents, size)

    def more_like(
        self, latent: np.ndarray, sketch: Sketch, settings: Settings | None = None, *, strength: float = 0.6,
        count: int = 4, size: int = 256, on_step: OnStep | None = None,
    ) -> Pictures:  # fmt: skip
        """Variations of one picture: its latent `(Z, 16, 16)` is noised to time `strength` and drawn again."""
        if not 0.05 <= strength <= 1:
            raise ValueError("“strength” must be a number from 0.05 to 1.")
        job = self._job(sketch, settings or Settings(), count)
        with self.lane.hold(), autocast(self.device):
            noise = self.sampler.noise(job.seeds)
            z = torch.from_numpy(latent).to(noise).expand_as(noise)
            latents = self._sample(job, (1 - strength) * z + strength * noise, on_step, start=strength)
            return self._finish(job, latents, size)

    def between(
        self,
        sketch: Sketch,
        settings: Settings | None = None,
        *,
        seeds: tuple[int, int],
        frames: int = 9,
        size: int = 256,
    ) -> Pictures:
        """Pictures on the way from one seed to another: the noise turns from the first to the second on a circle."""
        if not 2 <= frames <= 16:
            raise ValueError("“frames” must be a whole number from 2 to 16.")
        job = self._job(sketch, settings or Settings(), frames)
        with self.lane.hold(), autocast(self.device):
            a, b = self.sampler.noise([normalise_seed(seed) for seed in seeds]).split(1)
            angle = torch.linspace(0, math.pi / 2, frames, device=self.device).view(-1, 1, 1, 1)
            latents = self._sample(job, angle.cos() * a + angle.sin() * b, None)
            return self._finish(job, latents, size)

    def repaint(
        self, latent: np.ndarray, mask: np.ndarray, sketch: Sketch, settings: Settings | None = None, *,
        count: int = 1, size: int = 256, on_step: OnStep | None = None,
    ) -> Pictures:  # fmt: skip
        """Draw again only where `mask` `(H, W)` in [0, 1] is set; the rest of the picture stays (arXiv:2201.09865)."""
        if not np.isfinite(mask).all() or mask.max(initial=0) <= 0:
            raise ValueError("Brush over the part of the picture that is to be painted again.")
        job = self._job(sketch, settings or Settings(), count)
        with self.lane.hold(), autocast(self.device):
            noise = self.sampler.noise(job.seeds)
            z = torch.from_numpy(latent).to(noise).expand_as(noise)
            soft = torch.from_numpy(mask.astype(np.float32))[None, None].to(self.device)
            coarse = torch.nn.functional.adaptive_max_pool2d(soft, 16)

            def keep(x: Tensor, t: float) -> Tensor:
                return coarse * x + (1 - coarse) * ((1 - t) * z + t * noise)

            latents = self._sample(job, noise, on_step, project=keep)
            return self._finish(job, latents, size)

    def _job(self, sketch: Sketch, settings: Settings, count: int, check: Callable[[], None] = lambda: None) -> _Job:
        def between() -> None:
            if not settings.quick:
                self.lane.give_way()
            check()

        count = int(number_in(LIMITS, "count", count))
        words, ignored = self.known_words(settings.prompt)
        drawing = self._drawing(sketch)
        if drawing is None and not words:
            hint = " None of these words is known: " + ", ".join(ignored[:8]) + "." if ignored else ""
            raise ValueError("Draw something, or name it in words, and a picture follows." + hint)
        if drawing is None:
            drawing = np.zeros((5, SIDE, SIDE), np.uint8)
        tokens = torch.tensor([words + [0] * (WORDS - len(words))], device=self.device)
        return _Job(
            drawing=(torch.from_numpy(drawing)[None].to(self.device).float() / 255).expand(count, -1, -1, -1),
            words=tokens.expand(count, -1),
            style=self._style(settings.style).to(self.device).expand(count, -1),
            steps=int(number_in(LIMITS, "steps", settings.steps)),
            lines=TYPICAL_LINES * number_in(LIMITS, "faithfulness", settings.faithfulness),
            text=number_in(LIMITS, "guidance", settings.guidance),
            seeds=seeds_from(settings.seed, count),
            ignored=ignored,
            quick=settings.quick,
            check=between,
        )

    def _drawing(self, sketch: Sketch) -> np.ndarray | None:
        """`(5, 128, 128)` uint8, or None if nothing is drawn."""
        if sketch is None or (isinstance(sketch, str) and not sketch.strip()):
            return None
        if isinstance(sketch, Image.Image):
            pair = split_picture(sketch, SIDE)
        else:
            pair = rasterise(sketch if isinstance(sketch, Drawing) else Drawing.from_json(sketch), SIDE)
        drawing = condition(*pair)
        return drawing if drawing[[0, 4]].any() else None

    def _style(self, style: str | Mapping[str, float]) -> Tensor:
        if not isinstance(style, (str, Mapping)):
            raise ValueError(f"Choose a style: {', '.join(STYLES)}.")
        weights = _blend(style) if isinstance(style, str) else dict(style)
        unknown = [str(name)[:40] for name in weights if name not in STYLES]
        if unknown:
            raise ValueError(f"There is no style “{unknown[0]}”; the styles are {', '.join(STYLES)}.")
        try:
            row = torch.tensor([[float(weights.get(name, 0)) for name in STYLES]])
        except (TypeError, ValueError):
            row = torch.full((1, 1), math.nan)
        if not torch.isfinite(row).all() or (row < 0).any() or row.sum() <= 0:
            raise ValueError("The weights of the styles must be numbers from 0 on, and one of them above 0.")
        return row / row.sum()

    def _sample(
        self, job: _Job, x: Tensor, on_step: OnStep | None, *, start: float = 1.0,
        project: Callable[[Tensor, float], Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        def each(i: int, n: int, estimate: Tensor) -> None:
            report(on_step, i, n, lambda: to_pictures(self._decode(job, estimate[:4])))

        return self.sampler.latents(
            job.drawing, job.words, job.style, x, steps=job.steps, lines=job.lines, text=job.text,
            quick=job.quick, start=start, project=project, on_step=each, check=job.check,
        )  # fmt: skip

    def _decode(self, job: _Job, latents: Tensor) -> Tensor:
        return self.sampler.decode(latents, job.drawing[: len(latents)], job.style[: len(latents)])

    def _finish(self, job: _Job, latents: Tensor, size: int) -> Pictures:
        if size not in (128, 256, 512):
            raise ValueError("“size” must be 128, 256 or 512.")
        pictures = []
        for part in latents.split(4):
            job.check()
            x = self._decode(job, part)
            while x.shape[-1] < size:
                job.check()
                x = self.sampler.upscale(x)
            pictures += to_pictures(x)
        return Pictures(pictures, job.seeds, latents.float().cpu().numpy(), job.ignored)


@dataclass(frozen=True)
class _Job:
    """One checked request, as the sampler takes it."""

    drawing: Tensor
    words: Tensor
    style: Tensor
    steps: int
    lines: float
    text: float
    seeds: list[int]
    ignored: tuple[str, ...]
    quick: bool
    check: Callable[[], None]
