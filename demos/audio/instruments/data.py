"""Notes for training and measuring: sounds, their pitch and level over time, and the fixed split.

The archive holds single notes of 15 instruments (see README, "Data"). In each instrument every tenth note, in the order
of the SHA-256 of its name, is held out of all training. Analysing all of them takes a minute or two, so that it is kept
in a cache beside the runs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demos.audio.files import read_audio
from demos.audio.pitch import track
from demos.audio.spectra import Mel, level_db

__all__ = [
    "EXTRA",
    "FLOOR_DB",
    "HOP",
    "INSTRUMENTS",
    "MEL",
    "SAMPLE_RATE",
    "Note",
    "Notes",
    "analyse",
    "end_of",
    "load_notes",
    "onset_of",
    "stiffness",
]

SAMPLE_RATE, HOP = 24_000, 120
FLOOR_DB = -80.0
MEL = Mel(SAMPLE_RATE, 1024, 240, 80)
INSTRUMENTS = (
    "alto_sax", "banjo", "bass_clarinet", "bassoon", "cello", "clarinet", "double_bass", "english_horn", "flute",
    "french_horn", "guitar", "oboe", "piano", "trombone", "tuba",
)  # fmt: skip
STRUCK = ("piano", "guitar", "banjo")
CUT_SECONDS = 2.95
VERSION = 2
EXTRA = "fluid_notes.zip"


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        samples: `(N,)` float32 at `SAMPLE_RATE`.
        f0_hz, level: `(N // HOP + 1,)` pitch, and dB below full scale.
        onset: seconds from the first sample to the onset.
        instrument: index into `INSTRUMENTS`.
        pitch: MIDI number.
        stretch: stiffness of the string, 0 for winds and bows.
        whole: whether the note's end is in the recording.
        held_out: whether it is kept from training.
    """

    name: str
    samples: np.ndarray
    f0_hz: np.ndarray
    level: np.ndarray
    onset: float
    instrument: int
    pitch: int
    stretch: float
    whole: bool
    held_out: bool

    @property
    def hz(self) -> float:
        """The median of the pitch."""
        return float(np.median(self.f0_hz))


