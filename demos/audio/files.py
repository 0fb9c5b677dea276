"""Sound in and out: recordings opened with care, results written without clipping and without clicks.

Whatever a visitor hands over (a path, an encoded file's bytes, samples with their rate) becomes mono samples at the
rate that a model wants, or a `ValueError` whose message a visitor understands. The length is read from the header
before anything is decoded, and decoding stops at the limit even where a header lies.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile
import soxr

__all__ = [
    "LONGEST_SECONDS",
    "MAX_BYTES",
    "SILENCE",
    "Audio",
    "Leveller",
    "Sound",
    "fade",
    "normalise",
    "read_audio",
    "wav_bytes",
]

Audio: TypeAlias = "str | os.PathLike[str] | bytes | tuple[int, np.ndarray]"
"""A path, an encoded file's bytes, or `(sample_rate, samples)` with samples `(N,)` or `(N, channels)`."""


@dataclass(frozen=True)
class Sound:
    """Mono float32 samples `(N,)` in [-0.95, 0.95], the seed that made them, and a hint where they are silent."""

    samples: np.ndarray
    sample_rate: int
    seed: int
    hint: str = ""

    def wav(self) -> bytes:
        """A 16-bit WAV file."""
        return wav_bytes(self.samples, self.sample_rate)


LONGEST_SECONDS = 60.0
SHORTEST_SECONDS = 0.05
MAX_BYTES = 100 * 2**20
RATES = (1_000, 400_000)
SILENCE = 1e-3
MAX_CHANNELS = 32


def read_audio(source: Audio, sample_rate: int, longest: float = LONGEST_SECONDS) -> np.ndarray:
    """Mono float32 samples `(N,)` in [-1, 1] at `sample_rate`; WAV, FLAC, Ogg, MP3 and what else libsndfile knows.

    A path is trusted: pass only those that Gradio has already checked, never text that a visitor typed. Samples below
    full scale stay as they are; floating-point recordings above it are scaled down. Silence is allowed.

    Raises:
        ValueError: empty, damaged, no sound file, shorter than 0.05 s, longer than `longest` seconds, or with samples
            that are not finite.
    """
    rate, samples = _from_array(*source, longest) if isinstance(source, tuple) else _decode(_read(source), longest)
    if not np.isfinite(samples).all():
        raise ValueError("This recording holds samples that are not numbers; please save it again and retry.")
    if len(samples) < SHORTEST_SECONDS * rate:
        raise ValueError(f"This recording is too short: at least {SHORTEST_SECONDS} seconds are needed.")
    mono = samples.mean(1, dtype=np.float32)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate)
    return (mono / max(1.0, float(np.abs(mono).max()))).astype(np.float32)


def _read(source: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            path = Path(source)
            size = path.stat().st_size
            data = path.read_bytes() if size <= MAX_BYTES else b" " * (MAX_BYTES + 1)
        except (OSError, TypeError, ValueError):
            raise ValueError("This recording cannot be opened.") from None
    if not data:
        raise ValueError("This recording is empty.")
    if len(data) > MAX_BYTES:
        raise ValueError(f"This file is too large: at most {MAX_BYTES // 2**20} MB are read.")
    return data


def _decode(data: bytes, longest: float) -> tuple[int, np.ndarray]:
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, channels, frames = file.samplerate, file.channels, file.frames
            if RATES[0] <= rate <= RATES[1] and channels <= MAX_CHANNELS and frames <= longest * rate:
                samples = file.read(int(longest * rate) + 1, dtype="float32", always_2d=True)
            else:
                samples = None
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError, MemoryError):
        raise ValueError("This is not a sound file, or it is damaged; WAV, FLAC, Ogg and MP3 are read.") from None
    if samples is None:
        _check(rate, channels, frames, longest)
        raise AssertionError("unreachable")
    _check(rate, channels, len(samples), longest)
    return rate, samples


