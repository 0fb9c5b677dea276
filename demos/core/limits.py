"""Numbers that a caller may set, and the one sentence for those that are out of range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["Limits", "number_in"]

Limits: TypeAlias = "Mapping[str, tuple[float, float]]"
"""Lowest and highest value of every setting, both included; where they are of type int, whole numbers only."""


def number_in(limits: Limits, name: str, value: object) -> float:
    """`value` as a number within `limits[name]`.

    Raises:
        ValueError: no number, not finite, not whole where it must be, or out of range.
    """
    low, high = limits[name]
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    whole = isinstance(low, int)
    if not low <= number <= high or (whole and number != int(number)):
        kind, form = ("a whole number", ",") if whole else ("a number", "g")
        raise ValueError(f"“{name}” must be {kind} from {low:{form}} to {high:{form}}.")
    return number
