"""From a click to a function and back: errors that a person understands, jobs that stop, previews that stream.

`guard` is the error boundary around every handler. `JOBS` knows what each visitor is computing, so that Stop ends that
visitor's job and nobody else's. `stream` turns a blocking function with an `on_step` callback into a generator:

    @guard
    def refine(strokes, request: gr.Request):
        with JOBS.running(request) as token:
            for event in stream(lambda on_step: model.draw(strokes, on_step=on_step), token):
                if isinstance(event, Step):
                    yield event.preview, bar(event.i, event.n)
                else:
                    yield event.value, bar(None)
"""

import contextlib
import contextvars
import functools
import html
import inspect
import logging
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar, cast

import gradio as gr

from demos.core.cancel import Cancelled, OnStep, Replaced

__all__ = ["JOBS", "CancelToken", "Done", "Jobs", "Step", "guard", "queued", "stop", "stream", "unload"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("atelier")
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="atelier")


def queued(page: gr.Blocks, **options: Any) -> gr.Blocks:
    """The page with a queue that looks for jobs a hundred times a second; `options` go to `Blocks.queue`.

    Gradio looks a thousand times, which takes 8 % of a processor from the models even while nobody is there. A job
    waits 5 ms longer.
    """
    page.queue(**options)
    page._queue.sleep_when_free = 0.01
    page._queue.progress_update_sleep_when_free = 0.1
    return page


