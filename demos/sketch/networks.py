"""The picture networks of the Sketch tab: autoencoder and upscaler.

Pictures are premultiplied RGBA in [-1, 1]: transparent is -1 in all four channels, and compositing over any paper is
linear.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.core.network import ModelMixin, register_to_config

__all__ = ["Autoencoder", "Upscaler"]


class Residual(nn.Module):
    """Residual block without normalisation, as in TAESD: it halves the cost of a block at high resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Autoencoder(ModelMixin):
    """KL autoencoder of RGBA pictograms: `(B, 4, 8h, 8w)` in [-1, 1] to `(B, latent_channels, h, w)` and back.

    After pixel-unshuffle by two, so that no convolution runs at full resolution. `encode` returns the posterior's mean
    and log-variance (Kingma and Welling 2014, arXiv:1312.6114); `shift` and `scale` standardise latents per channel.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 8,
        encoder_widths: tuple[int, ...] = (32, 64, 128),
        decoder_widths: tuple[int, ...] = (48, 96, 192),
        depth: int = 2,
    ) -> None:
        super().__init__()
        e, d = encoder_widths, decoder_widths
        layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(16, e[0], 3, padding=1), Residual(e[0])]
        for i in (1, 2):
            layers.append(nn.Conv2d(e[i - 1], e[i], 3, stride=2, padding=1))
            layers += [Residual(e[i]) for _ in range(i)]
        layers += [nn.ReLU(), nn.Conv2d(e[2], 2 * latent_channels, 1)]
        self.encoder = nn.Sequential(*layers)
        layers = [nn.Conv2d(latent_channels, d[2], 3, padding=1), *(Residual(d[2]) for _ in range(depth))]
        for i in (1, 0):
            layers += [nn.Conv2d(d[i + 1], 4 * d[i], 3, padding=1), nn.PixelShuffle(2)]
            layers += [Residual(d[i]) for _ in range(depth)]
        layers += [nn.ReLU(), nn.Conv2d(d[0], 16, 3, padding=1), nn.PixelShuffle(2)]
        self.decoder = nn.Sequential(*layers)
        self.register_buffer("shift", torch.zeros(1, latent_channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, latent_channels, 1, 1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each `(B, Z, h, w)`, before standardisation."""
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var.float().clamp(-12, 4)

    def decode(self, z: Tensor) -> Tensor:
        """Raw latents `(B, Z, h, w)` to pictures `(B, 4, 8h, 8w)`."""
        return self.decoder(z)

    def to_latent(self, x: Tensor) -> Tensor:
        """Standardised posterior mean: zero mean and unit variance a channel over the training set."""
        return (self.encode(x)[0] - self.shift) / self.scale

    def from_latent(self, z: Tensor) -> Tensor:
        """Inverse of `to_latent`, clamped to [-1, 1]."""
        return self.decode(z * self.scale + self.shift).clamp(-1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction of `(B, 4, H, W)` from the posterior's mean."""
        return self.decode(self.encode(x)[0])


class Upscaler(ModelMixin):
    """Doubles the side of a picture `(B, 4, h, w)` in [-1, 1], and cleans what the autoencoder left.

    All convolutions run at the low resolution and pixel-shuffle makes the rest (ESPCN, Shi et al. 2016,
    arXiv:1609.05158); it predicts what to add to a bilinear enlargement.
    """

    @register_to_config
    def __init__(self, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(4, width, 3, padding=1), *(Residual(width) for _ in range(depth)), nn.ReLU()
        )
        last = nn.Conv2d(width, 16, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.head = nn.Sequential(last, nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, 4, h, w)` to `(B, 4, 2h, 2w)`."""
        smooth = F.interpolate(x, scale_factor=2.0, mode="bilinear")
        return (smooth + self.head(self.body(x))).clamp(-1, 1)
