"""The section Timbre transfer: a recording's pitch and loudness, redrawn at will, played by any instrument."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from demos.audio.files import LONGEST_SECONDS, wav_bytes
from demos.audio.tab import sound
from demos.audio.tab.instruments import LANE, timbre_of
from demos.audio.tab.live import Live
from demos.audio.tab.sound import HUSH, instrument_names, player, present, shelf, spoken
from demos.audio.tab.surfaces import curve_paper, parsed
from demos.core.cancel import Cancelled
from demos.core.seed import random_seed
from demos.ui.controls import bar, progress_bar, seed_controls
from demos.ui.events import JOBS, Step, guard, stop, stream
from demos.ui.files import bundled, served

if TYPE_CHECKING:
    from demos.audio.instruments.curves import Curves

__all__ = ["build", "curves_of", "sheet", "whistle"]

FROM_MAP = "map"
FIRST = "cello"
EVERY = 2
RATE = 24_000
SAXOPHONE = Path(gr.__file__).parent / "media_assets" / "audio" / "sax.wav"
WAVEFORM = gr.WaveformOptions(waveform_color="#a8a29e", waveform_progress_color="#c4401d", sample_rate=RATE)
REDRAW = "(...given) => { window.atelierSurfaces?.['audio-curves']?.settings(...given); }"


def build(place: gr.HTML) -> None:
    """Lay out the section inside an open `gr.Tab`; `place` is the map of timbres."""
    with gr.Row():
        with gr.Column(min_width=320):
            given = gr.Audio(
                label="Your sound: one voice, up to a minute", type="filepath", elem_id="audio-given",
                sources=["microphone", "upload"], waveform_options=WAVEFORM, buttons=[], interactive=True,
            )  # fmt: skip
            with gr.Row():
                saxophone = gr.Button("Saxophone", size="sm", min_width=90, visible=SAXOPHONE.is_file())
                whistled = gr.Button("A whistle", size="sm", min_width=90, elem_id="audio-whistle")
                drawn = gr.Button("A drawn line", size="sm", min_width=90, elem_id="audio-line")
            choices = [*instrument_names(), ("The timbre on the map", FROM_MAP)]
            instrument = gr.Dropdown(
                choices, value=FIRST if (spoken(FIRST), FIRST) in choices else choices[0][1], label="Instrument",
                info="Who plays it; the map is in the section Instruments.", elem_id="audio-instrument",
            )  # fmt: skip
        with gr.Column(min_width=320):
            heard = player("audio-transferred", "The instrument")
    paper = curve_paper("audio-curves")
    with gr.Row():
        with gr.Column(min_width=320):
            with gr.Row():
                transpose = gr.Slider(
                    -24,
                    24,
                    0,
                    step=1,
                    label="Transpose",
                    info="In semitones.",
                    min_width=140,
                    elem_id="audio-transpose",
                )
                offset = gr.Slider(-20, 20, 0, step=1, label="Louder, dB", info="Or softer.", min_width=140)
            with gr.Row():
                threshold = gr.Slider(
                    0, 1, 0.5, step=0.05, label="Confidence", info="Less sure of pitch: silent.", min_width=140
                )
                autotune = gr.Slider(0, 1, 0, step=0.05, label="Auto-tune", info="1: whole semitones.", min_width=140)
        with gr.Column(min_width=320):
            with gr.Row():
                go = gr.Button("Synthesise", variant="primary", elem_id="audio-synthesise", min_width=120)
                halt = gr.Button("Stop", elem_id="audio-transfer-stop", min_width=70)
            progress = progress_bar()
            seed = seed_controls(0)
    with gr.Accordion("This session", open=False):
        shelf("audio-transfers", "audio-transferred")

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    settings = [transpose, offset, threshold, autotune]
    inputs = [paper, place, instrument, *settings, seed.number, seed.lock]
    outputs = [progress, heard, seed.number]
    job: dict[str, Any] = {"show_progress": "hidden", **LANE}
    paper.ready(opened, inputs, [paper, heard], **job)
    go.click(synthesise, inputs, outputs, **job)
    given.change(hear, [given, *inputs[1:]], [paper, *outputs], **job)
    drawn.click(line, inputs[1:], [given, paper, *outputs], **job)
    saxophone.click(take_saxophone, None, given, **quiet)
    whistled.click(take_whistle, None, given, **quiet)
    gr.on([c.input for c in settings], None, settings, js=REDRAW, **quiet)
    halt.click(stop, js=HUSH, queue=False, **quiet)


def sheet(curves: "Curves") -> str:
    """Curves as the paper holds them, one value each 10 ms."""
    pitch = 69 + 12 * np.log2(curves.f0_hz[::EVERY] / 440)
    return json.dumps(
        {
            "pitch": pitch.round(2).tolist(),
            "level": curves.level[::EVERY].round(1).tolist(),
            "sure": (100 * curves.confidence[::EVERY]).round().astype(int).tolist(),
        },
        separators=(",", ":"),
    )


def curves_of(text: str | None) -> "Curves":
    """What the paper holds, as curves.

    Raises:
        ValueError: nothing is on the paper, or what cannot be curves.
    """
    from demos.audio.instruments.curves import Curves
    from demos.audio.instruments.data import HOP, SAMPLE_RATE

    shown = parsed(text)
    if not shown.get("pitch"):
        raise ValueError("Record, choose or draw something first.")
    step = EVERY * HOP / SAMPLE_RATE
    try:
        pitch, level, sure = (np.asarray(shown[key], np.float64) for key in ("pitch", "level", "sure"))
        if not pitch.shape == level.shape == sure.shape or pitch.ndim != 1 or len(pitch) > LONGEST_SECONDS / step + 1:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"The curves must be three lists of equal length, up to {LONGEST_SECONDS:g} s.") from None
    fine = np.arange(EVERY * (len(pitch) - 1) + 1) / EVERY
    at = np.arange(len(pitch))
    f0 = 440 * 2 ** ((np.clip(pitch, 0, 130) - 69) / 12)
    return Curves(np.interp(fine, at, f0), np.interp(fine, at, level), np.interp(fine, at, sure) / 100).checked()


def whistle() -> np.ndarray:
    """A whistled phrase `(N,)` at `RATE`: gliding sines with a little breath and vibrato."""
    tune = [(79, 0.4), (83, 0.4), (86, 0.7), (84, 0.35), (83, 0.35), (81, 0.35), (83, 0.9), (79, 1.0)]
    at = np.cumsum([0, *(length for _, length in tune)])
    t = np.arange(int(at[-1] * RATE)) / RATE
    pitch = np.concatenate([np.full(round(length * RATE), p, float) for p, length in tune])[: len(t)]
    pitch = np.convolve(np.pad(pitch, 1200, mode="edge"), np.hanning(2401) / np.hanning(2401).sum(), "valid")
    pitch += 0.2 * np.sin(2 * np.pi * 5.2 * t)
    since = t - at[np.searchsorted(at, t, "right") - 1]
    level = 0.3 * np.clip(since / 0.05, 0.25, 1) * np.clip((at[-1] - t) / 0.3, 0, 1) * np.clip(t / 0.03, 0, 1)
    breath = np.random.default_rng(0).normal(size=len(t)) * 0.01
    return (level * (np.sin(2 * np.pi * np.cumsum(440 * 2 ** ((pitch - 69) / 12)) / RATE) + breath)).astype(np.float32)


def _line() -> "Curves":
    """A drawn line: two arches and a long note that begins to swing."""
    from demos.audio.instruments.curves import Curves

    t = np.linspace(0, 4, 801)
    pitch = 52 + 7 * np.sin(np.pi * np.clip(t / 1.3, 0, 1)) + 12 * np.sin(np.pi * np.clip((t - 1.3) / 2.6, 0, 0.5))
    pitch += 0.3 * np.clip(t - 3, 0, 0.6) * np.sin(2 * np.pi * 5.5 * t)
    level = -26 + 12 * np.sin(np.pi * t / 4) - 60 * np.clip((t - 3.85) / 0.15, 0, 1) - 50 * np.clip(1 - t / 0.06, 0, 1)
    return Curves(440 * 2 ** ((pitch - 69) / 12), level, np.ones(len(t)))


@guard
def take_saxophone() -> str:
    """Gradio's own recording of a saxophone."""
    return bundled(SAXOPHONE, "saxophone.wav")


