"""The wrapper: what goes in and out, mixtures, masks, sizes, the exact engine's state, and bad input."""

from __future__ import annotations

import io
import resource
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demos.core.cancel import Cancelled
from demos.core.media import png_bytes
from demos.style import exact
from demos.style.model import LIMITS, Layer, Restyled, StyleModel, Unfinished
from tests.style.conftest import CODE, NAMES, encoded, pixels

DOTS = Layer([("dots", 1.0)])


def rgb(found: Restyled | Image.Image) -> np.ndarray:
    picture = found.picture if isinstance(found, Restyled) else found
    return np.asarray(picture.convert("RGB"), np.float32)


def test_the_same_seed_gives_the_same_file(model: StyleModel) -> None:
    first, again, other = (png_bytes(model.restyle(pixels(0), DOTS, seed=s).picture) for s in (3, 3, 4))
    assert first == again != other
    assert model.restyle(pixels(0), DOTS, seed=-1).seed >= 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 31), (48, 64), (33, 200)])
def test_any_size_comes_back_as_it_is(model: StyleModel, size: tuple[int, int]) -> None:
    found = model.restyle(pixels(0, *size), DOTS)
    assert found.picture.size == found.content.size == (size[1], size[0])
    assert np.array_equal(rgb(found.content), pixels(0, *size))


def test_the_long_side_is_limited(model: StyleModel) -> None:
    assert model.restyle(pixels(0, 90, 180), DOTS, size=64).picture.size == (64, 32)
    assert model.restyle(pixels(0, 40, 50), DOTS, size=1024).picture.size == (50, 40)


def test_style_strength_and_brush_change_the_picture(model: StyleModel) -> None:
    first = rgb(model.restyle(pixels(0), DOTS))
    others = [
        model.restyle(pixels(0), Layer([("mist", 1.0)])),
        model.restyle(pixels(0), DOTS, strength=0.4),
        model.restyle(pixels(0), DOTS, brush=2.0),
        model.restyle(pixels(0), Layer([(pixels(8), 1.0)])),
    ]
    assert all(np.abs(rgb(other) - first).mean() > 1 for other in others)


@pytest.mark.parametrize("size", [(48, 64), (96, 128), (20, 300)])
def test_strength_0_returns_the_content(model: StyleModel, size: tuple[int, int]) -> None:
    found = model.restyle(pixels(0, *size), DOTS, strength=0.0)
    assert np.array_equal(rgb(found), rgb(found.content))


def test_a_mixture_with_weights_1_and_0_is_the_first_alone(model: StyleModel) -> None:
    alone = png_bytes(model.restyle(pixels(0), DOTS).picture)
    for mix in ([("dots", 1.0), ("mist", 0.0)], [("dots", 7.0)], [("dots", 1.0), ("dots", 1.0)]):
        assert png_bytes(model.restyle(pixels(0), Layer(mix)).picture) == alone
    half = model.restyle(pixels(0), Layer([("dots", 1.0), ("mist", 1.0)]))
    assert png_bytes(half.picture) != alone


def test_a_code_serves_as_the_picture_or_preset_it_is_of(model: StyleModel) -> None:
    for style in (pixels(5), "dots"):
        a, b = (png_bytes(model.restyle(pixels(0), Layer([(s, 1.0)])).picture) for s in (style, model.code(style)))
        assert a == b


def test_a_mask_leaves_the_outside_untouched(model: StyleModel) -> None:
    mask = np.zeros((48, 64), np.float32)
    mask[10:30, 20:50] = 1
    found = rgb(model.restyle(pixels(0), Layer([("dots", 1.0)], mask)))
    changed = (found != pixels(0)).any(-1)
    assert not changed[mask == 0].any() and changed[mask == 1].mean() > 0.9
    nothing = model.restyle(pixels(0), Layer([("dots", 1.0)], np.zeros((9, 9))))
    assert np.array_equal(rgb(nothing), pixels(0))
    whole = model.restyle(pixels(0), Layer([("dots", 1.0)], np.ones((9, 9))))
    assert np.array_equal(rgb(whole), rgb(model.restyle(pixels(0), DOTS)))


def test_two_masks_hold_two_styles(model: StyleModel) -> None:
    left = np.zeros((48, 64), np.float32)
    left[:, :20] = 1
    right = left[:, ::-1].copy()
    found = rgb(model.restyle(pixels(0), [Layer([("dots", 1.0)], left), Layer([("mist", 1.0)], right)]))
    dots, mist = (rgb(model.restyle(pixels(0), Layer([(name, 1.0)]))) for name in ("dots", "mist"))
    assert np.array_equal(found[:, :20], dots[:, :20]) and np.array_equal(found[:, -20:], mist[:, -20:])
    assert np.array_equal(found[:, 20:-20], pixels(0)[:, 20:-20])


