"""The Sketch tab's networks as one `diffusers.DiffusionPipeline`: saved, loaded and pushed like any other."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from diffusers import DiffusionPipeline

from demos.sketch.networks import Autoencoder, Upscaler
from demos.sketch.palette import Palette
from demos.sketch.sampler import PARTS, SketchSampler
from demos.sketch.unet import SketchUNet

__all__ = ["SketchPipeline"]


class SketchPipeline(SketchSampler, DiffusionPipeline):
    """`SketchSampler` whose parts are the pipeline's components; `flow` and `palette` may be missing."""

    _optional_components: ClassVar = ["flow", "palette"]

    def __init__(
        self,
        autoencoder: Autoencoder,
        unet: SketchUNet,
        upscaler: Upscaler,
        flow: SketchUNet | None = None,
        palette: Palette | None = None,
    ) -> None:
        DiffusionPipeline.__init__(self)
        self.register_modules(autoencoder=autoencoder, unet=unet, upscaler=upscaler, flow=flow, palette=palette)

    @classmethod
    def from_parts(cls, folder: Path) -> SketchPipeline:
        """The pipeline from its parts' folders, for a checkpoint that has no `model_index.json` yet."""
        return cls(**{name: kind.from_pretrained(folder / name) for name, kind in PARTS.items()})
