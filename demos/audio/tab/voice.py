"""The section Voice: digits spoken by one of the voices or by a blend of two, and its endpoints."""

import functools
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from demos.audio.tab import sound
from demos.audio.tab.live import Live
from demos.core.cancel import Cancelled
from demos.core.seed import random_seed
from demos.ui.controls import bar, progress_bar, seed_controls
from demos.ui.events import JOBS, Step, guard, stop, stream

if TYPE_CHECKING:
    from demos.audio.files import Sound

__all__ = ["build", "speak_digits", "voices"]

LANE = "voice"
EXAMPLES = {"A phone number": "+44 20 7946 0958", "A date": "31.10.1517", "A PIN": "4071"}
NOBODY = ""


def voice_names() -> list[str]:
    """The voices, read from the checkpoint's settings without loading it."""
    try:
        text = (sound.CHECKPOINTS / "voice" / "flow" / "config.json").read_text(encoding="utf-8")
    except OSError:
        return []
    return list(json.loads(text)["voices"])


@guard
def opened(text: str, voice: str, other: str, blend: float, speed: float, pitch: float, seed: int | None) -> str:
    """What the section shows at first: the example, spoken."""
    made = _offered(text, voice, other or None, blend, speed, pitch, int(seed or 0))
    return sound.present(made, text.strip(), autoplay=False)


@functools.lru_cache(maxsize=1)
def _offered(text: str, voice: str, other: str | None, blend: float, speed: float, pitch: float, seed: int) -> "Sound":
    """The example; every visitor is offered the same, made once."""
    return sound.voices().speak(text, voice, blend_with=other, blend=blend, speed=speed, pitch=pitch, seed=seed)


@guard
def speak(
    page: gr.Request, text: str, voice: str, other: str, blend: float, speed: float, pitch: float, seed: int | None,
    keep: bool,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Speak the digits: player, note, bar, seed."""
    chosen = int(seed or 0) if keep else random_seed()
    yield from _speak(page, text, voice, other, blend, speed, pitch, chosen)


@guard
def take(
    page: gr.Request, text: str, voice: str, other: str, blend: float, speed: float, pitch: float
) -> Iterator[tuple[Any, ...]]:
    """The same digits with a fresh seed."""
    yield from _speak(page, text, voice, other, blend, speed, pitch, random_seed())


def _speak(
    page: gr.Request, text: str, voice: str, other: str, blend: float, speed: float, pitch: float, seed: int
) -> Iterator[tuple[Any, ...]]:
    start = time.perf_counter()
    settings: dict[str, Any] = {"blend_with": other or None, "blend": blend, "speed": speed, "pitch": pitch}
    try:
        with JOBS.running(page, LANE) as token:
            yield gr.skip(), gr.skip(), bar(0, 1, "Getting ready"), gr.skip()
            live = Live(text.strip(), sound.voices().sample_rate)
            job = functools.partial(sound.voices().speak, text, voice, **settings, seed=seed)
            for event in stream(lambda on_step: job(on_step=on_step), token):
                if isinstance(event, Step):
                    yield live.more(event) or gr.skip(), gr.skip(), bar(event.i, event.n), gr.skip()
                    continue
                seconds = time.perf_counter() - start
                length = len(event.value.samples) / event.value.sample_rate
                note = f"{length:.1f} s of speech in {seconds:.1f} s · seed {seed}"
                yield live.done(event.value), note, bar(None), seed
    except Cancelled:
        yield gr.skip(), gr.skip(), bar(None), gr.skip()


@guard
def speak_digits(
    text: str, voice: str, blend_with: str | None = None, blend: float = 0.5, speed: float = 1.0, seed: int = 0
) -> gr.FileData:
    """Speak digits, one by one, with a pause wherever something else stands between them.

    Args:
        text: up to 64 digits, with spaces, dashes, dots, slashes, colons, plus signs and brackets between them.
        voice: one of the names that voices lists.
        blend_with: another voice, or none.
        blend: 0 is the first voice, 1 the other.
        speed: 0.5 to 2.
        seed: another seed is another take; -1 for a random one.

    Returns:
        A WAV file.
    """
    made = sound.voices().speak(text, voice, blend_with=blend_with or None, blend=blend, speed=speed, seed=seed)
    return sound.wav_of(made, "digits")


@guard
def voices() -> list[str]:
    """The names of the voices that speak_digits knows."""
    return list(sound.voices().names)


def build() -> None:
    """Lay out the section inside an open `gr.Tab`."""
    names = [(sound.spoken(name), name) for name in voice_names()]
    with gr.Row():
        with gr.Column(min_width=320):
            text = gr.Textbox(
                EXAMPLES["A phone number"], label="Digits", elem_id="voice-text", max_length=200, lines=1,
                info="Up to 64. Spaces, dashes and dots are pauses.",
            )  # fmt: skip
            with gr.Row():
                examples = [
                    gr.Button(name, size="sm", min_width=90, elem_id=f"voice-example-{i}")
                    for i, name in enumerate(EXAMPLES)
                ]
            voice = gr.Radio(
                names, value=names[0][1] if names else None, label="Voice", info="Who speaks.", elem_id="voice-voice"
            )
            with gr.Row():
                other = gr.Dropdown(
                    [("Nobody", NOBODY), *names], value=NOBODY, label="Blend with", info="A second voice.",
                    min_width=140, elem_id="voice-other",
                )  # fmt: skip
                blend = gr.Slider(
                    0, 1, 0.5, step=0.05, label="Share", info="Of the second voice.", min_width=140,
                    elem_id="voice-blend",
                )  # fmt: skip
            with gr.Row():
                go = gr.Button("Speak", variant="primary", size="md", elem_id="voice-speak", min_width=90)
                again = gr.Button("New take", size="md", elem_id="voice-again", min_width=100)
                halt = gr.Button("Stop", size="md", elem_id="voice-stop", min_width=70)
            progress = progress_bar()
            with gr.Accordion("Speed, pitch, seed", open=False):
                with gr.Row():
                    speed = gr.Slider(0.5, 2, 1, step=0.05, label="Speed", info="1: as usual.", min_width=140)
                    pitch = gr.Slider(-6, 6, 0, step=0.5, label="Pitch", info="In semitones.", min_width=140)
                seed = seed_controls(1, locked=True)
        with gr.Column(min_width=320):
            player = sound.player("voice-sound", "The digits")
            note = gr.Markdown("", elem_id="voice-note", elem_classes="at-note")
    with gr.Accordion("This session", open=False):
        sound.shelf("voice-shelf", "voice-sound")

    lane: dict[str, Any] = {"concurrency_id": LANE, "concurrency_limit": 1, "api_visibility": "private"}
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    settings, outputs = [text, voice, other, blend, speed, pitch], [player, note, progress, seed.number]
    said = [*settings, seed.number, seed.lock]
    gr.on([go.click, text.submit], speak, said, outputs, show_progress="hidden", **lane)
    again.click(take, settings, outputs, show_progress="hidden", **lane)
    player.ready(opened, said[:-1], player, show_progress="hidden", **lane)
    for button, digits in zip(examples, EXAMPLES.values(), strict=True):
        button.click(lambda digits=digits: digits, None, text, **quiet).then(
            speak, said, outputs, show_progress="hidden", **lane
        )
    halt.click(stop, js=sound.HUSH, queue=False, **quiet)
    gr.api(speak_digits, api_name="speak_digits", concurrency_id=LANE, concurrency_limit=1)
    gr.api(voices, api_name="voices")
