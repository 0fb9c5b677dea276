"""Autoregressive models: one variable after the other, each given those before it, and therefore an exact likelihood.

By the chain rule log p(x | c) = sum_i log p(x_i | x_1 ... x_(i-1), c). A causal transformer computes all terms at once,
since position i attends only to positions up to i (Vaswani et al. 2017, arXiv:1706.03762), and draws them one by one
with a memory of past keys and values. Positions enter as rotations of queries and keys, so that attention sees
distances (Su et al. 2021, arXiv:2104.09864). Discrete variables have one probability a value; real ones a mixture of K
Gaussians, p(x_i | ...) = sum_k w_k N(x_i; m_k, s_k²), whose 3 K numbers a masked network computes for all i at once
(MADE, Germain et al. 2015, arXiv:1502.03509; RNADE, Uria et al. 2013, arXiv:1306.0186).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core import logistic

__all__ = [
    "Autoregressive",
    "AutoregressiveMixture",
    "AutoregressivePicture",
    "Block",
    "Memory",
    "draw",
    "log_prob_of",
    "mixture_log_prob",
    "rotate",
]

Memory = tuple[Tensor, Tensor]


def rotate(x: Tensor, position: Tensor, longest: float = 4000.0) -> Tensor:
    """Rotate pairs of channels of `(B, H, T, C)` by angles proportional to `position` `(T,)`."""
    half = x.shape[-1] // 2
    rate = longest ** (-torch.arange(half, device=x.device) / half)
    angle = position.to(x.device)[:, None] * rate
    a, b = x.float().split(half, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).to(x.dtype)


class Block(nn.Module):
    """Transformer block with pre-norm; causal or looking both ways.

    `forward(x)` takes a whole sequence; `forward(x, memory)` takes what follows the keys and values in `memory`.
    """

    def __init__(self, width: int, heads: int, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Memory | None = None, mask: Tensor | None = None) -> tuple[Tensor, Memory]:
        """`(B, T, width)` transformed, and the memory for what follows.

        Args:
            memory: keys and values of all earlier positions; only for a causal block.
            mask: `(B, T)` bool, false for positions that nobody attends to.
        """
        q, k, v = (h.unflatten(-1, (self.heads, -1)).transpose(1, 2) for h in self.qkv(self.norm1(x)).chunk(3, -1))
        past = 0 if memory is None else memory[0].shape[2]
        position = torch.arange(past, past + x.shape[1], device=x.device)
        q, k = rotate(q, position), rotate(k, position)
        if memory is not None:
            k, v = torch.cat([memory[0], k], 2), torch.cat([memory[1], v], 2)
        seen = None
        if self.causal and x.shape[1] > 1:
            seen = position[:, None] >= torch.arange(k.shape[2], device=x.device)
        if mask is not None:
            seen = mask[:, None, None] if seen is None else seen & mask[:, None, None]
        y = F.scaled_dot_product_attention(q, k, v, seen, self.dropout if self.training else 0.0)
        x = x + self.drop(self.out(y.transpose(1, 2).flatten(2)))
        return x + self.drop(self.mlp(self.norm2(x))), (k, v)


def log_prob_of(logits: Tensor, x: Tensor) -> Tensor:
    """Log-probability in nats `(...)` of values `x` `(...)` under `logits` `(..., K)`, in float32."""
    flat = F.cross_entropy(logits.float().flatten(0, -2), x.flatten(), reduction="none")
    return -flat.view(x.shape)


def draw(logits: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
    """Values `(...)` drawn from `logits` `(..., K)`; temperature 0 takes the likeliest."""
    if temperature <= 0:
        return logits.argmax(-1)
    p = (logits.float() / temperature).softmax(-1)
    flat = torch.multinomial(p.flatten(0, -2).to(generator.device), 1, generator=generator)
    return flat.view(p.shape[:-1]).to(logits.device)


class _Factorised(nn.Module, ABC):
    """What follows from an exact density that is a product of conditionals."""

    bound = "exact"

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density or log-probability `(B,)` in nats."""

    def encode(self, x: Tensor) -> Tensor:
        """There is no latent.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("An autoregressive model has no latent representation.")

    def decode(self, z: Tensor) -> Tensor:
        """There is no latent.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("An autoregressive model has no latent representation.")

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`"loss"`: mean of -`log_prob(x)` in nats; nothing is drawn from `generator`."""
        return {"loss": -self.log_prob(x).mean()}


class Autoregressive(_Factorised):
    """D discrete variables of K values under a network whose logits at i depend on earlier variables only.

    Args:
        network: values `(B, D)` in 0 to K - 1 to logits `(B, D, K)`.
        length: D.
    """

    def __init__(self, network: nn.Module, length: int) -> None:
        super().__init__()
        self.network, self.length = network, length

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-probability `(B,)` in nats of `(B, D)`."""
        return log_prob_of(self.network(x), x).sum(1)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: Callable[[int, int, Tensor], None] | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """`(n, D)` values, drawn one variable a step; `on_step(i, D, x)` may raise to stop."""
        device = next(self.parameters()).device
        x = torch.zeros(n, self.length, dtype=torch.long, device=device)
        for i in range(self.length):
            x[:, i] = draw(self.network(x)[:, i], generator, temperature)
            if on_step is not None:
                on_step(i + 1, self.length, x)
        return x


