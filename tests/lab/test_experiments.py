"""The measured figures of the classifiers: how they are taken, kept, drawn, and what the card says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demos.lab import experiments
from demos.lab.experiments import Bench
from demos.lab.garments import dcgan
from demos.lab.garments.vae import GarmentVAE
from demos.lab.model import Garments
from demos.lab.tab import augment, classify, figures
from demos.lab.tab import experiments as shown
from demos.lab.tab.lines import lines
from tests.lab.tiny_garments import tiny_garments

SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints" / "lab"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Fashion-MNIST and MNIST of noise, with 80 training and 60 test pictures each."""
    generator = np.random.default_rng(0)
    for name in ("fashion_mnist", "mnist"):
        arrays: dict[str, Any] = {
            f"{what}_{part}": generator.integers(0, 256, (n, 28, 28), np.uint8) if what == "x" else np.arange(n) % 10
            for what in "xy"
            for part, n in (("train", 80), ("test", 60))
        }
        np.savez(tmp_path / f"{name}.npz", **arrays)
    return tmp_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number of the stages as small as can be."""
    monkeypatch.setattr(Garments, "load", lambda *_, **__: tiny_garments())
    for name, value in (
        ("HELD", 20), ("SEEDS", (0, 1)), ("REAL", (10, 20)), ("GENERATED", 100), ("GENERATORS", ("vae", "gan")),
        ("SPOILT", 10), ("SPOILS", [("noise", 0), ("rotation", 90), ("inversion", 1)]), ("TOLD", (10, 60)),
        ("PRIOR_STEPS", 2), ("VAE_STEPS", 2), ("steps_for", lambda n: 2), ("DCGAN_STEPS", 2), ("SAMPLES", 40),
    ):  # fmt: skip
        monkeypatch.setattr(experiments, name, value)


def bench(data: Path, stage: str) -> Bench:
    return Bench(data, data / "runs", data / f"{stage}.json")


@pytest.mark.usefixtures("small")
def test_the_baseline_is_compared_as_the_families_are(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = bench(data, "dcgan")
    experiments.measure_dcgan(place)
    found = json.loads(place.path.read_text())
    assert found["steps"] == 2 and found["minutes"] > 0 and found["parameters"] > 1e5
    assert found["fid"] > found["spread"]["fid"] > 0 and 0 <= found["coverage"] <= 1
    monkeypatch.setattr(figures, "DCGAN", place.path)
    (row,) = figures.rows({})
    assert row[0] == "Baseline: DCGAN" and row[figures.HEADERS.index("FID (our classifier)")] == round(found["fid"], 2)


def test_the_baseline_learns_what_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcgan, "LR", 2e-3)
    x = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    x[:, :, :14] = 255
    made = dcgan.trained_dcgan(x, 60, 0).sample(8, torch.Generator().manual_seed(0)).float()
    again = dcgan.trained_dcgan(x, 1, 0).sample(8, torch.Generator().manual_seed(0)).float()
    assert made[:, :, :14].mean() > 200 and made[:, :, 14:].mean() < 55
    assert abs(again[:, :, :14].mean() - again[:, :, 14:].mean()) < 30


@pytest.mark.usefixtures("small")
def test_augmentation_is_measured_once_and_goes_on_where_it_was(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = bench(data, "augment")
    experiments.measure_augment(place)
    found = json.loads(place.path.read_text())
    keys = {(row["arm"], row["n"], row["seed"]) for row in found["rows"]}
    assert len(keys) == len(found["rows"]) == 5 * 2 * 2 + 2 * 2 and ("gan", 0, 1) in keys
    assert all(0 <= row["accuracy"] <= 1 for row in found["rows"]) and found["tested"] == 60
    lost = found["rows"].pop()
    place.path.write_text(json.dumps(found))
    trained: list[tuple[Any, ...]] = []
    monkeypatch.setattr(experiments, "trained", lambda *args, **_: trained.append(args) or lost["accuracy"])
    experiments.measure_augment(place)
    assert len(trained) == 1 and lost in json.loads(place.path.read_text())["rows"]


@pytest.mark.usefixtures("small")
def test_a_generator_of_few_pictures_learns_from_these_alone(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, seen = bench(data, "augment"), []
    made = GarmentVAE(latent=6, widths=(8, 8), embedding=8, mixtures=1).eval()
    monkeypatch.setattr(experiments, "small_vae", lambda data, *_: seen.append(data) or made)
    real = experiments.few(place.pictures("train"), 10, 0)
    drawn = experiments.own(place, real, 0)
    assert seen == [real] and drawn.x.shape == (100, 1, 28, 28) and drawn.y.bincount().tolist() == [10] * 10
    assert torch.equal(experiments.own(place, real, 0).x, drawn.x) and len(seen) == 1


@pytest.mark.usefixtures("small")
def test_spoilt_pictures_and_digits_are_measured(data: Path) -> None:
    place = bench(data, "robustness")
    experiments.measure_robustness(place)
    found = json.loads(place.path.read_text())
    assert [row["way"] for row in found["rows"]] == ["noise", "rotation", "inversion"]
    for row in found["rows"]:
        assert all(
            0 <= row[kind]["accuracy"] <= 1 and 0.1 <= row[kind]["confidence"] <= 1 for kind in shown.CLASSIFIERS
        )
    digits = found["digits"]
    assert all(len(digits[kind][part]) == 10 for kind in shown.CLASSIFIERS for part in ("garments", "digits"))
    assert digits["percentiles"].keys() == shown.SCORES.keys()


@pytest.mark.usefixtures("small")
def test_labels_are_measured(data: Path) -> None:
    place = bench(data, "labels")
    experiments.measure_labels(place)
    rows = json.loads(place.path.read_text())["rows"]
    assert {(row["classifier"], row["n"], row["seed"]) for row in rows} == {
        (kind, n, seed) for kind in shown.CLASSIFIERS for n in (10, 60) for seed in (0, 1)
    }


def test_the_command_needs_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("ATELIER_DATA", raising=False)
    with pytest.raises(SystemExit):
        experiments.main(["augment"])
    assert "--data DIR" in capsys.readouterr().err


def test_the_classifier_of_bayes_rule_is_a_distribution() -> None:
    x = torch.randint(0, 256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for told in experiments.posteriors(tiny_garments(), x):
        assert told.shape == (3, 10) and torch.allclose(told.sum(1), torch.ones(3), atol=1e-4)


def places(svg: str, kind: str) -> list[list[float]]:
    """Coordinates of the line of a class."""
    path = re.search(rf'class="{kind}" d="([^"]* L[^"]*)"', svg)
    assert path
    return [[float(v) for v in pair.strip(" ML").split()] for pair in path[1].split("L")]


def test_lines_lie_where_their_numbers_say() -> None:
    series = {"a": [(10.0, 20.0, 0.0), (100.0, 40.0, 5.0), (1000.0, 60.0, 0.0)], "<b>": [(10.0, 30.0, 0.0)]}
    svg = lines(series, ("n", "right"), [10, 100, 1000], log=True, levels={"a": 40.0})
    (x0, y0), (x1, y1), (x2, y2) = places(svg, "line-0")
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y0 > y2
    assert f"M46 {y1:.1f}H" in svg and "&lt;b&gt;" in svg and "<b>" not in svg
    assert svg.count("spread") == 1 and "1,000" in svg
    straight = lines(series, ("n", "right"), [10, 100, 1000], range_y=(0, 100))
    (x0, _), (x1, _), (x2, _) = places(straight, "line-0")
    assert x2 - x1 == pytest.approx(10 * (x1 - x0), abs=1)
    assert lines({"a": []}, ("n", "right"), [1, 2]) == ""


def test_equal_numbers_have_an_axis() -> None:
    assert "at-axis" in lines({"a": [(1.0, 50.0, 0.0), (2.0, 50.0, 0.0)]}, ("n", "right"), [1, 2])


def test_nothing_measured_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "figures.json")
    for handler in (augment.curves, classify.by_labels, classify.when_spoilt, classify.on_digits):
        chart, note = handler()
        assert chart == "" and "Nothing has been measured yet" in note
    (tmp_path / "augment.json").write_text("[1")
    assert shown.read("augment") == {}


def measured(stage: str) -> list[dict[str, Any]]:
    if not (SHIPPED / f"{stage}.json").exists():
        pytest.skip(f"python -m demos.lab.experiments {stage} has not been run")
    return json.loads((SHIPPED / f"{stage}.json").read_text())["rows"]


@pytest.mark.parametrize(
    ("stage", "handler", "charts"),
    [
        ("augment", augment.curves, 1),
        ("labels", classify.by_labels, 1),
        ("robustness", classify.when_spoilt, 2),
        ("robustness", classify.on_digits, 4),
    ],
)
def test_shipped_figures_are_drawn(stage: str, handler: Any, charts: int) -> None:
    assert measured(stage)
    chart, note = handler()
    assert chart.count('class="at-plot"') == charts and "Nothing has been measured" not in note


def test_shipped_figures_of_augmentation_are_whole() -> None:
    keys = [(row["arm"], row["n"], row["seed"]) for row in measured("augment")]
    arms = {arm for arm, _, _ in keys}
    assert len(set(keys)) == len(keys) and arms == shown.ARMS.keys()
    assert set(keys) >= {(arm, n, seed) for arm in arms for n in experiments.REAL for seed in experiments.SEEDS}


def test_shipped_figures_of_labels_are_whole() -> None:
    keys = {(row["classifier"], row["n"], row["seed"]) for row in measured("labels")}
    assert keys == {(k, n, s) for k in experiments.BOTH for n in experiments.TOLD for s in experiments.SEEDS}


def test_shipped_figures_of_robustness_are_whole() -> None:
    assert {(row["way"], row["amount"]) for row in measured("robustness")} == set(experiments.SPOILS)


def mean(rows: list[dict[str, Any]]) -> str:
    return f"{100 * float(np.mean([row['accuracy'] for row in rows])):.1f}" if rows else "–"


def test_the_card_says_what_was_measured_of_augmentation() -> None:
    rows, card = measured("augment"), (SHIPPED / "README.md").read_text()
    for arm, name in shown.ARMS.items():
        cells = [mean([r for r in rows if (r["arm"], r["n"]) == (arm, n)]) for n in (0, *experiments.REAL)]
        assert f"| {name} | {' | '.join(cells)} |" in card


@pytest.mark.parametrize("stage", ["labels", "robustness"])
def test_the_card_says_what_was_measured_of_classifiers(stage: str) -> None:
    rows, card = measured(stage), (SHIPPED / "README.md").read_text()
    for kind, name in shown.CLASSIFIERS.items():
        if stage == "labels":
            cells = [mean([r for r in rows if (r["classifier"], r["n"]) == (kind, n)]) for n in experiments.TOLD]
        else:
            cells = [mean([row[kind]]) for row in rows]
        assert f"| {name} | {' | '.join(cells)} |" in card
