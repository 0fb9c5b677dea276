"""Who trains when: a few threads, a line, and turns.

At most `workers` sessions train at once. Whoever is next in the line gets a turn; after `turn_s` seconds, if others
wait, a session goes to the end of the line. A session that nobody has watched for `patience_s` seconds leaves, and so
does one that is paused: it joins again when it goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

import torch

from demos.lab.playground import Session

__all__ = ["Trainer", "compute_alone"]

SLICE_S = 0.1
IDLE_S = 0.01
_log = logging.getLogger("atelier")
_numbers = threading.Lock()


class Trainer:
    """A line of sessions and the threads that serve it; they start with the first session and end when none is left.

    Args:
        workers: sessions that train at once.
        turn_s: seconds of a turn while others wait.
        patience_s: seconds after which a session that nobody watches ends.
        most: sessions in all.
    """

    def __init__(self, workers: int = 1, turn_s: float = 3.0, patience_s: float = 6.0, most: int = 24) -> None:
        self.workers, self.turn_s, self.patience_s, self.most = workers, turn_s, patience_s, most
        self._line: deque[Session] = deque()
        self._active: list[Session] = []
        self._ended: set[int] = set()
        self._threads = 0
        self._lock = threading.Lock()

    def join(self, session: Session) -> None:
        """Let a session train; harmless if it already does.

        Raises:
            ValueError: too many train already.
        """
        with self._lock:
            self._ended.discard(session.key)
            if session in self._active or session in self._line:
                return
            if len(self._active) + len(self._line) >= self.most:
                raise ValueError("Too many people train models here at the moment; please try again in a minute.")
            self._line.append(session)
            self._places()
            if self._threads < self.workers:
                self._threads += 1
                threading.Thread(target=self._work, name="playground", daemon=True).start()

    def leave(self, session: Session) -> None:
        """End a session's training, within one slice."""
        with self._lock:
            if session in self._line:
                self._line.remove(session)
                self._places()
            elif session in self._active:
                self._ended.add(session.key)

    def holds(self, session: Session) -> bool:
        """Whether a session trains or waits."""
        with self._lock:
            return session in self._active or session in self._line

    @property
    def training(self) -> int:
        """How many sessions train right now."""
        return len(self._active)

    def __len__(self) -> int:
        """How many sessions train or wait."""
        with self._lock:
            return len(self._active) + len(self._line)

    def _places(self) -> None:
        free = self.workers - len(self._active)
        for i, session in enumerate(self._line):
            session.place = max(0, i + 1 - free)

    def _next(self) -> Session | None:
        with self._lock:
            if not self._line:
                self._threads -= 1
                return None
            session = self._line.popleft()
            self._active.append(session)
            session.place = 0
            self._places()
            return session

    def _work(self) -> None:
        compute_alone()
        while (session := self._next()) is not None:
            again = False
            try:
                again = self._turn(session)
            except Exception:
                _log.exception("a playground session failed")
                session.paused = True
            with self._lock:
                self._active.remove(session)
                self._ended.discard(session.key)
                if again:
                    self._line.append(session)
                self._places()

    def _turn(self, session: Session) -> bool:
        """Train until the turn is over; whether the session wants another."""
        until = time.monotonic() + self.turn_s
        while True:
            if session.key in self._ended or session.paused or session.finished:
                return False
            if session.unwatched_for() > self.patience_s:
                session.paused = True
                return False
            if self._line and time.monotonic() > until:
                return True
            before = time.monotonic()
            session.train(SLICE_S)
            if time.monotonic() - before < IDLE_S:
                time.sleep(IDLE_S)


def compute_alone() -> None:
    """Let this thread compute on one core, and leave what other threads do as it is.

    Small products are slower on several cores. PyTorch keeps the number for each thread, but also hands the last one
    set to threads that are yet to come; another thread therefore sets that back.
    """
    with _numbers:
        usual = torch.get_num_threads()
        torch.set_num_threads(1)
        restore = threading.Thread(target=torch.set_num_threads, args=(usual,))
        restore.start()
        restore.join()
    torch.set_flush_denormal(True)
