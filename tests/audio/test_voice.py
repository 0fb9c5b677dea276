"""The Voice wrapper, its networks and losses, with random weights: lengths, seeds, blends, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demos.audio.classifier import Classifier
from demos.audio.voice import training
from demos.audio.voice.data import MEL, SAMPLE_RATE, Digit, Digits, trim
from demos.audio.voice.discriminators import Discriminators
from demos.audio.voice.measure import judged, speed, vocoder_distance
from demos.audio.voice.model import MOST_DIGITS, Voices
from demos.audio.voice.networks import NO_DIGIT, DigitFlow, FlowBlock, Vocoder
from demos.core.cancel import Cancelled
from demos.core.device import autocast
from tests.audio.conftest import tone


@pytest.fixture(scope="module")
def model(checkpoints: Path) -> Voices:
    return Voices.load(checkpoints / "voice", "cpu")


def recordings() -> list[Digit]:
    """A rising tone for each digit, another timbre for each voice."""
    made = []
    for digit in range(10):
        for voice in range(2):
            sound = tone(150 + 40 * digit, 0.35, SAMPLE_RATE, 2 + 6 * voice)
            made += [Digit(sound[: 43 * 64], digit, voice, held_out) for held_out in (False, True)]
    return made


class TestWrapper:
    """What a person calls."""

    def test_digits_become_sound(self, model: Voices) -> None:
        sound = model.speak("31-4", "anna", seed=2)
        assert sound.sample_rate == SAMPLE_RATE and sound.seed == 2 and sound.samples.dtype == np.float32
        assert 0.05 < np.abs(sound.samples).max() <= 0.951 and sound.samples[0] == sound.samples[-1] == 0
        assert 0.6 < len(sound.samples) / SAMPLE_RATE < 2.5

    def test_more_digits_and_pauses_take_longer(self, model: Voices) -> None:
        def seconds(text: str) -> float:
            return len(model.speak(text, "bert").samples) / SAMPLE_RATE

        assert seconds("1") < seconds("12") < seconds("1 2") < seconds("1 2 3")

    def test_seeds_voices_and_blends(self, model: Voices) -> None:
        a, b, c = (model.speak("7", "anna", seed=s).wav() for s in (1, 1, 2))
        assert a == b != c
        other = model.speak("7", "carl", seed=1).wav()
        blends = [model.speak("7", "anna", blend_with="carl", blend=w, seed=1).wav() for w in (0, 0.5, 1)]
        assert blends[0] == a and blends[2] == other and blends[1] not in (a, other)

    def test_speed_changes_the_length_and_pitch_does_not(self, model: Voices) -> None:
        def seconds(speed: float = 1.0, pitch: float = 0.0) -> float:
            return len(model.speak("222", "anna", speed=speed, pitch=pitch).samples) / SAMPLE_RATE

        assert seconds(speed=2) == pytest.approx(seconds() / 2, rel=0.15)
        assert seconds(speed=0.5) == pytest.approx(seconds() * 2, rel=0.15)
        for pitch in (-6, 6):
            assert seconds(pitch=pitch) == pytest.approx(seconds(), rel=0.15)

    @pytest.mark.parametrize("text", ["+49 (0)30 / 123", "2026-11-21", "1.5", " 9 ", "0" * MOST_DIGITS])
    def test_numbers_as_people_write_them(self, model: Voices, text: str) -> None:
        assert np.isfinite(model.speak(text, "anna").samples).all()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"text": ""}, "Type 1 to 64"), ({"text": " - "}, "Type 1 to 64"), ({"text": "1" * 65}, "there are 65"),
            ({"text": "12a"}, "“a” is none"), ({"text": "१२"}, "is none"), ({"text": None}, "must be a text"),
            ({"text": "1" * 2000}, "1,000 characters"), ({"voice": "zoe"}, "no voice “zoe”"),
            ({"blend_with": "zoe"}, "no voice"), ({"blend_with": "bert", "blend": 2}, "“blend”"),
            ({"speed": 0}, "“speed”"), ({"speed": "fast"}, "“speed”"), ({"pitch": 99}, "“pitch”"),
            ({"seed": "x"}, "seed"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, model: Voices, change: dict[str, Any], words: str) -> None:
        arguments: dict[str, Any] = {"text": "1", "voice": "anna"} | change
        with pytest.raises(ValueError, match=words) as caught:
            model.speak(**arguments)
        assert str(caught.value).endswith(".") and not model.lane.busy

    def test_it_stops_at_a_step(self, model: Voices) -> None:
        seen: list[int] = []

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append(i)
            if i == 3:
                raise Cancelled

        with pytest.raises(Cancelled):
            model.speak("123", "anna", on_step=on_step)
        assert seen == [1, 2, 3] and not model.lane.busy

    def test_a_missing_part_is_a_sentence(self, checkpoints: Path) -> None:
        with pytest.raises(ValueError, match="missing"):
            Voices.load(checkpoints / "music", "cpu")


class TestNetworks:
    """Shapes, masks, gradients."""

    def test_frames_beyond_the_digit_do_not_matter(self, model: Voices) -> None:
        torch.manual_seed(0)
        x, mask = torch.randn(1, MEL.mels, 30), torch.arange(30)[None] < 20
        given = (torch.tensor([0.5]), torch.tensor([3]), torch.eye(3)[:1])
        with torch.no_grad(), autocast("cpu"):
            a = model.flow(x, *given, mask)
            b = model.flow(torch.where(mask[:, None], x, 9.0), *given, mask)
            c = model.flow(x, given[0], torch.tensor([NO_DIGIT]), given[2], mask)
        assert torch.allclose(a[..., :20], b[..., :20], atol=1e-5) and not torch.allclose(a, c, atol=1e-3)

    @pytest.mark.parametrize("dilation", [1, 4])
    def test_a_block_convolves_along_time(self, dilation: int) -> None:
        torch.manual_seed(0)
        block = FlowBlock(8, 8, dilation)
        torch.nn.init.normal_(block.out.weight)
        x = torch.randn(2, 8, 11)
        assert torch.allclose(block.along_time(x.transpose(1, 2)).transpose(1, 2), block.conv(x), atol=1e-6)
        emb, mask = torch.randn(2, 8), torch.ones(2, 11, 1)
        scale, shift = block.modulate(emb)[..., None].chunk(2, 1)
        h = block.norm(x.transpose(1, 2)).transpose(1, 2) * (1 + scale) + shift
        expected = x + block.out(torch.nn.functional.glu(block.conv(h), 1))
        assert torch.allclose(block(x.transpose(1, 2), emb, mask).transpose(1, 2), expected, atol=1e-5)

    def test_the_vocoder_keeps_length_and_has_gradients(self) -> None:
        vocoder = Vocoder(width=16, depth=1)
        mel = torch.randn(2, MEL.mels, 21, requires_grad=True)
        sound = vocoder(mel)
        assert sound.shape == (2, 20 * MEL.hop)
        sound.square().sum().backward()
        assert mel.grad is not None and mel.grad.isfinite().all() and mel.grad.abs().sum() > 0

    def test_the_pair_learns_and_each_part_gets_its_gradient(self) -> None:
        torch.manual_seed(0)
        pair = training.Pair(Vocoder(width=16, depth=1), Discriminators((2, 3), (128,), 4))
        real = torch.from_numpy(np.stack([tone(f, 0.3, SAMPLE_RATE)[: 20 * MEL.hop] for f in (200, 310)]))
        optimiser = torch.optim.AdamW(pair.parameters(), 3e-3)
        seen: list[float] = []
        terms: dict[str, torch.Tensor] = {}
        for step in range(16):
            with torch.autocast("cpu", torch.bfloat16):
                terms = training.vocoder_losses(pair, real, step > 11)
            optimiser.zero_grad()
            terms["loss"].backward()
            judged = any(p.grad is not None for p in pair.discriminators.parameters())
            assert judged == (step > 11)
            optimiser.step()
            seen.append(terms["mel"].item())
        assert seen[11] < 0.8 * seen[0] and "critic" in terms
        assert all(p.grad is not None and p.grad.isfinite().all() for p in pair.parameters())

    def test_the_flow_learns(self) -> None:
        torch.manual_seed(0)
        digits = Digits(recordings())
        flow = DigitFlow(width=32, embedding=32, dilations=(1, 2))
        flow.mean.copy_(digits.statistics()[0])
        flow.std.copy_(digits.statistics()[1])
        optimiser, rng = torch.optim.AdamW(flow.parameters(), 5e-3), torch.Generator().manual_seed(0)
        seen = []
        for _ in range(25):
            loss = training.flow_loss(flow, digits.batch(8, rng), rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            seen.append(loss.item())
        assert seen[0] > 1.5 and np.mean(seen[-4:]) < 0.7 * seen[0]

    def test_shipped_sizes_are_small(self) -> None:
        assert all(1e6 < sum(p.numel() for p in m.parameters()) < 5e6 for m in (DigitFlow(), Vocoder()))


class TestData:
    """Recordings."""

    def test_trimming_keeps_the_sound(self) -> None:
        sound = np.concatenate([np.zeros(3000, np.float32), tone(200, 0.3, SAMPLE_RATE), np.zeros(5000, np.float32)])
        cut = trim(sound)
        assert len(cut) % MEL.hop == 0 and 0.3 <= len(cut) / SAMPLE_RATE < 0.4
        assert np.square(cut).sum() == pytest.approx(np.square(sound).sum(), rel=1e-3)

    def test_batches_and_lengths(self) -> None:
        digits = Digits(recordings())
        assert len(digits.train) == len(digits.held) == 20
        batch = digits.batch(5, torch.Generator().manual_seed(0))
        assert batch["mel"].shape == (5, MEL.mels, 44) and batch["mask"].all()
        mean, std = digits.lengths()
        assert mean.shape == std.shape == (10, 6) and mean[3, 1].exp().item() == pytest.approx(44, rel=1e-4)
        x = DigitFlow(width=8, embedding=8, dilations=(1,))
        x.mean.copy_(digits.statistics()[0])
        x.std.copy_(digits.statistics()[1])
        assert torch.allclose(x.restore(x.standardise(batch["mel"])), batch["mel"], atol=1e-4)

    def test_figures_are_sane(self, model: Voices) -> None:
        torch.manual_seed(0)
        held = [d for d in recordings() if d.held_out]
        digits, voices = (Classifier(MEL.mels, 16, tuple(map(str, range(n)))).eval() for n in (10, 3))
        found = judged(model, held, digits, voices, takes=1)
        assert all(0 <= v <= 1 for v in found.values()) and "worst_voice" in found
        assert vocoder_distance(model, held[:3]) > 0 and speed(model)["times_real_time"] > 0
