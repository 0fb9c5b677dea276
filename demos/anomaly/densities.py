"""Densities of features of normal pictures; what is unlikely under them has a high energy.

All begin with the same whitening: principal components scaled to unit variance, and the length of what they leave out
as one more number, as in probabilistic PCA (Tipping and Bishop 1999). Each is a module whose weights are all there is
to save; its constructor says their shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from demos.anomaly.networks import CODE
from demos.core.cancel import OnStep, report
from demos.families.flow import Flow

__all__ = ["DENSITIES", "CellGaussian", "Density", "FlowDensity", "Memory"]

KEPT = 63


class Density(nn.Module):
    """Whitened features `z` `(N, KEPT + 1)`; subclasses learn and score them."""

    mean: Tensor
    matrix: Tensor
    rest: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("matrix", torch.zeros(features, KEPT))
        self.register_buffer("rest", torch.tensor([0.0, 1.0]))

    def whiten(self, x: Tensor) -> Tensor:
        """Features `(N, F)` to `(N, KEPT + 1)`."""
        x = x - self.mean
        z = x @ self.matrix
        back = self.matrix / self.matrix.square().sum(0).clamp_min(1e-12)
        length = (x - z @ back.T).square().mean(1, keepdim=True).clamp_min(1e-12).log() / 2
        return torch.cat([z, (length - self.rest[0]) / self.rest[1]], 1).clamp(-50, 50)

    def fit(
        self,
        x: Tensor,
        code: Tensor,
        generator: torch.Generator,
        on_step: OnStep | None = None,
        effort: float = 1.0,
    ) -> None:
        """Learn from features `(N, F)` of normal pictures at the positions `code` `(N, CODE)`.

        Args:
            x: rows in any order; at least two.
            code: see `position_code`.
            generator: decides on all that is random.
            on_step: told of the progress; may raise `Cancelled`.
            effort: how much longer than usual to try, where that makes a difference.
        """
        self.mean.copy_(x.mean(0))
        values, vectors = torch.linalg.eigh((x - self.mean).T.double() @ (x - self.mean).double() / len(x))
        values, vectors = values.flip(0)[:KEPT], vectors.flip(1)[:, :KEPT]
        floor = 1e-3 * values.mean() + 1e-8
        self.matrix.zero_()
        self.matrix[:, : len(values)] = (vectors * (values.clamp_min(0) + floor).rsqrt()).float()
        self.rest.copy_(torch.tensor([0.0, 1.0]))
        length = self.whiten(x)[:, -1]
        self.rest.copy_(torch.stack([length.mean(), length.std().clamp_min(0.05)]))
        self.learn(self.whiten(x), code, generator, on_step, effort)

    @torch.inference_mode()
    def energy(self, features: Tensor, code: Tensor) -> Tensor:
        """Energy `(h, w)` of a map of features `(F, h, w)`: higher is less normal."""
        z = self.whiten(features.flatten(1).T.float())
        return self.score(z, code.flatten(1).T).view(features.shape[1:])

    def learn(self, z: Tensor, code: Tensor, generator: torch.Generator, on_step: OnStep | None, effort: float) -> None:
        """Learn from whitened rows."""
        raise NotImplementedError

    def score(self, z: Tensor, code: Tensor) -> Tensor:
        """Energy `(N,)` of whitened rows."""
        raise NotImplementedError


class FlowDensity(Density):
    """A normalizing flow given the position: the energy is -log p(z | position) / D."""

    def __init__(self, features: int, steps: int = 6, hidden: int = 96, updates: int = 300) -> None:
        super().__init__(features)
        self.steps, self.hidden, self.updates = steps, hidden, updates
        self.flow = Flow(KEPT + 1, CODE, steps, hidden, generator=torch.Generator().manual_seed(0))

    @torch.enable_grad()
    def learn(self, z: Tensor, code: Tensor, generator: torch.Generator, on_step: OnStep | None, effort: float) -> None:
        """Maximum likelihood with Adam; a little noise keeps repeated rows from becoming spikes."""
        self.flow = Flow(KEPT + 1, CODE, self.steps, self.hidden, generator=generator)
        z, code = z.clone(), code.clone()  # inference tensors take no part in autograd
        optimiser = torch.optim.Adam(self.flow.parameters(), 2e-3)
        updates = round(self.updates * effort)
        for i in range(updates):
            for group in optimiser.param_groups:
                group["lr"] = 2e-3 * min(1, (i + 1) / 20) * 0.5 * (1 + math.cos(math.pi * i / updates))
            pick = torch.randint(len(z), (1024,), generator=generator)
            noise = 0.1 * torch.randn(len(pick), z.shape[1], generator=generator)
            loss = -self.flow.log_prob(z[pick].clamp(-10, 10) + noise, code[pick]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.flow.parameters(), 10.0)
            optimiser.step()
            report(on_step, i + 1, updates)
        optimiser.zero_grad(set_to_none=True)

    def score(self, z: Tensor, code: Tensor) -> Tensor:
        """-log p / D in nats a dimension."""
        return -self.flow.log_prob(z, code) / z.shape[1]


class CellGaussian(Density):
    """A Gaussian for every cell of a grid over the picture (PaDiM, Defard et al. 2020, arXiv:2011.08785).

    Means and covariances are shrunk towards those of the whole picture by as much as `prior` rows, so that cells with
    few rows stay invertible. The energy is (d² + log |S|) / 2D with the Mahalanobis distance d.
    """

    means: Tensor
    factors: Tensor
    log_dets: Tensor

    def __init__(self, features: int, grid: int = 16, prior: float = 64.0) -> None:
        super().__init__(features)
        self.grid, self.prior, d = grid, prior, KEPT + 1
        self.register_buffer("means", torch.zeros(grid**2, d))
        self.register_buffer("factors", torch.zeros(grid**2, d, d))
        self.register_buffer("log_dets", torch.zeros(grid**2))

    def _cells(self, code: Tensor) -> Tensor:
        place = torch.arccos(code[:, [0, 4]].clamp(-1, 1)) / math.pi
        row, column = (place * self.grid).long().clamp(0, self.grid - 1).T
        return row * self.grid + column

    def learn(self, z: Tensor, code: Tensor, generator: torch.Generator, on_step: OnStep | None, effort: float) -> None:
        """Moments of every cell, shrunk."""
        cells, mean = self._cells(code), z.mean(0)
        whole = (z - mean).T @ (z - mean) / len(z) + 1e-2 * torch.eye(z.shape[1])
        for i in range(self.grid**2):
            rows = z[cells == i]
            share = len(rows) / (len(rows) + self.prior)
            centre = mean + share * (rows.mean(0) - mean) if len(rows) else mean
            spread = (rows - centre).T @ (rows - centre) / max(1, len(rows))
            factor = torch.linalg.cholesky(share * spread + (1 - share) * whole)
            self.means[i] = centre
            self.factors[i] = torch.linalg.inv(factor)
            self.log_dets[i] = 2 * factor.diagonal().log().sum()
            report(on_step, i + 1, self.grid**2)

    def score(self, z: Tensor, code: Tensor) -> Tensor:
        """Half the squared Mahalanobis distance and log-determinant, a dimension."""
        cells, energy = self._cells(code), z.new_empty(len(z))
        for i in cells.unique().tolist():
            at = cells == i
            energy[at] = ((z[at] - self.means[i]) @ self.factors[i].T).square().sum(1) + self.log_dets[i]
        return energy / (2 * z.shape[1])


class Memory(Density):
    """Nearest neighbours in a memory of normal patches (PatchCore, Roth et al. 2022, arXiv:2106.08265).

    The memory is a greedy coreset: each entry is the row farthest from those chosen before. The energy is the mean
    distance to the three nearest entries.
    """

    memory: Tensor

    def __init__(self, features: int, entries: int = 1536, candidates: int = 20_000) -> None:
        super().__init__(features)
        self.candidates = candidates
        self.register_buffer("memory", torch.zeros(entries, KEPT + 1))

    def learn(self, z: Tensor, code: Tensor, generator: torch.Generator, on_step: OnStep | None, effort: float) -> None:
        """Choose the coreset among random candidates."""
        pool = z[torch.randperm(len(z), generator=generator)[: self.candidates]]
        near = torch.full((len(pool),), math.inf)
        squares, at = pool.square().sum(1), 0
        for i in range(len(self.memory)):
            self.memory[i] = pool[at]
            near = torch.minimum(near, squares - 2 * (pool @ pool[at]) + squares[at])
            at = int(near.argmax())
            if i % 64 == 63:
                report(on_step, i + 1, len(self.memory))

    def score(self, z: Tensor, code: Tensor) -> Tensor:
        """Mean distance to the three nearest entries."""
        return torch.cat([torch.cdist(part, self.memory).topk(3, largest=False)[0].mean(1) for part in z.split(4096)])


DENSITIES: dict[str, Callable[[int], Density]] = {"gaussian": CellGaussian, "memory": Memory, "flow": FlowDensity}
"""From the simplest on."""
