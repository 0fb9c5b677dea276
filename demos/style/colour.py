"""Colours of a picture as mean and covariance, and their transfer.

Between two Gaussians the optimal map is linear: with covariances A and B it is A^(-1/2) (A^(1/2) B A^(1/2))^(1/2)
A^(-1/2). Applied to the colours of a picture it is Reinhard's transfer (2001) without a choice of axes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MOMENTS", "moments", "recolour", "transfer"]

MOMENTS = 9
_UPPER = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)


def moments(x: Tensor) -> Tensor:
    """Mean (3) and upper triangle of the covariance (6) of the colours of `(B, 3, H, W)`, as `(B, 9)`."""
    flat = x.float().flatten(2)
    mean = flat.mean(2, keepdim=True)
    covariance = (flat - mean) @ (flat - mean).transpose(1, 2) / flat.shape[2]
    return torch.cat([mean[:, :, 0], covariance[:, _UPPER[0], _UPPER[1]]], 1)


def recolour(x: Tensor, wanted: Tensor, strength: Tensor) -> Tensor:
    """`x` `(B, 3, H, W)` in [-1, 1] on its way to the `moments` `wanted` `(B, 9)`, as far as `strength` `(B,)` says."""
    with torch.autocast(x.device.type, enabled=False):
        here = moments(x)
        a, b = (_covariance(m.double()) for m in (here, wanted))
        root = _power(a, 0.5)
        inverse = _power(a, -0.5)
        matrix = (inverse @ _power(root @ b @ root, 0.5) @ inverse).to(x.dtype)
        moved = matrix @ (x.flatten(2) - here[:, :3, None]) + wanted[:, :3, None].to(x.dtype)
        return torch.lerp(x, moved.view_as(x).clamp(-1, 1), strength.view(-1, 1, 1, 1).to(x.dtype))


def transfer(content: Tensor, style: Tensor) -> Tensor:
    """`content` `(B, 3, H, W)` in the colours of `style` `(B, 3, h, w)`, in [-1, 1]."""
    return recolour(content, moments(style), content.new_ones(len(content)))


def _covariance(m: Tensor) -> Tensor:
    full = m.new_zeros(len(m), 3, 3)
    full[:, _UPPER[0], _UPPER[1]] = m[:, 3:]
    full[:, _UPPER[1], _UPPER[0]] = m[:, 3:]
    return full + 1e-4 * torch.eye(3, dtype=m.dtype, device=m.device)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-9)[:, None] ** exponent) @ vectors.transpose(1, 2)