@guard
def take_whistle() -> str:
    """The whistle, as a file."""
    return served(wav_bytes(whistle(), RATE), "whistle.wav").path


def _timbre(place: str, instrument: str) -> tuple[Any, str]:
    return timbre_of(parsed(place)) if instrument == FROM_MAP else (instrument, spoken(instrument))


@guard
def opened(page: gr.Request, paper: str, place: str, instrument: str, *settings: Any) -> tuple[str, str]:
    """What the section shows at first: the drawn line, played."""
    timbre, title = _timbre(place, instrument)
    made = sound.instruments().transfer(_line(), timbre)
    return sheet(_line()), present(made, f"Played by {title.lower()}", autoplay=False)


@guard
def synthesise(page: gr.Request, paper: str, *settings: Any) -> Iterator[tuple[Any, ...]]:
    """The curves on the paper, played: bar, player and seed."""
    yield from _played(page, paper, *settings)


@guard
def hear(page: gr.Request, file: str | None, *settings: Any) -> Iterator[tuple[Any, ...]]:
    """Pitch and loudness of a recording, then an instrument that plays them: paper, bar, player and seed."""
    if not file:
        yield (gr.skip(),) * 4
        return
    paper = ""
    try:
        with JOBS.running(page, "audio") as token:
            for event in stream(lambda on_step: sound.instruments().listen(file, on_step), token):
                if isinstance(event, Step):
                    yield gr.skip(), bar(event.i, event.n, "Listening"), gr.skip(), gr.skip()
                else:
                    paper = sheet(event.value)
    except (ValueError, Cancelled):
        yield gr.skip(), bar(None), gr.skip(), gr.skip()
        raise
    yield paper, gr.skip(), gr.skip(), gr.skip()
    for played in _played(page, paper, *settings):
        yield gr.skip(), *played


