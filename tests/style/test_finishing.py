"""The last stage of the fast engine."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from torch import Tensor

from demos.style.codes import StyleCode, collect
from demos.style.colour import moments, transfer
from demos.style.data import to_tensor
from demos.style.finishing import finish
from demos.style.measure import style_distance
from tests.style.conftest import tensor


def code_of(style: Tensor) -> StyleCode:
    return StyleCode(moments(style)[0], collect(style))


def done(y: Tensor, style: Tensor, seed: int = 0, steps: int = 3) -> Tensor:
    return finish(y, code_of(style), torch.Generator().manual_seed(seed), steps)


def test_more_steps_come_nearer_to_the_style() -> None:
    content, style = (to_tensor(picture[::2, ::2].copy()) for picture in (data.astronaut(), data.coffee()))
    y = transfer(content, style)
    distances = [style_distance(done(y, style, steps=steps), style) for steps in (0, 3, 12)]
    assert distances[0] > distances[1] > distances[2]


def test_the_seed_decides_and_the_style_too() -> None:
    y, style = tensor(0, 64, 64), tensor(1, 64, 64)
    assert torch.equal(done(y, style, 1), done(y, style, 1)) and torch.equal(done(y, style, steps=0), y)
    assert not torch.equal(done(y, style, 1), done(y, style, 2))
    assert (done(y, style) - done(y, tensor(2, 64, 64))).abs().mean() > 0.005


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (33, 31), (64, 90)])
def test_any_size_without_gradients_around(size: tuple[int, int]) -> None:
    y = tensor(0, *size)
    with torch.no_grad():
        found = done(y, tensor(1))
    assert found.shape == y.shape and found.isfinite().all() and found.abs().max() <= 1 and not found.requires_grad


def test_one_colour_alone_is_no_trouble() -> None:
    flat = torch.full((1, 3, 32, 32), 0.2)
    assert done(flat, tensor(1)).isfinite().all()
