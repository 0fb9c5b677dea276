"""The Audio tab's page, its sections Instruments and Timbre transfer, and their endpoints, with tiny networks."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demos.audio import tab
from demos.audio.files import Sound
from demos.audio.instruments.curves import Curves
from demos.audio.instruments.model import Instruments
from demos.audio.pitch import track
from demos.audio.tab import instruments as section
from demos.audio.tab import sound, surfaces, transfer
from demos.ui.events import JOBS
from tests.audio.conftest import measured_hz, tone

Write = Callable[[str, bytes], Path]
RATE = 24_000
MIDDLE = json.dumps({"at": [0.4, 0.6], "to": None, "invented": None})
TOUCH = (json.dumps({"pitch": 60}), 0.7, 0.4, 0, 0)
SETTINGS = (MIDDLE, "reed", 0, 0, 0.5, 0, 3, True)


pytestmark = pytest.mark.usefixtures("tiny")
TAB = tab


@pytest.fixture
def model() -> Instruments:
    return sound.instruments()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files are served from a folder: handlers are called without a page around them."""

    def served(data: bytes, name: str) -> gr.FileData:
        (tmp_path / name).write_bytes(data)
        return gr.FileData(path=str(tmp_path / name), url=f"/file={tmp_path / name}")

    monkeypatch.setattr(sound, "served", served)
    monkeypatch.setattr(transfer, "served", served)


def visitor(name: str = "visitor") -> Any:
    return SimpleNamespace(session_hash=name)


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    soundfile.write(target := io.BytesIO(), samples, rate, subtype=subtype, format=kind)
    return target.getvalue()


def heard(file: str) -> np.ndarray:
    samples, rate = soundfile.read(file, dtype="float32")
    assert rate == RATE and samples.ndim == 1 and np.abs(samples).max(initial=0) <= 0.95
    return samples


def shown(player: str) -> np.ndarray:
    found = re.search(r'data-src="/file=([^"]+)"', player)
    assert found
    return heard(found[1])


def hertz(pitch: float) -> float:
    return 440 * 2 ** ((pitch - 69) / 12)


