"""The sketchpad in a real browser, on a page that holds nothing else."""

from __future__ import annotations

import base64
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demos.core.strokes import Drawing, Stroke, rasterise, render
from demos.ui.sketchpad import live, sketchpad
from tests.browser.conftest import CLOSED_LATE, handled, served, settled

EXAMPLE = json.dumps({"strokes": [{"points": [[100, 100], [400, 400]]}, {"points": [[400, 100], [100, 400]]}]})
HOSTILE = '{"strokes": [{"colour": "<img src=x onerror=window.hurt=1>", "points": [[1, 1]]}]}'
BUSY_ONCE = """() => {
  const written = JSON.stringify;
  JSON.stringify = (...value) => {
    const until = performance.now() + (value[0]?.tool ? 800 : 0);
    if (value[0]?.tool) JSON.stringify = written;
    while (performance.now() < until);
    return written(...value);
  };
}"""
"""The page can do nothing for 0.8 seconds when it stores its next stroke."""
CALLS: dict[str, list[float]] = {"start": [], "end": []}
DELAYS_S: list[float] = []

Page = Any
pytestmark = pytest.mark.browser


def colourful() -> Drawing:
    """Pressure, colours, both layers, an eraser, dots and lines beyond the rim."""
    generator = np.random.default_rng(1)
    strokes = []
    for i in range(24):
        tool, width = (("pen", 7.0), ("brush", 40.0), ("pen", 12.0), ("eraser", 30.0))[i % 4]
        count = 1 if i == 8 else 30
        walk = generator.uniform(0, 512, 2) + np.cumsum(generator.normal(0, 14, (count, 2)), axis=0)
        pressure = 0.5 + 0.4 * np.sin(np.linspace(0, 9, count) + i)
        points = np.column_stack([walk, pressure]).astype(np.float32)
        colour = (0, 0, 0) if tool == "pen" else (60 * i % 256, 200 - 8 * i, 90)
        strokes.append(Stroke(points, width, colour, tool))
    return Drawing(tuple(strokes))


def received(text: str) -> tuple[str, Image.Image]:
    time.sleep(DELAYS_S.pop() if DELAYS_S else 0)
    return f"{len(Drawing.from_json(text).strokes)} strokes", render(Drawing.from_json(text), 64)


def slowly(text: str) -> str:
    CALLS["start"].append(time.monotonic())
    time.sleep(0.25)
    CALLS["end"].append(time.monotonic())
    return text


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with gr.Blocks() as page:
        with gr.Tab("First"):
            pad = sketchpad(result="#result img", max_width="514px")
            count = gr.Textbox(elem_id="count", interactive=True)
            image = gr.Image(elem_id="result")
            for name, text in {"example": EXAMPLE, "colourful": colourful().to_json(), "hostile": HOSTILE}.items():
                gr.Button(name, elem_id=name).click(lambda text=text: text, None, pad)
            broken = gr.Button("broken", elem_id="broken")
            broken.click(lambda: "no drawing", None, pad)
        with gr.Tab("Second"):
            other = sketchpad(elem_id="other", value=EXAMPLE)
            echo = gr.Textbox(elem_id="echo")
            rests = gr.Textbox("", elem_id="rests")
            other.rest(lambda before: before + "z", rests, rests)
        live(pad, received, pad, [count, image])
        with gr.Tab("Third"):
            hasty = sketchpad(elem_id="hasty", value=EXAMPLE, overtakes=True)
            last, rested = gr.Textbox(elem_id="last"), gr.Textbox(elem_id="rested")
            hasty.rest(lambda: "rested", None, rested)
        live(other, slowly, other, echo, concurrency_limit=4)
        live(hasty, slowly, hasty, last, overtaking="overtaking", concurrency_limit=4)
    yield from served(page, default_concurrency_limit=8)


@pytest.fixture
def visit(open_page: Callable[..., Page], address: str) -> Callable[..., Page]:
    """Open the page as a new visitor; the canvas has its size."""

    def opened(query: str = "", **options: Any) -> Page:
        page = open_page(address + query, 20, **{"viewport": {"width": 1100, "height": 1500}, **options})
        page.wait_for_selector("#sketchpad .pad-canvas")
        page.wait_for_function("document.querySelector('#sketchpad .pad-canvas').width > 300")
        settled(page)
        return page

    return opened


