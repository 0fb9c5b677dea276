"""The Lab tab's gallery, comparison and classifiers: their handlers and endpoints, with tiny networks behind them."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.context import LocalContext
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demos.core.checkpoint import find
from demos.lab import tab
from demos.lab.model import Garments
from demos.lab.tab import asking, augment, classify, compare, completing, figures, garments, latents, sampling, spoiling
from demos.lab.tab.stage import FAMILIES
from demos.lab.tab.taxonomy import BRANCHES, taxonomy
from demos.ui.events import JOBS
from tests.conftest import serving
from tests.lab.tiny_garments import tiny_garments

Write = Callable[[str, bytes], Path]


@pytest.fixture(scope="module")
def model() -> Garments:
    return tiny_garments()


@pytest.fixture(autouse=True)
def tiny(model: Garments, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Garments, "load", lambda *_: model)
    garments.model.cache_clear()
    token = LocalContext.blocks.set(None)
    yield
    LocalContext.blocks.reset(token)
    garments.model.cache_clear()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(tab) as url:
        yield Client(url, verbose=False)


def visitor(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


def pressed(index: int) -> Any:
    return SimpleNamespace(index=index)


def garment(size: int = 28) -> Image.Image:
    pixels = np.zeros((size, size), np.uint8)
    pixels[size // 8 : -size // 8, size // 4 : -size // 4] = 200
    return Image.fromarray(pixels)


def encoded(picture: Image.Image) -> bytes:
    picture.save(buffer := io.BytesIO(), format="PNG")
    return buffer.getvalue()


def shown(html: str) -> list[np.ndarray]:
    """The pictures in a fragment."""
    parts = html.split('src="data:image/png;base64,')[1:]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(part.split('"')[0])))) for part in parts]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_draws_and_the_same_seed_draws_the_same(family: str) -> None:
    *_, last = sampling.draw(visitor("a"), None, family, "Bag", 4, 7)
    *_, again = sampling.draw(visitor("a"), None, family, "Bag", 4, 7)
    *_, other = sampling.draw(visitor("a"), None, family, "Bag", 4, 8)
    sheet, _, note, _, drawn, asked, able = last
    assert sheet == again[0] != other[0] and len(drawn) == 4 and asked == (family, "Bag", 4, 7)
    assert shown(sheet)[0].shape == (56, 56) and sheet.count("<button") == 4 and "Seed 7" in note
    assert able == gr.skip() or "Complete a part" in able
    assert list(sampling.draw(visitor("a"), asked, family, "Bag", 4, 7)) == [gr.skip()]
    tiles, picture, held = sampling.pick(drawn, asked, pressed(2))
    assert np.asarray(Image.open(sampling.save(drawn, asked))).shape == (56, 56)
    assert picture == drawn[2] and "Sample 3" in held and tiles.count('aria-pressed="true"') == 1


def test_the_way_of_a_sample_is_shown_and_stopped() -> None:
    events = list(sampling.draw(visitor("b"), None, "score", "Any", 4, 0))
    assert len(events) >= 2 and "progressbar" in events[0][3] and len(shown(events[-1][1])) >= 2
    page, seen = visitor("b"), []
    for event in sampling.draw(page, None, "autoregressive", "Any", 16, 0):
        seen.append(event)
        if len(seen) == 2:
            JOBS.stop(page)
    assert seen[-1][2] == "Stopped." and seen[-1][5] is None and len(seen) <= 4


def test_a_new_job_of_a_visitor_ends_the_old_one_and_no_other() -> None:
    first, theirs = (sampling.draw(visitor(v), None, "energy", "Any", 1, 0) for v in ("c", "d"))
    for events in (first, theirs):
        next(events)
    list(sampling.draw_all(visitor("c"), None, "Any", 0))
    assert [*first][-1][2] == "Stopped." and "Seed 0" in [*theirs][-1][2]


@pytest.mark.parametrize(
    "begin",
    [
        lambda page: sampling.draw(page, None, "energy", "Any", 1, 0),
        lambda page: sampling.draw_all(page, None, "Any", 0),
        lambda page: completing.complete(page, False, "energy", garment(), "Lower half", "", "Any", 0),
        lambda page: augment.train(page, 50, "vae", 0),
    ],
)
def test_what_newer_ones_of_its_kind_replace_says_nothing_more(begin: Callable[[gr.Request], Iterator[Any]]) -> None:
    older, newer = begin(visitor("e")), begin(visitor("e"))
    for job in (older, older, newer, newer):
        next(job)
    assert [*older] == [gr.skip()]
    JOBS.stop(visitor("e"))
    assert [*newer][-1] != gr.skip()


def test_all_six_draw_with_one_label() -> None:
    *_, (panels, _, asked) = sampling.draw_all(visitor("e"), None, "Bag", 3)
    pictures = shown(panels)
    assert len(pictures) == 6 and {p.shape for p in pictures} == {(84, 84)} and asked == ("Bag", 3)
    assert all(title in panels for title, _ in FAMILIES.values())
    assert list(sampling.draw_all(visitor("e"), asked, "Bag", 3)) == [gr.skip()]
    assert list(sampling.draw_if("six", visitor("e"), None, "vae", "Any", 1, 0)) == [gr.skip()]


def test_without_samples_there_is_nothing_to_save() -> None:
    with pytest.raises(gr.Error, match="no samples yet"):
        sampling.save([], None)


@pytest.mark.parametrize("at", [-1, 4, 99])
def test_a_cell_that_is_not_there_is_refused(at: int) -> None:
    with pytest.raises(gr.Error, match="no such picture"):
        sampling.pick([garment()] * 4, None, pressed(at))


def test_a_drawing_an_upload_and_nothing_become_the_picture_in_hand(write: Write) -> None:
    picture, told, strokes = asking.drawn(garments.EXAMPLE, "", None)
    assert picture.size == (28, 28) and "Your drawing" in told and strokes == garments.EXAMPLE
    assert asking.drawn(garments.EXAMPLE, garments.EXAMPLE, garment())[0] == gr.skip()
    assert "Draw a garment" in asking.drawn("", "x", garment())[1]
    taken, told = asking.taken(str(write("a.png", encoded(garment(90)))))
    assert taken.size == (28, 28) and "Your picture" in told
    assert asking.hand_over(garment())[0] == gr.skip() and asking.hand_over(None)[0].size == (28, 28)
    with pytest.raises(gr.Error, match="not a picture"):
        asking.taken(str(write("b.png", b"nonsense")))


def test_a_picture_is_asked_of_everybody(model: Garments) -> None:
    found = [""] * 6
    for event in asking.ask(visitor("f"), "picture", "flow", garment()):
        found = [old if new == gr.skip() else new for old, new in zip(found, event, strict=True)]
    likely, plot, scores, score_plot, labels, copies = found
    assert likely.count("<tr") == 7 and "gives no density" in likely and "lower bound" in likely
    assert plot.count('class="at-bars-2"') > 1 and "digits <b>more likely</b>, the well-known failure" in plot
    assert scores.count("data-index") == len(model.scores(garment())) and "<svg" in score_plot
    assert all(label in labels for label in model.labels) and len(shown(copies)) == 4
    assert "<svg" in asking.score_plot(garment(), pressed(6))
    assert list(asking.ask(visitor("f"), "samples", "flow", garment())) == [gr.skip()]


def test_what_was_asked_first_says_nothing_after_what_was_asked_last(
    model: Garments, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify, begun, go_on = model.classify, threading.Event(), threading.Event()

    def slow_once(picture: Image.Image) -> dict[str, float]:
        monkeypatch.setattr(model, "classify", classify)
        begun.set()
        assert go_on.wait(20)
        return classify(picture)

    monkeypatch.setattr(model, "classify", slow_once)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(lambda: list(asking.ask(visitor("h"), "picture", "flow", garment())))
        assert begun.wait(20)
        last = asking.ask(visitor("h"), "picture", "gan", garment())
        assert "gives no density" in next(last)[1]
        go_on.set()
        assert first.result() == [gr.skip()]
        assert len(list(last)) > 6


def test_the_plot_says_whom_a_family_prefers(model: Garments, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"fashion": np.arange(5.0), "mnist": np.arange(5.0) + 5, "noise": np.arange(5.0) + 50}
    monkeypatch.setattr(model, "histograms", lambda family: stored)
    plot = next(asking.ask(visitor("g"), "picture", "flow", garment()))[1]
    assert "digits <b>less likely</b>, as one would hope" in plot
    assert "gives no density" in next(asking.ask(visitor("g"), "picture", "gan", garment()))[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_latents_walk_mix_and_add_or_say_why_not(model: Garments, family: str) -> None:
    slots, shelf = latents.first_slots("latent", {})
    slots, _ = latents.put("B", slots, garment())
    assert set(slots) == {"A", "B", "C"} and len(shown(shelf)) == 3
    still = latents.walk("latent", family, garment(), *[0.0] * 8)
    moved = latents.walk("latent", family, garment(), 4.0, *[0.0] * 7)
    way, total = latents.between("latent", family, slots, 5)
    if model.families()[family]["representation"]["able"]:
        assert still[0] != moved[0] and "1 by +4.0" in moved[1]
        assert len(shown(way)) == 5 and len(shown(total)) == 4
    else:
        assert not shown(still[0]) and "Choose VAE, Normalizing flow or Score-based" in still[0] and not shown(way)
    assert latents.walk("samples", family, None)[0] == gr.skip() and latents.reset() == [0.0] * 8
    assert latents.first_slots("latent", slots)[0] == gr.skip()


def test_masks_are_the_halves_or_what_is_brushed() -> None:
    lower, right = (completing.mask_of(region, "") for region in completing.REGIONS[:2])
    assert lower[14:].all() and not lower[:14].any() and right[:, 14:].all() and not right[:, :14].any()
    strokes = json.dumps({"strokes": [{"tool": "brush", "width": 100, "points": [[128, 128, 0.5], [128, 130, 0.5]]}]})
    brushed = completing.mask_of(completing.BRUSHED, strokes)
    assert brushed[7, 7] and not brushed[20:].any() and 10 < brushed.sum() < 80
    assert completing.brushed(strokes, "Lower half") == completing.BRUSHED and completing.brushed("", "x") == "x"
    for region, sentence in ((completing.BRUSHED, "Brush over"), ("", "Choose which part")):
        with pytest.raises(gr.Error, match=sentence):
            list(completing.complete(visitor("h"), False, "vae", garment(), region, "", "Any", 0))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_half_is_completed_or_refused(model: Garments, family: str) -> None:
    asked = (visitor("i"), False, family, garment(), "Lower half", "", "Any", 1)
    if not model.families()[family]["completion"]["able"]:
        with pytest.raises(gr.Error, match="no way here"):
            list(completing.complete(*asked))
        return
    *_, (tiles, _) = completing.complete(*asked)
    seen, erased, made = shown(tiles)
    assert np.array_equal(seen[:14], made[:14]) and np.array_equal(seen[:14], erased[:14])
    assert not np.array_equal(seen[14:], made[14:]) and "Seed 1" in tiles
    assert tiles == [*completing.complete(*asked)][-1][0]


def test_a_half_is_completed_by_all_that_can_and_the_first_time_by_itself() -> None:
    *_, (tiles, _) = completing.complete(visitor("j"), True, "gan", garment(), "Right half", "", "Bag", 0)
    assert len(shown(tiles)) == 6 and tiles.count('class="none"') == 2
    asked = (visitor("j"), "vae", garment(), "Right half", "", "Bag", 0)
    assert [*completing.complete_first(asked[0], False, *asked[1:])][-1][2] is True
    assert list(completing.complete_first(asked[0], True, *asked[1:])) == [gr.skip()]
    assert "data:image/png" in completing.ground("complete", garment())


def test_the_tree_holds_every_family_once() -> None:
    placed = [name for _, names in BRANCHES.values() for name in names]
    assert sorted(placed) == sorted(FAMILIES)
    assert all(f'data-index="{i}"' in taxonomy() for i in range(len(FAMILIES)))
    assert [compare.open_family(pressed(i)) for i in range(6)] == list(FAMILIES)


def test_densities_lie_on_the_branch_that_the_code_says(model: Garments) -> None:
    kinds = {name: row["kind"] for name, row in model.families().items()}
    exact, near, implicit = (names for _, names in BRANCHES.values())
    assert all(kinds[name] == "exact" for name in exact) and all(kinds[name] == "" for name in implicit)
    assert all(kinds[name] in ("lower bound", "estimate", "unnormalised") for name in near)


def test_nothing_is_invented_before_the_evaluation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "figures.json")
    able, rows, charts, aurocs, said, _ = compare.shown()
    assert rows == [] and charts == aurocs == "" and "Nothing has been measured" in said
    assert able.count("<tr") == 7 and "No: An energy has no latent" in able
    assert "Nothing has been measured" in classify.measured()


def test_measured_figures_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {"title": "x", "parameters": 1234, "kind": "exact", "bits_per_dim": 2.71828, "fid": 9.126,
           "precision": 0.5, "recall": 0.25, "density": 1.1, "coverage": 0.75, "seconds_per_64": 1.234}  # fmt: skip
    whole = {
        "families": {"flow": row, "gan": {**row, "kind": "", "bits_per_dim": None}},
        "samples": 2000, "sets": 3, "threads": 2,
        "floor": {"fid": 1.5, "precision": 0.9, "recall": 0.9, "density": 1.0, "coverage": 0.95},
        "auroc": {"flow": {"title": "−log p, flow", "mnist": 0.0891, "noise": 1.0}},
        "bayes": {"n": 1000, "family": "flow", "discriminative": 0.921, "generative": 0.805},
    }  # fmt: skip
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    monkeypatch.setattr(figures, "FIGURES", path)
    monkeypatch.setattr(figures, "DCGAN", tmp_path / "dcgan.json")
    _, rows, charts, aurocs, said, _ = compare.shown()
    assert [r[0] for r in rows] == ["Normalizing flow", "GAN", "Floor: real pictures"]
    assert rows[0][2:7] == [1234, None, 2.718, None, 9.13] and rows[1][4] is None and "2,000 samples" in said
    assert "9.13" in charts and "0.089" in aurocs
    assert "92.1 %" in classify.measured() and "normalizing flow density 80.5 %" in classify.measured()
    path.write_text("{", encoding="utf-8")
    assert figures.read() == {}


def test_measures_react_to_spoiling(model: Garments) -> None:
    plain, copied = spoiling.measured(model, 0, 10, 0, 120), spoiling.measured(model, 0, 10, 1, 120)
    noisy = spoiling.measured(model, 60, 10, 0, 120)
    assert copied.fid < 1e-6 < plain.fid < noisy.fid and copied.precision == copied.coverage == 1
    assert noisy.p_value < 0.02 and noisy.mmd > plain.mmd and copied.p_value > 0.5
    table, sheet = compare.experiment(60, 10, 0, 80)
    assert "p-value" in table and shown(sheet)[0].shape == (168, 168)
    for bad in ((-1, 10, 0, 80), (0, 0, 0, 80), (0, 10, 2, 80), (0, 10, 0, 5000)):
        with pytest.raises(ValueError, match="Noise lies in"):
            spoiling.measured(model, *bad)


def test_both_classifiers_answer_about_a_spoilt_picture(model: Garments) -> None:
    tiles, sure, bayes, said = classify.compared(garment(), "flow", 20, 45, True)
    assert len(shown(tiles)) == 2 and sure != bayes and "bits per dimension (exact)" in said
    assert shown(tiles)[1].mean() > shown(tiles)[0].mean()
    assert "gives no density" in classify.compared(garment(), "gan", 0, 0, False)[2]
    assert classify.spoilt(garment(), 0, 0, False).tobytes() == garment().tobytes()
    with pytest.raises(gr.Error, match="Noise lies in"):
        classify.compared(garment(), "flow", 1000, 0, False)


def test_missing_weights_are_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("demos.lab.model.find", lambda name: find(name, tmp_path))
    ((sheet, *_),) = sampling.draw(visitor("k"), None, "vae", "Any", 4, 0)
    assert "There is no checkpoint" in sheet
    with pytest.raises(gr.Error, match="There is no checkpoint"):
        compare.shown()


def test_the_page_offers_the_labels_of_the_model(model: Garments) -> None:
    assert model.labels == garments.LABELS and list(FAMILIES) == list(model.families())


def test_endpoints_sample_score_encode_and_tell(client: Client, write: Write, model: Garments) -> None:
    files = client.predict("vae", n=3, label="Bag", seed=5, api_name="/family_sample")
    again = client.predict("vae", n=3, label="Bag", seed=5, api_name="/family_sample")
    pictures = [Image.open(file) for file in files]
    assert [p.size for p in pictures] == [(28, 28)] * 3
    assert [Path(f).read_bytes() for f in files] == [Path(f).read_bytes() for f in again]
    file = handle_file(write("a.png", encoded(garment(64))))
    uri = "data:image/png;base64," + base64.b64encode(encoded(garment(64))).decode()
    for image in (file, uri):
        found = client.predict("flow", image, api_name="/family_log_prob")
        assert set(found) == {"bits_per_dim", "kind", "percentile"} and found["kind"] == "exact"
        assert len(client.predict("vae", image, api_name="/family_encode")) == 40
    assert client.predict(api_name="/families") == model.families()


def test_the_endpoint_augments_with_the_same_result_for_the_same_seed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demos.lab.garments.augment.steps_for", lambda n: 20)
    augment.experiment.cache_clear()
    first, same = (client.predict("gan", n=10, seed=3, api_name="/augment_classifier") for _ in range(2))
    assert first == same and len(first["steps"]) == len(first["alone"]) == len(first["joined"]) > 1
    assert all(0 <= share <= 1 for share in first["alone"] + first["joined"])
    refused: list[tuple[dict[str, Any], str]] = [
        ({"family": "x"}, "no such family"), ({"family": "energy"}, "too long"),
        ({"family": "vae", "n": 9}, "from 10 to 200"), ({"family": "vae", "seed": -1}, "from 0 to"),
    ]  # fmt: skip
    for given, sentence in refused:
        with pytest.raises(AppError, match=sentence):
            client.predict(**given, api_name="/augment_classifier")
    augment.experiment.cache_clear()


@pytest.mark.parametrize(
    ("endpoint", "given", "sentence"),
    [("family_sample", {"family": "transformer"}, "no family"), ("family_sample", {"family": ""}, "no family"),
     ("family_sample", {"family": "vae", "label": "Hat"}, "no label"),
     ("family_sample", {"family": "vae", "n": 0}, "1 to 64|between 1 and 64"),
     ("family_sample", {"family": "vae", "n": 1000}, "1 to 64|between 1 and 64"),
     ("family_log_prob", {"family": "gan"}, "no density"), ("family_log_prob", {"family": "x"}, "no family"),
     ("family_encode", {"family": "energy"}, "no latent")],
)  # fmt: skip
def test_bad_input_becomes_one_sentence(
    client: Client, write: Write, endpoint: str, given: dict[str, Any], sentence: str
) -> None:
    if endpoint != "family_sample":
        given = {**given, "image": handle_file(write("a.png", encoded(garment())))}
    with pytest.raises(AppError, match=sentence):
        client.predict(**given, api_name=f"/{endpoint}")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"", "empty"), (b"no picture", "not a picture"), (encoded(garment())[:60], "damaged"),
     (encoded(Image.new("RGB", (40, 40), "white")), "shows nothing")],
)  # fmt: skip
def test_bad_pictures_become_one_sentence(client: Client, write: Write, data: bytes, sentence: str) -> None:
    image = handle_file(write("bad.png", data))
    for endpoint, family in (("/family_log_prob", "flow"), ("/family_encode", "vae")):
        with pytest.raises(AppError, match=sentence):
            client.predict(family, image, api_name=endpoint)
