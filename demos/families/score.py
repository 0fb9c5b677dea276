"""Score-based models on a straight path: flow matching, and steps of any length.

A picture x_0 and noise x_1 are joined by x_t = (1 - t) x_0 + t x_1. Regressing the velocity x_1 - x_0 gives
v(x_t, t) = E[x_1 - x_0 | x_t]; integrating dx = v dt from t = 1 to 0 draws a sample (Lipman et al. 2023,
arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003). A shortcut model is also told the length d of its step and learns
that one step of length 2d is two steps of length d (Frans et al. 2025, arXiv:2410.12557).

The same equation, followed from t = 0 to 1, takes data to noise; the density changes on the way by the divergence of v,
log p(x_0) = log N(x_1; 0, 1) + ∫ div v(x_t, t) dt (Chen et al. 2018, arXiv:1806.07366). The divergence is exact where D
derivatives are cheap; else e·∂v/∂x·e averages to it for random signs e (Hutchinson 1990; arXiv:1810.01367).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = [
    "SHIFT",
    "FlowMatching",
    "Velocity",
    "divergence",
    "euler",
    "heun",
    "interpolate",
    "sample_times",
    "schedule",
    "shifted",
    "unshifted",
]

SHIFT = 3.0
Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
Time = TypeVar("Time", float, Tensor)


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Points x_t `(B, ...)` of the straight paths from `data` (t = 0) to `noise` (t = 1), `t` `(B,)`."""
    t = t.view(-1, *[1] * (data.ndim - 1))
    return (1 - t) * data + t * noise


def shifted(u: Time, shift: float = SHIFT) -> Time:
    """Times with more of them near the noise, where large pictures decide on their colours: u in [0, 1] to t in [0, 1].

    The time shift of Esser et al. 2024 (arXiv:2403.03206), `shift` in diffusers' `FlowMatchEulerDiscreteScheduler`.
    """
    return shift * u / (1 + (shift - 1) * u)


def unshifted(t: Time, shift: float = SHIFT) -> Time:
    """The inverse of `shifted`."""
    return t / (shift - (shift - 1) * t)


def schedule(steps: int, start: float = 1.0, shift: float = SHIFT) -> list[float]:
    """`steps + 1` times from `start` down to 0, equally spaced before the shift."""
    return shifted(torch.linspace(unshifted(start, shift), 0, steps + 1, dtype=torch.float64), shift).tolist()


def sample_times(n: int, generator: torch.Generator, mean: float = 0.7, std: float = 1.2) -> Tensor:
    """`(n,)` logit-normal times in (0, 1), a tenth of them uniform so that both ends are seen."""
    t = torch.sigmoid(mean + std * torch.randn(n, generator=generator))
    uniform = torch.rand(n, generator=generator)
    return torch.where(torch.rand(n, generator=generator) < 0.1, uniform, t)


