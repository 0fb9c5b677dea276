"""The Instruments wrapper: notes, tunes and curves in, sound out; no tensors outside, no Gradio inside.

An instrument is a name, a blend of names, a place on the map of timbres, or a timbre vector. Everything that a caller
may set is checked here, because the page and the API reach the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from demos.audio.files import Audio, Sound, fade, read_audio
from demos.audio.instruments.curves import Curves, listen, since_onset, tuned
from demos.audio.instruments.data import FLOOR_DB, HOP, SAMPLE_RATE
from demos.audio.instruments.networks import SPREAD, InstrumentModel
from demos.audio.synthesiser import FRAMES_A_BLOCK
from demos.core.cancel import OnStep, report
from demos.core.checkpoint import find, load_network
from demos.core.device import Lane, autocast, pick_device, set_threads
from demos.core.limits import number_in
from demos.core.seed import generator, normalise_seed

__all__ = ["LIMITS", "Instruments", "Touch", "TuneNote"]

LIMITS = {
    "pitch": (24.0, 100.0), "seconds": (0.1, 20.0), "loudness": (0.0, 1.0), "vibrato": (0.0, 100.0),
    "attack": (0.0, 1.0), "transpose": (-24.0, 24.0), "offset": (-20.0, 20.0), "threshold": (0.0, 1.0),
    "autotune": (0.0, 1.0),
}  # fmt: skip
MOST_NOTES = 2_000
LONGEST_TUNE = 300.0
VIBRATO_HZ, TAIL, RELEASE = 5.5, 0.3, 0.06
PEAK_DB = (-32.0, -8.0)
NOTES_A_BATCH, SPAN = 8, 8.0
Timbre: TypeAlias = "str | Mapping[str, float] | np.ndarray | tuple[float, float]"
"""A name, weights of names, a vector `(Z,)`, or a place `(x, y)` on the map, 0 to 1."""


@dataclass(frozen=True)
class TuneNote:
    """A note of a tune: MIDI number (69 is A4, fractions allowed), start and length in seconds, loudness 0 to 1."""

    pitch: float
    start: float
    seconds: float
    loudness: float = 0.7


@dataclass(frozen=True)
class Touch:
    """How a note is played: vibrato in cents (0 to 100), seconds over which it swells (0 to 1)."""

    vibrato: float = 0.0
    attack: float = 0.0


class Instruments:
    """Loads once, answers one caller at a time."""

    def __init__(self, network: InstrumentModel, device: torch.device) -> None:
        self.network, self.device, self.lane = network, device, Lane()
        self.names: tuple[str, ...] = tuple(network.config["instruments"])
        self.places = dict(zip(self.names, map(tuple, network.places.cpu().double().tolist()), strict=True))

    @classmethod
    def load(cls, checkpoint: str | Path = "instruments", device: str | None = None) -> Instruments:
        """Read a checkpoint folder; nothing is downloaded.

        Raises:
            ValueError: the folder is missing, damaged, or holds something else.
        """
        where = pick_device(device)
        if where.type == "cpu":
            set_threads()
        return cls(load_network(InstrumentModel, find(checkpoint), where), where)

    def timbre(self, instrument: Timbre) -> np.ndarray:
        """The timbre vector `(Z,)` of an instrument.

        A place on the map blends the instruments by the inverse fourth power of their distance: on an instrument's own
        place it is that instrument.

        Raises:
            ValueError: an unknown name, weights or numbers that make no sense.
        """
        centres = self.network.centres.detach().cpu().double().numpy()
        if isinstance(instrument, str):
            instrument = {instrument: 1.0}
        if isinstance(instrument, Mapping):
            unknown = [str(name)[:40] for name in instrument if name not in self.names]
            if unknown:
                raise ValueError(f"There is no instrument “{unknown[0]}”; there are {', '.join(self.names)}.")
            weights = np.array([_weight(instrument.get(name, 0)) for name in self.names])
            if not 0 < weights.sum() < math.inf:
                raise ValueError("The weights of the instruments must be numbers from 0 on, and one of them above 0.")
            return (weights / weights.sum()) @ centres
        try:
            values = np.asarray(instrument, np.float64)
        except (TypeError, ValueError):
            values = np.array(math.nan)
        if values.shape == (2,) and np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all():
            square = np.square(np.array([self.places[name] for name in self.names]) - values).sum(1)
            weights = 1 / np.square(square + 1e-9)
            return (weights / weights.sum()) @ centres
        if values.shape != centres.shape[1:] or not np.isfinite(values).all() or np.abs(values).max() > 20:
            raise ValueError("An instrument is a name, a blend of names, or a place (x, y) on the map from 0 to 1.")
        return values

    def invent(self, seed: int | None = 0) -> np.ndarray:
        """A timbre `(Z,)` from the prior: a Gaussian through the instruments' centres, and the spread around one."""
        rng = np.random.default_rng(normalise_seed(seed))
        centres = self.network.centres.detach().cpu().double().numpy()
        away = centres - centres.mean(0)
        mixture = rng.normal(size=len(centres)) / math.sqrt(len(centres) - 1)
        return centres.mean(0) + mixture @ away + SPREAD * rng.normal(size=centres.shape[1])

    def play(
        self,
        instrument: Timbre,
        pitch: float,
        seconds: float = 2.0,
        loudness: float = 0.7,
        touch: Touch | None = None,
        *,
        glide_to: Timbre | None = None,
        seed: int | None = 0,
        on_step: OnStep | None = None,
    ) -> Sound:
        """One note: `seconds` long, and a third of a second for the room.

        Args:
            instrument: see `timbre`.
            pitch: MIDI number from 24 to 100; 69 is 440 Hz.
            loudness: 0 to 1, over 24 dB.
            touch: vibrato and attack.
            glide_to: another instrument that the note becomes.
            seed: of the playing and of the noise; None or negative draws one.
            on_step: called as `on_step(i, n, preview)`; may raise `Cancelled`.

        Raises:
            ValueError: a setting is out of range.
        """
        seed, note = normalise_seed(seed), self._checked(TuneNote(pitch, 0.0, seconds, loudness))
        z = torch.from_numpy(self.timbre(instrument)).float()[None]
        curves = self._notes([note], z, seed, touch)[0]
        if glide_to is not None:
            end = torch.from_numpy(self.timbre(glide_to)).float()
            way = torch.linspace(0, 1, len(curves.f0_hz))[:, None]
            z = ((1 - way) * z + way * end)[None]
        made = self._render([curves], z, seed, on_step)[0]
        return Sound(_safe(fade(made, SAMPLE_RATE)), SAMPLE_RATE, seed)

    def perform(
        self, notes: Sequence[TuneNote], instrument: Timbre, *, seed: int | None = 0, on_step: OnStep | None = None
    ) -> Sound:
        """A tune of up to 2,000 notes within five minutes, played by one instrument; notes may overlap.

        Raises:
            ValueError: no notes, too many, or one out of range.
        """
        seed = normalise_seed(seed)
        return Sound(_safe(self.together([notes], [instrument], seed=seed, on_step=on_step)[0]), SAMPLE_RATE, seed)

    def together(
        self,
        tunes: Sequence[Sequence[TuneNote]],
        instruments: Sequence[Timbre],
        *,
        seed: int = 0,
        on_step: OnStep | None = None,
    ) -> np.ndarray:
        """Tunes that instruments play together, an instrument a tune: `(tunes, N)` samples, not yet limited.

        Notes are made in the order of their time, so that listening can begin before the end is made.

        Args:
            on_step: called as `on_step(i, n, so_far)` after each batch of notes, with a function that gives the mix
                `(m,)` up to the first note that is still missing; may raise `Cancelled`.

        Raises:
            ValueError: as `perform`.
        """
        for notes in tunes:
            if not 1 <= len(notes) <= MOST_NOTES:
                raise ValueError(f"A tune has 1 to {MOST_NOTES:,} notes; this one has {len(notes):,}.")
        parts = [(voice, self._checked(note)) for voice, notes in enumerate(tunes) for note in notes]
        timbres = [self.timbre(instrument) for instrument in instruments]
        end = max(note.start + note.seconds for _, note in parts) + TAIL + 0.1
        made = np.zeros((len(tunes), math.ceil(end * SAMPLE_RATE)), np.float32)
        batches = _batches(parts)
        for i, batch in enumerate(batches):
            z = torch.from_numpy(np.stack([timbres[voice] for voice, _ in batch])).float()
            curves = self._notes([note for _, note in batch], z, seed + i)
            for (voice, note), samples in zip(batch, self._render(curves, z, seed + i, None), strict=True):
                at = round(note.start * SAMPLE_RATE)
                made[voice, at : at + len(samples)] += fade(samples, SAMPLE_RATE)[: made.shape[1] - at]
            missing = min((note.start for later in batches[i + 1 :] for _, note in later), default=end)
            report(on_step, i + 1, len(batches), lambda until=missing: made[:, : round(until * SAMPLE_RATE)].sum(0))
        return made

    def listen(self, audio: Audio, on_step: OnStep | None = None) -> Curves:
        """Pitch and level of a recording, to look at, to redraw, and to give to `transfer`.

        Args:
            on_step: called as `on_step(i, n, None)` as it goes on; may raise `Cancelled`.

        Raises:
            ValueError: the recording cannot be used; see `read_audio`.
        """
        return listen(read_audio(audio, SAMPLE_RATE), on_step)

    def transfer(
        self,
        sound: Audio | Curves,
        instrument: Timbre,
        *,
        transpose: float = 0.0,
        offset: float = 0.0,
        threshold: float = 0.5,
        autotune: float = 0.0,
        seed: int | None = 0,
        on_step: OnStep | None = None,
    ) -> Sound:
        """A recording's pitch and level, or curves drawn by hand, played by an instrument.

        Args:
            transpose: semitones, -24 to 24.
            offset: dB, -20 to 20.
            threshold: frames less sure of their pitch than this, 0 to 1, stay silent.
            autotune: 0 keeps the pitch, 1 moves it to the nearest semitone.
            on_step: called as `on_step(i, n, so_far)` with the samples `(m,)` made until then; may raise `Cancelled`.

        Raises:
            ValueError: the recording cannot be used, or a setting is out of range.
        """
        seed, threshold = normalise_seed(seed), number_in(LIMITS, "threshold", threshold)
        shift, offset = number_in(LIMITS, "transpose", transpose), number_in(LIMITS, "offset", offset)
        tune = number_in(LIMITS, "autotune", autotune)
        z = torch.from_numpy(self.timbre(instrument)).float()[None]
        curves = sound if isinstance(sound, Curves) else self.listen(sound)
        curves = tuned(curves.checked(), shift, offset, threshold, tune)
        if not (curves.level > FLOOR_DB).any():
            silence = np.zeros((len(curves.level) - 1) * HOP, np.float32)
            return Sound(
                silence, SAMPLE_RATE, seed, "No pitch was found in this recording; sing or play one note at a time."
            )
        return Sound(_safe(fade(self._render([curves], z, seed, on_step)[0], SAMPLE_RATE)), SAMPLE_RATE, seed)

    def _checked(self, note: TuneNote) -> TuneNote:
        if not 0 <= note.start <= LONGEST_TUNE:
            raise ValueError(f"Notes must start within {LONGEST_TUNE:g} seconds.")
        return replace(note, **{s: number_in(LIMITS, s, getattr(note, s)) for s in ("pitch", "seconds", "loudness")})

    def _notes(self, notes: Sequence[TuneNote], z: Tensor, seed: int, touch: Touch | None = None) -> list[Curves]:
        """The curves of single notes, the room's tail included, as the player draws them for timbres `(B, Z)`."""
        touch = touch or Touch()
        vibrato, attack = number_in(LIMITS, "vibrato", touch.vibrato), number_in(LIMITS, "attack", touch.attack)
        counts = [math.ceil((note.seconds + TAIL) * SAMPLE_RATE / HOP) + 1 for note in notes]
        time = np.arange(max(counts)) * HOP / SAMPLE_RATE
        f0 = np.array([440 * 2 ** ((note.pitch - 69) / 12) for note in notes])
        left = np.maximum(np.array([[note.seconds] for note in notes]) - time, 0)
        noise = torch.randn(left.shape, generator=generator(seed)).to(self.device)
        with self.lane.hold(), torch.inference_mode(), autocast(self.device):
            pitch, seconds, until = (torch.from_numpy(x).float().to(self.device) for x in (f0, time, left))
            shape = self.network.player.curves(z.to(self.device), pitch, seconds.expand_as(until), until, noise)
        swing = 2 ** (vibrato * np.clip(time / 0.4 - 0.5, 0, 1) * np.sin(2 * np.pi * VIBRATO_HZ * time) / 1200)
        swell = 20 * np.log10(np.clip(time / max(attack, 0.004), 1e-4, 1))
        made = []
        for note, count, f, below, rest in zip(notes, counts, f0, shape.cpu().double().numpy(), left, strict=True):
            level = PEAK_DB[0] + (PEAK_DB[1] - PEAK_DB[0]) * note.loudness + np.minimum(below, 0) + swell
            level += FLOOR_DB * np.clip(1 - rest / RELEASE, 0, 1)
            made.append(Curves(f * swing[:count], np.maximum(level, FLOOR_DB)[:count], np.ones(count)))
        return made

    def _render(self, curves: list[Curves], z: Tensor, seed: int, on_step: OnStep | None) -> list[np.ndarray]:
        """Sounds of curves, computed together; `z` `(B, Z)` or `(B, M, Z)`."""
        frames = max(len(c.level) for c in curves)

        def rows(values: list[np.ndarray], fill: float | None) -> Tensor:
            ends = [v[-1] if fill is None else fill for v in values]
            made = [np.pad(v, (0, frames - len(v)), constant_values=e) for v, e in zip(values, ends, strict=True)]
            return torch.from_numpy(np.stack(made)).float().to(self.device)

        f0, level = rows([c.f0_hz for c in curves], None), rows([c.level for c in curves], FLOOR_DB)
        onset = rows([since_onset(c) for c in curves], None)
        made = np.zeros((len(curves), (frames - 1) * HOP), np.float32)
        done, count = 0, math.ceil((frames - 1) / FRAMES_A_BLOCK)
        with self.lane.hold(), torch.inference_mode(), autocast(self.device):
            for i, part in enumerate(self.network.parts(f0, level, onset, z.to(self.device), generator(seed))):
                made[:, done : done + part.shape[1]] = part.float().cpu().numpy()
                done += part.shape[1]
                report(on_step, i + 1, count, made[0, :done])
        return [m[: (len(c.level) - 1) * HOP] for m, c in zip(made, curves, strict=True)]


def _batches(parts: list[tuple[int, TuneNote]]) -> list[list[tuple[int, TuneNote]]]:
    """Notes of about equal length together, one span of time after the other; the first span is half as long."""
    spans: dict[int, list[tuple[int, TuneNote]]] = {}
    for part in sorted(parts, key=lambda part: part[1].start):
        spans.setdefault(int(part[1].start / SPAN + 0.5), []).append(part)
    made = []
    for span in spans.values():
        order = sorted(span, key=lambda part: part[1].seconds)
        made += [order[i : i + NOTES_A_BATCH] for i in range(0, len(order), NOTES_A_BATCH)]
    return made


def _weight(value: object) -> float:
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if number >= 0 else math.nan


def _safe(samples: np.ndarray) -> np.ndarray:
    """Peaks at most 0.95: louder sounds are scaled down as a whole."""
    return (samples * min(1.0, 0.95 / max(1e-9, float(np.abs(samples).max(initial=0))))).astype(np.float32)
