"""The Instruments wrapper and its networks, with random weights: pitch, silence, seeds, limits, and bad input."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demos.audio.files import read_audio
from demos.audio.instruments.curves import Curves, listen, since_onset, tuned
from demos.audio.instruments.data import (
    FLOOR_DB,
    HOP,
    INSTRUMENTS,
    MEL,
    SAMPLE_RATE,
    Note,
    Notes,
    analyse,
    end_of,
    onset_of,
    stiffness,
)
from demos.audio.instruments.judge import EXCERPT, excerpt, heard
from demos.audio.instruments.measure import distances, neighbour, pitch_errors, speed, tracker_errors
from demos.audio.instruments.model import Instruments, Touch, TuneNote
from demos.audio.instruments.networks import InstrumentModel
from demos.audio.instruments.training import instrument_losses, places, player_loss, resynthesise
from demos.audio.pitch import track
from demos.audio.synthesiser import harmonics
from demos.core.cancel import Cancelled
from tests.audio.conftest import measured_hz, tone


@pytest.fixture(scope="module")
def model(checkpoints: Path) -> Instruments:
    return Instruments.load(checkpoints / "instruments", "cpu")


def hertz(pitch: float) -> float:
    return 440 * 2 ** ((pitch - 69) / 12)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def note(pitch: int = 60, instrument: int = 0, held_out: bool = False, seconds: float = 0.8) -> Note:
    samples = tone(hertz(pitch), seconds, SAMPLE_RATE)
    f0, level, onset = analyse(samples, hertz(pitch))
    return Note(f"{pitch}", samples, f0, level, onset, instrument, pitch, 0.0, True, held_out)


class TestNotes:
    """Single notes."""

    @pytest.mark.parametrize("pitch", [28, 45, 60, 69.5, 93])
    def test_the_pitch_is_the_one_asked_for(self, model: Instruments, pitch: float) -> None:
        samples = model.play("reed", pitch, 1.0).samples
        found = measured_hz(samples[2400:21_600], SAMPLE_RATE, hertz(pitch))
        assert abs(1200 * math.log2(found / hertz(pitch))) < 10

    def test_sounds_have_their_length_and_neither_clip_nor_click(self, model: Instruments) -> None:
        for seconds in (0.1, 1.0, 3.0):
            sound = model.play("string", 57, seconds, 1.0)
            assert len(sound.samples) == pytest.approx((seconds + 0.3) * SAMPLE_RATE, abs=HOP)
            assert sound.samples.dtype == np.float32 and sound.sample_rate == SAMPLE_RATE
            assert 0.001 < np.abs(sound.samples).max() <= 0.95
            assert sound.samples[0] == sound.samples[-1] == 0
            assert np.abs(sound.samples[: int(0.002 * SAMPLE_RATE)]).max() < 0.3 * np.abs(sound.samples).max()
            assert rms(sound.samples[-1200:]) < 1e-3

    def test_the_seed_makes_the_noise(self, model: Instruments) -> None:
        a, b, c = (model.play("brass", 50, 0.4, seed=s) for s in (5, 5, 6))
        assert a.wav() == b.wav() != c.wav() and a.seed == 5
        assert len({model.play("brass", 50, 0.1, seed=None).seed for _ in range(3)}) == 3

    def test_loudness_and_attack_shape_the_level(self, model: Instruments) -> None:
        levels = [rms(model.play("reed", 60, 0.5, loudness).samples) for loudness in (0, 0.5, 1)]
        assert levels[0] * 2 < levels[1] < levels[2] / 2
        slow, fast = (model.play("reed", 60, 1.0, touch=Touch(attack=a)).samples[:4800] for a in (0.8, 0))
        assert rms(slow) < 0.5 * rms(fast)

    def test_vibrato_moves_the_pitch_by_so_many_cents(self, model: Instruments) -> None:
        found = track(model.play("reed", 69, 2.0, touch=Touch(vibrato=60)).samples, SAMPLE_RATE, HOP)
        cents = 1200 * np.log2(found.f0_hz[150:350] / 440)
        assert 45 < np.abs(cents).max() < 75 and abs(np.median(cents)) < 20

    def test_a_glide_begins_and_ends_at_its_instruments(self, model: Instruments) -> None:
        way = model.play("reed", 60, 1.0, glide_to="brass").samples
        reed, brass = (model.play(name, 60, 1.0).samples for name in ("reed", "brass"))

        def far(a: np.ndarray, b: np.ndarray, part: slice) -> float:
            return distances(a[part], b[part])[0]

        begin, end = slice(600, 3600), slice(19_000, 22_000)
        assert far(way, reed, begin) < far(way, brass, begin) and far(way, brass, end) < far(way, reed, end)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"pitch": 200}, "“pitch” must be a number from 24 to 100"), ({"pitch": "C4"}, "“pitch”"),
            ({"pitch": math.nan}, "“pitch”"), ({"seconds": 0}, "“seconds”"), ({"seconds": 1e9}, "“seconds”"),
            ({"loudness": -0.1}, "“loudness”"), ({"touch": Touch(vibrato=-1)}, "“vibrato”"),
            ({"touch": Touch(attack=9)}, "“attack”"), ({"instrument": "kazoo"}, "no instrument “kazoo”"),
            ({"instrument": {"reed": -1}}, "weights"), ({"instrument": {}}, "weights"), ({"instrument": {"reed": "x"}},
            "weights"), ({"instrument": (0.5, 2.0)}, "place"), ({"instrument": np.full(4, np.nan)}, "place"),
            ({"instrument": np.zeros(3)}, "place"), ({"instrument": None}, "place"), ({"seed": 1.5}, "seed"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, model: Instruments, change: dict[str, Any], words: str) -> None:
        arguments: dict[str, Any] = {"instrument": "reed", "pitch": 60, "seconds": 0.2} | change
        with pytest.raises(ValueError, match=words) as caught:
            model.play(**arguments)
        assert str(caught.value).endswith(".") and not model.lane.busy

    def test_it_stops_at_a_step_and_is_free_again(self, model: Instruments) -> None:
        seen = []

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append((i, n))
            raise Cancelled

        with pytest.raises(Cancelled):
            model.play("reed", 60, 5.0, on_step=on_step)
        assert len(seen) == 1 < seen[0][1] and not model.lane.busy


class TestTimbres:
    """The map, blends, inventions."""

    def test_a_name_a_place_and_a_weight_are_one_instrument(self, model: Instruments) -> None:
        assert model.names == ("reed", "string", "brass")
        for name in model.names:
            z = model.timbre(name)
            assert np.allclose(model.timbre(model.places[name]), z, atol=1e-5)
            assert np.allclose(model.timbre({name: 3.0}), z) and np.allclose(model.timbre(z), z)
        half = model.timbre({"reed": 1, "brass": 1})
        assert np.allclose(half, (model.timbre("reed") + model.timbre("brass")) / 2)
        assert all(0 <= v <= 1 for place in model.places.values() for v in place)

    def test_the_map_is_continuous(self, model: Instruments) -> None:
        a, b = model.timbre((0.4, 0.4)), model.timbre((0.4001, 0.4))
        assert 0 < np.abs(a - b).max() < 0.01

    def test_inventions_follow_their_seed_and_differ(self, model: Instruments) -> None:
        zs = [model.invent(s) for s in (1, 1, 2)]
        assert np.array_equal(zs[0], zs[1]) and not np.allclose(zs[0], zs[2])
        assert rms(model.play(zs[0], 60, 0.3).samples) > 1e-4

    def test_places_are_spread_over_the_map(self) -> None:
        made = places(torch.randn(15, 16, generator=torch.Generator().manual_seed(0)))
        assert made.shape == (15, 2)
        assert torch.allclose(made.amin(0), torch.tensor(0.05)) and torch.allclose(made.amax(0), torch.tensor(0.95))


class TestTunes:
    """Several notes."""

    def test_notes_sound_when_they_should(self, model: Instruments) -> None:
        tune = [TuneNote(60, 0.0, 0.3), TuneNote(64, 1.0, 0.3), TuneNote(67, 1.0, 0.5)]
        samples = model.perform(tune, "string").samples
        assert len(samples) == pytest.approx(1.9 * SAMPLE_RATE, abs=HOP)
        gap = samples[int(0.75 * SAMPLE_RATE) : int(0.98 * SAMPLE_RATE)]
        assert rms(samples[: SAMPLE_RATE // 4]) > 100 * rms(gap)
        assert rms(samples[SAMPLE_RATE : int(1.25 * SAMPLE_RATE)]) > 100 * rms(gap)
        assert np.abs(samples).max() <= 0.95

    def test_many_loud_notes_at_once_do_not_clip(self, model: Instruments) -> None:
        samples = model.perform([TuneNote(50 + i, 0, 0.2, 1.0) for i in range(40)], "brass").samples
        assert np.abs(samples).max() <= 0.9501

    @pytest.mark.parametrize(
        "tune",
        [[], [TuneNote(60, 0, 1)] * 2001, [TuneNote(10, 0, 1)], [TuneNote(60, -1, 1)], [TuneNote(60, 1e9, 1)],
         [TuneNote(60, math.nan, 1)]],
        ids=["none", "2001", "low", "before", "late", "nan"],
    )  # fmt: skip
    def test_impossible_tunes_are_refused(self, model: Instruments, tune: list[TuneNote]) -> None:
        with pytest.raises(ValueError):
            model.perform(tune, "reed")


class TestTransfer:
    """Recordings and curves as the performer."""

    def test_the_pitch_is_kept_moved_and_tuned(self, model: Instruments) -> None:
        recording = (44_100, tone(450, 1.0, 44_100))
        for transpose, autotune, wanted in ((0.0, 0.0, 450.0), (12.0, 0.0, 900.0), (0.0, 1.0, 440.0)):
            made = model.transfer(recording, "reed", transpose=transpose, autotune=autotune)
            samples = made.samples
            found = measured_hz(samples[4800:19_200], SAMPLE_RATE, wanted)
            assert abs(1200 * math.log2(found / wanted)) < 10

    def test_louder_parts_stay_louder(self, model: Instruments) -> None:
        sound = np.concatenate([0.05 * tone(300, 0.5, SAMPLE_RATE), tone(300, 0.5, SAMPLE_RATE)])
        made = model.transfer((SAMPLE_RATE, sound), "string").samples
        assert rms(made[14_400:21_600]) > 4 * rms(made[2400:9600])

    @pytest.mark.parametrize("kind", ["silence", "noise"])
    def test_what_has_no_pitch_gives_silence_and_a_hint(self, model: Instruments, kind: str) -> None:
        noise = 0.2 * np.random.default_rng(0).normal(size=SAMPLE_RATE) if kind == "noise" else np.zeros(SAMPLE_RATE)
        made = model.transfer((SAMPLE_RATE, noise), "reed", threshold=0.8)
        assert not made.samples.any() and "No pitch" in made.hint

    def test_drawn_curves_are_played(self, model: Instruments) -> None:
        n = 401
        drawn = Curves(np.linspace(300, 400, n), np.full(n, -15.0), np.ones(n))
        found = track(model.transfer(drawn, "reed").samples, SAMPLE_RATE, HOP)
        middle = slice(20, 380)
        assert np.abs(1200 * np.log2(found.f0_hz[middle] / drawn.f0_hz[middle])).max() < 30

    @pytest.mark.parametrize(
        "curves",
        [
            Curves(np.ones(5), np.ones(5), np.ones(5)), Curves(np.ones(50), np.ones(49), np.ones(50)),
            Curves(np.full(50, np.nan), np.ones(50), np.ones(50)), Curves(*[np.ones(20_000)] * 3),
            Curves(*[np.ones((20, 2))] * 3),
        ],
    )  # fmt: skip
    def test_impossible_curves_are_refused(self, model: Instruments, curves: Curves) -> None:
        with pytest.raises(ValueError, match="curves"):
            model.transfer(curves, "reed")

    @pytest.mark.parametrize("source", [b"", b"junk", (8000, np.zeros(8000 * 61)), (8000, np.full(8000, np.nan))])
    def test_bad_recordings_are_refused(self, model: Instruments, source: Any) -> None:
        with pytest.raises(ValueError, match=r"recording|sound file"):
            model.transfer(source, "reed")

    def test_listening_and_tuning(self) -> None:
        curves = listen(read_audio((SAMPLE_RATE, 0.01 * tone(330, 1.0, SAMPLE_RATE)), SAMPLE_RATE))
        assert len(curves.f0_hz) == len(curves.level) == len(curves.seconds) == 201
        assert np.percentile(curves.level, 95) == pytest.approx(-12, abs=0.5)
        doubtful = Curves(curves.f0_hz, curves.level, np.full(201, 0.3))
        assert (tuned(doubtful, 0, 0, 0.5, 0).level == FLOOR_DB).all()
        assert (tuned(doubtful, 0, 0, 0.2, 0).level[20:-20] > -20).all()

    def test_onsets_are_where_sound_begins_and_pitch_leaps(self) -> None:
        level = np.full(300, -15.0)
        level[:50] = level[140:160] = FLOOR_DB
        f0 = np.where(np.arange(300) < 220, 220.0, 330.0)
        since = since_onset(Curves(f0, level, np.ones(300)))
        begins = np.flatnonzero(np.diff(since) < 0) + 1
        assert begins.tolist() == [50, 160, 220] and since[59] == pytest.approx(9 * HOP / SAMPLE_RATE)


class TestNetworks:
    """The module behind the wrapper."""

    def test_silence_in_is_silence_out(self, model: Instruments) -> None:
        frames, z = torch.ones(1, 41), torch.zeros(1, 4)
        args = (440 * frames, FLOOR_DB * frames, 0 * frames, z, torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert not model.network(*args).any()
            assert model.network(args[0], -20 * frames, *args[2:]).abs().max() > 1e-3

    def test_losses_have_finite_gradients_everywhere_and_fall(self) -> None:
        torch.manual_seed(0)
        network = InstrumentModel(latent=4, width=32, encoder_width=16, dilations=(1,), partials=16, bands=9)
        network.player.requires_grad_(False)
        notes = Notes([note(55), note(62, 1), note(70, 2, held_out=True)])
        assert len(notes.held) == 1
        rng = torch.Generator().manual_seed(0)
        optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
        distances = []
        for step in range(12):
            with torch.autocast("cpu", torch.bfloat16):
                terms = instrument_losses(network, notes.batch(2, 81, rng), rng)
            optimiser.zero_grad()
            terms["loss"].backward()
            if step == 0:
                learnt = {n: p.grad for n, p in network.named_parameters() if p.requires_grad}
                missing = {n for n, grad in learnt.items() if grad is None or not grad.isfinite().all()}
                assert missing == set()
            optimiser.step()
            distances.append(terms["distance"].item())
        assert np.mean(distances[-3:]) < 0.9 * np.mean(distances[:3])

    def test_a_note_goes_through_and_keeps_length_and_pitch(self, model: Instruments) -> None:
        real = note(64)
        with torch.inference_mode():
            made = resynthesise(model.network, real)
        assert len(made) == len(real.samples) // HOP * HOP
        assert measured_hz(made, SAMPLE_RATE, hertz(64)) == pytest.approx(hertz(64), rel=5e-3)
        assert model.network.encode(MEL(torch.zeros(2, 2400)))[0].shape == (2, 4)


class TestData:
    """Analysis of notes."""

    def test_batches_have_their_shapes(self) -> None:
        batch = Notes([note(55), note(62, 1)]).batch(3, 41, torch.Generator().manual_seed(0))
        assert batch["samples"].shape == batch["heard"].shape == (3, 40 * HOP)
        assert all(batch[k].shape == (3, 41) for k in ("f0_hz", "level", "onset", "left"))
        assert (batch["onset"].diff(dim=1) >= 0).all() and (batch["left"].diff(dim=1) <= 0).all()

    def test_analysis_follows_the_note(self) -> None:
        samples = np.concatenate([np.zeros(2400, np.float32), tone(196, 0.6, SAMPLE_RATE)])
        f0, level, onset = analyse(samples, 195.0)
        assert f0.shape == level.shape == (len(samples) // HOP + 1,)
        assert np.abs(1200 * np.log2(f0[30:-10] / 196)).max() < 5
        assert onset == pytest.approx(0.1, abs=0.03)

    @pytest.mark.parametrize("wanted", [0.0, 2e-4, 1e-3])
    def test_the_stiffness_of_a_string_is_found(self, wanted: float) -> None:
        amplitude = torch.exp(-torch.arange(20.0) / 8).expand(1, 201, 20) * 0.1
        x = harmonics(torch.full((1, 201), 220.0), amplitude, SAMPLE_RATE, HOP, torch.tensor([wanted]))[0]
        assert stiffness(x.numpy(), 220.0) == pytest.approx(wanted, rel=0.15)


class TestMeasures:
    """The evaluation's parts."""

    def test_distances_ignore_gain_and_grow_with_pitch(self) -> None:
        real = note(60).samples
        assert distances(0.2 * real, real) == pytest.approx((0, 0), abs=0.02)
        near, far = (distances(note(p).samples, real) for p in (60, 67))
        assert near[0] < far[0] and near[1] < far[1]

    def test_the_neighbour_has_the_pitch_asked_for(self) -> None:
        train = [note(50), note(58), note(61, 1)]
        made = neighbour(note(60), train)
        assert measured_hz(made[2400:12_000], SAMPLE_RATE, hertz(60)) == pytest.approx(hertz(60), rel=2e-3)

    def test_figures_are_sane(self, model: Instruments) -> None:
        notes = [note(52 + i, i) for i in range(3)]
        found = pitch_errors(model, notes, pitches=1)
        assert found["median_cents"] < 20 and 0 <= found["within_10_cents"] <= 1 and found["frames"] > 200
        assert tracker_errors(notes)["notes_right"] == 1
        assert speed(model)["real_time_factor"] > 0


