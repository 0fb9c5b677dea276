"""The Anomaly wrapper with tiny networks: scores, maps, regions, fitting, folders, erasing, and bad input."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from demos.anomaly.detectors import save_detector
from demos.anomaly.model import AnomalyModel, fingerprint
from demos.core.cancel import Cancelled
from tests.anomaly.conftest import spoiled, surface, tiny_inspector


def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


class TestInspection:
    """One picture."""

    def test_the_map_and_the_regions_say_where(self, model: AnomalyModel) -> None:
        found = model.inspect(spoiled(surface(100), 10, 0.9))
        assert found.anomalous and found.p_value == pytest.approx(1 / 25)
        assert found.heat.shape == (96, 80) and found.heat.dtype == np.float32
        y, x = np.unravel_index(found.heat.argmax(), found.heat.shape)
        assert abs(y - 48) < 16 and abs(x - 40) < 16
        region = found.regions[0]
        left, top, width, height = region.box
        assert left <= 40 <= left + width and top <= 48 <= top + height
        assert region.area <= width * height and region.share == pytest.approx(region.area / 7680)
        assert region.peak == pytest.approx(found.heat.max(), rel=1e-6) and region.peak > found.threshold
        assert region.contour.ndim == 2 and region.contour.shape[1] == 2

    def test_a_normal_picture_has_no_regions(self, model: AnomalyModel) -> None:
        found = [model.inspect(surface(i)) for i in range(200, 230)]
        assert sum(f.anomalous for f in found) <= 6
        assert all(not f.regions for f in found if not f.anomalous)
        assert all(f.false_alarm_rate == pytest.approx(1 / 25) for f in found)

    def test_cross_validated_scores_do_not_promise_too_much(self, model: AnomalyModel) -> None:
        p = np.array([model.inspect(surface(i)).p_value for i in range(300, 360)])
        for level in (0.1, 0.3, 0.5):
            assert (p <= level).mean() <= level + 3 * (level * (1 - level) / 24) ** 0.5
        assert p.max() > 0.5

    def test_grey_colour_and_files_are_the_same_picture(self, model: AnomalyModel, tmp_path: Path) -> None:
        pixels = spoiled(surface(100), 6, 0.5)
        grey = Image.fromarray(pixels)
        (tmp_path / "a.png").write_bytes(encoded(grey))
        forms: list[Any] = [pixels, np.repeat(pixels[..., None], 3, 2), grey, grey.convert("RGBA"), encoded(grey),
                            tmp_path / "a.png", pixels / np.float32(255)]  # fmt: skip
        scores = [model.inspect(form).score for form in forms]
        assert scores == pytest.approx([scores[0]] * len(forms), abs=1e-4)

    def test_kinds_of_files(self, model: AnomalyModel) -> None:
        grey = Image.fromarray(surface(100))
        plain = model.inspect(grey).score
        sixteen = Image.fromarray(surface(100).astype(np.uint16) * 257)
        assert model.inspect(encoded(sixteen)).score == pytest.approx(plain, abs=0.05)
        assert model.inspect(surface(100).astype(np.uint16) * 257).score == pytest.approx(plain, abs=1e-4)
        assert np.isfinite(model.inspect(encoded(grey.convert("CMYK"), "JPEG")).score)
        turned = Image.Exif()
        turned[0x0112] = 6
        upright = model.inspect(encoded(grey.rotate(90, expand=True), "PNG", exif=turned))
        assert upright.picture.shape == (96, 80, 3) and upright.score == pytest.approx(plain, abs=1e-4)
        moving = encoded(grey, "GIF", save_all=True, append_images=[Image.new("L", grey.size)])
        assert np.isfinite(model.inspect(moving).score)
        clear = Image.new("RGBA", (40, 40))
        assert (model.inspect(clear).picture == 255).all()

    @pytest.mark.parametrize("size", [(16, 16), (17, 31), (1500, 1100), (1024, 70), (3000, 200)])
    def test_any_size(self, model: AnomalyModel, size: tuple[int, int]) -> None:
        found = model.inspect(Image.effect_noise(size, 30))
        assert max(found.picture.shape) <= 1024 and found.heat.shape == found.picture.shape[:2]
        assert np.isfinite(found.heat).all() and 0 < found.p_value <= 1

    @pytest.mark.parametrize(
        "bad",
        [b"", b"no picture", Image.new("L", (1, 1)), Image.new("L", (15, 40)), Image.new("1", (20_000, 10)),
         np.full((40, 40), np.nan), np.full((40, 40), np.inf), np.zeros((0, 5)), np.zeros((4, 4, 4, 4)), None, 7,
         "/no/such/file.png"],
        ids=lambda bad: f"{bad.mode} {bad.size}" if isinstance(bad, Image.Image) else repr(bad),
    )  # fmt: skip
    def test_bad_pictures_are_refused_with_a_sentence(self, model: AnomalyModel, bad: Any) -> None:
        with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
            model.inspect(bad)

    @pytest.mark.parametrize("rate", [0, 1, -1, float("nan"), "much", None])
    def test_the_rate_has_a_range(self, model: AnomalyModel, rate: Any) -> None:
        with pytest.raises(ValueError, match="false_alarm_rate"):
            model.inspect(surface(0), false_alarm_rate=rate)

    def test_a_detector_is_a_name_or_a_file_or_itself(self, model: AnomalyModel, tmp_path: Path) -> None:
        path = save_detector(model.detector(), tmp_path / "own.safetensors")
        scores = [model.inspect(surface(100), d).score for d in ("magnetic_tile", path, str(path), model.detector())]
        assert len(set(scores)) == 1
        with pytest.raises(ValueError, match="could not be found"):
            model.inspect(surface(0), "unknown")

    def test_detectors_are_bound_to_their_encoder(self, model: AnomalyModel) -> None:
        other = tiny_inspector().requires_grad_(False)
        assert fingerprint(other) == model.fingerprint
        other.stem.weight[0, 0, 0, 0] += 1
        stranger = AnomalyModel(other, None, {}, model.device)
        with pytest.raises(ValueError, match="another version"):
            stranger.inspect(surface(0), model.detector())


class TestFit:
    """A visitor's own normal pictures."""

    def test_the_same_seed_gives_the_same_detector(self, model: AnomalyModel) -> None:
        pictures = [surface(i, 40, 48) for i in range(10)]
        a, b, other = (model.fit(pictures, "a", seed, density="memory") for seed in (3, 3, 4))
        assert a.scores == b.scores and a.detector.about == b.detector.about
        assert a.scores != other.scores
        assert sorted(a.scores) == list(range(10))

    def test_mixed_sizes_and_bad_pictures(self, model: AnomalyModel) -> None:
        pictures: list[Any] = [surface(i, 40 + 3 * i, 90 - 4 * i) for i in range(10)]
        pictures[3:3] = [b"", np.zeros((50, 50, 3), np.uint8), Image.new("L", (1, 1))]
        fitted = model.fit(pictures, "  ", density="gaussian")
        assert set(fitted.skipped) == {3, 5} and "empty" in fitted.skipped[3]
        assert fitted.detector.about.name == "own" and fitted.detector.about.pictures == 11
        assert np.isfinite(list(fitted.scores.values())).all()
        assert max(fitted.scores, key=lambda i: fitted.scores[i]) == 4
        assert fitted.seconds > 0

    @pytest.mark.parametrize("density", ["gaussian", "memory"])
    def test_pictures_that_are_all_the_same(self, model: AnomalyModel, density: str) -> None:
        for pixels in (surface(0, 48, 48), np.zeros((48, 48), np.uint8)):
            fitted = model.fit([pixels] * 10, density=density)
            same, changed = (model.inspect(p, fitted.detector) for p in (pixels, spoiled(255 - pixels, 9, 0.9)))
            assert np.isfinite([same.score, changed.score]).all()
            assert same.score + 1 < changed.score and changed.anomalous

    def test_too_few_or_too_many_are_refused(self, model: AnomalyModel) -> None:
        for count in (0, 1, 9, 5001):
            with pytest.raises(ValueError, match="10 to 5,000"):
                model.fit([surface(0, 20, 20)] * count)
        with pytest.raises(ValueError, match=r"Only 9 of these pictures .* 10 are needed\. This file is empty"):
            model.fit([surface(i, 20, 20) for i in range(9)] + [b""])
        with pytest.raises(ValueError, match="no density"):
            model.fit([surface(0)] * 10, density="x")

    def test_more_pictures_than_calibrate(self, model: AnomalyModel, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("demos.anomaly.model.HELD", 8)
        fitted = model.fit([surface(i, 32, 32) for i in range(14)], density="gaussian")
        about = fitted.detector.about
        assert (about.calibration, about.pictures, about.folds) == (8, 6, 1) and len(fitted.scores) == 8

    def test_it_reports_and_stops(self, model: AnomalyModel) -> None:
        seen: list[float] = []

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append(i / n)
            if i / n > 0.55:
                raise Cancelled

        with pytest.raises(Cancelled):
            model.fit([surface(i, 32, 32) for i in range(10)], density="memory", on_step=on_step)
        assert seen == sorted(seen) and seen[0] < 0.1 and max(seen) <= 1
        assert not model.lane.busy and not model.fitting.busy


class TestFolder:
    """Many pictures."""

    def test_rows_come_one_by_one_and_errors_are_rows(self, model: AnomalyModel) -> None:
        taken: list[str] = []

        def pictures() -> Iterator[tuple[str, Any]]:
            for name, picture in (("a", surface(100)), ("b", b""), ("c", spoiled(surface(100), 10, 0.9)), ("d", b"x")):
                taken.append(name)
                yield name, picture

        rows = model.score_many(pictures())
        first = next(rows)
        assert taken == ["a"] and not model.lane.busy
        alone = model.inspect(surface(100))
        assert first.score == alone.score and first.p_value == alone.p_value and first.anomalous == alone.anomalous
        rest = list(rows)
        assert [row.name for row in rest] == ["b", "c", "d"]
        assert rest[0].score is None and "empty" in rest[0].error and rest[2].error
        assert rest[1].anomalous and rest[1].error == "" and rest[1].heat is not None

    def test_a_bad_detector_ends_it_at_once(self, model: AnomalyModel) -> None:
        with pytest.raises(ValueError, match="could not be found"):
            next(model.score_many([("a", surface(0))], "unknown"))


class TestGeneration:
    """Normal tiles, and defects erased."""

    def test_samples_repeat_with_their_seed(self, model: AnomalyModel) -> None:
        a, b, other = (model.sample_normal(s, height=64, width=80, steps=3)[0] for s in (5, 5, 6))
        assert a.mode == "L" and a.size == (80, 64)
        assert a.tobytes() == b.tobytes() != other.tobytes()
        two = model.sample_normal(5, count=2, height=64, width=80, steps=3)
        off = np.abs(np.asarray(two[1], float) - np.asarray(other, float))
        assert len(two) == 2 and off.mean() < 1

    def test_erasing_changes_the_mask_and_keeps_the_rest(self, model: AnomalyModel) -> None:
        picture = spoiled(surface(100), 8, 0.9)
        mask = np.zeros((96, 80), bool)
        mask[38:58, 30:50] = True
        made = np.asarray(model.erase(picture, mask, 1, steps=3), float)
        off = np.abs(made - picture[..., None]).mean(2)
        assert made.shape == (96, 80, 3)
        assert off[40:56, 32:48].mean() > 5
        assert off[:24].max() == 0 and off[72:].max() == 0 and off[:, :16].max() == 0

    def test_erasing_finds_the_defect_itself(self, model: AnomalyModel) -> None:
        picture = spoiled(surface(100), 8, 0.9)
        off = np.abs(np.asarray(model.erase(picture, seed=1, steps=2), float)[..., 0] - picture)
        assert off[44:52, 36:44].mean() > 5
        normal = next(surface(i) for i in range(400, 420) if not model.inspect(surface(i)).anomalous)
        with pytest.raises(ValueError, match="Mark the part"):
            model.erase(normal)

    @pytest.mark.parametrize("mask", [np.zeros((9, 9)), np.full((9, 9), np.nan), np.zeros((0, 0)), np.ones(5)])
    def test_a_mask_marks_something(self, model: AnomalyModel, mask: np.ndarray) -> None:
        with pytest.raises(ValueError, match="Mark the part"):
            model.erase(surface(0), mask)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("count", 0), ("count", 17), ("height", 10_000), ("width", "x"), ("steps", 0), ("steps", 1.5)],
    )
    def test_settings_have_ranges(self, model: AnomalyModel, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match="must be"):
            model.sample_normal(**{name: value})

    def test_it_reports_and_stops(self, model: AnomalyModel) -> None:
        seen: list[tuple[int, int]] = []

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append((i, n))
            assert preview()[0].size == (64, 64)
            if i == 2:
                raise Cancelled

        with pytest.raises(Cancelled):
            model.sample_normal(0, height=64, width=64, steps=9, on_step=on_step)
        assert seen == [(1, 9), (2, 9)] and not model.lane.busy

    def test_without_a_generative_model_it_says_so(self, model: AnomalyModel) -> None:
        bare = AnomalyModel(model.inspector, None, model.detectors, model.device)
        with pytest.raises(ValueError, match="no generative model"):
            bare.sample_normal(0)


class TestLoading:
    """Checkpoints."""

    @pytest.mark.parametrize("checkpoint", ["nothing", "../../etc", "/no/such/folder"])
    def test_a_missing_checkpoint_is_a_sentence(self, checkpoint: str) -> None:
        with pytest.raises(ValueError):
            AnomalyModel.load(checkpoint)

    def test_a_folder_gives_the_same_model(self, model: AnomalyModel, tmp_path: Path) -> None:
        assert model.field is not None
        model.inspector.save_pretrained(tmp_path / "inspector")
        model.field.save_pretrained(tmp_path / "normal")
        save_detector(model.detector(), tmp_path / "detectors" / "magnetic_tile.safetensors")
        again = AnomalyModel.load(tmp_path, "cpu")
        assert again.fingerprint == model.fingerprint
        assert again.inspect(surface(100)).score == pytest.approx(model.inspect(surface(100)).score, abs=1e-4)
