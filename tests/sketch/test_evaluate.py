"""The evaluation and its baselines, on a handful of shapes drawn here."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from demos.core.fit import Budget
from demos.sketch.baselines import Nearest, Regression, sketch_features, train_regression
from demos.sketch.batches import make_vocabulary, to_tensor
from demos.sketch.classifier import Classifier, calibrate
from demos.sketch.data import Pictograms
from demos.sketch.evaluate import (
    COLUMNS,
    Task,
    edges,
    make_task,
    measure,
    measure_generator,
    produce,
    reconstruct,
    table,
    to_pixels,
    training_pictures,
    with_model,
    write_sheet,
)
from demos.sketch.networks import Autoencoder, Upscaler
from demos.sketch.pipeline import SketchPipeline
from demos.sketch.unet import SketchUNet

CONCEPTS, STYLE_COUNT = 6, 2


def shape(concept: int, style: int) -> np.ndarray:
    """A disc, a square or a triangle, small or large, in the colour of its style."""
    picture = np.zeros((128, 128, 4), np.uint8)
    colour, radius = ((220, 40, 40, 255), (40, 90, 220, 255))[style], 26 + 12 * (concept // 3)
    sides = (40, 4, 3)[concept % 3]
    angle = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    points = np.rint(64 + radius * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.int32)
    cv2.fillPoly(picture, [points], colour)
    return picture


@pytest.fixture(scope="module")
def data() -> Pictograms:
    pixels = np.stack([shape(c, s) for c in range(CONCEPTS) for s in range(STYLE_COUNT)])
    style, concept = np.arange(len(pixels)) % STYLE_COUNT, np.arange(len(pixels)) // STYLE_COUNT
    words = [("round",), ("square", "red"), ("pointed",)] * 2
    held = np.array([False, False, False, True, True, False])
    return Pictograms(pixels, style, concept, list("abcdef"), words, held)


@pytest.fixture(scope="module")
def task(data: Pictograms) -> Task:
    return make_task(data, make_vocabulary(data))


@pytest.fixture(scope="module")
def classifier(data: Pictograms) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(concepts=4).eval()
    calibrate(model, data, every=1)
    return model


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(encoder_widths=(8, 8, 16), decoder_widths=(8, 8, 16), depth=1).eval().requires_grad_(False)


def small_unet(data: Pictograms) -> SketchUNet:
    torch.manual_seed(0)
    return SketchUNet(vocabulary=make_vocabulary(data), widths=(16, 32), embedding=32, word_channels=16).eval()


class Truth:
    """Answers the true pictures in order, with noise that follows from the seed; remembers what it was asked."""

    def __init__(self, task: Task, noise: float) -> None:
        self.truth, self.noise = to_tensor(task.pictures), noise
        self.asked: list[tuple[int, Tensor, Tensor, Tensor, int]] = []

    def __call__(self, drawing: Tensor, words: Tensor, style: Tensor, seed: int) -> Tensor:
        start = seed % 100_000
        self.asked.append((start, drawing, words, style, seed))
        x = self.truth[start : start + len(drawing)]
        return x + self.noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


def test_task_draws_the_held_out_pictures_reproducibly(data: Pictograms, task: Task) -> None:
    assert task.pictures.shape == (4, 128, 128, 4)
    assert task.drawing.shape == task.hinted.shape == (4, 5, 128, 128)
    assert task.drawing[:, 0].max((1, 2)).min() > 100
    assert not task.drawing[:, 1:].any()
    assert task.hinted[:, 4].any((1, 2)).all()
    assert np.array_equal(task.drawing[:, 0], task.hinted[:, 0])
    index = {w: i + 1 for i, w in enumerate(make_vocabulary(data))}
    assert task.words[2, :3].tolist() == [index["square"], index["red"], 0]
    part = make_task(data, make_vocabulary(data), 2)
    assert np.array_equal(part.drawing, task.drawing[[0, 3]])
    by_one = make_task(data, make_vocabulary(data), single=True)
    assert np.array_equal(by_one.pictures, task.pictures) and by_one.drawing[:, 0].max((1, 2)).min() > 100
    assert not np.array_equal(by_one.drawing, task.drawing)


def test_produce_passes_every_drawing_on_in_batches(task: Task) -> None:
    generator = Truth(task, 0.0)
    made, seconds = produce(generator, task, 3, batch=3)
    assert np.array_equal(made, task.pictures)
    assert seconds > 0
    assert [(a[0], len(a[1])) for a in generator.asked] == [(0, 3), (3, 1)]
    assert len({a[4] for a in generator.asked}) == 2
    _, drawing, words, style, _ = generator.asked[0]
    assert 0.4 < drawing.max() <= 1
    assert words.any()
    assert style.argmax(1).tolist() == task.style[:3].tolist()
    produce(generator, task, 3, hints=True, words=False, batch=4)
    assert generator.asked[-1][1][:, 1:].any()
    assert not generator.asked[-1][2].any()


def test_measures_of_the_truth_and_of_worse(task: Task, classifier: Classifier) -> None:
    best, _ = measure_generator(task, Truth(task, 0.0), classifier, 2, 4, "cpu")
    worse, picture = measure_generator(task, Truth(task, 0.6), classifier, 2, 4, "cpu")
    assert best.keys() == COLUMNS.keys()
    assert picture.shape == task.pictures.shape
    assert best["fid"]["mean"] == pytest.approx(0, abs=1e-6) and best["diversity"]["mean"] == 0
    assert best["alpha_iou"]["mean"] == 1 and best["colour"]["mean"] == 0
    assert best["lines"]["mean"] < 6
    for name in ("fid", "kid", "lines", "colour", "colour_without_words", "diversity"):
        assert worse[name]["mean"] > best[name]["mean"], name
    assert worse["fid"]["spread"] > 0 == best["fid"]["spread"]


def test_lines_tell_the_right_drawing_from_another(task: Task, classifier: Classifier) -> None:
    right = measure(task, task.pictures[None], classifier)["lines"]["mean"]
    wrong = measure(task, task.pictures[None, [2, 3, 0, 1]], classifier)["lines"]["mean"]
    assert right < wrong


def test_edges_lie_on_the_contour() -> None:
    found = edges(shape(1, 0))
    points = np.argwhere(found)
    alpha = cv2.morphologyEx(shape(1, 0)[..., 3], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    assert len(points) > 80
    assert (alpha[found] > 0).mean() > 0.95
    assert not edges(np.zeros((128, 128, 4), np.uint8)).any()


def test_pixels_never_exceed_their_alpha() -> None:
    made = to_pixels(torch.randn(2, 4, 128, 128))
    assert (made[..., :3] <= made[..., 3:]).all()


def test_nearest_finds_the_shape_in_the_style(data: Pictograms) -> None:
    nearest = Nearest(data)
    train, _ = data.split()
    for i in train:
        contour, _ = cv2.findContours(data.pixels[i, ..., 3], cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        ink = cv2.polylines(np.zeros((128, 128), np.uint8), [c + 2 for c in contour], True, 255, 2)
        assert nearest.find(ink, int(data.style[i])) == i
    drawing = torch.zeros(2, 5, 128, 128)
    drawing[:, 0, 40:44, 30:90] = 1
    words, style = torch.zeros(2, 12, dtype=torch.long), torch.eye(6)[[1, 0]]
    answered = nearest(drawing, words, style, 0)
    assert answered.shape == (2, 4, 128, 128)
    assert (answered[0, 2] > answered[0, 0]).any() and (answered[1, 0] > answered[1, 2]).any()


def test_sketch_features_correlate() -> None:
    ink = np.zeros((3, 128, 128), np.uint8)
    ink[0, 40:43, 20:100] = ink[1, 43:46, 20:100] = ink[2, 90:93, 20:100] = 255
    same, near, far = (float(sketch_features(ink[0]) @ sketch_features(i)) for i in ink)
    assert same == pytest.approx(1, abs=1e-5)
    assert same > near > 0.6 > far
    assert np.isfinite(sketch_features(np.zeros((128, 128), np.uint8))).all()


def test_regression_trains_and_ignores_the_seed(
    data: Pictograms, task: Task, autoencoder: Autoencoder, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demos.sketch.baselines.SketchUNet", lambda vocabulary: small_unet(data).train())
        unet = train_regression(data, autoencoder, tmp_path, Budget(steps=2), 0, "cpu", batch=2)
    assert (tmp_path / "state.safetensors").is_file()
    regression = Regression(unet.eval(), autoencoder)
    made, _ = produce(regression, task, 0)
    assert np.array_equal(made, produce(regression, task, 1)[0])
    assert unet.state_dict()["head.2.weight"].any()


def test_the_pipeline_plugs_in(data: Pictograms, task: Task, autoencoder: Autoencoder) -> None:
    unet = small_unet(data)
    torch.nn.init.normal_(unet.head[2].weight, std=0.1)  # pyright: ignore[reportArgumentType]
    pipeline = SketchPipeline(autoencoder, unet, Upscaler(8, 1))
    generator = with_model(pipeline, 2, {"lines": 1.5, "text": 2.0})
    made, _ = produce(generator, task, 0)
    assert made.shape == task.pictures.shape
    assert np.array_equal(made, produce(generator, task, 0)[0])
    assert not np.array_equal(made, produce(generator, task, 1)[0])


def test_reconstruction_reports_its_quality(data: Pictograms, autoencoder: Autoencoder) -> None:
    made, quality = reconstruct(autoencoder, data.pixels, "cpu")
    assert made.shape == data.pixels.shape
    assert 0 < quality < 60


def test_training_pictures_match_the_styles_and_are_not_held_out(data: Pictograms, task: Task) -> None:
    made = training_pictures(data, task, 0)
    train, _ = data.split()
    for picture, style in zip(made, task.style, strict=True):
        same = [i for i in train if np.array_equal(data.pixels[i], picture)]
        assert [int(data.style[i]) for i in same] == [style]
    assert not np.array_equal(made, training_pictures(data, task, 1))


def test_table_and_sheet(task: Task, tmp_path: Path) -> None:
    number = {"mean": 1.23456, "spread": 0.5}
    text = table({"model": dict.fromkeys(COLUMNS, number), "limit": {"fid": {"mean": 2.0, "spread": 0.0}}})
    lines = text.splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 2}
    assert "| model | 1.23 ± 0.50 |" in lines[2]
    assert "| limit | 2.00 | – |" in lines[3]
    write_sheet(task, {"true picture": task.pictures, "model, 2 steps": task.pictures}, tmp_path / "sheet.png", 3)
    assert Image.open(tmp_path / "sheet.png").size == (128 * 4, 128 * 3)
