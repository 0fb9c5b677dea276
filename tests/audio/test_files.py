"""Sound in and out: every format and fault that a visitor can hand over."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demos.audio.files import LONGEST_SECONDS, Leveller, Sound, fade, normalise, read_audio, wav_bytes
from tests.audio.conftest import measured_hz, tone

RATE = 24_000


def encoded(samples: np.ndarray, rate: int, kind: str, subtype: str | None = None) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format=kind, subtype=subtype)
    return target.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype", "rate"),
    [
        ("WAV", "PCM_16", 44_100), ("WAV", "PCM_U8", 11_025), ("WAV", "FLOAT", 192_000), ("FLAC", None, 48_000),
        ("OGG", "VORBIS", 22_050), ("MP3", None, 44_100), ("WAV", "PCM_24", 8_000),
    ],
)  # fmt: skip
def test_formats_and_rates_become_one(kind: str, subtype: str | None, rate: int) -> None:
    sound = tone(440, 0.6, rate, 3)
    got = read_audio(encoded(np.stack([sound, sound], 1), rate, kind, subtype), RATE)
    assert got.dtype == np.float32 and got.ndim == 1
    assert len(got) == pytest.approx(0.6 * RATE, abs=0.1 * RATE)
    assert measured_hz(got[2000:-2000], RATE, 440) == pytest.approx(440, rel=1e-3)
    assert np.sqrt(np.mean(got[4000:9000] ** 2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=0.1)


@pytest.mark.parametrize(
    "array",
    [
        (16_000 * tone(440, 0.5, RATE) / 0.5).astype(np.int16),
        (100 * tone(440, 0.5, RATE) + 128).astype(np.uint8),
        tone(440, 0.5, RATE).astype(np.float64)[:, None],
        (2**30 * tone(440, 0.5, RATE)).astype(np.int32),
    ],
    ids=["int16", "uint8", "column", "int32"],
)
def test_arrays_of_all_kinds_are_read(array: np.ndarray) -> None:
    got = read_audio((RATE, array), RATE)
    assert 0.1 < np.abs(got).max() <= 1 and abs(got.mean()) < 0.01
    assert measured_hz(got, RATE, 440) == pytest.approx(440, rel=1e-3)


def test_too_loud_floats_are_scaled_and_silence_is_silence() -> None:
    got = read_audio((RATE, 50 * tone(440, 0.5, RATE)), RATE)
    assert np.abs(got).max() == pytest.approx(1)
    assert not read_audio((RATE, np.zeros(RATE)), RATE).any()


WAV = encoded(tone(440, 0.5, RATE), RATE, "WAV")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "is empty"),
        (encoded(np.zeros(0), RATE, "WAV"), "is empty"),
        (b"\xff\xfb\x90\x00" + b"not an mp3" * 50, "not a sound file"),
        (b"RIFF\x00\x00\x00\x00WAVEjunk", "not a sound file"),
        (b"<html></html>", "not a sound file"),
        (encoded(tone(440, 0.01, RATE), RATE, "WAV"), "too short"),
        (encoded(np.zeros(8000 * 61, np.int16), 8000, "FLAC"), "at most 60"),
        (encoded(np.full(RATE, np.nan, np.float32), RATE, "WAV", "FLOAT"), "not numbers"),
        ((RATE, np.array([0.1, np.inf] * 5000)), "not numbers"),
        ((RATE, np.zeros((0, 2))), "is empty"),
        ((8_000, np.zeros(3600 * 8_000, np.int16)), "lasts 3,600 seconds"),
        ((5, np.zeros(100)), "samples a second"),
        ((RATE, np.array(["a"])), "array of numbers"),
        ((RATE, np.zeros((2, 2, 2))), "array of numbers"),
        ((RATE, np.zeros((5000, 99))), "99 channels"),
        ("/no/such/file.wav", "cannot be opened"),
    ],
)
def test_faults_are_sentences(source: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_audio(source, RATE)
    assert str(caught.value).endswith(".")


def test_a_cut_file_gives_what_is_left_or_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(WAV[: len(WAV) // 2])
    assert len(read_audio(path, RATE)) == pytest.approx(RATE // 4, abs=100)


def test_a_limit_holds_at_the_sample() -> None:
    assert len(read_audio((8_000, np.zeros(int(LONGEST_SECONDS * 8_000), np.int16)), 8_000)) == 480_000


def test_wav_files_read_back() -> None:
    sound = tone(440, 0.3, RATE)
    got = read_audio(Sound(sound, RATE, 0).wav(), RATE)
    assert np.abs(got - sound).max() < 1 / 32_000
    for bad in (np.array([0.0, 1.5]), np.array([np.nan])):
        with pytest.raises(ValueError, match="within"):
            wav_bytes(bad, RATE)


def test_ends_are_faded_and_the_middle_stays() -> None:
    made = fade(np.ones(4800, np.float32), RATE)
    assert made[0] == made[-1] == 0 and np.abs(np.diff(made)).max() < 0.02
    assert (made[200:-200] == 1).all()
    assert fade(np.ones(1, np.float32), RATE).shape == (1,) and fade(np.ones(0, np.float32), RATE).shape == (0,)


@pytest.mark.parametrize("gain", [0.01, 0.3, 1.0])
def test_loudness_is_one_and_peaks_are_kept(gain: float) -> None:
    sound = np.concatenate([np.zeros(RATE), gain * tone(300, 1, RATE, 2)])
    made = normalise(sound, RATE)
    assert np.sqrt(np.mean(made[RATE:] ** 2)) == pytest.approx(0.1, rel=0.02)
    spike = np.zeros(RATE)
    spike[100] = gain
    assert np.abs(normalise(spike, RATE)).max() <= 0.951
    quiet = np.full(100, 1e-5)
    assert np.array_equal(normalise(quiet, RATE), quiet.astype(np.float32))


@pytest.mark.parametrize("sizes", [(4, 4, 4), (1, 1, 1), (6, 0.01, 3)])
@pytest.mark.parametrize("loudness", [(0.1, 0.1, 0.1), (0.1, 2.5, 0.3), (3, 3, 0), (0, 0.5, 4)])
def test_parts_keep_one_level_that_only_falls_and_never_clips(
    sizes: tuple[float, ...], loudness: tuple[float, ...]
) -> None:
    level = Leveller(RATE)
    raw = [a * tone(220, n, RATE) / 0.3 for a, n in zip(loudness, sizes, strict=True)]
    made = np.concatenate([level(part, i == 2) for i, part in enumerate(raw)])
    given = np.concatenate(raw)
    assert len(made) == len(given) and np.abs(made).max() <= 0.95
    sounds = np.abs(given) > 1e-3
    gain = made[sounds] / given[sounds]
    assert np.diff(gain).max(initial=0) < 1e-3 and np.diff(gain).min(initial=0) > -0.05
    if len(set(loudness)) == 1:
        assert np.allclose(made, normalise(given, RATE), atol=0.01)
