"""The piano roll in a real browser, on a page that holds nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from demos.ui.pianoroll import Roll, coloured, pianoroll
from tests.browser.conftest import CLOSED_LATE, handled, served

pytestmark = pytest.mark.browser
FIRST = Roll(((67, 0, 4, 0), (60, 8, 4, 1)), 2)
Page = Any
PATIENCE_S = 60
DELAYS_S: list[float] = []
READY = "document.querySelector('#tune .roll-grid')?.style.width"


def echo(text: str) -> str:
    return json.dumps(Roll.from_json(text).notes)


def colours(text: str) -> str:
    time.sleep(DELAYS_S.pop() if DELAYS_S else 0)
    roll = Roll.from_json(text)
    return roll.answer([float(i) for i in range(len(roll.notes))])


def drafts(text: str) -> Iterator[str]:
    for i in range(3):
        yield Roll(((50 + i, 0, 4, 3),), 2).to_json(draft=True)
        time.sleep(0.2)
    yield Roll(((70, 0, 4, 0), (50, 0, 4, 3)), 3).to_json()


def offer(text: str) -> str:
    time.sleep(0.6)
    return Roll(((72, 0, 4, 0), (48, 0, 8, 3)), 2, heat=(1.0, 2.0), rev=Roll.from_json(text).rev).to_json(offered=True)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with gr.Blocks() as page:
        roll = pianoroll("Draw here", FIRST, "tune")
        notes = gr.Textbox(elem_id="notes")
        gr.Button("send", elem_id="send").click(echo, roll, notes)
        gr.Button("write", elem_id="write").click(drafts, roll, roll)
        gr.Button("offer", elem_id="offer").click(offer, roll, roll)
        gr.Button("hostile", elem_id="hostile").click(lambda: '{"bars": 2, "notes": "<img src=x>"}', None, roll)
        coloured(roll, colours)
    yield from served(page)


def value(page: Page) -> dict[str, Any]:
    return json.loads(page.evaluate("window.atelierPianorolls.tune.text()"))


def notes(page: Page) -> list[list[int]]:
    return value(page)["notes"]


def at(page: Page, step: float, pitch: int) -> tuple[float, float]:
    """The middle of a cell."""
    box = page.locator("#tune .roll-grid").bounding_box()
    row = 9 if box["width"] < 600 else 11
    return box["x"] + (step + 0.5) * max(box["width"] / 32, 9), box["y"] + (81 - pitch + 0.5) * row


def drag(page: Page, *cells: tuple[float, int], button: str = "left") -> None:
    page.mouse.move(*at(page, *cells[0]))
    page.mouse.down(button=button)
    for cell in cells[1:]:
        page.mouse.move(*at(page, *cell), steps=4)
    page.mouse.up(button=button)
    handled(page)


def test_notes_are_drawn_moved_lengthened_and_removed(page: Page) -> None:
    drag(page, (16, 72))
    assert notes(page) == [*map(list, FIRST.notes), [72, 16, 4, 0]]
    drag(page, (24, 64), (29, 65))
    assert notes(page)[-1] == [65, 24, 6, 0]
    drag(page, (25, 65), (23, 67))
    assert notes(page)[-1] == [67, 22, 6, 0]
    drag(page, (27.3, 67), (30.3, 67))
    assert notes(page)[-1] == [67, 22, 9, 0]
    drag(page, (24, 67))
    assert notes(page) == [[67, 0, 4, 0], [60, 8, 4, 1], [72, 16, 4, 0]]
    drag(page, (17, 72), button="right")
    page.click("#tune [data-tool=rub]")
    drag(page, (1, 70), (1, 65))
    assert notes(page) == [[60, 8, 4, 1]]
    for _ in range(3):
        page.click("#tune [data-act=undo]")
    assert len(notes(page)) == 4
    page.keyboard.press("Control+y")
    assert len(notes(page)) == 3
    page.click("#send")
    page.wait_for_function("document.querySelector('#notes textarea').value.includes('72, 16, 4, 0')")


def test_a_voice_sings_one_note_at_a_time_and_voices_overlap(page: Page) -> None:
    drag(page, (2, 69))
    assert notes(page)[:2] == [[67, 0, 2, 0], [69, 2, 4, 0]]
    page.click("#tune [data-voice='2']")
    drag(page, (2, 55))
    assert notes(page)[:3] == [[67, 0, 2, 0], [69, 2, 4, 0], [55, 2, 4, 2]]


def test_a_repeated_note_differs_from_a_held_one(page: Page) -> None:
    for first in (16, 20):
        drag(page, (first, 72), (first + 3, 72))
    page.click("#tune [data-voice='1']")
    drag(page, (16, 64), (23, 64))
    assert [n for n in notes(page) if n[1] >= 16] == [[72, 16, 4, 0], [64, 16, 8, 1], [72, 20, 4, 0]]
    page.mouse.move(*at(page, 2, 40))
    page.wait_for_timeout(200)

    def colours(pitch: int) -> list[list[int]]:
        """Just before, at the beginning, and in the middle of the sixteenth in which the second note begins."""
        box = page.locator("#tune .roll-grid").bounding_box()
        size, y = box["width"] / 32, at(page, 0, pitch)[1] - box["y"]
        return page.evaluate(
            "([y, ...xs]) => xs.map((x) => [...document.querySelector('#tune .roll-grid').getContext('2d')"
            ".getImageData(x, y, 1, 1).data])",
            [round(y), round(20 * size) - 1, round(20 * size) + 1, round(21.5 * size)],
        )

    gap, onset, middle = colours(72)
    assert gap != middle and onset != middle and gap != onset
    assert len({tuple(c) for c in colours(64)}) == 1


def test_voices_spans_and_notes_are_marked(page: Page) -> None:
    box = page.locator("#tune .roll-grid").bounding_box()
    x, lane = at(page, 5, 36)[0], box["y"] + 46 * 11
    page.mouse.move(x, lane + 6)
    page.mouse.down()
    page.mouse.move(at(page, 13, 36)[0], lane + 20, steps=4)
    page.mouse.up()
    handled(page)
    assert value(page)["erased"] == [[4, 16, 0], [4, 16, 1]]
    page.click("#tune [data-act=unmark]")
    page.click("#tune [data-tool=mark]")
    drag(page, (9, 63), (20, 58))
    assert value(page)["erased"] == [[9, 12, 1]]
    page.locator("#tune .roll-ruler").click(position={"x": 0.75 * box["width"], "y": 10})
    assert value(page)["erased"] == [[16, 32, 0], [9, 12, 1], [16, 32, 1], [16, 32, 2], [16, 32, 3]]
    page.locator("#tune .roll-keys").click(position={"x": 30, "y": 22 + 46 * 11 + 3.5 * 13})
    assert [0, 32, 3] in value(page)["erased"] and len(notes(page)) == 2


def test_the_keyboard_does_all_of_it(page: Page) -> None:
    page.focus("#tune .roll-grid")
    page.keyboard.press("3")
    for key in ("ArrowUp", "Shift+ArrowRight", "ArrowRight", " "):
        page.keyboard.press(key)
    assert [68, 5, 4, 2] in notes(page)
    for key in ("+", "Alt+ArrowDown", "m"):
        page.keyboard.press(key)
    assert [67, 5, 5, 2] in notes(page) and value(page)["erased"] == [[4, 8, 2]]
    assert "Tenor marked" in page.inner_text("#tune .roll-news")
    page.keyboard.press("Delete")
    assert len(notes(page)) == 2
    page.keyboard.press("Control+z")
    assert [67, 5, 5, 2] in notes(page)


def test_drafts_are_shown_and_only_the_last_is_a_step_back(page: Page) -> None:
    page.click("#write")
    page.wait_for_function("JSON.parse(window.atelierPianorolls.tune.text()).bars === 3")
    assert notes(page) == [[70, 0, 4, 0], [50, 0, 4, 3]]
    page.click("#tune [data-act=undo]")
    assert notes(page) == [list(n) for n in FIRST.notes] and value(page)["bars"] == 2
    assert page.locator("#tune [data-act=undo]").is_disabled()
    page.click("#hostile")
    page.wait_for_timeout(500)
    assert notes(page) == [list(n) for n in FIRST.notes] and page.locator("#tune img").count() == 0


def test_an_offer_is_taken_only_while_nothing_was_changed(page: Page) -> None:
    page.click("#offer")
    page.wait_for_function("JSON.parse(window.atelierPianorolls.tune.text()).notes[0][0] === 72")
    assert value(page)["heat"] == [1.0, 2.0]
    page.click("#tune [data-act=undo]")
    assert notes(page) == [list(note) for note in FIRST.notes]
    page.click("#offer")
    page.mouse.click(*at(page, 20, 62))
    drawn = notes(page)
    page.wait_for_timeout(1500)
    assert [62, 20, 4, 0] in drawn and notes(page) == drawn
    page.click("#send")
    page.wait_for_function(f"document.querySelector('#notes textarea').value === '{json.dumps(drawn)}'")


def test_colours_are_asked_for_and_follow_the_notes(page: Page) -> None:
    assert value(page)["heat"] is None
    page.click("#tune [data-act=heat]")
    page.wait_for_function("JSON.parse(window.atelierPianorolls.tune.text()).heat?.length === 2")
    assert page.locator("#tune .roll-scale").is_visible()
    drag(page, (16, 72))
    page.wait_for_function("JSON.parse(window.atelierPianorolls.tune.text()).heat?.length === 3")
    assert value(page)["heat"] == [0, 1, 2]


def test_colours_of_a_slow_reply_arrive_though_the_stream_is_closed(visit: Callable[..., Page]) -> None:
    page = visit(script=CLOSED_LATE)
    DELAYS_S.append(5)
    page.click("#tune [data-act=heat]")
    page.wait_for_timeout(1500)
    drag(page, (16, 72))
    page.wait_for_function("JSON.parse(window.atelierPianorolls.tune.text()).heat?.length === 3")


def test_bars_come_and_go_with_their_notes(page: Page) -> None:
    drag(page, (30, 72))
    assert notes(page)[-1] == [72, 30, 2, 0]
    page.click("#tune [data-act=longer]")
    assert value(page)["bars"] == 3
    for _ in range(2):
        page.click("#tune [data-act=shorter]")
    assert value(page)["bars"] == 1 and len(notes(page)) == 2
    assert page.locator("#tune [data-act=shorter]").is_disabled()


def test_a_finger_draws_on_a_phone(visit: Callable[..., Page]) -> None:
    page = visit(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.touchscreen.tap(*at(page, 16, 72))
    assert notes(page)[-1] == [72, 16, 4, 0]
    page.touchscreen.tap(*at(page, 17, 72))
    assert len(notes(page)) == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
