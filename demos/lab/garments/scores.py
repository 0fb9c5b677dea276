"""Scores that say how unusual a picture is, and why a likelihood alone does not.

A density of garments can give digits a higher likelihood than garments: a picture that is mostly black and smooth is
likely under any model of pictures (Nalisnick et al. 2019, arXiv:1810.09136). Remedies subtract what any picture model
would say, by a background model (Ren et al. 2019, arXiv:1906.02845) or by the length of a compressed file (Serrà et
al. 2020, arXiv:1909.11480); or ask whether a picture is as likely as garments are (typicality, Nalisnick et al. 2019,
arXiv:1906.02994), whether its latent is as long as noise is, or whether several such statistics lie together where
those of garments lie (density of states, Morningstar et al. 2021, arXiv:2006.09273), or how much a VAE's bound grows
when its posterior is fitted to the picture itself (likelihood regret, Xiao et al. 2020, arXiv:2003.02977).

Every score grows with how unusual a picture is. All are in bits per dimension, but for the latent's length (the natural
logarithm of its mean square, as a distance from the usual one) and the last (a Mahalanobis distance).
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from demos.lab.garments.data import DIMENSIONS, NO_LABEL, bits_per_dim, dequantised, scaled
from demos.lab.garments.kinds import bits, given

__all__ = ["SCORES", "STATISTICS", "Normal", "png_bits", "scores", "statistics"]

STATISTICS = (
    "autoregressive", "background", "flow", "latent", "vae", "fit", "divergence", "regret", "energy", "complexity",
)  # fmt: skip
"""What is measured of a picture: bits per dimension, and the logarithm of the flow's latent's mean square."""

SCORES: Mapping[str, str] = {
    "autoregressive": "−log p, autoregressive",
    "vae": "−log p, VAE",
    "flow": "−log p, flow",
    "energy": "Energy",
    "ratio": "Likelihood ratio with a background model",
    "complexity": "−log p less the size of a PNG",
    "typicality": "Typicality",
    "latent": "Length of the flow's latent",
    "fit": "VAE's reconstruction",
    "regret": "VAE's likelihood regret",
    "states": "Density of states: all statistics together",
}


def png_bits(x: Tensor) -> Tensor:
    """Bits per dimension `(B,)` of pictures `(B, 1, H, W)` uint8 as PNG files without their fixed part."""
    found = []
    for pixels in x[:, 0].cpu().numpy():
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG", compress_level=9)
        found.append(8 * (buffer.tell() - 57) / pixels.size)
    return torch.tensor(found)


@torch.no_grad()
def statistics(networks: Mapping[str, Any], x: Tensor, generator: torch.Generator) -> Tensor:
    """`STATISTICS` of pictures `(B, 1, 28, 28)` uint8, `(B, S)`; no label is given to any model."""
    label = torch.full((len(x),), NO_LABEL, device=x.device)
    flow, vae = given(networks["flow"], label), given(networks["vae"], label)
    data, signed = dequantised(x, generator), scaled(x)
    z, log_det = flow.transform(data)
    log_p = log_det - 0.5 * (z.square().sum(1) + DIMENSIONS * math.log(2 * math.pi))
    mean, log_var = vae.posterior(signed)
    fit = vae.log_likelihood(signed, vae.decoder(mean))
    divergence = -vae.prior.log_prob(mean) - 0.5 * (log_var + 1 + math.log(2 * math.pi)).sum(1)
    columns = {
        "autoregressive": bits("autoregressive", networks["autoregressive"], x, label, generator),
        "background": bits_per_dim(given(networks["background"], label).log_prob(x)),
        "flow": bits_per_dim(log_p, continuous=True),
        "latent": (z.square().mean(1)).log(),
        "vae": bits("vae", networks["vae"], x, label, generator),
        "fit": bits_per_dim(fit),
        "divergence": bits_per_dim(-divergence),
        "regret": bits_per_dim(-vae.regret(signed, generator)),
        "energy": bits("energy", networks["energy"], x, label, generator),
        "complexity": png_bits(x).to(x.device),
    }
    return torch.stack([columns[name].float() for name in STATISTICS], 1)


class Normal:
    """A Gaussian of statistics, fitted to those of training pictures.

    Args:
        mean: `(S,)`.
        covariance: `(S, S)`.
    """

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        self.mean, self.covariance = mean, covariance

    @classmethod
    def fit(cls, rows: Tensor) -> Normal:
        """From `(N, S)`."""
        return cls(rows.mean(0), torch.cov(rows.T) + 1e-6 * torch.eye(rows.shape[1]))

    def distance(self, rows: Tensor) -> Tensor:
        """Mahalanobis distances `(N,)` of `(N, S)`."""
        whitened = torch.linalg.solve_triangular(
            torch.linalg.cholesky(self.covariance.double()), (rows - self.mean).double().T, upper=False
        )
        return whitened.square().sum(0).sqrt().float()


def scores(rows: Tensor, normal: Normal) -> dict[str, Tensor]:
    """`SCORES` `(N,)` from statistics `(N, S)`."""
    at = {name: rows[:, i] for i, name in enumerate(STATISTICS)}
    usual = {name: normal.mean[i] for i, name in enumerate(STATISTICS)}
    return {
        "autoregressive": at["autoregressive"],
        "vae": at["vae"],
        "flow": at["flow"],
        "energy": at["energy"],
        "ratio": at["autoregressive"] - at["background"],
        "complexity": at["autoregressive"] - at["complexity"],
        "typicality": (at["autoregressive"] - usual["autoregressive"]).abs(),
        "latent": (at["latent"] - usual["latent"]).abs(),
        "fit": at["fit"],
        "regret": at["regret"],
        "states": normal.distance(rows),
    }
