"""How long `python app.py` takes to answer, to draw its first picture, and how much memory it holds.

    python -m benchmarks.startup

Every run starts two servers: one draws through the API, the other in headless Chromium if there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.chromium import chromium, open_page, stroke
from benchmarks.timing import figures, machine, table

__all__ = ["Memory", "call_api", "draw_and_refine", "main", "server"]

ROOT = Path(__file__).parents[1]
CAT = ROOT / "demos" / "sketch" / "examples" / "cat.json"
CANVAS = "#sketch-pad canvas"
PATIENCE_S = 300


class Memory:
    """Resident memory of a process in MB: `now()`, and the `peak` of a reading every 20 ms."""

    def __init__(self, process: int) -> None:
        self.process = psutil.Process(process)
        self.peak = self.now()
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> float:
        """Resident memory at the moment."""
        return self.process.memory_info().rss / 1e6

    def _watch(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while True:
                self.peak = max(self.peak, self.now())
                time.sleep(0.02)


@contextlib.contextmanager
def server() -> Iterator[tuple[str, float, Memory]]:
    """`python app.py` on a free port, as (address, seconds to HTTP 200, its memory); ended afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    start = time.perf_counter()
    command = [sys.executable, "app.py", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers(url):
            if process.poll() is not None or time.perf_counter() - start > PATIENCE_S:
                raise RuntimeError("python app.py doesn't answer")
            time.sleep(0.05)
        yield url, time.perf_counter() - start, Memory(process.pid)
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=30).status_code == 200
    return False


def call_api(url: str, count: int) -> float:
    """Seconds that `/sketch_to_image` takes for so many pictures of the cat."""
    start = time.perf_counter()
    address = f"{url}gradio_api/call/sketch_to_image"
    data = [CAT.read_text(encoding="utf-8"), "cat", "fluent_3d", count, 8, 2.0, 1.0, 0]
    event = httpx.post(address, json={"data": data}).raise_for_status().json()["event_id"]
    answer = httpx.get(f"{address}/{event}", timeout=PATIENCE_S).text
    if answer.count('"path"') != count:
        raise RuntimeError(f"instead of {count} pictures came: {answer[:300]}")
    return time.perf_counter() - start


def draw_and_refine(browser: Any, url: str, strokes: int = 5) -> float:
    """Open the page, draw on it, refine 16 pictures; returns the seconds to the first picture."""
    start = time.perf_counter()
    page = open_page(browser, url, CANVAS)
    page.set_default_timeout(1000 * PATIENCE_S)
    page.wait_for_selector("#sketch-frame img")
    seconds = time.perf_counter() - start
    for number in range(strokes):
        stroke(page, CANVAS, number)
        page.wait_for_timeout(500)
    page.get_by_label("number input for Pictures").first.fill("16")
    page.keyboard.press("Tab")
    page.click("#sketch-refine")
    page.wait_for_function("document.querySelectorAll('#sketch-gallery img').length >= 16")
    page.close()
    return seconds


def main() -> None:
    """Read the options, start servers, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description="Start, first picture, memory.")
    parser.add_argument("--runs", type=int, default=3)
    runs: int = parser.parse_args().runs
    where, notes = machine(), []
    answer: list[float] = []
    first_api: list[float] = []
    first_page: list[float] = []
    idle: list[float] = []
    after_api: list[float] = []
    after_page: list[float] = []
    peak: list[float] = []
    with chromium() as browser:
        for _ in range(runs):
            with server() as (url, seconds, memory):
                answer.append(seconds)
                idle.append(memory.now())
                first_api.append(call_api(url, 1))
                call_api(url, 16)
                after_api.append(memory.now())
                peak.append(memory.peak)
            if browser is None:
                notes = ["No Chromium was found: nothing was drawn in the page."]
                continue
            with server() as (url, seconds, memory):
                answer.append(seconds)
                first_page.append(draw_and_refine(browser, url))
                after_page.append(memory.now())
                peak.append(memory.peak)
    rows = [
        ("`python app.py` to HTTP 200", *figures(answer, "s", 2)),
        ("first call of `/sketch_to_image` to its file (8 steps, 512 px)", *figures(first_api, "s", 2)),
        ("first visit of the page to its first picture", *figures(first_page, "s", 2)),
        ("resident memory after the start", *figures(idle, "MB", 0)),
        ("– after 1 and 16 pictures through the API", *figures(after_api, "MB", 0)),
        ("– after 5 strokes and 16 refined pictures in the page", *figures(after_page, "MB", 0)),
        ("– its peak in any of this", *figures(peak, "MB", 0)),
    ]
    print(table(("", "median", "90 % below", "runs"), [row for row in rows if row[-1] != "0"], *notes, where))


if __name__ == "__main__":
    main()
