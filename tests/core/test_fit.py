"""The training loop: it learns, keeps its state through a kill, averages, logs, and stops at NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from demos.core import device
from demos.core import fit as module
from demos.core.fit import Budget, Losses, fit

STEPS = 60


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the loop may catch it."""


class Clock:
    """A monotonic clock that moves by `tick` seconds at each look."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 1000.0, tick

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these only lose by more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock(5.0)
    monkeypatch.setattr(module, "time", clock)
    yield clock


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))


def regression(model: nn.Module, killed_at: int | None = None, nan_at: int | None = None) -> Losses:
    """Squared error of y = x0 - 2 x1; dies or turns NaN at a call, counted from 1."""
    calls = 0

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == killed_at:
            raise Killed
        x = torch.randn(64, 2, generator=rng)
        error = (model(x).float()[:, 0] - x @ torch.tensor([1.0, -2.0])).square().mean()
        return {"loss": error * (math.nan if calls == nan_at else 1), "spent": torch.tensor(spent)}

    return losses


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def progress(out: Path) -> dict[str, float]:
    with safe_open(out / "state.safetensors", "pt") as file:
        return json.loads(file.metadata()["progress"])


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("budget", "step", "seconds", "spent"),
    [
        (Budget(minutes=2), 7, 60, 0.5),
        (Budget(minutes=2), 7, 500, 1),
        (Budget(steps=10), 5, 1e9, 0.5),
        (Budget(minutes=1, steps=10), 11, 0, 1),
    ],
)
def test_a_budget_is_steps_or_else_minutes(budget: Budget, step: int, seconds: float, spent: float) -> None:
    assert budget.spent(step, seconds) == pytest.approx(spent)


def test_it_learns_a_regression(tmp_path: Path) -> None:
    model = network()
    before = regression(model)(torch.Generator().manual_seed(9), 0)["loss"]
    ema = fit(model, regression(model), tmp_path, budget=Budget(steps=200), lr=2e-2, warmup=10, ema_decay=0.9)
    for trained in (model, ema):
        after = regression(trained)(torch.Generator().manual_seed(9), 0)["loss"]
        assert after < 0.05 * before
    assert not torch.equal(weights(model), weights(ema))
    assert not any(p.requires_grad for p in ema.parameters()) and not ema.training


def test_the_average_follows_its_formula(tmp_path: Path) -> None:
    model, seen = network(), []

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        seen.append(weights(model).clone())
        return regression(model)(rng, spent)

    ema = fit(model, losses, tmp_path, budget=Budget(steps=12), lr=1e-2, warmup=1, ema_decay=0.5)
    expected = seen[0]
    for step, now in enumerate([*seen[1:], weights(model)]):
        expected = torch.lerp(expected, now, 1 - min(0.5, (1 + step) / (10 + step)))
    assert weights(ema) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("killed_at", "muon"), [(5, False), (29, False), (58, False), (29, True)])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, clock: Clock, killed_at: int, muon: bool
) -> None:
    def run(model: nn.Sequential, name: str, killed_at: int | None = None) -> nn.Module:
        matrices = [weight for weight in model[0].parameters() if muon and weight.ndim > 1]
        out, budget = tmp_path / name, Budget(steps=STEPS)
        return fit(model, regression(model, killed_at), out, budget=budget, warmup=5, matrices=matrices)

    whole = network()
    ema = run(whole, "whole")
    clock.tick = 20.0
    with pytest.raises(Killed):
        run(network(), "part", killed_at)
    saved = progress(tmp_path / "part") if killed_at > 5 else {"step": 0}
    assert killed_at - 8 < saved["step"] < killed_at
    again = network()
    resumed = run(again, "part")
    assert torch.equal(weights(whole), weights(again))
    assert torch.equal(weights(ema), weights(resumed))
    assert progress(tmp_path / "part")["step"] == STEPS


def test_minutes_before_the_kill_count(tmp_path: Path, clock: Clock) -> None:
    model, budget = network(), Budget(minutes=20)
    with pytest.raises(Killed):
        fit(model, regression(model, killed_at=50), tmp_path, budget=budget)
    before = progress(tmp_path)
    assert 300 < before["seconds"] < 1200
    shares: list[float] = []

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        shares.append(spent)
        return regression(model)(rng, spent)

    fit(model, losses, tmp_path, budget=budget)
    after = progress(tmp_path)
    assert shares[0] == pytest.approx(before["seconds"] / 1200, abs=0.01)
    assert shares == sorted(shares) and shares[-1] > 0.98
    assert after["step"] == before["step"] + len(shares)
    assert 1190 <= after["seconds"] < 1210


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    model = network()
    ema = fit(model, regression(model), tmp_path, budget=Budget(steps=5))
    lines = log(tmp_path)
    again = network()
    kept = fit(again, regression(again, killed_at=1), tmp_path, budget=Budget(steps=5))
    assert torch.equal(weights(ema), weights(kept)) and log(tmp_path) == lines
    fresh = network()
    fit(fresh, regression(fresh), tmp_path, budget=Budget(steps=2), resume=False)
    assert progress(tmp_path)["step"] == 2


def test_a_longer_budget_continues(tmp_path: Path) -> None:
    model = network()
    fit(model, regression(model), tmp_path, budget=Budget(steps=5))
    calls = regression(network(), killed_at=4)
    with pytest.raises(Killed):
        fit(network(), calls, tmp_path, budget=Budget(steps=9))
    again = network()
    fit(again, regression(again, killed_at=5), tmp_path, budget=Budget(steps=9))
    assert progress(tmp_path)["step"] == 9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_explodes_stops_and_spoils_nothing(tmp_path: Path, value: float) -> None:
    model = network()
    ema = fit(model, regression(model), tmp_path, budget=Budget(steps=5))
    again = network()

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        return {"loss": again(torch.ones(1, 2)).float().sum() * value}

    with pytest.raises(FloatingPointError, match="at step 5"):
        fit(again, losses, tmp_path, budget=Budget(steps=9))
    assert torch.isfinite(weights(again)).all()
    kept = fit(network(), losses, tmp_path, budget=Budget(steps=5))
    assert torch.equal(weights(ema), weights(kept))


def test_the_log_has_a_line_a_report(tmp_path: Path, clock: Clock) -> None:
    model, reported = network(), []

    def report(ema: nn.Module, step: int) -> dict[str, float]:
        assert ema is not model
        reported.append(step)
        return {"figure": float(step)}

    fit(model, regression(model), tmp_path, budget=Budget(steps=STEPS), report=report, report_seconds=100)
    lines = log(tmp_path)
    assert [line["step"] for line in lines] == reported == [line["figure"] for line in lines]
    assert 3 <= len(lines) < STEPS and lines[-1]["step"] == STEPS
    assert all({"loss", "spent", "minutes", "steps_per_s"} <= line.keys() for line in lines)
    assert [line["minutes"] for line in lines] == sorted(line["minutes"] for line in lines)
    assert lines[0]["spent"] < lines[-1]["spent"] < 1


def test_the_state_is_safetensors_and_complete(tmp_path: Path) -> None:
    model = network()
    ema = fit(model, regression(model), tmp_path, budget=Budget(steps=5))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl", "state.safetensors"]
    with safe_open(tmp_path / "state.safetensors", "pt") as file:
        names = set(file.keys())
        assert torch.equal(file.get_tensor("model.0.weight"), model.state_dict()["0.weight"])
        assert torch.equal(file.get_tensor("ema.0.weight"), ema.state_dict()["0.weight"])
    assert {n.split(".")[0] for n in names} == {"model", "ema", "optimiser", "rng"}
    assert sum(n.endswith("exp_avg_sq") for n in names) == len(list(model.parameters()))


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    model = network()
    model[0].requires_grad_(False)
    before = model[0].state_dict()["weight"].clone()
    fit(model, regression(model), tmp_path, budget=Budget(steps=5), lr=0.1, warmup=1)
    assert torch.equal(before, model[0].state_dict()["weight"])
    fit(model, regression(model), tmp_path, budget=Budget(steps=8), lr=0.1, warmup=1)
    assert progress(tmp_path)["step"] == 8


@pytest.mark.parametrize("fast", [True, False])
def test_it_trains_in_bfloat16_only_where_that_is_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    seen = []

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        y = model(torch.randn(8, 2, generator=rng))
        seen.append(y.dtype)
        return {"loss": y.float().square().mean()}

    monkeypatch.setattr(device, "fast_bf16", lambda _: fast)
    model = network()
    fit(model, losses, tmp_path, budget=Budget(steps=2))
    assert seen == [torch.bfloat16 if fast else torch.float32] * 2
