"""Notes of a General MIDI sound font, as a second opinion and as more training data.

    python -m demos.audio.instruments.render --out DIR

writes `fluid_notes.zip` in the format of `notes.zip`; training uses it where it lies in the runs' cache. The program
`fluidsynth` and the sound font FluidR3 (MIT) are Debian's packages `fluidsynth` and `fluid-soundfont-gm`.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import mido
import numpy as np
import soundfile
from tqdm import tqdm

from demos.audio.files import read_audio
from demos.audio.instruments.data import SAMPLE_RATE

__all__ = ["PROGRAMS", "available", "main", "render_notes"]

SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
PROGRAMS = {
    "alto_sax": 65, "banjo": 105, "bassoon": 70, "cello": 42, "clarinet": 71, "double_bass": 43, "english_horn": 69,
    "flute": 73, "french_horn": 60, "guitar": 24, "oboe": 68, "piano": 0, "trombone": 57, "tuba": 58,
}  # fmt: skip
SPANS = {
    "alto_sax": (49, 80), "banjo": (48, 88), "bassoon": (34, 77), "cello": (36, 84), "clarinet": (50, 96),
    "double_bass": (24, 69), "english_horn": (52, 83), "flute": (60, 101), "french_horn": (34, 77),
    "guitar": (40, 80), "oboe": (58, 92), "piano": (24, 104), "trombone": (40, 80), "tuba": (29, 55),
}  # fmt: skip
TICKS_A_SECOND = 960
COLUMNS = ("file", "instrument", "midi_pitch", "f0_hz", "duration_s", "source", "licence", "original_name")


def available(font: Path = SOUND_FONT) -> bool:
    """Whether the program and the sound font are installed."""
    return shutil.which("fluidsynth") is not None and font.is_file()


def render_notes(
    program: int, notes: list[tuple[int, int, float]], gap: float = 1.0, font: Path = SOUND_FONT
) -> list[np.ndarray]:
    """Sounds `(N,)` at `SAMPLE_RATE` of notes `(pitch, velocity, seconds)` played one after the other, without effects.

    Each sound lasts `seconds` and `gap` more.

    Raises:
        FileNotFoundError: the program or the sound font is missing.
    """
    if not available(font):
        raise FileNotFoundError("fluidsynth or its sound font is missing: install fluidsynth and fluid-soundfont-gm.")
    track = mido.MidiTrack(
        [mido.MetaMessage("set_tempo", tempo=500_000), mido.Message("program_change", program=program)]
    )
    wait = 0.0
    for pitch, velocity, seconds in notes:
        track.append(mido.Message("note_on", note=pitch, velocity=velocity, time=round(wait * TICKS_A_SECOND)))
        track.append(mido.Message("note_off", note=pitch, time=round(seconds * TICKS_A_SECOND)))
        wait = gap
    file = mido.MidiFile(ticks_per_beat=TICKS_A_SECOND // 2)
    file.tracks.append(track)
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder, "notes.mid"), Path(folder, "notes.wav")
        file.save(midi)
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(SAMPLE_RATE), "-F", str(wav)]
        subprocess.run([*command, str(font), str(midi)], check=True, capture_output=True)
        whole = read_audio(wav, SAMPLE_RATE, longest=3600)
    made, at = [], 0.0
    for _, _, seconds in notes:
        length = int((seconds + gap) * SAMPLE_RATE)
        part = whole[round(at * SAMPLE_RATE) :][:length]
        made.append(np.pad(part, (0, length - len(part))))
        at += seconds + gap
    return made


def main() -> None:
    """Render every second pitch of every instrument at three velocities."""
    parser = argparse.ArgumentParser(prog="python -m demos.audio.instruments.render")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with zipfile.ZipFile(args.out / "fluid_notes.zip", "w") as archive:
        for name, program in tqdm(PROGRAMS.items()):
            low, high = SPANS[name]
            notes = [(p, v, 1.5) for p in range(low, high + 1, 2) for v in (50, 80, 115)]
            for (pitch, velocity, _), sound in zip(notes, render_notes(program, notes), strict=True):
                peak = float(np.abs(sound).max())
                if peak < 1e-3:
                    continue
                path = f"notes/{name}/fluid_{pitch:03d}_{velocity:03d}.ogg"
                target = io.BytesIO()
                soundfile.write(target, sound * 0.9 / peak, SAMPLE_RATE, format="OGG", subtype="VORBIS")
                archive.writestr(path, target.getvalue())
                f0 = 440 * 2 ** ((pitch - 69) / 12)
                rows.append([path, name, pitch, round(f0, 3), 2.5, "FluidR3", "MIT", f"program {program}"])
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
        archive.writestr("notes/metadata.csv", table.getvalue())
    print(f"{len(rows)} notes in {args.out / 'fluid_notes.zip'}")


if __name__ == "__main__":
    main()
