"""The judge of instruments: a classifier of recorded notes that says what a played note sounds like."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.audio.classifier import Classifier
from demos.audio.instruments.data import HOP, INSTRUMENTS, MEL, SAMPLE_RATE
from demos.audio.instruments.training import known_notes
from demos.core.fit import fit
from demos.core.stages import Run

__all__ = ["EXCERPT", "excerpt", "heard", "train_note_judge"]

EXCERPT = 81
NOISE_DB = -50


def train_note_judge(run: Run) -> None:
    """The classifier of instruments, on recorded notes alone, with random gains, spectral tilt and noise.

    A recording's noise, rumble, silence and length would give its instrument away; hence the noise, `heard`, and notes
    of FluidR3, which were recorded elsewhere.
    """
    notes = known_notes(run)
    model = run.ready(Classifier(MEL.mels, 96, INSTRUMENTS))

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        pick = torch.multinomial(notes.weight, run.batch, replacement=True, generator=rng).tolist()
        chosen = [notes.train[i] for i in pick]
        later, floor = 0.15 * torch.rand(run.batch, generator=rng), -70 + 40 * torch.rand(run.batch, 1, generator=rng)
        x = torch.stack([excerpt(n.samples, n.hz, float(t)) for n, t in zip(chosen, later, strict=True)])
        noise = torch.randn(x.shape, generator=rng) * x.abs().amax(1, keepdim=True) * 10 ** (floor / 20)
        mel = MEL((x + noise).to(run.device))
        tilt = torch.randn(2, len(mel), 1, 1, generator=rng).to(run.device) * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1)
        slope = torch.linspace(-1, 1, MEL.mels, device=run.device).view(1, -1, 1)
        logits = model((mel + tilt[0] + tilt[1] * slope).clamp_min(np.log(1e-5)))
        label = torch.tensor([n.instrument for n in chosen], device=run.device)
        return {"loss": F.cross_entropy(logits.float(), label, label_smoothing=0.05)}

    @torch.inference_mode()
    def report(ema: nn.Module, step: int) -> dict[str, float]:
        named = [int(ema(heard(n.samples, n.hz).to(run.device)).argmax()) == n.instrument for n in notes.held]
        return {"held_out_accuracy": round(float(np.mean(named)), 4)}

    ema: Any = fit(model, losses, run.runs, budget=run.budget, lr=2e-3, seed=run.seed, report=report)
    run.write("audio_judges/notes", ema)


def excerpt(samples: np.ndarray, f0_hz: float, later: float = 0.0) -> Tensor:
    """`EXCERPT` frames of a note `(N,)`, from `later` seconds after it first comes within 6 dB of its loudest frame.

    What sounds below the pitch, the rumble of a room or of a table, is taken away.
    """
    level = np.square(samples[: len(samples) // HOP * HOP].reshape(-1, HOP)).mean(1)
    start = int(np.argmax(level >= level.max() / 4)) * HOP + round(later * SAMPLE_RATE)
    length = (EXCERPT - 1) * HOP
    cut = samples[start : start + length]
    spectrum = np.fft.rfft(np.pad(cut, (0, 2 * length - len(cut))))
    place = np.fft.rfftfreq(2 * length, 1 / SAMPLE_RATE) / f0_hz
    kept = np.fft.irfft(spectrum * (0.5 - 0.5 * np.cos(np.pi * np.clip(5 * place - 3, 0, 1))))[:length]
    return torch.from_numpy(kept.astype(np.float32))


def heard(samples: np.ndarray, f0_hz: float) -> Tensor:
    """Log-mel frames `(1, mels, EXCERPT // 2 + 1)` of an attack and what follows, over soft noise, for the judge.

    What a recording holds before the attack and below the pitch, and how long it goes on, are not the instrument's.
    """
    cut = excerpt(samples, f0_hz)
    noise = torch.randn(cut.shape, generator=torch.Generator().manual_seed(0)) * cut.abs().max() * 10 ** (NOISE_DB / 20)
    return MEL((cut + noise)[None])
