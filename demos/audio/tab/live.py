"""A sound that is heard while it is still being made.

Parts of a second and more, later ones longer, are served as WAV files as they become ready; the browser (`sound.js`)
plays them end to end on one clock, so that no gap lies between them, and takes the finished file when it comes.
"""

from __future__ import annotations

import html
import secrets
import time
from typing import TYPE_CHECKING

import numpy as np

from demos.audio.files import Leveller, fade, wav_bytes
from demos.audio.tab import sound
from demos.ui.events import Step

if TYPE_CHECKING:
    from demos.audio.files import Sound

__all__ = ["Live"]

LONG_SECONDS, PART_SECONDS, GROWTH, AHEAD = 6.0, 1.0, 4, 0.8


class Live:
    """One sound on its way to a `player`.

    Args:
        title: shown above the sound, and the name of its file.
        sample_rate: of the samples to come.
        level_db: of the first part; None leaves all parts as they are, but for peaks.
    """

    def __init__(self, title: str, sample_rate: int, level_db: float | None = -20.0) -> None:
        self.title, self.rate, self.take = title, sample_rate, secrets.token_hex(4)
        self.level = Leveller(sample_rate, level_db)
        self.parts: list[str] = []
        self.sent, self.begun = 0, time.monotonic()

    def more(self, step: Step) -> str | None:
        """What the player shows after a step whose preview is all samples so far `(m,)`; None if that is nothing new.

        A sound that will hardly last longer than `LONG_SECONDS` is not played in parts, and none begins before the rest
        can be expected to be made faster than it is heard.
        """
        samples, last = step.preview, step.i >= step.n
        enough = PART_SECONDS * self.rate + self.sent // GROWTH
        if samples is None or (not last and len(samples) - self.sent < enough):
            return None
        if not self.parts:
            seconds = len(samples) / self.rate * step.n / step.i
            wait = (time.monotonic() - self.begun) * (step.n - step.i) / step.i
            if last or seconds < LONG_SECONDS or wait > AHEAD * seconds:
                return None
        part = self.level(np.asarray(samples[self.sent :], np.float32), last)
        part = fade(part, self.rate, begin=not self.parts, end=last)
        self.sent = len(samples)
        self.parts.append(sound.served(wav_bytes(part, self.rate), f"part-{len(self.parts)}.wav").url or "")
        return None if last else self._growing()

    def done(self, made: Sound) -> str:
        """What the player shows when the sound is finished."""
        return sound.present(made, self.title, take=self.take, parts=self.parts)

    def _growing(self) -> str:
        name = html.escape(self.title)
        return (
            f'<figure class="sound" data-take="{self.take}" data-parts="{html.escape(" ".join(self.parts))}" '
            f'data-rate="{self.rate}"><figcaption><b title="{name}">{name}</b><span>is being made…</span></figcaption>'
            f'<audio controls aria-label="{name}"></audio><div class="view growing"></div></figure>'
        )
