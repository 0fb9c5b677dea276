"""What the Sketch tab remembers for all its visitors."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from PIL import Image

from demos.sketch.tab import handlers


def test_only_the_latest_finished_pictures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = types.SimpleNamespace(pictures=[Image.new("RGBA", (2, 2))], latents=np.zeros(1), seeds=[3], ignored=())
    monkeypatch.setattr(handlers, "model", lambda: types.SimpleNamespace(draw=lambda *_, **__: drawn))
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
