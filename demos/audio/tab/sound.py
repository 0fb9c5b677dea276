"""What every section of the Audio tab shares: the models, a player with pictures, and the sounds of the session."""

from __future__ import annotations

import base64
import html
import io
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np
from PIL import Image

from demos.core.media import safe_stem
from demos.core.once import once
from demos.ui.files import served

if TYPE_CHECKING:
    from demos.audio.files import Sound
    from demos.audio.instruments.model import Instruments
    from demos.audio.music.model import Chorales
    from demos.audio.voice.model import Voices

__all__ = [
    "HUSH",
    "chorales",
    "instrument_names",
    "instruments",
    "player",
    "present",
    "shelf",
    "sound_view",
    "spoken",
    "voices",
    "wav_of",
]

FOLDER = Path(__file__).parent
CHECKPOINTS = FOLDER.parents[2] / "checkpoints"
TAKES = 24
COLUMNS, MELS = 400, 80
RANGE_DB = 60
TONES = 32
HUSH = "() => window.atelierSounds?.hush()"


@once
def instruments() -> Instruments:
    """The instruments, loaded at their first use."""
    from demos.audio.instruments.model import Instruments

    return Instruments.load("instruments")


@once
def chorales() -> Chorales:
    """The chorales, loaded at their first use."""
    from demos.audio.music.model import Chorales

    return Chorales.load("music")


@once
def voices() -> Voices:
    """The voices, loaded at their first use."""
    from demos.audio.voice.model import Voices

    return Voices.load("voice")


def instrument_names() -> list[tuple[str, str]]:
    """Title and name of every instrument, for a list; read from the checkpoint's settings without loading it."""
    try:
        config = json.loads((CHECKPOINTS / "instruments" / "config.json").read_text(encoding="utf-8"))
    except OSError:
        return []
    return [(spoken(name), name) for name in config["instruments"]]


def spoken(name: str) -> str:
    """`alto_sax` as people write it: Alto sax."""
    return name.replace("_", " ").capitalize()


def wav_of(sound: Sound, name: str) -> gr.FileData:
    """A sound as a 16-bit WAV file that visitors can fetch."""
    return served(sound.wav(), f"{safe_stem(name, 'sound')}.wav")


def present(sound: Sound, title: str, autoplay: bool = True, take: str | None = None, parts: Sequence[str] = ()) -> str:
    """What `player` shows of a sound.

    Args:
        sound: what a model made.
        title: shown above the sound, and the name of its file.
        autoplay: whether it sounds at once; such sounds are also kept on the `shelf`.
        take: a name of its own; None makes one up.
        parts: addresses of its parts, if it has been heard in parts already (see `Live`).
    """
    facts = f"{len(sound.samples) / sound.sample_rate:.1f} s · {sound.sample_rate / 1000:g} kHz · seed {sound.seed}"
    url = html.escape(wav_of(sound, title).url or "")
    name, hint = html.escape(title), html.escape(sound.hint)
    flags = f'data-take="{take or secrets.token_hex(4)}"{" data-autoplay" if autoplay else ""}'
    if parts:
        flags += f' data-parts="{html.escape(" ".join(parts))}" data-rate="{sound.sample_rate}"'
    return (
        f'<figure class="sound" data-src="{url}" data-seconds="{len(sound.samples) / sound.sample_rate:.3f}" {flags}>'
        f'<figcaption><b title="{name}">{name}</b><span>{facts}</span></figcaption>'
        f'<audio controls preload="auto" aria-label="{name}"></audio>'
        f"{sound_view(sound.samples, sound.sample_rate)}"
        f'<p class="hint" role="status">{hint}</p>'
        f'<a download="{safe_stem(title, "sound")}.wav">Download WAV</a></figure>'
    )


