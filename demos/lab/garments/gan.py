"""Generator and discriminator of the garments' adversarial pair, both told the label."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config
from demos.families.gan import RelativisticGAN
from demos.lab.garments.layers import Block, Given, Labels

__all__ = ["GarmentDiscriminator", "GarmentGenerator", "pair"]


class GarmentGenerator(ModelMixin):
    """Noise `(B, latent)` and label `(B,)` to pictures `(B, 1, 28, 28)` in [-1, 1]."""

    @register_to_config
    def __init__(self, latent: int = 64, widths: tuple[int, int] = (96, 64), embedding: int = 96) -> None:
        super().__init__()
        a, b = widths
        self.latent = latent
        self.labels = Labels(embedding)
        self.mix = nn.Linear(latent, embedding)
        self.first = nn.Linear(latent + embedding, 49 * a)
        self.coarse, self.fine = Block(a, a, embedding), Block(a, b, embedding)
        self.last = nn.Sequential(nn.Conv2d(b, 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """The pictures."""
        label_emb = self.labels(label)
        emb = F.silu(label_emb + self.mix(z))
        h = self.first(torch.cat([z, label_emb], 1)).unflatten(1, (-1, 7, 7))
        h = F.interpolate(self.coarse(h, emb), scale_factor=2.0, mode="nearest")
        return self.last(F.silu(self.fine(h, emb))).float().tanh()


class GarmentDiscriminator(nn.Module):
    """Pictures `(B, 1, 28, 28)` and label to scores `(B,)`, the label's part by a product (arXiv:1802.05637).

    No layer normalises: the penalties keep it smooth (R3GAN).
    """

    def __init__(self, widths: tuple[int, int] = (32, 64)) -> None:
        super().__init__()
        a, b = widths
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, a, 3, padding=1))
        self.fine, self.coarse = _Residual(a), _Residual(b)
        self.down = nn.Conv2d(a, b, 4, stride=2, padding=1)
        self.project = nn.Linear(49 * b, 128)
        self.score = nn.Linear(128, 1)
        self.labels = Labels(128)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """The scores."""
        h = self.coarse(self.down(self.fine(self.stem(x))))
        h = F.leaky_relu(self.project(h.flatten(1)), 0.2)
        return (self.score(h)[:, 0] + (h * self.labels(label)).mean(1)).float()


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))


def pair(generator: GarmentGenerator, discriminator: nn.Module, label: Tensor, penalty: float = 0.1) -> RelativisticGAN:
    """The family's model of labels `(B,)`; only training asks the discriminator."""
    return RelativisticGAN(Given(generator, label), Given(discriminator, label), generator.latent, penalty)
