"""How the page travels, and what an idle server does: the app with a tiny tab."""

import time
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.queueing import Queue

from demos.ui.delivery import NEWS, SCRIPTS, STATES

Server = tuple[gr.Blocks, str]


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
def test_the_page_tells_a_component_only_once_that_an_event_is_over(tiny_server: Server, encoding: str) -> None:
    (script,) = (Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob("Blocks-*.js")
    before = script.read_bytes()
    assert before.count(STATES) == 1, "Gradio's script is another one now"
    address = f"{tiny_server[1]}assets/{script.name}"
    answer = httpx.get(address, headers={"Accept-Encoding": encoding})
    at = answer.content.index(NEWS)
    assert answer.content[:at].endswith(STATES.partition(b"{")[2])
    assert answer.content.replace(NEWS, b"").replace(b"this.told??={};", b"") == before
    assert "immutable" in answer.headers["cache-control"]
    assert httpx.head(address).status_code in (200, 405)
    assert httpx.get(f"{tiny_server[1]}assets/Blocks-missing.js").status_code == 404


def test_an_idle_server_rests(tiny_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    length = Queue.__len__
    monkeypatch.setattr(Queue, "__len__", lambda self: looks.append(time.monotonic()) or length(self))
    time.sleep(0.5)
    assert 0 < len(looks) < 200
