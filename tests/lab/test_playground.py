"""A session in the plane: it trains, holds, steps, shows and fails on purpose."""

from __future__ import annotations

import base64
import json
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from demos.families.vae import kl_divergence
from demos.lab.learners import FAMILIES, Learner
from demos.lab.pictures import CELLS
from demos.lab.playground import BREAKS, DRAWING, POINTS, Session, Settings, checked

SMALL = Settings("Eight Gaussians", capacity=16, steps=12, noise=0.2, seed=3)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def finished(settings: Settings, seconds: float = 60) -> Session:
    """A session that has trained to its end."""
    session, until = Session(settings), time.monotonic() + seconds
    while not session.finished:
        assert time.monotonic() < until
        session.train(0.3)
    return session


@pytest.mark.parametrize("name", FAMILIES)
def test_a_learner_comes_closer_to_a_gaussian(name: str) -> None:
    learner, data = Learner(FAMILIES[name], 24, 0), rng(1)

    def off() -> float:
        learner.publish()
        x = learner.shown.chains if name == "energy" else learner.shown.sample(800, rng(2))
        return float((x.mean(0) - torch.tensor([1.0, -0.5])).norm() + (x.std(0) - 0.4).norm())

    before = off()
    for _ in range(60 if name in ("flow", "energy") else 150):
        learner.step(torch.tensor([1.0, -0.5]) + 0.4 * torch.randn(128, 2, generator=data))
    assert off() < 0.5 * before
    assert learner.steps == len(learner.curve) and learner.parameters > 100


def test_what_is_shown_changes_only_when_it_is_published() -> None:
    learner = Learner(FAMILIES["flow"], 16, 0)
    x = torch.randn(64, 2, generator=rng())
    before = learner.shown.log_prob(x)
    learner.step(3 * x)
    assert torch.equal(learner.shown.log_prob(x), before)
    learner.publish()
    assert not torch.equal(learner.shown.log_prob(x), before)


def test_a_learner_that_loses_its_numbers_stops_and_keeps_what_it_had() -> None:
    learner = Learner(FAMILIES["autoregressive"], 16, 0)
    learner.step(torch.randn(64, 2, generator=rng()))
    learner.step(torch.full((64, 2), math.nan))
    learner.step(torch.randn(64, 2, generator=rng()))
    learner.publish()
    assert learner.diverged and learner.steps == 1
    assert torch.isfinite(learner.shown.sample(10, rng())).all()


def test_the_seed_decides_a_training() -> None:
    sessions = [Session(replace(SMALL, seed=seed, steps=5)) for seed in (3, 3, 4)]
    for i, session in enumerate(sessions):
        while not session.finished:
            session.train(0.02 + 0.1 * i)
    frames = [session.frame(complete=True)["families"] for session in sessions]
    for name in FAMILIES:
        one, two, other = (frame[name]["samples"] for frame in frames)
        assert one == two != other, name


def test_frames_hold_what_the_stage_draws() -> None:
    session = finished(SMALL)
    opening = json.loads(json.dumps(session.opening(), allow_nan=False))
    frame = json.loads(json.dumps(session.frame(complete=True), allow_nan=False))
    assert frame["state"] == "done" and frame["session"] == opening["session"]
    assert opening["entropy"] == pytest.approx(-float(session.source.log_prob(session.held).mean()))
    assert len(base64.b64decode(opening["truth"])) == CELLS**2
    for name, part in frame["families"].items():
        points = np.frombuffer(base64.b64decode(part["samples"]), "<i2").reshape(-1, 2) / 8192
        assert len(points) == 500 and np.abs(points).max() <= 4
        assert (part["density"] is None) == (name == "gan")
        assert part["density"] is None or len(base64.b64decode(part["density"])) == CELLS**2
        assert part["steps"] == 12 and len(part["curve"]) == 12 and part["inside"]
        assert part["figures"]["distance"] > 0 and (part["figures"]["nll"] is None) == (name == "gan")
        able = opening["families"][name]
        assert able["generation"]["able"] and able["density"]["able"] == (name != "gan")
    plain = session.frame()
    assert sum("density" in part for part in plain["families"].values()) == 1
    assert len(json.dumps(plain)) < 60_000


