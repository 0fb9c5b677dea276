"""The Lab tab's sections on classifiers in a real browser: the visitor's own training, and the measured charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demos.lab import tab
from demos.lab.garments import augment as trials
from demos.lab.model import Garments
from demos.lab.tab import augment, garments
from tests.browser.test_lab_gallery import section
from tests.conftest import serving
from tests.lab.tiny_garments import tiny_garments

pytestmark = pytest.mark.browser
Page = Any
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Garments, "load", lambda *_: tiny_garments())
        patch.delenv("ATELIER_DATA", raising=False)
        patch.setattr(trials, "steps_for", lambda n: 60)
        garments.model.cache_clear()
        augment.experiment.cache_clear()
        with serving(tab) as url:
            yield url
    garments.model.cache_clear()
    augment.experiment.cache_clear()


@pytest.fixture
def visit(open_page: Visit, address: str) -> Visit:
    """Open the section as a new visitor; the measured chart comes by itself."""

    def opened(query: str = "", **options: Any) -> Page:
        page = open_page(address + query, 60, **options)
        section(page, "Gallery")
        section(page, "Augment")
        page.wait_for_selector("#lab-augment-measured svg.at-plot")
        return page

    return opened


def test_two_classifiers_are_trained_and_the_seed_repeats_them(page: Page) -> None:
    page.wait_for_selector("#lab-nature :text('No real picture is shipped')")
    ends = []
    for _ in range(2):
        page.click("#lab-augment-train")
        page.wait_for_function("!document.querySelector('#lab-augment-note').textContent.includes('Tested on')")
        page.wait_for_selector("#lab-augment-note :text('Tested on 400')")
        ends.append(page.inner_text("#lab-augment-note").split(" · ")[0])
    assert ends[0] == ends[1] and "Seed 0" in ends[0] and "With 50 real pictures" in ends[0]
    assert page.locator("#lab-augment-plot .at-plot path.line-1").count() == 1
    assert page.locator("#lab-augment-pictures img").count() == 2


def test_a_training_is_stopped(page: Page) -> None:
    page.locator("#lab-augment-family").get_by_label("VAE", exact=True).check()
    page.click("#lab-augment-train")
    page.wait_for_selector(".at-bar[role=progressbar]")
    page.click("#lab-augment-halt")
    page.wait_for_selector("#lab-augment-note :text('Stopped.')")
    page.wait_for_selector(".at-bar[role=progressbar]", state="detached")


def test_what_cannot_be_is_refused_in_a_sentence(page: Page) -> None:
    field = page.locator("#lab-augment-seed input")
    field.fill("99999999999")
    field.blur()
    page.click("#lab-augment-train")
    page.wait_for_selector("text=“seed” must be a whole number from 0 to 4,294,967,295.")


def test_classifiers_are_compared_by_measured_charts(page: Page) -> None:
    section(page, "Classify")
    for place, charts in (("by-labels", 1), ("when-spoilt", 2), ("on-digits", 4)):
        page.wait_for_selector(f"#lab-{place} svg.at-plot")
        assert page.locator(f"#lab-{place} svg.at-plot").count() == charts
    assert "of the digits" in page.inner_text("#lab-on-digits-note")


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_both_sections_fit_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    colours = [
        page.evaluate(f"getComputedStyle(document.querySelector('#lab-augment-measured path.line-{i}')).stroke")
        for i in range(5)
    ]
    assert len(set(colours)) == 5
    section(page, "Classify")
    page.wait_for_selector("#lab-on-digits svg.at-plot")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
