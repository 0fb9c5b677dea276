"""Spectra, pitch and the synthesiser, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from demos.audio.pitch import track
from demos.audio.spectra import (
    Mel,
    istft,
    level_db,
    log_spectral_distance,
    magnitudes,
    mel_filters,
    spectral_distance,
    stft,
)
from demos.audio.synthesiser import echoes, filtered_noise, harmonic_parts, harmonics, partials, reverberate
from tests.audio.conftest import tone

RATE, HOP = 24_000, 120


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestSpectra:
    """Transforms and distances."""

    @pytest.mark.parametrize(("n_fft", "hop"), [(256, 64), (480, 120), (1024, 240)])
    def test_round_trip(self, n_fft: int, hop: int) -> None:
        x = noise(2, 40 * hop)
        spectrum = stft(x, n_fft, hop)
        assert spectrum.shape == (2, n_fft // 2 + 1, 41)
        assert torch.allclose(istft(spectrum, n_fft, hop, 40 * hop), x, atol=1e-5)

    @pytest.mark.parametrize(
        ("n_fft", "hop", "length"), [(64, 16, 400), (1024, 240, 1999), (256, 64, 130), (128, 128, 700)]
    )
    def test_magnitudes_and_their_gradient_are_those_of_pytorch(self, n_fft: int, hop: int, length: int) -> None:
        ours, theirs = noise(2, length).requires_grad_(), noise(2, length).requires_grad_()
        made, real = magnitudes(ours, n_fft, hop), stft(theirs, n_fft, hop).abs().transpose(1, 2)
        assert torch.equal(made, real)
        weight = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
        for spectrum in (made, real):
            (spectrum * weight).sum().backward()
        assert ours.grad is not None and theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4)

    def test_silence_has_no_gradient(self) -> None:
        silent = torch.zeros(1, 480, requires_grad=True)
        magnitudes(silent, 128, 32).sum().backward()
        assert silent.grad is not None and not silent.grad.any()

    def test_autocast_does_not_coarsen_them(self) -> None:
        x = noise(1, 4800)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(stft(x, 480, 120), stft(x.float(), 480, 120)) and level_db(x, 120).dtype == torch.float32

    def test_filters_cover_all_frequencies_and_find_a_tone(self) -> None:
        filters = mel_filters(RATE, 1024, 80, 20.0, RATE / 2)
        assert filters.shape == (80, 513) and filters.max() <= 1 and (filters.sum(1) > 0).all()
        assert (filters.sum(0)[2:-12] > 0.3).all()
        mel = Mel(RATE, 1024, 240, 80)
        peaks = [int(mel(torch.from_numpy(tone(f, 0.5, RATE, 1))[None])[0, :, 25].argmax()) for f in (200, 800, 3200)]
        assert peaks == sorted(peaks) and peaks[0] < peaks[1] < peaks[2]
        assert mel(torch.zeros(1, 2400)).max() == pytest.approx(math.log(1e-5))

    def test_the_level_of_a_sine_is_known(self) -> None:
        x = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE)[None]
        level = level_db(x, HOP)
        assert level.shape == (1, RATE // HOP + 1)
        assert torch.allclose(level[:, 10:-10], torch.tensor(20 * math.log10(0.5 / math.sqrt(2))), atol=0.1)
        assert (level_db(torch.zeros(1, 2400), HOP) == -80).all()

    def test_distances_are_zero_for_equals_and_grow(self) -> None:
        x = torch.from_numpy(tone(440, 0.5, RATE))[None]
        for distance in (spectral_distance, log_spectral_distance):
            values = [distance(x + a * noise(1, x.shape[1]), x).item() for a in (0.0, 0.001, 0.01, 0.1)]
            assert values[0] == pytest.approx(0, abs=1e-5) and values == sorted(values) and values[3] > values[1]
        loud = noise(1, 9600)
        assert log_spectral_distance(2 * loud, loud).item() == pytest.approx(20 * math.log10(2), abs=0.01)
        assert spectral_distance(torch.cat([x, x]), torch.cat([x, 0 * x])).shape == (2,)

    def test_the_distance_has_finite_gradients_at_silence(self) -> None:
        x = torch.zeros(1, 4800, requires_grad=True)
        spectral_distance(x, noise(1, 4800)).sum().backward()
        assert x.grad is not None and torch.isfinite(x.grad).all()


class TestPitch:
    """The tracker."""

    @pytest.mark.parametrize("f0", [30.5, 41.2, 65.4, 110.0, 443.3, 1000.0, 2093.0, 3951.0])
    def test_tones_are_found_within_ten_cents(self, f0: float) -> None:
        found = track(tone(f0, 0.7, RATE), RATE, HOP)
        assert found.f0_hz.shape == (int(0.7 * RATE) // HOP + 1,)
        middle = slice(12, -12)
        assert found.voiced[middle].all()
        assert np.abs(1200 * np.log2(found.f0_hz[middle] / f0)).max() < 10

    def test_a_missing_fundamental_and_a_glide_are_followed(self) -> None:
        t = np.arange(RATE) / RATE
        f0 = 200 * 2**t
        phase = 2 * np.pi * np.cumsum(f0) / RATE
        x = sum(np.sin(k * phase) / k for k in (2, 3, 4, 5))
        found = track(0.2 * np.asarray(x), RATE, HOP)
        error = 1200 * np.log2(found.f0_hz / f0[np.minimum(np.arange(len(found.f0_hz)) * HOP, RATE - 1)])
        assert np.percentile(np.abs(error[12:-12]), 95) < 40

    def test_noise_and_silence_are_unvoiced(self) -> None:
        assert track(noise(RATE).numpy(), RATE, HOP).voiced.mean() < 0.05
        silent = track(np.zeros(RATE), RATE, HOP)
        assert not silent.voiced.any() and (silent.f0_hz == 0).all()

    def test_gaps_are_bridged_but_not_voiced(self) -> None:
        x = np.concatenate([tone(220, 0.4, RATE), np.zeros(RATE // 4, np.float32), tone(220, 0.4, RATE)])
        found = track(x, RATE, HOP)
        gap = slice(100, 120)
        assert not found.voiced[gap].any() and np.abs(1200 * np.log2(found.f0_hz[gap] / 220)).max() < 50

    @pytest.mark.parametrize(("low", "high"), [(0, 100), (200, 100), (50, 9_000)])
    def test_a_range_must_make_sense(self, low: float, high: float) -> None:
        with pytest.raises(ValueError, match="range of pitch"):
            track(np.zeros(2400), RATE, HOP, low, high)


class TestSynthesiser:
    """Harmonics, noise, room."""

    def test_partials_are_the_closed_form(self) -> None:
        amplitude = torch.zeros(1, 201, 5)
        amplitude[..., 0], amplitude[..., 2] = 0.5, 0.25
        f0 = torch.full((1, 201), 441.75)
        x = harmonics(f0, amplitude, RATE, HOP)
        n = torch.arange(200 * HOP, dtype=torch.float64) / RATE
        wanted = 0.5 * torch.sin(2 * math.pi * 441.75 * n) + 0.25 * torch.sin(2 * math.pi * 3 * 441.75 * n)
        assert x.shape == (1, 200 * HOP)
        assert (x[0] - wanted).abs().max() < 1e-5

    def test_a_glide_is_the_closed_form(self) -> None:
        f0 = torch.linspace(300, 600, 101)[None]
        x = harmonics(f0, torch.ones(1, 101, 1), RATE, HOP)
        t = torch.arange(100 * HOP, dtype=torch.float64) / RATE
        seconds = 100 * HOP / RATE
        assert (x[0] - torch.sin(2 * math.pi * (300 * t + 150 * t.square() / seconds))).abs().max() < 1e-4

    def test_stiff_strings_are_sharp(self) -> None:
        assert torch.allclose(partials(3, torch.zeros(1)), torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64))
        ratio = partials(10, torch.tensor([1e-3]))[0]
        assert ratio[9].item() == pytest.approx(10 * math.sqrt(1.1))
        amplitude = torch.zeros(1, 101, 10)
        amplitude[..., 9] = 0.5
        x = harmonics(torch.full((1, 101), 220.0), amplitude, RATE, HOP, torch.tensor([1e-3]))
        peak = torch.fft.rfft(x[0] * torch.hann_window(12_000)).abs().argmax().item() * RATE / 12_000
        assert peak == pytest.approx(220 * ratio[9].item(), abs=3)

    def test_nothing_folds_back(self) -> None:
        x = harmonics(torch.full((1, 101), 5000.0), torch.ones(1, 101, 100), RATE, HOP)
        power = torch.fft.rfft(x[0] * torch.hann_window(12_000)).abs().square()
        at = power.reshape(-1)[[2500, 5000]].sum() + power[2490:2511].sum() + power[4990:5011].sum()
        assert power.sum() - at < 1e-3 * power.sum()
        assert not harmonics(torch.full((1, 11), 12_000.0), torch.ones(1, 11, 3), RATE, HOP).any()

    def test_jumping_amplitudes_do_not_click(self) -> None:
        amplitude = torch.zeros(1, 101, 1)
        amplitude[:, 50:] = 1
        x = harmonics(torch.full((1, 101), 200.0), amplitude, RATE, HOP)[0]
        assert not x[: 49 * HOP].any()
        assert x.diff().abs().max() < 2 * math.pi * 200 / RATE + 1 / HOP

    def test_blocks_join_without_a_seam(self) -> None:
        f0 = 220 + 5 * torch.sin(torch.arange(161) / 9)[None]
        parts = list(harmonic_parts(f0, torch.ones(1, 161, 3) / 3, RATE, HOP))
        x = torch.cat(parts, 1)
        assert x.diff().abs().max() < 2 * math.pi * 230 * 2 / RATE
        assert len(parts) > 2 and x.shape == (1, 160 * HOP)

    def test_amplitudes_have_exact_gradients(self) -> None:
        amplitude = noise(1, 6, 4).double().abs().float().requires_grad_()
        f0 = torch.full((1, 6), 500.0)
        harmonics(f0, amplitude, RATE, 16)[0, 37].backward()
        assert amplitude.grad is not None
        wanted = torch.zeros(6, 4)
        for k in range(4):
            wave = math.sin(2 * math.pi * 500 * (k + 1) * 37 / RATE)
            wanted[2, k], wanted[3, k] = wave * (1 - 5 / 16), wave * 5 / 16
        assert torch.allclose(amplitude.grad[0], wanted, atol=1e-5)

    def test_noise_has_its_spectrum_and_its_seed(self) -> None:
        magnitude = torch.zeros(1, 401, 65)
        magnitude[..., 32:] = 1
        made = [filtered_noise(magnitude, HOP, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
        assert made[0].shape == (1, 400 * HOP)
        assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
        power = torch.fft.rfft(made[0][0]).abs().square()
        assert power[:11_000].sum() < 0.02 * power.sum()
        assert made[0].std().item() == pytest.approx(math.sqrt(0.5), abs=0.05)

    def test_silence_has_no_energy(self) -> None:
        assert not filtered_noise(torch.zeros(1, 11, 5), HOP, torch.Generator()).any()
        assert not harmonics(torch.full((1, 11), 440.0), torch.zeros(1, 11, 5), RATE, HOP).any()

    def test_a_room_adds_its_impulse_response(self) -> None:
        click, impulse = torch.zeros(1, 100), noise(1, 20)
        click[0, 10] = 1
        wanted = torch.zeros(1, 100)
        wanted[0, 10] = 1
        wanted[0, 10:30] += impulse[0]
        assert torch.allclose(reverberate(click, impulse), wanted, atol=1e-5)
        assert torch.equal(reverberate(click, torch.zeros(1, 20)), click)

    @pytest.mark.parametrize("sizes", [(100,), (50, 50), (3, 7, 60, 30), (1,) * 100])
    def test_an_echo_rings_on_from_part_to_part(self, sizes: tuple[int, ...]) -> None:
        dry, impulse = noise(2, 100), noise(2, 20, seed=1)
        made = torch.cat(list(echoes(dry.split(sizes, 1), impulse)), 1)
        assert torch.allclose(made, reverberate(dry, impulse), atol=1e-5)
