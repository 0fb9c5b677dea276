"""The training program on a handful of pictures made here: two steps a stage, then the wrapper loads what it wrote."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from demos.core.media import png_bytes
from demos.style import train
from demos.style.colour import moments
from demos.style.data import (
    HELD_OUT,
    STYLE,
    Gallery,
    draw_content,
    draw_style,
    framed,
    load_gallery,
    to_tensor,
    underpainted,
)
from demos.style.model import Layer, StyleModel
from demos.style.networks import Painter, StyleEncoder
from tests.style.conftest import pixels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archives, with few and small pictures under the names of the presets."""
    folder = tmp_path_factory.mktemp("data")
    surfaces = [name for name in train.PRESET_TITLES if "trees" in name]
    paintings = [name for name in train.PRESET_TITLES if name not in surfaces]
    with zipfile.ZipFile(folder / "paintings.zip", "w") as files:
        for i, name in enumerate(paintings):
            files.writestr(f"named/{name}.png", png_bytes(Image.fromarray(pixels(i, 100, 110 + i))))
        for i in range(5):
            files.writestr(f"monet/{i}.png", png_bytes(Image.fromarray(pixels(50 + i, 110, 100))))
        files.writestr("metadata.csv", "file\n")
    with zipfile.ZipFile(folder / "textures.zip", "w") as files:
        for i, name in enumerate([*surfaces, "sand"]):
            files.writestr(f"textures/{name}.png", png_bytes(Image.fromarray(pixels(80 + i, 70, 70))))
    with zipfile.ZipFile(folder / "emoji.zip", "w") as files:
        for i, style in enumerate(("fluent_3d", "fluent_3d", "noto")):
            picture = Image.fromarray(np.dstack([pixels(90 + i, 64, 64), np.tri(64, dtype=np.uint8) * 255]))
            files.writestr(f"emoji/{style}/{i}.png", png_bytes(picture))
    return folder


@pytest.fixture(scope="module")
def gallery(data: Path) -> Gallery:
    return load_gallery(data)


def test_archives_are_sorted_into_kinds(gallery: Gallery) -> None:
    assert len(gallery.held_out) == HELD_OUT and not gallery.held_out.keys() & gallery.paintings.keys()
    assert len(gallery.paintings) + HELD_OUT == len([n for n in train.PRESET_TITLES if "trees" not in n])
    assert len(gallery.monet) == 5 and len(gallery.surfaces) == 2
    assert [rgba.shape for rgba in gallery.pictograms] == [(64, 64, 4)] * 2


def test_contents_and_frames_have_their_sizes(gallery: Gallery) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((100, 140), (300, 60), (40, 40)):
        assert framed(pixels(0, height, width)).shape == framed(pixels(0, height, width), rng).shape == (*STYLE, 3)
    contents = [draw_content(gallery, rng, 48) for _ in range(12)]
    assert {content.shape for content in contents} == {(48, 48, 3)} and len({c.tobytes() for c in contents}) == 12
    assert to_tensor(np.full((2, 3, 3), 255, np.uint8)).shape == (1, 3, 2, 3)
    assert to_tensor(np.full((2, 3, 3), 255, np.uint8)).max() == 1


def test_batches_are_underpaintings_in_the_colours_of_their_styles(gallery: Gallery) -> None:
    stream = underpainted(gallery, 3, 64, np.random.default_rng(0))
    for batch in (next(stream), next(stream)):
        assert batch.given.shape == (3, 3, 64, 64) and batch.style.shape == (3, 3, *STYLE)
        assert all(x.isfinite().all() and x.abs().max() <= 1 for x in (batch.given, batch.style))
        own = (moments(batch.given) - moments(batch.style)).norm(dim=1)
        assert (own < (moments(batch.given) - moments(batch.style.roll(1, 0))).norm(dim=1)).float().mean() > 0.6


def test_styles_differ(gallery: Gallery) -> None:
    rng = np.random.default_rng(0)
    styles = [draw_style(gallery, rng) for _ in range(12)]
    assert {style.shape for style in styles} == {(*STYLE, 3)} and len({style.tobytes() for style in styles}) == 12


def smaller(kind: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: kind(
        *args, **{"widths": (8, 8, 16, 16) if kind is StyleEncoder else (8, 8, 16), **kwargs}
    )


def test_two_steps_of_both_stages_make_a_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "StyleEncoder", smaller(StyleEncoder))
    monkeypatch.setattr(train, "Painter", smaller(Painter))
    monkeypatch.setattr(train, "SIDE", 64)
    monkeypatch.setattr(train, "contact_sheet", partial(train.contact_sheet, side=64))
    torch.set_num_threads(1)
    options = ["--data", str(data), "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--batch", "1"]
    train.main(["painter", *options, "--steps", "1", "--device", "cpu"])
    train.main(["painter", *options, "--steps", "2", "--device", "cpu"])
    monkeypatch.setattr(train, "StyleEncoder", StyleEncoder)
    train.main(["codes", *options, "--steps", "2", "--device", "cpu"])
    titles = json.loads((tmp_path / "out" / "presets" / "config.json").read_text())["titles"]
    assert titles == [list(pair) for pair in train.PRESET_TITLES.items()]
    model = StyleModel.load(tmp_path / "out", "cpu")
    assert len(model.titles) == len(train.PRESET_TITLES)
    assert model.restyle(pixels(0), Layer([("mondrian_1910s", 1.0)])).picture.size == (64, 48)
    assert len(model.sample_styles(0)[0][1]) == 3
