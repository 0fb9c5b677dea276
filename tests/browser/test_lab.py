"""The Lab tab in a real browser: draw a distribution, train, pause, step, restart, leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demos.lab import tab
from demos.lab.tab import handlers
from demos.lab.tab.stage import FAMILIES
from tests.conftest import serving

pytestmark = pytest.mark.browser
Page = Any
Visit = Callable[..., Page]
STATE = "window.atelierLab['lab-stage'].state"
MOST = f"Math.max(...Object.values({STATE}.families).map((family) => family.steps))"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(tab) as url:
        yield url


@pytest.fixture
def visit(open_page: Visit, address: str) -> Visit:
    """Open the page as a new visitor; the first training begins by itself."""

    def opened(query: str = "", **options: Any) -> Page:
        page = open_page(address + query, 90, **options)
        page.wait_for_function(f"window.atelierLab?.['lab-stage'] && {STATE}.session")
        return page

    return opened


def told(page: Page, state: str) -> None:
    page.wait_for_function(f"state => {STATE}.state === state && {STATE}.complete", arg=state)


def steps(page: Page) -> int:
    return page.evaluate(MOST)


def families(page: Page, *names: str) -> None:
    """Tick these families and no others."""
    for box in page.locator("#lab-families input").all():
        if (box.get_attribute("name") in names) != box.is_checked():
            page.evaluate("document.activeElement?.blur()")
            box.click()


def idle() -> None:
    """Wait until nobody trains on the server."""
    until = time.monotonic() + 60
    while len(handlers.trainer()):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_it_trains_at_once_and_can_be_paused_stepped_and_restarted(page: Page) -> None:
    page.wait_for_function(f"{MOST} > 5")
    assert page.locator(".lab-panel:visible").count() == 6
    page.click("#lab-pause")
    told(page, "paused")
    idle()
    before = page.evaluate(f"Object.values({STATE}.families).map((family) => family.steps)")
    page.click("#lab-step")
    page.wait_for_function(f"before => {MOST} === Math.max(...before) + 1", arg=before)
    after = page.evaluate(f"Object.values({STATE}.families).map((family) => family.steps)")
    assert after == [n + 1 for n in before]
    session = page.evaluate(f"{STATE}.session")
    page.click("#lab-train")
    page.wait_for_function(f"most => {MOST} > most + 5", arg=max(after))
    assert page.evaluate(f"{STATE}.session") == session
    page.click("#lab-restart")
    page.wait_for_function(f"old => {STATE}.session !== old", arg=session)
    page.wait_for_function(f"{MOST} > 3")


def test_panels_are_painted_and_can_be_looked_into(page: Page) -> None:
    page.wait_for_function(f"Object.values({STATE}.families).every((family) => family.inside)")
    ink = """() => [...document.querySelectorAll('.lab-plot canvas')].map((canvas) => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let sum = 0; for (let i = 3; i < data.length; i += 4) sum += data[i] > 0; return sum; })"""
    page.wait_for_function(f"({ink})().every((painted) => painted > 500)")
    samples = page.evaluate(ink)
    page.click("[data-view=inside]")
    page.wait_for_function("document.querySelector('[data-family=vae] .lab-told').textContent.includes('latent')")
    inside = page.evaluate(ink)
    assert all(painted > 500 for painted in inside) and inside != samples
    page.locator("[data-family=flow] .lab-plot").click()
    page.wait_for_function("document.querySelector('[data-family=flow] .lab-told').textContent.startsWith('Samples')")
    page.click(".lab-wide")
    page.wait_for_function("document.fullscreenElement?.className === 'lab'")
    page.wait_for_timeout(1000)
    assert page.evaluate(f"{STATE}.state") == "training"
    page.evaluate("document.exitFullscreen()")
    assert "no density" in page.inner_text(".lab-table")
    assert "The true −log p(x)" in page.inner_text(".lab-note")


def test_a_drawing_is_learnt_and_a_dot_is_refused(page: Page) -> None:
    families(page, "autoregressive", "flow")
    page.wait_for_function("document.querySelectorAll('.lab-panel:not([hidden])').length === 2")
    page.get_by_text("Draw your own distribution").click()
    page.wait_for_selector("#lab-pad .pad-canvas")
    page.click("#lab-learn")
    page.wait_for_selector("text=Draw some more")
    assert page.input_value("#lab-distribution input") == "Moons"
    box = page.locator("#lab-pad .pad-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=15)
    page.mouse.up()
    page.click("#lab-learn")
    page.wait_for_function(f"{STATE}.opening.title === 'Your drawing'")
    page.wait_for_function(f"{MOST} > 5")


def test_a_file_of_points_is_learnt_and_nonsense_refused(page: Page) -> None:
    families(page, "vae")
    page.get_by_text("Draw your own distribution").click()
    field = page.locator("#lab-upload").locator("xpath=..").locator("input[type=file]").first
    for content, sentence in ((b"1,2\n", "From 20"), (b"1,2\n" * 60, "one place"), (b"1,2\nnan,x\n", "Line 2")):
        field.set_input_files({"name": "points.csv", "mimeType": "text/csv", "buffer": content})
        page.wait_for_selector(f"text={sentence}")
    rows = "\n".join(f"{i % 7},{i % 11}" for i in range(300)).encode()
    field.set_input_files({"name": "points.csv", "mimeType": "text/csv", "buffer": rows})
    page.wait_for_function(f"{STATE}.opening.title === 'Your points'")
    assert "unknown" in page.inner_text(".lab-note")


def test_a_preset_breaks_it(page: Page) -> None:
    page.click("#lab-break input")
    page.get_by_role("option", name="Posterior collapse").click()
    page.wait_for_function(f"Object.keys({STATE}.opening.families).join() === 'vae,flow'")
    assert "KL term" in page.inner_text("#lab-told")
    page.wait_for_function(f"{MOST} > 5")


def test_leaving_the_page_ends_the_training_on_the_server(visit: Visit) -> None:
    page = visit()
    page.wait_for_function(f"{MOST} > 1")
    assert len(handlers.trainer()) >= 1
    page.close()
    idle()


def test_every_learn_page_opens_with_its_mathematics_and_its_source(page: Page) -> None:
    page.get_by_role("tab", name="Learn").click()
    for name, (title, _) in FAMILIES.items():
        page.get_by_role("tab", name=title, exact=True).click()
        page.wait_for_selector(f"#lab-learn-{name} .katex")
        assert "Papers" in page.inner_text(f"#lab-learn-{name}")
        page.wait_for_selector(f"text=families/{name}.py")
        assert not page.locator(f"#lab-learn-{name} .katex-error").count()
    told(page, "paused")


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_it_fits_a_phone(visit: Visit, query: str) -> None:
    page = visit(query, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.wait_for_function(f"{MOST} > 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [panel.bounding_box() for panel in page.locator(".lab-panel").all()]
    assert len({round(box["x"]) for box in boxes}) == 1
    assert page.evaluate("[...document.querySelectorAll('.lab-plot canvas')].every((c) => c.width === c.height)")
