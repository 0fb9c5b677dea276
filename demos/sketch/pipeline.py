"""The Sketch tab's networks as one `diffusers.DiffusionPipeline`: tensors in, tensors out.

Guidance extrapolates from what the network says without the drawing and without the words,

    v = v(nothing) + lines * (v(drawing) - v(nothing)) + text * (v(drawing, words) - v(drawing)),

(classifier-free guidance with two conditions, Brooks et al. 2023, arXiv:2211.09800): three evaluations a step, or one
once the network has been distilled, when the two weights are inputs of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from demos.families.score import Velocity, euler, schedule
from demos.sketch.networks import Autoencoder, Upscaler
from demos.sketch.unet import SketchUNet

__all__ = ["TYPICAL", "SketchPipeline", "guided"]

TYPICAL = 2.0
"""The usual weight of the words."""


def guided(unet: SketchUNet, drawing: Tensor, words: Tensor, style: Tensor, lines: float, text: float) -> Velocity:
    """Velocity with the given weights of lines and of words; features of the drawing are computed once.

    A distilled network takes one evaluation a step if words weigh `TYPICAL`. It has learned little of other weights of
    words; there it takes two, with the words and without, and goes along the line through both. An undistilled network
    takes three. All evaluations of a step are one batch.
    """
    n = len(drawing)
    if unet.config["distilled"]:
        features = unet.encode_condition(drawing)
        weights = drawing.new_tensor([[lines, TYPICAL]])
        if text == TYPICAL:
            return lambda x, t, step: unet(x, t, features, words, style, step, weights.expand(n, 2)).float()
        tokens = torch.cat([torch.zeros_like(words), words])

        def mixed(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
            given = (features.repeat(2, 1, 1, 1), tokens, style.repeat(2, 1), step.repeat(2), weights.expand(2 * n, 2))
            silent, told = unet(x.repeat(2, 1, 1, 1), t.repeat(2), *given).float().split(n)
            return silent + text / TYPICAL * (told - silent)

        return mixed
    features = unet.encode_condition(torch.cat([torch.zeros_like(drawing), drawing, drawing]))
    tokens = torch.cat([torch.zeros_like(words), torch.zeros_like(words), words])

    def velocity(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
        v0, v1, v2 = unet(x.repeat(3, 1, 1, 1), t.repeat(3), features, tokens, style.repeat(3, 1)).float().split(n)
        return v0 + lines * (v1 - v0) + text * (v2 - v1)

    return velocity


class SketchPipeline(DiffusionPipeline):
    """Autoencoder, velocity network and upscaler; saved, loaded and pushed like any other pipeline."""

    def __init__(self, autoencoder: Autoencoder, unet: SketchUNet, upscaler: Upscaler) -> None:
        super().__init__()
        self.register_modules(autoencoder=autoencoder, unet=unet, upscaler=upscaler)

    @classmethod
    def from_parts(cls, folder: Path) -> SketchPipeline:
        """The pipeline from its parts' folders, for a checkpoint that has no `model_index.json` yet."""
        parts = {"autoencoder": Autoencoder, "unet": SketchUNet, "upscaler": Upscaler}
        return cls(**{name: kind.from_pretrained(folder / name) for name, kind in parts.items()})

    def noise(self, seeds: list[int]) -> Tensor:
        """Standard normal latents `(n, Z, 16, 16)`, drawn on the CPU: a seed means the same on every device."""
        shape = (1, self.autoencoder.config["latent_channels"], 16, 16)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.cat(drawn).to(self.device)

    @torch.inference_mode()
    def latents(
        self,
        drawing: Tensor,
        words: Tensor,
        style: Tensor,
        noise: Tensor,
        *,
        steps: int = 8,
        lines: float = 1.5,
        text: float = TYPICAL,
        start: float = 1.0,
        project: Callable[[Tensor, float], Tensor] | None = None,
        on_step: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """Sample latents `(B, Z, 16, 16)`.

        Args:
            drawing: `(B, 5, 128, 128)` in [0, 1]: ink, premultiplied colour, cover of the colour.
            words: `(B, T)` indices into the vocabulary, 0 for padding.
            style: `(B, styles)` weights that sum to one.
            noise: `(B, Z, 16, 16)`, the state at time `start`.
            lines: weight of the drawing, 1 for none of the extrapolation.
            text: weight of the words.
            project, on_step: see `demos.families.score.euler`.
        """
        velocity = guided(self.unet, drawing, words, style, lines, text)
        return euler(velocity, noise, schedule(steps, start), project=project, on_step=on_step)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Premultiplied RGBA pictures `(B, 4, 128, 128)` in [-1, 1]."""
        return self.autoencoder.from_latent(latents)

    @torch.inference_mode()
    def upscale(self, pictures: Tensor) -> Tensor:
        """Pictures of twice the side."""
        return self.upscaler(pictures)

    def generate(self, drawing: Tensor, words: Tensor, style: Tensor, seeds: list[int], **settings: float) -> Tensor:
        """Pictures `(B, 4, 128, 128)` in [-1, 1]: `latents` from the noise of `seeds`, decoded."""
        return self.decode(self.latents(drawing, words, style, self.noise(seeds), **settings))  # pyright: ignore
