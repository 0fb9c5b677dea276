"""The training stages of the instruments: the model, and the classifier that judges it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.audio.classifier import Classifier
from demos.audio.files import normalise, wav_bytes
from demos.audio.instruments.data import EXTRA, HOP, INSTRUMENTS, MEL, SAMPLE_RATE, Note, Notes, crop, load_notes
from demos.audio.instruments.networks import SPREAD, InstrumentModel
from demos.audio.spectra import spectral_distance
from demos.core.fit import fit
from demos.core.stages import Run
from demos.families.vae import kl_divergence, reparametrise

__all__ = ["EXCERPT", "excerpt", "heard", "places", "resynthesise", "train_instruments", "train_note_judge"]

FRAMES, EXCERPT = 201, 81
NOISE_DB = -50
KL_WEIGHT = 0.01


def places(centres: Tensor) -> Tensor:
    """A map of timbres: the two principal components of centres `(C, Z)`, stretched to [0.05, 0.95]²."""
    x = centres.double() - centres.double().mean(0)
    flat = x @ torch.linalg.svd(x, full_matrices=False)[2][:2].T
    low, high = flat.amin(0), flat.amax(0)
    return (0.05 + 0.9 * (flat - low) / (high - low).clamp_min(1e-9)).float()


def resynthesise(model: InstrumentModel, note: Note, seed: int = 0) -> np.ndarray:
    """A note through the encoder and back, `(N,)`, from its own pitch, level and stiffness."""
    device = model.centres.device
    c = {k: torch.from_numpy(np.asarray(v))[None].to(device) for k, v in crop(note, len(note.level), 0, 0, 0).items()}
    z, _ = model.encode(MEL(c["samples"]))
    rng = torch.Generator().manual_seed(seed)
    return model(c["f0_hz"], c["level"], c["onset"], z, rng, c["stretch"])[0].float().cpu().numpy()


def distance_of(made: np.ndarray, real: np.ndarray) -> float:
    """Spectral distance of two sounds over the length of the first."""
    a, b = (torch.from_numpy(s[: len(made)])[None] for s in (made, real))
    return float(spectral_distance(a, b))


def instrument_losses(model: InstrumentModel, batch: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
    """Spectral distance, the KL terms of p(z | kind) p(centre), and the errors of envelope and stiffness."""
    mean, log_var = model.encode(MEL(batch["heard"]))
    z = reparametrise(mean, log_var, rng)
    made = model(batch["f0_hz"], batch["level"], batch["onset"], z, rng, batch["stretch"])
    distance = spectral_distance(made, batch["samples"]).mean()
    centre = model.centres[batch["instrument"]]
    kl = kl_divergence(mean, log_var, centre, SPREAD).mean() + 0.5 * centre.square().sum(1).mean()
    shape = model.envelope(z.detach(), batch["pitch_hz"], batch["onset"], batch["left"])
    target = (batch["level"] - batch["peak"][:, None]).clamp_min(-60)
    envelope = (shape - target).abs().mean() / 10
    stiff = (model.stretch(z.detach(), batch["pitch_hz"]) - batch["stretch"]).abs().mean() / 5e-4
    loss = distance + KL_WEIGHT * kl + 0.3 * envelope + 0.05 * stiff
    return {"loss": loss, "distance": distance, "kl": kl, "envelope": envelope, "stiffness": stiff}


def train_instruments(run: Run) -> None:
    """The autoencoder with its synthesiser, envelope and map, on crops of a second."""
    known = load_notes(run.data / "notes.zip", run.cache)
    if (run.cache / EXTRA).exists():
        known += [n for n in load_notes(run.cache / EXTRA, run.cache) if not n.held_out]
    notes = Notes(known, run.device)
    model = run.started(InstrumentModel())
    probe = notes.held[::6]

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        return instrument_losses(model, notes.batch(run.batch, FRAMES, rng), rng)

    @torch.inference_mode()
    def report(ema: Any, step: int) -> dict[str, float]:
        made = [resynthesise(ema, note) for note in probe]
        far = [distance_of(m, n.samples) for m, n in zip(made, probe, strict=True)]
        pairs = [part for m, n in zip(made[:8], probe, strict=False) for part in (n.samples, m)]
        sound = np.concatenate([np.pad(normalise(s, SAMPLE_RATE), (0, SAMPLE_RATE // 4)) for s in pairs])
        (run.runs / "progress.wav").write_bytes(wav_bytes(sound, SAMPLE_RATE))
        return {"held_out_distance": round(float(np.mean(far)), 4)}

    ema: Any = fit(
        model, losses, run.runs, budget=run.budget, lr=1e-3, ema_decay=0.998, weight_decay=0, seed=run.seed,
        report=report, report_seconds=120,
    )  # fmt: skip
    ema.places.copy_(places(ema.centres.detach()))
    run.write("instruments", ema)


def train_note_judge(run: Run) -> None:
    """The classifier of instruments, on real notes alone, with random gains, spectral tilt and noise.

    A recording's noise, silence and length would give its instrument away; hence the noise, and see `heard`.
    """
    notes = Notes(load_notes(run.data / "notes.zip", run.cache), run.device)
    model = run.ready(Classifier(MEL.mels, 96, INSTRUMENTS))

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        pick = torch.multinomial(notes.weight, run.batch, replacement=True, generator=rng).tolist()
        later, floor = 0.15 * torch.rand(run.batch, generator=rng), -70 + 40 * torch.rand(run.batch, 1, generator=rng)
        x = torch.stack([excerpt(notes.train[i].samples, float(t)) for i, t in zip(pick, later, strict=True)])
        noise = torch.randn(x.shape, generator=rng) * x.abs().amax(1, keepdim=True) * 10 ** (floor / 20)
        mel = MEL((x + noise).to(run.device))
        tilt = torch.randn(2, len(mel), 1, 1, generator=rng).to(run.device) * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1)
        slope = torch.linspace(-1, 1, MEL.mels, device=run.device).view(1, -1, 1)
        logits = model((mel + tilt[0] + tilt[1] * slope).clamp_min(np.log(1e-5)))
        label = torch.tensor([notes.train[i].instrument for i in pick], device=run.device)
        return {"loss": F.cross_entropy(logits.float(), label, label_smoothing=0.05)}

    @torch.inference_mode()
    def report(ema: nn.Module, step: int) -> dict[str, float]:
        right = [int(ema(heard(note.samples).to(run.device)).argmax()) == note.instrument for note in notes.held]
        return {"held_out_accuracy": round(float(np.mean(right)), 4)}

    ema: Any = fit(model, losses, run.runs, budget=run.budget, lr=2e-3, seed=run.seed, report=report)
    run.write("audio_judges/notes", ema)


def excerpt(samples: np.ndarray, later: float = 0.0) -> Tensor:
    """`EXCERPT` frames of a note `(N,)`, from `later` seconds after it first comes within 6 dB of its loudest frame."""
    level = np.square(samples[: len(samples) // HOP * HOP].reshape(-1, HOP)).mean(1)
    start = int(np.argmax(level >= level.max() / 4)) * HOP + round(later * SAMPLE_RATE)
    cut = samples[start : start + (EXCERPT - 1) * HOP]
    return torch.from_numpy(np.pad(cut, (0, (EXCERPT - 1) * HOP - len(cut))).astype(np.float32))


def heard(samples: np.ndarray) -> Tensor:
    """Log-mel frames `(1, mels, EXCERPT // 2 + 1)` of an attack and what follows, over soft noise, for the judge.

    What a recording holds before the attack, and how long it goes on, are not the instrument's.
    """
    cut = excerpt(samples)
    noise = torch.randn(cut.shape, generator=torch.Generator().manual_seed(0)) * cut.abs().max() * 10 ** (NOISE_DB / 20)
    return MEL((cut + noise)[None])
