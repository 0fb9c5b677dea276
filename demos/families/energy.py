"""Energy-based models: a network says how unlikely a point is, up to a constant that nobody knows.

p(x) = exp(-E(x)) / Z with E(x) = f(x) + |x|² / (2 s²): the second term keeps Z = ∫ exp(-E) finite. The gradient of the
likelihood needs no Z, only samples of the model: d/dθ -log p(x) = dE(x)/dθ - E_(x' ~ p) dE(x')/dθ. They come from
chains that are kept from step to step (persistent contrastive divergence, Tieleman 2008; a replay buffer, Du and
Mordatch 2019, arXiv:1903.08689) and moved by Langevin dynamics, x' = x - h ∇E(x) + sqrt(2 h T) e with e ~ N(0, 1).
Accepting a step only as Metropolis and Hastings ask makes exp(-E / T) exact at any step length h (MALA, Roberts and
Tweedie 1996). Where a number is wanted, Z is estimated: by a grid in the plane, or by annealed importance sampling from
N(0, s²) on the path of energies (1 - b) |x|² / (2 s²) + b E(x) (Neal 2001, arXiv:physics/9803008).

Pictures have so many dimensions that chains rarely mix while an energy is trained. Denoising needs no chains: with
x' = x + σ e, the gradient of the energy of noised data is e / σ in the mean, so that |σ ∇E(x', σ) - e|² teaches it, at
all levels of noise at once (Vincent 2011; Song and Ermon 2019, arXiv:1907.05600). The energy is
E(x, σ) = |y - f(y, σ)|² / 2 for y = x / sqrt(σ² + d²), d the data's spread: a Gaussian's where f is zero (Salimans and
Ho 2021, "Should EBMs model the energy or the score?"). Chains then begin in plain noise and follow the falling σ.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["DenoisingEnergy", "Energy", "annealed_log_z", "grid_log_z", "langevin"]

EnergyFunction = Callable[[Tensor], Tensor]
OnStep = Callable[[int, int, Tensor], None]


def _slope(energy: EnergyFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """E(x) `(B,)` and its gradient, both without a graph."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = energy(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def _noise(shape: torch.Size | tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device).to(like)


def langevin(
    energy: EnergyFunction,
    x: Tensor,
    steps: int,
    step: float | Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    adjusted: bool = True,
    on_step: OnStep | None = None,
) -> Tensor:
    """Move points `(B, ...)` by Langevin dynamics.

    Args:
        energy: points to energies `(B,)`.
        x: where the chains begin.
        steps: how many steps.
        step: their length h, one for all or one for each chain `(B,)`.
        generator: draws the noise.
        temperature: T; the chains tend to exp(-E / T).
        adjusted: whether steps are accepted by Metropolis and Hastings, which makes the limit exact.
        on_step: called with the number of the step from 1, `steps` and the points; may raise to stop.
    """
    h = torch.as_tensor(step, dtype=x.dtype, device=x.device).expand(len(x))
    wide = (-1, *[1] * (x.ndim - 1))
    length, spread = h.view(wide), (2 * temperature * h).sqrt().view(wide)
    energy_x, slope = _slope(energy, x)
    for i in range(1, steps + 1):
        there = x - length * slope + spread * _noise(x.shape, generator, x)
        energy_there, slope_there = _slope(energy, there)
        if adjusted:
            forth = (there - x + length * slope).square().flatten(1).sum(1)
            back = (x - there + length * slope_there).square().flatten(1).sum(1)
            log_ratio = (energy_x - energy_there + (forth - back) / (4 * h)) / temperature
            chance = torch.rand(len(x), generator=generator, device=generator.device).to(x)
            accepted = chance.log() < log_ratio
            moved = accepted.view(wide)
            x, slope = torch.where(moved, there, x), torch.where(moved, slope_there, slope)
            energy_x = torch.where(accepted, energy_there, energy_x)
        else:
            x, slope, energy_x = there, slope_there, energy_there
        if on_step is not None:
            on_step(i, steps, x)
    return x


class _Unnormalised(nn.Module, ABC):
    """What follows from an energy: exp(-E(x)) is the density up to a constant."""

    bound = "unnormalised"

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """E(x) `(B,)`."""

    def log_prob(self, x: Tensor) -> Tensor:
        """-E(x) `(B,)`: the log-density in nats plus the unknown log Z, see `grid_log_z` and `annealed_log_z`."""
        return -self.energy(x)

    def encode(self, x: Tensor) -> Tensor:
        """There is no latent.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("An energy has no latent representation.")

    def decode(self, z: Tensor) -> Tensor:
        """There is no latent.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("An energy has no latent representation.")


