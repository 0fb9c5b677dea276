"""What all tests share: pictures as files, the app with a tiny tab, and a running server of it."""

import os
import tempfile

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # They share the cores, but not the folder from which a page that ends removes its files. Libraries ask at import.
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    files = tempfile.TemporaryDirectory(prefix="atelier-tests-")
    os.environ["GRADIO_TEMP_DIR"] = files.name

import contextlib
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

import app
from demos.ui.events import guard
from demos.ui.files import served, uploaded

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture
def picture() -> Image.Image:
    """A 24 × 16 RGBA picture: red left half, transparent right half."""
    image = Image.new("RGBA", (24, 16), (0, 0, 0, 0))
    image.paste((220, 40, 30, 255), (0, 0, 12, 16))
    return image


def _tiny_tab() -> types.ModuleType:
    """A tab whose endpoints do the least that can go right or wrong."""

    @guard
    def echo(file: gr.FileData, name: str = "echo.bin") -> list[gr.FileData]:
        """Give an uploaded file back."""
        return [served(uploaded(file).read_bytes(), name)]

    @guard
    def refuse(word: str = "") -> str:
        """Refuse whatever is asked."""
        raise ValueError(f"“{word}” is not <b>possible</b>.")

    @guard
    def crash(word: str = "") -> str:
        """Fail as a bug would."""
        raise KeyError("a secret detail")

    def build() -> None:
        gr.Textbox(label="Words", info="Nothing reads them.")
        gr.api(echo, api_name="echo")
        gr.api(refuse, api_name="refuse")
        gr.api(crash, api_name="crash")

    module = types.ModuleType("tiny_tab")
    module.TITLE = "Tiny"  # type: ignore[attr-defined]
    module.build = build  # type: ignore[attr-defined]
    return module


@pytest.fixture(scope="session")
def tiny_tab() -> types.ModuleType:
    """A tab of endpoints that echo, refuse and crash."""
    return _tiny_tab()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running to the end, and other tests start their own."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.fixture(scope="session")
def tiny_server(tiny_tab: types.ModuleType) -> Iterator[tuple[gr.Blocks, str]]:
    """A running page with only `tiny_tab`, as `(page, url)`, with the settings that `python app.py` uses."""
    import app

    second = types.ModuleType("second_tab")
    second.TITLE = "Second"  # type: ignore[attr-defined]
    second.build = lambda: gr.api(_double, api_name="double")  # type: ignore[attr-defined]
    page = app.build((tiny_tab, second))
    options = vars(app.parse(["--host", "127.0.0.1"]))
    _, url, _ = app.serve(page, **options, prevent_thread_lock=True, quiet=True)
    yield page, url
    page.close()


def _double(x: int) -> int:
    """Twice x."""
    return 2 * x


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write bytes to a file of a temporary folder and give its path."""

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@contextlib.contextmanager
def serving(*tabs: Any) -> Iterator[str]:
    """The address of the app with these tabs, or with all of them, served as `python app.py` does."""
    page = app.build(tabs) if tabs else app.build()
    _, url, _ = app.serve(page, **vars(app.parse(["--host", "127.0.0.1"])), prevent_thread_lock=True, quiet=True)
    yield url
    page.close()
