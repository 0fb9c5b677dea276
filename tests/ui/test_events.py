"""The error boundary, each visitor's own Stop, and the stream of previews."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, get_type_hints

import gradio as gr
import pytest

from demos.core.cancel import Cancelled, OnStep
from demos.ui.events import JOBS, CancelToken, Done, Jobs, Step, guard, stop, stream, unload


def _request(session: str | None) -> gr.Request:
    return gr.Request(session_hash=session)


def _plain(error: BaseException | None) -> Any:
    @guard
    def handler() -> int:
        if error:
            raise error
        return 1

    return handler()


def _generator(error: BaseException | None) -> Any:
    @guard
    def handler() -> Iterator[int]:
        yield 1
        if error:
            raise error

    return list(handler())


def _coroutine(error: BaseException | None) -> Any:
    @guard
    async def handler() -> int:
        if error:
            raise error
        return 1

    return asyncio.run(handler())


def _async_generator(error: BaseException | None) -> Any:
    @guard
    async def handler() -> AsyncIterator[int]:
        yield 1
        if error:
            raise error

    async def collect() -> list[int]:
        return [value async for value in handler()]

    return asyncio.run(collect())


KINDS = [
    (_plain, 1, gr.skip()),
    (_generator, [1], [1, gr.skip()]),
    (_coroutine, 1, gr.skip()),
    (_async_generator, [1], [1, gr.skip()]),
]


@pytest.mark.parametrize(("call", "result", "cancelled"), KINDS)
class TestGuard:
    """The same boundary around all four kinds of handler."""

    def test_results_pass(self, call: Callable[..., Any], result: Any, cancelled: Any) -> None:
        assert call(None) == result

    def test_value_error_becomes_its_sentence(self, call: Callable[..., Any], result: Any, cancelled: Any) -> None:
        with pytest.raises(gr.Error) as caught:
            call(ValueError("The count must be 1 to 16, not <99>."))
        assert caught.value.message == "The count must be 1 to 16, not &lt;99&gt;."
        assert caught.value.print_exception is False

    def test_cancelled_keeps_the_page(self, call: Callable[..., Any], result: Any, cancelled: Any) -> None:
        assert call(Cancelled()) == cancelled

    @pytest.mark.parametrize("error", [KeyError("secret"), RuntimeError("secret"), UnicodeError("secret")])
    def test_anything_else_is_logged_with_an_id(
        self,
        call: Callable[..., Any],
        result: Any,
        cancelled: Any,
        error: Exception,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.ERROR, "atelier"), pytest.raises(gr.Error) as caught:
            call(error)
        assert "secret" not in caught.value.message
        ident = caught.value.message.split("(id ")[1].split(")")[0]
        assert ident in caplog.text
        assert "secret" in caplog.text

    def test_gradio_s_own_errors_pass(self, call: Callable[..., Any], result: Any, cancelled: Any) -> None:
        with pytest.raises(gr.Error, match="as it is"):
            call(gr.Error("as it is"))


def test_guard_keeps_what_gradio_reads() -> None:
    @guard
    def handler(seed: int, request: gr.Request) -> list[str]:
        """Says something."""
        return []

    assert get_type_hints(handler) == {"seed": int, "request": gr.Request, "return": list[str]}
    assert handler.__doc__ == "Says something."


def test_stop_reaches_one_visitor_only() -> None:
    jobs = Jobs()
    with jobs.running(_request("ann")) as ann, jobs.running(_request("bob")) as bob:
        assert jobs.stop(_request("ann")) == 1
        assert (ann.cancelled(), bob.cancelled()) == (True, False)
        with pytest.raises(Cancelled):
            ann.check()
        bob.check()
    assert len(jobs) == 0


def test_stop_reaches_one_lane_only() -> None:
    jobs = Jobs()
    with jobs.running(_request("ann"), "sketch") as sketch, jobs.running(_request("ann"), "style") as style:
        assert jobs.stop(_request("ann"), "style") == 1
        assert (sketch.cancelled(), style.cancelled()) == (False, True)


def test_without_a_session_nobody_is_stopped() -> None:
    jobs = Jobs()
    with jobs.running(_request(None)) as one, jobs.running(None) as two:
        assert jobs.stop(_request(None)) == jobs.stop(None) == 0
        assert not one.cancelled()
        assert not two.cancelled()


def test_a_failed_job_is_forgotten() -> None:
    jobs = Jobs()
    with pytest.raises(RuntimeError), jobs.running(_request("ann")):
        raise RuntimeError
    assert len(jobs) == 0
    assert jobs._tokens == {}


@pytest.mark.parametrize("handler", [stop, unload])
def test_the_page_s_handlers_stop_the_visitor(handler: Callable[[gr.Request], None]) -> None:
    with JOBS.running(_request("ann")) as ann, JOBS.running(_request("bob")) as bob:
        handler(_request("ann"))
        assert (ann.cancelled(), bob.cancelled()) == (True, False)


def test_a_job_that_is_alone_stops_the_visitor_s_others_in_its_lane() -> None:
    jobs = Jobs()
    with jobs.running(_request("ann"), "a") as old, jobs.running(_request("ann"), "b") as beside:
        with (
            jobs.running(_request("bob"), "a") as theirs,
            jobs.running(_request("ann"), "a", alone=True, name="heir") as new,
        ):
            assert [t.cancelled() for t in (old, beside, theirs, new)] == [True, False, False, False]
        jobs.stop(_request("ann"), "a")
        with pytest.raises(Cancelled) as caught:
            old.check()
        assert caught.value.heir == "heir"
        with jobs.running(_request("ann"), "a") as another:
            assert not another.cancelled() and not beside.cancelled()
    assert len(jobs) == 0


def _count(n: int, seconds: float, made: list[int] | None = None) -> Callable[[OnStep], str]:
    def job(on_step: OnStep) -> str:
        for i in range(1, n + 1):
            time.sleep(seconds)
            if made is not None:
                made.append(i)
            on_step(i, n, lambda i=i: f"preview {i}")
        return "result"

    return job


def test_stream_yields_every_step_of_a_slow_job() -> None:
    events = list(stream(_count(4, 0.03)))
    assert events[:-1] == [Step(i, 4, f"preview {i}") for i in range(1, 5)]
    assert events[-1] == Done("result")


def test_a_slow_page_does_not_slow_the_job() -> None:
    events = []
    for event in stream(_count(40, 0.002)):
        events.append(event)
        time.sleep(0.05)
    steps = [event for event in events if isinstance(event, Step)]
    assert len(steps) < 20
    assert steps == sorted(steps, key=lambda step: step.i)
    assert events[-1] == Done("result")


def test_a_generator_that_yields_nothing_leaves_the_page_as_it_is() -> None:
    @guard
    def nothing() -> Iterator[int]:
        yield from ()

    @guard
    async def later() -> AsyncIterator[int]:
        for i in ():
            yield i

    async def collected() -> list[Any]:
        return [step async for step in later()]

    assert list(nothing()) == asyncio.run(collected()) == [gr.skip()]


def test_stop_ends_the_job_within_a_step() -> None:
    token, made, seen = CancelToken(), [], []
    with pytest.raises(Cancelled):
        for event in stream(_count(100, 0.02, made), token):
            seen.append(event)
            token.cancel()
    assert len(seen) == 1
    stopped_at = len(made)
    time.sleep(0.1)
    assert len(made) == stopped_at <= 3


def test_leaving_the_stream_ends_the_job_but_not_the_token() -> None:
    token, made = CancelToken(), []
    events = stream(_count(100, 0.01, made), token)
    next(events)
    events.close()  # type: ignore[attr-defined]
    time.sleep(0.05)
    stopped_at = len(made)
    time.sleep(0.1)
    assert len(made) == stopped_at < 20
    assert not token.cancelled()


def test_the_job_s_error_arrives() -> None:
    def job(on_step: OnStep) -> None:
        on_step(1, 2, None)
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        list(stream(job))


def test_two_streams_run_side_by_side() -> None:
    barrier = threading.Barrier(2, timeout=5)

    def job(on_step: OnStep) -> int:
        return barrier.wait()

    def consume(results: list[Any]) -> None:
        results.extend(stream(job))

    results: list[Any] = []
    threads = [threading.Thread(target=consume, args=(results,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.value for event in results) == [0, 1]
