"""An experiment while somebody waits: does a classifier of few real pictures gain by generated ones?

The repository holds no real picture. Where the folder of the archives is known (`ATELIER_DATA`), the pictures called
real are Fashion-MNIST's. Elsewhere one family plays nature: its samples stand in for real pictures, to learn from and
to be tested on, and another family generates. Then only what the second family does differently from the first
matters, and every gain is one on samples of the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from demos.core.cancel import OnStep, report
from demos.core.device import Lane
from demos.core.limits import number_in
from demos.core.seed import MAX_SEED
from demos.lab.garments.data import LABELS, load_pictures
from demos.lab.garments.kinds import KINDS, draw, one_thread
from demos.lab.garments.small import Labelled, Trainee, few, steps_for

if TYPE_CHECKING:
    from demos.lab.model import Garments

__all__ = ["LIMITS", "NATURE", "QUICK", "Augmentation", "Trial"]

LIMITS = {"n": (10, 200), "seed": (0, MAX_SEED)}
NATURE = "score"
QUICK = ("vae", "gan", "flow")
"""Families that draw hundreds of pictures in a second."""
POOL, TESTED, GENERATED, PART = 300, 400, 300, 50
LOOKS = 20


@dataclass
class Trial:
    """Two classifiers as they learn.

    Attributes:
        real, generated: what they learn from; the second one is given both.
        tested: on how many pictures.
        total: how many steps the training has.
        steps: when both were tested.
        alone, joined: share of test pictures that the first and the second named right then.
    """

    real: Labelled
    generated: Labelled
    tested: int
    total: int
    steps: list[int] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    joined: list[float] = field(default_factory=list)

    def copy(self) -> Trial:
        """The trial as it is now."""
        return replace(self, steps=[*self.steps], alone=[*self.alone], joined=[*self.joined])


class Augmentation:
    """Draws what it needs at first use; one caller at a time trains.

    Args:
        garments: the models.
        archive: `fashion_mnist.npz`; without it samples of `NATURE` stand in for real pictures.
    """

    def __init__(self, garments: Garments, archive: Path | None = None) -> None:
        self.garments, self.archive = garments, archive
        self.lane, self._drawn, self._nature = Lane(), list[Labelled](), None

    @property
    def real(self) -> bool:
        """Whether the pictures called real are."""
        return self.archive is not None

    def run(self, n: float, family: str, seed: float = 0, on_step: OnStep | None = None) -> Trial:
        """Train on `n` real pictures, and on the same with generated ones, for equally many steps.

        Args:
            n: 10 to 200.
            family: one of `QUICK`, which generates.
            seed: 0 or more; of the choice of pictures, of the generated ones, of weights and batches.
            on_step: called as `on_step(i, steps, preview)`; the preview makes a `Trial`, or is None while pictures
                are drawn. May raise `Cancelled`.

        Raises:
            ValueError: a number out of range, no such family, or one that takes too long.
        """
        count, seed = int(number_in(LIMITS, "n", n)), int(number_in(LIMITS, "seed", seed))
        if family not in QUICK:
            known = f"“{KINDS[family].title}” takes too long to draw" if family in KINDS else "There is no such family"
            raise ValueError(f"{known}; choose {', '.join(QUICK)}.")

        def waiting() -> bool:
            report(on_step, 0, 1)
            return False

        with self.lane.hold(waiting):
            pool, test = self._pictures(on_step)
            more = self._draw(family, GENERATED, torch.Generator().manual_seed(seed))
            trial = Trial(few(pool, count, seed), more, len(test.y), steps_for(count))
            with one_thread():
                self._train(trial, test, seed, on_step)
        return trial

    def _train(self, trial: Trial, test: Labelled, seed: int, on_step: OnStep | None) -> None:
        alone = Trainee(trial.real, steps=trial.total, seed=seed)
        joined = Trainee(trial.real, trial.generated, steps=trial.total, seed=seed)
        looks = {round(trial.total * (i + 1) / LOOKS) for i in range(LOOKS)}
        for i in range(1, trial.total + 1):
            alone.step()
            joined.step()
            if i in looks:
                trial.steps.append(i)
                trial.alone.append(alone.accuracy(test))
                trial.joined.append(joined.accuracy(test))
            report(on_step, i, trial.total, trial.copy)

    def _pictures(self, on_step: OnStep | None) -> tuple[Labelled, Labelled]:
        """To learn from and to be tested on; drawing stand-ins goes on where it was stopped."""
        if self._nature is None and self.archive is not None:
            test = Labelled(*load_pictures(self.archive, "test"))
            self._nature = Labelled(*load_pictures(self.archive, "train")), few(test, TESTED, 0)
        while self._nature is None:
            have, wanted = PART * len(self._drawn), POOL + TESTED
            report(on_step, have, wanted)
            if have < wanted:
                self._drawn.append(self._draw(NATURE, PART, torch.Generator().manual_seed(len(self._drawn))))
                continue
            x, y = (torch.cat(column) for column in zip(*self._drawn, strict=True))
            self._nature = Labelled(x[:POOL], y[:POOL]), Labelled(x[POOL:], y[POOL:])
        return self._nature

    def _draw(self, family: str, n: int, rng: torch.Generator) -> Labelled:
        """`n` pictures, labels in turn."""
        labels = torch.arange(n) % len(LABELS)
        with self.garments.lane.hold():
            x = draw(family, self.garments.networks[family], labels.to(self.garments.device), rng)
        return Labelled(x.cpu(), labels)
