"""Score-based models on a straight path: flow matching, and steps of any length.

A picture x_0 and noise x_1 are joined by x_t = (1 - t) x_0 + t x_1. Regressing the velocity x_1 - x_0 gives
v(x_t, t) = E[x_1 - x_0 | x_t]; integrating dx = v dt from t = 1 to 0 draws a sample (Lipman et al. 2023,
arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003). A shortcut model is also told the length d of its step and learns
that one step of length 2d is two steps of length d (Frans et al. 2025, arXiv:2410.12557).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["SHIFT", "Velocity", "euler", "interpolate", "sample_times", "schedule", "shifted"]

SHIFT = 3.0
Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Points x_t `(B, ...)` of the straight paths from `data` (t = 0) to `noise` (t = 1), `t` `(B,)`."""
    t = t.view(-1, *[1] * (data.ndim - 1))
    return (1 - t) * data + t * noise


def shifted(u: Tensor, shift: float = SHIFT) -> Tensor:
    """Times with more of them near the noise, where large pictures decide on their colours: u in [0, 1] to t in [0, 1].

    The time shift of Esser et al. 2024 (arXiv:2403.03206), `shift` in diffusers' `FlowMatchEulerDiscreteScheduler`.
    """
    return shift * u / (1 + (shift - 1) * u)


def schedule(steps: int, start: float = 1.0, shift: float = SHIFT) -> list[float]:
    """`steps + 1` times from `start` down to 0, equally spaced before the shift."""
    first = start / (shift - (shift - 1) * start)
    return shifted(torch.linspace(first, 0, steps + 1, dtype=torch.float64), shift).tolist()


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
    project: Callable[[Tensor, float], Tensor] | None = None,
    on_step: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor:
    """Integrate from the first of `times` to the last.

    Args:
        velocity: called with x `(B, ...)`, t `(B,)` and the step's length `(B,)`.
        x: state at the first time; noise when that is 1.
        times: decreasing, see `schedule`.
        project: called with the state and its time after each step; what it returns goes on.
        on_step: called after each step with its number from 1, the number of steps and that step's estimate of the
            data; may raise to stop.
    """
    for i, (t, after) in enumerate(pairwise(times), 1):
        ones = x.new_ones(len(x))
        v = velocity(x, t * ones, (t - after) * ones)
        estimate = x - t * v
        x = x - (t - after) * v
        if project is not None:
            x = project(x, after)
        if on_step is not None:
            on_step(i, len(times) - 1, estimate)
    return x
