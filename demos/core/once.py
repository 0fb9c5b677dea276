"""Make a thing once, although several threads ask for it at the same moment."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Once", "once"]

T = TypeVar("T")
_loading = threading.RLock()


class Once(Generic[T]):
    """A function without arguments whose first result is kept; its own lock makes others wait for it alone."""

    def __init__(self, make: Callable[[], T], lock: threading.RLock | None = None) -> None:
        self._make, self._made = make, list[T]()
        self._making = lock or threading.RLock()
        functools.update_wrapper(self, make)

    def __call__(self) -> T:
        """The result, made now if it was not made yet."""
        if not self._made:
            with self._making:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def cache_clear(self) -> None:
        """Forget the result."""
        self._made.clear()


def once(make: Callable[[], T]) -> Once[T]:
    """Decorate a function that loads a model: one thread at a time loads any model, the others wait for it.

    `functools.cache` would let two visitors load the same model side by side, and Python's import of large libraries
    fails now and then when two threads begin it together.
    """
    return Once(make, _loading)
