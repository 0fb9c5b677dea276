"""The colours that a flat style has: what is near one of them becomes it.

Pictures of a flat style are made of few colours, the same in all of them, but a flow blends what it does not know. A
pixel's colour climbs the density of the style's colours over the training pictures to the mode that is nearest (mean
shift, Comaniciu and Meer 2002), which is looked up in a table.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.sketch.data import STYLES

__all__ = ["FLAT", "Palette", "mean_shift"]

FLAT = ("fluent_flat", "fluent_high_contrast", "twemoji")
GRID = 32
"""Entries of the table along each of red, green and blue."""


class Palette(ModelMixin):
    """A table of colours for each flat style, at first their own; other styles keep theirs."""

    @register_to_config
    def __init__(self, flat: tuple[str, ...] = FLAT) -> None:
        super().__init__()
        axis = torch.linspace(0, 1, GRID)
        same = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
        self.table = nn.Parameter(same.flatten(1).repeat(len(flat), 1, 1), requires_grad=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Pictures `(B, 4, H, W)` in [-1, 1], premultiplied, moved as far as the weights `(B, styles)` say."""
        weights = style[:, [STYLES.index(name) for name in self.config["flat"]]]
        if not weights.any():
            return x
        alpha = (x[:, 3:].float() + 1) / 2
        colour = ((x[:, :3].float() + 1) / 2 / alpha.clamp_min(0.02)).clamp(0, 1)
        at = (2 * colour - 1).flip(1).permute(0, 2, 3, 1)[:, None]  # the table's last axis, blue, comes first
        shift = torch.zeros_like(colour)
        for table, weight in zip(self.table.unflatten(2, 3 * [GRID]), weights.unbind(1), strict=True):
            if weight.any():
                found = F.grid_sample(table.expand(len(x), -1, -1, -1, -1), at, align_corners=True)[:, :, 0]
                shift = shift + weight.view(-1, 1, 1, 1) * (found - colour)
        return torch.cat([x[:, :3] + 2 * alpha * shift, x[:, 3:]], 1)


def mean_shift(pixels: np.ndarray, width: float = 12.0, steps: int = 3, doubt: float = 0.1) -> np.ndarray:
    """Where each colour of the table moves, `(3, GRID, GRID, GRID)` in [0, 1].

    Args:
        pixels: pictures `(N, S, S, 4)` uint8, premultiplied; each counts the same, whatever its size.
        width: standard deviation of the kernel, of 255.
        steps: of mean shift.
        doubt: mass of an even density that is added: colours far from all others stay.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates  # who only draws need not wait for it

    density = np.zeros(GRID**3)
    for picture in pixels.reshape(len(pixels), -1, 4).astype(np.float32):
        solid = picture[picture[:, 3] > 200]
        cell = (solid[:, :3] / solid[:, 3:] * (GRID - 1)).round().astype(int) @ [GRID**2, GRID, 1]
        density += np.bincount(cell, minlength=GRID**3) / max(1, len(solid))
    density = density.reshape(GRID, GRID, GRID) / density.sum()
    start = np.stack(np.meshgrid(*[np.arange(GRID, dtype=float)] * 3, indexing="ij"))
    even = doubt / GRID**3

    def soft(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, width / 255 * (GRID - 1), mode="constant")

    total = soft(density) + even
    mean = [(soft(density * axis) + even * axis) / total for axis in start]
    where = start
    for _ in range(steps):
        where = np.stack([map_coordinates(axis, where, order=1, mode="nearest") for axis in mean])
    return where / (GRID - 1)
