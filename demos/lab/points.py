"""Distributions in the plane whose density is known, and those that visitors bring.

Nearly all are mixtures of Gaussians, p(x) = sum_i w_i N(x; c_i, s_i² 1): a curve is a chain of close centres, a drawing
one centre an inked pixel. The checkerboard is uniform on squares and blurred, which stays a product of error functions;
the pinwheel is a mixture turned by an angle that grows with the radius, which leaves areas as they are. Each density
is therefore exact. Noise is one more Gaussian that blurs all of them. The plane that is shown is [-2.5, 2.5]².
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from demos.core.strokes import Drawing, rasterise

__all__ = [
    "BOX",
    "DISTRIBUTIONS",
    "Checkerboard",
    "Distribution",
    "Mixture",
    "Pinwheel",
    "Sample",
    "drawn",
    "from_drawing",
    "from_points",
    "read_points",
]

BOX = 2.5
MOST_POINTS, FEWEST_POINTS, KEPT_POINTS = 50_000, 20, 20_000
MOST_CENTRES = 4096
PIXELS = 96


class Distribution(Protocol):
    """Points in the plane that can be drawn, and their density where it is known."""

    @property
    def known(self) -> bool:
        """Whether the density is known."""
        ...

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`(n, 2)` points."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density `(B,)` in nats."""
        ...


@dataclass(frozen=True)
class Mixture:
    """Gaussians at `centres` `(K, 2)` with `stds` `(K,)` and `weights` `(K,)` that add to one."""

    centres: Tensor
    stds: Tensor
    weights: Tensor
    known: bool = True

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`(n, 2)` points."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return self.centres[which] + self.stds[which, None] * torch.randn(n, 2, generator=generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density `(B,)` in nats."""
        constant = self.weights.log() - 2 * self.stds.log() - math.log(2 * math.pi)
        found = []
        for part in x.split(1024):
            square = torch.cdist(part, self.centres, compute_mode="donot_use_mm_for_euclid_dist").square()
            found.append(torch.logsumexp(constant - 0.5 * square / self.stds.square(), 1))
        return torch.cat(found)


@dataclass(frozen=True)
class Sample:
    """Points `(N, 2)` that a visitor brought, drawn from again and again; their density is unknown."""

    points: Tensor
    noise: float = 0.0
    known: bool = False

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`(n, 2)` of the points, blurred by the noise."""
        which = torch.randint(len(self.points), (n,), generator=generator)
        return self.points[which] + self.noise * torch.randn(n, 2, generator=generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """The density is unknown.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("The density behind a list of points is unknown.")


@dataclass(frozen=True)
class Checkerboard:
    """Uniform on eight of sixteen squares of side 1, blurred by a Gaussian of standard deviation `noise` > 0."""

    noise: float
    known: bool = True

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`(n, 2)` points."""
        cell = torch.randint(8, (n,), generator=generator)
        row = cell // 2
        column = 2 * (cell % 2) + row % 2
        corner = torch.stack([column, row], 1) - 2.0
        inside = corner + torch.rand(n, 2, generator=generator)
        return inside + self.noise * torch.randn(n, 2, generator=generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density `(B,)` in nats."""
        edges = torch.arange(-2.0, 3.0)
        below = torch.special.ndtr((edges - x[..., None].double()) / self.noise)
        share = below[..., 1:] - below[..., :-1]  # (B, 2, 4)
        black = (torch.arange(4)[:, None] + torch.arange(4)) % 2 == 0
        total = (share[:, 0, :, None] * share[:, 1, None, :])[:, black].sum(1)
        return (total / 8).clamp_min(1e-30).log().float()


@dataclass(frozen=True)
class Pinwheel:
    """Arms of an elongated Gaussian, each turned further the further out: by `twist` radians a unit of radius."""

    noise: float
    arms: int = 5
    reach: float = 1.3
    length: float = 0.38
    twist: float = 1.1
    known: bool = True

    def _angles(self) -> Tensor:
        return torch.arange(self.arms) * (2 * math.pi / self.arms)

    def _turned(self, x: Tensor, sign: float) -> Tensor:
        angle = sign * self.twist * x.norm(dim=1)
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`(n, 2)` points."""
        scale = torch.tensor([self.length, self.noise])
        x = torch.tensor([self.reach, 0.0]) + scale * torch.randn(n, 2, generator=generator)
        angle = self._angles()[torch.randint(self.arms, (n,), generator=generator)]
        cos, sin = angle.cos(), angle.sin()
        x = torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)
        return self._turned(x, 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-density `(B,)` in nats: turning by a function of the radius keeps areas."""
        x = self._turned(x, -1)[:, None]
        cos, sin = self._angles().cos(), self._angles().sin()
        along = (cos * x[..., 0] + sin * x[..., 1] - self.reach) / self.length
        across = (cos * x[..., 1] - sin * x[..., 0]) / self.noise
        each = -0.5 * (along.square() + across.square()) - math.log(2 * math.pi * self.length * self.noise)
        return each.logsumexp(1) - math.log(self.arms)


def _chain(points: Tensor, noise: float) -> Mixture:
    """Equal Gaussians along a curve `(K, 2)`."""
    count = len(points)
    return Mixture(points.float(), torch.full((count,), noise), torch.full((count,), 1 / count))


def moons(noise: float) -> Mixture:
    """Two half circles that reach into each other."""
    angle = (torch.arange(400) + 0.5) / 400 * math.pi
    one = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
    two = torch.stack([0.5 - angle.cos(), 0.25 - angle.sin()], 1)
    return _chain(1.35 * torch.cat([one, two]), noise)


