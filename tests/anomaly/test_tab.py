"""The Anomaly tab's endpoints and handlers, served as the app does, with tiny networks behind them."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demos.anomaly import tab
from demos.anomaly.densities import DENSITIES, FlowDensity
from demos.anomaly.model import AnomalyModel
from demos.anomaly.tab import endpoints, handlers, many
from demos.ui.controls import bar
from demos.ui.events import JOBS
from tests.anomaly.conftest import spoiled, surface
from tests.conftest import serving

Write = Callable[[str, bytes], Path]


def png(pixels: np.ndarray) -> bytes:
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def normal(count: int, first: int = 100) -> dict[str, bytes]:
    return {f"good/{i:03d}.png": png(surface(first + i)) for i in range(count)}


@pytest.fixture(autouse=True)
def tiny(model: AnomalyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DENSITIES, "flow", partial(FlowDensity, updates=30))
    for module in (handlers, many, endpoints):
        monkeypatch.setattr(module, "model", lambda: model)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(tab) as url:
        yield url


@pytest.fixture
def client(address: str) -> Client:
    return Client(address, verbose=False)


def test_examples_may_be_given_to_visitors_wherever_the_app_lies() -> None:
    assert is_in_or_equal(handlers.first_example() or "", get_upload_folder())
    for index, (path, _) in enumerate(handlers.examples()):
        given = handlers.take_example(SimpleNamespace(index=index))  # pyright: ignore[reportArgumentType]
        assert is_in_or_equal(given, get_upload_folder()) and Path(given).read_bytes() == Path(path).read_bytes()


def send(write: Write, name: str, data: bytes) -> Any:
    return handle_file(write(name, data))


def score(client: Client, image: Any, **settings: Any) -> tuple[dict[str, Any], Path]:
    answer, heat = client.predict(image, **settings, api_name="/score_image")
    return answer, Path(heat)


def test_a_picture_is_scored(client: Client, write: Write) -> None:
    good, _ = score(client, send(write, "good.png", png(surface(900))), false_alarm_rate=0.05)
    bad, heat = score(client, send(write, "bad.png", png(spoiled(surface(900), 9, 0.9))), false_alarm_rate=0.05)
    assert good["score"] < bad["score"] and bad["anomalous"] and bad["p_value"] < good["p_value"]
    x, y = bad["regions"][0]["x"], bad["regions"][0]["y"]
    assert abs(x + bad["regions"][0]["width"] / 2 - 40) < 12 and abs(y + bad["regions"][0]["height"] / 2 - 48) < 12
    pixels = np.asarray(Image.open(heat))
    assert pixels.shape == (96, 80) and pixels[48, 40] > 128 > np.median(pixels)


@pytest.mark.parametrize(
    ("image", "settings", "sentence"),
    [
        ("nothing", {}, "not uploaded"),
        ("data:image/png;base64,xx", {}, "data: URI"),
        ("", {}, "file is expected"),
        (None, {"detector": "teapots"}, "no such detector"),
        (None, {"detector": "/etc/passwd"}, "no such detector"),
        (None, {"false_alarm_rate": 2}, "false_alarm_rate"),
        (None, {"false_alarm_rate": "much"}, "false_alarm_rate"),
    ],
)
def test_bad_calls_get_a_sentence(client: Client, write: Write, image: Any, settings: Any, sentence: str) -> None:
    given = send(write, "a.png", png(surface(1))) if image is None else image
    with pytest.raises(AppError, match=sentence):
        score(client, given, **settings)
    assert score(client, send(write, "b.png", png(surface(2))))[0]["score"] > -10


@pytest.mark.parametrize("content", [b"", b"nonsense", png(surface(1))[:300], png(np.zeros((1, 1), np.uint8))])
def test_bad_pictures_get_a_sentence(client: Client, write: Write, content: bytes) -> None:
    with pytest.raises(AppError) as caught:
        score(client, send(write, "a.png", content))
    assert "went wrong" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_detector_is_fitted_downloaded_and_used(client: Client, write: Write) -> None:
    files = [send(write, "normal.zip", zipped({**normal(12), "broken.png": b"x", "notes.txt": b"x"}))]
    file, report = client.predict(files, "grain", 3, api_name="/fit_detector")
    assert report["pictures"] == 12 and set(report["skipped"]) == {"broken.png", "notes.txt"}
    assert len(report["scores"]) == 12
    again, _ = client.predict(files, "grain", 3, api_name="/fit_detector")
    assert Path(file).read_bytes() == Path(again).read_bytes()
    bad, _ = score(client, send(write, "bad.png", png(spoiled(surface(7), 9, 0.9))), detector=handle_file(file))
    good, _ = score(client, send(write, "good.png", png(surface(7))), detector=handle_file(file))
    assert good["score"] < bad["score"]
    hostile = send(write, "evil.safetensors", b"\xff" * 64)
    with pytest.raises(AppError) as caught:
        score(client, send(write, "b.png", png(surface(2))), detector=hostile)
    assert "went wrong" not in str(caught.value)


@pytest.mark.parametrize(("count", "sentence"), [(0, "Drop some pictures"), (1, "10 to 5,000"), (9, "10 to 5,000")])
def test_too_few_normal_pictures(client: Client, write: Write, count: int, sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict([send(write, "a.zip", zipped(normal(count)))], "few", api_name="/fit_detector")


def test_a_folder_becomes_a_table(client: Client, write: Write) -> None:
    bad = {f"dent/{i}.png": png(spoiled(surface(700 + i), 9, 0.9)) for i in range(3)}
    data = zipped({**normal(4), **bad, "dent/broken.png": b"x", "../../evil.png": b"", "dent/inner.zip": b"PK"})
    file = client.predict([send(write, "set.zip", data)], api_name="/score_folder")
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(Path(file).read_text(encoding="utf-8")))}
    assert len(rows) == 10
    assert {rows[name]["verdict"] for name in bad} == {"anomalous"}
    assert rows["dent/broken.png"]["error"] and not rows["dent/broken.png"]["score"]
    assert "zip inside a zip" in rows["dent/inner.zip"]["error"]
    with pytest.raises(AppError, match="list of files"):
        client.predict("nothing", api_name="/score_folder")


def test_text_is_never_taken_for_a_path(tmp_path: Path, model: AnomalyModel) -> None:
    file = tmp_path / "own.safetensors"
    file.write_bytes(many.detector_bytes(model.detectors["magnetic_tile"]))
    with pytest.raises(ValueError, match="Choose a detector"):
        handlers.judge({}, str(file))
    note, own, *_ = many.load_own(str(file), {})
    assert list(own) == ["surfaces"] and "loaded" in note
    assert handlers.judge(own, "surfaces").about.name == "surfaces"


def test_a_visitor_keeps_a_few_detectors_of_equal_name(model: AnomalyModel) -> None:
    own, key = many.added({}, model.detectors["magnetic_tile"])
    for _ in range(many.MOST_DETECTORS + 1):
        own, key = many.added(own, model.detectors["magnetic_tile"])
    assert len(own) == many.MOST_DETECTORS and key in own


def test_a_folder_is_judged_by_any_rule(model: AnomalyModel, tmp_path: Path) -> None:
    paths = []
    for name, data in {**normal(6), **{f"dent/{i}.png": png(spoiled(surface(i), 9, 0.9)) for i in range(2)}}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        paths.append((name, path))
    archive = tmp_path / "set.zip"
    archive.write_bytes(zipped({name: path.read_bytes() for name, path in paths}))
    events = list(many.score_all(gr.Request(), [str(archive)], "magnetic_tile", {}, many.RULES[0], 5))  # pyright: ignore
    *_, (_, rows, note, bars, roc, recall, folder) = events
    assert [row[4] for row in rows] == ["unusual"] * 2 + ["normal"] * 6
    assert [row[5] for row in rows] == ["unusual"] * 2 + ["normal"] * 6
    assert "AUROC **1.000**" in note and all("<svg" in chart for chart in (bars, roc, recall))
    table, note, *_ = many.rejudge(folder, many.RULES[1], 50)
    assert [row[4] for row in table].count("unusual") == 4
    table, *_ = many.rejudge(folder, many.RULES[2], 1e9)
    assert {row[4] for row in table} == {"normal"}
    assert many.rejudge(None, many.RULES[0], 5) == (gr.skip(),) * 5
    with zipfile.ZipFile(io.BytesIO(many.maps_bytes(folder, 1.0))) as maps:
        assert len(maps.namelist()) == 8
        assert Image.open(io.BytesIO(maps.read(maps.namelist()[0]))).size == (40, 48)
    for save in (many.save_table, many.save_maps):
        with pytest.raises(gr.Error, match="Score a folder first"):
            save(None, many.RULES[0], 5)


def test_paint_shows_where_it_was_drawn(model: AnomalyModel) -> None:
    ground = Image.fromarray(surface(5, 256, 256))
    strokes = '{"strokes": [{"points": [[250, 250], [262, 262]], "width": 40}]}'
    picture, where = handlers.painted(ground, strokes)
    assert picture.size == (256, 256) and where[128, 128] == 1 and where[10, 10] == 0
    assert np.asarray(picture)[128, 128].max() < 40
    clean, none = handlers.painted(ground, "")
    assert not none.any() and np.array_equal(np.asarray(clean)[..., 0], np.asarray(ground))
    frame, note = handlers.paint(ground, strokes, 5)
    assert 'class="at-heat"' in frame and "Unusual" in note
    assert handlers.follow(ground, strokes, 5, strokes) == (gr.skip(),) * 3
    frame, note, erased = handlers.follow(ground, strokes, 5, "others")
    assert 'class="at-heat"' in frame and "Unusual" in note and erased is None
    assert "at-heat" in handlers.follow(ground, "", 5, "")[0]  # an empty tile is not one that was erased


def test_stop_brings_the_painted_tile_back() -> None:
    ground = Image.fromarray(surface(5, 256, 256))
    strokes = '{"strokes": [{"points": [[250, 250], [262, 262]], "width": 40}]}'
    page, painted = gr.Request(session_hash="mine"), handlers.paint(ground, strokes, 5)[0]
    to_the_end = list(handlers.erase_painted(page, ground, strokes, 0, 5))
    assert [erased for *_, erased in to_the_end[:-1]] == [gr.skip()] * (len(to_the_end) - 1)
    assert to_the_end[-1][3] == strokes and to_the_end[-1][0] != painted
    steps = handlers.erase_painted(page, ground, strokes, 0, 5)
    next(steps)
    assert JOBS.stop(page, "anomaly") == 1
    frame, note, progress, erased = list(steps)[-1]
    assert frame == painted and "Unusual" in note and progress == bar(None) and erased == gr.skip()


def test_nothing_to_erase_gets_a_sentence() -> None:
    with pytest.raises(gr.Error, match="Choose a picture first"):
        list(handlers.erase_file(gr.Request(), None, 0, 5))
