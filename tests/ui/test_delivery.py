"""How the page travels, and what an idle server does: the app with a tiny tab."""

import re
import time
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.queueing import Queue

from demos.ui.delivery import SCRIPTS
from demos.ui.scripts import CHANGES, changed

Server = tuple[gr.Blocks, str]
ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
def test_the_page_is_compressed_and_begins_with_its_scripts(tiny_server: Server, encoding: str) -> None:
    with httpx.stream("GET", tiny_server[1], headers={"Accept-Encoding": encoding}) as answer:
        sent = b"".join(answer.iter_raw())
    page = httpx.get(tiny_server[1], headers={"Accept-Encoding": encoding}).content
    assert answer.headers.get("content-encoding", "identity") == encoding
    assert len(sent) < len(page) / 3 if encoding != "identity" else sent == page
    assert page.count(SCRIPTS) == 1
    assert page.index(SCRIPTS) < page.replace(SCRIPTS, b" " * len(SCRIPTS)).index(b"<script")
    assert page.endswith(b"</html>")


def test_only_what_a_hash_names_is_kept_by_browsers(tiny_server: Server) -> None:
    page = httpx.get(tiny_server[1])
    asset = page.text.split('src="./assets/')[1].split('"')[0]
    assert "immutable" in httpx.get(f"{tiny_server[1]}assets/{asset}").headers["cache-control"]
    missing = httpx.get(f"{tiny_server[1]}assets/missing.js")
    assert missing.status_code == 404 and "immutable" not in missing.headers.get("cache-control", "")
    assert "immutable" not in page.headers.get("cache-control", "")
    assert "immutable" not in httpx.get(f"{tiny_server[1]}config").headers.get("cache-control", "")


@pytest.mark.parametrize("encoding", ["br", "identity"])
@pytest.mark.parametrize("name", CHANGES)
def test_gradio_s_scripts_are_changed_on_the_way(tiny_server: Server, name: str, encoding: str) -> None:
    (script,) = ASSETS.glob(f"{name}-*.js")
    address = f"{tiny_server[1]}assets/{script.name}"
    answer = httpx.get(address, headers={"Accept-Encoding": encoding})
    assert answer.content == changed(name, script.read_bytes()) and "immutable" in answer.headers["cache-control"]
    assert httpx.get(f"{tiny_server[1]}assets/{name}-missing.js").status_code == 404
    assert httpx.head(address).content == b""


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, some in CHANGES.items() for place, _ in some])
def test_the_places_to_change_are_found_once(name: str, place: bytes) -> None:
    (script,) = (file.read_bytes() for file in ASSETS.glob(f"{name}-*.js"))
    if not re.search(place, script):
        pytest.skip(f"the {name} script of Gradio {gr.__version__} is another one and is delivered as it is")
    assert len(re.findall(place, script)) == 1
    assert changed(name, b"nothing to change") == b"nothing to change"


def test_an_idle_server_rests(tiny_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    length = Queue.__len__
    monkeypatch.setattr(Queue, "__len__", lambda self: looks.append(time.monotonic()) or length(self))
    time.sleep(0.5)
    assert 0 < len(looks) < 200
