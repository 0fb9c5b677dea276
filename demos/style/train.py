"""Train the fast engine of the Style tab again.

    python -m demos.style.train painter --data DIR
    python -m demos.style.train codes --data DIR

`painter` learns the style encoder and the painter together: underpaintings become pictures with the Gram matrices of
the style. `codes` encodes the presets and fits the density over codes. A stage keeps its state, its log and a contact
sheet in `--runs`, goes on from there when it is called again, and writes its weights to `--out` when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from skimage import data as samples
from torch import Tensor, nn

from demos.core.checkpoint import save_weights
from demos.core.device import autocast
from demos.core.fit import fit
from demos.core.seed import generator
from demos.core.stages import Preset, Run, train_stage
from demos.style.codes import CodeDensity, encode
from demos.style.data import Gallery, framed, load_gallery, to_tensor, underpainted
from demos.style.losses import gram_loss, structure_loss
from demos.style.networks import Painter, StyleEncoder
from demos.style.underpainting import underpaint

__all__ = ["PRESETS", "Repainter", "main"]

SIDE = 160
WEIGHTS = {"gram": 10.0, "structure": 0.25}
PRESETS = {
    "cpu": Preset({"painter": 4, "codes": 128}, {"painter": 45, "codes": 2}),
    "gpu": Preset({"painter": 64, "codes": 512}, {"painter": 20, "codes": 1}),
}
PRESET_TITLES = {
    "vangogh_starry_night_1889": "Starry Night, van Gogh",
    "hokusai_great_wave_1831": "Great Wave, Hokusai",
    "munch_the_scream_1893": "The Scream, Munch",
    "kandinsky_composition_vii_1913": "Composition VII, Kandinsky",
    "monet_water_lilies_1919": "Water Lilies, Monet",
    "turner_shipwreck_minotaur_1810": "Shipwreck, Turner",
    "vangogh_self_portrait_straw_hat_1887": "Straw Hat, van Gogh",
    "picabia_edtaonisl_1913": "Edtaonisl, Picabia",
    "matisse_woman_with_hat_1905": "Woman with a Hat, Matisse",
    "vangogh_olive_trees": "Olive Trees, van Gogh",
    "monet_san_giorgio_dusk_1908": "San Giorgio at Dusk, Monet",
    "vangogh_night_cafe_1888": "Night Café, van Gogh",
    "mondrian_1910s": "Tree, Mondrian",
    "gauguin_te_fare_1892": "Te Fare, Gauguin",
    "degas_dance_foyer_1872": "Dance Foyer, Degas",
    "monet_charing_cross_bridge": "Charing Cross, Monet",
    "Onyx_006": "Onyx",
    "Rocks_001": "Dry stone",
    "Terrazzo_015": "Terrazzo",
    "Bark_001": "Bark",
}


class Repainter(nn.Module):
    """Encoder and painter, trained together."""

    def __init__(self, encoder: StyleEncoder, painter: Painter) -> None:
        super().__init__()
        self.encoder, self.painter = encoder, painter


def train_painter(run: Run) -> None:
    """Style by the Gram matrices of random filters, content by local correlation with the underpainting."""
    gallery = load_gallery(run.data)
    encoder, painter = run.started(StyleEncoder(), "encoder"), run.started(Painter(), "painter")
    model: Any = Repainter(encoder, painter)
    batches = underpainted(gallery, run.batch, SIDE, np.random.default_rng(run.seed))

    def losses(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        with torch.autocast(run.device, enabled=False):
            batch = next(batches)
            given, style = batch.given.to(run.device), batch.style.to(run.device)
        y = model.painter(given, model.encoder(style), generator)
        with torch.autocast(y.device.type, enabled=False):
            parts = {
                "gram": gram_loss(y, style, generator, 64).mean(),
                "structure": structure_loss(y, given).mean(),
            }
        return {"loss": torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum(), **parts}

    def report(ema: Any, step: int) -> dict[str, float]:
        Image.fromarray(contact_sheet(ema, gallery, run.device)).save(run.runs / "progress.png")
        return {}

    ema: Any = fit(
        model, losses, run.runs, budget=run.budget, lr=2e-3, seed=run.seed, report=report, report_seconds=150
    )
    run.write("encoder", ema.encoder)
    run.write("painter", ema.painter)


@torch.inference_mode()
def contact_sheet(model: Repainter, gallery: Gallery, device: str, side: int = 256) -> np.ndarray:
    """Three photographs in eight styles, the last five of them held out; `(4 * 192, 9 * 192, 3)` uint8."""
    known = ("vangogh_starry_night_1889", "hokusai_great_wave_1831")
    styles = [gallery.paintings[name] for name in known] + [gallery.monet[3], *gallery.held_out.values()]

    def square(rgb: np.ndarray, size: int) -> np.ndarray:
        cut = min(rgb.shape[:2])
        y, x = ((n - cut) // 2 for n in rgb.shape[:2])
        return cv2.resize(rgb[y : y + cut, x : x + cut], (size, size), interpolation=cv2.INTER_AREA)

    rows = [np.concatenate([np.full((192, 192, 3), 255, np.uint8), *(square(rgb, 192) for rgb in styles)], 1)]
    for photo in (samples.astronaut(), samples.chelsea(), samples.coffee()):
        photo = square(photo, side)
        content = to_tensor(photo)
        row = [square(photo, 192)]
        for rgb in styles:
            code = encode(model.encoder, to_tensor(framed(rgb)).to(device))
            with autocast(device):
                y = model.painter(underpaint(content, code).to(device), code.features[None].to(device), generator(0))
            pixels = (127.5 * (y[0].clamp(-1, 1) + 1)).byte().permute(1, 2, 0).cpu().numpy()
            row.append(square(pixels, 192))
        rows.append(np.concatenate(row, 1))
    return np.concatenate(rows)


def train_codes(run: Run) -> None:
    """The presets' codes, and a flow over the codes of everything that the painter was trained with."""
    gallery, encoder = load_gallery(run.data), run.finished("encoder", StyleEncoder)
    named = gallery.paintings | gallery.held_out | gallery.surfaces
    rows = [encode(encoder, to_tensor(named[name]).to(run.device)) for name in PRESET_TITLES]
    tensors = {"features": torch.stack([c.features for c in rows]), "patches": torch.stack([c.patches for c in rows])}
    titles = list(PRESET_TITLES.items())
    save_weights(tensors, run.out / "presets", config={"titles": titles}, dtype=torch.float16)
    seen = [*gallery.paintings.values(), *gallery.monet, *gallery.surfaces.values()]
    codes = torch.stack([encode(encoder, to_tensor(rgb).to(run.device)).features for rgb in seen])
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
    held, rest = codes[order[: len(codes) // 20]], codes[order[len(codes) // 20 :]]
    model: Any = CodeDensity(codes.shape[1])
    model.measure(rest)
    model.to(run.device)

    def losses(generator: torch.Generator, spent: float) -> dict[str, Tensor]:
        at = torch.randint(len(rest), (run.batch,), generator=generator)
        jitter = 0.1 * torch.randn(run.batch, codes.shape[1], generator=generator).to(rest) * model.std
        return {"loss": -model.log_prob(rest[at] + jitter).mean() / codes.shape[1]}

    @torch.inference_mode()
    def report(ema: Any, step: int) -> dict[str, float]:
        return {"held_out_nats": round(-float(ema.log_prob(held).mean()) / codes.shape[1], 4)}

    ema = fit(model, losses, run.runs, budget=run.budget, lr=1e-3, weight_decay=0.05, seed=run.seed, report=report)
    run.write("density", ema)


STAGES: dict[str, Callable[[Run], None]] = {"painter": train_painter, "codes": train_codes}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and train one stage."""
    cv2.setNumThreads(1)
    train_stage("style", STAGES, PRESETS, "checkpoints/style", arguments)


if __name__ == "__main__":
    main()
