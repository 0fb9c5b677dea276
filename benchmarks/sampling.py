"""What a picture costs: the shipped model, and Stable Diffusion 1.5 with a ControlNet.

    python -m benchmarks.sampling

Stable Diffusion has random weights: nothing is downloaded, and only the cost is compared.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps

from benchmarks.timing import figures, machine, measure, table
from demos.core.device import autocast, fast_bf16
from demos.core.strokes import Drawing, render
from demos.sketch.model import Settings, SketchModel
from demos.sketch.sampler import FINISHED

__all__ = ["main", "measure_ours", "stable_diffusion"]

Row = tuple[str, ...]
CAT = Path(__file__).parents[1] / "demos" / "sketch" / "examples" / "cat.json"


def measure_ours(model: SketchModel, runs: int, steps: tuple[int, ...] = (1, 2, 8, 30, 50)) -> list[Row]:
    """Rows for whole pictures, and for the decoder and the upscaler alone."""
    cat = CAT.read_text(encoding="utf-8")
    rows: list[Row] = []

    def timed(name: str, job: Callable[[], object]) -> None:
        with autocast(model.device):
            rows.append((name, *figures(measure(job, runs))))

    for n in steps:
        network = "student" if n == 1 else "flow and student" if n < FINISHED else "flow"
        name = f"Atelier: one picture, steps: {n}, {network}, 256 px"
        timed(name, lambda n=n: model.draw(cat, Settings("cat", steps=n)))
    timed("Atelier: four variations, 8 steps, 512 px", lambda: model.draw(cat, Settings("cat"), count=4, size=512))
    latents = model.sampler.noise([0])
    with autocast(model.device):
        small = model.sampler.autoencoder.from_latent(latents)
        large = model.sampler.upscale(small)
    timed("– decoder alone, to 128 px", lambda: model.sampler.autoencoder.from_latent(latents))
    timed("– upscaler alone, 128 to 256 px", lambda: model.sampler.upscale(small))
    timed("– upscaler alone, 256 to 512 px", lambda: model.sampler.upscale(large))
    return rows


def stable_diffusion(dtype: torch.dtype) -> Callable[[int], Image.Image]:
    """A function that makes a 512 px picture in the given steps with SD 1.5's architecture, guidance and a ControlNet.

    All four networks have the published configuration (1.4 billion parameters together) and random weights.
    """
    from diffusers import (
        AutoencoderKL,
        ControlNetModel,
        StableDiffusionControlNetPipeline,
        UNet2DConditionModel,
        UniPCMultistepScheduler,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    decoder: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
    }
    words: dict[str, Any] = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    torch.set_default_dtype(dtype)
    try:
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        control, vae = ControlNetModel.from_unet(unet), AutoencoderKL(sample_size=512, **decoder)
        text = CLIPTextModel(CLIPTextConfig(**words)).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    parts: dict[str, Any] = {"unet": unet, "controlnet": control, "vae": vae}
    parts = {name: part.eval().to(memory_format=torch.channels_last) for name, part in parts.items()}
    parts |= {"text_encoder": text, "scheduler": UniPCMultistepScheduler(), "requires_safety_checker": False}
    parts |= dict.fromkeys(("tokenizer", "safety_checker", "feature_extractor"))
    pipeline: Any = StableDiffusionControlNetPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    lines = ImageOps.invert(render(Drawing.from_json(CAT.read_text(encoding="utf-8")), 512))

    @torch.inference_mode()
    def draw(steps: int) -> Image.Image:
        prompt, nothing = text(torch.randint(49_000, (2, 77)))[0].split(1)
        given = {"image": lines, "prompt_embeds": prompt, "negative_prompt_embeds": nothing, "guidance_scale": 7.5}
        return pipeline(**given, num_inference_steps=steps, height=512, width=512).images[0]

    return draw


def main() -> None:
    """Read the options, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description="The cost of a picture.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--large-runs", type=int, default=2, help="of Stable Diffusion; 0 leaves it out")
    options = parser.parse_args()
    where = machine()
    torch.set_flush_denormal(True)
    model = SketchModel.load(device="cpu")
    rows = measure_ours(model, options.runs)
    notes = []
    if options.large_runs:
        logging.getLogger("diffusers").setLevel(logging.ERROR)
        dtype = torch.bfloat16 if fast_bf16(model.device) else torch.float32
        draw = stable_diffusion(dtype)
        draw(1)
        seconds = measure(lambda: draw(4), options.large_runs, warmup=0)
        name = "StableDiffusionControlNetPipeline, SD 1.5: one picture, 4 steps, 512 px"
        rows.append((name, *figures(seconds)))
        notes = [f"Stable Diffusion ({dtype}) has random weights: only its cost is compared."]
    print(table(("", "median", "90 % below", "runs"), rows, *notes, where))


if __name__ == "__main__":
    main()
