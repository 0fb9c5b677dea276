"""Answers of the server reach the page, though its stream of answers is closed while it asks: `demos/ui/stream.js`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from tests.browser.conftest import CLOSED_LATE, served

pytestmark = pytest.mark.browser
READY = "document.querySelector('#count textarea')"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    numbers = itertools.count(1)
    with gr.Blocks() as page:
        count = gr.Textbox(elem_id="count")
        gr.Button("add", elem_id="add").click(lambda: str(next(numbers)), None, count)
    yield from served(page)


def test_an_event_asked_for_while_the_stream_closes_is_answered(visit: Callable[..., Any]) -> None:
    page = visit(script=CLOSED_LATE)
    for _ in range(5):
        before = page.input_value("#count textarea")
        page.click("#add")
        page.wait_for_function("(before) => document.querySelector('#count textarea').value !== before", arg=before)
