"""What the page calls about music: write voices, play them, take a melody from a file or a recording."""

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from demos.audio.tab import sound
from demos.audio.tab.live import Live
from demos.core.cancel import Cancelled, OnStep
from demos.core.media import zip_bytes
from demos.core.seed import random_seed
from demos.ui.controls import bar
from demos.ui.events import JOBS, CancelToken, Step, guard, stream
from demos.ui.files import served
from demos.ui.pianoroll import BAR, MOST_BARS, Roll

if TYPE_CHECKING:
    from demos.audio.ensemble import Performance
    from demos.audio.music.model import Score

VOICES = ("soprano", "alto", "tenor", "bass")
QUARTET = ("oboe", "clarinet", "french_horn", "bassoon")
LANE = "music"
DRAFT_EVERY_S = 0.25
"""A page that is given drafts faster than it can paint them hears of Stop too late."""
OUTPUTS = ("roll", "note", "progress", "seed", "last", "sound", "stems")
WORDS = {"harmonise": "Harmonised", "extend": "Continued", "refill": "Refilled", "compose": "Composed"}
OLD_HUNDREDTH = [
    67, 67, 66, 64, 62, 67, 69, 71, 71, 71, 71, 69, 67, 72, 71, 69,
    67, 69, 71, 69, 67, 64, 66, 67, 74, 71, 67, 69, 72, 71, 69, 67,
]  # fmt: skip
ODE_TO_JOY = [
    *[(64, 4), (64, 4), (65, 4), (67, 4), (67, 4), (65, 4), (64, 4), (62, 4)],
    *[(60, 4), (60, 4), (62, 4), (64, 4), (64, 6), (62, 2), (62, 8)],
    *[(64, 4), (64, 4), (65, 4), (67, 4), (67, 4), (65, 4), (64, 4), (62, 4)],
    *[(60, 4), (60, 4), (62, 4), (64, 4), (62, 6), (60, 2), (60, 8)],
]
AH_VOUS_DIRAI_JE = [
    *[(60, 4), (60, 4), (67, 4), (67, 4), (69, 4), (69, 4), (67, 8)],
    *[(65, 4), (65, 4), (64, 4), (64, 4), (62, 4), (62, 4), (60, 8)],
    *[(67, 4), (67, 4), (65, 4), (65, 4), (64, 4), (64, 4), (62, 8)],
    *[(67, 4), (67, 4), (65, 4), (65, 4), (64, 4), (64, 4), (62, 8)],
    *[(60, 4), (60, 4), (67, 4), (67, 4), (69, 4), (69, 4), (67, 8)],
    *[(65, 4), (65, 4), (64, 4), (64, 4), (62, 4), (62, 4), (60, 8)],
]
EXAMPLES: dict[str, tuple[list[tuple[int, int]], int]] = {
    "Old Hundredth": ([(pitch, 4) for pitch in OLD_HUNDREDTH], 0),
    "Ode to Joy": (ODE_TO_JOY, 2),
    "Ah, vous dirai-je": (AH_VOUS_DIRAI_JE, 5),
}
"""Public-domain melodies as (MIDI number, sixteenths), and the semitones that bring them to where sopranos sing."""


@dataclass(frozen=True)
class Part:
    """A roll as the model reads it.

    Attributes:
        grid: `(T, 4)` MIDI numbers, -1 for silence.
        starts: `(T, 4)` bool, where a note begins.
        erased: `(T, 4)` bool, what was marked.
    """

    grid: np.ndarray
    starts: np.ndarray
    erased: np.ndarray

    @classmethod
    def of(cls, roll: Roll) -> "Part":
        """The arrays of a roll."""
        from demos.audio.music.midi import GridNote, grid_of

        shape = (roll.bars * BAR, 4)
        grid, starts, erased = np.empty(shape, np.int64), np.zeros(shape, bool), np.zeros(shape, bool)
        for voice in range(4):
            notes = [GridNote(start, length, pitch) for pitch, start, length, v in roll.notes if v == voice]
            grid[:, voice] = grid_of(notes, len(grid))
            starts[[n.start for n in notes], voice] = True
        for first, end, voice in roll.erased:
            erased[first:end, voice] = True
        return cls(grid, starts, erased)

    def longer(self, bars: int) -> "Part":
        """With empty bars at the end, which are marked."""
        values = ((self.grid, -1), (self.starts, False), (self.erased, True))
        return Part(*(np.pad(a, ((0, bars * BAR), (0, 0)), constant_values=v) for a, v in values))

    def marked(self, voices: np.ndarray) -> "Part":
        """With all of these voices marked, `(4,)` bool, and nothing else."""
        return replace(self, erased=np.broadcast_to(voices, self.grid.shape).copy())

    @property
    def silent(self) -> np.ndarray:
        """`(4,)` bool: the voices without a note."""
        return np.asarray((self.grid < 0).all(0))