def test_it_steps_pauses_and_keeps_its_pace() -> None:
    session = Session(replace(SMALL, steps=1000))
    session.step()
    assert {one.steps for one in session.learners.values()} == {1}
    session.paused = True
    session.train(0.2)
    assert {one.steps for one in session.learners.values()} == {1} and session.frame()["state"] == "paused"
    session.paused = False
    session.set_pace("Slow motion")
    session.train(0.05)
    assert max(one.steps for one in session.learners.values()) <= 2
    session.set_pace("Full speed")
    session.train(0.5)
    assert max(one.steps for one in session.learners.values()) > 2
    with pytest.raises(ValueError, match="speed"):
        session.set_pace("Faster")
    with pytest.raises(ValueError, match="learning rate"):
        session.set_rate(math.inf)


def test_all_families_get_as_much_time() -> None:
    session = Session(replace(SMALL, steps=5000))
    for _ in range(4):
        session.train(0.4)
    seconds = [one.seconds for one in session.learners.values()]
    assert max(seconds) < 2.5 * min(seconds) + 0.3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"distribution": "Nowhere"}, "distribution"),
        ({"distribution": None}, "distribution"),
        ({"families": ()}, "at least one"),
        ({"families": ("zebra",)}, "at least one"),
        ({"capacity": 10_000}, "capacity"),
        ({"capacity": None}, "capacity"),
        ({"rate": -1}, "learning rate"),
        ({"rate": math.nan}, "learning rate"),
        ({"steps": 1e9}, "steps"),
        ({"noise": 0}, "noise"),
        ({"points": 1}, "training points"),
        ({"points": 50_000}, "training points"),
        ({"break_it": "everything"}, "preset"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        checked(**change)


def test_own_points_and_drawings_are_learnt() -> None:
    listed = json.dumps(np.random.default_rng(0).normal(5, 2, (200, 2)).tolist())
    session = finished(checked(distribution=POINTS, families=("autoregressive",), steps=10, listed=listed))
    assert session.entropy is None and session.opening()["truth"] is None
    assert session.frame(complete=True)["families"]["autoregressive"]["figures"]["nll"] is not None
    for distribution, sentence in ((POINTS, "file of points"), (DRAWING, "Draw some more")):
        with pytest.raises(ValueError, match=sentence):
            Session(checked(distribution=distribution))


def test_presets_are_valid_and_those_of_one_family_really_fail() -> None:
    for wanted in BREAKS.values():
        assert checked(**vars(wanted)) == wanted
    session = finished(replace(BREAKS["posterior collapse"], families=("vae",), steps=320, capacity=32))
    healthy = finished(Settings(families=("vae",), steps=320, capacity=32))
    codes = [kl_divergence(*one.learners["vae"].shown.posterior(one.held)).mean().item() for one in (session, healthy)]
    assert codes[0] < 0.1 and codes[1] > 1.5


def test_a_rate_far_too_high_diverges() -> None:
    wild = finished(replace(BREAKS["divergence"], families=("vae",), steps=60, capacity=64))
    calm = finished(replace(BREAKS["divergence"], families=("vae",), steps=60, capacity=64, rate=1.0))
    ends = [one.learners["vae"].curve for one in (wild, calm)]
    assert wild.learners["vae"].diverged or np.mean(ends[0][-20:]) > 2 * np.mean(ends[1][-20:])


@pytest.mark.slow
def test_a_plain_gan_leaves_modes_out() -> None:
    wanted = replace(BREAKS["mode collapse"], families=("gan",), steps=450)
    angle = torch.arange(8) * math.pi / 4
    modes = 1.9 * torch.stack([angle.cos(), angle.sin()], 1)

    def kept(settings: Settings) -> int:
        samples = finished(settings, 200).learners["gan"]
        samples.publish()
        distance, nearest = torch.cdist(samples.shown.sample(1000, rng()), modes).min(1)
        return int((torch.bincount(nearest[distance < 0.4], minlength=8) > 25).sum())

    assert kept(wanted) <= 3 and kept(replace(wanted, break_it="")) == 8
