"""Codes: of pictures, of presets, mixed, and drawn from a density."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from demos.core.checkpoint import load_network, save_weights
from demos.style.codes import COUNT, PATCH, CodeDensity, blend, collect, encode, load_presets
from demos.style.colour import MOMENTS, moments
from tests.style.conftest import CODE, NAMES, tensor, tiny_density, tiny_encoder, tiny_presets


@pytest.mark.parametrize("size", [(64, 80), (20, 20), (90, 400), (300, 40)])
def test_a_picture_of_any_size_has_a_code(size: tuple[int, int]) -> None:
    code = encode(tiny_encoder(), tensor(0, *size))
    assert code.features.shape == (CODE,) and code.features.isfinite().all()
    assert code.patches.shape == (3, COUNT, 3, PATCH, PATCH) and code.patches.dtype == torch.uint8
    assert torch.allclose(code.colours, moments(tensor(0, *size)), atol=0.02)


def test_the_code_hardly_depends_on_the_resolution() -> None:
    encoder = tiny_encoder()
    big, small, other = (
        encode(encoder, tensor(seed, *size)).features
        for seed, size in ((0, (384, 512)), (0, (192, 256)), (1, (192, 256)))
    )
    assert (big - small).norm() < (big - other).norm()


def test_presets_are_written_read_and_found(tmp_path: Path) -> None:
    presets = tiny_presets()
    tensors = {"features": presets.features, "patches": presets.patches}
    save_weights(tensors, tmp_path, config={"titles": list(NAMES.items())}, dtype=torch.float16)
    again = load_presets(tmp_path)
    assert list(again.titles.items()) == list(NAMES.items())
    assert torch.allclose(again.features, presets.features, atol=1e-2)
    assert torch.equal(again.patches, presets.patches)
    assert torch.equal(presets.code("dots").features, presets.features[1])
    with pytest.raises(ValueError, match="no style called “teapot”"):
        presets.code("teapot")
    save_weights(tensors | {"patches": presets.patches[:2]}, tmp_path, config={"titles": list(NAMES.items())})
    with pytest.raises(ValueError, match="4 titles"):
        load_presets(tmp_path)


def test_patches_are_cut_from_the_picture_in_an_order_by_seed() -> None:
    x = tensor(0, 64, 64)
    first, again, other = (collect(x, seed, 40) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    whole = (127.5 * (x[0] + 1)).round()
    places = whole.unfold(1, PATCH, 1).unfold(2, PATCH, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
    differences = (first[0].float()[:, None] - places).abs().amax((2, 3, 4)).amin(1)
    assert differences.max() <= 2


def test_neighbours_begin_with_the_nearest() -> None:
    presets = tiny_presets()
    near = presets.code("mist").features + 0.05 * presets.features.std(0)
    assert presets.neighbours(near)[0] == "mist" and len(presets.neighbours(near)) == 3
    assert len(presets.neighbours(near, 2)) == 2


def test_an_imagined_style_has_its_own_colours_and_its_neighbours_patches() -> None:
    presets = tiny_presets()
    features = presets.features[2] + 0.01
    wanted = moments(tensor(7))[0]
    features[-MOMENTS:] = wanted
    code = presets.imagined(features)
    assert code.patches.shape == presets.patches.shape[1:] and code.patches.dtype == torch.uint8
    mean = code.patches.float().mean((0, 1, 3, 4)) / 127.5 - 1
    near = blend([presets.code(n) for n in presets.neighbours(features)], [3, 2, 1])
    before = near.patches.float().mean((0, 1, 3, 4)) / 127.5 - 1
    assert (mean - wanted[:3]).norm() < 0.5 * (before - wanted[:3]).norm()


def test_a_blend_is_between_its_parts() -> None:
    presets = tiny_presets()
    a, b = presets.code("dots"), presets.code("mist")
    for alone in (blend([a, b], [1, 0]), blend([a], [3])):
        assert torch.equal(alone.features, a.features) and torch.equal(alone.patches, a.patches)
    both, more = blend([a, b], [3, 1]), blend([a, b], [30, 10])
    assert torch.allclose(both.features, 0.75 * a.features + 0.25 * b.features, atol=1e-6)
    assert torch.equal(both.patches[:, :6], a.patches[:, :6]) and torch.equal(both.patches[:, 6:], b.patches[:, 6:])
    assert torch.allclose(both.features, more.features, atol=1e-6) and torch.equal(both.patches, more.patches)


def test_the_density_knows_what_it_was_fitted_to(tmp_path: Path) -> None:
    torch.manual_seed(0)
    density, g = CodeDensity(CODE, steps=2, hidden=16), torch.Generator().manual_seed(0)
    seen = torch.randn(400, CODE, generator=g) * 0.3 + torch.linspace(-1, 1, CODE)
    density.measure(seen)
    adam = torch.optim.Adam(density.parameters(), 3e-3)
    first = density.log_prob(seen).mean().item()
    loss = torch.zeros(())
    for _ in range(40):
        loss = -density.log_prob(seen).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    density.eval().requires_grad_(False)
    assert -loss.item() > first and density.log_prob(seen).mean() > density.log_prob(seen + 2).mean() + 10
    drawn = density.sample(200, torch.Generator().manual_seed(1), 1.0)
    assert (drawn.mean(0) - seen.mean(0)).abs().max() < 0.3
    density.save_pretrained(tmp_path)
    assert torch.equal(load_network(CodeDensity, tmp_path).log_prob(seen), density.log_prob(seen))


def test_the_density_is_the_flows_with_the_scale_counted() -> None:
    density, x = tiny_density(), tiny_presets().features
    flat = (x - density.mean) / density.std
    assert torch.allclose(density.log_prob(x), density.flow.log_prob(flat) - density.std.log().sum(), atol=1e-3)


def test_samples_follow_seed_and_temperature() -> None:
    density = tiny_density()
    first, again, other = (density.sample(3, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (3, CODE) and torch.equal(first, again) and not torch.equal(first, other)
    calm, wild = (density.sample(200, torch.Generator().manual_seed(0), t).std(0).mean() for t in (0.3, 1.0))
    assert calm < 0.6 * wild
