"""The playground's benchmark in small."""

from __future__ import annotations

import math
import sys

import pytest

from benchmarks import playground
from demos.lab.playground import Session, Settings

TWO = Settings("Moons", ("autoregressive", "score"), capacity=16, steps=300)


def test_options_are_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--help"])
    with pytest.raises(SystemExit, match="0"):
        playground.main()
    assert "python -m benchmarks.playground" in capsys.readouterr().out


def test_it_ends_when_all_have_reached_the_goal_or_the_time_is_up() -> None:
    reached, rate, busy = playground.learn(Session(TWO), 30, goal=math.inf)
    assert set(reached) == {"autoregressive", "score"} and 0 < max(reached.values()) < 30
    assert rate > 0 and busy > 0
    assert playground.learn(Session(TWO), 0.5, goal=0.0)[0] == {}


def test_a_gaussian_is_further_off_than_real_points() -> None:
    session = Session(TWO)
    assert playground.gaussian_distance(session) > 2 * session.floor