class TestLoading:
    """Checkpoints."""

    @pytest.mark.parametrize("checkpoint", ["nothing", "/no/such/folder"])
    def test_a_missing_checkpoint_is_a_sentence(self, checkpoint: str) -> None:
        with pytest.raises(ValueError, match="no checkpoint"):
            Instruments.load(checkpoint, "cpu")

    def test_another_model_is_refused(self, checkpoints: Path) -> None:
        with pytest.raises(ValueError, match=r"lacks|holds"):
            Instruments.load(checkpoints / "music", "cpu")

    def test_weights_are_frozen_and_the_shipped_size_is_small(self, model: Instruments) -> None:
        assert not model.network.training and not any(p.requires_grad for p in model.network.parameters())
        whole = InstrumentModel()
        assert sum(p.numel() for p in whole.parameters()) < 5e6 and len(whole.places) == len(INSTRUMENTS) == 15


class TestPlayer:
    """How a note that nobody has played is loud over time."""

    def test_learns_the_level_of_a_note_that_dies_away(self) -> None:
        torch.manual_seed(0)
        network = InstrumentModel(latent=4, width=16, encoder_width=16, dilations=(1,), partials=4, bands=5)
        rng, frames = torch.Generator().manual_seed(0), 81
        onset = (torch.arange(frames) * 0.01).expand(16, -1)
        facts = {
            "level": -8 - 25 * onset, "peak": torch.full((16,), -8.0), "pitch_hz": torch.full((16,), 220.0),
            "instrument": torch.zeros(16, dtype=torch.long), "onset": onset, "left": torch.full((16, frames), 2.0),
        }  # fmt: skip
        optimiser = torch.optim.AdamW(network.player.parameters(), 3e-3)
        for _ in range(120):
            optimiser.zero_grad()
            player_loss(network, facts, rng).backward()
            optimiser.step()
        z = network.centres.detach()[:1].expand(4, -1)
        with torch.inference_mode():
            noise = torch.randn(4, frames, generator=rng)
            made = network.player.curves(z, facts["pitch_hz"][:4], onset[:4], facts["left"][:4], noise)
        fall = made[:, :10].mean() - made[:, -10:].mean()
        assert fall == pytest.approx(25 * 0.71, abs=5) and made[:, :10].mean() == pytest.approx(-1, abs=3)
        assert made.std(0).mean() > 0

    def test_another_seed_is_another_take(self, model: Instruments) -> None:
        z = torch.from_numpy(model.timbre(model.names[0])).float()[None]
        first, same, other = (model._notes([TuneNote(60, 0, 0.5)], z, seed)[0].level for seed in (0, 0, 1))
        assert (first == same).all() and (first != other).any()
        assert (first[round(0.5 * SAMPLE_RATE / HOP) :] == FLOOR_DB).all() and first.max() > FLOOR_DB

    def test_a_frame_depends_on_its_neighbours_only(self, model: Instruments) -> None:
        frames, more = 60, 400
        f0, level = torch.full((1, more), 220.0), torch.full((1, more), -20.0)
        level[:, frames + 100 :] = FLOOR_DB
        onset = torch.arange(more)[None] * HOP / SAMPLE_RATE
        z = torch.zeros(1, model.network.config["latent"])
        with torch.inference_mode():
            whole, part = (model.network.controls(f0[:, :n], level[:, :n], onset[:, :n], z)[0] for n in (more, 160))
        assert torch.allclose(whole[:, :frames], part[:, :frames], atol=1e-6)


