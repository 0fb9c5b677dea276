"""Seeds: what is accepted, what is chosen, and that equal seeds draw equal noise."""

import pytest
import torch

from demos.core.seed import MAX_SEED, generator, normalise_seed, random_seed, seeds_from


@pytest.mark.parametrize(
    ("given", "expected"), [(0, 0), (7, 7), (7.0, 7), ("42", 42), (" 5 ", 5), (MAX_SEED, MAX_SEED)]
)
def test_whole_numbers_are_kept(given: int | float | str, expected: int) -> None:
    assert normalise_seed(given) == expected


@pytest.mark.parametrize("given", [None, -1, -(10**30), "", "  "])
def test_no_seed_means_a_fresh_one(given: int | str | None) -> None:
    drawn = {normalise_seed(given) for _ in range(5)}
    assert len(drawn) == 5
    assert all(0 <= seed <= MAX_SEED for seed in drawn)


@pytest.mark.parametrize("given", [1.5, float("nan"), float("inf"), "cat", "1e3", MAX_SEED + 1, [], {}])
def test_anything_else_is_refused_in_a_sentence(given: object) -> None:
    with pytest.raises(ValueError, match="whole number from 0 to"):
        normalise_seed(given)  # type: ignore[arg-type]


def test_variations_have_consecutive_seeds_and_wrap() -> None:
    assert seeds_from(3, 4) == [3, 4, 5, 6]
    assert seeds_from(MAX_SEED, 2) == [MAX_SEED, 0]


def test_equal_seeds_draw_equal_noise() -> None:
    first, again, other = (torch.randn(8, generator=generator(seed)) for seed in (11, 11, 12))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_global_randomness_is_untouched() -> None:
    before = torch.get_rng_state()
    generator(random_seed())
    assert torch.equal(before, torch.get_rng_state())
