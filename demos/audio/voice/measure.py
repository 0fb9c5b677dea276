"""The voice's figures: what judges trained on real recordings hear, beside the same for real recordings, and speed."""

from __future__ import annotations

import time

import numpy as np
import torch
from tqdm import tqdm

from demos.audio.classifier import Classifier
from demos.audio.spectra import spectral_distance
from demos.audio.voice.data import DIGITS, MEL, SAMPLE_RATE, Digit, trim
from demos.audio.voice.model import Voices
from demos.audio.voice.training import SIZES, fitted
from demos.core.device import autocast

__all__ = ["judged", "speed", "vocoder_distance"]


def judged(
    model: Voices, held: list[Digit], digits: Classifier, voices: Classifier, takes: int = 5, seed: int = 0
) -> dict[str, float]:
    """Accuracy of both judges on real held-out recordings and on `takes` of each digit in each voice.

    `worst_voice` is the share of its digits in which the least recognisable voice is recognised.
    """

    def heard(judge: Classifier, sounds: list[np.ndarray]) -> np.ndarray:
        return np.array([int(judge(fitted(s)).argmax()) for s in sounds])

    made, digit, voice = [], [], []
    for index, name in enumerate(tqdm(model.names, "speak")):
        for d in range(DIGITS):
            for take in range(takes):
                made.append(trim(model.speak(str(d), name, seed=seed + take).samples))
                digit.append(d)
                voice.append(index)
    with torch.inference_mode():
        spoken, who = heard(digits, made), heard(voices, made) == np.array(voice)
        real = [d.samples for d in held]
        return {
            "digits, real": float((heard(digits, real) == np.array([d.digit for d in held])).mean()),
            "digits, generated": float((spoken == np.array(digit)).mean()),
            "voices, real": float((heard(voices, real) == np.array([d.voice for d in held])).mean()),
            "voices, generated": float(who.mean()),
            "worst_voice": min(float(who[np.array(voice) == i].mean()) for i in range(len(model.names))),
        }


def vocoder_distance(model: Voices, held: list[Digit]) -> float:
    """Spectral distance of held-out recordings from their own frames made audible."""
    found = []
    with torch.inference_mode(), autocast(model.device):
        for d in held:
            real = torch.from_numpy(d.samples)[None]
            made = model.vocoder(MEL(real).to(model.device)).float().cpu()
            found.append(float(spectral_distance(made, real[:, : made.shape[1]], SIZES)))
    return float(np.mean(found))


def speed(model: Voices) -> dict[str, float]:
    """Times real time for a telephone number, and seconds until one digit is ready."""
    voice = model.names[0]
    model.speak("1", voice)
    start = time.perf_counter()
    made = model.speak("0123456789", voice)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    model.speak("7", voice)
    return {
        "times_real_time": len(made.samples) / SAMPLE_RATE / seconds,
        "first_sound_s": time.perf_counter() - start,
    }
