"""The networks of the garments' VAE: a flat latent, a mixture of logistics for every pixel, and a learnt prior.

A standard Gaussian as prior leaves places where no garment lies, and the label would say nothing about z; so the prior
is a small flow p(z | label) (Chen et al. 2017, arXiv:1611.02731).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.logistic import draw, log_prob, mean
from demos.core.network import ModelMixin, register_to_config
from demos.families.flow import Flow
from demos.families.vae import VAE
from demos.lab.garments.layers import Block, Given, Labels

__all__ = ["GarmentVAE"]


class _Encoder(nn.Module):
    def __init__(self, latent: int, widths: tuple[int, int], embedding: int) -> None:
        super().__init__()
        b, c = widths
        self.labels = Labels(embedding)
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, b, 3, padding=1))
        self.blocks = nn.ModuleList([Block(b, b, embedding), Block(c, c, embedding), Block(c, c, embedding)])
        self.down = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.last = nn.Linear(49 * c, 2 * latent)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        emb = F.silu(self.labels(label))
        h = self.down(self.blocks[0](self.stem(x), emb))
        h = self.blocks[2](self.blocks[1](h, emb), emb)
        return self.last(F.silu(h).flatten(1)) * 0.5


class _Decoder(nn.Module):
    def __init__(self, latent: int, widths: tuple[int, int], embedding: int, mixtures: int) -> None:
        super().__init__()
        b, c = widths
        self.labels = Labels(embedding)
        self.mix = nn.Linear(latent, embedding)
        self.first = nn.Linear(latent, 49 * c)
        self.blocks = nn.ModuleList([Block(c, c, embedding), Block(c, b, embedding), Block(b, b, embedding)])
        self.last = nn.Sequential(nn.Conv2d(b, 12 * mixtures, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        emb = F.silu(self.labels(label) + self.mix(z))
        h = self.blocks[0](self.first(z).unflatten(1, (-1, 7, 7)), emb)
        h = self.blocks[1](F.interpolate(h, scale_factor=2.0, mode="nearest"), emb)
        h = self.blocks[2](h, emb)
        return self.last(F.silu(h)).permute(0, 2, 3, 1)  # (B, 28, 28, 3 K)


def _log_likelihood(x: Tensor, described: Tensor) -> Tensor:
    return log_prob(described, ((x[:, 0] + 1) * 127.5).round()).flatten(1).sum(1)


def _observe(described: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return mean(described)[:, None]
    return draw(described, generator)[:, None].float() / 127.5 - 1


class _Prior(nn.Module):
    """p(z | label) by a flow whose context is the label's embedding."""

    def __init__(self, flow: Flow, labels: nn.Module, label: Tensor) -> None:
        super().__init__()
        self.flow, self.labels, self.label = flow, labels, label

    def log_prob(self, z: Tensor) -> Tensor:
        return self.flow.log_prob(z, self.labels(self.label).float())

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.flow.sample(n, generator, self.labels(self.label).float())


class GarmentVAE(ModelMixin):
    """Both networks; `given(label)` is the family's model of p(x | label)."""

    @register_to_config
    def __init__(
        self, latent: int = 40, widths: tuple[int, int] = (64, 96), embedding: int = 96, mixtures: int = 3
    ) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = _Encoder(latent, widths, embedding)
        self.decoder = _Decoder(latent, widths, embedding, mixtures)
        self.kinds = Labels(16)
        self.prior = Flow(latent, context=16, steps=6, hidden=96)

    def given(self, label: Tensor) -> VAE:
        """The model for pictures x `(B, 1, 28, 28)` in [-1, 1] of labels `(B,)`."""
        networks = Given(self.encoder, label), Given(self.decoder, label)
        prior = _Prior(self.prior, self.kinds, label)
        return VAE(*networks, _log_likelihood, self.latent, _observe, prior=prior)
