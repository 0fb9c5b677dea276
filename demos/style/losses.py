"""What a repainted picture should keep of the content, and what it should take from the style.

Style, at several scales: every patch should look like some patch of the style, which is what makes strokes (texture
optimisation, Kwatra et al. 2005), and all patches together should be distributed as the style's (see `patches`).
Content: local correlation of luminance, which is blind to brightness and contrast, so that every colour and every tone
may change as long as shapes remain.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from demos.style.patches import barycentre, directions, project, pyramid, sliced_distance

__all__ = [
    "gram_distance",
    "gram_loss",
    "luminance",
    "match_loss",
    "patch_loss",
    "rectifiers",
    "responses",
    "structure_loss",
]

LUMA = (0.299, 0.587, 0.114)
WINDOW = 9
STRIDE = 2
"""Of the style's largest picture every second row and column of responses is looked at."""


def luminance(x: Tensor) -> Tensor:
    """`(B, 3, H, W)` to `(B, 1, H, W)` (ITU-R BT.601)."""
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def patch_loss(
    y: Tensor,
    pictures: Sequence[Tensor],
    weights: Tensor,
    generator: torch.Generator,
    *,
    side: int = 7,
    count: int = 48,
    samples: int = 1024,
    levels: int = 4,
) -> Tensor:
    """Distance `(B,)` of the patches of `y` `(B, 3, H, W)` to the barycentre of the pictures' patches, by level."""
    stacks = [pyramid(picture, levels) for picture in pictures]
    total = y.new_zeros(len(y))
    made = pyramid(y, levels)
    for level, x in enumerate(made):
        filters = directions(count, side, generator).to(y.device)
        values = project(x, filters, samples, generator)
        with torch.no_grad():
            parts = [project(stack[min(level, len(stack) - 1)], filters, samples, generator) for stack in stacks]
            target = barycentre(parts, weights, values.shape[-1])
        total = total + sliced_distance(values, target)
    return total / len(made)


def gram_loss(y: Tensor, style: Tensor, generator: torch.Generator, count: int = 96) -> Tensor:
    """Difference `(B,)` of Gram matrices of rectified random filters at four scales.

    Gatys et al. 2015 (arXiv:1505.07376), with the random filters of Ustyuzhaninov et al. 2016 (arXiv:1606.00021) in
    place of VGG.
    """
    total = y.new_zeros(len(y))
    for i, (a, b) in enumerate(zip(pyramid(y, 4), pyramid(style, 4), strict=False)):
        filters, bias = rectifiers(count, generator, y.device)
        with torch.no_grad():
            goal = responses(b, filters, 1 if i else STRIDE)
        total = total + gram_distance(responses(a, filters), goal, bias)
    return total / 4


def rectifiers(count: int, generator: torch.Generator, device: torch.device, side: int = 7) -> tuple[Tensor, Tensor]:
    """Random filters `(count, 3, side, side)` and the thresholds `(count,)` of what rectifies their responses."""
    filters, bias = directions(count, 7, generator), 0.7 * torch.randn(count, generator=generator)
    return filters.to(device, memory_format=torch.channels_last), bias.to(device)


def responses(x: Tensor, filters: Tensor, stride: int = 1) -> Tensor:
    """Responses `(B, N, C)` of pictures `(B, 3, H, W)` to C filters at N places."""
    found = F.conv2d(x.contiguous(memory_format=torch.channels_last), filters, stride=stride)
    return found.permute(0, 2, 3, 1).flatten(1, 2)


def gram_distance(found: Tensor, goal: Tensor, bias: Tensor) -> Tensor:
    """Difference `(B,)` of the Gram matrices of rectified responses `(B, N, C)` and `(B, M, C)`.

    Every filter counts as much as any other: responses are relative to mean and deviation of those of `goal`.
    """
    std, mean = torch.std_mean(goal.float(), 1, keepdim=True)
    scale = 1 / (std + 0.03)
    shift = bias - mean * scale
    made, wanted = (F.relu(torch.addcmul(shift, v.float(), scale)) for v in (found, goal))
    grams = [maps.transpose(1, 2) @ maps / maps.shape[1] for maps in (made, wanted)]
    return (grams[0] - grams[1]).float().abs().mean((1, 2))


def match_loss(
    y: Tensor, style: Tensor, generator: torch.Generator, *, side: int = 7, levels: int = 3, alpha: float = 0.05
) -> Tensor:
    """Distance `(B,)` of the patches of `y` to the patches of `style` nearest to them, per pixel and channel.

    A patch of the style that something is near to already becomes less attractive, by the bidirectional similarity of
    GPNN (Granot et al. 2022, arXiv:2103.15545): otherwise a few plain patches would serve for everything.
    """
    total = y.new_zeros(len(y))
    pairs = list(zip(pyramid(y, levels), pyramid(style, levels), strict=True))
    for level, (a, b) in enumerate(pairs):
        query = _grid(a, side, max(2, 5 >> level), generator)
        with torch.no_grad():
            keys = _grid(b, side, max(2, 6 >> level), generator)
            mean = keys.mean(1, keepdim=True)
            near = nearest(query - mean, keys - mean, alpha)
            target = keys.gather(1, near[..., None].expand(-1, -1, keys.shape[2]))
        total = total + ((query - target).square().mean(2) + 1e-4).sqrt().mean(1)
    return total / len(pairs)


def nearest(query: Tensor, keys: Tensor, alpha: float) -> Tensor:
    """Index `(B, N)` of the key `(B, M, D)` that is nearest to each query `(B, N, D)`, popular keys made farther."""
    size, own = keys.square().sum(2)[:, None].float(), query.square().sum(2)[:, :, None].float()
    distance = torch.baddbmm(size, query, keys.transpose(1, 2), alpha=-2).float()
    closest = (distance + own).amin(1, keepdim=True).clamp_min(0)
    spread = keys.float().var(1).sum(1).view(-1, 1, 1)
    return ((distance + own) / (closest + alpha * spread + 1e-6)).argmin(2)


def _grid(x: Tensor, side: int, stride: int, generator: torch.Generator) -> Tensor:
    """Patches `(B, N, 3 side²)` on a grid with a random origin."""
    dy, dx = (int(v) for v in torch.randint(stride, (2,), generator=generator))
    return F.unfold(x[:, :, dy:, dx:], side, stride=stride).transpose(1, 2)


def structure_loss(y: Tensor, content: Tensor, levels: int = 3, quiet: float = 0.06) -> Tensor:
    """One minus the local correlation of luminances `(B,)`, over windows of 9 × 9 pixels at several scales.

    Windows in which the content hardly varies (deviation below `quiet`) count little: there strokes are free.
    """
    total = y.new_zeros(len(y))
    pairs = list(zip(pyramid(luminance(y), levels), pyramid(luminance(content), levels), strict=True))
    for a, b in pairs:
        mean_a, mean_b = _mean(a), _mean(b)
        var_a, var_b = (_mean(a * a) - mean_a**2).clamp_min(0), (_mean(b * b) - mean_b**2).clamp_min(0)
        cov = _mean(a * b) - mean_a * mean_b
        correlation = cov / ((var_a + 1e-4) * (var_b + 1e-4)).sqrt()
        weight = var_b / (var_b + quiet**2)
        total = total + ((1 - correlation) * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1)
    return total / len(pairs)


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, WINDOW, 2)
