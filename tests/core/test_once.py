"""One thing for many threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from demos.core.once import Once, once


def test_many_threads_make_it_once_and_share_it() -> None:
    made = []

    @once
    def thing() -> object:
        """A thing."""
        time.sleep(0.05)
        made.append(threading.get_ident())
        return object()

    with ThreadPoolExecutor(8) as threads:
        found = {id(job.result()) for job in [threads.submit(thing) for _ in range(16)]}
    assert len(made) == len(found) == 1 and thing.__doc__ == "A thing."


def test_making_one_may_ask_for_another() -> None:
    @once
    def inner() -> int:
        return 2

    @once
    def outer() -> int:
        return inner() + 1

    assert outer() == 3


def test_what_failed_is_tried_again_and_what_was_cleared_is_made_again() -> None:
    tried = []

    @once
    def thing() -> int:
        tried.append(0)
        if len(tried) == 1:
            raise ValueError("not yet")
        return len(tried)

    with pytest.raises(ValueError, match="not yet"):
        thing()
    assert thing() == thing() == 2
    thing.cache_clear()
    assert thing() == 3


def test_what_has_a_lock_of_its_own_keeps_no_model_waiting() -> None:
    begun, loaded = threading.Event(), threading.Event()

    @Once
    def long_work() -> bool:
        begun.set()
        return loaded.wait(10)

    @once
    def model() -> int:
        loaded.set()
        return 1

    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(long_work)
        assert begun.wait(10) and model() == 1
        assert job.result()
