"""Seeds, variations and parts of the Sketch tab in a real browser, with the shipped model behind it."""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from demos.ui.events import JOBS
from tests.browser.conftest import downloaded
from tests.browser.sketch_page import PATIENCE_S as PATIENCE_S
from tests.browser.sketch_page import READY as READY
from tests.browser.sketch_page import (
    Page,
    Visit,
    apart,
    draw,
    expected,
    follows,
    framed,
    open_part,
    pixels,
    refined,
    scribble,
    seed_of,
    set_number,
    shows,
    thumbnails,
    until,
)
from tests.browser.sketch_page import address as address

pytestmark = pytest.mark.browser


def test_another_seed_gives_another_picture(page: Page) -> None:
    before = follows(page)
    set_number(page, "Seed", 12345)
    assert seed_of(page) == 12345
    assert apart(follows(page), before) > 1
    page.click(".at-dice")
    until(lambda: seed_of(page) != 12345, "a fresh seed")
    follows(page)


def test_the_same_seed_twice_gives_the_same_file(visit: Visit) -> None:
    page = visit()
    follows(page)
    live = downloaded(page, "#sketch-png")
    refined(page)
    large = downloaded(page, "#sketch-png")
    other = visit()
    follows(other)
    assert downloaded(other, "#sketch-png") == live
    refined(other)
    assert downloaded(other, "#sketch-png") == large != live
    for data in (live, large):
        picture = Image.open(io.BytesIO(data))
        assert picture.format == "PNG" and picture.mode == "RGBA" and picture.size == (512, 512)
        alpha = np.asarray(picture)[..., 3]
        assert max(alpha[0, 0], alpha[0, -1], alpha[-1, 0], alpha[-1, -1]) < 25 and alpha[256, 256] > 200


def test_refine_fills_the_gallery_and_any_variation_can_be_chosen(page: Page) -> None:
    follows(page)
    seed = seed_of(page)
    refined(page, count=3)
    assert f"seed {seed} · 4 steps" in page.inner_text("#sketch-note")
    shows(page, expected(page, seed, steps=4))
    page.locator("#sketch-gallery .grid-container button").nth(1).click()
    page.wait_for_function(f"document.querySelector('#sketch-note').innerText.includes('seed {seed + 1}')")
    shows(page, expected(page, seed + 1, steps=4))
    data = downloaded(page, "#sketch-zip")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = [Image.open(io.BytesIO(archive.read(name))).size for name in archive.namelist()]
    assert sizes == [(512, 512)] * 3
    chosen = framed(page)
    page.click("#sketch-more")
    until(lambda: thumbnails(page) == 3 and apart(framed(page), chosen) > 0.2, "variations of it")
    until(lambda: page.locator(".at-progress [role=progressbar]").count() == 0, "the end of the bar")


def test_a_fresh_seed_is_shown_and_its_picture_stays(page: Page) -> None:
    follows(page)
    page.get_by_label("Keep", exact=True).uncheck()
    before = seed_of(page)
    refined(page, count=1)
    until(lambda: seed_of(page) != before, "the seed that was drawn")
    assert f"seed {seed_of(page)} · 4 steps" in page.inner_text("#sketch-note")
    page.wait_for_timeout(2000)  # longer than a hand has to rest
    shows(page, expected(page, seed_of(page), steps=4))
    page.wait_for_function("document.querySelector('#sketch-frame img')?.naturalWidth === 512")


def test_stop_ends_a_long_job_and_the_page_goes_on(visit: Visit) -> None:
    page, other = visit(), visit()
    follows(page)
    follows(other)
    set_number(page, "number input for Pictures", 16)
    set_number(page, "number input for Steps", 30)
    page.click("#sketch-refine")
    page.wait_for_selector(".at-progress [role=progressbar]")
    other.click("#sketch-stop")
    page.wait_for_function("document.querySelector('.at-progress [role=progressbar]')?.ariaValueNow >= 10")
    assert len(JOBS) == 1
    page.click("#sketch-stop")
    until(lambda: len(JOBS) == 0, "the end of the job")
    until(lambda: page.locator(".at-progress [role=progressbar]").count() == 0, "the end of the bar")
    assert thumbnails(page) == 0
    scribble(page)
    follows(page)
    refined(page)


def test_repaint_changes_the_brushed_part(page: Page) -> None:
    follows(page)
    refined(page, count=1)
    before = framed(page)
    assert before is not None
    page.get_by_label("Keep", exact=True).uncheck()
    open_part(page, "Repaint a part")
    page.wait_for_selector("#sketch-mask .pad-canvas")
    draw(page, (200, 260), (300, 260), (200, 290), (300, 290), pad="sketch-mask")
    seed = seed_of(page)
    page.click("#sketch-repaint")
    until(lambda: seed_of(page) != seed, "the repainted picture")
    page.wait_for_function("document.querySelector('#sketch-frame img')?.naturalWidth === 512")
    after = framed(page)
    assert after is not None
    off = np.abs(pixels(after) - pixels(before)).mean(-1)
    assert off[60:76, 46:80].mean() > 2 * max(off[:28].mean(), off[100:].mean(), 0.2)


def test_the_way_between_two_seeds(page: Page) -> None:
    first = follows(page)
    open_part(page, "Between two seeds")
    set_number(page, "Other seed", 77)
    page.click("#sketch-walk")
    page.wait_for_function("!document.querySelector('#sketch-position input').disabled")
    shows(page, expected(page, seed_of(page)))
    slider = page.locator("#sketch-position input[type=range]")
    slider.focus()
    slider.press("End")
    last = expected(page, 77)
    shows(page, last)
    slider.press("Home")
    shows(page, expected(page, seed_of(page)))
    assert apart(first, last) > 1


def test_a_data_set_is_a_zip_of_labelled_pictures(page: Page) -> None:
    follows(page)
    open_part(page, "Make a data set")
    page.locator("label").filter(has_text="Written into labels.csv").locator("input, textarea").fill('my "cat", 2')
    page.get_by_label("number input for Pictures").last.fill("8")
    page.get_by_label("number input for Pictures").last.press("Tab")
    page.click("#sketch-data")
    page.wait_for_selector("#sketch-made a[href]")
    data = downloaded(page, "#sketch-made a[href]")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        header, *rows = archive.read("labels.csv").decode().splitlines()
        files = [row.split(",")[0] for row in rows]
        pictures = [Image.open(io.BytesIO(archive.read(name))) for name in files]
        assert set(archive.namelist()) == {"labels.csv", *files}
    assert header.startswith("file,label") and len(rows) == 8
    assert {picture.mode for picture in pictures} == {"RGBA"}
    assert len({picture.tobytes() for picture in pictures}) == 8
    assert {row[1] for row in csv.reader(rows)} == {'my "cat", 2'}
