"""One visitor's training in the plane: up to six small models side by side, on the same points.

A session trains in slices, in which the model that has had the least time goes first, so that all progress together. It
can be paused, advanced step by step, slowed down and ended. What it shows is rendered from copies of the models, which
follow the training between two frames; figures and density maps are renewed family after family, since they cost most.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demos.core.limits import number_in
from demos.core.seed import normalise_seed
from demos.families.capabilities import capabilities
from demos.families.energy import Energy
from demos.lab.figures import mmd, sliced_wasserstein
from demos.lab.learners import BROKEN, FAMILIES, Learner
from demos.lab.pictures import CELLS, INSIDE, heat, log_density, places, plane
from demos.lab.points import DISTRIBUTIONS, Distribution, drawn, from_points

__all__ = ["BREAKS", "DRAWING", "LIMITS", "PACES", "POINTS", "Session", "Settings", "checked"]

LIMITS = {
    "capacity": (8, 192),
    "learning rate": (0.01, 300.0),
    "steps": (10, 20_000),
    "noise": (0.02, 0.6),
    "training points": (20, 20_000),
}
PACES = {"Slow motion": 4.0, "Slow": 40.0, "Full speed": float("inf")}
"""Steps a second that each model may do at most."""
DRAWING, POINTS = "Your drawing", "Your points"
BURST_S = 0.012
SHOWN, MEASURED, COMPARED = 500, 2000, 1000
CURVE = 96
FIGURES_EVERY_S = 0.5


@dataclass(frozen=True)
class Settings:
    """What a session trains on and how.

    Attributes:
        distribution: a name of `DISTRIBUTIONS`, or `DRAWING` or `POINTS`.
        families: names of `FAMILIES`.
        capacity: units in a hidden layer.
        rate: learning rate, as a factor of each family's own.
        steps: of each model.
        noise: standard deviation of the blur of the data.
        points: how many training points there are.
        break_it: a key of `BREAKS` that changes a model, or an empty text.
        seed: decides data, weights and noise.
        strokes: the drawing surface's JSON, for a drawing.
        listed: points as JSON, for points.
    """

    distribution: str = "Moons"
    families: tuple[str, ...] = tuple(FAMILIES)
    capacity: int = 64
    rate: float = 1.0
    steps: int = 2000
    noise: float = 0.08
    points: int = 20_000
    break_it: str = ""
    seed: int = 0
    strokes: str = ""
    listed: str = ""

    def data(self) -> Distribution:
        """The distribution.

        Raises:
            ValueError: too little is drawn.
        """
        if self.distribution == DRAWING:
            return drawn(self.strokes, self.noise)
        if self.distribution == POINTS:
            if not self.listed:
                raise ValueError("Choose a file of points first.")
            return from_points(json.loads(self.listed), self.noise)
        return DISTRIBUTIONS[self.distribution](self.noise)


BREAKS: dict[str, Settings] = {
    "mode collapse": Settings("Eight Gaussians", ("gan", "score"), break_it="mode collapse", noise=0.1),
    "posterior collapse": Settings("Moons", ("vae", "flow"), break_it="posterior collapse"),
    "divergence": Settings("Spirals", break_it="divergence", rate=60.0),
    "overfitting": Settings("Rings", ("autoregressive", "flow", "score"), 160, break_it="overfitting", points=40),
}
"""Settings under which training fails in a known way."""


def checked(**given: Any) -> Settings:
    """Settings from what a visitor gave, by the names of `Settings`; what is missing keeps its default.

    Raises:
        ValueError: one sentence for the user.
    """
    settings = Settings(**given)
    if settings.distribution not in (*DISTRIBUTIONS, DRAWING, POINTS):
        raise ValueError("Choose a distribution.")
    chosen = tuple(name for name in FAMILIES if name in settings.families)
    if not chosen:
        raise ValueError("Tick at least one family.")
    if settings.break_it and settings.break_it not in BREAKS:
        raise ValueError("There is no such preset.")
    return Settings(
        settings.distribution,
        chosen,
        int(number_in(LIMITS, "capacity", settings.capacity)),
        number_in(LIMITS, "learning rate", settings.rate),
        int(number_in(LIMITS, "steps", settings.steps)),
        number_in(LIMITS, "noise", settings.noise),
        int(number_in(LIMITS, "training points", settings.points)),
        settings.break_it,
        normalise_seed(settings.seed),
        settings.strokes if settings.distribution == DRAWING else "",
        settings.listed if settings.distribution == POINTS else "",
    )


class Session:
    """A training that is watched.

    Args:
        settings: what to train, `checked` if they come from a visitor.
        source: the points to learn, instead of what the settings name.

    Attributes:
        key: differs between sessions.
        paused: set it to hold the training; cleared, it goes on.
        pace: steps a second that each model may do at most.
        place: how many sessions are ahead in the line; 0 while it trains.
    """

    _keys = itertools.count(1)

    def __init__(self, settings: Settings, source: Distribution | None = None) -> None:
        self.settings = settings
        self.key = next(self._keys)
        self.paused, self.pace, self.place = False, PACES["Full speed"], 0
        self.source = source or settings.data()
        generator = torch.Generator().manual_seed(settings.seed)
        self._points = self.source.sample(settings.points, generator)
        self.held = self.source.sample(2 * MEASURED, generator)
        recipes = {name: BROKEN.get((settings.break_it, name), FAMILIES[name]) for name in settings.families}
        self.learners = {
            name: Learner(recipe, settings.capacity, settings.seed + i, settings.rate)
            for i, (name, recipe) in enumerate(recipes.items())
        }
        self.entropy = float(-self.source.log_prob(self.held).mean()) if self.source.known else None
        self._log_most = float(self.source.log_prob(plane()).max()) if self.source.known else None
        self.floor = sliced_wasserstein(self.held[:MEASURED], self.held[MEASURED:])
        self._lock = threading.Lock()
        self._training = threading.Lock()
        self._watched = self._paced_since = time.monotonic()
        self._paced_steps = self._turn = 0
        self._figures: dict[str, dict[str, float | None]] = {}
        self._measure_from = 0.0
        self._measured_at = dict.fromkeys(self.learners, 0.0)

    @property
    def finished(self) -> bool:
        """Whether every model has done its steps or has diverged."""
        return all(learner.diverged or learner.steps >= self.settings.steps for learner in self.learners.values())

    def unwatched_for(self) -> float:
        """Seconds since somebody last asked for a frame."""
        return time.monotonic() - self._watched

    def set_pace(self, pace: str) -> None:
        """Choose one of `PACES`.

        Raises:
            ValueError: there is no such pace.
        """
        if pace not in PACES:
            raise ValueError("Choose a speed.")
        self.pace, self._paced_since = PACES[pace], time.monotonic()
        self._paced_steps = max(learner.steps for learner in self.learners.values())

    def set_rate(self, rate: float) -> None:
        """Change the learning rate from the next step on.

        Raises:
            ValueError: out of range.
        """
        factor = number_in(LIMITS, "learning rate", rate)
        for learner in self.learners.values():
            learner.set_rate(factor)

    def train(self, seconds: float) -> None:
        """Train for about so long, or until all is done, paused, or ahead of the pace."""
        with self._training:
            until = time.monotonic() + seconds
            while not self.paused and time.monotonic() < until:
                most = self._allowed()
                open_ones = [one for one in self.learners.values() if not one.diverged and one.steps < most]
                if not open_ones:
                    break
                self._burst(min(open_ones, key=lambda one: one.seconds), most)
        self._publish()

    def step(self) -> None:
        """One step of every model that is not done."""
        with self._training:
            for learner in self.learners.values():
                self._burst(learner, min(learner.steps + 1, self.settings.steps))
        self._publish(wait=True)

    def _allowed(self) -> int:
        if self.pace == float("inf"):
            return self.settings.steps
        paced = self._paced_steps + int((time.monotonic() - self._paced_since) * self.pace)
        return min(self.settings.steps, paced)

    def _burst(self, learner: Learner, most: int) -> None:
        start = time.perf_counter()
        while learner.steps < most and not learner.diverged:
            which = torch.randint(len(self._points), (learner.recipe.batch,), generator=learner.generator)
            learner.step(self._points[which])
            if time.perf_counter() - start > BURST_S:
                break
        learner.seconds += time.perf_counter() - start

    def _publish(self, wait: bool = False) -> None:
        """Renew what is shown, unless a frame is being drawn right now."""
        if self._lock.acquire(blocking=wait):
            try:
                for learner in self.learners.values():
                    learner.publish()
            finally:
                self._lock.release()

    def opening(self) -> dict[str, Any]:
        """What a page needs once: the data, its true density, and what there is to see."""
        truth = heat(self.source.log_prob(plane()), self._log_most) if self.source.known else None
        return {
            "session": self.key,
            "cells": CELLS,
            "data": places(self._points[:SHOWN]),
            "truth": truth,
            "entropy": self.entropy,
            "floor": self.floor,
            "steps": self.settings.steps,
            "noise": self.settings.noise,
            "title": self.settings.distribution,
            "families": {
                name: {"parameters": one.parameters, "unit": one.recipe.unit, **_able(name)}
                for name, one in self.learners.items()
            },
        }

    def frame(self, complete: bool = False) -> dict[str, Any]:
        """What there is to see now; the dear parts of one family only, or of all if `complete`.

        Asking for frames is what keeps a training alive.
        """
        self._watched = time.monotonic()
        names = list(self.learners)
        with self._lock:
            if complete:
                for learner in self.learners.values():
                    learner.publish()
            self._turn += 1
            dear = names if complete else [names[self._turn % len(names)]]
            families = {name: self._view(name, name in dear) for name in names}
            self._measure(names if complete else self._due())
        for name in names:
            families[name]["figures"] = self._figures.get(name)
        return {**self.glance(), "complete": complete, "families": families}

    def glance(self) -> dict[str, Any]:
        """A frame without pictures, for who waits in the line."""
        self._watched = time.monotonic()
        return {"session": self.key, "state": self._state(), "place": self.place}

    def _state(self) -> str:
        if self.finished:
            return "done"
        if self.paused:
            return "paused"
        return "waiting" if self.place else "training"

    def _view(self, name: str, dear: bool) -> dict[str, Any]:
        learner = self.learners[name]
        generator = torch.Generator().manual_seed(self.settings.seed + 1)
        samples = learner.shown.chains[:SHOWN] if name == "energy" else learner.shown.sample(SHOWN, generator)
        view: dict[str, Any] = {
            "steps": learner.steps,
            "seconds": round(learner.seconds, 1),
            "diverged": learner.diverged,
            "curve": _thinned(learner.curve),
            "samples": places(samples),
        }
        if dear:
            log_p = log_density(learner.shown, plane(), generator)
            view["density"] = None if log_p is None else heat(log_p, self._log_most)
            view["inside"] = INSIDE[name](learner.shown, self.held[:SHOWN], generator)
        return view

    def _due(self) -> list[str]:
        """The family whose figures are the oldest, twice a second or more rarely where that takes long."""
        if time.monotonic() < self._measure_from:
            return []
        return [min(self._measured_at, key=lambda name: self._measured_at[name])]

    def _measure(self, names: Sequence[str]) -> None:
        start = time.monotonic()
        for name in names:
            self._figures[name] = self.figures(name)
            self._measured_at[name] = time.monotonic()
        if names:
            now = time.monotonic()
            self._measure_from = now + max(FIGURES_EVERY_S, 4 * (now - start))

    def figures(self, name: str) -> dict[str, float | None]:
        """Negative log-density of held-out points in nats, sliced Wasserstein distance and MMD to them."""
        model = self.learners[name].shown
        generator = torch.Generator().manual_seed(self.settings.seed + 2)
        samples = self._drawn(model, generator)
        log_p = log_density(model, self.held[:COMPARED], generator, fast=False)
        held = self.held[MEASURED:]
        found = {
            "nll": None if log_p is None else float(-log_p.mean()),
            "distance": sliced_wasserstein(samples, held),
            "mmd": mmd(samples[:COMPARED], held[:COMPARED]),
        }
        return {key: value if value is not None and np.isfinite(value) else None for key, value in found.items()}

    @staticmethod
    def _drawn(model: Any, generator: torch.Generator) -> Tensor:
        if isinstance(model, Energy):
            return model.sample(MEASURED, generator, steps=16, hottest=1.0, fresh=False)
        return model.sample(MEASURED, generator).detach()


def _able(name: str) -> dict[str, dict[str, Any]]:
    """What a family can do, by question."""
    found = capabilities({name: FAMILIES[name].kind})[name]
    return {question: vars(capability) for question, capability in found.items()}


def _thinned(curve: list[float]) -> list[float]:
    """A curve as at most 96 means of equally many steps each."""
    values = np.asarray(curve, np.float32)
    each = max(1, -(-len(values) // CURVE))
    whole = len(values) // each * each
    return [round(float(v), 3) for v in values[:whole].reshape(-1, each).mean(1)]
