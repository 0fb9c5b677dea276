"""What the models say of pictures that nobody trained them with, stored beside them: garments, digits and noise.

A score of one picture means something only next to the scores of others. Here lie the statistics of 1,000 test pictures
of Fashion-MNIST, 1,000 of MNIST and 300 of plain noise, the Gaussian of the statistics of 1,000 training pictures, and
the principal directions of the latents of 1,000 training pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from demos.core.checkpoint import read_header, save_weights, weight_files
from demos.lab.garments.data import NO_LABEL, load_pictures, noise_pictures
from demos.lab.garments.kinds import bits, encode
from demos.lab.garments.scores import STATISTICS, Normal, scores, statistics

__all__ = ["DIRECTIONS", "SETS", "WITH_DIRECTIONS", "References", "measure"]

SETS: Mapping[str, int] = {"fashion": 1000, "mnist": 1000, "noise": 300}
SOLVED: Mapping[str, int] = {"fashion": 200, "mnist": 200, "noise": 50}
"""How many of each are asked of the score-based model, whose likelihood takes an equation to solve."""
FITTED, ENCODED, DIRECTIONS = 1000, 1000, 8
WITH_DIRECTIONS = ("vae", "flow", "score")


@dataclass(frozen=True)
class References:
    """Stored figures.

    Attributes:
        statistics: for each of `SETS`, `(N, S)`, of `STATISTICS`.
        solved: for each of `SETS`, bits per dimension `(M,)` of the score-based model.
        normal: of the statistics of training pictures.
        directions: for each of `WITH_DIRECTIONS`, `(DIRECTIONS, Z)`, as long as one standard deviation.
    """

    statistics: dict[str, Tensor]
    solved: dict[str, Tensor]
    normal: Normal
    directions: dict[str, Tensor]

    def bits(self, family: str) -> dict[str, Tensor]:
        """A family's bits per dimension on each of `SETS`, ascending."""
        if family == "score":
            return {name: values.sort().values for name, values in self.solved.items()}
        column = STATISTICS.index(family)
        return {name: rows[:, column].sort().values for name, rows in self.statistics.items()}

    def scores(self) -> dict[str, dict[str, Tensor]]:
        """For each of `SCORES` its values on each of `SETS`, ascending."""
        found = {name: scores(rows, self.normal) for name, rows in self.statistics.items()}
        return {
            score: {name: found[name][score].sort().values for name in found} for score in next(iter(found.values()))
        }

    def save(self, folder: Path) -> None:
        """Write one safetensors file."""
        tensors = {f"statistics.{name}": rows for name, rows in self.statistics.items()}
        tensors |= {f"solved.{name}": values for name, values in self.solved.items()}
        tensors |= {f"directions.{name}": rows.half() for name, rows in self.directions.items()}
        save_weights(tensors | {"mean": self.normal.mean, "covariance": self.normal.covariance}, folder)

    @classmethod
    def load(cls, folder: Path) -> References:
        """Read what `save` wrote.

        Raises:
            ValueError: missing, damaged, or something else.
        """
        (path,) = weight_files(folder)
        read_header(path)
        tensors = {name: value.float() for name, value in load_file(path).items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        found = cls(
            part("statistics."),
            part("solved."),
            Normal(tensors.get("mean", torch.zeros(0)), tensors.get("covariance", torch.zeros(0, 0))),
            part("directions."),
        )
        whole = found.statistics.keys() == found.solved.keys() == SETS.keys()
        if not whole or found.normal.covariance.shape != (len(STATISTICS),) * 2:
            raise ValueError(f"{folder.name}/ does not hold the Lab's references.")
        return found


def _in_parts(function: Any, x: Tensor, size: int) -> Tensor:
    return torch.cat([function(part) for part in x.split(size)])


def measure(networks: Mapping[str, Any], data: Path, seed: int = 0) -> References:
    """Ask all models, for some minutes."""
    rng = torch.Generator().manual_seed(seed)
    train, _ = load_pictures(data / "fashion_mnist.npz", "train")
    sets = {
        "fashion": load_pictures(data / "fashion_mnist.npz", "test")[0][: SETS["fashion"]],
        "mnist": load_pictures(data / "mnist.npz", "test")[0][: SETS["mnist"]],
        "noise": noise_pictures(SETS["noise"], rng),
    }

    def told(x: Tensor) -> Tensor:
        return _in_parts(lambda part: statistics(networks, part, rng), x, 100)

    def solved(x: Tensor) -> Tensor:
        nothing = torch.full((len(x),), NO_LABEL)
        return bits("score", networks["score"], x, nothing, rng)

    directions = {}
    for name in WITH_DIRECTIONS:
        z = _in_parts(
            lambda part, name=name: encode(name, networks[name], part, torch.full((len(part),), NO_LABEL)),
            train[:ENCODED],
            100,
        ).flatten(1)
        _, lengths, rows = torch.pca_lowrank(z.float(), DIRECTIONS + 4, niter=4)
        spread = lengths[:DIRECTIONS, None] / (len(z) - 1) ** 0.5
        directions[name] = rows.T[:DIRECTIONS] * spread
    return References(
        {name: told(x) for name, x in sets.items()},
        {name: _in_parts(solved, x[: SOLVED[name]], 50).detach() for name, x in sets.items()},
        Normal.fit(told(train[-FITTED:])),
        directions,
    )
