"""Densities and detectors: what they fit, the same seed, the same file, and files that are refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import kstest
from torch import Tensor

from demos.anomaly.densities import DENSITIES, CellGaussian, Memory
from demos.anomaly.detectors import Detector, Held, fit_detector, load_detector, save_detector
from demos.anomaly.features import Scale, Seen, look
from demos.anomaly.model import AnomalyModel
from demos.anomaly.networks import CODE, position_code
from demos.core.cancel import Cancelled
from tests.anomaly.conftest import spoiled, surface, tiny_inspector

SCALE = Scale(1.0, 7680.0)


def rows(n: int, shift: float = 0.0, seed: int = 0) -> Tensor:
    """`(n, 80)` correlated features on a ring in their first two dimensions."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 80, generator=generator) @ torch.randn(80, 80, generator=torch.Generator().manual_seed(9)) / 9
    angle = 6.3 * torch.rand(n, generator=generator)
    x[:, :2] += 8 * torch.stack([angle.cos(), angle.sin()], 1)
    return x + shift


def codes(n: int) -> Tensor:
    whole = position_code(torch.ones(1, 1, 40, 40)).flatten(2)[0].T
    return whole[torch.randint(1600, (n,), generator=torch.Generator().manual_seed(1))]


def seen(*numbers: int) -> list[Seen]:
    network = tiny_inspector()
    return [look(network, surface(i)) for i in numbers]


@pytest.mark.parametrize("kind", DENSITIES)
def test_energy_grows_with_the_distance_from_what_is_normal(kind: str) -> None:
    density = DENSITIES[kind](80)
    density.fit(rows(4000), codes(4000), torch.Generator().manual_seed(0), effort=0.06)
    means = []
    for shift in (0.0, 0.3, 0.6, 1.2):
        x = rows(400, shift, seed=5).T.reshape(80, 20, 20)
        energy = density.energy(x, codes(400).T.reshape(CODE, 20, 20))
        assert energy.shape == (20, 20) and torch.isfinite(energy).all()
        means.append(energy.mean().item())
    assert means == sorted(means) and means[3] > means[0] + 0.5


