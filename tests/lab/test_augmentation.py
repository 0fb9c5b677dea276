"""The visitor's own experiment with generated pictures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch

from demos.core.cancel import Cancelled
from demos.lab.garments import augment
from demos.lab.garments.augment import LOOKS, POOL, QUICK, TESTED, Augmentation, Trial
from demos.lab.tab import augment as page
from tests.lab.tiny_garments import tiny_garments


@pytest.fixture(scope="module")
def experiment() -> Augmentation:
    return Augmentation(tiny_garments())


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "steps_for", lambda n: 2 * LOOKS)


def test_both_curves_grow_to_their_ends(experiment: Augmentation) -> None:
    seen: list[tuple[int, int, Any]] = []
    trial = experiment.run(20, "gan", 1, lambda i, n, preview: seen.append((i, n, preview and preview())))
    assert len(trial.steps) == len(trial.alone) == len(trial.joined) == LOOKS
    assert trial.steps[-1] == trial.total and trial.tested == TESTED
    assert torch.bincount(trial.real.y).tolist() == [2] * 10 and len(trial.generated.y) == 300
    previews = [preview for _, _, preview in seen if isinstance(preview, Trial)]
    assert len(previews) == trial.total and [len(p.steps) for p in previews] == sorted(len(p.steps) for p in previews)
    assert (POOL + TESTED, POOL + TESTED, None) in seen, "drawing the stand-ins was never reported"
    assert not experiment.real


def test_the_seed_decides(experiment: Augmentation) -> None:
    first, same, other = (experiment.run(10, "vae", seed) for seed in (3, 3, 4))
    assert first.alone == same.alone and first.joined == same.joined
    assert torch.equal(first.generated.x, same.generated.x) and not torch.equal(first.generated.x, other.generated.x)
    assert not torch.equal(first.real.x, other.real.x)


@pytest.mark.parametrize("n", [0, 9, 201, 10**9, 20.5, float("nan"), float("inf"), None, "many"])
def test_a_number_of_pictures_that_cannot_be_is_refused(experiment: Augmentation, n: Any) -> None:
    with pytest.raises(ValueError, match=r"^“n” must be a whole number from 10 to 200\.$"):
        experiment.run(n, "gan")


@pytest.mark.parametrize("seed", [-1, 2**40, 0.5, float("nan"), None])
def test_a_seed_that_cannot_be_is_refused(experiment: Augmentation, seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^“seed” must be a whole number from 0 to 4,294,967,295\.$"):
        experiment.run(50, "gan", seed)


@pytest.mark.parametrize(
    ("family", "sentence"),
    [("diffusion", "There is no such family"), ("", "There is no such family"), ("energy", "“Energy-based” takes too")],
)
def test_a_family_that_cannot_generate_here_is_refused(experiment: Augmentation, family: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        experiment.run(50, family)
    assert all(name in str(refused.value) for name in QUICK)


def test_it_stops_within_a_step_and_lets_others_go_on(experiment: Augmentation) -> None:
    steps: list[int] = []

    def stop(i: int, n: int, preview: Any) -> None:
        steps.append(i)
        if preview is not None and i == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        experiment.run(50, "gan", 0, stop)
    assert steps[-1] == 5 and not experiment.lane.busy and not experiment.garments.lane.busy


def test_stopped_drawing_of_stand_ins_goes_on_where_it_was() -> None:
    fresh, drawn = Augmentation(tiny_garments()), []

    def stop(i: int, n: int, preview: Any) -> None:
        if i >= 100:
            raise Cancelled

    with pytest.raises(Cancelled):
        fresh.run(10, "gan", 0, stop)
    fresh.run(10, "gan", 0, lambda i, n, preview: drawn.append((i, n)))
    assert (0, POOL + TESTED) not in drawn and (100, POOL + TESTED) in drawn


def test_real_pictures_take_the_place_of_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        f"{name}_{part}": generator.integers(0, 256, (600, 28, 28), np.uint8) if name == "x" else np.arange(600) % 10
        for name in "xy"
        for part in ("train", "test")
    }
    np.savez(tmp_path / "fashion_mnist.npz", **arrays)
    monkeypatch.setattr(augment, "NATURE", "none is drawn")
    real = Augmentation(tiny_garments(), tmp_path / "fashion_mnist.npz")
    trial = real.run(10, "flow", 0)
    assert real.real and trial.tested == TESTED
    known = {row.tobytes() for row in arrays["x_train"]}
    assert all(row.numpy().tobytes() in known for row in trial.real.x)


def test_the_page_draws_both_curves(experiment: Augmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "experiment", lambda: experiment)
    visitor: Any = SimpleNamespace(session_hash="one")
    steps = list(page.train(visitor, 20, "gan", 1))
    plot, pictures, said, bar = steps[-1]
    assert "line-0" in plot and "line-1" in plot and pictures.count("<img") == 2 and "width:0%" in bar
    assert said.startswith("With 20 real pictures") and "300 generated" in said and "Seed 1" in said
    assert "Press Train" in steps[0][0] and len(steps) > 2


def test_the_page_refuses_and_clears_its_bar(experiment: Augmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "experiment", lambda: experiment)
    visitor: Any = SimpleNamespace(session_hash="one")
    seen: list[Any] = []
    with pytest.raises(gr.Error, match="whole number from 10 to 200"):
        for step in page.train(visitor, 5, "gan", 0):
            seen.append(step)
    assert "progressbar" in seen[0][3] and "progressbar" not in seen[-1][3]
