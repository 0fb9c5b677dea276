"""What the page calls about the playground: train and watch, pause, step, begin anew."""

import asyncio
import itertools
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import gradio as gr

from demos.core.cancel import Cancelled
from demos.core.once import once
from demos.ui.events import JOBS, CancelToken, guard
from demos.ui.files import uploaded

if TYPE_CHECKING:
    from demos.lab.playground import Session, Settings
    from demos.lab.trainer import Trainer

T = TypeVar("T")
LANE = "lab"
TOLD = {
    "mode collapse": "**Mode collapse.** A plain GAN without penalties on its critic. The generator leaves some of "
    "the eight Gaussians empty and runs after the critic; the score-based model beside it keeps all eight.",
    "posterior collapse": "**Posterior collapse.** The KL term weighs 12 times as much. Look inside the VAE: all codes "
    "fall to the middle, the latent says nothing, and the decoder answers with one blur.",
    "divergence": "**Divergence.** The learning rate is 60 times too high. Losses jump, or stop being numbers.",
    "overfitting": "**Overfitting.** Forty training points and large networks. The loss goes on falling while "
    "−log p(x) of held-out points rises, and the density shrinks to the forty points.",
}
"""What to look at under each preset of `BREAKS`."""
PERIOD_S, WAITING_S, REST_S = 0.11, 0.5, 0.02
MOST_VISITORS = 64


