"""Variational autoencoders: a latent z behind the data, inferred by a network.

For p(x, z) = p(z) p(x | z) and q(z | x) = N(mean(x), exp(log_var(x))), Jensen's inequality gives the evidence lower
bound log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)) (Kingma and Welling 2014, arXiv:1312.6114); k samples make it
tighter, log p(x) >= E log 1/k sum p(x, z_i) / q(z_i | x) (Burda et al. 2016, arXiv:1509.00519). A prior with one centre
a kind makes the latent space a map of kinds; a prior that is learnt, for example by a flow, lets z be distributed as
the data need it, and the divergence is then estimated by log q(z | x) - log p(z) (Chen et al. 2017, arXiv:1611.02731).
So it is where q is no Gaussian but one bent by a flow that sees x (Rezende and Mohamed 2015, arXiv:1505.05770). How
much of the bound the encoder gives away on a picture tells whether it knows such pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

__all__ = ["VAE", "as_described", "kl_divergence", "log_normal", "reparametrise"]

LogLikelihood = Callable[[Tensor, Tensor], Tensor]
Observe = Callable[[Tensor, "torch.Generator | None"], Tensor]


def as_described(described: Tensor, generator: torch.Generator | None) -> Tensor:
    """The decoder's answer itself as data, for a decoder that gives the mean."""
    return described


def reparametrise(mean: Tensor, log_var: Tensor, generator: torch.Generator) -> Tensor:
    """A draw of N(mean, exp(log_var)) through which gradients flow: mean + exp(log_var / 2) e, e ~ N(0, 1)."""
    noise = torch.randn(mean.shape, generator=generator, device=generator.device)
    return mean + (0.5 * log_var).exp() * noise.to(mean)


