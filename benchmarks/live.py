"""From the end of a stroke to the changed picture, in headless Chromium.

    python -m benchmarks.live

Three pages: Atelier in live mode, Gradio's own Sketchpad with an identity function behind it, and the JSON canvas with
a handler that returns at once. The clock starts with the browser's `pointerup` event and stops when the last new
picture that follows has been decoded, when no request is left open: pictures of an unfinished stroke don't count.
Atelier's draft is followed by the finished picture, which is larger.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

import app
from benchmarks.chromium import chromium, open_page, stroke
from benchmarks.timing import figures, machine, table
from demos.sketch.tab.handlers import FINISHED_SIDE
from demos.ui.sketchpad import live, sketchpad

__all__ = ["main", "measure_strokes"]

WARMUP = 2
WATCH = """([around, part, note]) => {
    const watched = document.querySelector(around), find = () => watched.querySelector(part);
    const said = () => note ? document.querySelector(note).textContent : "";
    const bench = (window.bench = { up: 0, changes: [] });
    addEventListener("pointerup", (event) => { bench.up = event.timeStamp; bench.changes = []; }, true);
    const look = () => find()?.src ?? find()?.textContent;
    let last = look();
    new MutationObserver(async () => {
        const now = look(), up = bench.up;
        if (now === last) return;
        last = now;
        await find()?.decode?.().catch(() => {});
        if (up !== bench.up) return;
        bench.changes.push({ ms: performance.now() - up, side: find()?.naturalWidth ?? 0, said: said() });
    }).observe(watched, { subtree: true, childList: true, characterData: true, attributes: true });
}"""
QUIET_S = 1.0


def gradio_sketchpad() -> gr.Blocks:
    """Gradio's editor, its picture given back as it came."""
    with gr.Blocks() as page, gr.Row():
        pad = gr.Sketchpad(elem_id="pad", canvas_size=(512, 512), layers=False, brush=gr.Brush(8))
        result = gr.Image(elem_id="result")
        pad.change(lambda value: value["composite"], pad, result, show_progress="hidden")
    return page


def json_canvas() -> gr.Blocks:
    """Atelier's canvas, its strokes given back as they came."""
    with gr.Blocks() as page:
        pad = sketchpad(elem_id="pad")
        result = gr.HTML(elem_id="result")
        live(pad, lambda strokes: f"<output>{strokes}</output>", pad, result)
    return page


class _Traffic:
    """Watches a page's requests to Gradio's queue: while one is open, a newer picture may still come."""

    def __init__(self, page: Any) -> None:
        self.page, self.open, self.moved = page, set(), 0.0
        page.on("request", lambda request: self._note(request, self.open.add))
        for end in ("requestfinished", "requestfailed"):
            page.on(end, lambda request: self._note(request, self.open.discard))

    def _note(self, request: Any, change: Callable[[Any], None]) -> None:
        if "/queue/" in request.url:
            change(request)
            self.moved = time.monotonic()

    def settle(self) -> list[dict[str, Any]]:
        """Wait for a change after the last stroke and then for quiet.

        Returns what changed: milliseconds from the stroke's end, side of the picture in pixels, what the note said.
        """
        self.page.wait_for_function("bench.changes.length > 0")
        while self.open or time.monotonic() - self.moved < QUIET_S:
            self.page.wait_for_timeout(50)
        return self.page.evaluate("bench.changes")


def measure_strokes(
    browser: Any, url: str, strokes: int, canvas: str, result: str, part: str, note: str = "", ready: str = ""
) -> dict[str, list[float]]:
    """Draw on a page; seconds to the `first` and the `last` change of a part of the result, by stroke.

    With a `note`, in which the page itself states the seconds of the `model`, a picture `FINISHED_SIDE` wide is the
    `finished` one and none of those. Nothing is measured before `ready` is on the page.
    """
    page = open_page(browser, url, canvas)
    if (brush := page.locator("#pad [aria-label='Brush']")).count():
        brush.click()
    page.evaluate(WATCH, [result, part, note])
    traffic = _Traffic(page)
    seconds: dict[str, list[float]] = {"first": [], "last": [], "model": [], "finished": []}
    for number in range(WARMUP):
        stroke(page, canvas, number)
        page.wait_for_timeout(2000)
    for selector in filter(None, (f"{result} {part}", ready)):
        page.wait_for_selector(selector, state="attached")
    traffic.settle()
    for number in range(WARMUP, WARMUP + strokes):
        stroke(page, canvas, number)
        changes = traffic.settle()
        finished = [change for change in changes if note and change["side"] == FINISHED_SIDE]
        drafts = [change for change in changes if change not in finished]
        seconds["first"].append(drafts[0]["ms"] / 1000)
        seconds["last"].append(drafts[-1]["ms"] / 1000)
        seconds["finished"] += [change["ms"] / 1000 for change in finished]
        stated = re.search(r"(\d+) ms", drafts[-1]["said"])
        seconds["model"] += [int(stated[1]) / 1000] if stated else []
    page.close()
    return seconds


def main() -> None:
    """Read the options, measure the three pages, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description="Stroke up to changed picture.")
    parser.add_argument("--strokes", type=int, default=20, help="on each page, after two that don't count")
    strokes: int = parser.parse_args().strokes
    where, rows = machine(), []
    launch: dict[str, Any] = {"prevent_thread_lock": True, "quiet": True}
    with chromium() as browser:
        if browser is None:
            parser.error("no Chromium: install it, or run `playwright install chromium`")
        ours = app.build()
        _, url, _ = app.serve(ours, **vars(app.parse(["--host", "127.0.0.1", "--log-level", "warning"])), **launch)
        got = measure_strokes(
            browser, url, strokes, "#sketch-pad canvas", "#sketch-frame", "img", "#sketch-note", "#sketch-examples img"
        )
        ours.close()
        rest = [all_of_it - model for all_of_it, model in zip(got["last"], got["model"], strict=False)]
        rows += [
            ("Atelier, live: the draft of the whole stroke", *figures(got["last"])),
            ("– of it the model, on the server", *figures(got["model"])),
            ("– of it the rest: browser, network, queue, PNG", *figures(rest)),
            ("– first new draft, perhaps of the unfinished stroke", *figures(got["first"])),
            ("– the finished picture, eight steps", *figures(got["finished"])),
        ]
        for title, page, part in (
            ("Gradio's Sketchpad, no model", gradio_sketchpad(), "img"),
            ("JSON canvas alone", json_canvas(), "output"),
        ):
            _, url, _ = page.launch(server_name="127.0.0.1", enable_monitoring=False, ssr_mode=False, **launch)
            rows.append(
                (title, *figures(measure_strokes(browser, url, strokes, "#pad canvas", "#result", part)["last"]))
            )
            page.close()
    print(table(("stroke up to …", "median", "90 % below", "strokes"), rows, where))


if __name__ == "__main__":
    main()
