"""The Anomaly tab in a real browser, with the shipped model behind it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from demos.anomaly import tab
from demos.anomaly.densities import DENSITIES, FlowDensity
from demos.core.checkpoint import ROOT
from tests.browser.conftest import downloaded
from tests.conftest import serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (ROOT / "anomaly" / "inspector").is_dir(), reason="checkpoints/anomaly has not been trained yet"
    ),
]
Page = Any
Visit = Callable[..., Page]
BAD_ZIP = "broken.zip"
PATIENCE_S = 60
READY = "document.querySelector('#anomaly-frame .at-heat-map')"


def surface(seed: int, dent: int = 0) -> bytes:
    """A PNG of a grained surface of 128 px, with a round dark dent of that radius."""
    rng = np.random.default_rng(seed)
    pixels = (130 + 50 * cv2.GaussianBlur(rng.normal(0, 1, (128, 128)), (0, 0), 1.5)).clip(0, 255).astype(np.uint8)
    if dent:
        cv2.circle(pixels, (64, 64), dent, 20, -1, cv2.LINE_AA)
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def upload(name: str, data: bytes) -> dict[str, Any]:
    kind = "image/png" if name.endswith(".png") else "application/zip"
    return {"name": name, "mimeType": kind, "buffer": data}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DENSITIES, "flow", lambda features: FlowDensity(features, updates=30))
        with serving(tab) as url:
            yield url


def section(page: Page, name: str, inside: str) -> Page:
    """Open an inner tab and give its panel."""
    page.get_by_role("tab", name=name).click()
    return page.locator("[role=tabpanel]").filter(has=page.locator(inside)).last


def score(page: Page, note: str = "#anomaly-note") -> float:
    page.wait_for_function("id => /Score/.test(document.querySelector(id)?.innerText)", arg=note)
    found = re.search(r"Score (-?[\d.]+)", page.inner_text(note))
    assert found
    return float(found[1])


def test_the_first_example_is_inspected_at_once(page: Page) -> None:
    assert "Unusual" in page.inner_text("#anomaly-note")
    assert page.locator("#anomaly-frame polygon").count() >= 1
    assert page.locator("#anomaly-plot svg").count() == 1
    before = page.inner_text("#anomaly-note")
    page.locator("#anomaly-examples button img").nth(1).click()
    page.wait_for_function("old => document.querySelector('#anomaly-note').innerText !== old", arg=before)


def test_a_picture_is_uploaded_and_its_map_downloaded(page: Page) -> None:
    first = score(page)
    page.click("#anomaly-picture button[title='Remove Image']")
    page.wait_for_selector("#anomaly-frame .at-empty")
    page.locator("#anomaly-picture input[type=file]").first.set_input_files(upload("dent.png", surface(1, 12)))
    page.wait_for_selector("#anomaly-frame .at-heat-map")
    assert score(page) != first
    assert Image.open(io.BytesIO(downloaded(page, "#anomaly-heat"))).size == (128, 128)


def test_the_heat_map_fades(page: Page) -> None:
    shown = "getComputedStyle(document.querySelector('#anomaly-frame .at-heat-map')).opacity"
    assert float(page.evaluate(shown)) == pytest.approx(0.8)
    page.locator(".at-fader input").first.fill("0")
    assert float(page.evaluate(shown)) == 0


def paint(page: Page) -> None:
    """A line across the tile."""
    box = page.locator("#anomaly-pad .pad-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.65 * box["height"], steps=12)
    page.mouse.up()


def test_the_score_follows_the_brush(page: Page) -> None:
    section(page, "Paint a defect", "#anomaly-pad")
    clean = score(page, "#anomaly-painted-note")
    paint(page)
    page.wait_for_function(
        "old => +/Score (-?[\\d.]+)/.exec(document.querySelector('#anomaly-painted-note').innerText)[1] > old + 0.3",
        arg=clean,
    )
    painted = score(page, "#anomaly-painted-note")
    page.click("#anomaly-erase-painted")
    page.wait_for_function("document.querySelector('#anomaly-painted-note').innerText.includes('own normal version')")
    assert score(page, "#anomaly-painted-note") < painted


def test_what_is_erased_at_once_stays_erased(page: Page) -> None:
    section(page, "Paint a defect", "#anomaly-pad")
    clean = score(page, "#anomaly-painted-note")
    paint(page)
    page.click("#anomaly-erase-painted")
    page.wait_for_function("document.querySelector('#anomaly-painted-note').innerText.includes('own normal version')")
    page.wait_for_timeout(2000)
    assert "own normal version" in page.locator("#anomaly-painted-note").inner_text()
    assert score(page, "#anomaly-painted-note") < clean + 1


def test_own_normal_pictures_make_a_detector_that_nobody_else_sees(visit: Visit) -> None:
    page, other = visit(), visit()
    panel = section(page, "Your own normal", "#anomaly-fit")
    page.click("#anomaly-fit")
    page.wait_for_selector("text=Drop some pictures")
    files = {f"{i}.png": surface(i) for i in range(12)} | {"broken.png": b"nonsense"}
    panel.locator("input[type=file]").first.set_input_files(upload("normal.zip", zipped(files)))
    page.wait_for_selector("td[aria-label='normal.zip']")  # its progress says the name in another way
    page.click("#anomaly-fit")
    page.wait_for_selector("#anomaly-fit-note h3")
    assert "Left out, 1" in page.inner_text("#anomaly-fit-note")
    with io.BytesIO(downloaded(page, "#anomaly-save")) as file:
        assert json.loads(file.getvalue()[8 : 8 + int.from_bytes(file.getvalue()[:8], "little")])["__metadata__"]
    section(page, "Inspect", "#anomaly-picture")
    assert page.input_value("#anomaly-detector input") == "my normal, yours"
    other.click("#anomaly-detector input")
    other.wait_for_selector("[role=option]")
    assert "yours" not in str(other.locator("[role=option]").all_inner_texts())


def test_a_folder_with_broken_files_is_scored_to_the_end(page: Page) -> None:
    panel = section(page, "A whole folder", "#anomaly-folder")
    files = {f"good/{i}.png": surface(i) for i in range(6)} | {f"dent/{i}.png": surface(50 + i, 12) for i in range(3)}
    files |= {"good/broken.png": b"nonsense", "good/empty.png": b""}
    panel.locator("input[type=file]").first.set_input_files(
        [upload("set.zip", zipped(files)), upload(BAD_ZIP, b"no zip")]
    )
    page.wait_for_selector("text=broken")
    page.click("#anomaly-folder")
    page.wait_for_selector("#anomaly-roc svg")
    note = page.inner_text("#anomaly-folder-note")
    assert "of 9 pictures" in note and "3 could not be read" in note and "AUROC" in note
    table = downloaded(page, "#anomaly-csv").decode()
    assert len(table.splitlines()) == 13 and "good/broken.png" in table
    page.locator("#anomaly-limit input[type=number]").fill("50")
    page.keyboard.press("Enter")
    page.wait_for_function("old => document.querySelector('#anomaly-folder-note').innerText !== old", arg=note)
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "#anomaly-maps"))) as maps:
        assert len(maps.namelist()) == 9


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_it_fits_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    for name, inside in (
        ("Inspect", "#anomaly-picture"),
        ("Paint a defect", "#anomaly-pad"),
        ("Your own normal", "#anomaly-fit"),
        ("A whole folder", "#anomaly-folder"),
    ):
        tab_button = page.get_by_role("tab", name=name)
        if not tab_button.is_visible():
            page.locator(".overflow-menu > button:visible").last.click()
            tab_button = page.locator(".overflow-menu button", has_text=name).last
        tab_button.click()
        page.wait_for_selector(inside)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
