"""All stages of training, in small: each begins with what the ones before it wrote."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from demos.core.checkpoint import load_network
from demos.sketch import train
from demos.sketch.model import Settings, SketchModel
from demos.sketch.palette import FLAT, Palette
from demos.sketch.unet import SketchUNet

RED = (200, 30, 40)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of discs of many colours and sizes, 110 concepts (a hundred held out), and some red squares."""
    folder = tmp_path_factory.mktemp("data")
    with zipfile.ZipFile(folder / "emoji.zip", "w") as files:
        rows = [f"{i:04x},disc {i},Shapes,round|thing" for i in range(110)]
        files.writestr("emoji/metadata.csv", "\n".join(["code,name,group,keywords", *rows]))
        for i in range(110):
            picture = Image.new("RGBA", (256, 256))
            ImageDraw.Draw(picture).ellipse((40, 40, 120 + i, 120 + i), (2 * i, 255 - 2 * i, 90, 255), "black", 6)
            buffer = io.BytesIO()
            picture.save(buffer, "WEBP", lossless=True)
            files.writestr(f"emoji/fluent_3d/{i:04x}.webp", buffer.getvalue())
            if i % 10 == 0:
                flat = io.BytesIO()
                Image.new("RGBA", (128, 128), RED).save(flat, "WEBP", lossless=True)
                for style in FLAT:
                    files.writestr(f"emoji/{style}/{i:04x}.webp", flat.getvalue())
    return folder


def run(data: Path, tmp: Path, stage: str, steps: int = 2) -> None:
    """Train a stage for so many steps of four pictures."""
    options = ["--data", data, "--out", tmp / "out", "--runs", tmp / "runs", "--steps", steps, "--batch", 4]
    train.main([stage, *map(str, options)])


def trained(data: Path, tmp: Path, stage: str, steps: int = 2) -> list[dict[str, float]]:
    """The lines of a stage's log."""
    run(data, tmp, stage, steps)
    return [json.loads(line) for line in (tmp / "runs" / stage / "log.jsonl").read_text().splitlines()]


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([v.flatten().float() for v in load_network(SketchUNet, folder).state_dict().values()])


def test_the_stages_make_a_model_that_draws(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert trained(data, tmp_path, "autoencoder")[-1]["psnr"] > 0
    assert trained(data, tmp_path, "flow")[-1]["loss"] > 0
    flow = load_network(SketchUNet, out / "flow")
    with torch.no_grad():
        for weight in flow.parameters():  # in two steps it has learned next to nothing
            weight.add_(0.02 * torch.randn_like(weight))
    flow.half().save_pretrained(out / "flow", max_shard_size="15MB")
    before = weights(out / "flow")
    log = trained(data, tmp_path, "student")[-1]
    assert log["guided"] > 0 and log["shortcut"] > 0
    assert [load_network(SketchUNet, out / name).config["distilled"] for name in ("flow", "unet")] == [False, True]
    assert torch.equal(weights(out / "flow"), before)
    assert trained(data, tmp_path, "upscaler")[-1]["bicubic"] > 0
    run(data, tmp_path, "palette")
    assert not torch.allclose(load_network(Palette, out / "palette").table, Palette().table, atol=0.01)
    drawn = SketchModel.load(out).draw(None, Settings("disc", steps=2))
    assert drawn.pictures[0].size == (256, 256) and drawn.pictures[0].mode == "RGBA"


def test_training_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    assert [line["step"] for line in trained(data, tmp_path, "autoencoder", 1)] == [1]
    assert [line["step"] for line in trained(data, tmp_path, "autoencoder", 3)] == [1, 3]
