"""Generative adversarial networks: a generator that a discriminator cannot tell from data.

The discriminator D raises its scores of real data and lowers those of made data, up to a margin: the hinge loss
E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))); the generator raises D(G(z)) (Goodfellow et al. 2014, arXiv:1406.2661; Lim
and Ye 2017, arXiv:1705.02894). Both losses are formed at the same weights and added: each reaches only its own
network, so that one optimiser and the loop that all families share train the pair.

The hinge can forget modes of the data. A relativistic pair scores real against made data, D(x) - D(G(z)) (Jolicoeur-
Martineau 2019, arXiv:1807.00734), and penalties γ/2 E |∇D|² at both make it converge: log(1 + exp(-(D(x) - D(G(z)))))
plus R1 (Mescheder et al. 2018, arXiv:1801.04406) and R2 is R3GAN (Huang et al. 2024, arXiv:2501.05441).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GAN", "RelativisticGAN", "critic_loss", "feature_distance", "frozen", "generator_loss"]


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No parameter of `module` takes part in graphs built inside; its inputs still get gradients."""
    before = [p.requires_grad for p in module.parameters()]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for p, wanted in zip(module.parameters(), before, strict=True):
            p.requires_grad_(wanted)


def critic_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Hinge loss of a discriminator, averaged over its parts; scores of any shape."""
    parts = [F.relu(1 - r.float()).mean() + F.relu(1 + m.float()).mean() for r, m in zip(real, made, strict=True)]
    return torch.stack(parts).mean()


def generator_loss(made: Sequence[Tensor]) -> Tensor:
    """Minus the scores of what the generator made, averaged over the discriminator's parts."""
    return -torch.stack([m.float().mean() for m in made]).mean()


def feature_distance(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of a discriminator's features, relative to those of the data (arXiv:1512.09300)."""
    parts = [
        (r.detach().float() - m.float()).abs().mean() / r.detach().float().abs().mean().clamp_min(1e-4)
        for r, m in zip(real, made, strict=True)
    ]
    return torch.stack(parts).mean()


class GAN(nn.Module):
    """A generator from noise `(B, Z)` to data and a discriminator from data to scores `(B, ...)`."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent: int) -> None:
        super().__init__()
        self.generator, self.discriminator, self.latent = generator, discriminator, latent

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`"loss"`, the sum of the pair's losses, and both terms, for data `x` `(B, ...)`."""
        made = self.sample(len(x), generator)
        with frozen(self.discriminator):
            fool = generator_loss([self.discriminator(made)])
        critic = critic_loss([self.discriminator(x)], [self.discriminator(made.detach())])
        return {"loss": fool + critic, "generator": fool, "critic": critic}

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """`n` samples; `on_step(1, 1, x)` once."""
        x = self.decode(torch.randn(n, self.latent, generator=generator, device=generator.device))
        if on_step is not None:
            on_step(1, 1, x)
        return x

    def decode(self, z: Tensor) -> Tensor:
        """What the generator makes of noise `(B, Z)`."""
        return self.generator(z.to(next(self.parameters())))

    def log_prob(self, x: Tensor) -> Tensor:
        """There is no density.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("An adversarial network gives no density.")

    def encode(self, x: Tensor) -> Tensor:
        """There is no encoder.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("An adversarial network gives no representation of data.")


class RelativisticGAN(GAN):
    """R3GAN: real against made data, with penalties on the discriminator's slope at both.

    Args:
        generator, discriminator, latent: as for `GAN`.
        penalty: γ; the smaller, the sharper and the less stable.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent: int, penalty: float = 0.1) -> None:
        super().__init__(generator, discriminator, latent)
        self.penalty = penalty

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`"loss"`, the sum of the pair's losses, both terms and the penalty, for data `x` `(B, ...)`."""
        made = self.sample(len(x), generator)
        with frozen(self.discriminator):
            fool = F.softplus(self.discriminator(x) - self.discriminator(made)).mean()
        both = torch.cat([x, made.detach()]).requires_grad_()
        real, fake = (score := self.discriminator(both)).chunk(2)
        critic = F.softplus(fake - real).mean()
        (slope,) = torch.autograd.grad(score.sum(), both, create_graph=True)
        penalty = self.penalty * slope.square().flatten(1).sum(1).mean()
        return {"loss": fool + critic + penalty, "generator": fool, "critic": critic, "penalty": penalty.detach()}
