"""What a person sees of the section Music."""

from typing import Any

import gradio as gr

from demos.audio.tab import music_handlers as on
from demos.audio.tab.music_endpoints import harmonise
from demos.audio.tab.sound import HUSH, instrument_names, player, shelf
from demos.ui.controls import download_button, progress_bar, seed_controls
from demos.ui.events import stop
from demos.ui.pianoroll import MOST_BARS, coloured, pianoroll

__all__ = ["build"]

FIRST = "Old Hundredth"
PACE = "(tempo) => { window.atelierPianorolls['music-roll']?.pace(15 / tempo); }"


def build() -> None:
    """Lay out the section inside an open `gr.Tab`."""
    gr.Markdown(
        "Draw a melody, or change the one below: the model writes the other voices to it, and instruments play them."
    )
    last, stems = gr.State(None), gr.State(None)
    roll = pianoroll("Draw a melody here", on.example(FIRST), "music-roll", player="#music-sound")
    with gr.Row():
        harmonise_it = gr.Button("Harmonise", variant="primary", size="md", elem_id="music-harmonise", min_width=100)
        extend = gr.Button("Continue", size="md", elem_id="music-extend", min_width=90)
        refill = gr.Button("Refill", size="md", elem_id="music-refill", min_width=80)
        compose = gr.Button("Compose", size="md", elem_id="music-compose", min_width=90)
        again = gr.Button("Another take", size="md", elem_id="music-again", min_width=120)
        play = gr.Button("Play", size="md", elem_id="music-play", min_width=70)
        halt = gr.Button("Stop", size="md", elem_id="music-stop", min_width=70)
    progress = progress_bar()
    note = gr.Markdown("", elem_id="music-note", elem_classes="at-note")
    with gr.Row():
        with gr.Column(min_width=320):
            with gr.Row():
                temperature = gr.Slider(
                    0, 2, 0.8, step=0.05, label="Temperature", info="0: likeliest. Above 1: daring.", min_width=140,
                )  # fmt: skip
                tempo = gr.Slider(
                    40, 140, 80, step=1, label="Tempo", info="Beats a minute.", min_width=140,
                    elem_id="music-tempo",
                )  # fmt: skip
            bars = gr.Slider(
                1, MOST_BARS, 8, step=1, label="Bars", info="How many “Compose” writes and “Continue” adds.",
                elem_id="music-bars",
            )  # fmt: skip
            seed = seed_controls(1, locked=True)
            with gr.Accordion("Another melody", open=True):
                with gr.Row():
                    examples = [
                        gr.Button(name, size="sm", min_width=90, elem_id=f"music-example-{i}")
                        for i, name in enumerate(on.EXAMPLES)
                    ]
                upload = gr.UploadButton(
                    "Open a MIDI file", size="sm", file_types=[".mid", ".midi"], elem_id="music-upload"
                )
                hum = gr.Audio(
                    label="Hum one, in the tempo above, up to a minute", type="filepath", elem_id="music-hum",
                    sources=["microphone", "upload"],
                )  # fmt: skip
        with gr.Column(min_width=320):
            sound = player("music-sound", "The score")
            names, quartet, players = instrument_names(), on.players_of(None), []
            for first in (0, 2):
                with gr.Row():
                    for i in (first, first + 1):
                        label = on.VOICES[i].capitalize()
                        players.append(
                            gr.Dropdown(
                                names, value=quartet[i] if names else None, label=label, info="Who plays it.",
                                min_width=130, elem_id=f"music-{on.VOICES[i]}",
                            )
                        )  # fmt: skip
            with gr.Row():
                midi = download_button("Download MIDI", "music-midi")
                archive = download_button("Stems as zip", "music-stems")
    with gr.Accordion("This session", open=False):
        shelf("music-shelf", "music-sound")

    outputs = [roll, note, progress, seed.number, last, sound, stems]
    lane: dict[str, Any] = {"concurrency_id": "music", "concurrency_limit": 1, "api_visibility": "private"}
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    settings = [tempo, *players]
    for button, kind in ((harmonise_it, "harmonise"), (extend, "extend"), (refill, "refill"), (compose, "compose")):
        inputs = [gr.State(kind), roll, bars, temperature, seed.number, seed.lock, *settings]
        button.click(on.write, inputs, outputs, show_progress="hidden", **lane).then(None, tempo, js=PACE, **quiet)
    again.click(on.another, [last, roll, temperature, *settings], outputs, show_progress="hidden", **lane).then(
        None, tempo, js=PACE, **quiet
    )
    play.click(on.play, [roll, seed.number, *settings], outputs, show_progress="hidden", **lane).then(
        None, tempo, js=PACE, **quiet
    )
    sound.ready(on.opened, [roll, bars, temperature, seed.number, *settings], outputs, show_progress="hidden", **lane)
    halt.click(stop, js=HUSH, queue=False, **quiet)
    coloured(roll, on.surprise_of)
    for button, name in zip(examples, on.EXAMPLES, strict=True):
        button.click(lambda name=name: on.example(name).to_json(), None, roll, **quiet)
    upload.upload(on.open_midi, upload, [roll, note], **quiet)
    hum.change(on.write_down, [hum, tempo], [roll, note, progress], **quiet)
    midi.bind(on.save_midi, [roll, tempo])
    archive.bind(on.save_stems, stems)
    gr.api(harmonise, api_name="harmonise", concurrency_id="music", concurrency_limit=1)
