"""Dense networks for pictures of zeros and ones: a deep MADE and a variational autoencoder.

MADE gives every hidden unit a degree m and lets it see the first m pixels only, and pixel i the units of degree i and
below (Germain et al. 2015, arXiv:1502.03509). All hidden layers have the same degrees here, so that each can be added
to the one before (residual blocks; Nash and Durkan 2019, arXiv:1904.05626).

The autoencoder's pixels are independent given z, or `linked`: to each pixel's logit its decoder adds a weighted sum of
the pixels before it, so that z is left to say what that can't (Chen et al. 2017, arXiv:1611.02731; PixelVAE, Gulrajani
et al. 2017, arXiv:1611.05013). Both its prior and its posterior are flows: the posterior bends a Gaussian by couplings
that see the picture (Rezende and Mohamed 2015, arXiv:1505.05770).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.families.autoregressive import Autoregressive
from demos.families.flow import Flow
from demos.families.vae import VAE
from demos.lab.garments.data import SIDE

__all__ = ["BinaryMADE", "BinaryVAE", "bernoulli"]


def _signed(x: Tensor) -> Tensor:
    return 2 * x - 1


class _Masked(nn.Linear):
    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(torch.bool), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.mask, self.bias)


class BinaryMADE(ModelMixin):
    """Values 0 and 1 `(B, D)` to logits `(B, D, 2)`, each blind to its own and later values; `family()` models them."""

    @register_to_config
    def __init__(self, length: int = SIDE**2, width: int = 1536, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.length = length
        pixel = torch.arange(length)
        degree = 1 + torch.arange(width) * (length - 1) // width
        hidden = degree[:, None] >= degree
        self.first = _Masked(degree[:, None] > pixel)
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(nn.SiLU(), _Masked(hidden), nn.SiLU(), nn.Dropout(dropout), _Masked(hidden))
                for _ in range(depth)
            ]
        )
        self.last = _Masked(pixel[:, None] >= degree)
        self.direct = _Masked(pixel[:, None] > pixel)

    def forward(self, x: Tensor) -> Tensor:
        """The logits; those of 0 are 0."""
        signed = _signed(x.to(self.direct.weight))
        h = self.first(signed)
        for block in self.blocks:
            h = h + block(h)
        one = self.last(F.silu(h)) + self.direct(signed)
        return torch.stack([torch.zeros_like(one), one], -1)

    def family(self) -> Autoregressive:
        """The model of values `(B, D)`."""
        return Autoregressive(self, self.length)


class _Residual(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.first, self.last = nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.drop(F.glu(self.first(self.norm(x)), -1)))


def _dense(inputs: int, outputs: int, width: int, depth: int, dropout: float) -> nn.Sequential:
    body = [_Residual(width, dropout) for _ in range(depth)]
    return nn.Sequential(nn.Linear(inputs, width), *body, nn.LayerNorm(width), nn.GELU(), nn.Linear(width, outputs))


def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Log-probability `(B,)` in nats of values 0 and 1 `(B, D)` under logits of 1 `(B, D)`."""
    return -F.binary_cross_entropy_with_logits(logits.float(), x.float(), reduction="none").sum(1)


def _drawn(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Zeros and ones with these logits of 1, or without a generator their means."""
    p = logits.float().sigmoid()
    return p if generator is None else torch.bernoulli(p, generator=generator)


class BinaryVAE(ModelMixin):
    """Encoder, decoder, prior and the posterior's bend; `family()` is the model of values 0 and 1 `(B, D)`.

    `linked`: whether a pixel depends on those before it as well as on z; a sample is then drawn pixel by pixel.
    """

    @register_to_config
    def __init__(
        self, length: int = SIDE**2, latent: int = 40, width: int = 512, depth: int = 2, context: int = 64,
        steps: int = 4, dropout: float = 0.1, linked: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.latent = latent
        pixel = torch.arange(length)
        self.link = _Masked(pixel[:, None] > pixel) if linked else None
        self.encoder: Any = _dense(length, 2 * latent + context, width, depth, dropout)
        self.decoder = _dense(latent, length, width, depth, 0.0)
        self.prior = Flow(latent, steps=steps, hidden=128)
        self.bend = Flow(latent, context, steps=steps, hidden=128)

    def _log_likelihood(self, x: Tensor, logits: Tensor) -> Tensor:
        return bernoulli(x, logits if self.link is None else logits + self.link(_signed(x)))

    def _observe(self, logits: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.link is None:
            return _drawn(logits, generator)
        x, weight = torch.zeros_like(logits), self.link.weight * self.link.mask
        for i in range(x.shape[1]):
            x[:, i] = _drawn(logits[:, i] + _signed(x) @ weight[i] + self.link.bias[i], generator)
        return x

    def family(self) -> VAE:
        """The model of values `(B, D)`."""
        parts = self.encoder, self.decoder, self._log_likelihood, self.latent, self._observe
        return VAE(*parts, prior=self.prior, bend=self.bend)