def euler(
    velocity: Velocity,
    x: Tensor,
    times: list[float],
    *,
    order: int = 1,
    project: Callable[[Tensor, float], Tensor] | None = None,
    on_step: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor:
    """Integrate from the first of `times` to the last, one evaluation a step.

    Args:
        velocity: called with x `(B, ...)`, t `(B,)` and the step's length `(B,)`.
        x: state at the first time; noise when that is 1.
        times: decreasing, see `schedule`.
        order: 2 follows the line through this step's velocity and the one before (Adams and Bashforth), as far as the
            middle of the step; for a velocity that does not depend on the step's length.
        project: called with the state and its time after each step; what it returns goes on.
        on_step: called after each step with its number from 1, the number of steps and that step's estimate of the
            data, at t = 0 the state itself; may raise to stop.
    """
    before = None
    for i, (t, after) in enumerate(pairwise(times), 1):
        ones, length = x.new_ones(len(x)), t - after
        v = velocity(x, t * ones, length * ones)
        estimate = x - t * v
        bend = 0.0 if order == 1 or before is None else length / (2 * before[1]) * (v - before[0])
        x, before = x - length * (v + bend), (v, length)
        if project is not None:
            x = project(x, after)
        if on_step is not None:
            on_step(i, len(times) - 1, estimate if after else x)
    return x


def heun(
    field: Callable[[Tensor, float], Tensor],
    x: Tensor,
    times: Sequence[float],
    on_step: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor:
    """Integrate dx/dt = field(x, t) through `times`, in either direction, by the trapezoid of two slopes a step.

    `on_step` is called after each step with its number from 1, the number of steps and the state; it may raise to stop.
    """
    for i, (t, after) in enumerate(pairwise(times), 1):
        here = field(x, t)
        there = field(x + (after - t) * here, after)
        x = x + (after - t) * (here + there) / 2
        if on_step is not None:
            on_step(i, len(times) - 1, x)
    return x


def divergence(field: Callable[[Tensor], Tensor], x: Tensor, probe: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The field at `x` `(B, ...)` and its divergence `(B,)`: exact by D derivatives, or along a `probe` like `x`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = field(x)
        if probe is not None:
            (turned,) = torch.autograd.grad(v, x, probe)
            return v.detach(), (turned * probe).flatten(1).sum(1)
        flat, total = v.flatten(1), x.new_zeros(len(x))
        for d in range(flat.shape[1]):
            (row,) = torch.autograd.grad(flat[:, d].sum(), x, retain_graph=d + 1 < flat.shape[1])
            total = total + row.flatten(1)[:, d]
    return v.detach(), total


class FlowMatching(nn.Module):
    """A velocity that carries noise to data along nearly straight paths.

    Args:
        network: called with x `(B, ...)` and t `(B,)`; gives a velocity like x.
        shape: of one datum, `(D,)` or `(C, H, W)`.
        steps: of the solver, two evaluations each.
        probes: random directions for the divergence; 0 computes it exactly.
    """

    bound = "exact"

    def __init__(self, network: nn.Module, shape: tuple[int, ...], steps: int = 24, probes: int = 0) -> None:
        super().__init__()
        self.network, self.shape, self.steps, self.probes = network, shape, steps, probes
        if probes:
            self.bound = "estimate"

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        """The velocity at `x` `(B, ...)` and time `t`, one for all or `(B,)`."""
        return self.network(x, t if isinstance(t, Tensor) else x.new_full((len(x),), t))

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`"loss"`: mean square of the velocity's error for data `x`."""
        noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
        t = torch.rand(len(x), generator=generator, device=generator.device).to(x)
        return {"loss": (self.velocity(interpolate(x, noise, t), t) - (noise - x)).square().mean()}

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Data to noise of the same shape."""
        return heun(self.velocity, x, self._times())

    @torch.no_grad()
    def decode(self, z: Tensor, on_step: Callable[[int, int, Tensor], None] | None = None) -> Tensor:
        """Noise to data; `on_step(i, steps, x)` sees the points on their way."""
        return heun(self.velocity, z, self._times()[::-1], on_step)

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """`(n, *shape)`."""
        z = torch.randn(n, *self.shape, generator=generator, device=generator.device)
        return self.decode(z.to(next(self.parameters())), on_step)

    def log_prob(self, x: Tensor, generator: torch.Generator | None = None, steps: int | None = None) -> Tensor:
        """Log-density `(B,)` in nats, exact but for the solver's steps; with `probes` an estimate.

        Args:
            x: data.
            generator: draws the probes; needed if there are any.
            steps: of the solver; the model's own if None.
        """
        probes: Sequence[Tensor | None] = [None]
        if self.probes:
            if generator is None:
                raise ValueError("A generator is needed to draw the probes.")
            coin = torch.randint(0, 2, (self.probes, *x.shape), generator=generator, device=generator.device)
            probes = list(coin.to(x) * 2 - 1)
        total = torch.zeros(len(x), device=x.device)
        for t, after in pairwise(self._times(steps)):
            here, spread = self._slope(x, t, probes)
            there, spread_there = self._slope(x + (after - t) * here, after, probes)
            x = x + (after - t) * (here + there) / 2
            total = total + (after - t) * (spread + spread_there) / 2
        return total - 0.5 * (x.square().flatten(1).sum(1) + math.prod(self.shape) * math.log(2 * math.pi))

    def _slope(self, x: Tensor, t: float, probes: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        found = [divergence(lambda x: self.velocity(x, t), x, probe) for probe in probes]
        return found[0][0], torch.stack([part for _, part in found]).mean(0)

    def _times(self, steps: int | None = None) -> list[float]:
        """Times from data (0) to noise (1), closer to each other at both ends."""
        n = steps or self.steps
        return [0.5 - 0.5 * math.cos(math.pi * i / n) for i in range(n + 1)]
