from __future__ import annotations

import math

import pytest

from demos.core.limits import number_in

LIMITS = {"steps": (1, 5000), "share": (0.001, 1.0)}


@pytest.mark.parametrize(("name", "value", "number"), [("steps", 3, 3), ("steps", "5000", 5000), ("share", True, 1)])
def test_numbers_within_their_limits(name: str, value: object, number: float) -> None:
    assert number_in(LIMITS, name, value) == number


@pytest.mark.parametrize("value", [None, "many", [], {}, math.nan, math.inf, "Infinity", 1.5, 0, 5001, 10**400])
def test_anything_else_is_refused_in_one_sentence(value: object) -> None:
    with pytest.raises(ValueError, match=r"^“steps” must be a whole number from 1 to 5,000\.$"):
        number_in(LIMITS, "steps", value)


def test_other_numbers_need_not_be_whole() -> None:
    assert number_in(LIMITS, "share", 0.5) == 0.5
    with pytest.raises(ValueError, match=r"^“share” must be a number from 0\.001 to 1\.$"):
        number_in(LIMITS, "share", 0)