@pytest.mark.parametrize("kind", DENSITIES)
def test_fitting_repeats_with_its_generator(kind: str) -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + 100 * len(states))
        density = DENSITIES[kind](80)
        density.fit(rows(1500), codes(1500), torch.Generator().manual_seed(seed), effort=0.01)
        states.append(torch.cat([v.flatten().float() for v in density.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert kind == "gaussian" or not torch.equal(states[0], states[2])


def test_a_cells_gaussian_is_exact_where_there_are_rows_enough() -> None:
    generator = torch.Generator().manual_seed(0)
    density, z = CellGaussian(80, grid=1, prior=1e-9), torch.randn(5000, 64, generator=generator)
    density.learn(z, codes(5000), generator, None, 1.0)
    exact = torch.distributions.MultivariateNormal(z.mean(0), z.T.cov(correction=0))
    constant = 32 * np.log(2 * np.pi)
    probe = torch.randn(9, 64, generator=generator)
    energy = density.score(probe, codes(9))
    assert torch.allclose(64 * energy + constant, -exact.log_prob(probe), rtol=1e-3)


def test_cells_know_where_they_are() -> None:
    code = codes(6000)
    top = code[:, 0] > 0
    z = torch.randn(6000, 64, generator=torch.Generator().manual_seed(0)) + 3 * top[:, None]
    density = CellGaussian(80, grid=2, prior=1.0)
    density.learn(z, code, torch.Generator(), None, 1.0)
    n = int(min(top.sum(), (~top).sum()))
    right, wrong = (density.score(z[top][:n], code[where][:n]) for where in (top, ~top))
    assert right.mean() + 1 < wrong.mean()


def test_the_memory_spreads_out() -> None:
    pool = torch.randn(3000, 64, generator=torch.Generator().manual_seed(0))
    pool[0] = 40
    memory = Memory(80, entries=50)
    memory.learn(pool, codes(3000), torch.Generator().manual_seed(0), None, 1.0)
    assert (memory.memory == 40).all(1).any()
    random = torch.cdist(pool, pool[1:51]).min(1)[0].max()
    assert torch.cdist(pool, memory.memory).min(1)[0].max() < random
    assert len(memory.memory.unique(dim=0)) == 50


@pytest.fixture(scope="module")
def fitted(model: AnomalyModel) -> Detector:
    network = model.inspector
    held = [Held(look(network, surface(i)), (look(network, spoiled(surface(i + 40), 8, 0.6)),)) for i in range(12)]
    return fit_detector(held, "memory", "held", SCALE, model.fingerprint, seed=1)


def test_the_detector_says_what_it_is(fitted: Detector) -> None:
    about = fitted.about
    assert (about.density, about.pictures, about.calibration, about.folds) == ("memory", 12, 12, 4)
    assert about.separation > 0.9
    assert len(fitted.calibration) == 12 and (fitted.calibration.diff() != 0).all()


def test_scores_come_from_pictures_that_were_not_fitted_to(fitted: Detector) -> None:
    again = [fitted.score(fitted.heat(s)) for s in seen(*range(12))]
    assert np.mean(again) < fitted.calibration.mean() - 0.02


def test_pictures_kept_aside_calibrate_a_detector_of_others() -> None:
    held = [Held(s) for s in seen(*range(5))]
    detector = fit_detector(held, "gaussian", "split", SCALE, "e", training=seen(*range(10, 20)))
    assert detector.about.pictures == 10 and detector.about.folds == 1 and detector.about.separation == -1
    scores = [detector.score(detector.heat(h.normal)) for h in held]
    assert scores == pytest.approx(detector.calibration.tolist(), rel=1e-6)


def test_p_values_of_new_normal_pictures_are_uniform() -> None:
    held = [Held(s) for s in seen(*range(60))]
    detector = fit_detector(held, "gaussian", "split", SCALE, "e", training=seen(*range(100, 116)))
    new, dark = ([detector.score(detector.heat(s)) for s in group] for group in (seen(*range(300, 360)), shaded(20)))
    assert kstest(detector.calibration.numpy(), new).pvalue > 0.01
    p = np.array([detector.p_value(score) for score in new])
    assert kstest(p, "uniform").pvalue > 0.01
    assert kstest([detector.p_value(score) for score in dark], "uniform").pvalue < 1e-4


def shaded(n: int) -> list[Seen]:
    network = tiny_inspector()
    return [look(network, (0.6 * surface(i)).astype(np.uint8)) for i in range(400, 400 + n)]


@pytest.mark.parametrize("kind", DENSITIES)
def test_a_file_gives_the_same_scores(kind: str, tmp_path: Path) -> None:
    pictures = seen(0, 1, 2, 3)
    steps: list[int] = []

    def on_step(i: int, n: int, preview: Any) -> None:
        steps.append(i if i <= n else -1)

    held = [Held(s) for s in pictures]
    detector = quick_flow()
    if kind != "flow":
        detector = fit_detector(held, kind, "own", SCALE, "e", training=pictures, on_step=on_step)
    assert steps == sorted(steps) and -1 not in steps
    again = load_detector(save_detector(detector, tmp_path / "a.safetensors"), "e")
    assert again.about == detector.about
    assert all(np.array_equal(detector.heat(s), again.heat(s)) for s in pictures)
    assert torch.equal(again.calibration, detector.calibration)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def quick_flow() -> Detector:
    detector = fit_detector([Held(s) for s in seen(0, 1, 2)], "memory", "x", SCALE, "e")
    flow = Detector(replace(detector.about, density="flow"))
    x = torch.cat([s.views[0].features.flatten(1).T for s in seen(0, 1)]).float()
    for density in flow.densities:
        cast(Any, density).fit(x, codes(len(x)), torch.Generator().manual_seed(0), effort=0.007)
    flow.requires_grad_(False)
    flow.calibration.copy_(torch.tensor([0.1, 0.3, 0.2]))
    return flow.eval()


def test_fitting_can_be_stopped() -> None:
    def on_step(i: int, n: int, preview: Any) -> None:
        if i > 200:
            raise Cancelled

    with pytest.raises(Cancelled):
        fit_detector([Held(s) for s in seen(0, 1, 2)], "gaussian", "x", SCALE, "e", on_step=on_step)


def test_nothing_to_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="At least two"):
        fit_detector([Held(s) for s in seen(0)], "gaussian", "x", SCALE, "e")
    with pytest.raises(ValueError, match="no density"):
        fit_detector([Held(s) for s in seen(0, 1)], "crystal", "x", SCALE, "e")


Change = Callable[[dict[str, Tensor], dict[str, Any]], object]


def _drop(t: dict[str, Tensor], about: dict[str, Any]) -> None:
    del t["levels"]


CHANGES: dict[str, Change] = {
    "missing tensor": _drop,
    "extra tensor": lambda t, about: t.update(extra=torch.zeros(3)),
    "other shape": lambda t, about: t.update(calibration=torch.zeros(5)),
    "other kind": lambda t, about: t.update(levels=torch.zeros(2, 2, dtype=torch.int64)),
    "not finite": lambda t, about: t["densities.1.memory"].fill_(float("nan")),
    "levels upside down": lambda t, about: t["levels"].copy_(t["levels"].flip(1)),
    "unknown density": lambda t, about: about.update(density="__import__"),
    "negative area": lambda t, about: about.update(area=-1.0),
    "giant features": lambda t, about: about.update(features=10**12),
    "giant calibration": lambda t, about: about.update(calibration=10**12),
    "text for a number": lambda t, about: about.update(weight="1"),
    "weight of two": lambda t, about: about.update(weight=2.0),
    "truth for a number": lambda t, about: about.update(folds=True),
    "infinite factor": lambda t, about: about.update(factor=float("inf")),
    "extra setting": lambda t, about: about.update(evil="yes"),
    "long name": lambda t, about: about.update(name="x" * 81),
    "other encoder": lambda t, about: about.update(encoder="0123456789abcdef"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused_with_a_sentence(change: str, fitted: Detector, tmp_path: Path) -> None:
    path = save_detector(fitted, tmp_path / "a.safetensors")
    tensors = load_file(path)
    load_detector(path, fitted.about.encoder)
    about = {**vars(fitted.about)}
    CHANGES[change](tensors, about)
    save_file(tensors, path, metadata={"atelier_detector": json.dumps(about)})
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
        load_detector(path, fitted.about.encoder)


def header(length: int, text: bytes = b"{}") -> bytes:
    return struct.pack("<Q", length) + text


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x80\x04." + bytes(100), header(2), header(2**63), header(2**40, b"{" * 999), header(4, b"[[]]"),
     header(100_000, b"[" * 100_000), header(38, b'{"__metadata__":{"atelier_detector":1}}')],
)  # fmt: skip
def test_what_is_no_detector_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"^[A-Za-z].*\.$"):
        load_detector(path)


def test_a_cut_or_huge_or_missing_file_is_refused(fitted: Detector, tmp_path: Path) -> None:
    path = save_detector(fitted, tmp_path / "a.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(ValueError, match="damaged"):
        load_detector(path)
    with path.open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(ValueError, match="larger"):
        load_detector(path)
    with pytest.raises(ValueError, match="could not be found"):
        load_detector(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(2)}, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="not a detector"):
        load_detector(path)
