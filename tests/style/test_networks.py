"""Encoder and painter: shapes, gradients, files, and what code and noise change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from demos.core.checkpoint import load_network
from demos.style.colour import MOMENTS, moments
from demos.style.networks import Painter, StyleEncoder
from tests.style.conftest import CODE, awake, tensor, tiny_encoder, tiny_painter, tiny_presets


def painted(painter: Painter, x: Tensor, code: Tensor, seed: int = 0) -> Tensor:
    return painter(x, code.expand(len(x), -1), torch.Generator().manual_seed(seed))


def test_a_code_ends_with_the_moments_of_the_colours() -> None:
    x = torch.cat([tensor(0), tensor(1)])
    code = tiny_encoder()(x)
    assert code.shape == (2, CODE) and torch.allclose(code[:, -MOMENTS:], moments(x))
    learned = code[:, :-MOMENTS]
    assert torch.allclose(learned.mean(1), torch.zeros(2), atol=1e-4)
    assert torch.allclose(learned.std(1, correction=0), torch.ones(2), atol=1e-2)
    assert not torch.allclose(learned[0], learned[1], atol=0.05)


def test_a_code_hardly_depends_on_where_things_are() -> None:
    encoder = tiny_encoder()
    here, there, other = (encoder(x)[0, :-MOMENTS] for x in (tensor(0), tensor(0).flip(3), tensor(1)))
    assert (here - there).norm() < 0.5 * (here - other).norm()


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (16, 96)])
def test_shapes(size: tuple[int, int]) -> None:
    codes = tiny_presets().features
    assert painted(tiny_painter(), tensor(0, *size), codes[:1]).shape == (1, 3, *size)


@pytest.mark.parametrize("size", [(30, 32), (32, 44)])
def test_sides_that_are_no_multiple_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        painted(tiny_painter(), tensor(0, *size), tiny_presets().features[:1])


def test_code_and_noise_change_the_picture() -> None:
    painter, x, codes = tiny_painter(), tensor(0), tiny_presets().features
    first = painted(painter, x, codes[:1])
    assert torch.equal(first, painted(painter, x, codes[:1]))
    assert (first - painted(painter, x, codes[1:2])).abs().mean() > 0.01
    assert (first - painted(painter, x, codes[:1], 1)).abs().mean() > 1e-4
    learned = torch.cat([codes[1:2, :-MOMENTS], codes[:1, -MOMENTS:]], 1)
    assert (first - painted(painter, x, learned)).abs().mean() > 1e-3


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    painter, codes = tiny_painter(), tiny_presets().features
    with torch.inference_mode():
        pair = painter(torch.cat([tensor(0), tensor(1)]), codes[:2], torch.Generator().manual_seed(0))
        other = painter(torch.cat([tensor(0), tensor(2)]), codes[[0, 2]], torch.Generator().manual_seed(0))
    assert torch.allclose(pair[0], other[0], atol=1e-4) and not torch.allclose(pair[1], other[1], atol=0.01)


def test_a_new_painter_hardly_changes_what_it_is_given() -> None:
    torch.manual_seed(0)
    painter = Painter(widths=(8, 8, 16), blocks=(1, 1, 1), code=CODE, hidden=16).eval()
    with torch.inference_mode():
        y = painted(painter, tensor(0), tiny_presets().features[:1])
    assert (y - tensor(0)).abs().mean() < 0.1


def test_gradients_are_finite_and_reach_everything() -> None:
    encoder, painter = (awake(n).train().requires_grad_(True) for n in (tiny_encoder(), tiny_painter()))
    x = torch.cat([tensor(0), tensor(1)])
    y = painter(x, encoder(x.flip(0)), torch.Generator().manual_seed(0))
    y.square().mean().backward()
    weights = [*encoder.named_parameters(), *painter.named_parameters()]
    missing = [name for name, w in weights if w.grad is None or not w.grad.isfinite().all() or not w.grad.any()]
    assert all(name.endswith("bias") for name in missing)


@pytest.mark.parametrize(("make", "kind"), [(tiny_painter, Painter), (tiny_encoder, StyleEncoder)])
def test_files(tmp_path: Path, make: Any, kind: Any) -> None:
    network = make()
    network.save_pretrained(tmp_path / "network")
    again = load_network(kind, tmp_path / "network")
    if kind is StyleEncoder:
        assert torch.equal(network(tensor(0)), again(tensor(0)))
    else:
        code = tiny_presets().features[:1]
        assert torch.equal(painted(network, tensor(0), code), painted(again, tensor(0), code))
    other = kind(widths=(*network.config.widths[:-1], 24), code=CODE)
    other.save_pretrained(tmp_path / "other")
    (tmp_path / "network" / "config.json").write_bytes((tmp_path / "other" / "config.json").read_bytes())
    with pytest.raises(ValueError):
        load_network(kind, tmp_path / "network")


def test_the_engine_has_at_most_8_million_parameters() -> None:
    assert sum(w.numel() for network in (Painter(), StyleEncoder()) for w in network.parameters()) <= 8_000_000
