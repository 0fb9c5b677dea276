"""What the painter is given: the content in the colours of the style, without its finest detail.

The network learnt to give paintings back their strokes. A photograph has detail of its own, which would stand where
strokes belong; a median takes it away and leaves edges.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from demos.style.colour import MOMENTS, recolour

__all__ = ["prepared", "simplify"]

SIDE = 9


def simplify(rgb: np.ndarray, side: int = SIDE) -> np.ndarray:
    """`(H, W, 3)` uint8 after a median over `side` × `side` pixels (odd) and a little blur."""
    return cv2.GaussianBlur(cv2.medianBlur(np.ascontiguousarray(rgb), side), (0, 0), side / 8)


def prepared(content: Tensor, code: Tensor, strength: float) -> Tensor:
    """`content` `(1, 3, H, W)` in [-1, 1] on its way to the colours of `code` `(1, code)` and to less detail."""
    rgb = (127.5 * (content[0].clamp(-1, 1) + 1)).round().byte().permute(1, 2, 0).cpu().numpy()
    simple = torch.from_numpy(simplify(rgb)).permute(2, 0, 1)[None].to(content) / 127.5 - 1
    return torch.lerp(content, recolour(simple, code[:, -MOMENTS:], content.new_ones(1)), strength)
