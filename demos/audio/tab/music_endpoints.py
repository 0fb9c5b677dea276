"""What a program calls about music: typed functions for `gradio_client` and MCP."""

import json
from typing import Any

import gradio as gr

from demos.audio.tab import sound
from demos.audio.tab.music_handlers import players_of
from demos.ui.events import guard
from demos.ui.files import served, uploaded
from demos.ui.pianoroll import BAR, MOST_BARS

__all__ = ["harmonise"]


@guard
def harmonise(
    melody: gr.FileData | list | str, temperature: float = 1.0, seed: int = 0, instruments: list[str] | None = None
) -> tuple[gr.FileData, gr.FileData]:
    """Write alto, tenor and bass for a melody in the manner of Bach's chorales, and play all four voices.

    A melody may have 32 bars; of a file the top line is taken.

    Args:
        melody: a MIDI file, or rows of [pitch, start, length]: a MIDI number, and times in sixteenths.
        temperature: 0 takes what is likeliest at each step, 1 draws from the model, up to 2.
        seed: the same seed and settings give the same result; -1 for a random one.
        instruments: four of the names that instruments lists, from soprano to bass.

    Returns:
        A MIDI file with a track a voice, and a WAV file of 80 beats a minute.
    """
    from demos.audio.ensemble import perform

    names = players_of(instruments)
    score = sound.chorales().harmonise(_melody(melody), temperature, seed=seed)
    played = perform(sound.instruments(), score.notes(), names, seed=score.seed)
    return served(score.midi(), "harmonised.mid"), sound.wav_of(played.mix, "harmonised")


def _melody(melody: Any) -> list[Any]:
    """Notes from whatever form a client sends them in."""
    from demos.audio.music.melody import voices_of
    from demos.audio.music.midi import read_midi

    if isinstance(melody, str) and melody.lstrip()[:1] == "[":
        try:
            melody = json.loads(melody)
        except ValueError:
            raise ValueError("The melody is not a valid list of notes.") from None
    if isinstance(melody, list):
        return melody
    file = uploaded(melody.rpartition("/file=")[2] if isinstance(melody, str) else melody)
    return voices_of(read_midi(file), MOST_BARS * BAR)[0]
