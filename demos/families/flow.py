"""Normalizing flows: an invertible map from data to Gaussian noise, and therefore an exact density.

With z = f(x) and z ~ N(0, 1), log p(x) = log N(f(x); 0, 1) + log |det df/dx|. Every step of f mixes all channels by an
invertible matrix kept as P L U (Glow, Kingma and Dhariwal 2018, arXiv:1807.03039) and then scales and shifts one half
of them by amounts computed from the other half (RealNVP, Dinh et al. 2017, arXiv:1605.08803), so that the inverse is as
cheap as f and the determinant is a sum of log scales. Scales are clamped softly to exp(±`clamp`) (Ardizzone et al.
2019, arXiv:1907.02392). A context, for example where in a picture a vector lies, makes it p(x | context); a map of
features is then scored position by position (CFLOW-AD, Gudovskiy et al. 2022, arXiv:2107.12571). Instead of being
scaled and shifted, the second half can be bent by monotone splines of rational quadratics, which fit several modes in
one step (Durkan et al. 2019, arXiv:1906.04032).

Any invertible network will do that knows its inverse and its log-determinant: `PictureFlow` makes a model of one, for
data of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Coupling", "Flow", "Mixing", "PictureFlow", "SplineCoupling", "spline"]


class Mixing(nn.Module):
    """Invertible affine mixing y = W x + b of the last dimension, W = P L (U + diag(±e^s)), log |det W| = sum s."""

    order: Tensor
    sign: Tensor

    def __init__(self, channels: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        start = torch.linalg.qr(torch.randn(channels, channels, generator=generator, dtype=torch.float64))[0]
        p, lower, upper = torch.linalg.lu(start)
        diagonal = upper.diagonal()
        self.register_buffer("order", p.argmax(1))
        self.register_buffer("sign", diagonal.sign().float())
        self.log_scale = nn.Parameter(diagonal.abs().log().float())
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())
        self.bias = nn.Parameter(torch.zeros(channels))

    def _triangles(self) -> tuple[Tensor, Tensor]:
        one = torch.eye(len(self.bias), device=self.bias.device, dtype=self.bias.dtype)
        diagonal = torch.diag(self.sign * self.log_scale.exp())
        return self.lower.tril(-1) + one, self.upper.triu(1) + diagonal

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(..., D)` mixed, and the log-determinant as a scalar."""
        lower, upper = self._triangles()
        return x @ (lower @ upper)[self.order].T + self.bias, self.log_scale.sum()

    def inverse(self, y: Tensor) -> Tensor:
        """`(..., D)` back to what `forward` was given."""
        lower, upper = self._triangles()
        permuted = torch.empty_like(y)
        permuted[..., self.order] = y - self.bias
        flat = permuted.reshape(-1, y.shape[-1]).T
        flat = torch.linalg.solve_triangular(lower, flat, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, flat, upper=True).T.reshape(y.shape)


