"""The Sketch tab in a real browser: the page that `python app.py` serves, with the shipped model behind it."""

from __future__ import annotations

import base64
import csv
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import app
from demos.sketch.model import Settings
from demos.sketch.tab import handlers
from demos.ui.events import JOBS

pytestmark = pytest.mark.browser
Page = Any
Visit = Callable[..., Page]
PATIENCE_S = 60
READY = "document.querySelector('#sketch-frame img')?.offsetWidth"
SAME = 3.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    page = app.build()
    _, url, _ = app.serve(page, **vars(app.parse(["--host", "127.0.0.1"])), prevent_thread_lock=True, quiet=True)
    handlers.example_pictures()
    yield url
    page.close()


def at(page: Page, x: float, y: float, pad: str = "sketch-pad") -> tuple[float, float]:
    box = page.locator(f"#{pad} .pad-canvas").bounding_box()
    return box["x"] + x * box["width"] / 512, box["y"] + y * box["height"] / 512


def draw(page: Page, *points: tuple[float, float], pad: str = "sketch-pad") -> None:
    """One stroke with the mouse."""
    page.locator(f"#{pad} .pad-canvas").scroll_into_view_if_needed()
    page.mouse.move(*at(page, *points[0], pad))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point, pad), steps=4)
    page.mouse.up()


def scribble(page: Page, pad: str = "sketch-pad", top: float = 150, bottom: float = 360) -> None:
    """A broad zigzag, which changes any picture."""
    draw(page, *[(130 + 250 * (i % 2), top + (bottom - top) * i / 7) for i in range(8)], pad=pad)


def press(page: Page, action: str) -> None:
    page.click(f"#sketch-pad [data-act={action}]")


def text_of(page: Page) -> str:
    """The drawing on the page, as JSON."""
    return page.evaluate("window.atelierSketchpads['sketch-pad'].text()")


def strokes(page: Page) -> list[dict[str, Any]]:
    return json.loads(text_of(page) or '{"strokes": []}')["strokes"]


def words_of(page: Page) -> list[str]:
    return page.locator("#sketch-words .token span").all_inner_texts()


def decoded(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGBA")


def framed(page: Page) -> Image.Image | None:
    """The picture in the big frame."""
    source = page.evaluate("document.querySelector('#sketch-frame img')?.src ?? ''")
    return decoded(source) if source else None


def pixels(picture: Image.Image) -> NDArray[np.float64]:
    """The picture on white paper at 128 px."""
    paper = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return np.asarray(paper.resize((128, 128), Image.Resampling.BOX), float)


def apart(a: Image.Image | None, b: Image.Image | None) -> float:
    """Mean absolute difference, 0 to 255."""
    return 255.0 if a is None or b is None else float(np.abs(pixels(a) - pixels(b)).mean())


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that only Python can see."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)


def expected(page: Page, seed: int, steps: int = 8, style: str = "fluent_3d") -> Image.Image:
    """What the model makes of what the page shows now."""
    settings = Settings(" ".join(words_of(page)), style, steps, seed=seed)
    return handlers.model().draw(text_of(page), settings).pictures[0]


def shows(page: Page, picture: Image.Image) -> None:
    until(lambda: apart(framed(page), picture) < SAME, "the picture that belongs to the drawing")


def follows(page: Page, **settings: Any) -> Image.Image:
    """Wait until the frame shows the finished picture of the drawing on the page; returns it."""
    picture = expected(page, **{"seed": seed_of(page), **settings})
    shows(page, picture)
    return picture


def seed_of(page: Page) -> int:
    return int(page.get_by_label("Seed", exact=True).input_value())


def set_number(page: Page, label: str, value: float) -> None:
    box = page.get_by_label(label).first
    box.fill(str(value))
    box.press("Tab")


def forget_words(page: Page) -> None:
    while words_of(page):
        left = len(words_of(page)) - 1
        page.locator("#sketch-words .token-remove").first.click()
        until(lambda left=left: len(words_of(page)) <= left, "a word to be removed")


def say(page: Page, *words: str) -> None:
    """Type words into the box."""
    for word in words:
        box = page.locator("#sketch-words input")
        box.click()
        box.fill(word)
        box.press("Enter")
        until(lambda word=word: word in words_of(page), f"the word {word}")
    page.keyboard.press("Escape")


def open_part(page: Page, title: str) -> None:
    page.locator("button.label-wrap").filter(has_text=title).click()
    page.wait_for_timeout(300)  # what it holds is mounted now, and filled with its first values later


def downloaded(page: Page, button: str, folder: Path) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target.read_bytes()


def thumbnails(page: Page, gallery: str = "#sketch-gallery") -> int:
    return page.locator(f"{gallery} .grid-container img").count()


def refined(page: Page, count: int = 2, steps: int = 4) -> None:
    set_number(page, "number input for Pictures", count)
    set_number(page, "number input for Steps", steps)
    page.click("#sketch-refine")
    until(lambda: thumbnails(page) == count, "the variations")
    page.wait_for_function("document.querySelector('#sketch-frame img')?.naturalWidth === 512")


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
    page.wait_for_function(f"{side} === 256")
    page.wait_for_timeout(2000)
    assert page.evaluate(side) == 256 and "· 2 steps" in page.inner_text("#sketch-note")
    shows(page, expected(page, seed_of(page), steps=2))
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

    monkeypatch.setattr(sampler, "latents", slowly)
    scribble(page)
    until(lambda: bool(since()), "the finishing to begin")
    scribble(page, top=250)
    until(lambda: handlers.LIVE_STEPS in since(), "a newer draft")
    assert since().index(handlers.LIVE_STEPS) < handlers.FINISHED_STEPS
    monkeypatch.undo()
    follows(page)


def test_a_finger_draws(visit: Visit) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2)
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


