"""The Sketch wrapper on the shipped checkpoint: seeds, settings, limits, variations, and bad input."""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_fill_holes

from demos.core.cancel import Cancelled
from demos.core.media import open_image
from demos.core.strokes import Drawing, render
from demos.sketch.data import STYLES
from demos.sketch.model import LIMITS, Pictures, Settings, SketchModel

RED, BLUE = "#e5484d", "#3e7bf0"
QUICK = Settings(steps=2)


@pytest.fixture(scope="module")
def model() -> SketchModel:
    return SketchModel.load("sketch", "cpu")


@pytest.fixture(scope="module")
def cat(root: Path) -> str:
    return (root / "demos" / "sketch" / "examples" / "cat.json").read_text(encoding="utf-8")


def ring(colour: str | None = None) -> str:
    """A closed outline, with a few broad colour strokes inside if there is a `colour`."""
    angle = np.linspace(0, 2 * np.pi, 40)
    outline = np.stack([256 + 150 * np.cos(angle), 256 + 150 * np.sin(angle)], 1).tolist()
    strokes: list[dict[str, Any]] = [{"tool": "pen", "width": 9, "points": outline}]
    for y in (200, 256, 312) if colour else ():
        strokes.insert(0, {"tool": "brush", "colour": colour, "width": 45, "points": [[180, y], [330, y]]})
    return json.dumps({"strokes": strokes})


def premultiplied(picture: Image.Image) -> NDArray[np.float64]:
    rgba = np.asarray(picture, float)
    return np.concatenate([rgba[..., :3] * rgba[..., 3:] / 255, rgba[..., 3:]], -1)


