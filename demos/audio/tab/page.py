"""What a person sees of the Audio tab: its sections, and how they work."""

import gradio as gr

from demos.audio.tab import endpoints, instruments, music, transfer, voice
from demos.audio.tab.sound import FOLDER

__all__ = ["TITLE", "build"]

TITLE = "Audio"
SOURCES = {
    "The synthesiser": "synthesiser.py",
    "Instruments": "instruments/networks.py",
    "Voice": "voice/networks.py",
    "Music": "music/networks.py",
}


def build() -> None:
    """Lay out the tab inside an open `gr.Tab`."""
    with gr.Tabs():
        with gr.Tab("Instruments"):
            place = instruments.build()
        with gr.Tab("Timbre transfer"):
            transfer.build(place)
        with gr.Tab("Voice"):
            voice.build()
        with gr.Tab("Music"):
            music.build()
    with gr.Accordion("How it works", open=False):
        audio = FOLDER.parent
        gr.Markdown(
            (audio / "about.md").read_text(encoding="utf-8"),
            latex_delimiters=[{"left": "$", "right": "$", "display": False}],
        )
        with gr.Tabs():
            for title, file in SOURCES.items():
                with gr.Tab(title):
                    source = (audio / file).read_text(encoding="utf-8")
                    gr.Code(source, language="python", label=title, lines=20, max_lines=24)
    lane = {"concurrency_id": "audio", "concurrency_limit": 1}
    gr.api(endpoints.play_note, api_name="play_note", **lane)
    gr.api(endpoints.transfer_timbre, api_name="transfer_timbre", **lane)
    gr.api(endpoints.instruments, api_name="instruments")