def test_the_colours_stay_on_demand(model: StyleModel) -> None:
    grey = np.repeat(pixels(0)[..., :1], 3, 2)
    kept = rgb(model.restyle(grey, DOTS, keep_colours=True))
    assert np.abs(kept - kept.mean(-1, keepdims=True)).max() <= 1
    free = rgb(model.restyle(grey, DOTS))
    assert np.abs(free - free.mean(-1, keepdims=True)).max() > 5


def test_transparency_stays(model: StyleModel) -> None:
    rgba = np.dstack([pixels(0), np.full((48, 64), 255, np.uint8)])
    assert model.restyle(rgba, DOTS).picture.mode == "RGB"
    rgba[:10, :, 3] = 0
    found = model.restyle(rgba, DOTS).picture
    assert found.mode == "RGBA" and np.array_equal(np.asarray(found)[..., 3], rgba[..., 3])


@pytest.mark.parametrize(
    "given",
    [
        pixels(0)[..., 0],
        np.dstack([pixels(0), pixels(1)[..., 0]]),
        pixels(0) / 255.0,
        encoded(Image.fromarray(pixels(0)).convert("CMYK"), "JPEG"),
        encoded(Image.fromarray(pixels(0)).convert("P"), "PNG"),
        encoded(Image.fromarray(pixels(0)), "GIF", save_all=True, append_images=[Image.fromarray(pixels(1))] * 3),
        encoded(pixels(0, 40, 2000)),
    ],
    ids=["grey", "alpha", "float", "CMYK", "palette", "animated", "panorama"],
)
def test_unusual_pictures_serve_as_content_and_as_style(model: StyleModel, given: Any) -> None:
    first = model.restyle(given, DOTS, size=128)
    assert first.picture.size == first.content.size and max(first.picture.size) <= 128
    assert model.restyle(pixels(0), Layer([(given, 1.0)])).picture.size == (64, 48)
    assert model.code(given).features.shape == (CODE,)


def test_content_and_style_may_be_the_same(model: StyleModel) -> None:
    found = rgb(model.restyle(pixels(0), Layer([(pixels(0), 1.0)])))
    assert found.shape == (48, 64, 3)


NAN = np.full((20, 20, 3), np.nan)
STRIP = np.zeros((30, 20_000, 3), np.uint8)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (STRIP, "too narrow"),
        (b"", "empty"),
        (b"nonsense", "not a picture"),
        (encoded(pixels(0))[:200], "damaged"),
        (NAN, "not finite"),
        (np.zeros((0, 4, 3)), "not a picture"),
        (np.zeros((4, 4, 7)), "not a picture"),
        ("/nowhere.png", "could not be found"),
        (None, "expected"),
    ],
)
def test_bad_pictures_get_a_sentence(model: StyleModel, given: Any, sentence: str) -> None:
    for call in (
        lambda: model.restyle(given, DOTS),
        lambda: model.restyle(pixels(0), Layer([(given, 1.0)])),
        lambda: model.rebuild(given, pixels(0)),
        lambda: model.rebuild(pixels(0), given),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


@pytest.mark.parametrize(
    ("mix", "sentence"),
    [
        ([], "one to 4 styles"),
        ([("dots", 0.0)], "one to 4 styles"),
        ([("dots", 1.0)] * 5, "one to 4 styles"),
        ([("dots", -1.0)], "weight"),
        ([("dots", float("nan"))], "weight"),
        ([("dots", "much")], "weight"),
        ([(np.full((4, 4, 3), np.inf), 1.0)], "not finite"),
        ([("teapot", 1.0)], "could not be found"),
    ],
)
def test_bad_mixtures_get_a_sentence(model: StyleModel, mix: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        model.restyle(pixels(0), Layer(mix))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strength": 1.1}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"strength": "very"}, "strength"),
        ({"brush": 0}, "brush"),
        ({"size": 2048}, "size"),
        ({"size": 100.5}, "size"),
        ({"seed": "x"}, "seed"),
        ({"seed": 2**40}, "seed"),
    ],
)
def test_bad_numbers_get_a_sentence(model: StyleModel, options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        model.restyle(pixels(0), DOTS, **options)


@pytest.mark.parametrize("mask", [np.zeros((4, 4, 3)), np.zeros((0, 4)), np.full((4, 4), np.nan), np.zeros(4)])
def test_bad_masks_get_a_sentence(model: StyleModel, mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="A mask"):
        model.restyle(pixels(0), Layer([("dots", 1.0)], mask))
    assert set(np.unique(rgb(model.restyle(pixels(0), Layer([("dots", 1.0)], 7 * np.ones((4, 4))))))) <= set(range(256))


def test_a_film_goes_there_and_back(model: StyleModel) -> None:
    steps: list[tuple[int, int]] = []
    data = model.film(pixels(0), DOTS, frames=4, on_step=lambda i, n, _: steps.append((i, n)))
    film: Any = Image.open(io.BytesIO(data))
    assert film.format == "GIF" and film.n_frames == 6 and film.size == (64, 48)
    assert steps == [(i, 4) for i in range(1, 5)]
    with pytest.raises(ValueError, match="frames"):
        model.film(pixels(0), DOTS, frames=1)


def test_all_presets_in_their_order(model: StyleModel) -> None:
    made = list(model.all_presets(pixels(0), size=64))
    assert [title for title, _ in made] == list(NAMES.values())
    assert np.array_equal(rgb(made[1][1]), rgb(model.restyle(pixels(0), DOTS, size=64)))


def test_sampled_styles_name_their_neighbours(model: StyleModel) -> None:
    (code, names), *others = model.sample_styles(5, count=3)
    assert code.features.shape == (CODE,) and len(others) == 2 and set(names) <= set(NAMES.values())
    again, other = model.sample_styles(5, count=3)[0][0], model.sample_styles(6)[0][0]
    assert torch.equal(code.features, again.features) and torch.equal(code.patches, again.patches)
    assert not torch.equal(code.features, other.features)
    assert model.restyle(pixels(0), Layer([(code, 1.0)])).picture.size == (64, 48)
    with pytest.raises(ValueError, match="count"):
        model.sample_styles(5, count=17)


def test_thumbnails_differ_by_style(model: StyleModel) -> None:
    first, again, other = (rgb(model.thumbnail(name, 48)) for name in ("dots", "dots", "mist"))
    assert first.shape == (48, 48, 3) and np.array_equal(first, again) and np.abs(first - other).mean() > 2


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "rebuild", partial(exact.rebuild, polish=4))