def at(page: Page, x: float, y: float, pad: str = "sketchpad") -> tuple[float, float]:
    box = page.locator(f"#{pad} .pad-canvas").bounding_box()
    return box["x"] + x * box["width"] / 512, box["y"] + y * box["height"] / 512


def draw(page: Page, *points: tuple[float, float], pad: str = "sketchpad", pause: float = 0) -> None:
    page.mouse.move(*at(page, *points[0], pad))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point, pad), steps=4)
        page.wait_for_timeout(pause) if pause else None
    page.mouse.up()
    handled(page)


def strokes(page: Page, pad: str = "sketchpad") -> list[dict[str, Any]]:
    script = "id => window.atelierSketchpads[id].state.strokes.map(s => JSON.parse(s.json))"
    return page.evaluate(script, pad)


def press(page: Page, action: str) -> None:
    page.click(f"#sketchpad [data-act={action}]")


def server_has(page: Page, count: int) -> None:
    page.wait_for_function(f"document.querySelector('#count textarea')?.value === '{count} strokes'")


def pixels(data: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"), float)


def canvas_pixels(page: Page) -> np.ndarray:
    handled(page)
    return pixels(page.evaluate("document.querySelector('#sketchpad .pad-canvas').toDataURL()"))


def assert_same_picture(shown: np.ndarray, drawing: Drawing) -> None:
    off = np.abs(shown - np.asarray(render(drawing, len(shown)), float))
    assert off.mean() < 1.5
    assert (off.max(axis=2) > 64).mean() < 0.005


def test_a_line_is_drawn_without_picking_a_tool(page: Page) -> None:
    draw(page, (100, 100), (250, 160), (400, 100))
    server_has(page, 1)
    (stroke,) = strokes(page)
    points = np.array(stroke["points"])
    assert stroke["tool"] == "pen" and stroke["colour"] == "#1b1b1f" and stroke["width"] == 8
    assert points[0, :2] == pytest.approx([100, 100], abs=1) and points[-1, :2] == pytest.approx([400, 100], abs=1)
    assert set(points[:, 2]) == {0.5} and (np.diff(points[:, 3]) >= 0).all()
    assert canvas_pixels(page)[100, 100].mean() < 60


def test_strokes_arrive_though_the_page_s_stream_of_replies_is_closed_under_them(visit: Callable[..., Page]) -> None:
    page = visit(script=CLOSED_LATE)
    for i in range(3):
        draw(page, *((60 + 30 * j, 100 + 60 * i) for j in range(8)), pause=40)
        server_has(page, i + 1)


def test_what_is_drawn_during_a_slow_reply_arrives_though_the_stream_is_closed(visit: Callable[..., Page]) -> None:
    page = visit(script=CLOSED_LATE)
    DELAYS_S.append(5)
    for y in (100, 200):
        draw(page, (100, y), (400, y))
        page.wait_for_timeout(1500)
    server_has(page, 2)


def test_drawing_goes_on_after_a_request_that_never_arrived(page: Page) -> None:
    page.route("**/queue/join*", lambda route: route.abort())
    draw(page, (100, 100), (400, 100))
    page.wait_for_timeout(500)
    page.unroute("**/queue/join*")
    draw(page, (100, 200), (400, 200))
    server_has(page, 2)


def test_time_goes_forward_where_the_hand_waited(page: Page) -> None:
    page.mouse.move(*at(page, 60, 100))
    page.mouse.down()
    page.wait_for_timeout(600)
    page.mouse.move(*at(page, 400, 140), steps=12)
    page.mouse.up()
    handled(page)
    times = np.array(strokes(page)[0]["points"])[:, 3]
    assert times[0] == 0 and times[-1] >= 600 and (np.diff(times) >= 0).all()


def test_the_canvas_shows_what_python_renders(page: Page) -> None:
    page.click("#colourful")
    server_has(page, 24)
    draw(page, (60, 60), (200, 90), (260, 300), (80, 420), (60, 60))
    page.keyboard.press("c")
    draw(page, (300, 400), (460, 420))
    page.keyboard.press("e")
    draw(page, (200, 250), (350, 260))
    server_has(page, 27)
    drawing = Drawing.from_json(page.evaluate("window.atelierSketchpads.sketchpad.text()"))
    assert [s.tool for s in drawing.strokes[-3:]] == ["pen", "brush", "eraser"]
    shown = canvas_pixels(page)
    assert shown.shape == (512, 512, 3)
    assert_same_picture(shown, drawing)
    assert_same_picture(pixels(page.evaluate("window.atelierSketchpads.sketchpad.picture(512)")), drawing)
    with pytest.raises(AssertionError):
        assert_same_picture(shown, Drawing(drawing.strokes[:-3]))


def test_live_strokes_reach_the_server_before_the_pointer_is_up(page: Page) -> None:
    page.mouse.move(*at(page, 100, 200))
    page.mouse.down()
    page.mouse.move(*at(page, 300, 200), steps=10)
    server_has(page, 1)
    assert strokes(page) == []
    page.mouse.up()
    assert len(strokes(page)) == 1


def test_undo_redo_and_clear(page: Page) -> None:
    for y in (100, 200, 300):
        draw(page, (100, y), (400, y))
    server_has(page, 3)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    server_has(page, 1)
    page.keyboard.press("Control+y")
    page.keyboard.press("Control+Shift+z")
    server_has(page, 3)
    press(page, "clear")
    server_has(page, 0)
    assert canvas_pixels(page).min() == 255 and page.locator(".pad-paper.pad-marked").count() == 0
    press(page, "undo")
    press(page, "undo")
    server_has(page, 2)
    draw(page, (100, 400), (400, 400))
    server_has(page, 3)
    assert page.locator("#sketchpad [data-act=redo]").is_disabled()
    assert [round(s["points"][0][1], -2) for s in strokes(page)] == [100, 200, 400]


def test_tools_colours_and_keys(page: Page) -> None:
    page.click("#sketchpad [data-colour='#46a758']")
    assert page.locator("#sketchpad [data-tool=brush]").get_attribute("aria-pressed") == "true"
    draw(page, (100, 100), (200, 100))
    page.locator("#sketchpad .pad-picker input").fill("#123456")
    draw(page, (100, 200), (200, 200))
    page.keyboard.press("b")
    page.keyboard.press("]")
    draw(page, (100, 300), (200, 300))
    page.keyboard.press("[")
    page.keyboard.press("[")
    draw(page, (100, 400), (200, 400))
    found = [(s["tool"], s["colour"]) for s in strokes(page)]
    assert found == [("brush", "#46a758"), ("brush", "#123456"), ("pen", "#1b1b1f"), ("pen", "#1b1b1f")]
    widths = [s["width"] for s in strokes(page)]
    assert widths[0] == 36 and widths[2] > 8 > widths[3]


def test_keys_belong_to_a_text_box_while_one_writes(page: Page) -> None:
    draw(page, (100, 100), (200, 100))
    page.mouse.move(2, 2)
    page.fill("#count textarea", "")
    page.locator("#count textarea").press_sequentially("ce")
    page.keyboard.press("Control+z")
    assert page.locator("#sketchpad [data-tool=pen]").get_attribute("aria-pressed") == "true"
    assert len(strokes(page)) == 1


def test_erasers(page: Page) -> None:
    draw(page, (50, 100), (450, 100))
    draw(page, (50, 300), (450, 300))
    page.keyboard.press("e")
    draw(page, (250, 60), (250, 140))
    shown = canvas_pixels(page)
    assert shown[100, 250].min() == 255 and shown[100, 150].max() < 60
    page.keyboard.press("x")
    draw(page, (250, 250), (250, 350))
    server_has(page, 2)
    assert [s["tool"] for s in strokes(page)] == ["pen", "eraser"]
    page.keyboard.press("Control+z")
    assert [s["tool"] for s in strokes(page)] == ["pen", "pen", "eraser"]


def test_keyboard_alone_can_draw(page: Page) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('pad-canvas')"):
            break
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    (stroke,) = strokes(page)
    assert stroke["points"][0][:2] == [256, 256] and stroke["points"][-1][:2] == [416, 256]
    server_has(page, 1)


def test_everything_has_a_name(page: Page) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('#sketchpad button')].filter(b => !b.ariaLabel || !b.title)
            .map(b => b.outerHTML)"""
    )
    assert nameless == [] and page.locator("#sketchpad button").count() == 23
    canvas = page.locator("#sketchpad canvas")
    assert canvas.get_attribute("role") == "application" and "Draw here" in canvas.get_attribute("aria-label")
    assert page.locator("#sketchpad input").count() == page.locator("#sketchpad input[aria-label]").count() == 2


def test_touch_draws_and_does_not_scroll(visit: Callable[..., Page]) -> None:
    page = visit(viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True, device_scale_factor=2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    touch = page.context.new_cdp_session(page)
    path = [at(page, 256 + 150 * math.cos(a), 256 + 150 * math.sin(a)) for a in np.linspace(0, 5, 20)]
    for i, (x, y) in enumerate(path):
        kind = "touchMove" if i else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    server_has(page, 1)
    points = np.array(strokes(page)[0]["points"])
    assert np.hypot(points[:, 0] - 256, points[:, 1] - 256) == pytest.approx(150, abs=4)
    assert set(points[:, 2]) == {0.5} and page.evaluate("window.scrollY") == 0
    width = page.locator("#sketchpad canvas").bounding_box()["width"]
    assert page.evaluate("document.querySelector('#sketchpad canvas').width") == round(width * 2)


def test_a_pen_presses(page: Page) -> None:
    pen = page.context.new_cdp_session(page)
    x, y = at(page, 100, 250)
    for i in range(11):
        x, y = at(page, 100 + 30 * i, 250)
        kind = "mousePressed" if i == 0 else "mouseMoved"
        event = {"type": kind, "x": x, "y": y, "pointerType": "pen", "force": 0.1 + 0.08 * i}
        pen.send("Input.dispatchMouseEvent", {**event, "button": "left", "buttons": 1, "clickCount": 1})
    pen.send(
        "Input.dispatchMouseEvent",
        {"type": "mouseReleased", "x": x, "y": y, "pointerType": "pen", "button": "left", "clickCount": 1},
    )
    pressure = np.array(strokes(page)[0]["points"])[:, 2]
    assert pressure[0] < 0.2 and pressure[-1] > 0.8 and (np.diff(pressure) >= 0).all()
    ink, _ = rasterise(Drawing.from_json({"strokes": strokes(page)}), 512)
    assert ink[:, 390].sum() > 2 * ink[:, 110].sum()


def test_reload_restores_and_clearing_forgets(page: Page) -> None:
    draw(page, (100, 100), (400, 300))
    server_has(page, 1)
    page.wait_for_timeout(350)
    before = strokes(page)
    page.reload()
    server_has(page, 1)
    assert strokes(page) == before
    press(page, "clear")
    page.wait_for_timeout(350)
    page.reload()
    page.wait_for_selector("#sketchpad .pad-canvas")
    assert strokes(page) == []


@pytest.mark.parametrize("text", ["no json", '{"strokes": 5}', '{"strokes": [{"points": null}]}', "[" * 9999])
def test_a_broken_memory_is_ignored(page: Page, text: str) -> None:
    page.evaluate("text => localStorage.setItem('atelier.sketchpad.sketchpad', text)", text)
    page.evaluate("window.atelierSketchpads.sketchpad.leave = () => {}")
    page.reload()
    page.wait_for_selector("#sketchpad .pad-canvas")
    draw(page, (100, 100), (400, 300))
    server_has(page, 1)


def test_hiding_and_resizing_lose_nothing(page: Page) -> None:
    draw(page, (100, 100), (400, 300))
    page.get_by_role("tab", name="Second").click()
    page.wait_for_selector("#other .pad-canvas")
    page.set_viewport_size({"width": 420, "height": 800})
    page.get_by_role("tab", name="First").click()
    page.wait_for_function("document.querySelector('#sketchpad canvas').getBoundingClientRect().width < 420")
    page.wait_for_timeout(100)
    shown = canvas_pixels(page)
    drawing = Drawing.from_json({"strokes": strokes(page)})
    assert len(drawing.strokes) == 1 and 200 < len(shown) < 420
    assert_same_picture(shown, drawing)
    page.keyboard.press("Control+z")
    page.hover("#sketchpad canvas")
    page.keyboard.press("Control+z")
    assert strokes(page) == []


def test_downloads(page: Page, tmp_path: Path) -> None:
    page.click("#colourful")
    server_has(page, 24)
    drawing = colourful()
    for kind in ("svg", "png"):
        with page.expect_download() as download:
            press(page, kind)
        assert download.value.suggested_filename == f"sketch.{kind}"
        download.value.save_as(tmp_path / f"sketch.{kind}")
    image = Image.open(tmp_path / "sketch.png")
    assert image.size == (1024, 1024)
    assert_same_picture(np.asarray(image.convert("RGB"), float), drawing)
    again = Drawing.from_svg((tmp_path / "sketch.svg").read_text("utf-8"))
    off = np.abs(np.asarray(render(again, 256), float) - np.asarray(render(drawing, 256), float))
    assert off.mean() < 2 and next(s.tool for s in again.strokes) == "pen"


def test_a_value_from_python_is_one_step(page: Page) -> None:
    draw(page, (100, 100), (400, 300))
    server_has(page, 1)
    page.click("#example")
    server_has(page, 2)
    page.hover("#sketchpad canvas")
    page.keyboard.press("Control+z")
    server_has(page, 1)
    page.keyboard.press("Control+y")
    server_has(page, 2)
    page.click("#broken")
    page.wait_for_timeout(300)
    assert len(strokes(page)) == 2


def test_a_value_is_never_read_as_html(page: Page) -> None:
    page.click("#hostile")
    page.wait_for_function("window.atelierSketchpads.sketchpad.state.strokes.length === 1")
    assert strokes(page)[0]["colour"] == "#1b1b1f"
    assert page.evaluate("window.hurt") is None


def test_grid_and_onion(page: Page) -> None:
    press(page, "grid")
    assert page.locator("#sketchpad .pad-grid").is_visible()
    press(page, "onion")
    assert not page.locator("#sketchpad .pad-onion").is_visible()
    draw(page, (100, 100), (400, 300))
    page.wait_for_selector("#result img")
    page.wait_for_selector("#sketchpad .pad-onion", state="visible")
    same = "document.querySelector('.pad-onion').src === document.querySelector('#result img').src"
    page.wait_for_function(same)
    press(page, "onion")
    assert not page.locator("#sketchpad .pad-onion").is_visible()


def test_requests_never_pile_up(page: Page) -> None:
    for times in CALLS.values():
        times.clear()
    page.get_by_role("tab", name="Second").click()
    page.wait_for_selector("#other .pad-canvas")
    page.wait_for_function("document.querySelector('#echo textarea')?.value.includes('[400, 400]')")
    draw(page, *[(100 + 20 * i, 300 + 40 * (i % 2)) for i in range(12)], pad="other", pause=40)
    page.wait_for_function(
        """() => { const got = JSON.parse(document.querySelector('#echo textarea').value).strokes;
            const own = window.atelierSketchpads.other.state.strokes;
            return own.length === 3 && got.length === 3 && JSON.stringify(got[2]) === own[2].json }"""
    )
    starts, ends = sorted(CALLS["start"]), sorted(CALLS["end"])
    assert 3 <= len(starts) < 44
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False))


def test_a_point_that_comes_just_before_a_reply_is_sent_too(page: Page) -> None:
    page.get_by_role("tab", name="Second").click()
    page.wait_for_selector("#other .pad-canvas")
    page.mouse.move(*at(page, 100, 300, "other"))
    page.mouse.down()
    got = "JSON.parse(document.querySelector('#echo textarea').value || '{\"strokes\": []}').strokes"
    page.wait_for_function(f"{got}.length === 3 && {got}[2].points.length === 1")
    x, y = at(page, 300, 400, "other")
    page.evaluate(
        """([clientX, clientY]) => {
            const move = { pointerId: 1, bubbles: true, clientX, clientY, pointerType: 'mouse' };
            document.querySelector('#other .pad-canvas').dispatchEvent(new PointerEvent('pointermove', move));
            window.atelierSketchpads.other.acknowledge();
        }""",
        [x, y],
    )
    page.wait_for_function(f"{got}[2].points.length === 2")
    page.mouse.up()


def test_one_slow_moment_of_the_page_does_not_hold_the_line_back(page: Page) -> None:
    line = "JSON.parse(window.atelierSketchpads.sketchpad.text() || '{}').strokes?.at(-1).points"
    page.mouse.move(*at(page, 100, 100))
    page.mouse.down()
    page.wait_for_function(f"{line}?.length === 1")
    page.evaluate(BUSY_ONCE)
    page.mouse.move(*at(page, 200, 100))
    page.wait_for_function(f"{line}.at(-1)[0] > 190")
    page.mouse.move(*at(page, 300, 100))
    since = page.evaluate("performance.now()")
    page.wait_for_function(f"{line}.at(-1)[0] > 290")
    assert page.evaluate("performance.now()") - since < 2500
    page.mouse.up()


def test_it_says_when_the_hand_rests(page: Page) -> None:
    page.get_by_role("tab", name="Second").click()
    page.wait_for_selector("#other .pad-canvas")
    rests = "document.querySelector('#rests textarea').value.length"
    page.wait_for_function(f"{rests} === 1")
    page.mouse.move(*at(page, 100, 300, "other"))
    page.mouse.down()
    page.mouse.move(*at(page, 300, 400, "other"), steps=4)
    page.wait_for_timeout(1500)
    assert page.evaluate(rests) == 1
    page.mouse.up()
    page.wait_for_function(f"{rests} === 2")


def test_a_finished_change_overtakes_what_is_under_way_but_nothing_overtakes_that(page: Page) -> None:
    page.get_by_role("tab", name="Third").click()
    page.wait_for_selector("#hasty .pad-canvas")
    page.wait_for_function("document.querySelector('#rested textarea')?.value === 'rested'")
    for times in CALLS.values():
        times.clear()
    page.evaluate(
        """() => {
            const pad = window.atelierSketchpads.hasty, acknowledge = pad.acknowledge;
            const press = (act) => document.querySelector(`#hasty [data-act=${act}]`).click();
            const soon = (...acts) => setTimeout(() => acts.forEach(press), 100);
            window.replies = 0;
            pad.acknowledge = () => {
                acknowledge();
                if (++window.replies === 2) soon("redo");
            };
            press("clear");
            soon("undo", "redo", "undo");
        }"""
    )
    page.wait_for_function("window.replies === 4")
    page.wait_for_timeout(400)
    assert page.evaluate("window.replies") == 4 and json.loads(page.input_value("#last textarea"))["strokes"] == []
    starts, ends = sorted(CALLS["start"]), sorted(CALLS["end"])
    assert len(starts) == 4
    assert starts[1] < ends[0] and starts[2] >= ends[1] and starts[3] < ends[2]


def test_two_thousand_strokes_stay_smooth(page: Page) -> None:
    generator = np.random.default_rng(0)
    walks = [generator.uniform(20, 490, 2) + np.cumsum(generator.normal(0, 5, (12, 2)), axis=0) for _ in range(2000)]
    text = json.dumps({"strokes": [{"points": walk.round(1).tolist(), "width": 4} for walk in walks]})
    page.evaluate("text => window.atelierSketchpads.sketchpad.replace(text)", text)
    frames = page.evaluate(
        """async () => {
            const canvas = document.querySelector('#sketchpad canvas'), box = canvas.getBoundingClientRect();
            canvas.setPointerCapture = () => {};
            const fire = (name, x) => canvas.dispatchEvent(new PointerEvent(name, {pointerId: 7, bubbles: true,
                clientX: box.x + x, clientY: box.y + 200 + 50 * Math.sin(x / 9), pointerType: 'mouse'}));
            const frame = () => new Promise(requestAnimationFrame);
            fire('pointerdown', 20);
            const times = [];
            for (let i = 0; i < 40; i++) {
                const start = performance.now();
                fire('pointermove', 20 + 10 * i);
                await frame();
                times.push(performance.now() - start);
            }
            fire('pointerup', 430);
            return times;
        }"""
    )
    assert len(strokes(page)) == 2001
    assert np.median(frames) < 34
