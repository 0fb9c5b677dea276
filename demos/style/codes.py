"""Styles as codes: of pictures, of presets, between styles, and new ones.

A code is made of features' moments, so that it does not matter where a stroke is. New styles are drawn from a
normalizing flow over the codes of the training pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from safetensors.torch import load_file
from torch import Tensor

from demos.core.checkpoint import read_config
from demos.families.flow import Flow
from demos.style.colour import MOMENTS, moments
from demos.style.networks import StyleEncoder

__all__ = ["CodeDensity", "Presets", "blend", "encode", "load_presets"]

WINDOW = 256


@torch.no_grad()
def encode(encoder: StyleEncoder, style: Tensor) -> Tensor:
    """Code `(code,)` of a picture `(1, 3, H, W)` in [-1, 1], brought to a short side of 256 pixels.

    Of a long picture it is the mean over three windows.
    """
    scale = WINDOW / min(style.shape[2:])
    height, width = (2 * round(scale * side / 2) for side in style.shape[2:])
    x = F.interpolate(style, (height, width), mode="bicubic", antialias=True).clamp(-1, 1)
    most = round(1.25 * WINDOW)
    tops, lefts = (sorted({round(i * max(0, side - most) / 2) for i in range(3)}) for side in (height, width))
    windows = [x[:, :, top : top + most, left : left + most] for top in tops for left in lefts]
    code = torch.stack([encoder(part)[0] for part in windows]).mean(0)
    return torch.cat([code[:-MOMENTS], moments(x)[0]])


@dataclass(frozen=True)
class Presets:
    """Styles by name.

    Attributes:
        titles: what a person reads, by name.
        codes: `(len(titles), code)`.
    """

    titles: dict[str, str]
    codes: Tensor

    def code(self, name: str) -> Tensor:
        """The code `(code,)` of a preset.

        Raises:
            ValueError: no preset of that name.
        """
        if name not in self.titles:
            raise ValueError(f"There is no style called “{str(name)[:40]}”; choose one of {', '.join(self.titles)}.")
        return self.codes[list(self.titles).index(name)]

    def neighbours(self, code: Tensor, count: int = 3) -> list[str]:
        """Titles of the presets nearest to `code` `(code,)`, relative to how much codes differ."""
        distance = ((self.codes - code) / (self.codes.std(0) + 1e-3)).square().mean(1)
        titles = list(self.titles.values())
        return [titles[i] for i in distance.argsort()[:count].tolist()]


def load_presets(folder: Path) -> Presets:
    """Read `config.json` and `model.safetensors`.

    Raises:
        ValueError: the folder is damaged.
    """
    titles = read_config(folder)["titles"]
    codes = load_file(folder / "model.safetensors")["codes"].float()
    if len(codes) != len(titles) or codes.ndim != 2:
        raise ValueError(f"{folder.name}: {len(titles)} titles don't belong to codes of shape {tuple(codes.shape)}.")
    return Presets(titles, codes)


class CodeDensity(ModelMixin, ConfigMixin):
    """A normalizing flow over codes `(B, code)`, which are first brought to mean 0 and deviation 1."""

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


def blend(codes: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Mean of codes `(..., code)` with `weights`, which need not add up to 1."""
    return torch.stack([weight * code for weight, code in zip(weights, codes, strict=True)]).sum(0) / sum(weights)
