"""Losses of style side by side: what pixels become that follow each of them.

    python -m demos.style.comparison --data DIR --out losses.webp

From the same photograph in the style's colours, Adam moves the pixels down each loss for the same number of steps, with
the same term for the content. No network stands between a loss and its picture.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from skimage import data as samples
from torch import Tensor

from demos.style.colour import transfer
from demos.style.data import framed, load_gallery, to_tensor
from demos.style.losses import gram_loss, match_loss, patch_loss, structure_loss
from demos.style.measure import style_distance

__all__ = ["LOSSES", "descend", "main"]

SIDE, STEPS = 160, 120
STYLES = ("vangogh_starry_night_1889", "hokusai_great_wave_1831", "munch_the_scream_1893")
Loss = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def patches(y: Tensor, style: Tensor, generator: torch.Generator) -> Tensor:
    """The sliced distance alone."""
    return 2 * patch_loss(y, [style], y.new_ones(len(y), 1), generator)


LOSSES: dict[str, Loss] = {
    "distribution of patches": patches,
    "Gram matrices": lambda y, s, g: 10 * gram_loss(y, s, g),
    "nearest patches": lambda y, s, g: 6 * match_loss(y, s, g),
    "nearest patches and their distribution": lambda y, s, g: 3 * match_loss(y, s, g) + patches(y, s, g),
}


def descend(content: Tensor, style: Tensor, loss: Loss, steps: int = STEPS) -> Tensor:
    """`content` `(1, 3, H, W)` after `steps` of Adam down `loss` and the content's."""
    generator = torch.Generator().manual_seed(0)
    y = transfer(content, style).clone().requires_grad_(True)
    adam = torch.optim.Adam([y], betas=(0.9, 0.95))
    for i in range(steps):
        adam.param_groups[0]["lr"] = 0.04 * (0.05 + 0.475 * (1 + math.cos(math.pi * i / steps)))
        adam.zero_grad()
        (loss(y, style, generator) + 0.25 * structure_loss(y, content)).sum().backward()
        adam.step()
    return y.detach().clamp(-1, 1)


def main() -> None:
    """Draw a row a style and a column a loss; print the mean distance to the style for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the archives")
    parser.add_argument("--out", type=Path, default=Path(".runs/style/losses.webp"))
    args = parser.parse_args()
    gallery = load_gallery(args.data)
    named = gallery.paintings | gallery.held_out
    photo = to_tensor(cv2.resize(samples.astronaut(), (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    rows, found = [], {name: [] for name in LOSSES}
    for style_name in STYLES:
        style = to_tensor(cv2.resize(framed(named[style_name]), (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        row = [style]
        for name, loss in LOSSES.items():
            row.append(descend(photo, style, loss))
            found[name].append(style_distance(row[-1], style))
        rows.append(torch.cat(row, 3))
    pixels = (127.5 * (torch.cat(rows, 2)[0] + 1)).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).resize((2 * pixels.shape[1], 2 * pixels.shape[0])).save(args.out, quality=85, method=6)
    for name, distances in found.items():
        print(f"{name}: {np.mean(distances):.4f}")


if __name__ == "__main__":
    main()
