"""The training stages of the instruments: timbres and sounds, then how a note is played."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demos.audio.files import normalise, wav_bytes
from demos.audio.instruments.data import EXTRA, MEL, SAMPLE_RATE, Note, Notes, crop, load_notes
from demos.audio.instruments.networks import SPREAD, InstrumentModel
from demos.audio.spectra import spectral_distance
from demos.core.fit import fit
from demos.core.stages import Run
from demos.families.score import interpolate, sample_times
from demos.families.vae import kl_divergence, reparametrise

__all__ = ["known_notes", "places", "resynthesise", "train_instruments", "train_player"]

FRAMES, PLAYED_FRAMES = 161, 321
KL_WEIGHT, BALANCE_WEIGHT = 0.002, 0.5


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


def balance(made: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of two sounds' `(B, N)` log-mel spectra, each averaged over time first.

    Where single frames differ by chance, as noise does, the average still says how bright a sound is.
    """
    a, b = (MEL(x).exp().mean(2).log() for x in (made, real))
    return (a - b).abs().mean()


def instrument_losses(model: InstrumentModel, batch: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
    """Distances of spectra, the KL terms of p(z | kind) p(centre), and the error of stiffness.

    Half of the sounds are made from what the encoder hears, half from p(z | kind), as notes without a model are.
    """
    mean, log_var = model.encode(MEL(batch["heard"]))
    centre = model.centres[batch["instrument"]]
    half = len(mean) // 2
    known = reparametrise(mean, log_var, rng)
    z = torch.cat([known[:half], around(centre[half:], rng)])
    made = model(batch["f0_hz"], batch["level"], batch["onset"], z, rng, batch["stretch"])
    distance = spectral_distance(made, batch["samples"]).mean()
    bright = balance(made, batch["samples"])
    kl = kl_divergence(mean, log_var, centre, SPREAD).mean() + 0.5 * centre.square().sum(1).mean()
    stiff = (model.stretch(z.detach(), batch["pitch_hz"]) - batch["stretch"]).abs().mean() / 5e-4
    loss = distance + BALANCE_WEIGHT * bright + KL_WEIGHT * kl + 0.05 * stiff
    return {"loss": loss, "distance": distance, "balance": bright, "kl": kl, "stiffness": stiff}


def around(centre: Tensor, rng: torch.Generator) -> Tensor:
    """Timbres `(B, Z)` near `centre` `(B, Z)`, from its middle to `SPREAD` away."""
    noise = torch.randn(centre.shape, generator=rng) * SPREAD * torch.rand(len(centre), 1, generator=rng)
    return centre + noise.to(centre.device)


def player_loss(model: InstrumentModel, batch: dict[str, Tensor], rng: torch.Generator) -> Tensor:
    """Error of the velocity on real level curves, given their instrument, pitch and length."""
    curve = model.player.curve(batch["level"] - batch["peak"][:, None])
    noise = torch.randn(curve.shape, generator=rng).to(curve.device)
    t = sample_times(len(curve), rng, mean=0.0).to(curve.device)
    z = around(model.centres.detach()[batch["instrument"]], rng)
    v = model.player(interpolate(curve, noise, t), t, z, batch["pitch_hz"], batch["onset"], batch["left"])
    return F.mse_loss(v, noise - curve)


def known_notes(run: Run) -> Notes:
    """The recordings, and the training part of FluidR3's notes if they have been rendered."""
    known = load_notes(run.data / "notes.zip", run.cache)
    if (run.cache / EXTRA).exists():
        known += [n for n in load_notes(run.cache / EXTRA, run.cache) if not n.held_out]
    return Notes(known, run.device)


def train_instruments(run: Run) -> None:
    """The autoencoder with its synthesiser and map, on crops of 0.8 seconds."""
    notes = known_notes(run)
    model = run.started(InstrumentModel())
    model.player.requires_grad_(False)
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


def train_player(run: Run) -> None:
    """How loud a note is over time, for the timbres of a finished autoencoder, on crops of 1.6 seconds."""
    notes = known_notes(run)
    model = run.finished("instruments", InstrumentModel)
    model.player.requires_grad_(True)

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        return {"loss": player_loss(model, notes.batch(run.batch, PLAYED_FRAMES, rng), rng)}

    ema: Any = fit(model, losses, run.runs, budget=run.budget, lr=1e-3, ema_decay=0.998, seed=run.seed)
    run.write("instruments", ema)