@once
def trainer() -> "Trainer":
    """The line of all visitors' trainings."""
    from demos.lab.trainer import Trainer

    return Trainer(workers=max(1, (os.cpu_count() or 2) // 2))


@once
def painters() -> ThreadPoolExecutor:
    """The threads that begin sessions and draw frames: two, so that many visitors leave room for the training."""
    from demos.lab.trainer import compute_alone

    return ThreadPoolExecutor(2, "painter", compute_alone)


async def _painted(job: Callable[..., T], *given: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(painters(), job, *given)


class Visitors:
    """The newest session of every visitor, by Gradio's session hash; the longest untouched is forgotten first.

    Sessions take time to begin, and two of one visitor may overtake each other: what was asked for last is kept.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._asked: dict[str, int] = {}
        self._tickets = itertools.count(1)
        self._lock = threading.Lock()

    def get(self, page: gr.Request) -> "Session | None":
        """This visitor's session."""
        return self._sessions.get(page.session_hash or "")

    def ask(self, page: gr.Request) -> int:
        """A ticket for a session that is about to begin."""
        ticket = self._asked[page.session_hash or ""] = next(self._tickets)
        return ticket

    def put(self, page: gr.Request, session: "Session", ticket: int) -> None:
        """Keep a session instead of the visitor's last one, which ends.

        Raises:
            Cancelled: the visitor has asked for another one since.
        """
        who = page.session_hash or ""
        with self._lock:
            if self._asked.get(who) != ticket:
                raise Cancelled
            gone = [self._sessions.pop(who, None)]
            self._sessions[who] = session
            while len(self._sessions) > MOST_VISITORS:
                longest, old = self._sessions.popitem(last=False)
                self._asked.pop(longest, None)
                gone.append(old)
        for old in filter(None, gone):
            if old is not session:
                old.paused = True
                trainer().leave(old)


VISITORS = Visitors()
_watchers: "WeakKeyDictionary[Session, CancelToken]" = WeakKeyDictionary()


def settings_of(
    distribution: str, families: list[str] | None, capacity: float | None, rate: float | None, steps: float | None,
    noise: float | None, points: float | None, seed: float | None, break_it: str | None, strokes: str | None,
    listed: str | None,
) -> "Settings":  # fmt: skip
    """What the controls say, checked; an empty one is out of range."""
    from demos.lab.playground import checked

    return checked(
        distribution=distribution, families=tuple(families or ()), capacity=capacity, rate=rate, steps=steps,
        noise=noise, points=points, seed=seed, break_it=break_it or "", strokes=strokes or "", listed=listed or "",
    )  # fmt: skip


def _text(frame: dict[str, Any], opening: dict[str, Any] | None = None) -> str:
    return json.dumps({**frame, "opening": opening} if opening else frame, separators=(",", ":"), allow_nan=False)


def _session(page: gr.Request, ticket: int, pace: str, controls: Sequence[Any], anew: bool) -> "tuple[Session, bool]":
    """The visitor's session, or a fresh one if the settings are others, it is finished, or one is wanted anew."""
    from demos.lab.playground import Session

    settings, session = settings_of(*controls), VISITORS.get(page)
    same = session is not None and replace(session.settings, rate=1.0) == replace(settings, rate=1.0)
    fresh = session is None or anew or session.finished or not same
    if session is None or fresh:
        session = Session(settings)
    session.set_rate(settings.rate)
    session.set_pace(pace)
    VISITORS.put(page, session, ticket)
    JOBS.stop(page, LANE)
    return session, fresh


async def _watch(page: gr.Request, session: "Session", first: bool) -> AsyncIterator[str]:
    """Frames until the training is done, paused or no longer wanted; a training that nobody watches is paused."""
    with JOBS.running(page, LANE) as token:
        _watchers[session] = token
        try:
            opening = await _painted(session.opening) if first else None
            frame = await _painted(session.frame)
            if not token.cancelled():
                yield _text(frame, opening)
            trainer().join(session)
            while not (session.finished or session.paused or token.cancelled()):
                start, waits = time.monotonic(), session.place > 0
                yield _text(session.glance() if waits else await _painted(session.frame))
                took = time.monotonic() - start
                await asyncio.sleep(WAITING_S if waits else max(REST_S, PERIOD_S - took))
            while trainer().holds(session) and not token.cancelled():
                await asyncio.sleep(REST_S)
            if not token.cancelled():
                yield _text(await _painted(session.frame, True))
        finally:
            if _watchers.get(session) is token:
                session.paused = True
                trainer().leave(session)


@guard
async def train(page: gr.Request, pace: str, *controls: Any) -> AsyncIterator[str]:
    """Go on with the visitor's training, or begin one if the settings are others: frames for the stage."""
    session, fresh = await _painted(_session, page, VISITORS.ask(page), pace, controls, False)
    session.paused = False
    async for frame in _watch(page, session, fresh):
        yield frame


@guard
async def restart(page: gr.Request, pace: str, *controls: Any) -> AsyncIterator[str]:
    """Begin anew: frames for the stage."""
    session, _ = await _painted(_session, page, VISITORS.ask(page), pace, controls, True)
    async for frame in _watch(page, session, True):
        yield frame


@guard
async def step(page: gr.Request, pace: str, *controls: Any) -> str:
    """One step of every model, and a frame of all."""
    session, fresh = await _painted(_session, page, VISITORS.ask(page), pace, controls, False)
    session.paused = True
    trainer().leave(session)
    while trainer().holds(session):
        await asyncio.sleep(REST_S)
    await _painted(session.step)
    opening = await _painted(session.opening) if fresh else None
    return _text(await _painted(session.frame, True), opening)


@guard
def pause(page: gr.Request) -> None:
    """Hold the visitor's training; `train` goes on with it."""
    if session := VISITORS.get(page):
        session.paused = True
        trainer().leave(session)


@guard
def set_pace(page: gr.Request, pace: str) -> None:
    """Change how fast the visitor's training may go."""
    if session := VISITORS.get(page):
        session.set_pace(pace)


@guard
def set_rate(page: gr.Request, rate: float) -> None:
    """Change the learning rate of the visitor's training."""
    if session := VISITORS.get(page):
        session.set_rate(rate)


@guard
def broken(name: str) -> tuple[Any, ...]:
    """The controls as a preset wants them, and what to look at."""
    from demos.lab.playground import BREAKS, Settings

    wanted = BREAKS.get(name, Settings())
    return (
        wanted.distribution, list(wanted.families), wanted.capacity, wanted.rate, wanted.steps, wanted.noise,
        wanted.points, TOLD.get(name, ""),
    )  # fmt: skip


@guard
def own_drawing(strokes: str | None) -> str:
    """The distribution to choose, if enough is drawn."""
    from demos.lab.playground import DRAWING
    from demos.lab.points import drawn

    drawn(strokes or "", 0.05)
    return DRAWING


@guard
def own_points(file: str | None) -> tuple[str, str]:
    """A file of points, read and checked, and the distribution to choose."""
    from demos.lab.playground import POINTS
    from demos.lab.points import from_points, read_points

    points = read_points(uploaded(file).read_bytes())
    from_points(points, 0.05)
    return json.dumps(points.tolist()), POINTS
