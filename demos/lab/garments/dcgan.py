"""DCGAN, the baseline among adversarial networks (Radford et al. 2015, arXiv:1511.06434).

Strided convolutions, batch normalisation, ReLU in the generator and leaky ReLU in the discriminator; both take turns
with Adam at 0.0002 and momentum 0.5; the generator minimises -log D(G(z)). It is told no label. One stride less than
published, because the pictures are 28 pixels wide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from demos.core.device import autocast
from demos.families.gan import frozen
from demos.lab.garments.data import scaled
from demos.lab.garments.kinds import pictures

__all__ = ["Discriminator", "Generator", "trained_dcgan"]

BATCH, LR, MOMENTUM = 64, 2e-4, 0.5


class Generator(nn.Sequential):
    """Noise `(B, latent)` to pictures `(B, 1, 28, 28)` in [-1, 1]."""

    def __init__(self, latent: int = 100, width: int = 64) -> None:
        self.latent = latent
        super().__init__(
            nn.Unflatten(1, (latent, 1, 1)),
            nn.ConvTranspose2d(latent, 2 * width, 7, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        self.apply(_begin)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` pictures uint8 `(n, 1, 28, 28)`, batches normalised by what training saw."""
        with torch.no_grad():
            return pictures("gan", self.eval()(torch.randn(n, self.latent, generator=generator)))


class Discriminator(nn.Sequential):
    """Pictures `(B, 1, 28, 28)` to the logit of being real `(B, 1)`."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(
            nn.Conv2d(1, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 7),
            nn.Flatten(),
        )
        self.apply(_begin)


def _begin(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def trained_dcgan(x: Tensor, steps: int, seed: int) -> Generator:
    """A generator that learnt pictures `x` `(N, 1, 28, 28)` uint8 for `steps` batches."""
    torch.manual_seed(seed)
    generator, discriminator, rng = Generator(), Discriminator(), torch.Generator().manual_seed(seed)
    both = [torch.optim.Adam(part.parameters(), LR, (MOMENTUM, 0.999)) for part in (generator, discriminator)]

    def take(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    for _ in trange(steps, desc=f"DCGAN, seed {seed}"):
        real = scaled(x[torch.randint(len(x), (BATCH,), generator=rng)])
        with autocast("cpu"):
            made = generator(torch.randn(BATCH, generator.latent, generator=rng))
            told = discriminator(made.detach()), discriminator(real)
        take(F.softplus(told[0].float()).mean() + F.softplus(-told[1].float()).mean(), both[1])
        with frozen(discriminator), autocast("cpu"):
            told = discriminator(made)
        take(F.softplus(-told.float()).mean(), both[0])
    return generator
