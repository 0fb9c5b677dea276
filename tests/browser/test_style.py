"""The Style tab in a real browser, with tiny networks behind it: the page is what is tested here."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demos.style import exact, tab
from demos.style.model import StyleModel
from demos.style.tab import page as layout
from demos.style.tab import sources
from tests.browser.conftest import downloaded
from tests.conftest import serving
from tests.style.conftest import NAMES, encoded, pixels, tiny_density, tiny_encoder, tiny_painter, tiny_presets

pytestmark = pytest.mark.browser
Page = Any
PATIENCE_S = 60
READY = "document.querySelector('#style-frame .after') && document.querySelectorAll('#style-gallery img').length === 4"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    import torch

    model = StyleModel(tiny_encoder(), tiny_painter(), tiny_presets(), tiny_density(), torch.device("cpu"))
    sources.thumbnail.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "model", lambda: model)
        patch.setattr(sources, "titles", lambda: NAMES)
        patch.setattr(layout, "FIRST", "stripes")
        patch.setattr(exact, "rebuild", partial(exact.rebuild, polish=6))
        with serving(tab) as url:
            yield url
    sources.thumbnail.cache_clear()


def upload(page: Page, place: str, name: str, data: bytes) -> None:
    kind = "image/png" if name.endswith(".png") else "application/zip"
    page.locator(f"{place} input[type=file]").first.set_input_files({"name": name, "mimeType": kind, "buffer": data})


def changed(page: Page, gesture: Callable[[], Any], what: str = "#style-frame .after") -> str:
    """The address of the result after a gesture has changed it."""
    before = page.get_attribute(what, "src")
    gesture()
    page.wait_for_function(
        "([what, old]) => { const now = document.querySelector(what)?.src; return now && now !== old; }",
        arg=[what, before],
    )
    return page.get_attribute(what, "src")


def said(page: Page, words: str) -> None:
    page.wait_for_function("w => document.querySelector('#style-note').innerText.includes(w)", arg=words)


def result(page: Page) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(downloaded(page, "#style-png"))).convert("RGB"))


def slide(page: Page, to: float) -> None:
    """Hold the strength's slider, wherever it is, and pull it to a place from 0 to 1; the button stays down."""
    slider = page.locator("#style-strength input[type=range]")
    slider.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = slider.bounding_box()
    at = box["x"] + (0.01 + 0.98 * float(slider.input_value())) * box["width"]
    page.mouse.move(at, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + to * box["width"], box["y"] + box["height"] / 2, steps=6)


def own_content(page: Page, seed: int = 0) -> np.ndarray:
    """Upload a picture as content and wait for its result."""
    page.click("#style-content button[title='Remove Image']")
    said(page, "Choose a picture to repaint")
    upload(page, "#style-content", "own.png", encoded(pixels(seed)))
    said(page, "64 × 48 px")
    return pixels(seed)


def test_the_first_example_is_there_and_others_follow(page: Page) -> None:
    content, result = (page.locator(f"#style-{name}").bounding_box() for name in ("content", "frame"))
    assert abs(content["width"] - result["width"]) < 8 and abs(content["height"] - result["height"]) < 8
    assert "Stripes" in page.inner_text("#style-note")
    changed(page, page.locator("#style-examples button img").nth(4).click)


def test_an_upload_is_repainted_and_downloaded(page: Page) -> None:
    own_content(page)
    assert result(page).shape == (48, 64, 3)
    page.click("#style-keep")
    page.locator("button.label-wrap", has_text="This session").click()
    page.wait_for_selector(".at-history button img >> visible=true")


def test_the_result_follows_style_and_strength(page: Page) -> None:
    own_content(page)
    first = changed(page, page.locator("#style-gallery button img").nth(2).click)
    said(page, "Mist")
    live = changed(page, lambda: slide(page, 0.6))
    changed(page, lambda: slide(page, 0.2))
    page.mouse.up()
    page.wait_for_timeout(1500)
    assert live != first and float(page.input_value("#style-strength input[type=range]")) < 0.4
    soft = np.abs(result(page).astype(float) - pixels(0)).mean()
    changed(page, lambda: page.locator("#style-strength input[type=number]").fill("1") or page.keyboard.press("Enter"))
    page.wait_for_timeout(1000)
    full = np.abs(result(page).astype(float) - pixels(0)).mean()
    assert full > soft
    page.locator("#style-strength input[type=range]").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(1500)
    assert np.abs(result(page).astype(float) - pixels(0)).mean() < full


def test_a_large_result_is_not_replaced_by_a_live_one(page: Page) -> None:
    upload_size = "512 × 512 px"
    page.locator("#style-examples button img").nth(1).click()
    said(page, upload_size)
    slide(page, 0.3)
    said(page, "288 × 288 px")
    page.mouse.up()
    said(page, upload_size)
    page.wait_for_timeout(1500)
    assert upload_size in page.inner_text("#style-note")


def test_a_sampled_style_joins_the_gallery(page: Page) -> None:
    changed(page, lambda: page.click("#style-sample"))
    page.wait_for_function("document.querySelectorAll('#style-gallery img').length === 5")
    assert "lies near" in page.inner_text("#style-said")
    said(page, "sample")


