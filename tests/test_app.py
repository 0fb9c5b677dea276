"""The page: options, what serving permits, and that the running app answers whatever it is sent."""

import re
import socket
import subprocess
import sys
import time
import types
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import app
from demos import __version__
from demos.ui import theme

Server = tuple[gr.Blocks, str]


def test_options_default_to_gradio_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_MCP_SERVER", raising=False)
    options = vars(app.parse([]))
    left_to_gradio = ("server_name", "server_port", "share", "root_path", "auth", "device")
    assert [options[name] for name in left_to_gradio] == [None] * 6
    assert options["mcp_server"] is True
    monkeypatch.setenv("GRADIO_MCP_SERVER", "False")
    assert app.parse([]).mcp_server is False
    assert app.parse(["--mcp"]).mcp_server is True


def test_options_are_read(write: Callable[[str, bytes], Path]) -> None:
    users = write("users", b"ann:se:cret\n\nbob:x\n")
    line = f"--host 0.0.0.0 --port 80 --share --root-path /a --no-mcp --device cpu --max-queue 3 --auth-file {users}"
    options = vars(app.parse([*line.split(), "--log-level", "debug"]))
    assert options == {
        "server_name": "0.0.0.0",
        "server_port": 80,
        "share": True,
        "auth": [("ann", "se:cret"), ("bob", "x")],
        "root_path": "/a",
        "mcp_server": False,
        "device": "cpu",
        "max_queue": 3,
        "log_level": "debug",
    }


@pytest.mark.parametrize("data", [b"", b"\n \n", b"ann", b"ann:\n", b":x", b"ann:x\nbob", b"\xff\xfe"])
def test_a_bad_auth_file_never_leaves_the_page_open(
    write: Callable[[str, bytes], Path], data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        app.parse(["--auth-file", str(write("users", data))])
    assert "auth-file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        app.parse(["--auth-file", "no/such/file"])


def test_serving_is_bounded(monkeypatch: pytest.MonkeyPatch, tiny_tab: types.ModuleType) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **settings: seen.update(settings))
    monkeypatch.setenv("ATELIER_DEVICE", "auto")
    page = app.build((tiny_tab,))
    app.serve(page, **vars(app.parse(["--max-queue", "5", "--port", "9"])))
    assert page._queue.max_size == 5
    assert page.delete_cache == (3600, 86400)
    assert page.analytics_enabled is False
    assert seen["server_port"] == 9
    assert seen["max_file_size"] == "20mb"
    assert seen["allowed_paths"] == [theme.ASSETS]
    assert (seen["enable_monitoring"], seen["run_history"], seen["show_error"]) == (False, False, False)


def test_device_reaches_the_models(monkeypatch: pytest.MonkeyPatch, tiny_tab: types.ModuleType) -> None:
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **settings: None)
    monkeypatch.setenv("ATELIER_DEVICE", "auto")
    app.serve(app.build((tiny_tab,)), **vars(app.parse(["--device", "cpu"])))
    assert app.os.environ["ATELIER_DEVICE"] == "cpu"


def test_the_theme_fetches_nothing() -> None:
    look = theme.look()
    assert look["theme"]._stylesheets == []
    text = " ".join((look["css"], look["head"], look["theme"]._get_theme_css()))
    assert re.findall(r"@import|(?:url\(|src=|href=)\W*(?:https?:)?//", text) == []


def test_every_tab_of_the_app_builds() -> None:
    config = app.build().get_config_file()
    titles = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert [title for title in titles if title in {"Sketch", "Audio", "Anomaly"}] == ["Sketch", "Audio", "Anomaly"]


def test_the_running_page_answers(tiny_server: Server) -> None:
    _, url = tiny_server
    page = httpx.get(url)
    assert page.status_code == 200
    assert "Atelier" in page.text
    assert __version__ in page.text


def test_only_public_functions_are_endpoints_and_unopened_tabs_answer(tiny_server: Server) -> None:
    client = Client(tiny_server[1], verbose=False)
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert set(endpoints["named_endpoints"]) == {"/echo", "/refuse", "/crash", "/double"}  # type: ignore[index]
    assert client.predict(21, api_name="/double") == 42