def _harmonise(part: Part, bars: int) -> Part:
    """The soprano keeps its notes; without a soprano, whoever has notes keeps them."""
    if part.silent.all():
        raise ValueError("Draw a melody first, open a MIDI file, hum one, or press “Compose”.")
    return part.marked(part.silent if part.silent[0] else np.array([False, True, True, True]))


def _extend(part: Part, bars: int) -> Part:
    """More bars in four voices; a voice that was silent so far is written from the beginning."""
    if len(part.grid) + bars * BAR > MOST_BARS * BAR:
        raise ValueError(f"A score has at most {MOST_BARS} bars; remove some, or continue by fewer.")
    return part.marked(part.silent).longer(bars)


def _refill(part: Part, bars: int) -> Part:
    """What was marked."""
    if not part.erased.any():
        raise ValueError("Mark what is to be refilled: with the frame tool, or along the lanes below the roll.")
    return part


def _compose(part: Part, bars: int) -> Part:
    """Everything."""
    return Part.of(Roll(bars=bars)).marked(np.ones(4, bool))


TASKS = {"harmonise": _harmonise, "extend": _extend, "refill": _refill, "compose": _compose}
"""What is to be written, from what is on the roll and a number of bars."""


def roll_of(part: Part, grid: np.ndarray) -> Roll:
    """`grid` `(T, 4)` as a roll; notes that `part` had and were not erased begin where they did."""
    from demos.audio.music.midi import notes_of

    starts = part.starts & ~part.erased
    notes = [(n.pitch, n.start, n.length, v) for v in range(4) for n in notes_of(grid[:, v], starts[:, v])]
    notes.sort(key=lambda note: (note[1], note[3]))
    return Roll(tuple(notes), len(grid) // BAR)


def heated(roll: Roll) -> Roll:
    """With the surprise of each note, -log p in nats given all that came before, summed over its sixteenths."""
    if not roll.notes:
        return replace(roll, heat=())
    surprise = sound.chorales().surprise(Part.of(roll).grid)
    heat = tuple(float(surprise[start : start + length, voice].sum()) for _, start, length, voice in roll.notes)
    return replace(roll, heat=heat)


def example(name: str) -> Roll:
    """One of `EXAMPLES` in the soprano."""
    notes, at, (melody, move) = [], 0, EXAMPLES[name]
    for pitch, length in melody:
        notes.append((pitch + move, at, length, 0))
        at += length
    return Roll(tuple(notes), -(-at // BAR))


def players_of(names: list[str] | None) -> list[str]:
    """Four instruments by name, from soprano to bass; None is a wind quartet, as far as the model has it."""
    if names is not None:
        if not isinstance(names, list) or len(names) != 4 or not all(isinstance(name, str) for name in names):
            raise ValueError("Name four instruments, from soprano to bass.")
        return names
    known = [name for _, name in sound.instrument_names()]
    return [name if name in known else known[0] for name in QUARTET] if known else list(QUARTET)


def out(**changed: Any) -> tuple[Any, ...]:
    """The values of `OUTPUTS`, unchanged where not given."""
    return tuple(changed.get(name, gr.skip()) for name in OUTPUTS)


@guard
def surprise_of(text: str) -> str:
    """The colours of the notes on the roll."""
    roll = Roll.from_json(text)
    return roll.answer(heated(roll).heat)


@guard
def write(
    page: gr.Request, kind: str, text: str, bars: int, temperature: float, seed: int | None, keep: bool, tempo: float,
    *players: str,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Write voices into the roll as they come, then play them."""
    chosen = int(seed or 0) if keep else random_seed()
    yield from _write(page, (kind, text, bars), text, temperature, chosen, tempo, players)


@guard
def another(
    page: gr.Request, last: Any, text: str, temperature: float, tempo: float, *players: str
) -> Iterator[tuple[Any, ...]]:
    """The same once more with a fresh seed, from what the roll was before."""
    if last is None:
        raise ValueError("Press “Harmonise” or “Compose” first; then there can be another take of it.")
    yield from _write(page, last, text, temperature, random_seed(), tempo, players)


def _write(
    page: gr.Request, task: tuple[str, str, int], shown: str, temperature: float, seed: int, tempo: float,
    players: tuple[str, ...],
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    kind, text, bars = task
    start, drawn, writing = time.perf_counter(), 0.0, True
    if not 1 <= (bars or 0) <= MOST_BARS:
        raise ValueError(f"Choose 1 to {MOST_BARS} bars.")
    part = TASKS[kind](Part.of(Roll.from_json(text)), int(bars))
    try:
        with JOBS.running(page, LANE) as token:
            yield out(progress=bar(0, 1, "Getting ready"))
            job = functools.partial(sound.chorales().fill, part.grid, part.erased, temperature, seed=seed)
            for event in stream(lambda on_step: job(on_step=on_step), token):
                if isinstance(event, Step):
                    if event.preview is not None and time.perf_counter() - drawn > DRAFT_EVERY_S:
                        drawn = time.perf_counter()
                        draft = roll_of(part, event.preview).to_json(draft=True)
                        yield out(roll=draft, progress=bar(event.i, event.n, f"Sixteenth {event.i} of {event.n}"))
                    continue
                made, writing = heated(roll_of(part, event.value.grid)), False
                note = _note(kind, part, event.value, time.perf_counter() - start)
                yield out(roll=made.to_json(), note=note, seed=seed, last=task)
                yield from _play(token, made, seed, tempo, players, WORDS[kind])
    except Cancelled:
        yield out(**({"roll": shown} if writing else {}), progress=bar(None))


def _note(kind: str, part: Part, score: "Score", seconds: float) -> str:
    nats = score.surprise.sum() / part.erased.any(1).sum()
    return f"{WORDS[kind]} in {seconds:.1f} s · seed {score.seed} · {nats:.2f} nats a sixteenth"


@guard
def opened(
    text: str, bars: int, temperature: float, seed: int | None, tempo: float, *players: str
) -> Iterator[tuple[Any, ...]]:
    """What the section shows at first: the melody on the roll, harmonised, ready to be heard.

    A visitor who has changed the roll keeps it, and can hear that.
    """
    roll, seed, title, performed = Roll.from_json(text), int(seed or 0), "The score", _perform
    if not roll.notes:
        return
    if not roll.rev:
        title, performed = WORDS["harmonise"], _perform_offered
        roll, note = _offered(text, bars, temperature, seed)
        yield out(roll=roll.to_json(offered=True), note=note, last=("harmonise", text, bars))
    made = performed(roll, players, tempo, seed)
    yield out(sound=sound.present(made.mix, title, autoplay=False), stems=_stems(made))


@functools.lru_cache(maxsize=1)
def _offered(text: str, bars: int, temperature: float, seed: int) -> tuple[Roll, str]:
    """The first melody harmonised, and the note about it; every visitor is offered the same, made once."""
    start, part = time.perf_counter(), _harmonise(Part.of(Roll.from_json(text)), bars)
    score = sound.chorales().fill(part.grid, part.erased, temperature, seed=seed)
    return heated(roll_of(part, score.grid)), _note("harmonise", part, score, time.perf_counter() - start)


def _perform(
    roll: Roll, players: tuple[str, ...], tempo: float, seed: int, on_step: OnStep | None = None
) -> "Performance":
    from demos.audio.ensemble import perform

    return perform(sound.instruments(), _notes(roll), players, tempo, seed=seed, on_step=on_step)


_perform_offered = functools.lru_cache(maxsize=1)(_perform)


@guard
def play(page: gr.Request, text: str, seed: int | None, tempo: float, *players: str) -> Iterator[tuple[Any, ...]]:
    """Play what is on the roll."""
    roll = Roll.from_json(text)
    try:
        with JOBS.running(page, LANE) as token:
            yield from _play(token, roll, int(seed or 0), tempo, players, "Score")
    except Cancelled:
        yield out(progress=bar(None))


def _play(
    token: CancelToken, roll: Roll, seed: int, tempo: float, players: tuple[str, ...], title: str
) -> Iterator[tuple[Any, ...]]:
    from demos.audio.instruments.data import SAMPLE_RATE

    yield out(progress=bar(0, 1, "Making sound"))
    live = Live(title, SAMPLE_RATE)
    for event in stream(lambda on_step: _perform(roll, players, tempo, seed, on_step), token):
        if isinstance(event, Step):
            part = live.more(event) or gr.skip()
            yield out(sound=part, progress=bar(event.i, event.n, f"Making sound: {event.i} of {event.n}"))
            continue
        yield out(sound=live.done(event.value.mix), stems=_stems(event.value), progress=bar(None))


def _stems(made: "Performance") -> dict[str, str]:
    """A WAV file of each voice."""
    return {name: sound.wav_of(stem, name).path for name, stem in made.stems.items()}


def _notes(roll: Roll) -> dict[str, Any]:
    """Notes of each voice by name."""
    from demos.audio.music.midi import GridNote

    return {
        name: [GridNote(start, length, pitch) for pitch, start, length, v in roll.notes if v == voice]
        for voice, name in enumerate(VOICES)
    }


@guard
def open_midi(file: str | None) -> tuple[str, str]:
    """The melody of a MIDI file, or its four voices if it has just these: roll and note."""
    from demos.audio.music.melody import voices_of
    from demos.audio.music.midi import read_midi

    if not file:
        raise ValueError("Choose a MIDI file.")
    return _melody(voices_of(read_midi(Path(file)), MOST_BARS * BAR), "from the file")


@guard
def write_down(page: gr.Request, file: str | None, tempo: float) -> Iterator[tuple[Any, Any, Any]]:
    """A hummed tune as a melody: roll, note and bar."""
    from demos.audio.files import read_audio
    from demos.audio.instruments.curves import listen
    from demos.audio.instruments.data import SAMPLE_RATE
    from demos.audio.music.melody import hummed

    if not file:
        return
    try:
        with JOBS.running(page, LANE) as token:
            for event in stream(lambda on_step: listen(read_audio(file, SAMPLE_RATE), on_step), token):
                if isinstance(event, Step):
                    yield gr.skip(), gr.skip(), bar(event.i, event.n, "Listening")
                else:
                    tune = hummed(event.value, tempo, MOST_BARS * BAR)
                    yield *_melody({0: tune}, "that you hummed"), bar(None)
    except (ValueError, Cancelled):
        yield gr.skip(), gr.skip(), bar(None)
        raise


def _melody(voices: dict[int, Any], whence: str) -> tuple[str, str]:
    from demos.audio.music.melody import in_range

    voices, move = in_range(voices)
    notes = sorted(((n.pitch, n.start, n.length, v) for v in voices for n in voices[v]), key=lambda n: (n[1], n[3]))
    end = max(start + length for _, start, length, _ in notes)
    moved = f", moved by {move:+d} semitones to where it is sung" if move else ""
    return Roll(tuple(notes), -(-end // BAR)).to_json(), f"{len(notes)} notes {whence}{moved}."


@guard
def save_midi(text: str, tempo: float) -> str:
    """The roll as a MIDI file, a track a voice."""
    from demos.audio.music.midi import midi_bytes

    roll = Roll.from_json(text)
    if not roll.notes:
        raise ValueError("There are no notes on the roll yet.")
    return served(midi_bytes(_notes(roll), tempo), "atelier.mid").path


@guard
def save_stems(stems: dict[str, str] | None) -> str:
    """Each voice as a WAV file, in a zip; they add up to what was played."""
    if not stems:
        raise ValueError("Press “Play” first; then each voice can be had alone.")
    return served(zip_bytes({f"{name}.wav": Path(path).read_bytes() for name, path in stems.items()}), "stems.zip").path