@guard
def line(page: gr.Request, *settings: Any) -> Iterator[tuple[Any, ...]]:
    """The drawn line instead of a recording, and an instrument that plays it: recording, paper, bar, player, seed."""
    paper = sheet(_line())
    yield None, paper, gr.skip(), gr.skip(), gr.skip()
    for played in _played(page, paper, *settings):
        yield gr.skip(), gr.skip(), *played


def _played(
    page: gr.Request, paper: str, place: str, instrument: str, transpose: float, offset: float, threshold: float,
    autotune: float, seed: int | None, keep: bool,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """The synthesis as it goes on: bar, player and seed."""
    timbre, title = _timbre(place, instrument)
    job = functools.partial(
        sound.instruments().transfer, curves_of(paper), timbre, transpose=transpose, offset=offset, threshold=threshold,
        autotune=autotune, seed=seed if keep else random_seed(),
    )  # fmt: skip
    live = Live(f"Played by {title.lower()}", RATE, level_db=None)
    try:
        with JOBS.running(page, "audio") as token:
            for event in stream(lambda on_step: job(on_step=on_step), token):
                if isinstance(event, Step):
                    yield bar(event.i, event.n), live.more(event) or gr.skip(), gr.skip()
                else:
                    yield bar(None), live.done(event.value), event.value.seed
    except Cancelled:
        yield bar(None), gr.skip(), gr.skip()
