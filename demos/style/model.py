"""The Style tab's wrapper: pictures in, repainted pictures out; no tensors outside, no Gradio inside.

Two engines answer the same calls: `restyle` is the trained network, fast enough for a slider; `rebuild` is the exact
engine, which works on the pixels and shows them as it goes. Everything that a caller may set is checked here, because
the page and the API reach the same functions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from demos.core.cancel import OnStep, report
from demos.core.checkpoint import find, load_network
from demos.core.device import Lane, autocast, pick_device, set_threads
from demos.core.limits import number_in
from demos.core.media import Picture, open_image
from demos.core.seed import generator, normalise_seed
from demos.style import exact
from demos.style.codes import CodeDensity, Presets, StyleCode, blend, encode, load_presets
from demos.style.finishing import finish
from demos.style.losses import luminance
from demos.style.networks import STRIDE, Painter, StyleEncoder
from demos.style.underpainting import underpaint

__all__ = ["LIMITS", "Layer", "Restyled", "Style", "StyleModel", "Unfinished"]

LIMITS = {
    "strength": (0.0, 1.0),
    "brush": (0.5, 4.0),
    "size": (64, 1024),
    "exact_size": (64, 512),
    "keep": (0.05, 2.0),
    "weight": (0.0, 100.0),
    "count": (1, 16),
    "frames": (2, 60),
}
MOST_STYLES = 4
SMALLEST = 32
LONGEST = 64
Style: TypeAlias = "Picture | StyleCode"
"""A preset's name, a code, or a picture."""


@dataclass(frozen=True)
class Layer:
    """A mixture of styles, and where it goes.

    Attributes:
        mix: up to four styles with weights.
        mask: `(H, W)` in [0, 1], 1 where the picture is repainted; None for everywhere.
    """

    mix: Sequence[tuple[Style, float]]
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Restyled:
    """A result: the picture, the content at the same size, and the seed."""

    picture: Image.Image
    content: Image.Image
    seed: int


@dataclass
class Unfinished:
    """Where a run of the exact engine stands: steps done and in all, and the pixels `(1, 3, H, W)`; it can go on."""

    step: int = 0
    steps: int = 0
    pixels: Tensor | None = field(default=None, repr=False)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.pixels is not None and self.step >= self.steps


def opened(picture: Picture, size: int) -> Image.Image:
    """An RGBA picture whose long side is at most `size`.

    Raises:
        ValueError: as `open_image`; numbers that are not finite; one side more than 64 times the other.
    """
    if isinstance(picture, np.ndarray) and picture.dtype.kind not in "bui" and not np.isfinite(picture).all():
        raise ValueError("This picture holds numbers that are not finite.")
    whole = open_image(picture)
    if max(whole.size) > LONGEST * min(whole.size):
        raise ValueError(f"This picture is {whole.width} × {whole.height} pixels, too narrow to be repainted.")
    if max(whole.size) > size:
        scale = size / max(whole.size)
        shape = [max(1, round(scale * side)) for side in whole.size]
        whole = whole.resize((shape[0], shape[1]), Image.Resampling.LANCZOS)
    return whole


def pixels_of(picture: Image.Image) -> Tensor:
    """`(1, 3, H, W)` in [-1, 1] of an RGBA picture over white."""
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    rgb = torch.from_numpy(np.array(white.convert("RGB")))
    return rgb.permute(2, 0, 1)[None].float() / 127.5 - 1


def picture_of(x: Tensor, content: Image.Image) -> Image.Image:
    """A picture of `(1, 3, H, W)`, as transparent as `content`."""
    rgb = (127.5 * (x[0].clamp(-1, 1) + 1)).round().byte().permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(rgb)
    alpha = content.getchannel("A")
    if np.asarray(alpha).min() < 255:
        picture.putalpha(alpha)
    return picture