def apart(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference of two pictures, 0 to 255."""
    return float(np.abs(premultiplied(a) - premultiplied(b)).mean())


def colour_of(result: Pictures) -> NDArray[np.float64]:
    """Mean colour of what is opaque, over all pictures."""
    pixels = np.concatenate([premultiplied(p).reshape(-1, 4) for p in result.pictures])
    return pixels[:, :3].sum(0) / pixels[:, 3].sum()


def answers(model: SketchModel) -> None:
    """The model is free and draws."""
    assert not model.lane.busy
    assert len(model.draw(ring(), QUICK, size=128).pictures) == 1


class TestResults:
    """Right calls."""

    def test_next_to_nothing_is_added_to_a_plain_drawing(self, model: SketchModel) -> None:
        text = ring()
        near = np.asarray(render(Drawing.from_json(text), 128).convert("L")) < 200
        drawn = np.asarray(binary_dilation(binary_fill_holes(near), iterations=5), bool)
        for style in ("noto", "twemoji"):
            made = model.draw(text, Settings("", style, seed=0), count=8, size=128).pictures
            alpha = np.stack([np.asarray(picture)[..., 3] / 255 for picture in made])
            assert alpha[:, drawn].mean() > 0.7
            assert alpha[:, ~drawn].mean() < 0.005

    @pytest.mark.parametrize("size", [128, 256, 512])
    def test_pictures_are_rgba_of_the_size_asked_for(self, model: SketchModel, cat: str, size: int) -> None:
        result = model.draw(cat, Settings("cat", steps=4), size=size)
        (picture,) = result.pictures
        assert picture.mode == "RGBA" and picture.size == (size, size)
        assert result.latents.shape == (1, 8, 16, 16) and result.latents.dtype == np.float32
        alpha = np.asarray(picture)[..., 3]
        corner = size // 16
        ends = (slice(None, corner), slice(-corner, None))
        assert max(alpha[rows, columns].max() for rows in ends for columns in ends) < 25
        assert alpha[size // 2, size // 2] > 200

    def test_the_same_seed_gives_the_same_pixels(self, model: SketchModel) -> None:
        first, again, other = (model.draw(ring(), Settings(steps=3, seed=s), size=256) for s in (7, 7, 8))
        assert first.pictures[0].tobytes() == again.pictures[0].tobytes()
        assert np.array_equal(first.latents, again.latents)
        assert first.seeds == [7]
        assert apart(first.pictures[0], other.pictures[0]) > 1

    def test_a_variation_is_its_own_seed_drawn_alone(self, model: SketchModel) -> None:
        together = model.draw(ring(), Settings(steps=4, seed=40), count=5, size=128)
        assert together.seeds == [40, 41, 42, 43, 44]
        for i in (0, 1, 4):
            alone = model.draw(ring(), Settings(steps=4, seed=40 + i), size=128)
            assert apart(together.pictures[i], alone.pictures[0]) < 1.5
        assert apart(together.pictures[0], together.pictures[1]) > 3

    def test_seeds_wrap_at_the_end(self, model: SketchModel) -> None:
        assert model.draw(ring(), Settings(steps=1, seed=2**32 - 1), count=2, size=128).seeds == [2**32 - 1, 0]

    @pytest.mark.parametrize("seed", [-1, -(10**20), None])
    def test_a_negative_seed_draws_one(self, model: SketchModel, seed: int | None) -> None:
        used = {model.draw(ring(), Settings(steps=1, seed=seed), size=128).seeds[0] for _ in range(3)}
        assert len(used) == 3 and all(0 <= s < 2**32 for s in used)

    def test_strokes_in_all_their_forms_are_one_drawing(self, model: SketchModel) -> None:
        text = ring(BLUE)
        forms: list[Any] = [text, json.loads(text), Drawing.from_json(text)]
        made = [model.draw(form, QUICK, size=128).pictures[0].tobytes() for form in forms]
        assert made[0] == made[1] == made[2]
        photographed = model.draw(render(Drawing.from_json(text), 512), QUICK, size=128).pictures[0]
        assert apart(photographed, model.draw(text, QUICK, size=128).pictures[0]) < 40

    def test_colour_strokes_pull_the_colour(self, model: SketchModel) -> None:
        red, blue = (colour_of(model.draw(ring(c), Settings(steps=8), count=4, size=128)) for c in (RED, BLUE))
        assert red[0] - red[2] > blue[0] - blue[2] + 0.15
        assert red[0] > blue[0] and red[2] < blue[2]

    def test_words_change_the_result(self, model: SketchModel) -> None:
        def drawn(prompt: str, guidance: float = 2.0) -> Pictures:
            return model.draw(ring(), Settings(prompt, steps=8, guidance=guidance), count=2, size=128)

        red, blue = colour_of(drawn("red")), colour_of(drawn("blue"))
        assert red[0] - red[2] > blue[0] - blue[2] + 0.15
        silent, cat, ignored = (drawn(*args).pictures[0] for args in (("", 2.0), ("cat", 2.0), ("red", 0.0)))
        assert apart(silent, cat) > 1
        assert apart(ignored, silent) < 0.5 * apart(drawn("red").pictures[0], silent)

    def test_styles_differ_and_blend(self, model: SketchModel) -> None:
        assert model.styles == STYLES

        def drawn(style: Any) -> Image.Image:
            return model.draw(ring(RED), Settings("apple", style, steps=4), size=128).pictures[0]

        pure = {name: drawn(name) for name in STYLES}
        for i, one in enumerate(STYLES):
            for two in STYLES[i + 1 :]:
                assert apart(pure[one], pure[two]) > 0.5, (one, two)
        half = drawn({"noto": 1, "fluent_high_contrast": 1})
        ends = [apart(half, pure[name]) for name in ("noto", "fluent_high_contrast")]
        assert 0 < max(ends) < 1.3 * apart(pure["noto"], pure["fluent_high_contrast"])
        assert half.tobytes() == drawn({"noto": 7, "fluent_high_contrast": 7.0, "twemoji": 0}).tobytes()
        assert half.tobytes() == drawn("noto:2, fluent_high_contrast : 2").tobytes()
        assert drawn({"noto": 0.3}).tobytes() == pure["noto"].tobytes()

    def test_faithfulness_matters(self, model: SketchModel) -> None:
        loose, close = (model.draw(ring(), Settings(steps=4, faithfulness=f), size=128) for f in (0, 2))
        assert apart(loose.pictures[0], close.pictures[0]) > 2

    def test_words_alone_are_enough(self, model: SketchModel) -> None:
        for nothing in (None, "", " \n", '{"strokes": []}', Drawing(), Image.new("RGBA", (64, 64))):
            assert model.draw(nothing, Settings("cat", steps=1), size=128).pictures[0].size == (128, 128)

    def test_one_dot_is_a_drawing(self, model: SketchModel) -> None:
        dot = '{"strokes": [{"points": [[256, 256]]}]}'
        assert np.isfinite(model.draw(dot, QUICK, size=128).latents).all()

    def test_ten_thousand_strokes_are_drawn_in_time(self, model: SketchModel) -> None:
        walk = np.random.default_rng(0).uniform(0, 512, (10_000, 8, 2)).round(1).tolist()
        text = json.dumps({"strokes": [{"points": points, "width": 3} for points in walk]})
        start = time.monotonic()
        model.draw(text, QUICK, size=128)
        assert time.monotonic() - start < 15
        with pytest.raises(ValueError, match="10,001 strokes; at most 10,000"):
            model.draw({"strokes": [{"points": [[1, 1]]}] * 10_001}, QUICK)

    def test_who_wants_it_quick_gets_the_student_s_picture(self, model: SketchModel, cat: str) -> None:
        quick, draft = (model.draw(cat, Settings("cat", steps=2, quick=quick), size=128) for quick in (True, False))
        sampler, flow = model.sampler, model.sampler.flow
        sampler.flow = None
        try:
            student = model.draw(cat, Settings("cat", steps=2), size=128)
        finally:
            sampler.flow = flow
        assert apart(quick.pictures[0], student.pictures[0]) == 0
        assert 0.5 < apart(quick.pictures[0], draft.pictures[0]) < 12

    def test_callers_at_the_same_time_get_what_they_would_get_alone(self, model: SketchModel) -> None:
        alone = [model.draw(ring(), Settings(steps=2, seed=s), size=128).pictures[0].tobytes() for s in range(3)]
        got: dict[int, bytes] = {}

        def call(seed: int) -> None:
            got[seed] = model.draw(ring(), Settings(steps=2, seed=seed), size=128).pictures[0].tobytes()

        threads = [threading.Thread(target=call, args=(s,)) for s in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [got[s] for s in range(3)] == alone


class TestWords:
    """What the model makes of a prompt."""

    def test_unknown_words_are_named(self, model: SketchModel) -> None:
        result = model.draw(ring(), Settings("a red qwxyz Cat, <b>zzyzx</b>!", steps=1), size=128)
        assert {"qwxyz", "zzyzx"} <= set(result.ignored)
        assert not {"red", "cat"} & set(result.ignored)

    def test_plurals_and_capitals_are_known(self, model: SketchModel) -> None:
        (one,), _ = model.known_words("cat")
        for form in ("CAT", "cats", "Cats!"):
            assert model.known_words(form) == ([one], ())

    def test_unknown_words_alone_are_not_enough(self, model: SketchModel) -> None:
        with pytest.raises(ValueError, match=r"Draw something.* None of these words is known: qwxyz, zzyzx\."):
            model.draw(None, Settings("qwxyz zzyzx"))

    def test_long_prompts(self, model: SketchModel) -> None:
        assert len(model.known_words("cat dog red green blue sun moon star tree house car boat fish bird")[0]) <= 12
        model.draw(ring(), Settings("cat " * 500, steps=1), size=128)
        with pytest.raises(ValueError, match=r"limited to 2,000 characters; this text has 40,000"):
            model.draw(ring(), Settings("x" * 40_000))
        answers(model)


NOTHING: list[Any] = [
    None,
    "",
    "  \n",
    "{}",
    '{"strokes": []}',
    '{"strokes": [{"tool": "eraser", "points": [[9, 9], [99, 99]]}]}',
    '{"strokes": [{"points": [[5, 5]]}, {"tool": "eraser", "width": 300, "points": [[5, 5]]}]}',
    Image.new("RGB", (300, 200), "white"),
    Image.new("RGBA", (64, 64)),
]


@pytest.mark.parametrize("sketch", NOTHING)
def test_an_empty_sketch_without_words_is_refused(model: SketchModel, sketch: Any) -> None:
    with pytest.raises(ValueError, match="Draw something, or name it in words"):
        model.draw(sketch)


MALFORMED: list[Any] = [
    "no json",
    "[1, 2",
    "[" * 100_000,
    '"text"',
    "[]",
    "7",
    "null",
    '{"strokes": 5}',
    '{"strokes": [5]}',
    '{"strokes": [{"points": "x"}]}',
    '{"strokes": [{"points": [["a", "b"]]}]}',
    '{"strokes": [{"points": [[1]]}]}',
    '{"strokes": [{"points": [[NaN, NaN], [Infinity, 3]]}]}',
    '{"strokes": [{"tool": "laser", "points": [[1, 1]]}]}',
    '{"strokes": [{"colour": "red;}", "points": [[1, 1]]}]}',
    '{"strokes": [{"width": NaN, "points": [[1, 1]]}]}',
    '{"strokes": [{"width": -1, "points": [[1, 1]]}]}',
    '{"size": 0, "strokes": []}',
    '{"size": NaN, "strokes": []}',
    '{"version": 99, "strokes": []}',
    "/etc/passwd",
    5,
    [],
    b"{}",
]


@pytest.mark.parametrize("sketch", MALFORMED, ids=lambda s: str(s)[:40])
def test_malformed_drawings_are_refused_in_a_sentence(model: SketchModel, sketch: Any) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
        model.draw(sketch, Settings("cat"))
    assert not model.lane.busy


def test_points_that_are_not_finite_are_left_out(model: SketchModel) -> None:
    whole = '{"strokes": [{"points": [[50, 50], [400, 60], [300, 400]]}]}'
    holes = '{"strokes": [{"points": [[50, 50], [NaN, 9], [400, 60], [1, Infinity], [300, 400], [null, null]]}]}'
    a, b = (model.draw(text, QUICK, size=128).pictures[0] for text in (whole, holes))
    assert a.tobytes() == b.tobytes()
    far = '{"strokes": [{"width": 1e300, "points": [[-1e300, 1e300], [1e300, -1e300]]}]}'
    assert np.isfinite(model.draw(far, QUICK, size=128).latents).all()


NOT_NUMBERS: list[Any] = [math.nan, math.inf, -math.inf, None, "many", [], {}, 10**400, 1j]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [*NOT_NUMBERS, 10**9, -1], ids=lambda v: str(v)[:12])
def test_settings_out_of_range_are_refused_with_the_range(model: SketchModel, name: str, value: Any) -> None:
    low, high = LIMITS[name]
    count = value if name == "count" else 1
    settings = Settings() if name == "count" else Settings(**{name: value})
    with pytest.raises(ValueError, match=rf"“{name}” must be .* from {low:g} to {high:g}\."):
        model.draw(ring(), settings, count=count)


@pytest.mark.parametrize(("name", "value"), [("count", 0), ("count", 1.5), ("steps", 0), ("steps", 2.5), ("steps", 51)])
def test_counts_are_whole(model: SketchModel, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"“{name}” must be a whole number"):
        model.draw(ring(), Settings(steps=value if name == "steps" else 2), count=value if name == "count" else 1)


@pytest.mark.parametrize("seed", [math.nan, 1.5, 2**32, 10**30, "cat", []])
def test_seeds_that_are_none_are_refused(model: SketchModel, seed: Any) -> None:
    with pytest.raises(ValueError, match="The seed must be a whole number"):
        model.draw(ring(), Settings(seed=seed))


STYLE_FAULTS: list[Any] = [
    "oil painting",
    "",
    "fluent_3d" * 10_000,
    "noto:x",
    "noto:-1",
    "noto:nan",
    "noto:0",
    {"oil": 1},
    {"noto": math.nan},
    {"noto": -1, "twemoji": 2},
    {"noto": 0},
    {"noto": 1e300},
    {},
    {"noto": None},
    {"noto": "x"},
    {1: 2},
    None,
    5,
    ["noto"],
]


@pytest.mark.parametrize("style", STYLE_FAULTS, ids=lambda s: str(s)[:24])
def test_unknown_styles_and_weights_are_refused_in_a_sentence(model: SketchModel, style: Any) -> None:
    with pytest.raises(ValueError, match=r"(?i)style") as caught:
        model.draw(ring(), Settings(style=style))
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("prompt", [None, 5, ["cat"], b"cat"])
def test_words_must_be_a_text(model: SketchModel, prompt: Any) -> None:
    with pytest.raises(ValueError, match="The words must be a text"):
        model.draw(ring(), Settings(prompt))


@pytest.mark.parametrize("size", [0, 127, 1024, 10**9])
def test_sizes_are_three(model: SketchModel, size: int) -> None:
    with pytest.raises(ValueError, match="“size” must be 128, 256 or 512"):
        model.draw(ring(), QUICK, size=size)
    answers(model)


class TestPicturesOfDrawings:
    """Uploads reach the model through `open_image`."""

    @staticmethod
    def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, format, **options)
        return buffer.getvalue()

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_a_picture_of_12000_by_12000_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"12000 × 12000 pixels, more than 50 million; please shrink it"):
            open_image(self.encoded(Image.new("1", (12_000, 12_000))))

    def test_a_large_picture_is_shrunk_and_drawn(self, model: SketchModel) -> None:
        large = Image.new("L", (7000, 6000), 255)
        ImageDraw.Draw(large).ellipse((1500, 1000, 5500, 5000), outline=0, width=120)
        assert model.draw(open_image(self.encoded(large)), QUICK, size=128).pictures[0].size == (128, 128)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
    def test_a_truncated_png_is_refused(self, share: float) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
        whole = self.encoded(Image.fromarray(noise))
        with pytest.raises(ValueError, match="damaged or cut off"):
            open_image(whole[: int(share * len(whole))])

    def test_an_animation_counts_with_its_first_frame(self, model: SketchModel) -> None:
        frames = [Image.new("L", (200, 200), 255) for _ in range(3)]
        for i, frame in enumerate(frames):
            ImageDraw.Draw(frame).ellipse((20 + 20 * i, 30, 150, 160), outline=0, width=5)
        gif = self.encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        still = self.encoded(frames[0], "GIF")
        moving, single = (model.draw(open_image(f), QUICK, size=128).pictures[0] for f in (gif, still))
        assert apart(moving, single) < 0.5


@pytest.fixture(scope="module")
def first(model: SketchModel) -> Pictures:
    """A result to begin from."""
    return model.draw(ring(RED), Settings("apple", steps=8, seed=3), size=256)


class TestVariations:
    """Results that begin from a result."""

    def test_more_like_this_stays_closer_than_other_seeds(self, model: SketchModel, first: Pictures) -> None:
        settings = Settings("apple", steps=8, seed=100)
        near, far = (model.more_like(first.latents[0], ring(RED), settings, strength=s, count=3) for s in (0.3, 1.0))
        assert near.seeds == far.seeds == [100, 101, 102]
        distance = [np.mean([apart(p, first.pictures[0]) for p in r.pictures]) for r in (near, far)]
        assert distance[0] < 0.8 * distance[1]
        assert apart(near.pictures[0], near.pictures[1]) > 0.2
        fresh = model.draw(ring(RED), settings, count=3)
        assert max(apart(a, b) for a, b in zip(far.pictures, fresh.pictures, strict=True)) < 1.5

    @pytest.mark.parametrize("strength", [0, -1, 1.1, math.nan, math.inf, 0.01])
    def test_strength_has_a_range(self, model: SketchModel, first: Pictures, strength: float) -> None:
        with pytest.raises(ValueError, match=r"“strength” must be a number from 0\.05 to 1\."):
            model.more_like(first.latents[0], ring(), QUICK, strength=strength)

    def test_the_way_between_two_seeds_has_their_pictures_at_its_ends(self, model: SketchModel) -> None:
        way = model.between(ring(), Settings(steps=4), seeds=(3, 9), frames=7, size=128).pictures
        ends = [model.draw(ring(), Settings(steps=4, seed=s), size=128).pictures[0] for s in (3, 9)]
        assert len(way) == 7
        assert apart(way[0], ends[0]) < 1.5 and apart(way[-1], ends[1]) < 1.5
        whole = apart(way[0], way[-1])
        assert whole > 3
        assert max(apart(a, b) for a, b in pairwise(way)) < whole

    @pytest.mark.parametrize("frames", [0, 1, 17, 10**9, -3])
    def test_the_way_has_a_length(self, model: SketchModel, frames: int) -> None:
        with pytest.raises(ValueError, match=r"“frames” must be a whole number from 2 to 16\."):
            model.between(ring(), QUICK, seeds=(1, 2), frames=frames)

    @pytest.mark.parametrize("seeds", [(1, 10**30), (2**70, 1), (1.5, 2), ("cat", 2)])
    def test_the_ends_of_the_way_are_seeds(self, model: SketchModel, seeds: Any) -> None:
        with pytest.raises(ValueError, match="The seed must be a whole number"):
            model.between(ring(), QUICK, seeds=seeds, frames=2)

    def test_repainting_changes_the_mask_and_keeps_the_rest(self, model: SketchModel, first: Pictures) -> None:
        mask = np.zeros((128, 128), np.float32)
        mask[48:80, 48:80] = 1
        settings = Settings("apple", steps=8, seed=77)
        made = model.repaint(first.latents[0], mask, ring(BLUE), settings, count=2)
        inside = np.zeros((16, 16), bool)
        inside[6:10, 6:10] = True
        for latent in made.latents:
            off = np.abs(latent - first.latents[0]).mean(0)
            assert off[~inside].max() < 1e-3 < 0.2 < off[inside].mean()
        for picture in made.pictures:
            off = np.abs(premultiplied(picture) - premultiplied(first.pictures[0])).mean(-1)
            assert off[112:144, 112:144].mean() > 5 * max(off[:48].mean(), off[-48:].mean(), 0.1)
        assert apart(*made.pictures) > 0.05

    def test_repainting_everything_is_drawing(self, model: SketchModel, first: Pictures) -> None:
        settings = Settings("apple", steps=4, seed=5)
        made = model.repaint(first.latents[0], np.ones((512, 512)), ring(RED), settings)
        assert apart(made.pictures[0], model.draw(ring(RED), settings).pictures[0]) < 1.5

    @pytest.mark.parametrize(
        "mask", [np.zeros((128, 128)), np.full((8, 8), np.nan), np.zeros((0, 0)), -np.ones((9, 9))]
    )
    def test_a_mask_must_mark_something(self, model: SketchModel, first: Pictures, mask: NDArray[Any]) -> None:
        with pytest.raises(ValueError, match="Brush over the part"):
            model.repaint(first.latents[0], mask, ring(), QUICK)


class TestLongWork:
    """Steps, previews and stopping."""

    def test_steps_are_reported_with_previews_on_request(self, model: SketchModel) -> None:
        seen: list[tuple[int, int]] = []
        previews: list[list[Image.Image]] = []

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append((i, n))
            if i in (1, 3):
                previews.append(preview())

        result = model.draw(ring(), Settings(steps=3), count=5, size=128, on_step=on_step)
        assert seen == [(1, 3), (2, 3), (3, 3)]
        assert [len(p) for p in previews] == [4, 4]
        assert {p.size for p in previews[0]} == {(128, 128)} and previews[0][0].mode == "RGBA"
        assert apart(previews[1][0], result.pictures[0]) < 1.5

    @pytest.mark.parametrize("job", ["draw", "more_like", "repaint"])
    def test_stopping_takes_effect_within_a_step(self, model: SketchModel, job: str) -> None:
        seen: list[int] = []

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append(i)
            if i == 2:
                raise Cancelled

        latent, settings = np.zeros((8, 16, 16), np.float32), Settings(steps=50)
        calls: dict[str, Callable[[], Pictures]] = {
            "draw": lambda: model.draw(ring(), settings, count=16, on_step=on_step),
            "more_like": lambda: model.more_like(latent, ring(), settings, on_step=on_step),
            "repaint": lambda: model.repaint(latent, np.ones((16, 16)), ring(), settings, on_step=on_step),
        }
        with pytest.raises(Cancelled):
            calls[job]()
        assert seen == [1, 2]
        answers(model)

    def test_a_draft_can_be_given_up_between_any_two_evaluations_of_a_network(self, model: SketchModel) -> None:
        went_on: list[int] = []
        model.draw(ring(), Settings(steps=2), size=512, check=lambda: went_on.append(1))
        assert len(went_on) == 2 + 2 + 1 + 2  # flow, student, decoder, upscaler
        for last in range(1, len(went_on) + 1):
            asked: list[int] = []

            def check(asked: list[int] = asked, last: int = last) -> None:
                asked.append(1)
                if len(asked) == last:
                    raise Cancelled

            with pytest.raises(Cancelled):
                model.draw(ring(), Settings(steps=2), size=512, check=check)
            assert len(asked) == last
        answers(model)

    def test_who_wants_it_quick_does_not_wait_for_a_long_job(self, model: SketchModel) -> None:
        begun, seen = threading.Event(), list[str]()

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append(f"step {i}")
            begun.set()
            time.sleep(0.1)

        with ThreadPoolExecutor() as pool:
            long = pool.submit(model.draw, ring(), Settings("apple", steps=8, seed=3), on_step=on_step)
            assert begun.wait(20)
            for _ in range(2):
                model.draw(ring(), Settings(steps=2, quick=True), size=128)
                seen.append("quick")
            passed = long.result().pictures[0]
        assert "quick" not in seen[-2:] and seen.count("quick") == 2 and seen[-1] == "step 8"
        assert apart(passed, model.draw(ring(), Settings("apple", steps=8, seed=3)).pictures[0]) == 0

    def test_a_fault_in_the_callback_frees_the_model(self, model: SketchModel) -> None:
        def on_step(i: int, n: int, preview: Any) -> None:
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            model.draw(ring(), QUICK, on_step=on_step)
        answers(model)


class TestLoading:
    """Checkpoints and devices."""

    @pytest.mark.parametrize("checkpoint", ["nothing", "../../etc", "/no/such/folder"])
    def test_a_missing_checkpoint_is_a_sentence(self, checkpoint: str) -> None:
        with pytest.raises(ValueError):
            SketchModel.load(checkpoint)

    def test_an_unknown_device_is_a_sentence(self) -> None:
        with pytest.raises(ValueError, match="no device"):
            SketchModel.load("sketch", "quantum")

    def test_weights_are_frozen_and_in_evaluation(self, model: SketchModel) -> None:
        for part in (model.sampler.autoencoder, model.sampler.unet, model.sampler.upscaler):
            assert not part.training and not any(p.requires_grad for p in part.parameters())
