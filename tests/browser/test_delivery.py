"""What runs before Gradio's scripts: no answer is lost (`demos/ui/stream.js`), a page at rest rests (`rest.js`)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from tests.browser.conftest import CLOSED_LATE, served

pytestmark = pytest.mark.browser
COUNTING = """(() => {
  const asked = window.requestAnimationFrame;
  window.frames_asked = 0;
  window.requestAnimationFrame = (then) => {
    window.frames_asked++;
    return asked.call(window, then);
  };
})()"""
READY = "document.querySelector('#count textarea')"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    numbers = itertools.count(1)
    with gr.Blocks() as page:
        count = gr.Textbox(elem_id="count")
        gr.Button("add", elem_id="add").click(lambda: str(next(numbers)), None, count)
        gr.Button("slow", elem_id="slow").click(lambda: time.sleep(3), None, count)
    yield from served(page)


def test_an_event_asked_for_while_the_stream_closes_is_answered(visit: Callable[..., Any]) -> None:
    page = visit(script=CLOSED_LATE)
    for _ in range(5):
        before = page.input_value("#count textarea")
        page.click("#add")
        page.wait_for_function("(before) => document.querySelector('#count textarea').value !== before", arg=before)


def test_a_page_at_rest_asks_for_no_frames(visit: Callable[..., Any]) -> None:
    page = visit(script=COUNTING)
    for _ in range(10):
        before = page.evaluate("window.frames_asked")
        page.wait_for_timeout(1000)
        if page.evaluate("window.frames_asked") == before:
            return
    raise AssertionError("The page does not come to rest.")


def test_a_job_s_seconds_are_counted_all_the_same(visit: Callable[..., Any]) -> None:
    page = visit()
    page.click("#slow")
    page.wait_for_function("/[1-9]s|[1-9]\\//.test(document.querySelector('#count .progress-text')?.textContent)")
