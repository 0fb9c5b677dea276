"""Muon: steps of equal size in every direction of a matrix.

A gradient's momentum is dominated by a few directions; Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon)
replaces its singular values by ones. Small networks that learn for an hour come further with it than with Adam: five
small matrix products a step cost little beside the gradient. It is meant for the weights between hidden features.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonal"]


def orthogonal(matrix: Tensor) -> Tensor:
    """`U V'` of `matrix = U S V'`, `(M, N)`, roughly: singular values of 0.01 and more of the norm become 0.7 to 1.2.

    Five steps of a Newton-Schulz iteration of degree five, with Jordan's coefficients.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.mT
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x if wide else x.mT


class Muon(torch.optim.AdamW):
    """AdamW; for some weights with orthogonalised momentum.

    Args:
        others: parameters for AdamW.
        matrices: weights `(M, ...)` for Muon, the dimensions after the first taken as one.
        scale: of Muon's steps in multiples of the learning rate.
        momentum: of Muon.
        settings: of AdamW; the decay of weights is for both.
    """

    def __init__(
        self,
        others: Iterable[nn.Parameter],
        matrices: Iterable[nn.Parameter],
        scale: float = 8.0,
        momentum: float = 0.95,
        **settings: Any,
    ) -> None:
        super().__init__([{"params": list(others)}], **settings)
        self.scale, self.momentum = scale, momentum
        self.add_param_group({"params": list(matrices), "orthogonal": True})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; the matrices' gradients are used up by it."""
        for group in self.param_groups:
            for weight in group["params"] if group.get("orthogonal") else ():
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:  # under Adam's names, so that it is saved and loaded like the others'
                    state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(weight))
                state["step"] += 1
                past = state["exp_avg"].lerp_(weight.grad, 1 - self.momentum)
                ahead = orthogonal(weight.grad.lerp(past, self.momentum).flatten(1))
                rows, columns = ahead.shape
                size = self.scale * group["lr"]
                weight.mul_(1 - size * group["weight_decay"])
                weight.add_(ahead.view_as(weight), alpha=-size * max(1.0, rows / columns) ** 0.5)
                weight.grad = None
        return super().step(closure)
