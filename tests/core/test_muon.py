"""Muon: its iteration against a singular value decomposition, its steps, and where it takes none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from demos.core.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(6, 6), (4, 20), (20, 4)])
def test_singular_values_become_about_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.mT @ orthogonal(matrix) @ v.mT
    assert torch.allclose(inner, inner.diagonal().diag(), atol=1e-4)
    assert inner.diagonal().min() > 0.6 and inner.diagonal().max() < 1.25
    assert orthogonal(torch.zeros(shape)).eq(0).all()


def test_a_step_has_its_size_whatever_the_gradient_s_and_only_matrices_take_it() -> None:
    moved = []
    for gradient in (1e-3, 1e3):
        matrix, bias = nn.Parameter(torch.zeros(8, 4, 2)), nn.Parameter(torch.zeros(8))
        muon = Muon([bias], [matrix], 8.0, lr=0.01, weight_decay=0.0)
        shape = torch.randn(8, 4, 2, generator=torch.Generator().manual_seed(1))
        matrix.grad, bias.grad = gradient * shape, torch.full((8,), gradient)
        muon.step()
        assert matrix.grad is None and torch.allclose(bias, torch.full((8,), -0.01), atol=1e-6)
        moved.append(matrix.detach().flatten(1).clone())
    sizes = torch.linalg.svdvals(moved[0]) / 0.08
    assert torch.allclose(*moved, atol=1e-4) and sizes.min() > 0.6 and sizes.max() < 1.25


def test_what_has_no_gradient_stays_and_weights_decay() -> None:
    still, decayed = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    muon = Muon([nn.Parameter(torch.ones(1))], [still, decayed], 5.0, lr=0.1, weight_decay=0.1)
    decayed.grad = torch.zeros(4, 4)
    muon.step()
    assert still.eq(1).all() and torch.allclose(decayed, torch.full((4, 4), 0.95))
