"""Spoken digits and read speech for training and measuring, at 8 kHz.

Recordings are trimmed to what sounds. In each digit and voice the recordings 0 to 4 are the customary test split of the
Free Spoken Digit Dataset; of the read speech, every twentieth file is held out.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demos.audio.files import normalise, read_audio
from demos.audio.spectra import Mel

__all__ = ["DIGITS", "MEL", "SAMPLE_RATE", "VOICES", "Digit", "Digits", "load_digits", "load_speech", "trim"]

SAMPLE_RATE = 8_000
MEL = Mel(SAMPLE_RATE, 256, 64, 64)
VOICES = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
DIGITS = 10
TEST_INDICES = 5
LEVEL_DB = -22.0
LONGEST_FRAMES = 128
PAD_FRAMES = 3


@dataclass(frozen=True)
class Digit:
    """One recording: `(N,)` samples with N a multiple of `MEL.hop`, the digit, the index of the voice."""

    samples: np.ndarray
    digit: int
    voice: int
    held_out: bool


def trim(samples: np.ndarray, below_db: float = 35.0) -> np.ndarray:
    """`(N,)` from the first to the last frame within `below_db` of the loudest, with three frames around."""
    hop = MEL.hop
    padded = np.pad(samples, (0, -len(samples) % hop))
    power = np.square(padded.reshape(-1, hop)).mean(1)
    sounds = np.flatnonzero(power > power.max() * 10 ** (-below_db / 10))
    first, last = max(0, sounds[0] - PAD_FRAMES), min(len(power), sounds[-1] + 1 + PAD_FRAMES)
    return padded[first * hop : last * hop]


def load_digits(archive: Path) -> list[Digit]:
    """Read the archive; recordings longer than a second once trimmed are left out of training.

    Raises:
        FileNotFoundError: no archive at `archive`.
    """
    digits = []
    with zipfile.ZipFile(archive) as files:
        for name in sorted(n for n in files.namelist() if n.endswith(".flac")):
            digit, voice, index = Path(name).stem.split("_")
            samples = trim(normalise(read_audio(files.read(name), SAMPLE_RATE), SAMPLE_RATE, LEVEL_DB))
            held_out = int(index) < TEST_INDICES
            if held_out or len(samples) < LONGEST_FRAMES * MEL.hop:
                digits.append(Digit(samples, int(digit), VOICES.index(voice), held_out))
    return digits


def load_speech(archive: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read speech, for training and held out, each `(N,)` at 8 kHz.

    Raises:
        FileNotFoundError: no archive at `archive`.
    """
    with zipfile.ZipFile(archive) as files:
        names = sorted(n for n in files.namelist() if n.endswith(".ogg"))
        sounds = [normalise(read_audio(files.read(n), SAMPLE_RATE), SAMPLE_RATE, LEVEL_DB) for n in names]
    return [s for i, s in enumerate(sounds) if i % 20], sounds[::20]


class Digits:
    """Endless batches of log-mel frames of training digits, and the lengths of digits in each voice."""

    def __init__(self, digits: list[Digit], device: str = "cpu") -> None:
        self.train = [d for d in digits if not d.held_out]
        self.held = [d for d in digits if d.held_out]
        self.device = device
        self.mels = [MEL(torch.from_numpy(d.samples)[None])[0] for d in self.train]

    def batch(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """`mel` `(n, mels, M)` padded with silence, `mask` `(n, M)` bool, `digit` and `voice` `(n,)`."""
        pick = torch.randint(len(self.train), (n,), generator=generator).tolist()
        frames = max(self.mels[i].shape[1] for i in pick)
        mel = torch.full((n, MEL.mels, frames), float(np.log(1e-5)))
        mask = torch.zeros(n, frames, dtype=torch.bool)
        for row, i in enumerate(pick):
            mel[row, :, : self.mels[i].shape[1]] = self.mels[i]
            mask[row, : self.mels[i].shape[1]] = True
        made = {"mel": mel, "mask": mask, "digit": torch.tensor([self.train[i].digit for i in pick])}
        made["voice"] = torch.tensor([self.train[i].voice for i in pick])
        return {k: v.to(self.device) for k, v in made.items()}

    def lengths(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the logarithm of frames, each `(DIGITS, voices)`."""
        mean, std = torch.zeros(2, DIGITS, len(VOICES)).unbind()
        for digit in range(DIGITS):
            for voice in range(len(VOICES)):
                mine = [m.shape[1] for m, d in zip(self.mels, self.train, strict=True)
                        if (d.digit, d.voice) == (digit, voice)]  # fmt: skip
                logs = torch.tensor(mine or [50], dtype=torch.float32).log()
                mean[digit, voice], std[digit, voice] = logs.mean(), logs.std(unbiased=False)
        return mean, std

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation over all training frames, each `(mels,)`."""
        frames = torch.cat(self.mels, 1)
        return frames.mean(1), frames.std(1)
