"""The training stages of the voice: vocoder, flow, and the classifiers of digits and voices that judge them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demos.audio.classifier import Classifier
from demos.audio.files import normalise, wav_bytes
from demos.audio.spectra import spectral_distance
from demos.audio.voice.data import DIGITS, MEL, SAMPLE_RATE, VOICES, Digit, Digits, load_digits, load_speech
from demos.audio.voice.discriminators import Discriminators
from demos.audio.voice.networks import NO_DIGIT, DigitFlow, Vocoder
from demos.core.fit import fit
from demos.core.stages import Run
from demos.families.gan import critic_loss, feature_distance, frozen, generator_loss
from demos.families.score import interpolate, sample_times

__all__ = ["JUDGE_FRAMES", "fitted", "train_digit_judge", "train_flow", "train_vocoder", "train_voice_judge"]

CROP_FRAMES = 65
JUDGE_FRAMES = 101
NO_DIGIT_SHARE = 0.1
SIZES = (512, 256, 128, 64)


class Pair(nn.Module):
    """The vocoder and its discriminators, as one module for the training loop."""

    def __init__(self, vocoder: Vocoder, discriminators: Discriminators) -> None:
        super().__init__()
        self.vocoder: Any = vocoder
        self.discriminators = discriminators


def vocoder_losses(pair: Pair, real: Tensor, adversarial: bool) -> dict[str, Tensor]:
    """Distances of mel frames and of spectra; once `adversarial`, those of the pair as well. `real` `(B, N)`."""
    mel = MEL(real)
    made = pair.vocoder(mel)
    mel_error = (MEL(made) - mel).abs().mean()
    spectra = spectral_distance(made, real, SIZES).mean()
    terms = {"loss": 10 * mel_error + 3 * spectra, "mel": mel_error, "spectra": spectra}
    if adversarial:
        with frozen(pair.discriminators):
            scores, features = pair.discriminators(made)
            _, wanted = pair.discriminators(real)
        fool, matching = generator_loss(scores), feature_distance(wanted, features)
        critic = critic_loss(pair.discriminators(real)[0], pair.discriminators(made.detach())[0])
        terms["loss"] = terms["loss"] + fool + 2 * matching + critic
        terms |= {"generator": fool, "matching": matching, "critic": critic}
    return terms


def train_vocoder(run: Run) -> None:
    """Crops of half a second of digits and read speech; the discriminators join after a fifth of the budget."""
    digits = load_digits(run.data / "spoken_digits.zip")
    speech, held_speech = load_speech(run.data / "speech.zip")
    sounds = [d.samples for d in digits if not d.held_out] + speech
    held = [d.samples for d in digits if d.held_out][::40] + [s[: 3 * SAMPLE_RATE] for s in held_speech[:3]]
    weight = torch.tensor([float(np.sqrt(len(s))) for s in sounds])
    pair = Pair(Vocoder(), Discriminators()).to(run.device)
    length = (CROP_FRAMES - 1) * MEL.hop

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        pick = torch.multinomial(weight, run.batch, replacement=True, generator=rng).tolist()
        begin, gain = torch.rand(2, run.batch, generator=rng).tolist()
        crops = [crop(sounds[i], length, b) * 10 ** (0.6 * g - 0.5) for i, b, g in zip(pick, begin, gain, strict=True)]
        return vocoder_losses(pair, torch.from_numpy(np.stack(crops)).float().to(run.device), spent > 0.2)

    @torch.inference_mode()
    def report(ema: Any, step: int) -> dict[str, float]:
        made = [ema.vocoder(MEL(torch.from_numpy(s)[None].to(run.device)))[0].cpu() for s in held]
        far = [spectral_distance(m[None], torch.from_numpy(s)[None, : len(m)], SIZES).item()
               for m, s in zip(made, held, strict=True)]  # fmt: skip
        both = [np.pad(normalise(s, SAMPLE_RATE), (0, 1600)) for m, s in zip(made, held, strict=True)
                for s in (s, m.numpy())]  # fmt: skip
        (run.runs / "progress.wav").write_bytes(wav_bytes(np.concatenate(both), SAMPLE_RATE))
        return {"held_out_distance": round(float(np.mean(far)), 4)}

    ema: Any = fit(
        pair, losses, run.runs, budget=run.budget, lr=5e-4, ema_decay=0.998, weight_decay=0, clip=5.0, seed=run.seed,
        report=report, report_seconds=120,
    )  # fmt: skip
    run.write("voice/vocoder", ema.vocoder)


def flow_loss(model: DigitFlow, batch: dict[str, Tensor], rng: torch.Generator) -> Tensor:
    """Mean squared error of the velocity over the frames of the digits; the digit is left out now and then."""
    x = model.standardise(batch["mel"])
    noise = torch.randn(x.shape, generator=rng).to(x.device)
    t = sample_times(len(x), rng, mean=0.0).to(x.device)
    unknown = (torch.rand(len(x), generator=rng) < NO_DIGIT_SHARE).to(x.device)
    digit = torch.where(unknown, NO_DIGIT, batch["digit"])
    voice = F.one_hot(batch["voice"], len(VOICES)).float()
    v = model(interpolate(x, noise, t), t, digit, voice, batch["mask"])
    error = (v.float() - (noise - x)).square().mean(1)
    return error[batch["mask"]].mean()


def train_flow(run: Run) -> None:
    """Flow matching on the digits' log-mel frames."""
    digits = Digits(load_digits(run.data / "spoken_digits.zip"), run.device)
    model = run.started(DigitFlow())
    model.mean.copy_(digits.statistics()[0])
    model.std.copy_(digits.statistics()[1])
    model.length_mean.copy_(digits.lengths()[0])
    model.length_std.copy_(digits.lengths()[1])

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        return {"loss": flow_loss(model, digits.batch(run.batch, rng), rng)}

    ema: Any = fit(model, losses, run.runs, budget=run.budget, lr=1e-3, ema_decay=0.999, seed=run.seed)
    run.write("voice/flow", ema)


