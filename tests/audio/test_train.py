"""The training stages, end to end on data made here: two steps each, then the wrappers load what was written."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demos.audio.evaluate import over_seeds, table
from demos.audio.instruments.data import INSTRUMENTS, load_notes
from demos.audio.instruments.model import Instruments
from demos.audio.instruments.render import COLUMNS, available, render_notes
from demos.audio.music.data import RANGES, load_chorales
from demos.audio.music.model import Chorales
from demos.audio.music.rules import broken_rules
from demos.audio.train import PRESETS, STAGES, main
from demos.audio.voice.data import VOICES, load_digits
from demos.audio.voice.model import Voices
from tests.audio.conftest import measured_hz, tone

DATA = os.environ.get("ATELIER_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="ATELIER_DATA names no folder with the training data")


def encoded(samples: np.ndarray, rate: int, kind: str) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format=kind)
    return target.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives as the stages expect them, with a handful of tones."""
    folder = tmp_path_factory.mktemp("data")
    with zipfile.ZipFile(folder / "notes.zip", "w") as files:
        rows = io.StringIO()
        writer = csv.writer(rows)
        writer.writerow(COLUMNS)
        for i, name in enumerate(INSTRUMENTS):
            for pitch in (57, 62):
                f0 = 440 * 2 ** ((pitch - 69) / 12)
                path = f"notes/{name}/{pitch}.ogg"
                files.writestr(path, encoded(tone(f0, 0.4, 24_000, 1 + i), 24_000, "OGG"))
                writer.writerow([path, name, pitch, f0, 0.4, "", "", ""])
        files.writestr("notes/metadata.csv", rows.getvalue())
    with zipfile.ZipFile(folder / "spoken_digits.zip", "w") as files:
        for digit in range(10):
            for voice in VOICES:
                for index in (0, 5):
                    sound = tone(120 + 30 * digit, 0.3, 8_000)
                    files.writestr(f"spoken_digits/{digit}_{voice}_{index}.flac", encoded(sound, 8_000, "FLAC"))
    with zipfile.ZipFile(folder / "speech.zip", "w") as files:
        for i in range(3):
            files.writestr(f"speech/1/{i}.ogg", encoded(tone(100 + i, 1.0, 16_000), 16_000, "OGG"))
    rng = np.random.default_rng(0)
    piece = np.repeat(np.stack([rng.integers(a, b, 20) for a, b in RANGES], 1), 4, 0).tolist()
    (folder / "Jsb16thSeparated.json").write_text(json.dumps({s: [piece] for s in ("train", "valid", "test")}))
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_trains_writes_and_goes_on(stage: str, data: Path, tmp_path: Path) -> None:
    options = ["--data", str(data), "--out", str(tmp_path), "--runs", str(tmp_path / "runs"), "--batch", "2"]
    for name, steps in (*([("instruments", "1")] if stage == "player" else []), (stage, "1"), (stage, "2")):
        main([name, *options, "--steps", steps, "--device", "cpu"])
    lines = (tmp_path / "runs" / stage / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    (weights,) = (p for p in tmp_path.glob("**/*.safetensors") if p.name != "state.safetensors")
    assert weights.stat().st_size < 16e6
    if stage in ("instruments", "player"):
        model = Instruments.load(weights.parent, "cpu")
        assert model.names == INSTRUMENTS and len(set(model.places.values())) == 15
        assert measured_hz(model.play("flute", 69, 0.3).samples, 24_000, 440) == pytest.approx(440, rel=5e-3)
    elif stage == "music":
        assert Chorales.load(weights.parent, "cpu").compose(1).grid.shape == (16, 4)


def test_the_voice_loads_from_its_two_stages(data: Path, tmp_path: Path) -> None:
    for stage in ("vocoder", "flow"):
        main([stage, "--data", str(data), "--out", str(tmp_path), "--runs", str(tmp_path / "r"), "--batch", "2",
              "--steps", "1", "--device", "cpu"])  # fmt: skip
    model = Voices.load(tmp_path / "voice", "cpu")
    assert model.names == VOICES and len(model.speak("5", "theo").samples) > 800
    assert model.flow.length_mean.exp().min() > 20


def test_every_preset_knows_every_stage() -> None:
    for preset in PRESETS.values():
        assert set(preset.batch) == set(preset.minutes) == set(STAGES)


def test_figures_become_a_table() -> None:
    assert table({"speed": {"factor": 0.0123}}).splitlines()[-1] == "| speed | factor | 0.0123 |"


@pytest.mark.skipif(not available(), reason="fluidsynth or its sound font is not installed")
def test_a_sound_font_plays_the_pitch() -> None:
    (sound,) = render_notes(73, [(72, 90, 0.8)], gap=0.2)
    assert measured_hz(sound[4800:14_400], 24_000, 523.25) == pytest.approx(523.25, rel=5e-3)


@needs_data
def test_the_real_archives_are_as_described() -> None:
    folder = Path(str(DATA))
    notes = load_notes(folder / "notes.zip", limit=1)
    assert len(notes) == len(INSTRUMENTS) and all(n.held_out for n in notes)
    pieces = load_chorales(folder / "Jsb16thSeparated.json")
    assert [len(v) for v in pieces.values()] == [229, 76, 77]
    assert broken_rules(pieces["test"])["out of range"] == 0
    digits = load_digits(folder / "spoken_digits.zip")
    assert sum(d.held_out for d in digits) == 300


def test_seeds_give_a_mean_and_a_spread() -> None:
    assert over_seeds([{"a": 1.0}]) == {"a": 1.0}
    assert over_seeds([{"a": 1.0}, {"a": 2.0}, {"a": 3.0}]) == {"a": 2.0, "a ±": 1.0}
    assert over_seeds([{"a": 1.0, "a ±": 9.0}]) == {"a": 1.0, "a ±": 9.0}
    assert over_seeds([{"a": 1.0, "a ±": 9.0}, {"a": 3.0, "a ±": 7.0}])["a ±"] == pytest.approx(2**0.5)