def test_own_styles_and_mixtures(page: Page) -> None:
    own_content(page)
    page.get_by_role("tab", name="Picture", exact=True).click()
    said(page, "my picture")
    changed(page, page.locator("#style-pictures button img").nth(2).click)
    page.get_by_role("tab", name="Drawing", exact=True).click()
    said(page, "my drawing")
    box = page.locator("#style-drawing .pad-canvas").bounding_box()

    def draw() -> None:
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, box["y"] + 300, steps=8)
        page.mouse.up()

    changed(page, draw)
    page.get_by_role("tab", name="Mix", exact=True).click()
    said(page, "Stripes + Dots")


def test_only_what_is_painted_changes(page: Page) -> None:
    content = own_content(page)
    page.get_by_role("button", name="Only a part, or two styles").click()
    page.get_by_label("Where I paint").check()
    said(page, "Paint on the picture")
    page.wait_for_selector("#style-mask .pad-onion:not([hidden])")
    page.locator("#style-mask .pad-canvas").scroll_into_view_if_needed()
    box = page.locator("#style-mask .pad-canvas").bounding_box()
    assert abs(page.locator("#style-mask .pad-onion").bounding_box()["height"] - box["height"]) < 2
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"], steps=6)
    page.mouse.up()
    said(page, "64 × 48 px")
    page.wait_for_timeout(500)
    different = (result(page) != content).any(-1)
    assert different[24, 19] and not different[:, 32:].any() and not different[:4].any()


def test_before_and_after(page: Page) -> None:
    shown = "getComputedStyle(document.querySelector('#style-frame .after')).clipPath"
    before = page.evaluate(shown)
    page.locator(".at-fader input").first.fill("60")
    assert page.evaluate(shown) != before and "60%" in page.evaluate(shown)


def test_the_exact_engine_is_stopped_and_continued(page: Page, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own_content(page)
    page.click("#style-exact")
    page.wait_for_selector("text=a preset is only a code")
    page.get_by_role("tab", name="Picture", exact=True).click()
    said(page, "my picture")
    plain = exact.rebuild

    def slow(*args: Any, on_step: Any, **options: Any) -> Any:
        def step(i: int, n: int, x: Any) -> None:
            on_step(i, n, x)
            page_free.wait(0.3)

        return plain(*args, on_step=step, **options)

    import threading

    page_free = threading.Event()
    monkeypatch.setattr(exact, "rebuild", slow)
    changed(page, lambda: page.click("#style-exact"))
    page.wait_for_selector("[role=progressbar]:has-text(''), .at-bar-text:has-text('s left')")
    page.click("#style-stop")
    said(page, "Stopped after")
    page_free.set()
    page.click("#style-continue")
    said(page, "Rebuilt exactly")
    assert result(page).shape == (48, 64, 3)


def test_all_presets_and_a_film(page: Page) -> None:
    own_content(page)
    page.get_by_role("button", name="All presets on this picture").click()
    page.click("#style-all")
    page.wait_for_function("document.querySelectorAll('#style-grid img').length === 4")
    page.locator("#style-grid button img").nth(3).click()
    said(page, "Night")
    page.get_by_role("button", name="A film of the strength").click()
    page.click("#style-film")
    page.wait_for_selector("#style-film-frame img")
    assert Image.open(io.BytesIO(downloaded(page, "#style-gif"))).format == "GIF"


def test_many_pictures_become_a_zip(page: Page) -> None:
    page.get_by_role("button", name="Many pictures").click()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", encoded(pixels(i)))
        archive.writestr("broken.png", b"nonsense")
    upload(page, "#style-files", "set.zip", buffer.getvalue())
    page.wait_for_selector("#style-files >> text=set")
    page.click("#style-many")
    page.wait_for_function("document.querySelector('#style-many-note').innerText.includes('3 of 4')")
    assert "broken.png" in page.inner_text("#style-many-note")
    made = downloaded(page, "#style-made a[download]")
    assert len(zipfile.ZipFile(io.BytesIO(made)).namelist()) == 3


def test_a_bad_upload_gets_a_sentence(page: Page) -> None:
    page.click("#style-content button[title='Remove Image']")
    said(page, "Choose a picture to repaint")
    upload(page, "#style-content", "bad.png", b"nonsense")
    page.wait_for_selector("text=not a picture")


def test_nothing_is_wider_than_a_phone(visit: Callable[..., Page]) -> None:
    page = visit(viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_picture_of_the_sketch_tab_is_taken(page: Page) -> None:
    page.click("#style-sketch")
    page.wait_for_selector("text=no picture in the Sketch tab yet")
    uri = "data:image/png;base64," + base64.b64encode(encoded(pixels(3))).decode()
    page.evaluate("uri => document.body.insertAdjacentHTML('beforeend', `<p id=sketch-frame><img src='${uri}'>`)", uri)
    page.click("#style-sketch")
    said(page, "64 × 48 px")
