"""The garments' wrapper around tiny untrained networks, and, where they lie there, around the shipped ones."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demos.core.cancel import Cancelled
from demos.core.checkpoint import ROOT
from demos.lab import train
from demos.lab.garments.causal import CausalNetwork
from demos.lab.garments.classifier import GarmentClassifier
from demos.lab.garments.complete import COMPLETIONS
from demos.lab.garments.data import LABELS
from demos.lab.garments.energy import GarmentEnergy
from demos.lab.garments.gan import GarmentGenerator
from demos.lab.garments.kinds import KINDS
from demos.lab.garments.references import SETS, WITH_DIRECTIONS, References
from demos.lab.garments.scores import SCORES, STATISTICS, Normal
from demos.lab.garments.subscale import SubscaleFlow
from demos.lab.garments.unet import GarmentScore
from demos.lab.garments.vae import GarmentVAE
from demos.lab.model import Garments

SHIPPED = ROOT / "lab"
shipped = pytest.mark.skipif(
    not (SHIPPED / "references").is_dir(), reason="checkpoints/lab is not there: run demos.lab.train"
)


def invented() -> References:
    rng = torch.Generator().manual_seed(0)
    rows = {name: torch.randn(40, len(STATISTICS), generator=rng) for name in SETS}
    solved = {name: torch.randn(40, generator=rng) for name in SETS}
    sizes = {"vae": 40, "flow": 784, "score": 784}
    directions = {name: 0.1 * torch.randn(8, sizes[name], generator=rng) for name in WITH_DIRECTIONS}
    return References(rows, solved, Normal.fit(torch.randn(90, len(STATISTICS), generator=rng)), directions)


@pytest.fixture(scope="module")
def garments() -> Garments:
    torch.manual_seed(0)
    networks: dict[str, Any] = {
        "autoregressive": CausalNetwork(width=16, depth=1, mixtures=1),
        "vae": GarmentVAE(widths=(8, 8), embedding=8),
        "flow": SubscaleFlow(widths=(8, 8), depth=1, labelled=True),
        "gan": GarmentGenerator(widths=(8, 8), embedding=8),
        "energy": GarmentEnergy(widths=(8, 8), embedding=8),
        "score": GarmentScore(widths=(8, 8), embedding=8, steps=2),
    }
    background, classifier = CausalNetwork(width=16, depth=1, mixtures=1), GarmentClassifier(widths=(8, 8))
    for network in (*networks.values(), background, classifier):
        network.eval().requires_grad_(False)
    return Garments(networks, background, classifier, invented(), torch.device("cpu"))


@pytest.fixture(scope="module")
def shirt() -> Image.Image:
    pixels = np.zeros((28, 28), np.uint8)
    pixels[2:26, 8:20] = 180
    pixels[2:9, 1:27] = 140
    return Image.fromarray(pixels)


LOWER = np.repeat(np.arange(28)[:, None] >= 14, 28, 1)
ASKED: dict[str, tuple[str, Callable[[Garments, str, Image.Image], Any]]] = {
    "log_prob": ("density", lambda g, f, x: g.log_prob(f, x)),
    "histograms": ("density", lambda g, f, x: g.histograms(f)),
    "bayes": ("density", lambda g, f, x: g.bayes(x, f)),
    "encode": ("representation", lambda g, f, x: g.encode(f, x)),
    "reconstruct": ("representation", lambda g, f, x: g.reconstruct(f, x)),
    "interpolate": ("representation", lambda g, f, x: g.interpolate(f, x, x, 2)),
    "walk": ("representation", lambda g, f, x: g.walk(f, x, [1, -1])),
    "arithmetic": ("representation", lambda g, f, x: g.arithmetic(f, x, x, x)),
    "complete": ("completion", lambda g, f, x: g.complete(f, x, LOWER)),
}


@pytest.mark.parametrize("family", KINDS)
def test_the_table_is_true(garments: Garments, shirt: Image.Image, family: str) -> None:
    table = garments.families()[family]
    for name, (question, call) in ASKED.items():
        if family == "autoregressive" and name == "complete":
            continue  # 784 steps; see the test of erased pixels
        answer = table[question]
        if answer["able"]:
            assert call(garments, family, shirt) is not None, name
        else:
            with pytest.raises(ValueError) as refused:
                call(garments, family, shirt)
            assert str(refused.value) == answer["note"], name
    assert table["generation"]["able"]


def test_the_table_names_what_is_missing(garments: Garments) -> None:
    table = garments.families()
    assert list(table) == list(KINDS)
    assert {f for f, row in table.items() if not row["density"]["able"]} == {"gan"}
    assert {f for f, row in table.items() if row["representation"]["able"]} == {"vae", "flow", "score"}
    assert {f for f, row in table.items() if row["completion"]["able"]} == COMPLETIONS.keys()
    kinds = {f: row["kind"] for f, row in table.items()}
    assert kinds["vae"] == "lower bound" and kinds["score"] == "estimate" and kinds["energy"] == "unnormalised"


def test_samples_are_pictures_and_previews_show_them_all(garments: Garments) -> None:
    seen: list[Image.Image] = []

    def watch(i: int, n: int, preview: Callable[[], Image.Image]) -> None:
        seen.append(preview())

    made = garments.sample("flow", 5, "Bag", 3, watch)
    assert [(p.mode, p.size) for p in made] == [("L", (28, 28))] * 5
    assert [p.size for p in seen] == [(84, 56)] * 7
    assert np.array_equal(np.asarray(seen[-1])[:28, :28], np.asarray(made[0]))


@pytest.mark.parametrize("family", ["autoregressive", "flow", "score", "energy"])
def test_sampling_stops_within_a_step(garments: Garments, family: str) -> None:
    steps: list[int] = []

    def stop(i: int, n: int, preview: Any) -> None:
        steps.append(i)
        raise Cancelled

    with pytest.raises(Cancelled):
        garments.sample(family, 1, on_step=stop)
    assert steps == [1] and not garments.lane.busy


def test_a_percentile_is_the_share_of_garments_with_less(garments: Garments, shirt: Image.Image) -> None:
    told = garments.log_prob("flow", shirt)
    column = garments.references.statistics["fashion"][:, STATISTICS.index("flow")]
    assert told.percentile == pytest.approx(100 * float((column < told.bits_per_dim).float().mean()))
    assert told.kind == "exact"


def test_both_answers_to_what_it_is_add_up(garments: Garments, shirt: Image.Image) -> None:
    for chances in (garments.classify(shirt), garments.bayes(shirt, "vae")):
        assert tuple(chances) == LABELS
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)


def test_a_walk_of_no_steps_and_an_interpolation_begin_at_the_reconstruction(
    garments: Garments, shirt: Image.Image
) -> None:
    base = np.asarray(garments.reconstruct("vae", shirt), int)
    for other in (garments.walk("vae", shirt, []), garments.interpolate("vae", shirt, shirt, 3)[1]):
        assert np.abs(np.asarray(other, int) - base).max() <= 1
    z = garments.encode("vae", shirt)
    assert np.abs(np.asarray(garments.decode("vae", z), int) - base).max() <= 1


def test_a_flow_reconstructs_exactly(garments: Garments, shirt: Image.Image) -> None:
    assert np.array_equal(np.asarray(garments.reconstruct("flow", shirt)), np.asarray(shirt))


@pytest.mark.parametrize("family", ["vae", "score"])
def test_what_was_not_erased_stays(garments: Garments, shirt: Image.Image, family: str) -> None:
    made = np.asarray(garments.complete(family, shirt, LOWER, seed=1))
    assert np.array_equal(made[:14], np.asarray(shirt)[:14])


def test_scores_have_places_among_garments(garments: Garments, shirt: Image.Image) -> None:
    found = garments.scores(shirt)
    assert list(found) == list(SCORES)
    for name, score in found.items():
        assert math.isfinite(score.value) and 0 <= score.percentile <= 100
        assert garments.score_histograms(name).keys() == SETS.keys()
    assert (
        found["typicality"].value
        == pytest.approx(abs(found["autoregressive"].value - float(garments.references.normal.mean[0])))
    )  # fmt: skip


def test_scores_of_a_picture_are_measured_once(garments: Garments, shirt: Image.Image) -> None:
    first, calls = garments.scores(shirt), garments._statistics.cache_info()
    assert garments.scores(shirt.copy()) == first
    assert garments._statistics.cache_info().misses == calls.misses
    assert garments.scores(shirt.transpose(Image.Transpose.FLIP_TOP_BOTTOM)) != first


BAD: dict[str, Callable[[Garments, Image.Image], Any]] = {
    "family": lambda g, x: g.sample("transformer"),
    "family of another type": lambda g, x: g.log_prob(None, x),  # type: ignore[arg-type]
    "none": lambda g, x: g.sample("gan", 0),
    "many": lambda g, x: g.sample("gan", 65),
    "half": lambda g, x: g.sample("gan", 1.5),  # type: ignore[arg-type]
    "label": lambda g, x: g.sample("gan", 1, "Hat"),
    "label number": lambda g, x: g.sample("gan", 1, 11),
    "label type": lambda g, x: g.sample("gan", 1, True),
    "seed": lambda g, x: g.sample("gan", 1, None, "x"),  # type: ignore[arg-type]
    "short latent": lambda g, x: g.decode("vae", np.zeros(3)),
    "endless latent": lambda g, x: g.decode("vae", np.full(40, np.inf)),
    "no latent": lambda g, x: g.decode("vae", "z"),  # type: ignore[arg-type]
    "far walk": lambda g, x: g.walk("vae", x, [5]),
    "long walk": lambda g, x: g.walk("vae", x, [0] * 9),
    "steps": lambda g, x: g.interpolate("vae", x, x, 99),
    "small mask": lambda g, x: g.complete("vae", x, np.ones((3, 3))),
    "empty mask": lambda g, x: g.complete("vae", x, np.zeros((28, 28))),
    "full mask": lambda g, x: g.complete("vae", x, np.ones((28, 28))),
    "mask of words": lambda g, x: g.complete("vae", x, "all"),
    "score": lambda g, x: g.score_histograms("luck"),
    "no picture": lambda g, x: g.scores(None),  # type: ignore[arg-type]
    "empty file": lambda g, x: g.prepare(b""),
    "corrupt file": lambda g, x: g.prepare(_png()[:60]),
    "words": lambda g, x: g.prepare(b"not a picture at all"),
    "huge": lambda g, x: g.prepare(np.zeros((9000, 9000), np.uint8)),
    "blank": lambda g, x: g.prepare(np.full((40, 40), 255, np.uint8)),
    "not numbers": lambda g, x: g.prepare(np.full((40, 40), np.nan)),
    "flat array": lambda g, x: g.prepare(np.zeros(5)),
}


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence(garments: Garments, shirt: Image.Image, case: str) -> None:
    with pytest.raises(ValueError) as refused:
        BAD[case](garments, shirt)
    assert str(refused.value).endswith((".", "?")) and "\n" not in str(refused.value)


def test_a_garment_on_white_comes_out_bright_on_black(garments: Garments) -> None:
    page = np.full((200, 300, 3), 250, np.uint8)
    page[40:160, 100:140] = (30, 40, 60)
    made = np.asarray(garments.prepare(page))
    assert made.shape == (28, 28) and made[14, 14] > 150 and made[:, 0].max() == 0
    assert made[0].max() > 100 and made[-1].max() > 100


def test_ink_on_transparent_ground_is_bright_whatever_its_colour(garments: Garments) -> None:
    for ink in ((0, 0, 0), (250, 250, 250)):
        drawing = np.zeros((60, 60, 4), np.uint8)
        drawing[10:50, 20:40] = (*ink, 255)
        assert np.asarray(garments.prepare(drawing))[14, 14] > 200


def test_a_finished_picture_is_taken_as_it_is(garments: Garments, shirt: Image.Image) -> None:
    assert np.array_equal(np.asarray(garments.prepare(shirt)), np.asarray(shirt))


def test_references_come_back_from_disk(tmp_path: Path) -> None:
    kept = invented()
    kept.save(tmp_path / "references")
    found = References.load(tmp_path / "references")
    assert all(torch.equal(found.statistics[name], kept.statistics[name]) for name in SETS)
    assert torch.allclose(found.directions["vae"], kept.directions["vae"], atol=1e-3)
    (tmp_path / "references" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"damaged"):
        References.load(tmp_path / "references")


def test_what_lies_apart_has_a_high_score() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 3, generator=rng) @ torch.randn(3, 3, generator=rng)
    normal = Normal.fit(rows)
    assert float(normal.distance(rows).square().mean()) == pytest.approx(3, abs=0.02)
    assert float(normal.distance(rows[:1] + 50)) > 10


def test_a_stage_trains_and_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (2040, 28, 28), np.uint8), rng.integers(0, 10, 2040, np.uint8)
    np.savez(tmp_path / "fashion_mnist.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    places = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
    train.main(["classifier", *places, "--steps", "2", "--batch", "4", "--device", "cpu"])
    assert (tmp_path / "out" / "classifier" / "config.json").exists()
    log = (tmp_path / "runs" / "classifier" / "log.jsonl").read_text().splitlines()
    assert 0 <= json.loads(log[-1])["accuracy"] <= 0.3


@shipped
def test_the_shipped_models_know_garments_from_noise() -> None:
    garments = Garments.load("lab", "cpu")
    made = garments.sample("gan", 1, "Trouser", 1)[0]
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8))
    assert garments.log_prob("autoregressive", noise).bits_per_dim > 7
    assert garments.log_prob("flow", noise).percentile == 100
    assert garments.scores(noise)["states"].percentile > 99
    assert garments.log_prob("autoregressive", made).bits_per_dim < 7


@shipped
def test_the_card_and_the_figures_agree() -> None:
    card, figures = (SHIPPED / "README.md").read_text(), json.loads((SHIPPED / "figures.json").read_text())
    assert figures["families"].keys() == KINDS.keys()
    for row in figures["families"].values():
        assert row["title"] in card
        assert f"{row['fid']:.1f}" in card
        if "bits_per_dim" in row:
            assert f"{row['bits_per_dim']:.2f}" in card
    assert figures["auroc"].keys() == {*SCORES, "score"}
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*.safetensors")) < 25e6
