"""The Lab tab's gallery, comparison and classifiers in a real browser, with six tiny families behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demos.lab import tab
from demos.lab.model import Garments
from demos.lab.tab import garments
from demos.lab.tab.stage import FAMILIES
from tests.browser.conftest import section
from tests.conftest import serving
from tests.lab.tiny_garments import tiny_garments

pytestmark = pytest.mark.browser
Page = Any
Visit = Callable[..., Page]
SECTIONS = {"Samples": "#lab-sheet .cells", "All six": "#lab-six", "A picture": "#lab-copies .tile",
            "Latent space": "#lab-sum .tile", "Complete": "#lab-completed .tile"}  # fmt: skip
"""Sections of the gallery, and what is there once they are filled."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Garments, "load", lambda *_: tiny_garments())
        garments.model.cache_clear()
        with serving(tab) as url:
            yield url
    garments.model.cache_clear()


@pytest.fixture
def visit(open_page: Visit, address: str) -> Visit:
    """Open the gallery as a new visitor; the first samples come by themselves."""

    def opened(query: str = "", **options: Any) -> Page:
        page = open_page(address + query, 60, **options)
        section(page, "Gallery")
        page.wait_for_selector("#lab-sheet .cells button")
        return page

    return opened


def choose(page: Page, family: str) -> None:
    page.locator("#lab-family").get_by_label(FAMILIES[family][0], exact=True).check()


SHOWS = """(what) => { const place = document.querySelector(what);
  const words = place.querySelector('[style*="container-type"]') ?? place;
  return words.textContent + [...place.querySelectorAll('img')].map((one) => one.src); }"""


def changed(page: Page, what: str, gesture: Callable[[], Any]) -> str:
    """What a place says after a gesture has changed its words or its pictures."""
    before = page.evaluate(SHOWS, what)
    gesture()
    page.wait_for_function(f"([what, old]) => ({SHOWS})(what) !== old", arg=[what, before])
    return page.evaluate(SHOWS, what)


def test_every_family_is_sampled_and_a_sample_is_taken_in_hand(page: Page) -> None:
    for family in ("vae", "flow", "gan", "energy", "autoregressive", "score"):
        choose(page, family)
        said = garments.title(family)
        page.wait_for_selector(f"#lab-sheet img[alt='16 samples of the {said} model']")
        page.wait_for_selector("#lab-sheet-note :text('Seed 0')")
        page.wait_for_function("said => document.querySelector('#lab-family-can').textContent.includes(said)", arg=said)
    assert page.evaluate("getComputedStyle(document.querySelector('#lab-sheet img')).imageRendering") == "pixelated"
    held = changed(page, "#lab-hand", lambda: page.click("#lab-sheet [data-index='5']"))
    assert "Sample 6 of the Score-based model, seed 0" in held
    page.wait_for_selector("#lab-sheet [data-index='5'][aria-pressed=true]")
    page.focus("#lab-sheet [data-index='2']")
    assert "Sample 3" in changed(page, "#lab-hand", lambda: page.keyboard.press("Enter"))
    page.click("#lab-again")
    page.wait_for_function("!document.querySelector('#lab-sheet-note').textContent.includes('Seed 0')")


def test_a_long_job_is_stopped(page: Page) -> None:
    page.locator("#lab-count input[type=number]").fill("64")
    page.locator("#lab-count input[type=number]").blur()
    choose(page, "autoregressive")
    page.wait_for_selector("#lab-sheet-note :text('Pixel after pixel')")  # not the bar: that may be the former job's
    page.click("#lab-halt")
    page.wait_for_selector("#lab-sheet-note :text('Stopped.')")
    page.wait_for_selector(".at-bar[role=progressbar]", state="detached")