class TestEndpoints:
    """What a program calls."""

    @pytest.mark.parametrize("pitch", [31, 45, 60, 69.5, 88])
    def test_a_note_has_its_pitch(self, client: Client, pitch: float) -> None:
        samples = heard(client.predict("string", pitch, 0.8, api_name="/play_note"))
        assert len(samples) == pytest.approx(1.1 * RATE, abs=240)
        found = measured_hz(samples[2400:16_800], RATE, hertz(pitch))
        assert abs(1200 * math.log2(found / hertz(pitch))) < 10

    def test_the_seed_makes_the_file(self, client: Client) -> None:
        a, b, c = (
            Path(client.predict("reed", 60, 0.3, 0.7, seed, api_name="/play_note")).read_bytes() for seed in (4, 4, 5)
        )
        assert a == b != c

    def test_names_weights_and_places_are_instruments(self, client: Client, model: Instruments) -> None:
        names = client.predict(api_name="/instruments")
        assert names == ["reed", "string", "brass"]
        given = ["reed", {"reed": 2.0}, list(model.places["reed"]), {"reed": 1, "brass": 1}]
        first, same, place, other = (heard(client.predict(i, 60, 0.3, api_name="/play_note")) for i in given)
        assert np.array_equal(first, same) and np.abs(first - place).max() < 1e-2
        assert not np.allclose(first, other, atol=1e-3)

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (("kazoo", 60), "no instrument"), (("reed", 200), "“pitch”"), (("reed", "C4"), "“pitch”"),
            (("reed", 60, 1e9), "“seconds”"), (("reed", 60, 0), "“seconds”"), (("reed", 60, 1, 2), "“loudness”"),
            (("reed", 60, 1, 0.5, "x"), "seed"), (([2, 3], 60), "place"), (([0.1], 60), "place"),
            (({"reed": -1}, 60), "weights"), ((None, 60), "place"), (({"reed": "much"}, 60), "weights"),
        ],
    )  # fmt: skip
    def test_bad_notes_get_a_sentence(self, client: Client, call: tuple[Any, ...], words: str) -> None:
        with pytest.raises(AppError, match=words):
            client.predict(*call, api_name="/play_note")

    @pytest.mark.parametrize(
        ("samples", "rate", "subtype", "kind"),
        [
            (tone(330, 1.0, 44_100), 44_100, "PCM_16", "WAV"),
            (np.stack([tone(330, 1.0, 48_000), 0.5 * tone(330, 1.0, 48_000)], 1), 48_000, "PCM_24", "FLAC"),
            (tone(330, 1.0, 8_000), 8_000, "PCM_U8", "WAV"),
            (tone(330, 1.0, 192_000), 192_000, "FLOAT", "WAV"),
            (tone(330, 1.0, 32_000), 32_000, "VORBIS", "OGG"),
            (tone(330, 1.0, 44_100), 44_100, "MPEG_LAYER_III", "MP3"),
        ],
        ids=["mono", "stereo", "8 bit", "192 kHz", "ogg", "mp3"],
    )
    def test_any_recording_is_played(
        self, client: Client, write: Write, samples: np.ndarray, rate: int, subtype: str, kind: str
    ) -> None:
        file = handle_file(write(f"a.{kind.lower()}", wav(samples, rate, subtype, kind)))
        made = heard(client.predict(file, "reed", -5, 1, api_name="/transfer_timbre"))
        wanted = 330 * 2 ** (-5 / 12)
        assert abs(1200 * math.log2(measured_hz(made[4800:19_200], RATE, wanted) / wanted)) < 20

    def test_silence_stays_silent_and_noise_is_no_error(self, client: Client, write: Write) -> None:
        silent = handle_file(write("a.wav", wav(np.zeros(RATE))))
        made = heard(client.predict(silent, "reed", api_name="/transfer_timbre"))
        assert len(made) == RATE and not made.any()
        noise = handle_file(write("b.wav", wav(0.2 * np.random.default_rng(0).normal(size=RATE))))
        assert len(heard(client.predict(noise, "reed", api_name="/transfer_timbre"))) == RATE

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "empty"), (wav(np.zeros(240)), "too short"), (wav(np.zeros(0)), "empty"),
            (wav(np.zeros(61 * 8000), 8000), "at most 60"), (wav(np.full(RATE, np.nan), RATE, "FLOAT"), "not numbers"),
            (b"ID3\x04" + bytes(range(256)) * 8, "damaged"), (b"RIFF\xff\xff\xff\xffWAVEfmt ", "damaged"),
        ],
        ids=["empty", "0.01 s", "no samples", "61 s", "NaN", "corrupt MP3", "cut WAV"],
    )  # fmt: skip
    def test_bad_recordings_get_a_sentence(self, client: Client, write: Write, content: bytes, words: str) -> None:
        with pytest.raises(AppError, match=words):
            client.predict(handle_file(write("a.wav", content)), "reed", api_name="/transfer_timbre")

    @pytest.mark.parametrize("audio", ["/etc/passwd", "", None, 7, {"path": "/etc/hostname"}])
    def test_only_uploads_are_read(self, client: Client, audio: Any) -> None:
        with pytest.raises(AppError, match="upload"):
            client.predict(audio, "reed", api_name="/transfer_timbre")