def test_the_exact_engine_shows_stops_and_continues(model: StyleModel, short: None) -> None:
    whole = model.rebuild(pixels(0), pixels(1), size=64, seed=2)
    state, seen = Unfinished(), []

    def halt(i: int, n: int, picture: Image.Image) -> None:
        seen.append(picture.size)
        if i == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        model.rebuild(pixels(0), pixels(1), size=64, seed=2, state=state, on_step=halt)
    assert (state.step, state.finished) == (4, False) and set(seen) == {(64, 48)}
    rest: list[int] = []
    found = model.rebuild(pixels(0), pixels(1), size=64, seed=2, state=state, on_step=lambda i, n, _: rest.append(i))
    assert rest[0] == 5 and state.finished and np.array_equal(rgb(found), rgb(whole))
    assert not model.exact_lane.busy


def test_the_exact_engine_keeps_what_it_should(model: StyleModel, short: None) -> None:
    mask = np.zeros((48, 64), np.float32)
    mask[:, :30] = 1
    found = rgb(model.rebuild(pixels(0), pixels(1), mask=mask))
    assert np.array_equal(found[:, 30:], pixels(0)[:, 30:]) and (found[:, :30] != pixels(0)[:, :30]).mean() > 0.5
    grey = np.repeat(pixels(0)[..., :1], 3, 2)
    kept = rgb(model.rebuild(grey, pixels(1), keep_colours=True))
    assert np.abs(kept - kept.mean(-1, keepdims=True)).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (20, 20)])
def test_the_exact_engine_takes_small_pictures(model: StyleModel, short: None, size: tuple[int, int]) -> None:
    assert model.rebuild(pixels(0, *size), pixels(1), size=64).picture.size[0] <= 64
    assert model.rebuild(pixels(0, 20, 24), pixels(1, *size), size=64).picture.size == (24, 20)


@pytest.mark.parametrize("options", [{"keep": 0}, {"size": 1024}, {"brush": 9}, {"size": "x"}])
def test_the_exact_engine_refuses_bad_numbers(model: StyleModel, options: Any) -> None:
    with pytest.raises(ValueError, match="must be a"):
        model.rebuild(pixels(0), pixels(1), **options)


def test_missing_checkpoints_get_a_sentence() -> None:
    with pytest.raises(ValueError):
        StyleModel.load("no-such-checkpoint")


def test_shipped_styles_differ_and_serve(shipped: StyleModel) -> None:
    assert len(shipped.titles) >= 16
    names = list(shipped.titles)[:3]
    made = [rgb(shipped.restyle(pixels(0, 96, 128), Layer([(name, 1.0)]))) for name in names]
    assert all(np.abs(a - b).mean() > 3 for i, a in enumerate(made) for b in made[:i])
    (code, near), *_ = shipped.sample_styles(0)
    assert code.features.shape == shipped.code(names[0]).features.shape and len(near) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_shipped_1024_needs_little_memory(shipped: StyleModel) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = shipped.restyle(pixels(0, 1024, 1024), Layer([(next(iter(shipped.titles)), 1.0)]), size=1024)
    assert found.picture.size == (1024, 1024)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * 2**20
    assert LIMITS["size"][1] == 1024
