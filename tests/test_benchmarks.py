"""The benchmarks in small: each explains its options, and what measures it runs."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch

from benchmarks import inspection, live, restyling, sampling, startup, timing, training
from benchmarks.chromium import chromium
from demos.anomaly.densities import DENSITIES, FlowDensity
from demos.anomaly.model import AnomalyModel
from demos.sketch.data import Pictograms
from demos.sketch.model import SketchModel
from demos.sketch.networks import Autoencoder, Upscaler
from demos.sketch.palette import Palette
from demos.sketch.unet import SketchUNet
from demos.style.model import StyleModel
from demos.ui.files import served
from tests.anomaly.conftest import tiny_inspector
from tests.style.conftest import tiny_density, tiny_encoder, tiny_painter, tiny_presets


def tiny_checkpoint(folder: Path) -> Path:
    parts: dict[str, Any] = {
        "autoencoder": Autoencoder(encoder_widths=(8, 8, 16), decoder_widths=(8, 8, 16), depth=1),
        "unet": SketchUNet(widths=(16, 32), embedding=24, word_channels=8, vocabulary=("cat",), distilled=True),
        "upscaler": Upscaler(width=8, depth=1),
        "flow": SketchUNet(widths=(16, 32), embedding=24, word_channels=8, vocabulary=("cat",)),
        "palette": Palette(),
    }
    for name, network in parts.items():
        network.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def pictures() -> Pictograms:
    """Discs of ten sizes on transparent ground, two of them held out."""
    y, x = np.mgrid[:128, :128]
    discs = [np.hypot(x - 64, y - 64) < 20 + 4 * i for i in range(10)]
    pixels = np.stack([np.stack([200 * d, 90 * d, 40 * d, 255 * d], -1) for d in discs]).astype(np.uint8)
    held = np.arange(10) > 7
    names = [f"disc {i}" for i in range(10)]
    words = [("disc", str(i)) for i in range(10)]
    return Pictograms(pixels, np.arange(10) % 6, np.arange(10), names, words, held)


@pytest.mark.parametrize("script", [live, startup, sampling, training, inspection, restyling])
def test_options_are_explained(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--help"])
    with pytest.raises(SystemExit, match="0"):
        script.main()
    assert f"python -m {script.__name__}" in capsys.readouterr().out


def test_figures_and_table() -> None:
    assert timing.quantile([3.0, 1.0, 2.0], 0.5) == 2
    assert timing.quantile([0.0, 1.0], 0.9) == pytest.approx(0.9)
    assert timing.quantile([5.0], 0.9) == 5
    assert timing.figures([1.0, 2.0, 9.0], "MB", 1) == ("2.0 MB", "7.6 MB", "3")
    assert timing.table(("a", "b"), [("c", "d")], "note") == "| a | b |\n| --- | ---: |\n| c | d |\n\nnote"
    assert re.search(r"\d+ cores, torch \d", timing.machine())


def test_measure_leaves_the_warm_up_out() -> None:
    calls: list[int] = []
    assert len(timing.measure(lambda: calls.append(1), runs=3, warmup=2)) == 3
    assert len(calls) == 5


def test_sampling(tmp_path: Path) -> None:
    model = SketchModel.load(tiny_checkpoint(tmp_path), device="cpu")
    rows = sampling.measure_ours(model, runs=1, steps=(1, 8))
    assert [row[0].split(", ")[1:3] for row in rows[:2]] == [["steps: 1", "student"], ["steps: 8", "flow"]]
    assert len(rows) == 6 and all(row[-1] == "1" for row in rows)


@pytest.mark.parametrize("stage", training.STAGES)
def test_training(stage: str, pictures: Pictograms) -> None:
    seconds = training.time_stage(stage, training.part_of(pictures, 2), batch=2, steps=2, warmup=1)
    assert len(seconds) == 2 and min(seconds) > 0


def test_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DENSITIES, "flow", lambda features: FlowDensity(features, updates=5))
    model = AnomalyModel(tiny_inspector(), None, {}, torch.device("cpu"))
    rows = list(inspection.measure_all(model, inspection.files(12, side=64), count=20, runs=1))
    assert len(rows) == 2 * len(DENSITIES) + 1 and all(len(row) == 4 for row in rows)
    assert [row[0] for row in rows if "a folder of 20" in row[0]]


def test_restyling() -> None:
    model = StyleModel(tiny_encoder(), tiny_painter(), tiny_presets(), tiny_density(), torch.device("cpu"))
    rows = list(restyling.measure_all(model, runs=1, size=64, exact=64, steps=1))
    assert len(rows) == 6 and all(len(row) == 4 for row in rows)
    assert float(rows[-1][1].split()[0]) >= 0 and "memory" in rows[-1][0]


def test_memory_is_watched() -> None:
    code = "held = bytearray(50_000_000); print('ready', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    memory = startup.Memory(process.pid)
    assert process.stdout.readline().strip() == b"ready"
    highest = memory.now()
    until = time.monotonic() + 10
    while memory.peak < highest and time.monotonic() < until:
        time.sleep(0.02)
    assert 50 < highest <= memory.peak
    process.communicate(b"\n")


def test_the_api_is_called() -> None:
    def sketch_to_image(
        sketch: str, prompt: str, style: str, count: int, steps: int, guidance: float, faithfulness: float, seed: int
    ) -> list[gr.FileData]:
        return [served(sketch.encode(), "sketch.json")] * min(count, 2)

    with gr.Blocks() as page:
        gr.api(sketch_to_image, api_name="sketch_to_image")
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", enable_monitoring=False)
    try:
        assert 0 < startup.call_api(url, 2) < 60
        with pytest.raises(RuntimeError, match="instead of 3 pictures"):
            startup.call_api(url, 3)
    finally:
        page.close()


@pytest.mark.browser
def test_strokes_are_timed() -> None:
    page = live.json_canvas()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", enable_monitoring=False)
    try:
        with chromium() as browser:
            if browser is None:
                pytest.skip("no Chromium: install it, or run `playwright install chromium`")
            seconds = live.measure_strokes(browser, url, 2, "#pad canvas", "#result", "output")
    finally:
        page.close()
    assert len(seconds["last"]) == 2 and seconds["model"] == []
    assert all(0 < first <= last for first, last in zip(seconds["first"], seconds["last"], strict=True))
