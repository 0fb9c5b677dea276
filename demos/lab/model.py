"""The Lab tab's wrapper for pictures of garments: six families asked the same questions, in plain Python.

Pictures go in as anything that `prepare` takes and come out as 28 × 28 PIL pictures of mode "L". What a family cannot
do it refuses with its own sentence. Everything that a caller may set is checked here, because the page and the API
reach the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demos.core.cancel import OnStep
from demos.core.checkpoint import find, load_network
from demos.core.device import Lane, pick_device, set_threads
from demos.core.limits import number_in
from demos.core.media import Picture
from demos.core.seed import normalise_seed
from demos.families.capabilities import capabilities, refusal
from demos.lab.garments.causal import CausalNetwork
from demos.lab.garments.classifier import GarmentClassifier
from demos.lab.garments.complete import COMPLETIONS, cannot_complete, complete
from demos.lab.garments.data import LABELS, NO_LABEL, SIDE, scaled
from demos.lab.garments.kinds import KINDS, bits, draw, encode, given, pictures
from demos.lab.garments.pil import erased_in, prepare, previews, to_pil
from demos.lab.garments.references import References
from demos.lab.garments.scores import SCORES, scores, statistics

__all__ = ["LIMITS", "Garments", "Likelihood", "Score"]

LIMITS = {"n": (1, 64), "steps": (2, 16), "amount": (-4.0, 4.0)}
FARTHEST = 100.0
WHOLE = ("flow", "score")
"""Families whose latents lie on a shell, so that moves keep their length."""


@dataclass(frozen=True)
class Likelihood:
    """How likely a picture is.

    Attributes:
        bits_per_dim: -log2 p(x) / 784.
        kind: "exact", "lower bound", "estimate" or "unnormalised".
        percentile: share of test garments with fewer bits, 0 to 100: at 100 it is less likely than all of them.
    """

    bits_per_dim: float
    kind: str
    percentile: float


@dataclass(frozen=True)
class Score:
    """How unusual a picture is by one score; `percentile` is the share of test garments with less, 0 to 100."""

    title: str
    value: float
    percentile: float


class Garments:
    """Loads once, answers one caller at a time."""

    labels = LABELS

    def __init__(
        self,
        networks: dict[str, Any],
        background: CausalNetwork,
        classifier: GarmentClassifier,
        references: References,
        device: torch.device,
    ) -> None:
        self.networks, self.background, self.classifier = networks, background, classifier
        self.references, self.device = references, device
        self._scores = references.scores()
        self.lane = Lane()
        self._statistics = lru_cache(256)(self._measured)  # a row of the scores' table asks for the same picture again

    @classmethod
    def load(cls, checkpoint: str | Path = "lab", device: str | None = None) -> Garments:
        """Read a checkpoint folder; nothing is downloaded.

        Raises:
            ValueError: the folder is missing, damaged, or holds something else.
        """
        folder, where = find(checkpoint), pick_device(device)
        if where.type == "cpu":
            set_threads()

        def read(part: str, kind: type[Any]) -> Any:
            return load_network(kind, folder / part).to(where, memory_format=torch.channels_last)

        networks = {name: read(name, kind.network) for name, kind in KINDS.items()}
        background, classifier = read("background", CausalNetwork), read("classifier", GarmentClassifier)
        return cls(networks, background, classifier, References.load(folder / "references"), where)

    def families(self) -> dict[str, dict[str, Any]]:
        """For each family its title, its parameters, the kind of its density ("" for none), and what it can do.

        Under "generation", "density", "representation" and "completion" lie "able" and "note": why not, or the kind.
        """
        table = capabilities({name: kind.family for name, kind in KINDS.items()})
        found = {}
        for name, row in table.items():
            kind = self._kind(name) if row["density"].able else ""
            answers = {question: {"able": can.able, "note": can.note} for question, can in row.items()}
            if kind:
                answers["density"]["note"] = KINDS[name].note
            answers["completion"] = {"able": name in COMPLETIONS, "note": COMPLETIONS.get(name, cannot_complete(name))}
            count = sum(p.numel() for p in self.networks[name].parameters())
            found[name] = {"title": KINDS[name].title, "parameters": count, "kind": kind, **answers}
        return found

    def prepare(self, picture: Picture) -> Image.Image:
        """A 28 × 28 picture, bright on black, as the models know them; see `demos.lab.garments.pil`.

        Raises:
            ValueError: it can't be read, or shows nothing.
        """
        return prepare(picture)

    def sample(
        self,
        family: str,
        n: int = 16,
        label: int | str | None = None,
        seed: int | None = 0,
        on_step: OnStep | None = None,
    ) -> list[Image.Image]:
        """Draw pictures.

        Args:
            family: a key of `families()`.
            n: 1 to 64.
            label: one of `labels` or its number; None draws one for each picture first, p(x) = sum p(y) p(x | y).
            seed: None or negative draws one.
            on_step: called as `on_step(i, steps, preview)`; the preview makes one picture. May raise `Cancelled`.

        Raises:
            ValueError: no such family or label, or a number out of range.
        """
        network = self._network(family)
        rows = self._labels(label, int(number_in(LIMITS, "n", n)))
        rng = torch.Generator().manual_seed(normalise_seed(seed))
        if label is None:
            rows = torch.randint(len(LABELS), rows.shape, generator=rng).to(rows)
        with self.lane.hold():
            return to_pil(draw(family, network, rows, rng, previews(on_step)))

    def log_prob(self, family: str, picture: Picture, label: int | str | None = None) -> Likelihood:
        """Bits per dimension of a picture and its place among test garments (whose labels were not told).

        Raises:
            ValueError: no such family or label, a family without a density, or a picture that can't be read.
        """
        network = self._able(family, "log_prob")
        x, rows = self._tensor(picture), self._labels(label, 1)
        with self.lane.hold(), torch.no_grad():
            value = float(bits(family, network, x, rows, torch.Generator().manual_seed(0)))
        usual = self.references.bits(family)["fashion"]
        return Likelihood(value, self._kind(family), _percentile(usual, value))

    def histograms(self, family: str) -> dict[str, np.ndarray]:
        """Stored bits per dimension, ascending, of test garments ("fashion"), test digits ("mnist") and "noise".

        Raises:
            ValueError: no such family, or one without a density.
        """
        self._able(family, "log_prob")
        return {name: values.numpy() for name, values in self.references.bits(family).items()}

    def encode(self, family: str, picture: Picture) -> np.ndarray:
        """What the family knows a picture as, `(Z,)` float32.

        Raises:
            ValueError: no such family, one without a latent, or a picture that can't be read.
        """
        return self._z(family, picture).flatten().cpu().numpy()

    def decode(self, family: str, z: np.ndarray, label: int | str | None = None) -> Image.Image:
        """The picture behind `(Z,)` numbers.

        Raises:
            ValueError: no such family or label, one that decodes nothing, or not Z finite numbers up to 100.
        """
        self._able(family, "decode")
        shape = KINDS[family].latent
        try:
            flat = np.asarray(z, np.float32).reshape(-1)
        except (TypeError, ValueError):
            raise ValueError("A latent is a list of numbers.") from None
        if flat.size != np.prod(shape) or not np.isfinite(flat).all() or np.abs(flat).max() > FARTHEST:
            raise ValueError(f"The latent of this family is {int(np.prod(shape))} finite numbers up to {FARTHEST:g}.")
        return self._decoded(family, torch.from_numpy(flat.copy()).view(1, *shape), label)[0]

    def reconstruct(self, family: str, picture: Picture) -> Image.Image:
        """A picture encoded and decoded again.

        Raises:
            ValueError: as `encode`.
        """
        return self._decoded(family, self._z(family, picture))[0]

    def interpolate(self, family: str, a: Picture, b: Picture, n: int = 8) -> list[Image.Image]:
        """`n` pictures, 2 to 16, on the way from one to another in the latent space, both ends included.

        Raises:
            ValueError: as `encode`, or a number out of range.
        """
        steps = int(number_in(LIMITS, "steps", n))
        first, last = self._z(family, a), self._z(family, b)
        part = torch.linspace(0, 1, steps, device=self.device).view(-1, *[1] * (first.ndim - 1))
        z = (1 - part) * first + part * last
        if family in WHOLE:
            z = _lengthened(z, (1 - part.flatten()) * first.norm() + part.flatten() * last.norm())
        return self._decoded(family, z)

    def directions(self, family: str) -> int:
        """How many principal directions `walk` knows.

        Raises:
            ValueError: no such family, or one that encodes nothing.
        """
        self._able(family, "encode")
        return len(self.references.directions[family])

    def walk(self, family: str, picture: Picture, amounts: Iterable[float]) -> Image.Image:
        """A picture moved along the principal directions of latents, by up to 8 amounts of -4 to 4 standard deviations.

        Raises:
            ValueError: as `encode`, too many amounts, or one out of range.
        """
        known = self.directions(family)
        moves = [number_in(LIMITS, "amount", amount) for amount in amounts]
        if len(moves) > known:
            raise ValueError(f"There are {known} directions to walk along, not {len(moves)}.")
        z = self._z(family, picture)
        rows = self.references.directions[family].to(self.device)[: len(moves)]
        moved = z + (torch.tensor(moves, device=self.device) @ rows).view(z.shape)
        return self._decoded(family, moved)[0]

    def arithmetic(self, family: str, plus: Picture, minus: Picture, base: Picture) -> Image.Image:
        """What lies at z(base) + z(plus) - z(minus).

        Raises:
            ValueError: as `encode`.
        """
        start = self._z(family, base)
        z = start + self._z(family, plus) - self._z(family, minus)
        return self._decoded(family, _lengthened(z, start.norm()[None]) if family in WHOLE else z)[0]

    def complete(
        self,
        family: str,
        picture: Picture,
        mask: Any,
        seed: int | None = 0,
        label: int | str | None = None,
        on_step: OnStep | None = None,
    ) -> Image.Image:
        """Draw the erased part of a picture anew.

        Args:
            family: autoregressive, vae, energy or score.
            picture: see `prepare`.
            mask: `(28, 28)` numbers or a picture of that size, above 0 where the picture is erased.
            seed: None or negative draws one.
            label: what the whole is to be; None for anything.
            on_step: called as `on_step(i, steps, preview)`; may raise `Cancelled`.

        Raises:
            ValueError: a family that cannot, bad input, or nothing or everything erased.
        """
        network = self._network(family)
        if family not in COMPLETIONS:
            raise ValueError(cannot_complete(family))
        x, rows, erased = self._tensor(picture), self._labels(label, 1), erased_in(mask).to(self.device)
        rng = torch.Generator().manual_seed(normalise_seed(seed))
        with self.lane.hold():
            return to_pil(complete(family, network, x, erased, rows, rng, previews(on_step)))[0]

    def scores(self, picture: Picture) -> dict[str, Score]:
        """Every score of how unusual a picture is, by its name.

        Raises:
            ValueError: a picture that can't be read.
        """
        found = scores(self._statistics(np.array(prepare(picture)).tobytes()), self.references.normal)
        return {
            name: Score(title, float(found[name]), _percentile(self._scores[name]["fashion"], float(found[name])))
            for name, title in SCORES.items()
        }

    def _measured(self, brightnesses: bytes) -> Tensor:
        x = torch.frombuffer(bytearray(brightnesses), dtype=torch.uint8).view(1, 1, SIDE, SIDE).to(self.device)
        with self.lane.hold():
            rng = torch.Generator().manual_seed(0)
            return statistics({**self.networks, "background": self.background}, x, rng).cpu()

    def score_histograms(self, name: str) -> dict[str, np.ndarray]:
        """Stored values of a score, ascending, as in `histograms`.

        Raises:
            ValueError: no such score.
        """
        if name not in self._scores:
            raise ValueError(f"There is no score “{str(name)[:40]}”; choose {', '.join(SCORES)}.")
        return {part: values.numpy() for part, values in self._scores[name].items()}

    def classify(self, picture: Picture) -> dict[str, float]:
        """p(y | x) of the discriminative classifier.

        Raises:
            ValueError: a picture that can't be read.
        """
        x = self._tensor(picture)
        with self.lane.hold(), torch.no_grad():
            chance = self.classifier(scaled(x)).softmax(1)[0]
        return dict(zip(LABELS, chance.tolist(), strict=True))

    def bayes(self, picture: Picture, family: str = "autoregressive") -> dict[str, float]:
        """p(y | x) by Bayes' rule from a family's p(x | y), all labels equally likely before.

        Raises:
            ValueError: no such family, one without a density, or a picture that can't be read.
        """
        network = self._able(family, "log_prob")
        x = self._tensor(picture).repeat(len(LABELS), 1, 1, 1)
        rows = torch.arange(len(LABELS), device=self.device)
        with self.lane.hold(), torch.no_grad():
            told = bits(family, network, x, rows, torch.Generator().manual_seed(0))
        chance = (-told.double() * SIDE * SIDE * np.log(2)).softmax(0)
        return dict(zip(LABELS, chance.tolist(), strict=True))

    def _network(self, family: str) -> Any:
        if family not in KINDS:
            raise ValueError(f"There is no family “{str(family)[:40]}”; choose {', '.join(KINDS)}.")
        return self.networks[family]

    def _able(self, family: str, method: str) -> Any:
        network = self._network(family)
        refused = refusal(KINDS[family].family, method)
        if refused is not None:
            raise ValueError(refused)
        return network

    def _kind(self, family: str) -> str:
        return given(self.networks[family], torch.zeros(1, dtype=torch.long)).bound

    def _labels(self, label: int | str | None, n: int) -> Tensor:
        """`(n,)` numbers of one label."""
        number = NO_LABEL if label is None else LABELS.index(label) if label in LABELS else label
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= NO_LABEL:
            raise ValueError(f"There is no label “{str(label)[:40]}”; choose {', '.join(LABELS)}.")
        return torch.full((n,), number, device=self.device)

    def _tensor(self, picture: Picture) -> Tensor:
        """Brightnesses `(1, 1, 28, 28)` uint8."""
        return torch.from_numpy(np.array(prepare(picture)))[None, None].to(self.device)

    def _z(self, family: str, picture: Picture) -> Tensor:
        network = self._able(family, "encode")
        x = self._tensor(picture)
        with self.lane.hold():
            return encode(family, network, x, self._labels(None, 1)).float()

    def _decoded(self, family: str, z: Tensor, label: int | str | None = None) -> list[Image.Image]:
        model = given(self.networks[family], self._labels(label, len(z)))
        with self.lane.hold(), torch.no_grad():
            return to_pil(pictures(family, model.decode(z.to(self.device))))


def _percentile(ordered: Tensor, value: float) -> float:
    return 100 * float(torch.searchsorted(ordered, torch.tensor([value]))) / len(ordered)


def _lengthened(z: Tensor, lengths: Tensor) -> Tensor:
    """Rows of `z` made as long as `lengths` says."""
    wide = (-1, *[1] * (z.ndim - 1))
    return z * (lengths / z.flatten(1).norm(dim=1).clamp_min(1e-6)).view(wide)
