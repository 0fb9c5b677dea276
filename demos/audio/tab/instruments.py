"""The section Instruments: a map of timbres and a piano; every gesture sounds at once."""

import json
from typing import Any

import gradio as gr
import numpy as np

from demos.audio.tab import sound
from demos.audio.tab.sound import HUSH, player, present, shelf, spoken
from demos.audio.tab.surfaces import answered, parsed, piano, timbre_map
from demos.core.seed import normalise_seed, random_seed
from demos.ui.controls import SeedControls, seed_controls
from demos.ui.events import JOBS, guard, stop

__all__ = ["build", "note_name", "timbre_of"]

LANE: dict[str, Any] = {"concurrency_id": "audio", "concurrency_limit": 1, "api_visibility": "private"}
FIRST, FIRST_PITCH = "cello", 57
NOTES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
QUIET_SHARE = 0.08


def build() -> gr.HTML:
    """Lay out the section inside an open `gr.Tab`; gives the map of timbres."""
    with gr.Row():
        with gr.Column(min_width=320):
            place = timbre_map("audio-map")
        with gr.Column(min_width=320):
            heard = player("audio-note", "Click the map")
    keys = piano("audio-piano", FIRST_PITCH)
    with gr.Row():
        with gr.Column(min_width=320):
            with gr.Row():
                loudness = gr.Slider(0, 1, 0.7, step=0.05, label="Loudness", info="Louder is brighter.", min_width=140)
                seconds = gr.Slider(0.2, 10, 2, step=0.1, label="Length, s", info="Of the note.", min_width=140)
            with gr.Row():
                vibrato = gr.Slider(0, 100, 15, step=5, label="Vibrato, cents", info="Swing of pitch.", min_width=140)
                attack = gr.Slider(0, 1, 0, step=0.05, label="Attack, s", info="How slowly it swells.", min_width=140)
        with gr.Column(min_width=320):
            with gr.Row():
                again = gr.Button("Play", variant="primary", elem_id="audio-again", min_width=70)
                invent = gr.Button("Invent an instrument", elem_id="audio-invent", min_width=230, scale=3)
                halt = gr.Button("Stop", elem_id="audio-stop", min_width=70)
            seed = seed_controls(0)
    with gr.Accordion("This session", open=False):
        shelf("audio-notes", "audio-note")
    _bind(place, keys, heard, [loudness, seconds, vibrato, attack], seed, again, invent, halt)
    return place


def _bind(
    place: gr.HTML, keys: gr.HTML, heard: gr.HTML, touch: list[gr.Slider], seed: SeedControls, again: gr.Button,
    invent: gr.Button, halt: gr.Button,
) -> None:  # fmt: skip
    quiet: dict[str, Any] = {**LANE, "show_progress": "hidden"}
    inputs = [place, keys, *touch, seed.number, seed.lock]
    place.ready(opened, inputs[:-2], [place, heard], **quiet)
    event = gr.on(
        [place.input, keys.input, again.click], play, inputs, [heard, seed.number], trigger_mode="multiple", **quiet
    )
    answered(event, place)
    invent.click(invented, inputs, [place, heard, seed.number], **quiet)
    halt.click(stop, js=HUSH, queue=False, show_progress="hidden", api_visibility="private")


def note_name(pitch: float) -> str:
    """69 as musicians write it: A4."""
    nearest = round(pitch)
    return f"{NOTES[nearest % 12]}{nearest // 12 - 1}"


def timbre_of(shown: dict[str, Any]) -> tuple[Any, str]:
    """The timbre that a map shows, as the model takes it, and its title.

    Raises:
        ValueError: the map holds no place.
    """
    if shown.get("invented") is not None:
        seed = normalise_seed(shown["invented"])
        return sound.instruments().invent(seed), f"Invented {seed}"
    return _at(shown.get("at")), _title(shown.get("at"))


def _at(place: Any) -> tuple[float, float]:
    if not isinstance(place, list) or len(place) != 2 or not all(isinstance(v, (int, float)) for v in place):
        raise ValueError("Choose a place on the map first.")
    return place[0], place[1]


def _title(place: Any) -> str:
    """The instruments that a place blends, the nearest first."""
    where, model = np.array(_at(place)), sound.instruments()
    weights = {name: 1 / (np.square(where - at).sum() + 1e-9) ** 2 for name, at in model.places.items()}
    most = sorted(weights, key=lambda name: -weights[name])[:2]
    kept = [name for name in most if weights[name] >= QUIET_SHARE * sum(weights.values())]
    return spoken(" and ".join(kept))


def sound_of(page: gr.Request, shown: dict[str, Any], *settings: Any) -> tuple[Any, str]:
    """The note that map and piano ask for, and its title."""
    from demos.audio.instruments.model import Touch

    keys, loudness, seconds, vibrato, attack, seed = settings
    pitch = parsed(keys).get("pitch", FIRST_PITCH)
    timbre, title = timbre_of(shown)
    end = shown.get("to")
    with JOBS.running(page, "audio") as token:
        made = sound.instruments().play(
            timbre, pitch, seconds, loudness, Touch(vibrato, attack), glide_to=None if end is None else _at(end),
            seed=seed, on_step=lambda i, n, preview: token.check(),
        )  # fmt: skip
    return made, f"{title}{'' if end is None else f' to {_title(end).lower()}'}, {note_name(pitch)}"


@guard
def opened(page: gr.Request, place: str, *settings: Any) -> tuple[Any, str]:
    """What the section shows at first: the map's names, and a note that the model plays now."""
    model = sound.instruments()
    places = {name: [round(v, 4) for v in at] for name, at in model.places.items()}
    first = places.get(FIRST) or next(iter(places.values()))
    shown = {"places": places, "at": first, "to": None, "invented": None}
    return json.dumps(shown), present(*sound_of(page, shown, *settings, 0), autoplay=False)


@guard
def play(page: gr.Request, place: str, *settings: Any) -> tuple[str, int]:
    """The note of the moment, and the seed of its noise."""
    *given, seed, keep = settings
    made, title = sound_of(page, parsed(place), *given, seed if keep else random_seed())
    return present(made, title), made.seed


@guard
def invented(page: gr.Request, place: str, *settings: Any) -> tuple[str, str, int]:
    """A timbre from the prior, as the map holds it, and its first note."""
    *given, seed, keep = settings
    seed = normalise_seed(seed if keep else None)
    shown = {**parsed(place), "invented": seed}
    return json.dumps(shown), present(*sound_of(page, shown, *given, seed)), seed