def test_a_garment_is_drawn_and_its_percentile_read(page: Page) -> None:
    section(page, "A picture")
    page.wait_for_selector("#lab-copies .tile:nth-child(7)")
    assert page.locator("#lab-likely tbody tr").count() == 6 and page.locator("#lab-scores [data-index]").count() == 11
    box = page.locator("#lab-garment .pad-canvas").bounding_box()
    before = page.inner_text("#lab-likely")
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_selector("#lab-hand :text('Your drawing')")
    cells = page.wait_for_function(
        "old => { const now = document.querySelector('#lab-likely'), row = now.querySelector('tr.chosen:last-child');"
        " return now.innerText !== old && now.querySelectorAll('tbody tr').length === 6 && row"
        " && [...row.cells].map((cell) => cell.innerText); }", arg=before,
    ).json_value()  # fmt: skip
    assert cells[0] == "Score-based" and float(cells[1]) and 0 <= int(cells[3]) <= 100
    page.wait_for_selector("#lab-likely :text('gives no density')")
    page.wait_for_selector("#lab-likely-plot :text('A typical digit')")
    changed(page, "#lab-score-plot", lambda: page.click("#lab-scores [data-index='2']"))
    choose(page, "gan")
    page.wait_for_function("document.querySelector('#lab-likely-plot').textContent.includes('gives no density')")


def test_latents_follow_the_sliders(page: Page) -> None:
    choose(page, "flow")
    section(page, "Latent space")
    page.wait_for_selector("#lab-sum .tile:nth-child(4)")

    def slide() -> None:
        field = page.locator("#lab-direction-1 input[type=number]")
        field.fill("3")
        field.blur()

    changed(page, "#lab-walk", slide)
    page.wait_for_selector("#lab-walk-note :text('1 by +3.0')")
    changed(page, "#lab-walk", lambda: page.click("#lab-home"))
    changed(page, "#lab-shelf", lambda: page.get_by_role("button", name="Use as A").click())
    choose(page, "gan")
    page.wait_for_selector("#lab-walk :text('Choose VAE, Normalizing flow or Score-based')")


def test_a_half_erased_picture_is_completed(page: Page) -> None:
    choose(page, "vae")
    section(page, "Complete")
    page.wait_for_selector("#lab-completed :text('By Gibbs')")
    page.wait_for_function("document.querySelector('#lab-hole .pad-onion')?.src?.startsWith('data:')")
    page.locator("#lab-region").get_by_label("Right half").check()
    changed(page, "#lab-completed", lambda: page.click("#lab-complete"))
    page.wait_for_selector("#lab-completed :text('Seed 0')")
    box = page.locator("#lab-hole .pad-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"], steps=6)
    page.mouse.up()
    page.wait_for_function("document.querySelector('#lab-region input:checked').value === 'What I brush over'")
    page.click("#lab-complete-all")
    page.wait_for_function("document.querySelectorAll('#lab-completed .tile').length === 8")
    page.wait_for_selector("#lab-completed :text('Seed 0')")
    assert page.locator("#lab-completed .none").count() == 2


def test_the_tree_opens_a_family_in_the_gallery(page: Page) -> None:
    section(page, "Compare")
    page.wait_for_selector("#lab-able tbody tr:nth-child(6)")
    page.focus("#lab-tree [data-index='2']")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#lab-family input:checked')?.value === 'flow'")
    page.wait_for_selector("#lab-sheet", state="visible")


def test_measures_react_and_cards_open(page: Page) -> None:
    section(page, "Compare")
    page.wait_for_selector("#lab-spoil-table tbody tr")
    field = page.locator("#lab-spoil-noise input[type=number]")

    def spoil() -> None:
        field.fill("50")
        field.blur()

    changed(page, "#lab-spoil-table", spoil)
    fid = page.locator("#lab-spoil-table tbody tr.chosen").first.locator("td").all_inner_texts()
    assert fid[0] == "FID" and float(fid[2]) > float(fid[1])
    page.get_by_role("button", name="Two-sample test").click()
    page.wait_for_selector("text=Copies pass every such test")


def test_both_classifiers_follow_the_sliders(page: Page) -> None:
    section(page, "Classify")
    page.wait_for_selector("#lab-generative .chances")
    page.locator("#lab-inverted").get_by_role("checkbox").check()
    changed(page, "#lab-generative", lambda: page.locator("#lab-angle input[type=range]").press("ArrowRight"))
    assert "bits per dimension (exact)" in page.inner_text("#lab-classify-note")


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_every_section_fits_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    for name, filled in SECTIONS.items():
        section(page, name)
        page.wait_for_selector(filled, state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    for name, filled in (("Compare", "#lab-able tbody tr"), ("Classify", "#lab-generative .chances")):
        section(page, name)
        page.wait_for_selector(filled, state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
