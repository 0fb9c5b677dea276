"""Pictures that go from tab to tab."""

from __future__ import annotations

import base64
import io

import gradio as gr
import numpy as np
import pytest
from gradio.context import LocalContext
from PIL import Image

from demos.ui.exchange import fetch_button, fetched


def uri(picture: Image.Image) -> str:
    picture.save(buffer := io.BytesIO(), "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_a_picture_is_fetched_as_it_is() -> None:
    LocalContext.blocks.set(None)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    found = Image.open(fetched("Sketch", uri(Image.fromarray(pixels)))).convert("RGB")
    assert np.array_equal(np.asarray(found), pixels)


def test_bad_pictures_get_a_sentence() -> None:
    bad = {"": "Sketch tab", "data:image/png;base64,AA==": "not a picture", "/etc/passwd": "data: URI"}
    for sent, sentence in bad.items():
        with pytest.raises(gr.Error, match=sentence):
            fetched("Sketch", sent)


def test_the_button_looks_where_it_was_told() -> None:
    with gr.Blocks() as page:
        fetch_button("Take it", ("Sketch", "#frame img"), "take", gr.Image())
    (event,) = page.fns.values()
    assert "#frame img" in str(event.js) and event.api_visibility == "private"