def guard(fn: F) -> F:
    """An error boundary around a handler: a function, a generator, or the async kind of either.

    `ValueError` becomes a `gr.Error` with its sentence; `Cancelled` and `Replaced` leave the page as it is; anything
    else is logged with an id, which is all that the visitor sees of it. A generator that yields nothing leaves the page
    as it is, too: without a step Gradio would empty its outputs. Of a generator that ends Gradio says the last step
    once more; a cancelled one therefore ends with a step that changes nothing. Signature and type hints stay visible to
    Gradio.
    """
    if inspect.isasyncgenfunction(fn):

        @functools.wraps(fn)
        async def guarded_asyncgen(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            silent = True
            try:
                async with contextlib.aclosing(fn(*args, **kwargs)) as steps:
                    async for step in steps:
                        silent = False
                        yield step
            except (Cancelled, Replaced):
                silent = True
            except Exception as error:
                _answer(error, fn)
            if silent:
                yield gr.skip()

        return cast(F, guarded_asyncgen)

    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def guarded_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            silent = True
            try:
                with contextlib.closing(fn(*args, **kwargs)) as steps:
                    for step in steps:
                        silent = False
                        yield step
            except (Cancelled, Replaced):
                silent = True
            except Exception as error:
                _answer(error, fn)
            if silent:
                yield gr.skip()

        return cast(F, guarded_generator)

    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
            try:
                return await fn(*args, **kwargs)
            except (Cancelled, Replaced):
                return gr.skip()
            except Exception as error:
                _answer(error, fn)

        return cast(F, guarded_coroutine)

    @functools.wraps(fn)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except (Cancelled, Replaced):
            return gr.skip()
        except Exception as error:
            _answer(error, fn)

    return cast(F, guarded)


def _answer(error: Exception, fn: Callable[..., Any]) -> NoReturn:
    if isinstance(error, gr.Error):
        raise error
    if type(error) is ValueError:
        sentence = html.escape(str(error), quote=False)
        raise gr.Error(sentence, title="That did not work", print_exception=False) from error
    ident = secrets.token_hex(3)
    _log.error("%s failed (id %s)", getattr(fn, "__qualname__", fn), ident, exc_info=error)
    raise gr.Error(
        f"Something went wrong (id {ident}). The app goes on: change something and try again.",
        title="Unexpected error",
        print_exception=False,
    ) from error


class CancelToken:
    """A flag that one thread raises and another looks at."""

    def __init__(self) -> None:
        self._event, self._heir = threading.Event(), ""

    def cancel(self, heir: str = "") -> None:
        """Ask the job to stop, perhaps for another that runs instead; only the first time counts."""
        if not self.cancelled():
            self._heir = heir
            self._event.set()

    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the job was asked to stop."""
        if self.cancelled():
            raise Cancelled(self._heir)


class Jobs:
    """The running jobs of every visitor, keyed by Gradio's session hash and a lane (one per tab or button)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, dict[str, set[CancelToken]]] = {}

    @contextlib.contextmanager
    def running(
        self, request: gr.Request | None, lane: str = "", *, alone: bool = False, name: str = ""
    ) -> Iterator[CancelToken]:
        """Register a job of this visitor for the length of the block; its token says when to stop.

        A job that is to be `alone` stops the visitor's others in its lane; their `Cancelled.heir` is its `name`. What
        one of those still has to say would come after what the newer one says: check the token before giving anything
        to the page.

        Without a session (a plain HTTP call) the token is known to nobody else and never stops by itself.
        """
        session, token = _session(request), CancelToken()
        if session is None:
            yield token
            return
        with self._lock:
            together = self._tokens.setdefault(session, {}).setdefault(lane, set())
            for other in together if alone else ():
                other.cancel(name)
            together.add(token)
        try:
            yield token
        finally:
            with self._lock:
                lanes = self._tokens.get(session, {})
                lanes.get(lane, set()).discard(token)
                if not lanes.get(lane):
                    lanes.pop(lane, None)
                if not lanes:
                    self._tokens.pop(session, None)

    def stop(self, request: gr.Request | None, lane: str | None = None) -> int:
        """Stop this visitor's jobs in `lane` (None: in every lane); returns how many were asked to stop."""
        with self._lock:
            lanes = self._tokens.get(_session(request) or "", {})
            tokens = [token for name, some in lanes.items() if lane in (None, name) for token in some]
        for token in tokens:
            token.cancel()
        return len(tokens)

    def __len__(self) -> int:
        """How many jobs run now, of all visitors."""
        with self._lock:
            return sum(len(some) for lanes in self._tokens.values() for some in lanes.values())


def _session(request: gr.Request | None) -> str | None:
    return getattr(request, "session_hash", None) if request is not None else None


JOBS = Jobs()


def stop(request: gr.Request) -> None:
    """Handler for a Stop button: ends this visitor's jobs. Bind it with `queue=False`."""
    JOBS.stop(request)


def unload(request: gr.Request) -> None:
    """Handler for `Blocks.unload`: whoever closes the page needs no result."""
    JOBS.stop(request)


@dataclass(frozen=True)
class Step:
    """Step `i` of `n` is done; `preview` is what it shows so far, or None."""

    i: int
    n: int
    preview: Any = None


@dataclass(frozen=True)
class Done(Generic[T]):
    """The job returned `value`."""

    value: T


def stream(job: Callable[[OnStep], T], token: CancelToken | None = None) -> Iterator[Step | Done[T]]:
    """Run `job(on_step)` in a worker thread; yield its newest `Step` as they come, then one `Done`.

    Steps that nobody had time to take are replaced by newer ones, so a slow page never slows the job. A `preview` that
    is a function is called in the worker, and only if its step is wanted. Closing the generator stops the job.

    Raises:
        Cancelled: `token` was cancelled; the job ended within one step.
        Exception: whatever `job` raised.
    """
    token = token or CancelToken()
    changed = threading.Condition()
    newest: deque[Step] = deque(maxlen=1)
    abandoned = False

    def on_step(i: int, n: int, preview: Any = None) -> None:
        if abandoned:
            raise Cancelled
        token.check()
        with changed:
            wanted = not newest or i >= n
        if callable(preview):
            preview = preview() if wanted else None
        if wanted or preview is not None:
            with changed:
                newest.append(Step(i, n, preview))
                changed.notify()

    def wake(_: object) -> None:
        with changed:
            changed.notify()

    future = _pool.submit(contextvars.copy_context().run, job, on_step)
    future.add_done_callback(wake)
    try:
        while True:
            with changed:
                changed.wait_for(lambda: newest or future.done(), timeout=0.1)
                step = newest.pop() if newest else None
            if token.cancelled():
                if not future.cancel():
                    future.result()
                token.check()
            if step is not None:
                yield step
            elif future.done():
                yield Done(future.result())
                return
    finally:
        abandoned = True
        future.cancel()
