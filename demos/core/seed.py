"""Seeds: whole numbers that people can read, keep and type again.

The same seed with the same settings gives the same result. Noise is drawn on the CPU unless asked otherwise, because
each kind of device has its own random stream: a seed then means the same picture on all of them.
"""

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_SEED", "generator", "normalise_seed", "random_seed", "seeds_from"]

MAX_SEED = 2**32 - 1


def random_seed() -> int:
    """A fresh seed in 0..`MAX_SEED` from the operating system's randomness."""
    return secrets.randbelow(MAX_SEED + 1)


def normalise_seed(seed: int | float | str | None) -> int:
    """A seed in 0..`MAX_SEED`: None, an empty text and negative numbers mean "choose one for me".

    Raises:
        ValueError: not a whole number, or above `MAX_SEED`.
    """
    if seed is None or (isinstance(seed, str) and not seed.strip()):
        return random_seed()
    try:
        number = int(seed)
        if isinstance(seed, float) and number != seed:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"The seed must be a whole number from 0 to {MAX_SEED}.") from None
    if number > MAX_SEED:
        raise ValueError(f"The seed must be a whole number from 0 to {MAX_SEED}.")
    return random_seed() if number < 0 else number


def seeds_from(seed: int | float | str | None, count: int) -> list[int]:
    """`count` consecutive seeds from `seed` on: variation `i` is drawn again alone with its own seed."""
    first = normalise_seed(seed)
    return [(first + i) % (MAX_SEED + 1) for i in range(count)]


def generator(seed: int | float | str | None, device: "str | torch.device" = "cpu") -> "torch.Generator":
    """A `torch.Generator` on `device`, seeded with `normalise_seed(seed)`."""
    import torch

    return torch.Generator(device=device).manual_seed(normalise_seed(seed))
