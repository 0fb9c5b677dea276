"""The pictogram classifier: shapes, gradients, save and load, augmentation, and that it learns."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from demos.core.fit import Budget
from demos.sketch.batches import to_tensor
from demos.sketch.classifier import (
    GROUPS,
    Classifier,
    accuracy,
    calibrate,
    card,
    distort,
    features_of,
    train_classifier,
)
from demos.sketch.data import STYLES, Pictograms


@pytest.fixture
def data() -> Pictograms:
    """Four concepts in six styles, one concept held out: the colour of a square is its group, the frame its style."""
    pixels = np.zeros((24, 128, 128, 4), np.uint8)
    for i in range(24):
        pixels[i, 30:98, 30:98] = 255 * np.array([i // 6 % 2, 1, 1 - i // 6 % 2, 1])
        pixels[i, 30 : 40 + 4 * (i % 6), 30:98, :3] = 0
    style, concept = np.arange(24) % 6, np.arange(24) // 6
    held = np.array([False, True, False, False])
    return Pictograms(pixels, style, concept, list("abcd"), [(n,) for n in "abcd"], held)


def test_shapes_and_gradients() -> None:
    model = Classifier(concepts=11)
    assert sum(p.numel() for p in Classifier().parameters()) < 1_500_000
    x = torch.rand(3, 4, 128, 128) * 2 - 1
    assert model.features(x).shape == (3, 128)
    style, group, concept = model(x)
    assert (style.shape, group.shape, concept.shape) == ((3, len(STYLES)), (3, len(GROUPS)), (3, 11))
    (style.square().sum() + group.square().sum() + concept.square().sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_save_and_load(tmp_path: Path) -> None:
    model = Classifier(concepts=5).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 4), dtype=np.uint8)
    torch.nn.init.normal_(model.components)
    model.save_pretrained(tmp_path)
    again = Classifier.from_pretrained(tmp_path).eval()
    features = features_of(model, pixels)
    assert features.shape == (3, 128)
    assert np.array_equal(features, features_of(again, pixels))
    assert np.ptp(features, axis=0).max() > 0


def test_calibrated_features_are_white_and_see_blur(data: Pictograms) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Classifier(features=8).eval()
    pixels = np.stack([distort(rng, p) for p in data.pixels.repeat(4, 0)])
    many = Pictograms(pixels, data.style.repeat(4), data.concept.repeat(4), data.names, data.words, data.held_out)
    calibrate(model, many, every=1)
    features = features_of(model, pixels[many.split()[0]])
    assert np.allclose(features.mean(0), 0, atol=1e-3)
    assert np.allclose(np.cov(features, rowvar=False), np.eye(8), atol=1e-2)
    blurred = features_of(model, np.stack([cv2.GaussianBlur(p, (0, 0), 4) for p in pixels[many.split()[0]]]))
    assert np.abs(blurred.mean(0)).max() > 0.1


def test_distortion_stays_premultiplied_and_depends_on_the_generator(data: Pictograms) -> None:
    made = [distort(np.random.default_rng(seed), data.pixels[8]) for seed in range(20)]
    assert all((p[..., :3] <= p[..., 3:]).all() and p[..., 3].any() for p in made)
    assert len({p.tobytes() for p in made}) == 20
    assert np.array_equal(made[3], distort(np.random.default_rng(3), data.pixels[8]))


def test_training_learns_the_group_and_sees_no_held_out_picture(data: Pictograms, tmp_path: Path) -> None:
    groups = np.array([2, 5, 2, 5])
    data.pixels[data.concept == 1, 0, 0] = 77
    seen: list[int] = []
    before = accuracy(Classifier(concepts=3), data, groups)
    with pytest.MonkeyPatch.context() as patch:

        def recorded(rng: np.random.Generator, rgba: np.ndarray) -> np.ndarray:
            seen.append(int(rgba[0, 0, 0]))
            return distort(rng, rgba)

        patch.setattr("demos.sketch.classifier.distort", recorded)
        model = train_classifier(data, groups, tmp_path, Budget(steps=40), 0, "cpu", batch=16)
    assert set(seen) == {0}
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["loss"] < 4.0
    assert before.keys() <= last.keys()
    text = card(model, data, {k: last[k] for k in before}, tmp_path, 7)
    assert f"{last['group_accuracy']:.1%}" in text and "--steps 40`, seed 7" in text and "the 6 pictures" in text
    train, _ = data.split()
    group = model(to_tensor(data.pixels[train]))[1].argmax(1).numpy()
    assert (group == groups[data.concept[train]]).mean() > 0.8