def test_files_go_in_and_out(tiny_server: Server, write: Callable[[str, bytes], Path]) -> None:
    client = Client(tiny_server[1], verbose=False)
    path = write("in.bin", bytes(range(256)))
    given = client.predict(handle_file(path), "out file.bin", api_name="/echo")
    assert [Path(name).read_bytes() for name in given] == [path.read_bytes()]


def test_results_have_an_address_that_works(tiny_server: Server) -> None:
    uploaded = httpx.post(tiny_server[1] + "gradio_api/upload", files={"files": ("in.bin", b"abc")}).json()[0]
    answer = _post(tiny_server[1], "echo", [{"path": uploaded}, "a b.bin"])
    (address,) = re.findall(r'"url": "([^"]+)"', answer)
    assert httpx.get(urllib.parse.urljoin(tiny_server[1], address)).content == b"abc"


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "../../etc/passwd", "", None, 7, "a\0b"])
def test_files_of_the_host_stay_there(tiny_server: Server, path: object) -> None:
    for file in ({"path": path}, {"path": path, "meta": {"_type": "gradio.FileData"}}, path):
        answer = _post(tiny_server[1], "echo", [file])
        assert "event: error" in answer
        assert "event: complete" not in answer


def test_errors_are_sentences_and_the_next_request_works(tiny_server: Server) -> None:
    client = Client(tiny_server[1], verbose=False)
    with pytest.raises(AppError, match=r"“x” is not &lt;b&gt;possible"):
        client.predict("x", api_name="/refuse")
    with pytest.raises(AppError, match=r"Something went wrong \(id [0-9a-f]{6}\)") as caught:
        client.predict(api_name="/crash")
    assert "secret" not in str(caught.value)
    assert client.predict(1, api_name="/double") == 2


@pytest.mark.parametrize("data", [[], ["one", "two", "three", "four"], [{"a": [1] * 9}], ["x" * 40_000]])
def test_malformed_calls_do_not_hurt(tiny_server: Server, data: list[object]) -> None:
    answer = _post(tiny_server[1], "double", data)
    assert "Traceback" not in answer
    assert '"secret' not in answer
    assert "42" in _post(tiny_server[1], "double", [21])


def test_uploads_are_limited(tiny_server: Server) -> None:
    url = tiny_server[1] + "gradio_api/upload"
    assert httpx.post(url, files={"files": ("small.bin", b"x" * 1000)}).status_code == 200
    assert httpx.post(url, files={"files": ("large.bin", b"x" * (21 * 2**20))}, timeout=60).status_code == 413


def test_paths_outside_the_cache_are_not_served(tiny_server: Server) -> None:
    for path in ("/etc/passwd", str(Path(app.__file__).resolve()), "app.py"):
        assert httpx.get(f"{tiny_server[1]}gradio_api/file={path}").status_code in (403, 404)
    assert httpx.get(tiny_server[1] + "monitoring/summary").status_code in (403, 404)


def test_a_full_queue_answers_busy(tiny_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    page, url = tiny_server
    monkeypatch.setattr(page._queue, "max_size", 0)
    body = {"data": [1], "fn_index": 0, "session_hash": "abc"}
    refused = httpx.post(url + "gradio_api/queue/join", json=body)
    assert refused.status_code == 503
    assert "full" in refused.text


def test_agents_find_the_functions(tiny_server: Server) -> None:
    tools = httpx.get(tiny_server[1] + "gradio_api/mcp/schema").json()
    assert {tool["name"].rsplit("_", 1)[-1] for tool in tools} >= {"echo", "double"}
    assert any("Twice x" in tool["description"] for tool in tools)


def test_python_app_py_answers_in_time(root: Path) -> None:
    limit_s = 20  # 8 s on an idle machine; benchmarks measure that
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        while time.monotonic() - start < limit_s:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                assert process.poll() is None, process.stderr and process.stderr.read().decode()
                time.sleep(0.1)
        pytest.fail(f"no answer within {limit_s} s")
    finally:
        process.kill()
        process.wait()


def _post(url: str, name: str, data: list[object]) -> str:
    """The raw events with which the HTTP API answers."""
    call = httpx.post(f"{url}gradio_api/call/{name}", json={"data": data})
    if call.status_code != 200:
        return f"event: error\n{call.text}"
    return httpx.get(f"{url}gradio_api/call/{name}/{call.json()['event_id']}", timeout=30).text