def mixture_log_prob(amounts: Tensor, x: Tensor) -> Tensor:
    """Log-density in nats `(...)` of `x` `(...)` under mixtures of K Gaussians given by `amounts` `(..., 3 K)`.

    These are K weights before their softmax, K means and K log standard deviations, kept above -6.
    """
    weight, mean, log_std = amounts.chunk(3, -1)
    log_std = log_std.clamp_min(-6)
    error = (x[..., None] - mean) * (-log_std).exp()
    each = weight.log_softmax(-1) - 0.5 * error.square() - log_std
    return each.logsumexp(-1) - 0.5 * math.log(2 * math.pi)


class AutoregressiveMixture(_Factorised):
    """D real variables, each a mixture of Gaussians under a network that sees the earlier ones only.

    Args:
        network: values `(B, D)` to `(B, D, 3 K)`, see `mixture_log_prob`.
        length: D.
    """

    def __init__(self, network: nn.Module, length: int) -> None:
        super().__init__()
        self.network, self.length = network, length

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density `(B,)` in nats of `(B, D)`."""
        return self.conditionals(x).sum(1)

    def conditionals(self, x: Tensor) -> Tensor:
        """Each log p(x_i | earlier ones) `(B, D)` in nats."""
        return mixture_log_prob(self.network(x), x)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """`(n, D)` values, drawn one variable a step; `on_step(i, D, x)` may raise to stop, later ones are still 0."""
        x = torch.zeros(n, self.length, device=next(self.parameters()).device)
        for i in range(self.length):
            weight, mean, log_std = self.network(x)[:, i].chunk(3, -1)
            which = draw(weight, generator)[:, None]
            noise = torch.randn(n, generator=generator, device=generator.device).to(x)
            spread = log_std.clamp_min(-6).exp().gather(1, which)[:, 0]
            x[:, i] = mean.gather(1, which)[:, 0] + spread * noise
            if on_step is not None:
                on_step(i + 1, self.length, x)
        return x


class AutoregressivePicture(_Factorised):
    """Grey pictures, pixel by pixel from the upper left: each brightness of 0 to 255 a mixture of logistics.

    Args:
        network: pictures `(B, 1, H, W)` in [-1, 1] to `(B, H, W, 3 K)`, see `demos.core.logistic`, each pixel's answer
            depending on earlier pixels only. Its `session(n)` says the same pixel by pixel: `amounts(row, column)`
            gives `(n, 3 K)`, and `write(row, column, x)` lets a pixel be `x` `(n,)`.
        shape: H and W.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-probability `(B,)` in nats of brightnesses `(B, 1, H, W)`."""
        return self.conditionals(x).flatten(1).sum(1)

    def conditionals(self, x: Tensor) -> Tensor:
        """Each pixel's log-probability given those before it, `(B, H, W)` in nats."""
        return logistic.log_prob(self.network(x.float() / 127.5 - 1), x[:, 0])

    @torch.no_grad()
    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: Callable[[int, int, Tensor], None] | None = None,
        known: Tensor | None = None,
        erased: Tensor | None = None,
    ) -> Tensor:
        """`(n, 1, H, W)` brightnesses, int64; `on_step(i, H W, x)` may raise to stop, later pixels are still 0.

        Args:
            n: how many.
            generator: draws the pixels.
            on_step: called after each pixel.
            known: brightnesses `(n, 1, H, W)` to begin with.
            erased: `(H, W)` bool, which of them to draw. Where no known pixel comes after an erased one this draws from
                the exact p(erased | known); else each drawn pixel follows from those before it alone.
        """
        height, width = self.shape
        x = torch.zeros(n, 1, height, width, dtype=torch.long) if known is None else known.long().clone()
        x = x.to(next(self.parameters()).device)
        if known is not None and erased is not None:
            x[:, :, erased] = 0
        session = cast(Any, self.network).session(n)
        for i in range(height * width):
            row, column = divmod(i, width)
            amounts = session.amounts(row, column)
            if erased is None or erased[row, column]:
                x[:, 0, row, column] = logistic.draw(amounts, generator).to(x)
            session.write(row, column, x[:, 0, row, column].float() / 127.5 - 1)
            if on_step is not None:
                on_step(i + 1, height * width, x)
        return x