def crop(samples: np.ndarray, length: int, where: float) -> np.ndarray:
    """`(length,)` from `where` in [0, 1] of the way in, zeros after the end."""
    start = round(where * max(0, len(samples) - length))
    cut = samples[start : start + length]
    return np.pad(cut, (0, length - len(cut)))


def fitted(samples: np.ndarray) -> Tensor:
    """Log-mel frames `(1, mels, JUDGE_FRAMES)` of a digit as the judges hear it: centred, cut or padded."""
    length = (JUDGE_FRAMES - 1) * MEL.hop
    cut = samples[max(0, (len(samples) - length) // 2) :][:length]
    left = (length - len(cut)) // 2
    return MEL(torch.from_numpy(np.pad(cut, (left, length - len(cut) - left)).astype(np.float32))[None])


def _train_judge(run: Run, name: str, classes: tuple[str, ...], wanted: str) -> None:
    digits = load_digits(run.data / "spoken_digits.zip")
    model = run.ready(Classifier(MEL.mels, 96, classes))

    def tensors(part: list[Digit]) -> tuple[Tensor, Tensor]:
        mels = torch.cat([fitted(d.samples) for d in part])
        return mels.to(run.device), torch.tensor([getattr(d, wanted) for d in part]).to(run.device)

    x, y = tensors([d for d in digits if not d.held_out])
    held_x, held_y = tensors([d for d in digits if d.held_out])

    def losses(rng: torch.Generator, spent: float) -> dict[str, Tensor]:
        pick = torch.randint(len(x), (run.batch,), generator=rng).to(run.device)
        move = int(torch.randint(-8, 9, (1,), generator=rng))
        gain = torch.randn(run.batch, 1, 1, generator=rng).to(run.device)
        logits = model((x[pick].roll(move, 2) + gain).clamp_min(float(np.log(1e-5))))
        return {"loss": F.cross_entropy(logits.float(), y[pick], label_smoothing=0.05)}

    @torch.inference_mode()
    def report(ema: Any, step: int) -> dict[str, float]:
        return {"held_out_accuracy": round((ema(held_x).argmax(1) == held_y).float().mean().item(), 4)}

    ema: Any = fit(model, losses, run.runs, budget=run.budget, lr=2e-3, seed=run.seed, report=report)
    run.write(f"audio_judges/{name}", ema)


def train_digit_judge(run: Run) -> None:
    """The classifier of digits, on real recordings alone."""
    _train_judge(run, "digits", tuple(map(str, range(DIGITS))), "digit")


def train_voice_judge(run: Run) -> None:
    """The classifier of voices, on real recordings alone."""
    _train_judge(run, "voices", VOICES, "voice")
