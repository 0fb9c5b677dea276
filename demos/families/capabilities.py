"""What a family can do, read from its code: a method that only raises `NotImplementedError` says that it cannot.

The table in the app comes from here, so it cannot claim what the code does not hold.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["QUESTIONS", "Capability", "capabilities", "refusal"]

QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "generation": ("sample",),
    "density": ("log_prob",),
    "representation": ("encode", "decode"),
}
"""The three questions and the methods that answer them."""
_parsing = threading.Lock()


@dataclass(frozen=True)
class Capability:
    """Whether a family answers a question.

    Attributes:
        able: whether every method of the question is there.
        note: of a density its kind; of what is missing, why.
    """

    able: bool
    note: str = ""


def refusal(family: type, method: str) -> str | None:
    """The sentence with which a method refuses, or None if it does something.

    One thread at a time reads it, and only once: Python 3.11 before 3.11.8 counts the depth of a syntax tree for all
    threads together and now and then fails when two parse at the same moment (CPython issue 106905).

    Raises:
        AttributeError: there is no such method.
    """
    with _parsing:
        return _read(family, method)


@functools.cache
def _read(family: type, method: str) -> str | None:
    source = textwrap.dedent(inspect.getsource(getattr(family, method)))
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    last = function.body[-1]
    if not isinstance(last, ast.Raise) or not isinstance(last.exc, ast.Call):
        return None
    if not isinstance(last.exc.func, ast.Name) or last.exc.func.id != "NotImplementedError":
        return None
    argument = last.exc.args[0] if last.exc.args else None
    return str(argument.value) if isinstance(argument, ast.Constant) else ""


def capabilities(families: Mapping[str, type]) -> dict[str, dict[str, Capability]]:
    """For every family by its name: each of `QUESTIONS` and whether it is answered."""
    table: dict[str, dict[str, Capability]] = {}
    for name, family in families.items():
        row = {}
        for question, methods in QUESTIONS.items():
            refusals = [said for method in methods if (said := refusal(family, method)) is not None]
            note = refusals[0] if refusals else getattr(family, "bound", "") if question == "density" else ""
            row[question] = Capability(not refusals, note)
        table[name] = row
    return table