def _from_array(rate: int, array: np.ndarray, longest: float) -> tuple[int, np.ndarray]:
    """`(N, channels)` float32; whole numbers are scaled by the range of their format, uint8 is centred at 128."""
    samples = np.asarray(array)
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "iuf" or not np.isfinite(rate):
        raise ValueError("Samples must be an array of numbers with one row a moment, and their rate a number.")
    samples = samples[:, None] if samples.ndim == 1 else samples
    _check(int(rate), samples.shape[1], len(samples), longest)
    if samples.dtype.kind == "u":
        middle = float(np.iinfo(samples.dtype).max // 2 + 1)
        return int(rate), ((samples - middle) / middle).astype(np.float32)
    if samples.dtype.kind == "i":
        return int(rate), (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    return int(rate), samples.astype(np.float32)


def _check(rate: int, channels: int, frames: int, longest: float) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"A rate of {rate:,} samples a second is not read; {RATES[0]:,} to {RATES[1]:,} are.")
    if not 1 <= channels <= MAX_CHANNELS:
        raise ValueError(f"This recording has {channels} channels; 1 to {MAX_CHANNELS} are read.")
    if frames == 0:
        raise ValueError("This recording is empty.")
    if frames > longest * rate:
        raise ValueError(f"This recording lasts {frames / rate:,.0f} seconds; at most {longest:,.0f} are taken.")


def fade(
    samples: np.ndarray, sample_rate: int, seconds: float = 0.005, *, begin: bool = True, end: bool = True
) -> np.ndarray:
    """Raised-cosine ramps at the ends of `(N,)`, so that neither clicks; the first and last sample become 0."""
    n = min(int(seconds * sample_rate), len(samples) // 2)
    made = np.array(samples, np.float32)
    if n > 0:
        ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)).astype(np.float32)
        if begin:
            made[:n] *= ramp
        if end:
            made[-n:] *= ramp[::-1]
    return made


def normalise(samples: np.ndarray, sample_rate: int, level_db: float = -20.0, peak: float = 0.95) -> np.ndarray:
    """`(N,)` at one loudness: the RMS of the parts that sound becomes `level_db`, peaks stay below `peak`.

    Parts that sound are the 50 ms blocks within 30 dB of the loudest one, a gate like that of ITU-R BS.1770-4. What is
    quieter than `SILENCE` everywhere counts as silence and stays as it is.
    """
    loudest = float(np.abs(samples).max(initial=0))
    if loudest < SILENCE:
        return np.asarray(samples, np.float32)
    size = max(1, sample_rate // 20)
    padded = np.pad(np.asarray(samples, np.float64), (0, -len(samples) % size))
    power = np.square(padded).reshape(-1, size).mean(1)
    rms = float(np.sqrt(power[power > power.max() * 1e-3].mean()))
    return (samples * min(10 ** (level_db / 20) / rms, peak / loudest)).astype(np.float32)


class Leveller:
    """The level of a sound that is heard before its end is known.

    The first part sets the gain, as `normalise` would; from then on the gain only falls, where a peak would pass 0.95,
    and glides there within the last 20 ms before the part that holds the peak. So nothing clips or clicks.

    Args:
        level_db: RMS that the first part gets; None leaves it as it is.
    """

    def __init__(self, sample_rate: int, level_db: float | None = -20.0) -> None:
        self.sample_rate, self.level_db = sample_rate, level_db
        self.gain = 1.0
        self.held: np.ndarray | None = None

    def __call__(self, part: np.ndarray, last: bool = False) -> np.ndarray:
        """What can be heard next, of all parts `(n,)` so far; 20 ms are held back until the last one."""
        first = self.held is None
        held = np.zeros(0, np.float32) if self.held is None else self.held
        peak, before = float(np.abs(part).max(initial=0)), self.gain
        if first and self.level_db is not None and peak > 0:
            before = float(np.abs(normalise(part, self.sample_rate, self.level_db)).max()) / peak
        self.gain = min(before, 0.95 / max(peak, 1e-9))
        keep = 0 if last else min(len(part), self.sample_rate // 50)
        glide = np.linspace(before, self.gain, len(held), dtype=np.float32)
        made = np.concatenate([held * glide, part[: len(part) - keep] * np.float32(self.gain)])
        self.held = part[len(part) - keep :]
        return np.clip(made, -0.95, 0.95)


def wav_bytes(samples: np.ndarray, sample_rate: int) -> bytes:
    """A 16-bit mono WAV file of `(N,)` in [-1, 1].

    Raises:
        ValueError: a sample is not finite or lies outside [-1, 1]: a defect of the caller, never silently clipped.
    """
    if not np.isfinite(samples).all() or np.abs(samples).max(initial=0) > 1:
        raise ValueError("Samples must be finite and within [-1, 1].")
    whole = np.rint(np.asarray(samples, np.float64) * 32767).astype(np.int16)
    target = io.BytesIO()
    soundfile.write(target, whole, sample_rate, format="WAV", subtype="PCM_16")
    return target.getvalue()