def kl_divergence(mean: Tensor, log_var: Tensor, prior_mean: Tensor | float = 0.0, prior_std: float = 1.0) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(prior_mean, prior_std²)) in nats, summed over the last dimension."""
    variance = prior_std**2
    distance = (mean - prior_mean).square()
    return 0.5 * ((distance + log_var.exp()) / variance - 1 - log_var + math.log(variance)).sum(-1)


def log_normal(x: Tensor, mean: Tensor | float, log_var: Tensor) -> Tensor:
    """The log-density of N(x; mean, exp(log_var)) summed over all dimensions but the first."""
    return -0.5 * ((x - mean).square() / log_var.exp() + log_var + math.log(2 * math.pi)).flatten(1).sum(1)


class VAE(nn.Module):
    """An encoder, a decoder and a likelihood; the prior is N(0, 1).

    Args:
        encoder: data `(B, ...)` to `(B, 2 Z)`: mean and log-variance.
        decoder: `(B, Z)` to what describes the data.
        log_likelihood: `log_likelihood(x, decoder(z))`, `(B,)` nats.
        latent: Z.
        observe: what the decoder says to data: a draw with a generator, the mean without one.
        beta: weight of the KL term in training (Higgins et al. 2017).
        prior: a learnt prior with `log_prob(z)` and `sample(n, generator)`; None for N(0, 1).
        bend: a flow from the Gaussian's draw `(B, Z)` and what else the encoder says, `(B, C)` behind mean and
            log-variance, to z and log |det| `(B,)`; None for a Gaussian posterior.
    """

    bound = "lower bound"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        log_likelihood: LogLikelihood,
        latent: int,
        observe: Observe = as_described,
        beta: float = 1.0,
        prior: nn.Module | None = None,
        bend: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.log_likelihood, self.latent = encoder, decoder, log_likelihood, latent
        self.observe, self.beta, self.prior, self.bend = observe, beta, prior, bend

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each `(B, Z)`, before it is bent."""
        mean, log_var, _ = self._said(x)
        return mean, log_var

    def _said(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.latent
        told = self.encoder(x).float()
        return told[:, :z], told[:, z : 2 * z].clamp(-12, 6), told[:, 2 * z :]

    def _bent(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor | float]:
        return (z, 0.0) if self.bend is None else self.bend(z, context)

    def _drawn(self, said: tuple[Tensor, Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A draw z `(B, Z)` of q(z | x) and log q(z | x) `(B,)`."""
        mean, log_var, context = said
        straight = reparametrise(mean, log_var, generator)
        z, log_det = self._bent(straight, context)
        return z, log_normal(straight, mean, log_var) - log_det

    def _inferred(self, said: tuple[Tensor, Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A draw z `(B, Z)` of q(z | x) and KL(q(z | x) || p(z)) `(B,)`: exact between Gaussians, else by this draw."""
        z, log_q = self._drawn(said, generator)
        if self.prior is None and self.bend is None:
            return z, kl_divergence(*said[:2])
        return z, log_q - self._log_prior(z)

    def encode(self, x: Tensor) -> Tensor:
        """Where the posterior takes its Gaussian's mean, `(B, Z)`."""
        mean, _, context = self._said(x)
        return self._bent(mean, context)[0]

    def decode(self, z: Tensor) -> Tensor:
        """The mean of the data behind `(B, Z)`."""
        return self.observe(self.decoder(z), None)

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Of data `x` `(B, ...)`: `"loss"`, minus the bound with the KL term times `beta`; both terms; `"bound"`."""
        z, divergence = self._inferred(self._said(x), generator)
        fit, divergence = self.log_likelihood(x, self.decoder(z)).mean(), divergence.mean()
        terms = {"reconstruction": -fit, "divergence": divergence, "bound": (fit - divergence).detach()}
        return {"loss": self.beta * divergence - fit, **terms}

    def elbo(self, x: Tensor, generator: torch.Generator, beta: float = 1.0) -> Tensor:
        """Evidence lower bound `(B,)` in nats, one sample; `beta` weighs the KL term (Higgins et al. 2017)."""
        return self._bound(x, self._said(x), generator, beta)

    def _bound(
        self, x: Tensor, said: tuple[Tensor, Tensor, Tensor], generator: torch.Generator, beta: float = 1.0
    ) -> Tensor:
        z, divergence = self._inferred(said, generator)
        return self.log_likelihood(x, self.decoder(z)) - beta * divergence

    def regret(
        self, x: Tensor, generator: torch.Generator, steps: int = 25, rate: float = 0.1, draws: int = 8
    ) -> Tensor:
        """What the encoder misses: nats `(B,)` by which the bound grows when q(z | x) is fitted to each x by itself.

        Small for data like those the encoder learnt from, large for others (likelihood regret, Xiao et al. 2020,
        arXiv:2003.02977). Mean and log-variance take `steps` of Adam; both bounds are means over the same `draws`.
        """
        mean, log_var, context = (part.detach() for part in self._said(x))
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))

        @torch.no_grad()
        def bound(mean: Tensor, log_var: Tensor) -> Tensor:
            same = torch.Generator(generator.device).manual_seed(seed)
            return torch.stack([self._bound(x, (mean, log_var, context), same) for _ in range(draws)]).mean(0)

        before = bound(mean, log_var)
        with torch.enable_grad():
            fitted = mean.clone().requires_grad_(), log_var.clone().requires_grad_()
            optimiser = torch.optim.Adam(fitted, rate)
            for _ in range(steps):
                slopes = torch.autograd.grad(-self._bound(x, (*fitted, context), generator).sum(), fitted)
                for part, slope in zip(fitted, slopes, strict=True):
                    part.grad = slope
                optimiser.step()
        return bound(*fitted) - before

    def _log_prior(self, z: Tensor) -> Tensor:
        if self.prior is not None:
            return cast(Any, self.prior).log_prob(z)
        return log_normal(z, 0.0, torch.zeros_like(z))

    def log_prob(self, x: Tensor, generator: torch.Generator, samples: int = 64) -> Tensor:
        """The importance-weighted bound `(B,)` in nats; it grows towards log p(x) with `samples`."""
        said, weights = self._said(x), []
        for _ in range(samples):
            z, log_q = self._drawn(said, generator)
            weights.append(self.log_likelihood(x, self.decoder(z)) + self._log_prior(z) - log_q)
        return torch.stack(weights).logsumexp(0) - math.log(samples)

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: Callable[[int, int, Tensor], None] | None = None,
        noisy: bool = True,
    ) -> Tensor:
        """`n` data through `n` draws of the prior: drawn in turn, or without `noisy` their mean; `on_step(1, 1, x)`."""
        if self.prior is not None:
            z = cast(Any, self.prior).sample(n, generator)
        else:
            z = torch.randn(n, self.latent, generator=generator, device=generator.device)
        x = self.observe(self.decoder(z.to(next(self.parameters()))), generator if noisy else None)
        if on_step is not None:
            on_step(1, 1, x)
        return x