def analyse(samples: np.ndarray, f0_hz: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Pitch `(M,)` near the known one, level `(M,)` and the onset in seconds of a note `(N,)`."""
    low, high = 0.9 * f0_hz, min(1.1 * f0_hz, SAMPLE_RATE / 4)
    found = track(samples, SAMPLE_RATE, HOP, min(low, high * 0.8), high)
    curve = np.where(found.f0_hz > 0, found.f0_hz, f0_hz)
    sure = found.confidence > 0.8
    if sure.any():
        frames = np.arange(len(curve))
        curve = np.exp(np.interp(frames, frames[sure], np.log(curve[sure])))
    else:
        curve = np.full_like(curve, f0_hz)
    level = level_db(torch.from_numpy(samples)[None], HOP)[0].numpy()
    return curve.astype(np.float32), level, onset_of(level)


def onset_of(level: np.ndarray) -> float:
    """Seconds until the onset: the last time below -20 dB of the peak before the level `(M,)` first comes within 6 dB.

    What sounds before is the room, or a finger on a string.
    """
    near = int(np.argmax(level >= level.max() - 6))
    quiet = np.flatnonzero(level[:near] < level.max() - 20)
    return (int(quiet[-1]) + 1 if len(quiet) else 0) * HOP / SAMPLE_RATE


def end_of(level: np.ndarray) -> float:
    """Seconds until the level `(M,)` is more than 30 dB below its peak for good."""
    return (int(np.flatnonzero(level > level.max() - 30)[-1]) + 1) * HOP / SAMPLE_RATE


def stiffness(samples: np.ndarray, f0_hz: float) -> float:
    """Stiffness B for which partials at k f0 sqrt(1 + B k²) meet the most energy; 0 if B = 0 does as well."""
    part = np.asarray(samples[: int(1.5 * SAMPLE_RATE)], np.float64)
    n = 1 << (4 * len(part)).bit_length()
    spectrum = np.log(np.abs(np.fft.rfft(part * np.hanning(len(part)), n)) + 1e-3)
    k = np.arange(1, 25)
    tried = np.concatenate([[0.0], np.geomspace(2e-5, 1e-2, 160)])
    place = k * f0_hz * np.sqrt(1 + tried[:, None] * k**2)
    bins = np.rint(place * n / SAMPLE_RATE).astype(int)
    inside = place < 0.45 * SAMPLE_RATE
    count = inside.sum(1)
    score = np.where(inside, spectrum[np.minimum(bins, n // 2)], 0).sum(1) / np.maximum(count, 1)
    best = int(score.argmax())
    return float(tried[best]) if score[best] > score[0] + 0.15 else 0.0


def load_notes(archive: Path, cache: Path | None = None, limit: int | None = None) -> list[Note]:
    """Read and analyse the archive; `limit` notes of each instrument if given.

    Raises:
        FileNotFoundError: no archive at `archive`.
    """
    kept = cache / f"{archive.stem}-{VERSION}.npz" if cache is not None and limit is None else None
    known = dict(np.load(kept)) if kept is not None and kept.exists() else {}
    notes, made = [], {}
    with zipfile.ZipFile(archive) as files:
        rows = list(csv.DictReader(io.TextIOWrapper(files.open("notes/metadata.csv"), "utf-8")))
        digest = {row["file"]: hashlib.sha256(row["file"].encode()).hexdigest() for row in rows}
        for index, instrument in enumerate(INSTRUMENTS):
            mine = sorted((r for r in rows if r["instrument"] == instrument), key=lambda r: digest[r["file"]])
            for i, row in enumerate(tqdm(mine[:limit], instrument, leave=False)):
                name, f0 = row["file"], float(row["f0_hz"])
                samples = read_audio(files.read(name), SAMPLE_RATE)
                if name in known:
                    packed = known[name]
                else:
                    curve, level, onset = analyse(samples, f0)
                    stretch = stiffness(samples, f0) if instrument in STRUCK else 0.0
                    packed = np.concatenate([curve, level, [onset, stretch]]).astype(np.float32)
                made[name] = packed
                curve, level = packed[:-2].reshape(2, -1)
                whole = len(samples) < CUT_SECONDS * SAMPLE_RATE
                facts = (float(packed[-2]), index, int(row["midi_pitch"]), float(packed[-1]), whole, i % 10 == 0)
                notes.append(Note(name, samples, curve, level, *facts))
    if kept is not None and not known:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **made)
    return notes


class Notes:
    """Endless batches of crops, and the held-out notes."""

    def __init__(self, notes: list[Note], device: str = "cpu") -> None:
        self.train = [n for n in notes if not n.held_out]
        self.held = [n for n in notes if n.held_out]
        self.device = device
        kinds = np.array([n.instrument for n in self.train])
        self.weight = torch.from_numpy(1 / np.bincount(kinds, minlength=len(INSTRUMENTS))[kinds] ** 0.5)

    def batch(self, n: int, frames: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`n` crops of `frames` frames, half of them from the note's beginning, instruments nearly balanced.

        Returns:
            `samples` and `heard` (another crop of the same note) `(n, (frames - 1) * HOP)`; `f0_hz`, `level`, `onset`
            and `left` (seconds since onset and to the end) `(n, frames)`; `pitch_hz`, `peak` (dB), `stretch` and
            `instrument` `(n,)`.
        """
        pick = torch.multinomial(self.weight, n, replacement=True, generator=generator)
        begin = torch.rand(n, 3, generator=generator).numpy()
        rows = [crop(self.train[i], frames, *b) for i, b in zip(pick.tolist(), begin, strict=True)]
        return {k: torch.from_numpy(np.stack([r[k] for r in rows])).to(self.device) for k in rows[0]}


def crop(note: Note, frames: int, where: float, other: float, start: float) -> dict[str, np.ndarray]:
    """A crop as `Notes.batch` returns it: `where` in [0, 1] of the way in, at the beginning if `start` < 0.5."""
    length = (frames - 1) * HOP
    last = max(0, len(note.level) - frames)
    at = 0 if start < 0.5 else round(where * last)
    seconds = (at + np.arange(frames)) * HOP / SAMPLE_RATE

    def part(curve: np.ndarray, fill: float | None = None) -> np.ndarray:
        cut = curve[at : at + frames]
        return np.pad(cut, (0, frames - len(cut)), mode="constant", constant_values=cut[-1] if fill is None else fill)

    def sound(first: int) -> np.ndarray:
        cut = note.samples[first * HOP : first * HOP + length]
        return np.pad(cut, (0, length - len(cut)))

    end = end_of(note.level) if note.whole else 1e3
    return {
        "samples": sound(at),
        "heard": sound(round(other * last)),
        "f0_hz": part(note.f0_hz),
        "level": part(note.level, FLOOR_DB),
        "onset": np.maximum(seconds - note.onset, 0).astype(np.float32),
        "left": np.maximum(end - seconds, 0).astype(np.float32),
        "pitch_hz": np.array(note.hz, np.float32),
        "peak": np.array(note.level.max(), np.float32),
        "stretch": np.array(note.stretch, np.float32),
        "instrument": np.array(note.instrument),
    }
