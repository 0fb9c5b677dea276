"""The instruments' figures: resynthesis of held-out notes beside baselines, pitch, speed, what a judge hears."""

from __future__ import annotations

import time

import numpy as np
import soxr
import torch
from tqdm import tqdm

from demos.audio.classifier import Classifier
from demos.audio.instruments.data import HOP, INSTRUMENTS, SAMPLE_RATE, Note
from demos.audio.instruments.judge import heard
from demos.audio.instruments.model import Instruments, Touch
from demos.audio.instruments.render import PROGRAMS, available, render_notes
from demos.audio.instruments.training import resynthesise
from demos.audio.pitch import track
from demos.audio.spectra import log_spectral_distance, spectral_distance

__all__ = ["judged", "neighbour", "pitch_errors", "resynthesis", "speed", "tracker_errors"]

Row = dict[str, float]


def distances(made: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Multi-scale spectral distance and log-spectral distance in dB, at equal power, over the real note's length."""
    made = np.pad(made, (0, max(0, len(real) - len(made))))[: len(real)]
    scale = np.sqrt(np.square(real).sum() / max(1e-12, np.square(made).sum()))
    a, b = (torch.from_numpy(np.ascontiguousarray(x, np.float32))[None] for x in (made * scale, real))
    return float(spectral_distance(a, b)), float(log_spectral_distance(a, b))


def neighbour(note: Note, train: list[Note]) -> np.ndarray:
    """The training note of the same instrument nearest in pitch, resampled to the note's pitch, onsets aligned."""
    mine = [n for n in train if n.instrument == note.instrument]
    best = min(mine, key=lambda n: (abs(n.pitch - note.pitch), abs(len(n.samples) - len(note.samples))))
    ratio = note.hz / best.hz
    moved = soxr.resample(best.samples, SAMPLE_RATE * ratio, SAMPLE_RATE) if abs(ratio - 1) > 1e-4 else best.samples
    late = round((note.onset - best.onset / ratio) * SAMPLE_RATE)
    return np.pad(moved, (late, 0)) if late > 0 else moved[-late:]


def resynthesis(model: Instruments, notes: list[Note]) -> dict[str, Row]:
    """Mean distances over the held-out notes: model, pitch-shifted neighbour and, if it is installed, FluidR3."""
    train, held = ([n for n in notes if n.held_out is h] for h in (False, True))
    found: dict[str, list[tuple[float, float]]] = {"model": [], "neighbour": []}
    for note in tqdm(held, "resynthesis"):
        with torch.inference_mode():
            found["model"].append(distances(resynthesise(model.network, note), note.samples))
        found["neighbour"].append(distances(neighbour(note, train), note.samples))
    if available():
        found["FluidR3"] = []
        for index, name in enumerate(INSTRUMENTS):
            mine = [n for n in held if n.instrument == index]
            if name in PROGRAMS and mine:
                asked = [(n.pitch, 90, max(0.2, len(n.samples) / SAMPLE_RATE - 0.2)) for n in mine]
                made = render_notes(PROGRAMS[name], asked)
                found["FluidR3"] += [distances(m, n.samples) for m, n in zip(made, mine, strict=True)]
    means = {name: np.mean(pairs, 0).tolist() for name, pairs in found.items()}
    return {
        name: {"spectral": spectral, "log_spectral_db": log_spectral, "notes": len(found[name])}
        for name, (spectral, log_spectral) in means.items()
    }


def cents(f0_hz: np.ndarray, wanted_hz: float) -> np.ndarray:
    """Absolute errors in cents."""
    return np.abs(1200 * np.log2(np.maximum(f0_hz, 1) / wanted_hz))


def tracker_errors(notes: list[Note]) -> Row:
    """The pitch tracker, knowing nothing, on notes whose pitch is known from their names and a measurement."""
    errors = []
    for note in tqdm(notes, "pitch tracker"):
        found = track(note.samples, SAMPLE_RATE, HOP, 22.0, 4200.0)
        loud = found.voiced & (note.level > note.level.max() - 25)
        errors.append(cents(found.f0_hz[loud], note.hz))
    near = np.concatenate(errors)
    return {
        "within_50_cents": float((near < 50).mean()),
        "octave_or_worse": float((near > 600).mean()),
        "median_cents": float(np.median(near)),
        "notes_right": float(np.mean([np.median(e) < 50 if len(e) else False for e in errors])),
    }


def pitch_errors(model: Instruments, notes: list[Note], pitches: int = 5) -> Row:
    """Played notes against the pitch that was asked for, over each instrument's own range."""
    errors = []
    for index, name in enumerate(tqdm(model.names, "pitch")):
        span = [n.pitch for n in notes if n.instrument == index]
        for pitch in np.linspace(min(span), max(span), pitches).round().clip(24, 100):
            made = model.play(name, float(pitch), 1.0, touch=Touch())
            found = track(made.samples, SAMPLE_RATE, HOP, 22.0, 4200.0)
            errors.append(cents(found.f0_hz[found.voiced], 440 * 2 ** ((pitch - 69) / 12)))
    near = np.concatenate(errors)
    return {"within_10_cents": float((near < 10).mean()), "median_cents": float(np.median(near)), "frames": len(near)}


def speed(model: Instruments) -> Row:
    """Seconds of computing for a second of sound, and until a short note is ready."""
    name = model.names[0]
    model.play(name, 48, 1.0)
    start = time.perf_counter()
    model.play(name, 48, 10.0)
    long = time.perf_counter() - start
    start = time.perf_counter()
    model.play(name, 72, 0.5)
    return {"real_time_factor": long / 10, "first_sound_s": time.perf_counter() - start}


def judged(model: Instruments, notes: list[Note], judge: Classifier) -> Row:
    """Accuracy of the judge on held-out notes, on their neighbours, on notes resynthesised and on notes played."""
    train, held = ([n for n in notes if n.held_out is h] for h in (False, True))
    right: dict[str, list[bool]] = {"real": [], "neighbour": [], "resynthesised": [], "generated": []}
    with torch.inference_mode():
        for seed, note in enumerate(tqdm(held, "judge")):
            pitch = float(np.clip(note.pitch, 24, 100))
            played = model.play(model.names[note.instrument], pitch, 1.5, 1.0, seed=seed).samples
            sounds = (note.samples, neighbour(note, train), resynthesise(model.network, note), played)
            for samples, named in zip(sounds, right.values(), strict=True):
                loud = samples * 0.9 / max(1e-6, float(np.abs(samples).max()))
                named.append(int(judge(heard(loud, note.hz)).argmax()) == note.instrument)
    return {name: float(np.mean(named)) for name, named in right.items()}
