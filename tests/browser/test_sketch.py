"""Drawing in the Sketch tab in a real browser, with the shipped model behind it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from demos.sketch.tab import handlers
from tests.browser.sketch_page import PATIENCE_S as PATIENCE_S
from tests.browser.sketch_page import READY as READY
from tests.browser.sketch_page import (
    SAME,
    Page,
    Visit,
    apart,
    at,
    draw,
    follows,
    forget_words,
    framed,
    open_part,
    pixels,
    press,
    refined,
    say,
    scribble,
    seed_of,
    shows,
    strokes,
    text_of,
    thumbnails,
    until,
    words_of,
)
from tests.browser.sketch_page import address as address

pytestmark = pytest.mark.browser


def test_the_page_begins_with_an_example_and_its_picture(page: Page) -> None:
    first = next(item for item in handlers.examples() if item["title"] == "cat")
    assert len(strokes(page)) == len(first["strokes"]) and words_of(page) == first["prompt"].split()
    assert seed_of(page) == first["seed"]
    follows(page)
    assert f"seed {first['seed']} · 8 steps" in page.inner_text("#sketch-note")
    until(lambda: thumbnails(page, "#sketch-examples") == len(handlers.examples()), "the examples")
    left, right = (page.locator(box).bounding_box() for box in ("#sketch-pad .pad-paper", "#sketch-frame"))
    assert left["width"] == pytest.approx(right["width"], rel=0.1) and left["x"] < right["x"]


def test_strokes_undo_and_redo_change_the_picture(page: Page) -> None:
    before = follows(page)
    count = len(strokes(page))
    scribble(page)
    assert len(strokes(page)) == count + 1
    after = follows(page)
    assert apart(before, after) > 3 * SAME
    press(page, "undo")
    assert len(strokes(page)) == count
    shows(page, before)
    press(page, "redo")
    shows(page, after)
    press(page, "clear")
    forget_words(page)
    page.wait_for_selector("#sketch-frame .at-empty")
    assert framed(page) is None
    press(page, "undo")
    assert apart(follows(page), None) == 255 and len(strokes(page)) == count + 1


def test_a_draft_follows_the_hand_and_is_finished_when_it_rests(page: Page) -> None:
    follows(page)
    page.locator("#sketch-pad .pad-canvas").scroll_into_view_if_needed()
    page.mouse.move(*at(page, 120, 150))
    page.mouse.down()
    page.mouse.move(*at(page, 390, 330), steps=6)
    side = "document.querySelector('#sketch-frame img').naturalWidth"
    page.wait_for_function(f"{side} === 128")
    page.wait_for_timeout(2000)
    assert page.evaluate(side) == 128 and "· 2 steps" in page.inner_text("#sketch-note")
    follows(page, steps=2, quick=True)
    page.mouse.up()
    page.wait_for_function(f"{side} === 512")
    follows(page)
    assert "· 8 steps" in page.inner_text("#sketch-note")


def test_a_newer_draft_ends_the_finishing_of_an_older_one(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    follows(page)
    taken: list[int] = []
    sampler = handlers.model().sampler
    plain = sampler.latents

    def slowly(*args: Any, on_step: Any, **settings: Any) -> Any:
        def noted(i: int, n: int, x: Any) -> None:
            taken.append(n)
            time.sleep(0.3 if n == handlers.FINISHED_STEPS else 0)
            on_step(i, n, x)

        return plain(*args, on_step=noted, **settings)

    def since() -> list[int]:
        return taken[taken.index(handlers.FINISHED_STEPS) :] if handlers.FINISHED_STEPS in taken else []

    handlers.recent.clear()
    monkeypatch.setattr(sampler, "latents", slowly)
    scribble(page)
    until(lambda: bool(since()), "the finishing to begin")
    scribble(page, top=250)
    until(lambda: handlers.LIVE_STEPS in since(), "a newer draft")
    assert since().index(handlers.LIVE_STEPS) < handlers.FINISHED_STEPS
    monkeypatch.undo()
    follows(page)


def test_a_finished_picture_is_not_computed_again(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers.recent.clear()
    page = visit()
    first = follows(page)
    until(lambda: len(handlers.recent) == 1, "the first finished picture")
    scribble(page)
    second = follows(page)
    until(lambda: len(handlers.recent) == 2, "the second one")
    monkeypatch.delattr(handlers.model(), "sampler")
    other = visit()
    shows(other, first)
    press(page, "undo")
    shows(page, first)
    press(page, "redo")
    shows(page, second)
    assert all("· 8 steps" in visitor.inner_text("#sketch-note") for visitor in (page, other))


def test_a_finger_draws(visit: Visit) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2)
    swatch = page.locator("#sketch-pad .pad-colours button").first.bounding_box()
    assert swatch["width"] == pytest.approx(swatch["height"]) and swatch["width"] >= 24
    before = follows(page)
    count = len(strokes(page))
    touch = page.context.new_cdp_session(page)
    page.locator("#sketch-pad .pad-canvas").scroll_into_view_if_needed()
    path = [at(page, 90 + 330 * (i % 2), 80 + 45 * i) for i in range(8)]
    for i, (x, y) in enumerate(path):
        kind = "touchMove" if i else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    until(lambda: len(strokes(page)) == count + 1, "the stroke")
    assert apart(follows(page), before) > 3 * SAME


def test_colour_strokes_pull_the_colour(page: Page) -> None:
    forget_words(page)
    press(page, "clear")
    draw(page, (256, 90), (400, 160), (420, 300), (256, 430), (90, 300), (110, 160), (256, 90))
    plain = follows(page)
    found = []
    for colour in ("#e5484d", "#3e7bf0"):
        page.click(f"#sketch-pad [data-colour='{colour}']")
        scribble(page)
        found.append(pixels(follows(page))[40:90, 40:90].mean((0, 1)))
        press(page, "undo")
        shows(page, plain)
    red, blue = found
    assert red[0] - red[2] > blue[0] - blue[2] + 40


def test_words_and_styles_change_the_result(page: Page) -> None:
    cat = follows(page)
    forget_words(page)
    say(page, "red", "qwxyz")
    red = follows(page)
    assert apart(cat, red) > SAME
    page.wait_for_function("document.querySelector('#sketch-note').innerText.includes('ignored: qwxyz')")
    page.click("#sketch-style label:has-text('Ink')")
    assert apart(follows(page, style="fluent_high_contrast"), red) > SAME


def test_two_visitors_do_not_see_each_other_s_work(visit: Visit) -> None:
    ann, bob = visit(), visit()
    start = follows(ann)
    scribble(ann)
    press(bob, "clear")
    forget_words(bob)
    say(bob, "blue")
    mine, yours = follows(ann), follows(bob)
    assert apart(mine, yours) > 3 * SAME and apart(mine, start) > 3 * SAME
    assert strokes(bob) == [] and len(strokes(ann)) > 1
    refined(bob)
    assert thumbnails(ann) == 0 and apart(framed(ann), mine) < SAME
    assert "blue" not in words_of(ann)


def test_reloading_restores_the_drawing(page: Page) -> None:
    follows(page)
    scribble(page)
    before = strokes(page)
    follows(page)
    page.wait_for_function("text => localStorage.getItem('atelier.sketchpad.sketch-pad') === text", arg=text_of(page))
    page.reload()
    page.wait_for_selector("#sketch-frame img")
    until(lambda: strokes(page) == before, "the drawing")
    follows(page)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_needs_no_scrolling_sideways_in_either_theme(visit: Visit, scheme: str) -> None:
    page = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for title in ("More control", "Repaint a part", "Between two seeds", "Make a data set"):
        open_part(page, title)
    page.wait_for_selector("#sketch-mask .pad-canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        """() => [...document.querySelectorAll('button, input, canvas, img, fieldset')]
            .filter(e => e.checkVisibility() && !e.closest('.grid-wrap, [aria-hidden=true]'))
            .map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && (box.right > 391 || box.left < -1)).map(([text]) => text)"""
    )
    assert wide == []
    assert page.inner_text("footer[aria-label]").split() == ["Settings"]
    heights = page.evaluate(
        "[...document.querySelector('#sketch-refine').parentElement.children].map(e => e.offsetHeight)"
    )
    assert len(heights) == 3 and len({*heights}) == 1
    luminance = page.evaluate(
        """() => ['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name].match(/[\\d.]+/g)
            .slice(0, 3).reduce((sum, c) => sum + +c / 3, 0))"""
    )
    ground, ink = luminance
    assert (ground < 60 and ink > 180) if scheme == "dark" else (ground > 220 and ink < 90)


def test_an_example_can_be_chosen(page: Page) -> None:
    titles = [item["title"] for item in handlers.examples()]
    item = handlers.examples()[titles.index("rocket")]
    until(lambda: thumbnails(page, "#sketch-examples") == len(titles), "the examples")
    page.locator("#sketch-examples .grid-container button").nth(titles.index("rocket")).click()
    until(lambda: words_of(page) == item["prompt"].split(), "the words of the example")
    until(lambda: len(strokes(page)) == len(item["strokes"]), "the drawing of the example")
    until(lambda: seed_of(page) == item["seed"], "the seed of the example")
    follows(page, style=item["style"])


def test_nothing_to_refine_is_said_in_a_sentence(page: Page) -> None:
    forget_words(page)
    press(page, "clear")
    page.wait_for_selector("#sketch-frame .at-empty")
    page.click("#sketch-refine")
    page.wait_for_selector("text=Draw something, or name it in words")
    scribble(page)
    follows(page)
    page.click("#sketch-png")
    page.wait_for_function("document.querySelector('#sketch-frame img')")
