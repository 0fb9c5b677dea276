"""The Lab tab's handlers: one session a visitor, the newest wins, and a watcher that leaves ends the training."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from demos.core.cancel import Cancelled
from demos.lab.playground import BREAKS, Session, Settings
from demos.lab.tab import build, handlers, playground
from demos.lab.tab.stage import FAMILIES

TINY = ["Moons", ["autoregressive"], 8, 1, 20_000, 0.1, 20_000, 0, "", "", ""]


def visitor(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


def idle() -> None:
    until = time.monotonic() + 30
    while len(handlers.trainer()):
        assert time.monotonic() < until
        time.sleep(0.02)


async def first(frames: Any, count: int) -> list[dict[str, Any]]:
    found = []
    async for text in frames:
        found.append(json.loads(text))
        if len(found) == count:
            break
    await frames.aclose()
    return found


def test_frames_come_and_a_watcher_that_goes_ends_the_training() -> None:
    frames = asyncio.run(first(handlers.train(visitor("a"), "Full speed", *TINY), 3))
    assert frames[0]["opening"]["session"] == frames[2]["session"] and "opening" not in frames[1]
    idle()
    session = handlers.VISITORS.get(visitor("a"))
    assert session is not None and session.paused


def test_train_goes_on_restart_begins_anew_and_step_holds() -> None:
    async def story() -> None:
        page = visitor("b")
        (one,) = await first(handlers.train(page, "Full speed", *TINY), 1)
        (again,) = await first(handlers.train(page, "Full speed", *TINY), 1)
        assert again["session"] == one["session"] and "opening" not in again
        (anew,) = await first(handlers.restart(page, "Full speed", *TINY), 1)
        assert anew["session"] != one["session"]
        before = handlers.VISITORS.get(page)
        assert before is not None
        steps = before.learners["autoregressive"].steps
        stepped = json.loads(await handlers.step(page, "Slow", *TINY))
        assert stepped["state"] == "paused" and stepped["complete"]
        assert stepped["families"]["autoregressive"]["steps"] >= steps + 1
        other = json.loads(await handlers.step(page, "Slow", *["Rings", *TINY[1:]]))
        assert other["opening"]["title"] == "Rings" and other["families"]["autoregressive"]["steps"] == 1

    asyncio.run(story())
    idle()


def test_of_two_beginnings_the_later_one_is_kept() -> None:
    page, visitors = visitor("c"), handlers.Visitors()
    early, late = visitors.ask(page), visitors.ask(page)
    session = Session(Settings(families=("vae",), capacity=8))
    visitors.put(page, session, late)
    with pytest.raises(Cancelled):
        visitors.put(page, Session(Settings(families=("vae",), capacity=8)), early)
    assert visitors.get(page) is session and visitors.get(visitor("d")) is None


@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [(1, [], "at least one"), (1, None, "at least one"), (2, None, "capacity"), (0, "Your points", "file of points"),
     (0, "Your drawing", "Draw some more"), (6, 1, "training points")],
)  # fmt: skip
def test_bad_controls_become_one_sentence(at: int, value: Any, sentence: str) -> None:
    controls = [*TINY[:at], value, *TINY[at + 1 :]]
    with pytest.raises(gr.Error, match=sentence):
        asyncio.run(first(handlers.restart(visitor("e"), "Full speed", *controls), 1))


def test_presets_fill_the_controls() -> None:
    for name, wanted in BREAKS.items():
        distribution, families, *_, told = handlers.broken(name)
        assert distribution == wanted.distribution and families == list(wanted.families) and "**" in told
    assert handlers.broken("")[0] == Settings().distribution and handlers.broken("")[-1] == ""


def test_the_page_offers_what_the_playground_knows() -> None:
    from demos.lab.learners import FAMILIES as KNOWN
    from demos.lab.playground import PACES
    from demos.lab.points import DISTRIBUTIONS

    assert list(DISTRIBUTIONS) == playground.DISTRIBUTIONS and list(PACES) == playground.PACES
    assert {key for _, key in playground.BREAKS} == {"", *BREAKS} and set(handlers.TOLD) == set(BREAKS)
    assert {name: title for name, (title, _) in FAMILIES.items()} == {n: r.title for n, r in KNOWN.items()}
    with gr.Blocks():
        build()