@pytest.mark.usefixtures("nowhere")
class TestInstruments:
    """What the section's gestures do."""

    def test_the_tab_opens_with_names_and_a_quiet_example(self, model: Instruments) -> None:
        place, player = section.opened(visitor(), "{}", *TOUCH)
        state = json.loads(place)
        assert list(state["places"]) == list(model.names) and state["at"] == state["places"]["reed"]
        assert "data-autoplay" not in player and "Reed, C4" in player and shown(player).any()

    def test_a_place_sounds_at_once_and_says_its_seed(self, model: Instruments) -> None:
        player, seed = section.play(visitor(), MIDDLE, *TOUCH, 9, True)
        assert seed == 9 and "data-autoplay" in player and "seed 9" in player
        assert np.allclose(shown(player), model.play((0.4, 0.6), 60, 0.4, seed=9).samples, atol=1e-4)
        assert len({section.play(visitor(), MIDDLE, *TOUCH, 9, False)[1] for _ in range(3)}) == 3

    def test_the_same_note_again_is_another_take(self) -> None:
        first, second = (section.play(visitor(), MIDDLE, *TOUCH, 9, True)[0] for _ in range(2))
        assert first != second

    def test_a_ring_is_where_the_note_glides(self, model: Instruments) -> None:
        places = model.places
        state = json.dumps({"at": places["reed"], "to": places["brass"]})
        player, _ = section.play(visitor(), state, *TOUCH, 1, True)
        wanted = model.play("reed", 60, 0.4, glide_to="brass", seed=1).samples
        assert "Reed to brass, C4" in player and np.allclose(shown(player), wanted, atol=2e-3)

    def test_an_invention_belongs_to_its_seed(self, model: Instruments) -> None:
        place, player, seed = section.invented(visitor(), MIDDLE, *TOUCH, 11, True)
        assert seed == 11 and json.loads(place)["invented"] == 11 and "Invented 11, C4" in player
        assert np.allclose(shown(player), model.play(model.invent(11), 60, 0.4, seed=11).samples, atol=1e-4)
        again, _ = section.play(visitor(), place, *TOUCH, 11, True)
        assert np.array_equal(shown(again), shown(player))
        assert section.invented(visitor(), MIDDLE, *TOUCH, 11, False)[2] != 11

    def test_titles_name_what_is_heard(self, model: Instruments) -> None:
        reed, brass = (np.array(model.places[name]) for name in ("reed", "brass"))
        assert section.timbre_of({"at": reed.tolist()})[1] == "Reed"
        assert set(section.timbre_of({"at": ((reed + brass) / 2).tolist()})[1].lower().split(" and ")) >= {"brass"}
        assert [section.note_name(p) for p in (24, 60, 61, 69)] == ["C1", "C4", "C♯4", "A4"]

    @pytest.mark.parametrize(
        ("place", "keys", "words"),
        [
            ("[]", "{}", "cannot be read"), ("{", "{}", "cannot be read"), ("{}", "{}", "place on the map"),
            (MIDDLE, "3", "cannot be read"), (MIDDLE, '{"pitch": 500}', "“pitch”"),
            (MIDDLE, '{"pitch": "x"}', "“pitch”"), ('{"at": [9, 9]}', "{}", "place"),
            ('{"at": ["a", 1]}', "{}", "place"), ('{"invented": "x"}', "{}", "seed"),
            ('{"at": [0.5, 0.5], "to": 3}', "{}", "place"), ("[" * 5000, "{}", "cannot be read"),
        ],
    )  # fmt: skip
    def test_what_no_map_sends_gets_a_sentence(self, place: str, keys: str, words: str) -> None:
        with pytest.raises(gr.Error, match=words):
            section.play(visitor(), place, keys, *TOUCH[1:], 0, True)