def sound_view(samples: np.ndarray, sample_rate: int) -> str:
    """Waveform over log-mel spectrogram of `(N,)` samples in [-1, 1], as HTML in the page's own colours.

    The spectrogram spans the 60 dB below its loudest place; its opacity is the level, so that it reads on any ground.
    """
    seconds = len(samples) / sample_rate
    return (
        f'<div class="view">{_outline(samples)}'
        f'<img class="spectrogram" alt="Spectrogram, 0 to {sample_rate / 2000:g} kHz" '
        f'src="{_spectrogram(samples, sample_rate)}"><i class="playhead"></i></div>'
        f'<div class="scale" aria-hidden="true"><span>0 s</span><span>spectrogram: 0 to {sample_rate / 2000:g} kHz, mel'
        f"</span><span>{seconds:.1f} s</span></div>"
    )


def player(elem_id: str, label: str = "Sound") -> gr.HTML:
    """A place for one sound: audible at once, with pictures, a playhead and a download; fill it with `present`.

    It fires `ready` when it comes into view with nothing in it yet.
    """
    empty = f'<div class="sound empty">{html.escape(label)}: nothing yet.</div>'
    script = f"const ID = {json.dumps(elem_id)}, MOST = {TAKES};\n{_text('sound.js')}"
    return gr.HTML(
        empty, label=label, elem_id=elem_id, elem_classes="at-flush", js_on_load=script,
        html_template='<div class="player"></div>', css_template=_text("sound.css"), apply_default_css=False,
    )  # fmt: skip


def shelf(elem_id: str, *players: str) -> gr.HTML:
    """The sounds that these players (by their `elem_id`) have sounded since the page opened, to be heard again.

    The browser keeps them; no handler fills the shelf.
    """
    script = f"const PLAYERS = {json.dumps(players)}, MOST = {TAKES};\n{_text('shelf.js')}"
    return gr.HTML(
        label="This session", elem_id=elem_id, elem_classes="at-flush", html_template='<ul class="takes"></ul>',
        js_on_load=script, css_template=_text("sound.css"), apply_default_css=False,
    )  # fmt: skip


def _outline(samples: np.ndarray, columns: int = COLUMNS) -> str:
    """The waveform's lowest and highest values in so many columns, as a filled SVG as high as its loudest place."""
    edges = np.linspace(0, max(len(samples), 1), columns + 1).astype(int)[:-1]
    padded = samples / max(0.02, float(np.abs(samples).max())) if len(samples) else np.zeros(1, np.float32)
    high, low = np.maximum.reduceat(padded, edges), np.minimum.reduceat(padded, edges)
    top = [f"{i},{round(50 - 50 * v)}" for i, v in enumerate(high)]
    floor = [f"{i},{round(50 - 50 * v) + 1}" for i, v in reversed(list(enumerate(low)))]
    return (
        f'<svg class="outline" viewBox="0 0 {columns - 1} 101" preserveAspectRatio="none" role="img" '
        f'aria-label="Waveform"><polygon points="{" ".join([*top, *floor])}"/></svg>'
    )


def _spectrogram(samples: np.ndarray, sample_rate: int) -> str:
    """Log-mel levels as the opacity of a picture in the accent colour, a PNG in a data: URI."""
    import torch

    from demos.audio.spectra import Mel

    hop = max(64, len(samples) // COLUMNS)
    mel = Mel(sample_rate, 1024, hop, MELS)(torch.from_numpy(np.asarray(samples, np.float32))[None])[0].numpy()
    loudest = max(float(mel.max(initial=-np.inf)), float(np.log(1e-2)))
    level = 1 + (mel - loudest) * (20 / np.log(10)) / RANGE_DB
    tones = (level.clip(0, 1) * (TONES - 1)).round().astype(np.uint8)[::-1]
    picture = Image.fromarray(np.ascontiguousarray(tones), "P")
    picture.putpalette([222, 85, 48] * TONES)
    opacity = bytes(round(255 * i / (TONES - 1)) for i in range(TONES))
    picture.save(buffer := io.BytesIO(), "PNG", transparency=opacity, optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