class StyleModel:
    """Loads once, answers one caller at a time in each engine."""

    def __init__(
        self, encoder: StyleEncoder, painter: Painter, presets: Presets, density: CodeDensity, device: torch.device
    ) -> None:
        self.encoder, self.painter, self.presets, self.density = encoder, painter, presets, density
        self.device = device
        self.lane, self.exact_lane = Lane(), Lane()

    @classmethod
    def load(cls, checkpoint: str | Path = "style", device: str | None = None) -> StyleModel:
        """Read a checkpoint folder; nothing is downloaded.

        Raises:
            ValueError: the folder is missing, damaged, or holds something else.
        """
        folder, where = find(checkpoint), pick_device(device)
        parts: list[Any] = []
        for name, kind in (("encoder", StyleEncoder), ("painter", Painter)):
            network: Any = load_network(kind, folder / name)
            parts.append(network.to(where, memory_format=torch.channels_last))
        if where.type == "cpu":
            set_threads()
        density = load_network(CodeDensity, folder / "density")
        return cls(parts[0], parts[1], load_presets(folder / "presets"), density, where)

    @property
    def titles(self) -> Mapping[str, str]:
        """Presets: what a person reads, by name."""
        return self.presets.titles

    def code(self, style: Style) -> StyleCode:
        """The code of a preset or of a picture; a code is given back.

        Raises:
            ValueError: no such preset, or an unreadable picture.
        """
        if isinstance(style, StyleCode):
            return style
        if isinstance(style, str) and style in self.titles:
            return self.presets.code(style)
        x = pixels_of(opened(style, LIMITS["size"][1]))
        with self.lane.hold(), torch.inference_mode():
            return encode(self.encoder, x.to(self.device))

    def restyle(
        self,
        content: Picture,
        layers: Layer | Sequence[Layer],
        *,
        strength: float = 1.0,
        brush: float = 1.0,
        keep_colours: bool = False,
        size: int = 512,
        seed: int | None = 0,
    ) -> Restyled:
        """Repaint `content` by the network.

        Args:
            layers: later ones lie above earlier ones.
            strength: 0 gives the content back.
            brush: size of the strokes: the network works on a picture that is smaller by this factor.
            keep_colours: take luminance alone from the repainted picture.
            size: longest side of the result; smaller pictures are not enlarged.

        Raises:
            ValueError: an unreadable picture, an unknown style, a mixture of none or more than four, a mask of another
                shape, or a number out of range.
        """
        strength = number_in(LIMITS, "strength", strength)
        brush = number_in(LIMITS, "brush", brush)
        seed = normalise_seed(seed)
        picture = opened(content, int(number_in(LIMITS, "size", size)))
        x = pixels_of(picture)
        result = x
        for layer in [layers] if isinstance(layers, Layer) else layers:
            painted = self._paint(x, self._mixed(layer), strength, seed, brush)
            if keep_colours:
                painted = with_colours_of(painted, x)
            result = painted if layer.mask is None else laid_over(result, painted, layer.mask)
        return Restyled(picture_of(result, picture), picture, seed)

    def film(
        self,
        content: Picture,
        layer: Layer | Sequence[Layer],
        *,
        frames: int = 24,
        on_step: OnStep | None = None,
        **options: Any,
    ) -> bytes:
        """An animated GIF of the strength going from 0 to 1 and back; `options` as in `restyle`."""
        frames = int(number_in(LIMITS, "frames", frames))
        pictures = []
        for i in range(frames):
            done = self.restyle(content, layer, strength=i / (frames - 1), **options)
            pictures.append(done.picture.convert("RGB").quantize(128, dither=Image.Dither.NONE))
            report(on_step, i + 1, frames, done.picture)
        buffer = io.BytesIO()
        loop = [*pictures, *pictures[-2:0:-1]]
        loop[0].save(buffer, "GIF", save_all=True, append_images=loop[1:], duration=80, loop=0)
        return buffer.getvalue()

    def all_presets(self, content: Picture, *, size: int = 192, **options: Any) -> Iterator[tuple[str, Image.Image]]:
        """Every preset's title with `content` repainted in it."""
        for name, title in self.titles.items():
            yield title, self.restyle(content, Layer([(name, 1.0)]), size=size, **options).picture

    def sample_styles(self, seed: int | str | None = 0, *, count: int = 1) -> list[tuple[StyleCode, list[str]]]:
        """New codes drawn from the density over codes, each with the titles of its nearest presets."""
        count = int(number_in(LIMITS, "count", count))
        with torch.inference_mode():
            drawn = self.density.sample(count, generator(normalise_seed(seed)))
            found = [(self.presets.imagined(features), self.presets.neighbours(features)) for features in drawn]
        return [(code, [self.titles[name] for name in names]) for code, names in found]

    def thumbnail(self, style: Style, side: int = 128, seed: int = 0) -> Image.Image:
        """What a style looks like, from its code alone: the network paints soft light and dark shapes in it."""
        coarse = generator(seed)
        shapes = [torch.randn(1, 1, n, n, generator=coarse) / n**0.5 for n in (3, 6, 12)]
        x = torch.cat([F.interpolate(s, (side, side), mode="bicubic") for s in shapes]).sum(0, keepdim=True)
        x = 0.6 * x.expand(-1, 3, -1, -1) / x.std()
        painted = self._paint(x.clamp(-1, 1), self.code(style), 1.0, seed)
        return picture_of(painted, Image.new("RGBA", (side, side), "white"))

    def rebuild(
        self,
        content: Picture,
        style: Picture,
        *,
        keep: float = exact.KEEP,
        brush: float = 1.0,
        keep_colours: bool = False,
        mask: np.ndarray | None = None,
        size: int = 256,
        seed: int | None = 0,
        state: Unfinished | None = None,
        on_step: OnStep | None = None,
    ) -> Restyled:
        """Repaint `content` by the exact engine.

        Args:
            style: a picture.
            keep: how much of the content stays.
            brush: size of the style's picture relative to the content.
            size: longest side of the result.
            state: filled in as the work goes; given again with the same arguments, the work goes on from there.
            on_step: previews are pictures.

        Raises:
            ValueError: as `restyle`.
            Cancelled: `on_step` said so; `state` has what was reached.
        """
        keep, brush = number_in(LIMITS, "keep", keep), number_in(LIMITS, "brush", brush)
        size, seed = int(number_in(LIMITS, "exact_size", size)), normalise_seed(seed)
        picture, state = opened(content, size), state or Unfinished()
        source = opened(style, size)
        x = pixels_of(picture)
        scale = brush * max(picture.size) / max(source.size)
        goal = exact.resize(pixels_of(source), [max(SMALLEST, round(scale * side)) for side in reversed(source.size)])

        def finished(y: Tensor) -> Image.Image:
            y = y if y.shape == x.shape else exact.resize(y, tuple(x.shape[2:]))
            y = with_colours_of(y, x) if keep_colours else y
            return picture_of(y if mask is None else laid_over(x, y, mask), picture)

        def step(i: int, n: int, y: Tensor) -> None:
            state.step, state.steps, state.pixels = i, n, y
            report(on_step, i, n, finished(y))

        start = None if state.pixels is None else (state.step, state.pixels)
        grown = exact.resize(x, [max(SMALLEST, side) for side in x.shape[2:]])
        with self.exact_lane.hold(), torch.inference_mode(False), torch.no_grad():
            y = exact.rebuild(grown, goal, seed, keep=keep, start=start, on_step=step)
        return Restyled(finished(y), picture, seed)

    def _mixed(self, layer: Layer) -> StyleCode:
        mix = [(style, number_in(LIMITS, "weight", weight)) for style, weight in layer.mix]
        mix = [(style, weight) for style, weight in mix if weight > 0]
        if not 1 <= len(mix) <= MOST_STYLES:
            raise ValueError(f"Choose one to {MOST_STYLES} styles with a weight above 0.")
        return blend([self.code(style) for style, _ in mix], [weight for _, weight in mix])

    @torch.no_grad()
    def _paint(self, x: Tensor, code: StyleCode, strength: float, seed: int, brush: float = 1.0) -> Tensor:
        """All three stages on pixels `(1, 3, H, W)` of any size."""
        factor = max(brush, max(x.shape[2:]) / LIMITS["size"][1])
        height, width = (max(1, round(side / factor)) for side in x.shape[2:])
        below, right = (max(SMALLEST, -(-side // STRIDE) * STRIDE) - side for side in (height, width))
        with self.lane.hold():
            first = underpaint(exact.resize(x, (height, width)), code, strength)
            padded = F.pad(first, (0, right, 0, below), mode="replicate").to(self.device)
            with torch.inference_mode(False), autocast(self.device):
                painted = self.painter(padded, code.features[None].to(self.device), generator(seed))
                painted = finish(painted.float().clamp(-1, 1), code, generator(seed))[:, :, :height, :width]
        y = torch.lerp(first, painted.cpu(), strength)
        return exact.resize(y, x.shape[2:])


def with_colours_of(x: Tensor, content: Tensor) -> Tensor:
    """`x` with the chrominance of `content`, both `(1, 3, H, W)`: only luminances differ."""
    return (content + luminance(x - content)).clamp(-1, 1)


def laid_over(below: Tensor, above: Tensor, mask: np.ndarray) -> Tensor:
    """`above` where `mask` `(H, W)` in [0, 1] is 1, `below` where it is 0, `(1, 3, h, w)`.

    Raises:
        ValueError: the mask is no such array.
    """
    mask = np.asarray(mask, np.float32)
    if mask.ndim != 2 or not mask.size or not np.isfinite(mask).all():
        raise ValueError("A mask has one number from 0 to 1 for each pixel.")
    share = torch.from_numpy(mask)[None, None].clamp(0, 1)
    share = F.interpolate(share, tuple(below.shape[2:]), mode="bilinear", antialias=True)
    return torch.where(share > 0, torch.lerp(below, above, share), below)