@pytest.mark.usefixtures("nowhere")
class TestTransfer:
    """What the section makes of recordings and of drawn curves."""

    def last(self, events: Iterator[tuple[Any, ...]]) -> tuple[Any, ...]:
        *_, end = events
        return end

    def test_a_recording_is_shown_and_played(self, write: Write) -> None:
        file = write("a.wav", wav(tone(220, 1.0, RATE)))
        events = list(transfer.hear(visitor(), str(file), *SETTINGS))
        paper = json.loads(next(e[0] for e in events if isinstance(e[0], str)))
        assert len(paper["pitch"]) == 101 and np.median(paper["pitch"]) == pytest.approx(57, abs=0.05)
        player = events[-1][2]
        assert "Played by reed" in player and events[-1][3] == 3
        assert measured_hz(shown(player)[4800:19_200], RATE, 220) == pytest.approx(220, rel=5e-3)
        assert "Listening" in events[0][1] and 'role="progressbar"' not in events[-1][1]

    def test_silence_shows_the_hint(self, write: Write) -> None:
        file = write("a.wav", wav(np.zeros(RATE)))
        player = self.last(transfer.hear(visitor(), str(file), *SETTINGS))[2]
        assert "No pitch was found" in player and not shown(player).any()

    def test_a_bad_recording_clears_the_bar_and_says_why(self, write: Write) -> None:
        events, seen = transfer.hear(visitor(), str(write("a.wav", b"junk")), *SETTINGS), []
        with pytest.raises(gr.Error, match="not a sound file"):
            for event in events:
                seen.append(event[1])
        assert 'role="progressbar"' not in seen[-1] and not len(JOBS)
        assert list(transfer.hear(visitor(), None, *SETTINGS)) == [(gr.skip(),) * 4]

    def test_redrawn_curves_are_what_is_played(self, model: Instruments) -> None:
        paper = json.loads(transfer.sheet(Curves(np.full(201, 220.0), np.full(201, -15.0), np.ones(201))))
        paper["pitch"] = [64.0] * len(paper["pitch"])
        paper["level"][50:] = [-80] * (len(paper["level"]) - 50)
        player = self.last(transfer.synthesise(visitor(), json.dumps(paper), *SETTINGS))[1]
        samples = shown(player)
        assert measured_hz(samples[2400:10_800], RATE, hertz(64)) == pytest.approx(hertz(64), rel=5e-3)
        assert np.abs(samples[16_800:]).max() < 0.02 * np.abs(samples).max()

    def test_the_map_may_choose_the_instrument(self, model: Instruments) -> None:
        paper = transfer.sheet(Curves(np.full(101, 220.0), np.full(101, -15.0), np.ones(101)))
        settings = (MIDDLE, transfer.FROM_MAP, 0, 0, 0.5, 0, 3, True)
        player = self.last(transfer.synthesise(visitor(), paper, *settings))[1]
        wanted = model.transfer(transfer.curves_of(paper), (0.4, 0.6), seed=3).samples
        assert np.allclose(shown(player), wanted, atol=1e-4)

    def test_the_section_opens_with_the_drawn_line(self) -> None:
        paper, player = transfer.opened(visitor(), "{}", *SETTINGS)
        assert len(json.loads(paper)["pitch"]) == 401 and "data-autoplay" not in player and shown(player).any()
        events = list(transfer.line(visitor(), *SETTINGS))
        assert events[0][:2] == (None, paper) and "data-autoplay" in events[-1][3]

    def test_curves_go_over_the_paper_and_back(self) -> None:
        t = np.linspace(0, 2, 401)
        given = Curves(220 * 2 ** (np.sin(3 * t)), -20 - 10 * t, np.clip(t, 0, 1))
        back = transfer.curves_of(transfer.sheet(given))
        assert len(back.f0_hz) == 401
        assert np.abs(1200 * np.log2(back.f0_hz / given.f0_hz)).max() < 2
        assert np.abs(back.level - given.level).max() < 0.2 and np.abs(back.confidence - given.confidence).max() < 0.02

    @pytest.mark.parametrize(
        "paper",
        [
            "", "{}", "[1]", "{", '{"pitch": 3}', '{"pitch": [60], "level": [1], "sure": [1]}',
            json.dumps({"pitch": [60] * 50, "level": [0] * 50}),
            json.dumps({"pitch": [60] * 50, "level": [0] * 49, "sure": [100] * 50}),
            json.dumps({"pitch": ["a"] * 50, "level": [0] * 50, "sure": [100] * 50}),
            json.dumps({"pitch": [math.nan] * 50, "level": [0] * 50, "sure": [100] * 50}),
            json.dumps({k: [1] * 6002 for k in ("pitch", "level", "sure")}),
            json.dumps({k: [[1]] * 60 for k in ("pitch", "level", "sure")}),
        ],
    )  # fmt: skip
    def test_what_no_paper_holds_gets_a_sentence(self, paper: str) -> None:
        with pytest.raises(gr.Error) as caught:
            list(transfer.synthesise(visitor(), paper, *SETTINGS))
        assert "went wrong" not in str(caught.value)

    def test_stop_ends_a_synthesis_without_a_sound(self) -> None:
        n = 6001
        paper = json.dumps({"pitch": [57] * n, "level": [-15] * n, "sure": [100] * n})
        events = transfer.synthesise(visitor("a"), paper, *SETTINGS)
        first = next(events)
        assert 'role="progressbar"' in first[0] and JOBS.stop(visitor("b")) == 0 and JOBS.stop(visitor("a")) == 1
        rest = list(events)
        assert all(isinstance(event[1], dict) for event in rest) and 'role="progressbar"' not in rest[-1][0]
        assert not sound.instruments().lane.busy

    def test_stop_ends_the_listening_too(self, write: Write) -> None:
        file = write("a.wav", wav(np.tile(tone(220, 1.0, RATE), 40)))
        events = transfer.hear(visitor("a"), str(file), *SETTINGS)
        assert "Listening" in next(events)[1] and JOBS.stop(visitor("a")) == 1
        *rest, last = events
        assert all(isinstance(event[0], dict) and isinstance(event[2], dict) for event in rest)
        assert 'role="progressbar"' not in rest[-1][1] and last == gr.skip() and not len(JOBS)

    def test_long_results_come_in_parts_that_make_the_whole(self) -> None:
        n = 1001
        paper = json.dumps({"pitch": [57] * n, "level": [-25] * n, "sure": [100] * n})
        players = [e[1] for e in transfer.synthesise(visitor(), paper, *SETTINGS) if isinstance(e[1], str)]
        takes = {re.search(r'data-take="(\w+)"', player)[1] for player in players}  # pyright: ignore[reportOptionalSubscript]
        assert len(players) >= 2 and len(takes) == 1 and "data-src" not in players[0]
        parts = [heard(p.replace("/file=", "")) for p in re.search(r'data-parts="([^"]+)"', players[-1])[1].split()]  # pyright: ignore[reportOptionalSubscript]
        assert len(parts) >= 2 and all(len(p) > 0.9 * RATE for p in parts[:-1])
        assert np.allclose(np.concatenate(parts), shown(players[-1]), atol=1e-4)

    def test_the_whistle_is_a_tune_that_the_tracker_hears(self) -> None:
        samples = transfer.whistle()
        assert 3 < len(samples) / RATE < 6 and np.abs(samples).max() < 0.95
        found = track(samples, RATE, 120)
        pitch = 69 + 12 * np.log2(found.f0_hz[found.voiced] / 440)
        assert found.voiced.mean() > 0.9 and abs(pitch.min() - 79) < 0.6 and abs(pitch.max() - 86) < 0.6

    def test_examples_are_recordings(self) -> None:
        for file in (transfer.take_whistle(), *([transfer.take_saxophone()] if transfer.SAXOPHONE.is_file() else [])):
            samples, rate = soundfile.read(file)
            assert 2 < len(samples) / rate < 60 and np.abs(samples).max() > 0.05