def test_the_judge_hears_a_note_from_its_attack_on() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = (0.8 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    late = np.concatenate([1e-3 * sound[:7200], sound])
    whole = excerpt(sound, 440)
    assert torch.allclose(excerpt(late, 440), whole, atol=1e-3) and len(whole) == (EXCERPT - 1) * HOP
    short, later = excerpt(sound[:2400], 440), excerpt(sound, 440, 0.1)
    assert short[3600:].abs().max() < 1e-2 < short[:2400].abs().max()
    assert torch.allclose(later[1200:2400], whole[3600:4800], atol=1e-2)
    assert heard(sound, 440).shape == (1, MEL.mels, EXCERPT // 2 + 1)
    assert torch.equal(heard(sound, 440), heard(sound, 440))


def test_the_judge_hears_nothing_below_the_pitch() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound, rumble = (0.4 * np.sin(2 * np.pi * f * time) for f in (440, 40))
    assert torch.allclose(excerpt(sound + rumble, 440)[1200:-1200], excerpt(sound, 440)[1200:-1200], atol=2e-2)
    assert excerpt(rumble, 440)[1200:-1200].abs().max() < 2e-2 < excerpt(rumble, 40).abs().max()


def test_an_onset_is_the_rise_before_the_attack() -> None:
    level = np.full(200, -60.0)
    level[20:80], level[80:84], level[84:150] = -28, [-20, -14, -10, -4], -3
    assert onset_of(level) == pytest.approx(81 * HOP / SAMPLE_RATE, abs=2 * HOP / SAMPLE_RATE)
    assert end_of(level) == pytest.approx(150 * HOP / SAMPLE_RATE)
    assert onset_of(np.full(50, -10.0)) == 0