class Energy(_Unnormalised):
    """An energy and the chains that its training keeps.

    Args:
        network: data `(B, ...)` to numbers `(B, 1)`: f.
        shape: of one datum, `(D,)` or `(C, H, W)`.
        spread: s, the standard deviation of the Gaussian that confines the data.
        chains: points in the replay buffer.
        steps: Langevin steps for each training step.
        step: middle length h of a Langevin step; adjusted chains have lengths from h / 8 to 8 h, so that some are
            accepted where the energy is steep and some travel far where it is flat.
        restart: share of the chains that begin anew, from N(0, s²), each time they are taken.
        penalty: weight of mean E², which keeps the energies' level near zero.
        adjusted: whether steps are accepted by Metropolis and Hastings; on pictures it is usual to go without.
        generator: draws where the chains begin; None for PyTorch's default.
    """

    chains: Tensor

    def __init__(
        self,
        network: nn.Module,
        shape: tuple[int, ...],
        spread: float = 2.0,
        chains: int = 2048,
        steps: int = 10,
        step: float = 0.01,
        restart: float = 0.02,
        penalty: float = 1e-3,
        adjusted: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.network, self.shape, self.spread = network, shape, spread
        self.steps, self.step, self.restart, self.penalty, self.adjusted = steps, step, restart, penalty, adjusted
        self.register_buffer("chains", spread * torch.randn(chains, *shape, generator=generator))

    def energy(self, x: Tensor) -> Tensor:
        """E(x) `(B,)`."""
        return self.network(x).flatten(1).sum(1) + x.square().flatten(1).sum(1) / (2 * self.spread**2)

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`"loss"` for data `x`, its part `"contrast"` = mean E(data) - mean E(chains), and moves the chains."""
        n = min(len(x), len(self.chains))
        taken = torch.randperm(len(self.chains), generator=generator, device=generator.device)[:n].to(x.device)
        fresh = torch.rand(n, generator=generator, device=generator.device) < self.restart
        begin = self.chains[taken]
        begin[fresh.to(x.device)] = self.spread * _noise((int(fresh.sum()), *self.shape), generator, x)
        made = langevin(self.energy, begin, self.steps, self._lengths(n, generator), generator, adjusted=self.adjusted)
        self.chains[taken] = made
        both = self.energy(torch.cat([x, made]))
        real, fake = both.split([len(x), n])
        contrast = real.mean() - fake.mean()
        return {"loss": contrast + self.penalty * both.square().mean(), "contrast": contrast.detach()}

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: OnStep | None = None,
        *,
        steps: int = 200,
        hottest: float = 4.0,
        fresh: bool = True,
    ) -> Tensor:
        """`(n, *shape)`: chains that cool from temperature `hottest` to 1 over the first half of the steps.

        Args:
            n: how many.
            generator: draws everything.
            on_step: called with the number of the step, `steps` and the chains; may raise to stop.
            steps: Langevin steps, their lengths proportional to the temperature.
            hottest: temperature at the start.
            fresh: whether chains begin in N(0, s²), or as copies of training's chains, which needs fewer steps.
        """
        x = self.spread * _noise((n, *self.shape), generator, self.chains)
        if not fresh:
            which = torch.randint(len(self.chains), (n,), generator=generator, device=generator.device)
            x = self.chains[which.to(self.chains.device)]
        for i in range(1, steps + 1):
            heat = max(1.0, hottest ** (1 - 2 * i / steps))
            length = heat * self._lengths(n, generator)
            x = langevin(self.energy, x, 1, length, generator, temperature=heat, adjusted=self.adjusted)
            if on_step is not None:
                on_step(i, steps, x)
        return x

    def _lengths(self, n: int, generator: torch.Generator) -> Tensor:
        if not self.adjusted:
            return torch.full((n,), self.step)
        power = 2 * torch.rand(n, generator=generator, device=generator.device) - 1
        return self.step * 8**power


class DenoisingEnergy(_Unnormalised):
    """An energy of data at every level of noise, learnt by denoising.

    Args:
        network: called with y `(B, *shape)` and where log σ lies between its ends `(B,)` in [0, 1]; gives f like y.
        shape: of one datum.
        least, most: ends of σ. The model's density is that of data with noise of spread `least`.
        spread: d, the data's own.
    """

    def __init__(
        self, network: nn.Module, shape: tuple[int, ...], least: float = 0.05, most: float = 3.0, spread: float = 0.7
    ) -> None:
        super().__init__()
        self.network, self.shape, self.least, self.most, self.spread = network, shape, least, most, spread

    def energy(self, x: Tensor, part: Tensor | float = 0.0) -> Tensor:
        """E(x, σ) `(B,)` at σ = least (most / least)^part, `part` one for all or `(B,)`."""
        part = torch.as_tensor(part, dtype=x.dtype, device=x.device).expand(len(x))
        scale = (self._sigma(part).square() + self.spread**2).rsqrt()
        y = x * scale.view(-1, *[1] * (x.ndim - 1))
        return 0.5 * (y - self.network(y, part)).flatten(1).square().sum(1)

    def losses(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`"loss"`: mean square of σ ∇E(x + σ e, σ) - e for data `x`; 1 for an energy that says nothing."""
        noise = _noise(x.shape, generator, x)
        part = torch.rand(len(x), generator=generator, device=generator.device).to(x)
        sigma = self._sigma(part).view(-1, *[1] * (x.ndim - 1))
        with torch.enable_grad():
            there = (x + sigma * noise).requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(there, part).sum(), there, create_graph=True)
        return {"loss": (sigma * slope - noise).square().mean()}

    def sample(
        self,
        n: int,
        generator: torch.Generator,
        on_step: OnStep | None = None,
        *,
        steps: int = 40,
        nudge: float = 0.05,
        known: Tensor | None = None,
        erased: Tensor | None = None,
    ) -> Tensor:
        """`(n, *shape)`: from noise of spread `most` down to `least`, and to the mean of what is behind that.

        Each step follows the reverse of the noising from one σ to the next and then moves by one Langevin step of
        length `nudge` σ² at the new σ (predictor and corrector, Song et al. 2021, arXiv:2011.13456).

        Args:
            n: how many.
            generator: draws everything.
            on_step: called with the number of the step, `steps` and the chains; may raise to stop.
            steps: levels of noise after the first.
            nudge: length of a Langevin step in units of σ².
            known: data `(n, *shape)` to complete.
            erased: bool, broadcast to `known`: which of it to draw; the rest is noised anew at every σ.
        """
        x = math.hypot(self.most, self.spread) * _noise((n, *self.shape), generator, next(self.parameters()))
        for i in range(1, steps + 1):
            part, before = 1 - i / steps, 1 - (i - 1) / steps
            sigma, larger = (
                self.least * (self.most / self.least) ** part,
                self.least * (self.most / self.least) ** before,
            )
            fall = larger**2 - sigma**2
            _, slope = _slope(lambda x, at=before: self.energy(x, at), x)
            x = x - fall * slope + math.sqrt(fall) * sigma / larger * _noise(x.shape, generator, x)
            if known is not None and erased is not None:
                x = torch.where(erased, x, known + sigma * _noise(x.shape, generator, x))
            x = langevin(
                lambda x, at=part: self.energy(x, at), x, 1, nudge * sigma**2, generator, adjusted=False
            )  # fmt: skip
            if on_step is not None:
                on_step(i, steps, x)
        _, slope = _slope(self.energy, x)
        x = x - self.least**2 * slope
        return x if known is None or erased is None else torch.where(erased, x, known)

    def _sigma(self, part: Tensor) -> Tensor:
        return self.least * (self.most / self.least) ** part


