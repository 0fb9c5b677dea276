"""The first stage of the fast engine, and the search that both engines share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from demos.style.codes import StyleCode, collect
from demos.style.colour import moments, transfer
from demos.style.matching import Patches, rebuilt
from demos.style.measure import style_distance
from demos.style.underpainting import underpaint
from tests.style.conftest import tensor


def code_of(seed: int, count: int = 48) -> StyleCode:
    style = tensor(seed, 96, 128)
    return StyleCode(moments(style)[0], collect(style, count=count))


@pytest.mark.parametrize("size", [(8, 8), (16, 120), (40, 64), (130, 90), (300, 17)])
def test_any_size_is_underpainted(size: tuple[int, int]) -> None:
    y = underpaint(tensor(0, *size), code_of(1))
    assert y.shape == (1, 3, *size) and y.isfinite().all() and y.abs().max() <= 1


def test_strength_leads_from_the_content_to_the_style() -> None:
    content, style, code = tensor(0, 96, 128), tensor(1, 96, 128), code_of(1)
    pictures = [underpaint(content, code, strength) for strength in (0.0, 0.5, 1.0)]
    assert torch.allclose(pictures[0], content, atol=1e-5)
    changes = [(y - content).abs().mean() for y in pictures]
    assert changes[0] < changes[1] < changes[2]
    assert style_distance(pictures[2], style) < style_distance(content, style)


def test_it_is_the_same_again_and_another_with_another_style() -> None:
    content = tensor(0, 64, 64)
    first, again, other = (underpaint(content, code_of(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and (first - other).abs().mean() > 0.05


def test_a_window_is_seen_at_the_scale_of_its_picture() -> None:
    content, code = tensor(0, 64, 64), code_of(1)
    assert torch.equal(underpaint(content, code), underpaint(content, code, whole=64))
    assert not torch.allclose(underpaint(content, code), underpaint(content, code, whole=256), atol=0.01)


def test_what_is_made_of_the_patches_is_rebuilt_as_it_is() -> None:
    x = tensor(0, 40, 52)
    everything = F.unfold(F.pad(x, (7, 9, 7, 9), mode="reflect"), 7)[0].T
    y = rebuilt(x, Patches(everything, 7, 4096), 0, 2)
    assert (y - x).abs().mean() < 0.01
    foreign = rebuilt(x, Patches(F.unfold(tensor(1, 40, 52), 7)[0].T, 7, 4096), 0, 2)
    assert (foreign - x).abs().mean() > 0.1


def test_where_one_patch_serves_for_all_no_rows_or_columns_show() -> None:
    style = Patches(F.unfold(tensor(1, 40, 52), 9)[0].T, 9, 256)

    def columns(quincunx: bool) -> float:
        y = rebuilt(torch.zeros(1, 3, 64, 64), style, 0, 4, quincunx=quincunx)
        assert (y - y.roll((4, 4), (2, 3))).abs().amax() < 1e-4
        return float(y.mean(2).unflatten(2, (16, 4)).mean(2).diff(dim=1).abs().mean())

    assert columns(True) < 0.7 * columns(False)


def test_noise_finds_other_patches_for_the_same_place() -> None:
    style = Patches(F.unfold(tensor(1, 40, 52), 9)[0].T, 9, 256)
    flat = torch.zeros(50, 3 * 81)
    alone, varied = (len(style.nearest(flat, 0, noise).unique(dim=0)) for noise in (0.0, 0.5))
    assert alone == 1 < varied


def test_the_nearest_patch_is_in_the_style() -> None:
    pixels = F.unfold(transfer(tensor(0), tensor(1)), 5)[0].T
    found = Patches(pixels, 5, 1024).nearest(F.unfold(tensor(2), 5)[0].T[:50], 0)
    assert (found[:, None] - pixels).abs().amax(2).amin(1).max() == 0
