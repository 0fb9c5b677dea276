"""An invertible network that couples pixels from coarse to fine: each quarter of a grid given the quarters before it.

Of a grid every second pixel of every second row is kept; the other three quarters are coupled, one after the other, to
what is kept and to the quarters before; what is kept is a coarser grid and treated alike (parallel multiscale order,
Reed et al. 2017, arXiv:1703.03664). A coupling's map is the piecewise linear distribution function that a convolutional
network gives to a quarter's pixels, with a piece a brightness (Müller et al. 2019, arXiv:1808.03856), and then the
inverse of the Gaussian's, so that the noise is N(0, 1). Dequantised pictures are uniform inside a brightness, as the
pieces are; so the density of y, less 256 a pixel, is the exact probability of the picture, whatever noise was added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.families.autoregressive import log_prob_of
from demos.families.flow import PictureFlow
from demos.lab.garments.data import NO_LABEL, SIDE
from demos.lab.garments.gated import Brightness, gate
from demos.lab.garments.layers import Given, Labels

__all__ = ["SubscaleFlow"]

OnStep = Callable[[int, int, Tensor], None]
QUARTERS = ((0, 0), (1, 1), (0, 1), (1, 0))
LEVELS = 256
LEAST = 1e-12


def _part(grid: Tensor, stride: int, quarter: tuple[int, int]) -> Tensor:
    """The view of `(B, H, W)` that a quarter at a scale is."""
    return grid[:, quarter[0] * stride :: 2 * stride, quarter[1] * stride :: 2 * stride]


class _Told(nn.Module):
    """Brightnesses of the quarters before, each `(B, h, w)`, and labels to logits `(B, h, w, 256)` of one more."""

    def __init__(self, known: int, width: int, depth: int, labelled: bool) -> None:
        super().__init__()
        self.look = Brightness(LEVELS)
        self.labels = Labels(width) if labelled else None
        self.first = nn.Conv2d(known * (self.look.embedding_dim + 1), width, 3, padding=1)
        self.layers: Any = nn.ModuleList([nn.Conv2d(width, 2 * width, 3, padding=1) for _ in range(depth)])
        self.mixes: Any = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in range(depth)])
        self.last = nn.Sequential(nn.GELU(), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, LEVELS))

    def forward(self, known: list[Tensor], label: Tensor | None) -> Tensor:
        height, width = known[0].shape[1:]
        seen = [F.pad(self.look(part), (0, 1), value=1.0) for part in known]
        seen = [F.pad(part, (0, 0, 0, width - part.shape[2], 0, height - part.shape[1])) for part in seen]
        h = self.first(torch.cat(seen, -1).permute(0, 3, 1, 2))
        if self.labels is not None:
            h = h + self.labels(label)[:, :, None, None]
        for layer, mix in zip(self.layers, self.mixes, strict=True):
            h = h + mix(gate(layer(h)))
        return self.last(h.permute(0, 2, 3, 1))


class SubscaleFlow(ModelMixin):
    """Invertible between y `(B, 1, side, side)` in [0, 1) and noise `(B, side²)`.

    `widths` are those of the networks from the finest scale to the coarsest; the grid behind the last has one
    distribution a place, and a label. `family()` is the family's model, `given(label)` that of a `labelled` network.
    """

    @register_to_config
    def __init__(
        self, widths: tuple[int, ...] = (48, 64, 64), depth: int = 3, side: int = SIDE, labelled: bool = False
    ) -> None:
        super().__init__()
        self.side = side
        self.scales: Any = nn.ModuleList(
            [nn.ModuleList([_Told(known, width, depth, labelled) for known in (1, 2, 3)]) for width in widths]
        )
        coarse = math.ceil(side / 2 ** len(widths))
        self.coarse = nn.Parameter(torch.zeros(*[NO_LABEL + 1] * labelled, coarse, coarse, LEVELS))

    def _logits(self, v: Tensor, scale: int, i: int, label: Tensor | None) -> Tensor:
        """Logits of quarter `i` at a scale, from those before it in `v` `(B, side, side)`."""
        known = [_part(v, 2**scale, quarter) for quarter in QUARTERS[:i]]
        target = _part(v, 2**scale, QUARTERS[i])
        return self.scales[scale][i - 1](known, label)[:, : target.shape[1], : target.shape[2]]

    def forward(self, y: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Noise and log |det| `(B,)`."""
        level = y[:, 0] * LEVELS
        v = level.detach().floor().clamp(0, LEVELS - 1)
        rest, v = level - v, v.long()
        z, log_det = torch.zeros_like(level), y.new_zeros(len(y))
        for logits, where in self._all(v, label):
            value, inside = where(v), where(rest)
            log_p = log_prob_of(logits, value)
            # The Gaussian's log-density cancels z, so training need not send gradients through it.
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.training):
                p = logits.float().softmax(-1)
                end, size = (one.gather(-1, value[..., None])[..., 0] for one in (p.cumsum(-1, dtype=torch.double), p))
                noise = torch.special.ndtri((end - size * (1 - inside)).clamp(LEAST, 1 - LEAST)).float()
                where(z).copy_(noise)
            gained = log_p + 0.5 * noise.square() + 0.5 * math.log(2 * math.pi) + math.log(LEVELS)
            log_det = log_det + gained.flatten(1).sum(1)
        return z.flatten(1), log_det

    def _all(self, v: Tensor, label: Tensor | None) -> Iterator[tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """Logits of each quarter and what finds it in a grid, from coarse to fine; `v` may be filled on the way."""
        coarsest = 2 ** len(self.scales)
        first = self.coarse.expand(len(v), -1, -1, -1) if label is None else self.coarse[label]
        yield first, lambda grid: grid[:, ::coarsest, ::coarsest]
        for scale in reversed(range(len(self.scales))):
            for i in (1, 2, 3):
                quarter = QUARTERS[i]
                yield self._logits(v, scale, i, label), lambda grid, s=scale, q=quarter: _part(grid, 2**s, q)

    def inverse(self, z: Tensor, on_step: OnStep | None, label: Tensor | None = None) -> Tensor:
        """Noise to y; `on_step(i, n, y)` sees the picture grow finer."""
        noise = z.view(-1, self.side, self.side)
        v, y = torch.zeros_like(noise, dtype=torch.long), torch.zeros_like(noise)
        n = 1 + 3 * len(self.scales)
        for i, (logits, where) in enumerate(self._all(v, label), 1):
            u = torch.special.ndtr(where(noise).double()).clamp(LEAST, 1 - LEAST)[..., None].contiguous()
            p = logits.float().softmax(-1)
            upto = p.cumsum(-1, dtype=torch.double)
            found = torch.searchsorted(upto, u, right=True).clamp_max(LEVELS - 1)
            end, size = (one.gather(-1, found) for one in (upto, p))
            inside = (1 - (end - u) / size).clamp(0, 1 - 1e-4)
            where(v).copy_(found[..., 0])
            where(y).copy_((found + inside)[..., 0] / LEVELS)
            if on_step is not None:
                on_step(i, n, y[:, None])
        return y[:, None]

    def family(self) -> PictureFlow:
        """The model of y `(B, 1, side, side)`."""
        return PictureFlow(cast(nn.Module, self), self.side**2)

    def given(self, label: Tensor) -> PictureFlow:
        """The model of y of labels `(B,)`."""
        return PictureFlow(Given(self, label), self.side**2)
