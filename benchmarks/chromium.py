"""A headless Chromium and strokes drawn in it, for the benchmarks of the page."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["chromium", "open_page", "stroke"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium", "chromium-headless-shell")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium() -> Iterator[Any | None]:
    """A browser: the system's, one on the PATH, or Playwright's own; None where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = next((path for path in map(shutil.which, NAMES) if path), None)
        if found is None and not Path(playwright.chromium.executable_path).exists():
            yield None
            return
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


def open_page(browser: Any, url: str, canvas: str) -> Any:
    """A page of 1200 × 1000 px that shows `canvas`."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(60_000)
    page.goto(url)
    page.wait_for_selector(canvas)
    page.wait_for_function(f"document.querySelector('{canvas}').width >= 300")
    return page


def stroke(page: Any, canvas: str, number: int) -> None:
    """Draw an arc that differs for every `number`, in about 0.3 s as a hand would."""
    box = page.locator(canvas).first.bounding_box()
    x = box["x"] + (0.32 + 0.036 * (number % 11)) * box["width"]
    y = box["y"] + (0.3 + 0.05 * (number % 9)) * box["height"]
    for i in range(13):
        angle = 0.7 * number + i * math.pi / 12
        page.mouse.move(x + 0.1 * math.cos(angle) * box["height"], y + 0.1 * math.sin(angle) * box["height"])
        if i == 0:
            page.mouse.down()
        elif i < 12:
            page.wait_for_timeout(20)
    page.mouse.up()
