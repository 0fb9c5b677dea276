"""The Style tab's endpoints and handlers, served as the app does, with tiny networks behind them."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.context import LocalContext
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demos.style import exact, tab
from demos.style.model import StyleModel, Unfinished
from demos.style.tab import handlers, many, rebuilding, sources
from demos.style.tab.handlers import DRAWING, EVERYWHERE, GALLERY, MIX, PART, PICTURE, Request
from demos.ui.events import JOBS
from tests.conftest import serving
from tests.style.conftest import NAMES, encoded, pixels

Write = Callable[[str, bytes], Path]
LINE = '{"strokes": [{"tool": "brush", "colour": "%s", "width": 90, "points": [[%d, 150], [%d, 360]]}]}'
WARM, COLD = LINE % ("#e5484d", 120, 120), LINE % ("#3e7bf0", 400, 400)


@pytest.fixture(autouse=True)
def tiny(model: StyleModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sources, "model", lambda: model)
    monkeypatch.setattr(sources, "titles", lambda: NAMES)
    monkeypatch.setattr(exact, "rebuild", partial(exact.rebuild, polish=3))
    token = LocalContext.blocks.set(None)
    sources.thumbnail.cache_clear()
    yield
    LocalContext.blocks.reset(token)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demos.style.tab.page.FIRST", "stripes")
        patch.setattr(sources, "titles", lambda: NAMES)
        with serving(tab) as url:
            yield url


@pytest.fixture
def client(address: str) -> Client:
    return Client(address, verbose=False)


@pytest.fixture
def content(write: Write) -> str:
    return str(write("content.png", encoded(pixels(0))))


def asked(content: str | None, /, **fields: Any) -> list[Any]:
    """What the page sends, in its order."""
    values = {
        "content": content, "source": GALLERY, "key": "dots", "picture": None, "drawing": "",
        "mixed": ["dots", "mist", None, None], "weights": [1.0, 1.0, 1.0, 1.0], "where": EVERYWHERE, "mask": "",
        "second": None, "strength": 1.0, "keep_colours": False, "brush": 1.0, "size": 512, "seed": 0, **fields,
    }  # fmt: skip
    flat: list[Any] = []
    for value in values.values():
        flat += value if isinstance(value, list) else [value]
    return flat


def visitor(name: str) -> Any:
    class Page:
        session_hash = name

    return Page()


def send(write: Write, name: str, data: bytes) -> Any:
    return handle_file(write(name, data))


def test_a_picture_is_repainted_in_a_preset(client: Client, write: Write) -> None:
    assert client.predict(api_name="/style_presets") == list(NAMES)
    file = send(write, "a.png", encoded(pixels(0)))
    first, again, other = (
        Path(client.predict(file, preset="dots", seed=s, api_name="/restyle")).read_bytes() for s in (3, 3, 4)
    )
    assert first == again != other and Image.open(io.BytesIO(first)).size == (64, 48)


def test_a_picture_is_repainted_in_another(client: Client, write: Write) -> None:
    given = {"style": send(write, "style.png", encoded(pixels(1))), "keep_colours": True, "strength": 0.7}
    uri = "data:image/png;base64," + base64.b64encode(encoded(pixels(0))).decode()
    fast = Path(client.predict(uri, **given, api_name="/restyle"))
    slow = Path(client.predict(uri, style=given["style"], engine="exact", api_name="/restyle"))
    assert Image.open(fast).size == Image.open(slow).size == (64, 48)
    assert fast.read_bytes() != slow.read_bytes()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "exactly one"),
        ({"preset": "dots", "style": "x"}, "exactly one"),
        ({"preset": "teapot"}, "no style called"),
        ({"preset": "/etc/passwd"}, "no style called"),
        ({"style": "/etc/passwd"}, "not uploaded"),
        ({"style": "data:image/png;base64,xx"}, "data: URI"),
        ({"preset": "dots", "engine": "exact"}, "only a code"),
        ({"preset": "dots", "engine": "warp"}, "no such engine"),
        ({"style": "data:image/png;base64,AA==", "engine": "exact", "strength": 0.5}, "no strength"),
        ({"preset": "dots", "strength": 3}, "strength"),
        ({"preset": "dots", "strength": "much"}, "strength"),
        ({"preset": "dots", "seed": "x"}, "seed"),
    ],
)
def test_bad_calls_get_a_sentence(client: Client, write: Write, settings: Any, sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(send(write, "a.png", encoded(pixels(0))), **settings, api_name="/restyle")


@pytest.mark.parametrize("data", [b"", b"nonsense", encoded(pixels(0))[:150]])
def test_bad_pictures_get_a_sentence(client: Client, write: Write, data: bytes) -> None:
    for given in ({"content": data, "style": encoded(pixels(0))}, {"content": encoded(pixels(0)), "style": data}):
        files = {name: send(write, f"{name}.png", value) for name, value in given.items()}
        with pytest.raises(AppError) as caught:
            client.predict(**files, api_name="/restyle")
        assert "went wrong" not in str(caught.value) and len(str(caught.value)) < 300


def test_the_page_begins_with_the_exact_engines_own_weight_of_the_content(client: Client) -> None:
    labels = [part["props"] for part in client.config["components"] if part["type"] == "slider"]
    assert [props["value"] for props in labels if props["label"] == "Content"] == [exact.KEEP]


def test_the_large_picture_is_not_replaced_by_the_small_one(content: str) -> None:
    frame, note, shown = handlers.repaint(*asked(content))
    assert "<img" in frame and "Dots" in note and shown.picture.size == (64, 48)
    assert handlers.follow(shown, *asked(content)) == (gr.skip(), gr.skip())
    frame, note = handlers.follow(shown, *asked(content, strength=0.5))
    assert 'class="after"' in frame and "seed 0" in note


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"content": None}, "Choose a picture to repaint"),
        ({"source": PICTURE}, "Picture"),
        ({"source": DRAWING}, "Draw something"),
        ({"source": MIX, "weights": [0.0] * 4}, "at least one style"),
        ({"where": PART}, "Paint on the picture"),
        ({"key": "teapot"}, "Choose a style"),
        ({"key": "sample:x"}, "seed"),
    ],
)
def test_what_is_missing_is_said_without_an_alarm(content: str, fields: dict[str, Any], sentence: str) -> None:
    given = asked(content, **fields)
    _, note, shown = handlers.repaint(*given)
    assert sentence in note and shown is None
    assert handlers.follow(None, *given) == (gr.skip(), gr.skip())


def test_every_source_of_a_style_gives_another_picture(content: str, write: Write) -> None:
    own = str(write("style.png", encoded(pixels(7))))
    given = [
        {},
        {"key": "sample:4"},
        {"source": PICTURE, "picture": own},
        {"source": DRAWING, "drawing": sources.first_drawing()},
        {"source": MIX},
        {"source": MIX, "mixed": [PICTURE, DRAWING, "sample:4", "mist"], "picture": own, "drawing": WARM},
    ]
    made = [handlers.repaint(*asked(content, **fields)) for fields in given]
    assert len({shown.picture.tobytes() for _, _, shown in made}) == len(given)
    assert "sample 4" in made[1][1] and "Dots + Mist" in made[4][1]


def test_warm_colours_mask_the_first_style_and_cold_ones_the_second(content: str) -> None:
    warm, cold = handlers.masks(WARM, (64, 48))
    assert warm.shape == (384, 512) and warm[200, 120] == 1 and warm[200, 400] == 0 and not cold.any()
    warm, cold = handlers.masks(COLD, (48, 64))
    assert cold.shape == (512, 384) and cold[200, 400 - 64] == 1 and not warm.any()
    both = json.dumps({"strokes": json.loads(WARM)["strokes"] + json.loads(COLD)["strokes"]})
    *_, shown = handlers.repaint(*asked(content, where=PART, mask=both, second="mist"))
    changed = (np.asarray(shown.picture) != pixels(0)).any(-1)
    assert changed[24, 15] and changed[24, 50] and not changed[:, 28:34].any() and not changed[:3].any()
    one, two = (Request.of(*asked(content, where=PART, mask=both, second=s)).layers() for s in (None, "mist"))
    assert one[1].mix == [("dots", 1.0)] and two[1].mix == [("mist", 1.0)]


def test_sampled_styles_join_the_gallery() -> None:
    keys = list(NAMES)
    assert [title for _, title in handlers.gallery(keys)] == list(NAMES.values())
    shelf, keys, key, note, *lists = handlers.sample(keys)
    for _ in range(handlers.MOST_SAMPLES + 1):
        shelf, keys, key, note, *lists = handlers.sample(keys)
    assert len(keys) == len(NAMES) + handlers.MOST_SAMPLES and keys[-1] == key and keys[: len(NAMES)] == list(NAMES)
    assert len(set(keys)) == len(keys) and shelf.selected_index == len(keys) - 1
    assert any(title in note for title in NAMES.values()) and len(lists) == 5


def test_all_presets_come_one_by_one_and_stop(content: str) -> None:
    *_, (made, _) = handlers.all_presets(visitor("a"), *asked(content))
    assert [title for _, title in made] == list(NAMES.values())
    steps = handlers.all_presets(visitor("b"), *asked(content))
    next(steps)
    assert JOBS.stop(visitor("b")) == 1
    *_, (made, _) = steps
    assert len(made) == 2 and not len(JOBS)


def test_a_film_is_made_and_saved(content: str) -> None:
    *_, (frame, _, data) = handlers.film(visitor("a"), 4, *asked(content))
    assert "image/gif" in frame and Image.open(io.BytesIO(data)).format == "GIF"
    assert Path(handlers.save_film(data)).read_bytes() == data
    with pytest.raises(gr.Error, match="Make the film first"):
        handlers.save_film(None)


def test_results_are_saved_and_kept(content: str) -> None:
    *_, shown = handlers.repaint(*asked(content))
    assert Image.open(handlers.save_png(shown)).size == (64, 48)
    kept, shelf = handlers.keep(shown, [])
    assert kept == shelf == [shown.picture]
    for call in (lambda: handlers.save_png(None), lambda: handlers.keep(None, [])):
        with pytest.raises(gr.Error, match="no result yet"):
            call()


def test_the_exact_engine_streams_stops_and_continues(content: str, write: Write) -> None:
    own = str(write("style.png", encoded(pixels(7))))
    given = asked(content, source=PICTURE, picture=own)
    *_, (frame, note, _, whole, _, kept, session) = rebuilding.begin(visitor("a"), [], 0.3, 128, *given)
    assert "Rebuilt exactly" in note and 'class="after"' in frame and kept == session == [whole.picture]
    events, seen = rebuilding.begin(visitor("b"), [], 0.3, 128, *given), []
    for event in events:
        seen.append(event)
        if len(seen) == 3:
            JOBS.stop(visitor("b"))
    run = seen[0][4]
    assert "Stopped after" in seen[-1][1] and 0 < run.state.step < run.state.steps
    assert "s left" in seen[1][2] and seen[-1][3].picture.size == (64, 48)
    *_, (_, note, _, shown, _, _, _) = rebuilding.go_on(visitor("b"), [], run)
    assert "Rebuilt exactly" in note and shown.picture.tobytes() == whole.picture.tobytes()
    with pytest.raises(gr.Error, match="finished"):
        list(rebuilding.go_on(visitor("b"), [], run))


def test_the_exact_engine_says_what_it_needs(content: str) -> None:
    for fields, sentence in (
        ({}, "only a code"),
        ({"source": MIX}, "only a code"),
        ({"source": PICTURE}, "Picture"),
        ({"source": DRAWING}, "Draw something"),
    ):
        with pytest.raises(gr.Error, match=sentence):
            list(rebuilding.begin(visitor("a"), [], 0.3, 128, *asked(content, **fields)))
    for run in (None, rebuilding.Run(Request.of(*asked(content)), 0.3, 128, Unfinished())):
        with pytest.raises(gr.Error, match="nothing to go on with"):
            list(rebuilding.go_on(visitor("a"), [], run))


def zipped(files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_many_pictures_become_a_zip_whatever_lies_among_them(write: Write) -> None:
    good = {f"set/{i}.png": encoded(pixels(i)) for i in range(3)}
    bad = {"set/broken.png": b"nonsense", "../../evil.png": b"", ".hidden": b"x", "__MACOSX/0.png": b"x"}
    files = [str(write("a.zip", zipped(good | bad))), str(write("b.zip", b"no zip"))]
    files.append(str(write("c.jpg", encoded(pixels(9), "JPEG"))))
    events = list(many.restyle_all(visitor("a"), files, *asked(None)))
    bar, _, note, made = events[-1]
    assert "**4** of 7" in note and "broken.png" in note and "b.zip" in note and "hidden" not in note
    with zipfile.ZipFile(made) as archive:
        assert len(archive.namelist()) == 4 and not any("/" in name for name in archive.namelist())
        assert all(Image.open(archive.open(name)).size == (64, 48) for name in archive.namelist())
    assert "about" in events[0][0] and any("<img" in str(event[1]) for event in events)


def test_many_pictures_are_stopped_and_kept(write: Write) -> None:
    files = [str(write(f"{i}.png", encoded(pixels(i)))) for i in range(4)]
    events = many.restyle_all(visitor("a"), files, *asked(None))
    next(events)
    JOBS.stop(visitor("a"))
    *_, (_, _, note, made) = events
    assert "Stopped after 1 of 4" in note and len(zipfile.ZipFile(made).namelist()) == 1
    with pytest.raises(gr.Error, match="Drop some pictures"):
        list(many.restyle_all(visitor("a"), [], *asked(None)))


def test_chosen_examples_may_be_given_to_visitors_wherever_the_packages_lie() -> None:
    for take, examples in (
        (handlers.take_content, sources.contents()),
        (handlers.take_style, sources.style_pictures()),
    ):
        for index, (path, _) in enumerate(examples):
            given = take(SimpleNamespace(index=index))  # pyright: ignore[reportArgumentType]
            assert is_in_or_equal(given, get_upload_folder())
            assert Path(given).read_bytes() == Path(path).read_bytes()


def test_examples_are_there() -> None:
    assert len(sources.contents()) == 7
    assert all(Path(path).is_file() for path, _ in [*sources.contents(), *sources.style_pictures()])
    assert np.asarray(sources.drawn(sources.first_drawing())).std() > 30


def test_two_visitors_at_once(client: Client, write: Write) -> None:
    file, results = send(write, "a.png", encoded(pixels(0))), []

    def call(engine: str) -> None:
        style: dict[str, Any] = {"style": file, "engine": "exact"} if engine == "exact" else {"preset": "dots"}
        results.append(client.predict(file, **style, api_name="/restyle"))

    threads = [threading.Thread(target=call, args=(engine,)) for engine in ("exact", "fast", "fast")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and all(Path(path).stat().st_size > 100 for path in results)