@torch.no_grad()
def grid_log_z(energy: EnergyFunction, side: float, cells: int = 128) -> Tensor:
    """Estimate of log ∫ exp(-E) over the square [-side, side]² in the plane, by its midpoints; a scalar in nats."""
    at = (torch.arange(cells) + 0.5) / cells * 2 * side - side
    points = torch.cartesian_prod(at, at)
    return torch.logsumexp(-energy(points), 0) + 2 * math.log(2 * side / cells)


def annealed_log_z(model: Energy, n: int, steps: int, generator: torch.Generator, step: float | None = None) -> Tensor:
    """Estimate of log ∫ exp(-E) by annealed importance sampling, a scalar in nats; in the mean it lies below.

    Args:
        model: an energy for data of any shape.
        n: chains.
        steps: temperatures between N(0, s²) and the model, with one Langevin step at each.
        generator: draws the chains.
        step: length of a Langevin step; the model's own if None.
    """

    def base(x: Tensor) -> Tensor:
        return x.square().flatten(1).sum(1) / (2 * model.spread**2)

    x = model.spread * _noise((n, *model.shape), generator, model.chains)
    log_weight = torch.zeros(n, device=x.device)
    for i in range(1, steps + 1):
        with torch.no_grad():
            log_weight += (base(x) - model.energy(x)) / steps

        def between(x: Tensor, share: float = i / steps) -> Tensor:
            return (1 - share) * base(x) + share * model.energy(x)

        x = langevin(between, x, 1, step or model.step, generator)
    log_base = 0.5 * math.prod(model.shape) * math.log(2 * math.pi * model.spread**2)
    return torch.logsumexp(log_weight, 0) - math.log(n) + log_base
