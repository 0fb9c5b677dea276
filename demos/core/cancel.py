"""Stopping long work from outside: a callback that raises.

Long work calls `on_step(i, n, preview)` after each of its `n` steps. Whoever started the work stops it by raising
`Cancelled` from that callback, so that nothing runs longer than one step past the request.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Cancelled", "OnStep", "Replaced", "check", "report"]

OnStep: TypeAlias = Callable[[int, int, Any], None]
"""`on_step(i, n, preview)`: step `i` of 1..`n` is done; `preview` is a value, a function that makes it, or None."""


class Cancelled(Exception):
    """The caller asked the work to stop.

    Args:
        heir: name of the job that runs instead; empty if none does.
    """

    def __init__(self, heir: str = "") -> None:
        super().__init__(heir)
        self.heir = heir


class Replaced(Exception):
    """Another job of the same kind runs instead, and says all that is to be said."""


def check(cancelled: Callable[[], bool] | None) -> None:
    """Raise `Cancelled` if `cancelled()` is true; None never cancels."""
    if cancelled is not None and cancelled():
        raise Cancelled


def report(on_step: OnStep | None, i: int, n: int, preview: Any = None) -> None:
    """Call `on_step(i, n, preview)` if there is one; it may raise `Cancelled`."""
    if on_step is not None:
        on_step(i, n, preview)
