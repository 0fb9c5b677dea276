"""The exact engine on small pictures."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from demos.core.cancel import Cancelled
from demos.style import exact, matching
from demos.style.colour import transfer
from demos.style.exact import plan, resize
from demos.style.measure import style_distance
from tests.style.conftest import tensor

Seen = list[tuple[int, int, Tensor]]


rebuild = partial(exact.rebuild, polish=6)


@pytest.fixture(scope="module")
def content() -> Tensor:
    return tensor(3, 96, 112)


@pytest.fixture(scope="module")
def style() -> Tensor:
    """Stripes: nothing like the content."""
    y, x = torch.meshgrid(torch.arange(100.0), torch.arange(90.0), indexing="ij")
    wave = torch.sin(0.5 * x + 0.3 * y)
    grain = 0.05 * torch.randn(1, 3, 100, 90, generator=torch.Generator().manual_seed(0))
    return (torch.stack([wave, 0.6 * wave - 0.2, -0.5 * wave])[None] * 0.8 + grain).clamp(-1, 1)


def test_the_plan_goes_from_coarse_to_fine() -> None:
    rounds = plan(256, 384)
    sizes = [(r.height, r.width) for r in rounds]
    assert sizes == sorted(sizes) and sizes[0] == (64, 96) and sizes[-1] == (256, 384)
    assert [r.side for r in rounds[:6]] == [11] * 3 + [7] * 3
    assert len(plan(20, 20)) == 6 and min(plan(5, 3), key=lambda r: r.width).width >= 11


def test_the_distance_to_the_style_falls_from_level_to_level(content: Tensor, style: Tensor) -> None:
    seen: Seen = []
    rebuild(content, style, on_step=lambda i, n, x: seen.append((i, n, x)))
    assert [i for i, _, _ in seen] == list(range(1, len(seen) + 1)) and {n for _, n, _ in seen} == {len(seen)}
    start = transfer(content, style)
    ends = [seen[i][2] for i in range(len(seen)) if i + 1 == len(seen) or seen[i + 1][2].shape != seen[i][2].shape]
    found = [style_distance(resize(x, start.shape[2:]), style) for x in (start, *ends)]
    assert len(found) >= 3 and found == sorted(found, reverse=True) and found[-1] < 0.6 * found[0]


def test_the_same_seed_gives_the_same_picture(content: Tensor, style: Tensor) -> None:
    small = resize(content, (48, 56))
    first, again, other = (rebuild(small, style, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == small.shape and first.abs().max() <= 1


@pytest.mark.parametrize("stop", [2, 8])
def test_stopped_and_continued_is_the_same_as_uninterrupted(content: Tensor, style: Tensor, stop: int) -> None:
    small, kept = resize(content, (48, 56)), {}

    def halt(i: int, n: int, x: Tensor) -> None:
        kept["start"] = (i, x)
        if i == stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        rebuild(small, style, 5, on_step=halt)
    assert kept["start"][0] == stop
    assert torch.equal(rebuild(small, style, 5, start=kept["start"]), rebuild(small, style, 5))


def test_more_of_the_content_is_kept_on_demand(content: Tensor, style: Tensor) -> None:
    small = resize(content, (48, 56))
    base = transfer(small, style)
    near, far = (float((rebuild(small, style, keep=keep) - base).square().mean()) for keep in (2.0, 0.05))
    assert near < far


def test_a_picture_of_itself_hardly_changes(style: Tensor) -> None:
    made = rebuild(style, style)
    assert float((made - style).square().mean()) < 0.1 * float(style.var())


def test_the_nearest_patch_is_that_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "VARIANCE", 2.0)
    style, query = tensor(0, 14, 16), torch.nn.functional.unfold(tensor(1, 14, 16), 5)[0].T
    patches = exact._patches(style, 5, 0)
    keys = torch.nn.functional.unfold(style, 5)[0].T
    assert torch.allclose(patches.pixels, keys)
    distance = torch.cdist(query.double(), keys.double()) ** 2
    spread = torch.cov(keys.double().T).trace()
    scaled = distance / (distance.amin(0) + matching.ALPHA * spread + 1e-6)
    assert torch.allclose(patches.nearest(query, 0), keys[scaled.argmin(1)], atol=1e-5)


@pytest.mark.parametrize("size", [(32, 200), (33, 47), (70, 32)])
def test_any_size(size: tuple[int, int], style: Tensor) -> None:
    made = rebuild(tensor(0, *size), style)
    assert made.shape == (1, 3, *size) and made.isfinite().all()