def rings(noise: float) -> Mixture:
    """Three rings, each with as many points for its length."""
    radii = (0.6, 1.25, 1.9)
    angles = [torch.arange(n := round(320 * r)) * (2 * math.pi / n) for r in radii]
    parts = [r * torch.stack([a.cos(), a.sin()], 1) for r, a in zip(radii, angles, strict=True)]
    return _chain(torch.cat(parts), noise)


def spirals(noise: float) -> Mixture:
    """Two spirals in each other."""
    angle = 3 * math.pi * ((torch.arange(600) + 0.5) / 600).sqrt()
    arm = angle[:, None] / (3 * math.pi) * 2.1 * torch.stack([-angle.cos(), angle.sin()], 1)
    return _chain(torch.cat([arm, -arm]), noise)


def eight_gaussians(noise: float) -> Mixture:
    """Eight Gaussians on a circle."""
    angle = torch.arange(8) * (math.pi / 4)
    return _chain(1.9 * torch.stack([angle.cos(), angle.sin()], 1), noise)


def letters(noise: float, text: str = "p(x)") -> Mixture:
    """Ink of a line of text."""
    sheet = Image.new("L", (4 * PIXELS, 4 * PIXELS))
    font = ImageFont.load_default(size=2 * PIXELS)
    box = font.getbbox(text, anchor="mm")
    scale = 0.86 * 4 * PIXELS / (box[2] - box[0])
    ImageDraw.Draw(sheet).text(
        (2 * PIXELS, 2 * PIXELS), text, fill=255, anchor="mm", font=ImageFont.load_default(size=2 * PIXELS * scale)
    )
    small = sheet.resize((PIXELS, PIXELS), Image.Resampling.BOX)
    return _inked(np.asarray(small, np.float32) / 255, noise)


def _inked(ink: np.ndarray, noise: float) -> Mixture:
    """One Gaussian a pixel of `ink` `(S, S)` in [0, 1], y downwards; at least half a pixel wide."""
    row, column = np.nonzero(ink > 0.25)
    if len(row) > MOST_CENTRES:
        keep = np.linspace(0, len(row) - 1, MOST_CENTRES).astype(int)
        row, column = row[keep], column[keep]
    cell = 2 * BOX / len(ink)
    centres = np.stack([(column + 0.5) * cell - BOX, BOX - (row + 0.5) * cell], 1)
    weights = torch.from_numpy(ink[row, column].astype(np.float32))
    return Mixture(
        torch.from_numpy(centres.astype(np.float32)),
        torch.full((len(row),), math.hypot(noise, 0.5 * cell)),
        weights / weights.sum(),
    )


DISTRIBUTIONS: Mapping[str, Callable[[float], Distribution]] = {
    "Moons": moons,
    "Rings": rings,
    "Spirals": spirals,
    "Eight Gaussians": eight_gaussians,
    "Checkerboard": Checkerboard,
    "Pinwheel": Pinwheel,
    "Letters": letters,
}


def drawn(strokes: str, noise: float) -> Distribution:
    """The distribution that a drawing's lines stand for: uniform on what is inked, blurred by the noise.

    Args:
        strokes: the JSON of the drawing surface.
        noise: standard deviation of the blur.

    Raises:
        ValueError: too little is drawn, or the text isn't a drawing.
    """
    return from_drawing(Drawing.from_json(strokes), noise)


def from_drawing(drawing: Drawing, noise: float) -> Distribution:
    """As `drawn`, of a drawing."""
    ink, colour = rasterise(drawing, PIXELS)
    marked = np.maximum(ink, colour[..., 3].astype(np.float32) / 255)
    if (marked > 0.25).sum() < FEWEST_POINTS:
        raise ValueError("Draw some more: a distribution needs a line or a few strokes.")
    return _inked(marked, noise)


def read_points(content: bytes) -> np.ndarray:
    """Points `(N, 2)` from a text file with two numbers a line, separated by a comma, semicolon, tab or blank.

    Raises:
        ValueError: a line that isn't two numbers; a heading in the first line is left out.
    """
    rows = []
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines()[: 2 * MOST_POINTS], 1):
        cells = line.replace(",", " ").replace(";", " ").split()
        try:
            x, y = map(float, cells)
        except ValueError:
            if number == 1 or not cells:
                continue
            raise ValueError(f"Line {number} of the file isn't two numbers.") from None
        rows.append((x, y))
    return np.array(rows, np.float64) if rows else np.zeros((0, 2))


def from_points(points: Any, noise: float, seed: int = 0) -> Sample:
    """The distribution behind a list of points, centred and scaled into the plane.

    Args:
        points: `(N, 2)` numbers.
        noise: standard deviation of the blur.
        seed: chooses which are kept of more than 20,000.

    Raises:
        ValueError: not two numbers a point, too few or too many, not finite, or all in one place.
    """
    try:
        given = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        given = np.zeros(0)
    if given.ndim != 2 or given.shape[-1] != 2:
        raise ValueError("A list of points with two numbers each is expected here.")
    if not FEWEST_POINTS <= len(given) <= MOST_POINTS:
        raise ValueError(f"From {FEWEST_POINTS} to {MOST_POINTS:,} points are needed, not {len(given):,}.")
    if not np.isfinite(given).all() or np.abs(given).max() > 1e9:
        raise ValueError("All numbers must be finite and not enormous.")
    centre = (given.max(0) + given.min(0)) / 2
    reach = np.abs(given - centre).max()
    if reach < 1e-9:
        raise ValueError("All points lie in one place; some must differ.")
    if len(given) > KEPT_POINTS:
        given = given[np.random.default_rng(seed).choice(len(given), KEPT_POINTS, replace=False)]
    return Sample(torch.from_numpy((0.85 * BOX * (given - centre) / reach).astype(np.float32)), noise)
