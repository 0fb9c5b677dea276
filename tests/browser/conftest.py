"""A Chromium for the tests of the page; they are skipped, with the reason, where there is none."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile

from benchmarks.chromium import ARGUMENTS, NAMES
from demos.ui import delivery
from demos.ui.events import queued

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")

CLOSED_LATE = """(() => {
  const fetched = window.fetch;
  window.fetch = async (request, options) => {
    const response = await fetched(request, options);
    if (!(request.url ?? String(request)).includes("queue/data")) return response;
    const chunks = response.body.getReader();
    const late = async (to) => {
      const {done, value} = await chunks.read();
      if (done) return to.close();
      const text = new TextDecoder().decode(value), at = text.indexOf('data: {"msg":"close_stream"');
      if (at < 0) return to.enqueue(value);
      to.enqueue(new TextEncoder().encode(text.slice(0, at)));
      await new Promise((then) => setTimeout(then, 300));
      to.enqueue(new TextEncoder().encode(text.slice(at)));
    };
    return new Response(new ReadableStream({pull: late}), {headers: response.headers});
  };
})()"""
"""The message with which the server closes a page's stream of answers arrives 0.3 seconds later than it was sent."""


def chromium_path() -> str | None:
    """The system's Chromium, or one on the PATH; without windows, if there is such a one, pages open a third faster."""
    return next((path for path in map(shutil.which, ("chromium-headless-shell", *NAMES)) if path), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium: the system's, one on the PATH, or Playwright's own."""
    found = chromium_path()
    with sync_api.sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: install it, or run `playwright install chromium`")
        chromium = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address as a new visitor, `script` before the page's own ones; options go to `new_context`."""
    contexts = []

    def opened(url: str, timeout_s: float = 40, script: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 1000}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * timeout_s)
        page.add_init_script(script)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


def served(page: gr.Blocks, **options: Any) -> Iterator[str]:
    """Serve a page that isn't the app, as the app is delivered; gives its address and closes it afterwards.

    `options` go to the page's queue.
    """
    _, url, _ = queued(page, **options).launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", enable_monitoring=False, **delivery.options()
    )
    yield url
    page.close()


def settled(page: Any) -> None:
    """Wait until no canvas has moved for ten frames: one not yet laid out would move away from the pointer.

    Frames count and not seconds, since the page is laid out anew only when a frame is painted.
    """
    page.wait_for_function(
        """() => {
            const canvases = [...document.querySelectorAll("canvas")];
            const boxes = JSON.stringify(canvases.map((canvas) => canvas.getBoundingClientRect()));
            const { before, frames } = window.still ?? {};
            window.still = { before: boxes, frames: boxes === before ? frames + 1 : 0 };
            return window.still.frames >= 10;
        }""",
        polling="raf",
    )


def handled(page: Any) -> None:
    """Wait until the page has handled the pointer's events, which it does before the next frame, and painted."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")


@pytest.fixture
def visit(request: pytest.FixtureRequest, open_page: Callable[..., Any], address: str) -> Callable[..., Any]:
    """Open the file's `address` as a new visitor; its `READY` holds then, a JavaScript expression."""

    def opened(query: str = "", **options: Any) -> Any:
        page = open_page(address + query, getattr(request.module, "PATIENCE_S", 40), **options)
        page.wait_for_function(request.module.READY)
        settled(page)
        return page

    return opened


@pytest.fixture
def page(visit: Callable[..., Any]) -> Any:
    """The page of one visitor, as `visit` opens it."""
    return visit()


def section(page: Any, name: str) -> None:
    """Open a section, on a narrow page from the menu that holds what does not fit.

    Gradio moves the tabs into the menu and out of it while the page is being laid out: what is looked for can be in
    neither place for a moment.
    """
    inline = page.locator("[role=tab]:visible").get_by_text(name, exact=True)
    listed = page.locator(".overflow-dropdown button:visible").get_by_text(name, exact=True)
    for _ in range(40):
        if inline.count():
            return inline.first.click()
        for menu in page.locator(".overflow-menu > button:visible").all():
            menu.click()
            if listed.count():
                return listed.first.click()
            menu.click()
        page.wait_for_timeout(250)
    raise AssertionError(f"There is no section {name}.")


@pytest.fixture
def page_that_hears(browser: Any, tmp_path: Path) -> Iterator[Callable[[str, bytes], Any]]:
    """Open an address in a Chromium whose microphone hears a WAV file again and again, from the page's opening on."""
    with contextlib.ExitStack() as open_ones:

        def opened(url: str, wav: bytes) -> Any:
            file = tmp_path / "microphone.wav"
            file.write_bytes(wav)
            fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
            arguments = [*ARGUMENTS, *fake, f"--use-file-for-fake-audio-capture={file}"]
            chromium = browser.browser_type.launch(executable_path=chromium_path(), args=arguments)
            open_ones.callback(chromium.close)
            page = chromium.new_context(permissions=["microphone"]).new_page()
            page.set_default_timeout(60_000)
            page.goto(url)
            return page

        yield opened


def recorded(page: Any, recorder: str, seconds: float) -> None:
    """Record from the microphone with a `gr.Audio`."""
    page.locator(recorder).get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1000 * seconds)
    page.locator(recorder).get_by_role("button", name="Stop", exact=True).click()


def downloaded(page: Any, button: str) -> bytes:
    """The file that a press gives."""
    with page.expect_download() as event:
        page.click(button)
    return Path(event.value.path()).read_bytes()


def finished(page: Any, player: str, gesture: Callable[[], Any]) -> tuple[np.ndarray, int]:
    """Samples and rate of the sound that a gesture makes a player of the Audio tab offer, once it is whole."""
    figure = page.locator(f"{player} figure")
    before = figure.get_attribute("data-take") if figure.count() else None
    gesture()
    page.wait_for_function(
        "([player, before]) => { const found = document.querySelector(`${player} figure[data-src]`);"
        " return found && found.dataset.take !== before; }",
        arg=[player, before],
    )
    return soundfile.read(io.BytesIO(downloaded(page, f"{player} a[download]")))