def test_another_seed_gives_another_picture(page: Page) -> None:
    before = follows(page)
    set_number(page, "Seed", 12345)
    assert seed_of(page) == 12345
    assert apart(follows(page), before) > 1
    page.click(".at-dice")
    until(lambda: seed_of(page) != 12345, "a fresh seed")
    follows(page)


def test_the_same_seed_twice_gives_the_same_file(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    follows(page)
    live = downloaded(page, "#sketch-png", tmp_path)
    refined(page)
    large = downloaded(page, "#sketch-png", tmp_path)
    other = visit()
    follows(other)
    assert downloaded(other, "#sketch-png", tmp_path) == live
    refined(other)
    assert downloaded(other, "#sketch-png", tmp_path) == large != live
    for data in (live, large):
        picture = Image.open(io.BytesIO(data))
        assert picture.format == "PNG" and picture.mode == "RGBA" and picture.size == (512, 512)
        alpha = np.asarray(picture)[..., 3]
        assert max(alpha[0, 0], alpha[0, -1], alpha[-1, 0], alpha[-1, -1]) < 25 and alpha[256, 256] > 200


def test_refine_fills_the_gallery_and_any_variation_can_be_chosen(page: Page, tmp_path: Path) -> None:
    follows(page)
    seed = seed_of(page)
    refined(page, count=3)
    assert f"seed {seed} · 4 steps" in page.inner_text("#sketch-note")
    shows(page, expected(page, seed, steps=4))
    page.locator("#sketch-gallery .grid-container button").nth(1).click()
    page.wait_for_function(f"document.querySelector('#sketch-note').innerText.includes('seed {seed + 1}')")
    shows(page, expected(page, seed + 1, steps=4))
    data = downloaded(page, "#sketch-zip", tmp_path)
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
    until(lambda: "Step 3" in page.inner_text(".at-progress >> nth=0"), "the third step")
    assert len(JOBS) == 1
    page.click("#sketch-stop")
    until(lambda: len(JOBS) == 0, "the end of the job")
    until(lambda: page.locator(".at-progress [role=progressbar]").count() == 0, "the end of the bar")
    assert thumbnails(page) == 0
    scribble(page)
    follows(page)
    refined(page)


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


def test_a_data_set_is_a_zip_of_labelled_pictures(page: Page, tmp_path: Path) -> None:
    follows(page)
    open_part(page, "Make a data set")
    page.locator("label").filter(has_text="Written into labels.csv").locator("input, textarea").fill('my "cat", 2')
    page.get_by_label("number input for Pictures").last.fill("8")
    page.get_by_label("number input for Pictures").last.press("Tab")
    page.click("#sketch-data")
    page.wait_for_selector("#sketch-made a[href]")
    data = downloaded(page, "#sketch-made a[href]", tmp_path)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        header, *rows = archive.read("labels.csv").decode().splitlines()
        files = [row.split(",")[0] for row in rows]
        pictures = [Image.open(io.BytesIO(archive.read(name))) for name in files]
        assert set(archive.namelist()) == {"labels.csv", *files}
    assert header.startswith("file,label") and len(rows) == 8
    assert {picture.mode for picture in pictures} == {"RGBA"}
    assert len({picture.tobytes() for picture in pictures}) == 8
    assert {row[1] for row in csv.reader(rows)} == {'my "cat", 2'}


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
