"""Ten visitors at once: few train, the others wait their turn, and nobody is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import torch

from demos.lab.playground import Session, Settings
from demos.lab.trainer import Trainer, compute_alone

TINY = Settings("Eight Gaussians", ("autoregressive",), capacity=8, steps=20_000)


def until(fact: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


def steps(session: Session) -> int:
    return session.learners["autoregressive"].steps


def test_ten_visitors_take_turns_and_only_one_trains_at_a_time() -> None:
    trainer = Trainer(workers=1, turn_s=0.15)
    sessions = [Session(TINY) for _ in range(10)]
    for session in sessions:
        trainer.join(session)
    assert len(trainer) == 10
    most = 0
    end = time.monotonic() + 60
    while min(map(steps, sessions)) == 0 or time.monotonic() < end - 55:
        assert time.monotonic() < end
        most = max(most, trainer.training)
        for session in sessions:
            session.glance()
        time.sleep(0.02)
    assert most == 1
    assert sorted(session.place for session in sessions)[1:] and max(session.place for session in sessions) >= 8
    seconds = [session.learners["autoregressive"].seconds for session in sessions]
    assert max(seconds) < 6 * min(seconds) + 0.6
    for session in sessions:
        trainer.leave(session)
    until(lambda: len(trainer) == 0)


def test_two_workers_train_two() -> None:
    trainer = Trainer(workers=2, turn_s=5)
    sessions = [Session(TINY) for _ in range(3)]
    for session in sessions:
        trainer.join(session)
    until(lambda: trainer.training == 2)
    until(lambda: sum(steps(session) > 0 for session in sessions) >= 2)
    assert sessions[2].place == 1 and steps(sessions[2]) == 0
    trainer.leave(sessions[0])
    until(lambda: steps(sessions[2]) > 0)
    for session in sessions:
        trainer.leave(session)
    until(lambda: len(trainer) == 0)


def test_a_session_that_nobody_watches_ends() -> None:
    trainer = Trainer(patience_s=0.3)
    session = Session(TINY)
    trainer.join(session)
    until(lambda: len(trainer) == 0)
    done = steps(session)
    time.sleep(0.3)
    assert session.paused and steps(session) == done


def test_pausing_and_finishing_leave_the_line_and_going_on_joins_it() -> None:
    trainer = Trainer()
    session = Session(Settings("Moons", ("autoregressive",), capacity=8, steps=30))
    trainer.join(session)
    trainer.join(session)
    until(lambda: session.finished and len(trainer) == 0)
    assert steps(session) == 30
    held = Session(TINY)
    trainer.join(held)
    until(lambda: steps(held) > 0)
    held.paused = True
    until(lambda: len(trainer) == 0)
    done = steps(held)
    held.paused = False
    held.glance()
    trainer.join(held)
    until(lambda: steps(held) > done)
    trainer.leave(held)
    until(lambda: len(trainer) == 0)


def test_a_full_line_refuses() -> None:
    trainer = Trainer(most=2, turn_s=60)
    sessions = [Session(TINY) for _ in range(3)]
    trainer.join(sessions[0])
    trainer.join(sessions[1])
    with pytest.raises(ValueError, match="Too many"):
        trainer.join(sessions[2])
    for session in sessions:
        trainer.leave(session)
    until(lambda: len(trainer) == 0)


def test_one_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer()
    bad, good = Session(TINY), Session(TINY)

    def fail(seconds: float) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(bad, "train", fail)
    trainer.join(bad)
    trainer.join(good)
    until(lambda: steps(good) > 0)
    assert bad.paused
    trainer.leave(good)
    until(lambda: len(trainer) == 0)


def test_a_thread_that_computes_alone_leaves_the_others_theirs() -> None:
    before, seen = torch.get_num_threads(), []
    for job in (compute_alone, lambda: None):
        thread = threading.Thread(target=lambda job=job: (job(), seen.append(torch.get_num_threads())))
        thread.start()
        thread.join()
    assert seen == [1, before] and torch.get_num_threads() == before
