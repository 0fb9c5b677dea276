"""The Anomaly networks in small: shapes, padding that changes nothing, gradients, save and load, positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demos.anomaly.features import Scale, collate, deep, look, rows_of
from demos.anomaly.networks import CODE, Inspector, TileField, position_code
from tests.anomaly.conftest import surface, tiny_field, tiny_inspector


def test_shapes() -> None:
    x, mask = collate([surface(0), surface(1, 50, 70)])
    assert x.shape == (2, 3, 96, 80) and mask.shape == (2, 1, 96, 80)
    pyramid = tiny_inspector().pyramid(x, mask)
    assert [tuple(f.shape[1:]) for f in pyramid] == [(8, 48, 40), (16, 24, 20), (32, 12, 10), (32, 6, 5)]
    assert tiny_inspector()(x, mask).shape == (2, 1, 48, 40)
    assert deep(pyramid, mask).shape == (2, 80, 12, 10)
    assert tiny_field()(x[:, :1], torch.tensor([0.3, 0.9]), mask).shape == (2, 1, 96, 80)


def test_padding_changes_nothing_within_a_picture() -> None:
    network, pixels = tiny_inspector(), surface(1, 64, 48)
    alone, many = (collate(p) for p in ([pixels], [pixels, surface(0)]))
    one, padded = network(*alone)[0, 0], network(*many)[0, 0]
    assert torch.allclose(padded[:32, :24], one, atol=1e-5)
    features = [deep(network.pyramid(*given), given[1])[0, :, :8, :6] for given in (alone, many)]
    assert torch.allclose(features[0], features[1], atol=1e-5)
    assert one.std() > 1e-3


def test_padding_changes_nothing_in_a_picture_of_noise() -> None:
    field, x = tiny_field(), torch.randn(1, 1, 64, 48, generator=torch.Generator().manual_seed(0))
    t, mask = torch.tensor([0.5]), torch.ones(1, 1, 64, 48)
    a = field.clean(x, t, mask)
    assert a.std() > 1e-3
    hidden = mask.clone()
    hidden[..., 32:] = 0
    b = field.clean(x, t, hidden)
    assert (b[..., 32:] == 0).all()
    changed = x.clone()
    changed[..., 32:] += 1
    assert torch.allclose(field.clean(changed, t, hidden), b)


def test_what_lies_far_away_does_not_matter_to_the_fine_features() -> None:
    network = tiny_inspector()
    x, mask = collate([surface(0, 96, 208)])
    other = x.clone()
    other[..., 190:] = 1
    a, b = (network.pyramid(p, mask)[1][..., :8] for p in (x, other))
    assert torch.equal(a, b)


@pytest.mark.parametrize("kind", [Inspector, TileField])
def test_all_weights_learn(kind: type) -> None:
    network: Any = (tiny_inspector if kind is Inspector else tiny_field)().requires_grad_(True)
    x, mask = collate([surface(0)])
    out = network(x, mask) if kind is Inspector else network(x[:, :1], torch.tensor([0.5]), mask)
    out.square().mean().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert idle == []
    assert sum(bool(p.grad.any()) for p in network.parameters()) > 0.9 * len(list(network.parameters()))


@pytest.mark.parametrize("network", [tiny_inspector(), tiny_field()], ids=lambda n: type(n).__name__)
def test_saved_and_loaded_it_is_the_same(network: Any, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path)
    assert (
        again.config["widths"] == list(network.config["widths"]) or again.config["widths"] == network.config["widths"]
    )
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_the_velocity_belongs_to_the_clean_picture() -> None:
    field = tiny_field()
    x, t, mask = torch.randn(2, 1, 32, 32), torch.tensor([0.5, 0.01]), torch.ones(2, 1, 32, 32)
    v, clean = field(x, t, mask), field.clean(x, t, mask)
    assert torch.allclose(x[0] - 0.5 * v[0], clean[0], atol=1e-5)
    assert torch.allclose(x[1] - 0.05 * v[1], clean[1], atol=1e-5)


def test_positions_are_relative_to_the_picture_not_to_the_padding() -> None:
    mask = torch.zeros(2, 1, 10, 12)
    mask[0], mask[1, :, :6, :8] = 1, 1
    code = position_code(mask)
    assert code.shape == (2, CODE, 10, 12)
    assert not code[1, :, 6:].any() and not code[1, :, :, 8:].any()
    alone = position_code(torch.ones(1, 1, 6, 8))
    assert torch.allclose(code[1, :, :6, :8], alone[0])
    assert torch.allclose(alone[0, [0, 4]], -alone[0, [0, 4]].flip(1, 2), atol=1e-6)
    assert alone[0, 0, 0, 0] > alone[0, 0, 3, 0] > alone[0, 0, 5, 0]


def test_a_detector_reduces_all_pictures_alike_unless_they_are_of_another_world() -> None:
    scale = Scale.of([(512, 512), (512, 500), (600, 512)])
    assert scale.factor == pytest.approx(0.5, rel=0.02)
    assert scale.apply(np.zeros((400, 600, 3), np.uint8)).shape[:2] == pytest.approx((200, 300), rel=0.02)
    for far in ((60, 80), (4000, 3000)):
        height, width = scale.apply(np.zeros((*far, 3), np.uint8)).shape[:2]
        assert height * width == pytest.approx(scale.area, rel=0.05)
        assert height / width == pytest.approx(far[0] / far[1], rel=0.05)
    small = Scale.of([(100, 90)])
    assert small.factor == 1 and small.apply(np.zeros((100, 90, 3), np.uint8)).shape == (100, 90, 3)


def test_rows_come_from_all_pictures() -> None:
    seen = [look(tiny_inspector(), surface(i)) for i in range(3)]
    assert [view.features.shape for view in seen[0].views] == [(80, 12, 10), (80, 6, 5)]
    assert seen[0].logits.shape == (48, 40)
    views = [s.views[0] for s in seen]
    x, code = rows_of(views, 90, torch.Generator().manual_seed(0))
    assert len(x) == len(code) == 90 and x.shape[1] == 80 and code.shape[1] == CODE
    pool = torch.cat([view.features.flatten(1).T for view in views]).float()
    assert (torch.cdist(x, pool).min(1)[0] < 1e-2).all()
    assert len(rows_of(views, 10**9, torch.Generator())[0]) == 360


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (16, 250)])
def test_the_second_view_is_the_half_of_any_picture(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    near, far = look(tiny_inspector(), pixels).views
    assert near.features.shape[1:] == tuple(-(-n // 8) for n in size)
    assert far.features.shape[1:] == far.code.shape[1:] == tuple(-(-n // 16) for n in size)


def test_the_second_view_shows_the_half() -> None:
    pixels = surface(0)
    height, width = pixels.shape[:2]
    half = pixels.reshape(height // 2, 2, width // 2, 2, -1).mean((1, 3)).round().astype(np.uint8).squeeze()
    far, near = look(tiny_inspector(), pixels).views[1], look(tiny_inspector(), half).views[0]
    assert torch.allclose(far.features, near.features, atol=0.05) and torch.equal(far.code, near.code)