@pytest.mark.usefixtures("nowhere")
class TestSound:
    """The player."""

    def spectrogram(self, samples: np.ndarray) -> np.ndarray:
        found = re.search(r"base64,([^\"]+)", sound.sound_view(samples, RATE))
        assert found
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA"))[..., 3]

    def test_the_spectrogram_is_opaque_where_it_sounds(self) -> None:
        samples = np.concatenate([np.zeros(RATE), tone(500, 1.0, RATE, 1)]).astype(np.float32)
        opacity = self.spectrogram(samples)
        assert opacity.shape[0] == sound.MELS and 300 < opacity.shape[1] <= 410
        half = opacity.shape[1] // 2
        assert opacity[:, : half - 10].max() < 30 and opacity[:, half + 10 : -10].max(0).min() > 200
        row = int(opacity[:, -60].argmax())
        high = int(self.spectrogram(tone(5000, 1.0, RATE, 1))[:, 60].argmax())
        assert high < row

    @pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(1), np.zeros(RATE), tone(440, 0.02, RATE)])
    def test_short_and_silent_sounds_have_a_picture(self, samples: np.ndarray) -> None:
        view = sound.sound_view(samples.astype(np.float32), RATE)
        assert "<polygon" in view and "nan" not in view
        assert samples.any() or self.spectrogram(samples).max() < 10

    def test_titles_and_hints_are_text(self) -> None:
        made = Sound(tone(440, 0.2, RATE), RATE, 5, "<i>hint</i>")
        player = sound.present(made, '<b>"x"</b>')
        assert "<i>" not in player and '<b>"' not in player and "seed 5" in player and "0.2 s" in player

    def test_a_surface_needs_its_files(self) -> None:
        for build in (surfaces.timbre_map, surfaces.piano, surfaces.curve_paper):
            with gr.Blocks():
                made = build("some-surface")
            assert isinstance(json.loads(made.value), dict) and '"some-surface"' in (made.js_on_load or "")


def test_names_come_from_the_checkpoint(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sound, "CHECKPOINTS", checkpoints)
    assert sound.instrument_names() == [("Reed", "reed"), ("String", "string"), ("Brass", "brass")]
    monkeypatch.setattr(sound, "CHECKPOINTS", tmp_path)
    assert sound.instrument_names() == []
