"""What the Sketch tab remembers for all its visitors."""

from __future__ import annotations

import json
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demos.sketch.tab import handlers

DRAWN = types.SimpleNamespace(pictures=[Image.new("RGBA", (2, 2))], latents=np.zeros(1), seeds=[3], ignored=())
"""What a model gives that draws nothing."""


def test_only_the_latest_finished_pictures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "model", lambda: types.SimpleNamespace(draw=lambda *_, **__: DRAWN))
    monkeypatch.setattr(handlers, "recent", {})
    monkeypatch.setattr(handlers, "RECENT", 2)
    requests = [handlers.Request.of("", "cat", seed, "noto", "", 0, 2.0, 1.0) for seed in range(3)]
    for request in requests:
        note, shown = handlers._finished(request)
        assert shown.request == request and not shown.draft and "seed 3 · 8 steps" in note
    assert list(handlers.recent) == requests[1:]


def test_the_same_strokes_make_the_same_request_however_they_are_written() -> None:
    points = [[10.0, 20.0, 0.5], [30, 40.25, 1]]
    written = [
        json.dumps({"version": 1, "size": 512.0, "strokes": [{"points": points, "width": 8}]}),
        json.dumps({"strokes": [{"width": 8.0, "points": points, "times": [1, 2]}]}, indent=1),
    ]
    first, second = (handlers.Request.of(text, None, 7, "noto", "", 0, 2.0, 1.0) for text in written)
    assert first == second and hash(first) == hash(second)
    with pytest.raises(ValueError, match="JSON"):
        handlers.Request.of("{", None, 7, "noto", "", 0, 2.0, 1.0)


@pytest.mark.parametrize("change", ["another drawing", "what is shown", "nothing"])
def test_a_draft_that_is_overtaken_is_given_up_and_no_other_visitor_s(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, overtaken = threading.Barrier(3), threading.Event()

    def draw(_: Any, settings: Any, *, check: Any, **__: Any) -> Any:
        if settings.prompt == "cat":
            begun.wait(20)
            overtaken.wait(20)
            check()
        return DRAWN

    monkeypatch.setattr(handlers, "model", lambda: types.SimpleNamespace(draw=draw))
    monkeypatch.setattr(handlers, "recent", {})
    visitors: list[Any] = [types.SimpleNamespace(session_hash=name) for name in ("ann", "bob")]
    cat, dog, nothing = (("", words, 7, "noto", "", 0, 2.0, 1.0) for words in ("cat", "dog", ""))
    _, _, before = handlers.draw_live(visitors[0], None, *dog)
    with ThreadPoolExecutor() as pool:
        ann, bob = (pool.submit(handlers.draw_live, visitor, None, *cat) for visitor in visitors)
        begun.wait(20)
        shown, inputs = {
            "another drawing": (None, dog), "what is shown": (before, dog), "nothing": (before, nothing),
        }[change]  # fmt: skip
        newer = handlers.draw_live(visitors[0], shown, *inputs)
        overtaken.set()
    assert ann.result() == gr.skip()
    assert ("<img" in str(newer[0])) == (change == "another drawing")
    assert ("at-empty" in str(newer[0])) == (change == "nothing")
    frame, note, shown = bob.result()
    assert "<img" in frame and "2 steps" in note and shown.draft


def test_what_a_lost_draft_was_of_is_drawn_when_the_hand_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "model", lambda: types.SimpleNamespace(draw=lambda *_, **__: DRAWN))
    monkeypatch.setattr(handlers, "recent", {})
    visitor: Any = types.SimpleNamespace(session_hash="ann")
    old, new, nothing = (("", words, 7, "noto", "", 0, 2.0, 1.0) for words in ("cat", "dog", ""))
    _, _, draft = handlers.draw_live(visitor, None, *old)
    for before in (draft, None):
        _, note, shown = handlers.finish(visitor, before, *new)
        assert "8 steps" in note and shown.request == handlers.Request.of(*new) and not shown.draft
        assert handlers.finish(visitor, shown, *old) == (gr.skip(),) * 3
        assert handlers.finish(visitor, before, *nothing) == (gr.skip(),) * 3


def test_the_first_picture_in_the_frame_comes_before_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, steps = threading.Event(), []

    def draw(strokes: Any, settings: Any, **_: Any) -> Any:
        steps.append(settings.steps)
        return DRAWN

    def model() -> Any:
        asked.set()
        return types.SimpleNamespace(draw=draw)

    monkeypatch.setattr(handlers, "model", model)
    monkeypatch.setattr(handlers, "recent", {})
    monkeypatch.setattr(handlers, "drawn_once", threading.Event())
    with ThreadPoolExecutor() as pool:
        shelf = pool.submit(handlers.example_pictures.__wrapped__)  # pyright: ignore[reportAttributeAccessIssue]
        assert asked.wait(20)
        time.sleep(0.2)
        visitor: Any = types.SimpleNamespace(session_hash="ann")
        handlers.draw_live(visitor, None, "", "cat", 7, "noto", "", 0, 2.0, 1.0)
    assert len(shelf.result()) == len(handlers.examples())
    assert steps == [handlers.LIVE_STEPS, *[handlers.FINISHED_STEPS] * len(handlers.examples())]
