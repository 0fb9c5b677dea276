"""Mixtures of discretised logistics: probabilities of the 256 brightnesses of a pixel.

A brightness v of 0 to 255 lies at x = v / 127.5 - 1 and stands for the interval of half-width 1/255 around it; the
first and the last take the tails. With a, b the interval's ends after subtracting the mean and dividing by the scale,
P(v) = S(a) - S(b) = S(a) S(-b) (1 - exp(b - a)) for the logistic function S, which stays finite in logarithms
(PixelCNN++, Salimans et al. 2017, arXiv:1701.05517).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LEVELS", "draw", "log_prob", "mean"]

LEVELS = 256
LEAST_LOG_SCALE = -7.0


def _parts(amounts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weight, centre, log_scale = amounts.float().chunk(3, -1)
    return weight, centre, log_scale.clamp_min(LEAST_LOG_SCALE)


def log_prob(amounts: Tensor, levels: Tensor) -> Tensor:
    """Log-probability in nats `(...)`.

    Args:
        amounts: `(..., 3 K)`: K weights before their softmax, K means in units of x, K log scales.
        levels: `(...)` whole numbers 0 to 255 of any type.
    """
    weight, centre, log_scale = _parts(amounts)
    v = levels[..., None].to(centre)
    rate = (-log_scale).exp()
    middle = (v / 127.5 - 1 - centre) * rate
    half = rate / 255
    upper = F.logsigmoid(middle + half).masked_fill(v >= LEVELS - 1, 0.0)
    lower = F.logsigmoid(half - middle).masked_fill(v <= 0, 0.0)
    edge = (v <= 0) | (v >= LEVELS - 1)
    inner = (-torch.expm1(-2 * half)).clamp_min(1e-12).log().masked_fill(edge, 0.0)
    return (weight.log_softmax(-1) + upper + lower + inner).logsumexp(-1)


def draw(amounts: Tensor, generator: torch.Generator) -> Tensor:
    """Brightnesses `(...)`, int64, drawn from `amounts` `(..., 3 K)`."""
    weight, centre, log_scale = _parts(amounts)
    u = torch.rand(weight.shape, generator=generator, device=generator.device).to(weight).clamp(1e-6, 1 - 1e-6)
    which = (weight - (-u.log()).log()).argmax(-1, keepdim=True)
    v = torch.rand(which.shape, generator=generator, device=generator.device).to(weight).clamp(1e-6, 1 - 1e-6)
    x = centre.gather(-1, which) + log_scale.gather(-1, which).exp() * (v.log() - (-v).log1p())
    return ((x[..., 0] + 1) * 127.5).round().clamp(0, LEVELS - 1).long()


def mean(amounts: Tensor) -> Tensor:
    """The mean brightness `(...)` in units of x, [-1, 1].

    E clip(X) = -1 + s (softplus((m + 1) / s) - softplus((m - 1) / s)), weighted over the mixture.
    """
    weight, centre, log_scale = _parts(amounts)
    scale = log_scale.exp()
    each = scale * (F.softplus((centre + 1) / scale) - F.softplus((centre - 1) / scale)) - 1
    return (weight.softmax(-1) * each).sum(-1)
