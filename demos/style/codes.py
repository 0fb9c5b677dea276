"""Styles as codes: of pictures, of presets, between styles, and new ones.

A code says what a style is twice: in numbers, which are moments of features, so that it does not matter where a stroke
is; and in a bag of small patches at three scales, in random order (textons, Leung and Malik 2001). New styles are drawn
from a normalizing flow over the numbers of the training pictures; their patches are those of the nearest presets in new
colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from demos.core.checkpoint import read_config
from demos.core.network import ModelMixin, register_to_config
from demos.families.flow import Flow
from demos.style.colour import MOMENTS, moments, recolour
from demos.style.networks import StyleEncoder

__all__ = [
    "COUNT",
    "LEVELS",
    "PATCH",
    "CodeDensity",
    "Presets",
    "StyleCode",
    "blend",
    "collect",
    "encode",
    "load_presets",
]

WINDOW = 256
LEVELS = (64, 128, 256)
COUNT, PATCH = 128, 11


@dataclass(frozen=True)
class StyleCode:
    """What both stages of the fast engine know of a style.

    Attributes:
        features: `(F,)`, the last nine are the moments of the colours.
        patches: `(3, N, 3, 11, 11)` uint8, from the picture with a short side of 64, 128 and 256 pixels.
    """

    features: Tensor
    patches: Tensor

    @property
    def colours(self) -> Tensor:
        """Moments of the colours, `(1, 9)`."""
        return self.features[None, -MOMENTS:]


def _brought_to(style: Tensor, short: int) -> Tensor:
    """`style` `(1, 3, H, W)` with a short side of `short` pixels."""
    scale = short / min(style.shape[2:])
    height, width = (2 * round(scale * side / 2) for side in style.shape[2:])
    return F.interpolate(style, (height, width), mode="bicubic", antialias=True).clamp(-1, 1)


@torch.no_grad()
def collect(style: Tensor, seed: int = 0, count: int = COUNT) -> Tensor:
    """Patches `(3, count, 3, 11, 11)` uint8 from random places of a picture `(1, 3, H, W)` in [-1, 1]."""
    generator, levels = torch.Generator().manual_seed(seed), []
    for short in LEVELS:
        x = _brought_to(style, short)[0]
        top, left = (torch.randint(side - PATCH + 1, (count, 1), generator=generator) for side in x.shape[1:])
        step = torch.arange(PATCH)
        levels.append(x[:, (top + step)[:, :, None], (left + step)[:, None]].transpose(0, 1))
    return (127.5 * (torch.stack(levels) + 1)).round().byte()


@torch.no_grad()
def encode(encoder: StyleEncoder, style: Tensor) -> StyleCode:
    """The code of a picture `(1, 3, H, W)` in [-1, 1], whose features are seen at a short side of 256 pixels.

    Of a long picture the features are the mean over three windows.
    """
    x = _brought_to(style, WINDOW)
    most = round(1.25 * WINDOW)
    tops, lefts = (sorted({round(i * max(0, side - most) / 2) for i in range(3)}) for side in x.shape[2:])
    windows = [x[:, :, top : top + most, left : left + most] for top in tops for left in lefts]
    features = torch.stack([encoder(part)[0] for part in windows]).mean(0)
    return StyleCode(torch.cat([features[:-MOMENTS], moments(x)[0]]).cpu(), collect(style.cpu()))


def blend(codes: Sequence[StyleCode], weights: Sequence[float]) -> StyleCode:
    """A code between codes: mean features, and of each bag the share of its weight; weights need not add up to 1."""
    shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    features = torch.stack([share * code.features for share, code in zip(shares.tolist(), codes, strict=True)]).sum(0)
    count = codes[0].patches.shape[1]
    ends = (count * shares.cumsum(0)).round().long().tolist()
    parts = [code.patches[:, start:end] for code, start, end in zip(codes, [0, *ends], ends, strict=False)]
    return StyleCode(features, torch.cat(parts, 1))


@dataclass(frozen=True)
class Presets:
    """Styles by name.

    Attributes:
        titles: what a person reads, by name.
        features: `(len(titles), F)`.
        patches: `(len(titles), 3, N, 3, 11, 11)` uint8.
    """

    titles: dict[str, str]
    features: Tensor
    patches: Tensor

    def code(self, name: str) -> StyleCode:
        """The code of a preset.

        Raises:
            ValueError: no preset of that name.
        """
        if name not in self.titles:
            raise ValueError(f"There is no style called “{str(name)[:40]}”; choose one of {', '.join(self.titles)}.")
        at = list(self.titles).index(name)
        return StyleCode(self.features[at], self.patches[at])

    def neighbours(self, features: Tensor, count: int = 3) -> list[str]:
        """Names of the presets nearest to `features` `(F,)`, relative to how much presets differ."""
        distance = ((self.features - features) / (self.features.std(0) + 1e-3)).square().mean(1)
        names = list(self.titles)
        return [names[i] for i in distance.argsort()[:count].tolist()]

    def imagined(self, features: Tensor) -> StyleCode:
        """The code of a style of which only `features` `(F,)` are known: patches of its neighbours in its colours."""
        near = blend([self.code(name) for name in self.neighbours(features)], [3, 2, 1])
        rows = near.patches.transpose(1, 2).flatten(2, 3).float() / 127.5 - 1
        wanted = features[None, -MOMENTS:].expand(len(rows), -1)
        moved = recolour(rows, wanted, features.new_ones(len(rows)))
        patches = (127.5 * (moved.clamp(-1, 1) + 1)).round().byte()
        return StyleCode(features, patches.unflatten(2, (-1, PATCH)).transpose(1, 2).contiguous())


def load_presets(folder: Path) -> Presets:
    """Read `config.json` and `model.safetensors`.

    Raises:
        ValueError: the folder is damaged.
    """
    titles, tensors = dict(read_config(folder)["titles"]), load_file(folder / "model.safetensors")
    features, patches = tensors["features"].float(), tensors["patches"]
    if features.ndim != 2 or patches.ndim != 6 or not len(titles) == len(features) == len(patches):
        shapes = f"{tuple(features.shape)} and {tuple(patches.shape)}"
        raise ValueError(f"{folder.name}: {len(titles)} titles don't belong to codes of shapes {shapes}.")
    return Presets(titles, features, patches)


class CodeDensity(ModelMixin):
    """A normalizing flow over features `(B, code)`, which are first brought to mean 0 and deviation 1."""

    mean: Tensor
    std: Tensor

    @register_to_config
    def __init__(self, code: int = 137, steps: int = 6, hidden: int = 128) -> None:
        super().__init__()
        self.flow = Flow(code, steps=steps, hidden=hidden, generator=torch.Generator().manual_seed(0))
        self.register_buffer("mean", torch.zeros(code))
        self.register_buffer("std", torch.ones(code))

    def measure(self, codes: Tensor) -> None:
        """Take mean and deviation from `codes` `(N, code)`."""
        self.mean.copy_(codes.mean(0))
        self.std.copy_(codes.std(0) + 1e-3)

    def log_prob(self, codes: Tensor) -> Tensor:
        """Exact log-density `(B,)` in nats."""
        return self.flow.log_prob((codes - self.mean) / self.std) - self.std.log().sum()

    def sample(self, n: int, generator: torch.Generator, temperature: float = 0.8) -> Tensor:
        """`(n, code)`; a lower temperature stays nearer to the middle of what was seen."""
        z = temperature * torch.randn(n, self.mean.numel(), generator=generator)
        return self.flow.decode(z.to(self.mean)) * self.std + self.mean
