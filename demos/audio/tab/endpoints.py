"""What a program calls to play instruments: typed functions for `gradio_client` and MCP."""

from typing import Any

import gradio as gr

from demos.audio.tab import sound
from demos.audio.tab.sound import wav_of
from demos.ui.events import guard
from demos.ui.files import uploaded

__all__ = ["instruments", "play_note", "transfer_timbre"]


@guard
def play_note(
    instrument: str | list[float] | dict[str, float],
    pitch: float,
    seconds: float = 2.0,
    loudness: float = 0.7,
    seed: int = 0,
) -> gr.FileData:
    """Play one note on an instrument, or on a blend of several.

    Args:
        instrument: a name that `instruments` lists, weights by name, or a place [x, y] on the map of timbres, 0 to 1.
        pitch: MIDI number from 24 to 100; 69 is A4, 440 Hz; fractions are allowed.
        seconds: length from 0.1 to 20.
        loudness: 0 to 1.
        seed: the same seed and settings give the same file.

    Returns:
        A WAV file, 24 kHz, mono.
    """
    made = sound.instruments().play(_timbre(instrument), pitch, seconds, loudness, seed=seed)
    return wav_of(made, "note")


@guard
def transfer_timbre(
    audio: gr.FileData | str,
    instrument: str | list[float] | dict[str, float],
    transpose: float = 0,
    seed: int = 0,
) -> gr.FileData:
    """Let an instrument play what a recording of one voice or instrument sings.

    Args:
        audio: a recording of up to 60 seconds: WAV, FLAC, Ogg or MP3.
        instrument: as for `play_note`.
        transpose: semitones, -24 to 24.
        seed: the same seed and settings give the same file.

    Returns:
        A WAV file, 24 kHz, mono; silent where no pitch was found.
    """
    path = uploaded(audio.rpartition("/file=")[2] if isinstance(audio, str) else audio)
    return wav_of(sound.instruments().transfer(path, _timbre(instrument), transpose=transpose, seed=seed), "transfer")


@guard
def instruments() -> list[str]:
    """Names of the instruments.

    Returns:
        What `play_note` and `transfer_timbre` take.
    """
    return list(sound.instruments().names)


def _timbre(instrument: Any) -> Any:
    return tuple(instrument) if isinstance(instrument, list) else instrument
