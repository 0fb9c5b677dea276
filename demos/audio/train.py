"""Train the networks of the Audio tab again, one stage after the other.

    python -m demos.audio.train instruments --data DIR
    python -m demos.audio.train player --data DIR
    python -m demos.audio.train music --data DIR
    python -m demos.audio.train vocoder --data DIR
    python -m demos.audio.train flow --data DIR
    python -m demos.audio.train note_judge --data DIR      (likewise digit_judge, voice_judge)

A stage keeps its state, its log and a sound of its progress in `--runs`, goes on from there when it is called again,
and writes its weights below `--out` when it ends. Judges only serve the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from demos.audio.instruments.judge import train_note_judge
from demos.audio.instruments.training import train_instruments, train_player
from demos.audio.music.training import train_music
from demos.audio.voice.training import train_digit_judge, train_flow, train_vocoder, train_voice_judge
from demos.core.stages import Preset, Run, train_stage

__all__ = ["PRESETS", "STAGES", "main"]

STAGES: dict[str, Callable[[Run], None]] = {
    "instruments": train_instruments,
    "player": train_player,
    "music": train_music,
    "vocoder": train_vocoder,
    "flow": train_flow,
    "note_judge": train_note_judge,
    "digit_judge": train_digit_judge,
    "voice_judge": train_voice_judge,
}


JUDGES = ("note_judge", "digit_judge", "voice_judge")
PRESETS = {
    "cpu": Preset(
        {"instruments": 16, "player": 64, "music": 16, "vocoder": 16, "flow": 32} | dict.fromkeys(JUDGES, 32),
        {"instruments": 95, "player": 30, "music": 60, "vocoder": 45, "flow": 30}
        | dict.fromkeys(JUDGES, 4)
        | {"note_judge": 11},
    ),
    "gpu": Preset(
        {"instruments": 64, "player": 256, "music": 64, "vocoder": 64, "flow": 128} | dict.fromkeys(JUDGES, 128),
        {"instruments": 7, "player": 2, "music": 5, "vocoder": 6, "flow": 3} | dict.fromkeys(JUDGES, 1),
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and train one stage."""
    train_stage("audio", STAGES, PRESETS, "checkpoints", arguments)


if __name__ == "__main__":
    main()
