"""Pasted anomalies: natural pictures with one thing wrong, and where it is.

Patches of another place or picture, resized and blended by solving Poisson's equation (NSA, Schlüter et al. 2022,
arXiv:2109.15222; Pérez et al. 2003), or cut in hard (CutPaste with its scars, Li et al. 2021, arXiv:2104.04015); and
what surfaces suffer from: cracks, pits and stains, chipped edges, patches of a dull or foreign finish. Every kind is a
function that returns a changed copy and the region that it changed; `paste` labels the region by how visible the change
is against the grain of the picture, so that nobody learns to see what is not there. `UNSEEN` are kinds that nothing is
trained with: shapes from smooth noise with a foreign texture (DRAEM, Zavrtanik et al. 2021, arXiv:2108.07610). Choices
between detectors go by them, because what was trained with the others would look better by those than it is.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

__all__ = ["PASTES", "UNSEEN", "paste"]

Made = tuple[np.ndarray, np.ndarray]
SEEN = 0.5


def paste(
    rng: np.random.Generator, picture: np.ndarray, donor: np.ndarray, kind: str | None = None, strength: float = 1.0
) -> Made:
    """A picture with one to three anomalies.

    Args:
        rng: decides on everything.
        picture: `(H, W)` or `(H, W, 3)` uint8, at least 16 pixels a side.
        donor: another picture with as many channels, of any size from 16 pixels a side; patches come from it or from
            `picture` itself.
        kind: a key of `PASTES` or `UNSEEN`; None draws one of `PASTES` for every anomaly.
        strength: contrast of drawn anomalies, in (0, 1].

    Returns:
        The changed picture, uint8, and its soft label `(H, W)` float32 in [0, 1]: 0 where nothing is to be seen.
    """
    before = picture.reshape(*picture.shape[:2], -1).astype(np.float32)
    other = donor.reshape(*donor.shape[:2], -1).astype(np.float32)
    label = np.zeros(before.shape[:2], np.float32)
    after = before
    grain = _grain(before)
    for _ in range(1 if kind else int(rng.choice(3, p=(0.7, 0.2, 0.1))) + 1):
        for _ in range(4):
            name = kind or str(rng.choice(list(PASTES)))
            source = other if rng.random() < 0.6 else before
            changed, region = KINDS[name](rng, after, source, strength)
            changed = changed.clip(0, 255)
            seen = _visible(after, changed, region, grain)
            if seen.max() > SEEN:
                label = np.maximum(label * (region < 0.5), seen)
                after = changed
                break
    return after.round().astype(np.uint8).reshape(picture.shape), label


def _grain(x: np.ndarray) -> float:
    """Mean absolute deviation from a smooth version, in grey levels."""
    return float(np.abs(x - cv2.blur(x, (5, 5)).reshape(x.shape)).mean())


def _visible(before: np.ndarray, after: np.ndarray, region: np.ndarray, grain: float) -> np.ndarray:
    """Label in [0, 1]: 1 - exp(-(change / (3 + grain))²) of the smoothed change, or of its mean over the region."""
    change = np.abs(after - before).mean(2)
    inside = region > 0.5
    if not inside.any():
        return np.zeros_like(region)
    local = cv2.GaussianBlur(change, (0, 0), 1.5)
    level = np.maximum(local, 0.8 * change[inside].mean()) / (3 + grain)
    return (inside * (1 - np.exp(-(level**2)))).astype(np.float32)


def _blob(
    rng: np.random.Generator, shape: tuple[int, ...], at: np.ndarray, radii: np.ndarray, rough: float
) -> np.ndarray:
    """An irregular ellipse as `(H, W)` float32 in [0, 1], antialiased; `at` and `radii` are (x, y)."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(angle)
    for k in range(2, 7):
        radius += rough / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    radius = radius.clip(0.25)
    turn = rng.uniform(0, np.pi)
    points = np.stack([radius * np.cos(angle) * radii[0], radius * np.sin(angle) * radii[1]], 1)
    points = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + at
    region = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(region, [(points * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
    return region.astype(np.float32) / 255


def _place(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0, 1, 2) * (shape[1] - 1, shape[0] - 1)


def _size(rng: np.random.Generator, low: float, high: float, longest: float) -> float:
    """A length between `low` and `high`, equally likely in its logarithm, at most `longest`."""
    return min(float(np.exp(rng.uniform(np.log(low), np.log(high)))), longest)


def _mix(x: np.ndarray, new: np.ndarray | float, region: np.ndarray) -> np.ndarray:
    return x + region[..., None] * (new - x)


def _patch(rng: np.random.Generator, donor: np.ndarray, height: int, width: int) -> np.ndarray:
    """`(height, width, C)` from a random place of `donor`, resized by 0.7 to 1.4, turned or mirrored now and then."""
    scale = np.exp(rng.uniform(np.log(0.7), np.log(1.4), 2))
    h, w = (int(np.clip(n * s, 4, limit)) for n, s, limit in zip((height, width), scale, donor.shape[:2], strict=True))
    y, x = rng.integers(donor.shape[0] - h + 1), rng.integers(donor.shape[1] - w + 1)
    part = donor[y : y + h, x : x + w]
    if rng.random() < 0.25:
        part = np.rot90(part)
    part = part[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    return cv2.resize(np.ascontiguousarray(part), (width, height)).reshape(height, width, -1)


def _whole_patch(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A picture-sized array that holds a patch of `donor` where `region` is set and `x` elsewhere."""
    rows, columns = (np.flatnonzero((region > 0).any(axis)) for axis in (1, 0))
    whole = x.copy()
    if len(rows):
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        whole[box] = _patch(rng, donor, rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0])
    return whole


def natural(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """A patch of elsewhere, blended in by Poisson's equation."""
    h, w = x.shape[:2]
    height, width = (int(_size(rng, 10, 100, 0.7 * side)) for side in (h, w))
    height, width = max(height, 6), max(width, 6)
    at = np.array([rng.integers(0, w - width + 1), rng.integers(0, h - height + 1)])
    region = _blob(rng, x.shape, at + np.array([width, height]) / 2, np.array([width, height]) / 2, 0.4)
    region[: at[1]], region[at[1] + height :] = 0, 0
    region[:, : at[0]], region[:, at[0] + width :] = 0, 0
    if (region > 0.5).sum() < 12:
        return x, region
    ys, xs = np.nonzero(region > 0.5)
    top, left, bottom, right = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
    part = (255 * (region[top:bottom, left:right] > 0.5)).astype(np.uint8)
    patch = _patch(rng, donor, bottom - top, right - left).clip(0, 255)
    # seamlessClone needs three channels and a margin around the patch
    margin = 2
    area = cv2.copyMakeBorder(_rgb8(x), margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
    centre = (int(margin + left + (right - left) // 2), int(margin + top + (bottom - top) // 2))
    mode = cv2.NORMAL_CLONE if rng.random() < 0.6 else cv2.MIXED_CLONE
    made = cv2.seamlessClone(_rgb8(patch), area, part, centre, mode)[margin:-margin, margin:-margin]
    made = made.astype(np.float32)[..., : x.shape[2]]
    return _mix(x, made, region), region


def _rgb8(x: np.ndarray) -> np.ndarray:
    x = x.round().astype(np.uint8)
    return np.ascontiguousarray(np.repeat(x, 3, 2) if x.shape[2] == 1 else x)


def cut(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """A rectangle or a narrow scar of elsewhere, turned, with its brightness changed, pasted with its edges."""
    h, w = x.shape[:2]
    scar = rng.random() < 0.5
    long = _size(rng, 10, 60 if scar else 90, 0.6 * min(h, w))
    short = _size(rng, 2, 10, long) if scar else _size(rng, 8, 90, 0.6 * min(h, w))
    at, turn = _place(rng, x.shape), rng.uniform(0, 180) if scar else rng.uniform(-20, 20)
    corners = cv2.boxPoints(((float(at[0]), float(at[1])), (short, long), float(turn)))
    region = np.zeros((h, w), np.uint8)
    cv2.fillPoly(region, [(corners * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = region.astype(np.float32) / 255
    patch = _whole_patch(rng, x, donor, soft) * rng.uniform(1 - 0.3 * strength, 1 + 0.3 * strength)
    return _mix(x, patch, soft), soft


def crack(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """A thin wandering curve, dark as a rule, uneven in width and depth, maybe with a bright flank or a branch."""
    h, w = x.shape[:2]
    dark = np.zeros((h, w), np.float32)
    at = _place(rng, x.shape)
    if rng.random() < 0.35:
        side = rng.integers(4)
        at[side % 2] = 0 if side < 2 else (w - 1, h - 1)[side % 2]
    upright = rng.random() < 0.5
    heading = rng.choice((-0.5, 0.5)) * np.pi + rng.normal(0, 0.15) if upright else rng.uniform(0, 2 * np.pi)
    wander = rng.choice((0.08, 0.25, 0.5))
    width = _size(rng, 0.8, 3.5, 4)
    paths = [(at, heading, int(_size(rng, 12, 140, max(h, w))))]
    if rng.random() < 0.2:
        paths.append((at, heading + rng.normal(0, 0.7), paths[0][2] // 2))
    for start, direction, length in paths:
        angles = direction + np.cumsum(rng.normal(0, wander, max(3, length // 3)))
        steps = 3 * np.stack([np.cos(angles), np.sin(angles)], 1)
        points = np.concatenate([start[None], start + np.cumsum(steps, 0)])
        _stroke(rng, dark, points, width)
    dark = cv2.GaussianBlur(dark, (0, 0), rng.uniform(0.35, 0.8))
    region = (dark > 0.2).astype(np.float32)
    depth = strength * rng.uniform(0.25, 0.85) * (-0.6 if rng.random() < 0.15 else 1)
    made = x * (1 - depth * dark[..., None])
    if rng.random() < 0.4:
        flank = np.roll(dark, rng.integers(-2, 3, 2), (0, 1)) * (dark < 0.3)
        made *= 1 + strength * rng.uniform(0.1, 0.4) * flank[..., None]
    return made, region


def _stroke(rng: np.random.Generator, canvas: np.ndarray, points: np.ndarray, width: float) -> None:
    """Draw a polyline of varying width into `canvas`, in place; widths below a pixel are drawn fainter."""
    layer = np.zeros(canvas.shape, np.uint8)
    fine = (points * 16).round().astype(np.int32)
    knots = np.arange(0, len(points) + 6, 6)
    depth = np.interp(np.arange(len(points)), knots, rng.uniform(0.5, 1, len(knots)))
    for i in range(len(points) - 1):
        here = width * depth[i]
        a, b = (tuple(int(v) for v in fine[j]) for j in (i, i + 1))
        cv2.line(layer, a, b, int(255 * min(1.0, here)), max(1, round(here)), cv2.LINE_AA, 4)
    np.maximum(canvas, layer.astype(np.float32) / 255, out=canvas)


def pit(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """One small hole or several, dark or bright inside, some with a lit rim."""
    made, region = x, np.zeros(x.shape[:2], np.float32)
    for _ in range(int(rng.choice((1, 1, 1, 2, 4)))):
        radius = _size(rng, 1.5, 12, 0.25 * min(x.shape[:2]))
        radii = radius * np.array([1, rng.uniform(0.4, 1)])
        at = _place(rng, x.shape)
        spot = _blob(rng, x.shape, at, radii, 0.3)
        depth = strength * rng.uniform(0.2, 0.8) * (-0.8 if rng.random() < 0.2 else 1)
        soft = cv2.GaussianBlur(spot, (0, 0), max(0.4, rng.uniform(0.05, 0.3) * radius))
        made = made * (1 - depth * soft[..., None])
        if rng.random() < 0.5:
            rim = (soft - np.roll(soft, rng.integers(-2, 3, 2), (0, 1))).clip(0)
            made = made * (1 + strength * rng.uniform(0.3, 1.2) * rim[..., None])
        region = np.maximum(region, (soft > 0.3).astype(np.float32))
    return made, region


def chip(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """A piece missing from an edge or a corner: rough outline, smooth and mostly darker inside, a lit fracture line."""
    h, w = x.shape[:2]
    at = _place(rng, x.shape)
    for side in rng.permutation(2)[: 2 if rng.random() < 0.4 else 1]:
        at[side] = 0 if rng.random() < 0.5 else (w - 1, h - 1)[side]
    radii = np.array([_size(rng, 5, 80, 0.5 * side) for side in (w, h)])
    region = _blob(rng, x.shape, at, radii, rng.uniform(0.3, 0.9))
    patch = cv2.GaussianBlur(_whole_patch(rng, x, donor, region), (0, 0), _size(rng, 0.6, 6, 6)).reshape(x.shape)
    shade = cv2.resize(rng.uniform(0.75, 1.25, (4, 4)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    patch = patch * (shade * (1 + strength * rng.uniform(-0.55, 0.2)))[..., None]
    made = _mix(x, patch, region)
    rim = np.abs(region - cv2.GaussianBlur(region, (0, 0), rng.uniform(0.8, 2)))
    return made * (1 + strength * rng.uniform(-0.8, 0.8) * rim[..., None]), region


def stain(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """A large area darker or brighter than it should be, with a more or less sharp border and maybe an outline."""
    h, w = x.shape[:2]
    radii = np.array([_size(rng, 10, 110, 0.45 * side) for side in (w, h)])
    region = _blob(rng, x.shape, _place(rng, x.shape), radii, rng.uniform(0.1, 0.5))
    soft = cv2.GaussianBlur(region, (0, 0), _size(rng, 0.5, 8, 0.3 * radii.min()))
    amount = strength * rng.uniform(0.1, 0.4) * (-1 if rng.random() < 0.7 else 1)
    smooth = cv2.GaussianBlur(x, (0, 0), 1.5).reshape(x.shape)
    inside = _mix(x, smooth, np.full((h, w), rng.uniform(0, 0.8) * (rng.random() < 0.5), np.float32))
    made = _mix(x, inside * (1 + amount), soft)
    if rng.random() < 0.4:
        rim = np.abs(soft - cv2.GaussianBlur(soft, (0, 0), 2))
        made = made * (1 - strength * rng.uniform(0, 1) * rim[..., None])
    return made, region


def finish(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """A part cut off by a wavy line, where the grain is flatter, stronger, turned, or that of another place."""
    h, w = x.shape[:2]
    along = np.linspace(0, 1, 24)
    wave = sum(rng.normal() / k**1.5 * np.sin(np.pi * k * along + rng.uniform(0, 7)) for k in (1, 2, 3, 5, 8))
    edge = (rng.uniform(0.1, 0.5) + 0.04 * wave + rng.uniform(-0.15, 0.15) * (along - 0.5)) * h
    points = np.concatenate([np.stack([along * w, edge], 1), [[w, -1], [0, -1]]])
    if rng.random() < 0.4:
        points[:, 0] = points[:, 0] * rng.uniform(0.25, 0.8) + rng.uniform(0, 0.5) * w
    region = np.zeros((h, w), np.uint8)
    cv2.fillPoly(region, [(points * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
    region = region if rng.random() < 0.5 else region[::-1]
    if rng.random() < 0.25:
        region = cv2.resize(np.ascontiguousarray(region.T), (w, h))
    soft = cv2.GaussianBlur(region.astype(np.float32) / 255, (0, 0), _size(rng, 0.4, 5, 5))
    base = cv2.GaussianBlur(x, (0, 0), rng.uniform(2, 8)).reshape(x.shape)
    choice = rng.integers(4)
    if choice == 0:
        new = base + rng.uniform(0, 1 - 0.6 * strength) * (x - base)
    elif choice == 1:
        new = base + (1 + strength * rng.uniform(0.6, 1.8)) * (x - base)
    else:
        patch = _whole_patch(rng, x, donor, soft)
        blurred = cv2.GaussianBlur(patch, (0, 0), 6).reshape(x.shape)
        new = base + patch - blurred if choice == 2 else patch + 0.5 * (base - blurred)
    return _mix(x, new * rng.uniform(1 - 0.25 * strength, 1 + 0.25 * strength), soft), (soft > 0.5).astype(np.float32)


def foreign(rng: np.random.Generator, x: np.ndarray, donor: np.ndarray, strength: float) -> Made:
    """Patches of a random shape, from level sets of smooth noise, with an artificial grain (after DRAEM, see above)."""
    h, w = x.shape[:2]
    coarse = rng.normal(size=rng.integers(3, 14, 2)).astype(np.float32)
    level = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    share = _size(rng, 0.001, 0.06, 1)
    region = (level > np.quantile(level, 1 - share)).astype(np.float32)
    soft = cv2.GaussianBlur(region, (0, 0), rng.uniform(0.3, 1.5))
    grain = cv2.GaussianBlur(rng.normal(size=(h, w)), (0, 0), _size(rng, 0.5, 6, 6), sigmaY=_size(rng, 0.5, 6, 6))
    grain *= rng.uniform(1, 4) * _grain(x) / max(1e-6, float(np.abs(grain).mean()))
    base = cv2.GaussianBlur(x, (0, 0), 4).reshape(x.shape)
    new = base * (1 + strength * rng.choice((-1, 1)) * rng.uniform(0.2, 0.7)) + grain[..., None]
    return _mix(x, new, soft), region


PASTES: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray, float], Made]] = {
    "natural": natural,
    "cut": cut,
    "crack": crack,
    "pit": pit,
    "chip": chip,
    "stain": stain,
    "finish": finish,
}
UNSEEN: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray, float], Made]] = {"foreign": foreign}
KINDS = PASTES | UNSEEN
