"""The Voice wrapper: a string of digits in, speech out; no tensors outside, no Gradio inside.

Everything that a caller may set is checked here, because the page and the API reach the same functions.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from demos.audio.files import Sound, fade, normalise
from demos.audio.voice.data import MEL, SAMPLE_RATE
from demos.audio.voice.networks import NO_DIGIT, DigitFlow, Vocoder
from demos.core.cancel import OnStep, report
from demos.core.checkpoint import find, load_network
from demos.core.device import Lane, autocast, pick_device, precast, set_threads
from demos.core.limits import number_in
from demos.core.seed import generator, normalise_seed
from demos.families.score import euler, schedule

__all__ = ["LIMITS", "MOST_DIGITS", "Voices"]

LIMITS = {"blend": (0.0, 1.0), "speed": (0.5, 2.0), "pitch": (-6.0, 6.0)}
MOST_DIGITS = 64
STEPS, GUIDANCE = 10, 1.5
FRAMES = (12, 200)
DIGITS_A_BATCH = 6
GAP_SECONDS, PAUSE_SECONDS = 0.06, 0.28
SEPARATORS = r"[\s\-–./,:;()+#]+"


class Voices:
    """Loads once, answers one caller at a time."""

    def __init__(self, flow: DigitFlow, vocoder: Vocoder, device: torch.device) -> None:
        self.flow, self.vocoder, self.device, self.lane = flow, vocoder, device, Lane()
        self.names: tuple[str, ...] = tuple(flow.config["voices"])
        self.sample_rate = SAMPLE_RATE

    @classmethod
    def load(cls, checkpoint: str | Path = "voice", device: str | None = None) -> Voices:
        """Read a checkpoint folder; nothing is downloaded.

        Raises:
            ValueError: the folder is missing, damaged, or holds something else.
        """
        folder, where = find(checkpoint), pick_device(device)
        if where.type == "cpu":
            set_threads()
        flow, vocoder = (
            precast(load_network(DigitFlow, folder / "flow", where), where),
            precast(load_network(Vocoder, folder / "vocoder", where), where),
        )
        return cls(flow, vocoder, where)

    def speak(
        self,
        text: str,
        voice: str = "george",
        *,
        blend_with: str | None = None,
        blend: float = 0.5,
        speed: float = 1.0,
        pitch: float = 0.0,
        seed: int | None = 0,
        on_step: OnStep | None = None,
    ) -> Sound:
        """Digits spoken one by one, with a pause wherever something else than a digit stands between them.

        Args:
            text: up to 64 digits, with spaces, dashes, dots, slashes, colons, plus signs and brackets.
            voice: one of `names`.
            blend_with: another voice, to which `blend` from 0 to 1 leads.
            speed: 0.5 to 2.
            pitch: semitones, -6 to 6; the voice gets smaller or larger with it.
            seed: another seed is another take; None or negative draws one.
            on_step: called as `on_step(i, n, so_far)` with the samples `(m,)` of the digits that are ready, before they
                are brought to their final level; may raise `Cancelled`.

        Raises:
            ValueError: no digits, too many, letters, an unknown voice, or a setting out of range.
        """
        groups = _groups(text)
        weights = self._weights(voice, blend_with, number_in(LIMITS, "blend", blend) if blend_with is not None else 0.0)
        ratio, seed = 2 ** (number_in(LIMITS, "pitch", pitch) / 12), normalise_seed(seed)
        rng = generator(seed)
        digits = torch.tensor([int(d) for group in groups for d in group])
        speed = number_in(LIMITS, "speed", speed)
        frames = self._frames(digits, weights, speed / ratio, rng)
        ends = np.cumsum([len(group) for group in groups])
        gaps = [PAUSE_SECONDS if i + 1 in ends else GAP_SECONDS for i in range(len(digits) - 1)] + [0.0]
        spoken: list[np.ndarray] = []
        starts = range(0, len(digits), DIGITS_A_BATCH)
        for done, first in enumerate(starts):
            so_far = np.concatenate([*spoken, np.zeros(0, np.float32)])

            def each(i: int, n: int, preview: object, done: int = done, so_far: np.ndarray = so_far) -> None:
                report(on_step, done * n + i, len(starts) * n + 1, so_far)

            part = slice(first, first + DIGITS_A_BATCH)
            sounds = self._speak(digits[part], frames[part], weights, rng, each)
            for sound, gap in zip(sounds, gaps[part], strict=True):
                whole = soxr.resample(sound, ratio * SAMPLE_RATE, SAMPLE_RATE) if ratio != 1 else sound
                spoken += [fade(normalise(whole, SAMPLE_RATE, -22.0), SAMPLE_RATE)]
                spoken += [np.zeros(int(gap / speed * SAMPLE_RATE), np.float32)]
        made, steps = np.concatenate(spoken), len(starts) * STEPS + 1
        report(on_step, steps, steps, made)
        return Sound(fade(normalise(made, SAMPLE_RATE), SAMPLE_RATE), SAMPLE_RATE, seed)

    def _weights(self, voice: str, other: str | None, blend: float) -> Tensor:
        """`(voices,)` that sum to one."""
        weights = torch.zeros(len(self.names))
        for name, weight in ((voice, 1 - blend), (other, blend)):
            if name is None:
                continue
            if name not in self.names:
                raise ValueError(f"There is no voice “{str(name)[:40]}”; there are {', '.join(self.names)}.")
            weights[self.names.index(name)] += weight
        return weights

    def _frames(self, digits: Tensor, weights: Tensor, speed: float, rng: torch.Generator) -> Tensor:
        """Lengths `(D,)` drawn around the voice's usual ones."""
        mean = self.flow.length_mean.cpu().float()[digits] @ weights
        std = self.flow.length_std.cpu().float()[digits] @ weights
        away = torch.randn(len(digits), generator=rng).clamp(-1.5, 1.5)
        return ((mean + 0.6 * std * away).exp() / speed).round().long().clamp(*FRAMES)

    def _speak(
        self, digits: Tensor, frames: Tensor, weights: Tensor, rng: torch.Generator, on_step: OnStep
    ) -> list[np.ndarray]:
        """Sounds of the digits, computed together."""
        noise = torch.randn(len(digits), MEL.mels, int(frames.max()), generator=rng).to(self.device)
        mask = (torch.arange(noise.shape[2]) < frames[:, None]).to(self.device)
        given = digits.to(self.device)
        voice = weights.to(self.device).expand(len(digits), -1)

        def velocity(x: Tensor, t: Tensor, step: Tensor) -> Tensor:
            both = self.flow(
                x.repeat(2, 1, 1),
                t.repeat(2),
                torch.cat([given, torch.full_like(given, NO_DIGIT)]),
                voice.repeat(2, 1),
                mask.repeat(2, 1),
            )
            said, silent = both.float().chunk(2)
            return silent + GUIDANCE * (said - silent)

        with self.lane.hold(), torch.inference_mode(), autocast(self.device):
            x = euler(velocity, noise, schedule(STEPS, shift=1.0), on_step=on_step)
            floor = math.log(1e-5)
            mel = torch.where(mask[:, None], self.flow.restore(x).clamp_min(floor), floor)
            sounds = self.vocoder(mel).float().cpu().numpy()
        return [s[: (int(n) - 1) * MEL.hop] for s, n in zip(sounds, frames, strict=True)]


def _groups(text: str) -> list[str]:
    """Runs of digits between separators."""
    if not isinstance(text, str) or len(text) > 1_000:
        raise ValueError("The digits must be a text of at most 1,000 characters.")
    groups = [part for part in re.split(SEPARATORS, text) if part]
    wrong = re.search(r"[^0-9]", "".join(groups))
    if wrong:
        raise ValueError(f"Only digits can be spoken; “{wrong[0]}” is none.")
    count = sum(map(len, groups))
    if not 1 <= count <= MOST_DIGITS:
        raise ValueError(f"Type 1 to {MOST_DIGITS} digits; there are {count}.")
    return groups
