"""The Music wrapper: a melody, a score with gaps, or nothing in; four voices out; no tensors outside, no Gradio inside.

Everything that a caller may set is checked here, because the page and the API reach the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demos.audio.music.data import HIGHEST, LOWEST, RANGES, TOKENS, VOICES, from_tokens, to_tokens
from demos.audio.music.midi import GridNote, grid_of, midi_bytes, notes_of
from demos.audio.music.networks import ChoraleModel
from demos.audio.music.rules import breaks
from demos.core.cancel import OnStep, report
from demos.core.checkpoint import find, load_network
from demos.core.device import Lane, pick_device, set_threads
from demos.core.limits import number_in
from demos.core.seed import generator, normalise_seed

__all__ = ["LIMITS", "Chorales", "Score"]

LIMITS = {"temperature": (0.0, 2.0), "bars": (1, 32)}
STEPS_A_BAR = 16
LONGEST = 32 * STEPS_A_BAR
MOST_MELODY = 2_000
TRIES = 8


@dataclass(frozen=True)
class Score:
    """Four voices.

    Attributes:
        grid: `(T, 4)` MIDI numbers of soprano, alto, tenor, bass in each sixteenth, -1 for silence.
        surprise: `(T, 4)` -log p in nats of what the model was asked for, 0 for what was given.
        starts: `(T, 4)` bool, where a note begins although its pitch is the one before.
        seed: that drew it.
    """

    grid: np.ndarray
    surprise: np.ndarray
    starts: np.ndarray
    seed: int

    def notes(self) -> dict[str, list[GridNote]]:
        """The notes of each voice."""
        return {name: notes_of(self.grid[:, v], self.starts[:, v]) for v, name in enumerate(VOICES)}

    def midi(self, beats_a_minute: float = 80.0) -> bytes:
        """A MIDI file with a track a voice."""
        return midi_bytes(self.notes(), beats_a_minute)


class Chorales:
    """Loads once, answers one caller at a time.

    What is drawn is drawn given that it breaks no rule of `breaks`: a frame that does is drawn again, `tries` times at
    most; then the frame that breaks the fewest is taken. With one try the model is drawn from as it is.
    """

    def __init__(self, network: ChoraleModel, device: torch.device, tries: int = TRIES) -> None:
        self.network, self.device, self.lane, self.tries = network, device, Lane(), tries

    @classmethod
    def load(cls, checkpoint: str | Path = "music", device: str | None = None) -> Chorales:
        """Read a checkpoint folder; nothing is downloaded.

        Raises:
            ValueError: the folder is missing, damaged, or holds something else.
        """
        where = pick_device(device)
        if where.type == "cpu":
            set_threads()
        return cls(load_network(ChoraleModel, find(checkpoint), where), where)

    def harmonise(
        self,
        melody: Sequence[GridNote | Sequence[int]],
        temperature: float = 1.0,
        *,
        seed: int | None = 0,
        on_step: OnStep | None = None,
    ) -> Score:
        """Alto, tenor and bass for a melody of up to 32 bars.

        A melody that lies outside a soprano's range is moved there, harmonised, and moved back with all voices.

        Args:
            melody: notes, or rows of `[pitch, start, length]` in sixteenths; where notes overlap the later one counts.
            temperature: 0 takes what is likeliest at each step, 1 draws from the model, up to 2.
            seed: None or negative draws one.
            on_step: called as `on_step(t, T, grid)` after each sixteenth; may raise `Cancelled`.

        Raises:
            ValueError: no notes, too many, too long, a pitch no instrument has, or a setting out of range.
        """
        notes = _melody(melody)
        steps = -(-max(n.start + n.length for n in notes) // 4) * 4
        voice = grid_of(notes, steps)
        move = _shift(voice[voice >= 0])
        grid = np.full((steps, 4), -1, np.int64)
        grid[:, 0] = np.where(voice >= 0, voice + move, -1)
        erased = np.ones((steps, 4), bool)
        erased[:, 0] = False
        made = self.fill(grid, erased, temperature, seed=seed, on_step=on_step)
        starts = made.starts.copy()
        starts[[n.start for n in notes], 0] = True
        return Score(np.where(made.grid >= 0, made.grid - move, -1), made.surprise, starts, made.seed)

    def compose(
        self, bars: int = 8, temperature: float = 1.0, *, seed: int | None = 0, on_step: OnStep | None = None
    ) -> Score:
        """A new chorale of 1 to 32 bars.

        Raises:
            ValueError: a setting is out of range.
        """
        grid = np.full((int(number_in(LIMITS, "bars", bars)) * STEPS_A_BAR, 4), -1, np.int64)
        return self.fill(grid, np.ones(grid.shape, bool), temperature, seed=seed, on_step=on_step)

    def extend(
        self,
        grid: np.ndarray,
        bars: int = 4,
        temperature: float = 1.0,
        *,
        seed: int | None = 0,
        on_step: OnStep | None = None,
    ) -> Score:
        """`grid` `(T, 4)` and 1 to 32 more bars, 32 at most together.

        Raises:
            ValueError: as `fill`.
        """
        more = np.full((int(number_in(LIMITS, "bars", bars)) * STEPS_A_BAR, 4), -1, np.int64)
        whole = np.concatenate([_checked(grid), more])
        erased = np.zeros(whole.shape, bool)
        erased[-len(more) :] = True
        return self.fill(whole, erased, temperature, seed=seed, on_step=on_step)

    def fill(
        self,
        grid: np.ndarray,
        erased: np.ndarray,
        temperature: float = 1.0,
        *,
        seed: int | None = 0,
        on_step: OnStep | None = None,
    ) -> Score:
        """Draw the cells of `grid` `(T, 4)` where `erased` `(T, 4)` is true, given all others and the rules.

        Raises:
            ValueError: shapes that don't fit, nothing erased, pitches outside 36 to 81, or more than 32 bars.
        """
        temperature, seed, grid = number_in(LIMITS, "temperature", temperature), normalise_seed(seed), _checked(grid)
        gaps = np.asarray(erased)
        if gaps.shape != grid.shape or gaps.dtype != bool or not gaps.any():
            raise ValueError("Mark what is to be filled: at least one sixteenth of one voice.")
        x, given, phase, stride = self._inputs(np.where(gaps, -1, grid), ~gaps)

        def each(t: int, n: int, tokens: Tensor) -> None:
            report(on_step, t, n, lambda: from_tokens(tokens[0].cpu().numpy()))

        with self.lane.hold(), torch.inference_mode():
            made, log_prob = self.network.fill(
                x, given, phase, stride, generator(seed), temperature, each, _cost, self.tries if temperature else 1
            )
        made, surprise = from_tokens(made[0].cpu().numpy()), -log_prob[0].cpu().double().numpy()
        return Score(made, np.maximum(surprise, 0), np.zeros(made.shape, bool), seed)

    def surprise(self, grid: np.ndarray) -> np.ndarray:
        """-log p in nats of each cell of `grid` `(T, 4)` given all cells before it, `(T, 4)`.

        Raises:
            ValueError: pitches outside 36 to 81, or more than 32 bars.
        """
        grid = _checked(grid)
        with self.lane.hold(), torch.inference_mode():
            log_prob = self.network.log_prob(*self._inputs(grid, np.zeros(grid.shape, bool)))
        return -log_prob[0].cpu().double().numpy()

    def _inputs(self, grid: np.ndarray, given: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tokens = torch.from_numpy(to_tokens(grid))[None].to(self.device)
        phase = (torch.arange(len(grid), device=self.device) % STEPS_A_BAR)[None]
        stride = torch.zeros(1, dtype=torch.long, device=self.device)
        return tokens, torch.from_numpy(given)[None].to(self.device), phase, stride


def _cost(before: Tensor, frames: Tensor) -> Tensor:
    """How many rules each candidate `(B, K, 4)` breaks after the frame `(B, 1, 4)`; tokens both."""
    first, then = (from_tokens(np.where(a == TOKENS, 0, a)) for a in (before.cpu().numpy(), frames.cpu().numpy()))
    return torch.from_numpy(breaks(first, then).sum(-1)).to(frames.device)


def _checked(grid: np.ndarray) -> np.ndarray:
    grid = np.asarray(grid)
    if grid.ndim != 2 or grid.shape[1] != 4 or grid.dtype.kind not in "iu" or not len(grid):
        raise ValueError("A score is a table of whole numbers with one row a sixteenth and four columns, one a voice.")
    if len(grid) > LONGEST:
        raise ValueError(
            f"A score has at most {LONGEST // STEPS_A_BAR} bars; this one has {len(grid) / STEPS_A_BAR:g}."
        )
    grid = grid.astype(np.int64)
    if ((grid != -1) & ((grid < LOWEST) | (grid > HIGHEST))).any():
        raise ValueError(f"Pitches must lie between {LOWEST} and {HIGHEST}, or be -1 for silence.")
    return grid


def _melody(melody: Sequence[GridNote | Sequence[int]]) -> list[GridNote]:
    if not 1 <= len(melody) <= MOST_MELODY:
        raise ValueError(f"A melody has 1 to {MOST_MELODY:,} notes; this one has {len(melody):,}.")
    notes = []
    for row in melody:
        try:
            note = row if isinstance(row, GridNote) else GridNote(int(row[1]), int(row[2]), int(row[0]))
        except (TypeError, ValueError, IndexError, OverflowError):
            raise ValueError("A note is written as [pitch, start, length], the times in sixteenths.") from None
        if not (0 <= note.pitch <= 127 and note.start >= 0 and note.length >= 1):
            raise ValueError("A note has a pitch from 0 to 127, a start from 0 on and a length from 1 on.")
        if note.start + note.length > LONGEST:
            raise ValueError(f"A melody ends within {LONGEST // STEPS_A_BAR} bars of sixteen sixteenths.")
        notes.append(note)
    return notes


def _shift(pitches: np.ndarray) -> int:
    """Semitones, whole octaves if any do, that bring a melody into the soprano's range.

    Raises:
        ValueError: the melody spans more than the whole keyboard of the model.
    """
    low, high = int(pitches.min()), int(pitches.max())
    if high - low > HIGHEST - LOWEST:
        raise ValueError(f"This melody spans {high - low} semitones; at most {HIGHEST - LOWEST} can be harmonised.")
    bottom, top = RANGES[0]
    if bottom <= low and high <= top:
        return 0

    def outside(move: int) -> tuple[int, bool, int]:
        beyond = max(0, bottom - low - move) + max(0, high + move - top)
        return beyond, move % 12 != 0, abs(move)

    return min((m for m in range(-127, 128) if low + m >= LOWEST and high + m <= HIGHEST), key=outside)