class Coupling(nn.Module):
    """Coupling: y_a = x_a, y_b = x_b e^(s(x_a, context)) + m(x_a, context), |s| < `clamp`; at first the identity."""

    def __init__(
        self, channels: int, context: int, hidden: int, clamp: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.kept, self.clamp = channels - channels // 2, clamp
        first, middle = nn.Linear(self.kept + context, hidden), nn.Linear(hidden, hidden)
        last = nn.Linear(hidden, 2 * (channels // 2))
        for layer in (first, middle):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        for layer in (first, middle, last):
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(first, nn.GELU(), middle, nn.GELU(), last)

    def _amounts(self, kept: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        given = kept if context is None else torch.cat([kept, context], -1)
        scale, shift = self.body(given).chunk(2, -1)
        return self.clamp * torch.tanh(scale / self.clamp), shift

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(..., D)` coupled, and the log-determinant `(...)`."""
        kept, moved = x.split([self.kept, x.shape[-1] - self.kept], -1)
        scale, shift = self._amounts(kept, context)
        return torch.cat([kept, moved * scale.exp() + shift], -1), scale.sum(-1)

    def inverse(self, y: Tensor, context: Tensor | None) -> Tensor:
        """`(..., D)` back to what `forward` was given."""
        kept, moved = y.split([self.kept, y.shape[-1] - self.kept], -1)
        scale, shift = self._amounts(kept, context)
        return torch.cat([kept, (moved - shift) * (-scale).exp()], -1)


def spline(x: Tensor, amounts: Tensor, edge: float, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """Bend numbers by a monotone spline of rational quadratics, the identity outside [-edge, edge].

    Args:
        x: `(...)`.
        amounts: `(..., 3 K - 1)`: K widths and K heights before their softmax, K - 1 slopes before a shifted softplus;
            zeros give the identity.
        edge: where the spline ends.
        inverse: whether to bend back.

    Returns:
        The bent numbers and log |dy/dx| of the way that was taken, both `(...)`.
    """
    bins = (amounts.shape[-1] + 1) // 3
    widths, heights, slopes = amounts.split([bins, bins, bins - 1], -1)
    least = 1e-3
    steps = torch.stack([widths, heights], -2).softmax(-1) * (1 - least * bins) + least  # (..., 2, K)
    knots = F.pad(2 * edge * steps.cumsum(-1) - edge, (1, 0), value=-edge)
    slopes = F.pad(F.softplus(slopes + math.log(math.expm1(1 - least))) + least, (1, 1), value=1.0)
    inside = (x > -edge) & (x < edge)
    at = x.clamp(-edge, edge)
    searched = knots[..., 1 if inverse else 0, 1:-1]
    left = (at[..., None] >= searched).sum(-1, keepdim=True)
    pair = torch.cat([left, left + 1], -1)
    (x0, x1), (y0, y1) = (knots[..., i, :].gather(-1, pair).unbind(-1) for i in (0, 1))
    d0, d1 = slopes.gather(-1, pair).unbind(-1)
    width, height = x1 - x0, y1 - y0
    s = height / width
    bend = d0 + d1 - 2 * s
    if inverse:
        rise = at - y0
        a = height * (s - d0) + rise * bend
        b = height * d0 - rise * bend
        c = -s * rise
        part = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())
    else:
        part = (at - x0) / width
    rest = part * (1 - part)
    below = s + bend * rest
    log_slope = (s.square() * (d1 * part.square() + 2 * s * rest + d0 * (1 - part).square())).log() - 2 * below.log()
    bent = part * width + x0 if inverse else y0 + height * (s * part.square() + d0 * rest) / below
    log_slope = -log_slope if inverse else log_slope
    return torch.where(inside, bent, x), torch.where(inside, log_slope, torch.zeros_like(x))


class SplineCoupling(Coupling):
    """Coupling: y_a = x_a, y_b = a spline of x_b whose `bins` pieces follow from x_a and the context."""

    def __init__(
        self,
        channels: int,
        context: int,
        hidden: int,
        bins: int,
        edge: float = 4.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(channels, context, hidden, 0.0, generator)
        self.bins, self.edge = bins, edge
        last = nn.Linear(hidden, (3 * bins - 1) * (channels // 2))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body[-1] = last

    def _bent(self, kept: Tensor, moved: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        given = kept if context is None else torch.cat([kept, context], -1)
        amounts = self.body(given).unflatten(-1, (moved.shape[-1], 3 * self.bins - 1))
        bent, log_slope = spline(moved, amounts, self.edge, inverse)
        return torch.cat([kept, bent], -1), log_slope.sum(-1)

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(..., D)` coupled, and the log-determinant `(...)`."""
        kept, moved = x.split([self.kept, x.shape[-1] - self.kept], -1)
        return self._bent(kept, moved, context, False)

    def inverse(self, y: Tensor, context: Tensor | None) -> Tensor:
        """`(..., D)` back to what `forward` was given."""
        kept, moved = y.split([self.kept, y.shape[-1] - self.kept], -1)
        return self._bent(kept, moved, context, True)[0]


class Flow(nn.Module):
    """A density over vectors `(B, D)`, or over every position of maps `(B, D, H, W)`, given a context if it has one.

    The context has the shape of the data with `context` channels. Numbers stay in the format of the weights even under
    autocast: a log-determinant summed in bfloat16 is no longer exact.

    Args:
        channels: D, at least 2.
        context: channels of the context, 0 for none.
        steps: mixing-and-coupling steps.
        hidden: width of the couplings' networks.
        clamp: limit of the log scale of one coupling.
        bins: pieces of the splines that couple; 0 for affine couplings.
        generator: draws the initial weights; None for PyTorch's default.
    """

    bound = "exact"

    def __init__(
        self,
        channels: int,
        context: int = 0,
        steps: int = 8,
        hidden: int = 128,
        clamp: float = 1.9,
        generator: torch.Generator | None = None,
        bins: int = 0,
    ) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError("A coupling needs at least two channels.")
        self.channels, self.context = channels, context
        self.mixings = nn.ModuleList([Mixing(channels, generator) for _ in range(steps)])
        self.couplings = nn.ModuleList(
            [
                SplineCoupling(channels, context, hidden, bins, generator=generator)
                if bins
                else Coupling(channels, context, hidden, clamp, generator)
                for _ in range(steps)
            ]
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Noise z of the shape of `x`, and log |det dz/dx|: `(B,)` for vectors, `(B, H, W)` for maps.

        Raises:
            ValueError: another number of channels, or a context where there is none, or none where there is one.
        """
        self._check(x, context)
        with torch.autocast(x.device.type, enabled=False):
            h, c = (None if a is None else a.movedim(1, -1).to(self._dtype) for a in (x, context))
            assert h is not None
            total = h.new_zeros(h.shape[:-1])
            for mixing, coupling in zip(self.mixings, self.couplings, strict=True):
                h, constant = mixing(h)
                h, part = coupling(h, c)
                total = total + constant + part
            return h.movedim(-1, 1), total

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Exact log-density in nats: `(B,)` of vectors, `(B, H, W)` of maps, each position for itself."""
        z, log_det = self(x, context)
        return -0.5 * (z.square().sum(1) + self.channels * math.log(2 * math.pi)) + log_det

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Data to noise, of the same shape."""
        return self(x, context)[0]

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Noise to data: the inverse of `encode`."""
        self._check(z, context)
        with torch.autocast(z.device.type, enabled=False):
            h, c = (None if a is None else a.movedim(1, -1).to(self._dtype) for a in (z, context))
            assert h is not None
            for mixing, coupling in zip(reversed(self.mixings), reversed(self.couplings), strict=True):
                h = cast(Mixing, mixing).inverse(cast(Coupling, coupling).inverse(h, c))
            return h.movedim(-1, 1)

    def losses(self, x: Tensor, generator: torch.Generator, context: Tensor | None = None) -> dict[str, Tensor]:
        """`"loss"`: mean negative log-density of `x` in nats; nothing is drawn from `generator`."""
        return {"loss": -self.log_prob(x, context).mean()}

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        context: Tensor | None = None,
        on_step: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """`(n, D)`; with a context `(n, C)` or `(n, C, H, W)`, data of its shape with D channels; `on_step` once."""
        shape = (n, self.channels, *(context.shape[2:] if context is not None else ()))
        z = torch.randn(shape, generator=generator, device=generator.device)
        x = self.decode(z.to(next(self.parameters()).device), context)
        if on_step is not None:
            on_step(1, 1, x)
        return x

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _check(self, x: Tensor, context: Tensor | None) -> None:
        if x.ndim < 2 or x.shape[1] != self.channels:
            raise ValueError(f"{self.channels} channels are expected, not the shape {tuple(x.shape)}.")
        given = 0 if context is None else context.shape[1]
        if given != self.context:
            raise ValueError(f"{self.context} channels of context are expected, not {given}.")


class PictureFlow(nn.Module):
    """The density that an invertible network gives to data of any shape.

    Args:
        transform: called with data `(B, *shape)`, gives noise `(B, Z)` and log |det dz/dx| `(B,)`; its method
            `inverse(z, on_step)` goes back and calls `on_step(i, n, x)` after each of its steps.
        latent: Z, the product of the data's shape.
    """

    bound = "exact"

    def __init__(self, transform: nn.Module, latent: int) -> None:
        super().__init__()
        self.transform, self.latent = transform, latent

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density `(B,)` in nats."""
        z, log_det = self.transform(x)
        return log_det - 0.5 * (z.square().sum(1) + self.latent * math.log(2 * math.pi))

    def encode(self, x: Tensor) -> Tensor:
        """Data to noise `(B, Z)`."""
        return self.transform(x)[0]

    def decode(self, z: Tensor, on_step: Callable[[int, int, Tensor], None] | None = None) -> Tensor:
        """Noise `(B, Z)` to data: the inverse of `encode`; `on_step` sees what is on its way."""
        return cast(Any, self.transform).inverse(z, on_step)

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`"loss"`: mean negative log-density of `x` in nats; nothing is drawn from `generator`."""
        return {"loss": -self.log_prob(x).mean()}

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: Callable[[int, int, Tensor], None] | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """`n` data from noise of standard deviation `temperature`."""
        z = temperature * torch.randn(n, self.latent, generator=generator, device=generator.device)
        return self.decode(z.to(next(self.parameters())), on_step)
