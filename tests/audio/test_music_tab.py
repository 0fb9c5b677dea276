"""The section Music with tiny networks: its handlers, its endpoint as clients reach it, melodies from elsewhere."""

from __future__ import annotations

import io
import json
import time
import types
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from demos.audio.ensemble import perform
from demos.audio.files import wav_bytes
from demos.audio.instruments.curves import Curves, listen
from demos.audio.instruments.data import SAMPLE_RATE
from demos.audio.music.melody import hummed, in_range, voices_of
from demos.audio.music.midi import GridNote, midi_bytes, read_midi
from demos.audio.tab import music, sound
from demos.audio.tab import music_handlers as on
from demos.core.cancel import Cancelled
from demos.ui.events import JOBS
from demos.ui.pianoroll import Roll
from tests.audio.conftest import tone

Write = Callable[[str, bytes], Path]
MELODY = [[67, 0, 4], [67, 4, 4], [69, 8, 6], [71, 14, 2]]
TUNE = Roll(tuple((p, s, n, 0) for p, s, n in MELODY), 1)
PLAYERS = ["reed", "string", "brass", "reed"]


pytestmark = pytest.mark.usefixtures("tiny")
TAB = types.SimpleNamespace(TITLE="Music", build=music.build)


def request(session: str = "one") -> gr.Request:
    return gr.Request(session_hash=session)


def written(kind: str, roll: Roll, bars: int = 1, seed: int = 3, page: Any = None) -> list[dict[str, Any]]:
    """What a press of a button changes on the page, step by step."""
    steps = on.write(page or request(), kind, roll.to_json(), bars, 1.0, seed, True, 100, *PLAYERS)
    return [{k: v for k, v in zip(on.OUTPUTS, step, strict=True) if v != gr.skip()} for step in steps]


def result(steps: list[dict[str, Any]]) -> Roll:
    """The finished roll."""
    (text,) = [s["roll"] for s in steps if "note" in s]
    return Roll.from_json(text)


def sung(roll: Roll, voice: int) -> list[tuple[int, int, int]]:
    return [(p, s, n) for p, s, n, v in roll.notes if v == voice]


class TestWriting:
    """The buttons below the roll."""

    def test_a_melody_is_harmonised_shown_as_it_comes_and_played(self) -> None:
        steps = written("harmonise", TUNE)
        drafts = [json.loads(s["roll"]) for s in steps if "roll" in s and json.loads(s["roll"]).get("draft")]
        assert drafts and all(d["bars"] == 1 for d in drafts)
        roll = result(steps)
        assert sung(roll, 0) == [tuple(n) for n in MELODY] and all(sung(roll, v) for v in (1, 2, 3))
        heat = next(json.loads(s["roll"])["heat"] for s in steps if "note" in s)
        assert len(heat) == len(roll.notes) and min(heat) > 0
        assert "data-autoplay" in steps[-1]["sound"] and set(steps[-1]["stems"]) == set(on.VOICES)
        assert steps[-1]["progress"] == on.bar(None) and not len(JOBS)

    def test_drafts_come_no_faster_than_a_slow_page_can_paint_them(self) -> None:
        start = time.perf_counter()
        steps = written("compose", Roll(), bars=8)
        drafts = [s for s in steps if "roll" in s and json.loads(s["roll"]).get("draft")]
        assert 1 <= len(drafts) <= 1 + (time.perf_counter() - start) / on.DRAFT_EVERY_S

    def test_seeds_and_another_take(self) -> None:
        one, same, other = (written("harmonise", TUNE, seed=s) for s in (3, 3, 4))
        assert result(one) == result(same) != result(other)
        last = next(s["last"] for s in one if "last" in s)
        steps = list(on.another(request(), last, result(one).to_json(), 1.0, 100, *PLAYERS))
        again = next(s for s in steps if s[on.OUTPUTS.index("note")] != gr.skip())
        roll = Roll.from_json(again[0])
        assert sung(roll, 0) == [tuple(n) for n in MELODY] and roll != result(one)
        with pytest.raises(gr.Error, match="Harmonise"):
            next(on.another(request(), None, TUNE.to_json(), 1.0, 100, *PLAYERS))

    def test_what_was_marked_is_refilled_and_nothing_else(self) -> None:
        full = result(written("harmonise", TUNE))
        marked = Roll(full.notes, 1, ((4, 12, 1), (4, 12, 2)))
        made = result(written("refill", marked, seed=9))
        before, after = on.Part.of(full), on.Part.of(made)
        erased = on.Part.of(marked).erased
        assert np.array_equal(before.grid[~erased], after.grid[~erased]) and not made.erased
        assert not np.array_equal(before.grid[erased], after.grid[erased])
        assert sung(made, 0) == sung(full, 0)

    def test_it_continues_and_composes(self) -> None:
        full = result(written("harmonise", TUNE))
        longer = result(written("extend", full, bars=2))
        assert longer.bars == 3
        assert np.array_equal(on.Part.of(longer).grid[:16], on.Part.of(full).grid)
        assert result(written("compose", TUNE, bars=2)).bars == 2
        alone = result(written("extend", TUNE, bars=1))
        assert any(start < 16 for _, start, _ in sung(alone, 3))

    def test_any_voice_may_be_the_given_one(self) -> None:
        bass = Roll(((40, 0, 8, 3), (45, 8, 8, 3)), 1)
        made = result(written("harmonise", bass))
        assert sung(made, 3) == sung(bass, 3) and sung(made, 0)

    @pytest.mark.parametrize(
        ("kind", "roll", "bars", "words"),
        [
            ("harmonise", Roll(), 1, "Draw a melody first"),
            ("refill", TUNE, 1, "Mark what is to be refilled"),
            ("extend", Roll(TUNE.notes, 30), 4, "at most 32 bars"),
            ("compose", TUNE, 0, "1 to 32 bars"),
            ("compose", TUNE, 10**9, "1 to 32 bars"),
            ("harmonise", Roll(((100, 0, 4, 0),), 1), 1, "between 36 and 81"),
        ],
    )
    def test_what_cannot_be_written_is_a_sentence(self, kind: str, roll: Roll, bars: int, words: str) -> None:
        with pytest.raises(gr.Error, match=words):
            written(kind, roll, bars)

    def test_stop_brings_the_roll_back_and_stops_nobody_else(self) -> None:
        mine, theirs = request("mine"), request("theirs")
        steps = on.write(mine, "compose", TUNE.to_json(), 8, 1.0, 0, True, 100, *PLAYERS)
        other = on.write(theirs, "compose", TUNE.to_json(), 1, 1.0, 0, True, 100, *PLAYERS)
        for started in (steps, other):
            assert next(started)
            assert next(started)
        JOBS.stop(mine, on.LANE)
        assert list(steps)[-1][0] == TUNE.to_json()
        assert "sound" in str(list(other)[-1][on.OUTPUTS.index("sound")]) and not len(JOBS)

    def test_surprise_answers_the_notes_that_asked(self) -> None:
        answer = json.loads(on.surprise_of(Roll(TUNE.notes, 1, rev=5).to_json()))
        assert answer["answers"] == 5 and len(answer["heat"]) == 4
        assert json.loads(on.surprise_of(""))["heat"] == []

    def test_examples_are_melodies_in_the_soprano_s_range(self) -> None:
        for name in on.EXAMPLES:
            roll = on.example(name)
            assert 8 <= roll.bars <= 12 and {v for *_, v in roll.notes} == {0}
            assert all(60 <= p <= 81 for p, *_ in roll.notes) and sum(n for _, _, n, _ in roll.notes) == 16 * roll.bars


class TestPlaying:
    """The ensemble, and files."""

    def test_stems_add_up_to_the_mix(self) -> None:
        voices = {"soprano": [GridNote(0, 4, 67), GridNote(4, 8, 69)], "alto": [], "bass": [GridNote(0, 12, 43)]}
        made = perform(sound.instruments(), voices, PLAYERS[:3], 120, seed=1)
        assert set(made.stems) == {"soprano", "bass"}
        total = np.sum([s.samples for s in made.stems.values()], 0)
        assert np.allclose(total, made.mix.samples, atol=1e-5) and np.abs(made.mix.samples).max() <= 0.951
        assert len(made.mix.samples) == pytest.approx(SAMPLE_RATE * (12 * 15 / 120 + 0.4), rel=0.02)
        assert made.mix.samples[0] == made.mix.samples[-1] == 0

    def test_it_is_made_in_the_order_of_time(self) -> None:
        lines = {name: [GridNote(t, 4, p) for t in range(0, 64, 4)] for name, p in (("alto", 60), ("bass", 43))}
        seen: list[tuple[int, int, np.ndarray]] = []
        made = perform(sound.instruments(), lines, PLAYERS[:2], on_step=lambda i, n, m: seen.append((i, n, m().copy())))
        assert [i for i, *_ in seen] == list(range(1, seen[0][1] + 1)) and len(seen) > 2
        lengths = [len(so_far) for *_, so_far in seen]
        assert 0 < lengths[0] < 0.6 * lengths[-1] and lengths == sorted(lengths)
        whole, last = made.mix.samples, seen[-1][2]
        gain = np.abs(whole).max() / np.abs(last).max()
        for *_, so_far in seen:
            middle = slice(200, len(so_far) - 200)
            assert np.allclose(gain * so_far[middle], whole[middle], atol=1e-3)

    def test_a_repeated_note_stays_two_notes_on_paper_in_midi_and_in_sound(self) -> None:
        twice = Roll(((67, 0, 8, 0), (67, 8, 8, 0)), 1)
        held = Roll(((67, 0, 16, 0),), 1)
        made = result(written("harmonise", twice))
        assert sung(made, 0) == [(67, 0, 8), (67, 8, 8)]
        refilled = result(written("refill", Roll(made.notes, 1, ((0, 16, 2),))))
        assert sung(refilled, 0) == [(67, 0, 8), (67, 8, 8)] and sung(result(written("harmonise", held)), 0) == [
            (67, 0, 16)
        ]
        lines = [next(iter(read_midi(on.save_midi(roll.to_json(), 80)).values())) for roll in (twice, held)]
        assert lines == [[GridNote(0, 8, 67), GridNote(8, 8, 67)], [GridNote(0, 16, 67)]]
        struck, kept = (perform(sound.instruments(), {"a": line}, ["reed"], 60).mix.samples for line in lines)
        dip = slice(int(1.96 * SAMPLE_RATE), int(1.998 * SAMPLE_RATE))
        assert np.abs(struck[dip]).max() < 0.4 * np.abs(kept[dip]).max()

    def test_a_note_longer_than_an_instrument_can_hold_is_struck_again(self) -> None:
        made = perform(sound.instruments(), {"bass": [GridNote(0, 64, 43)]}, ["reed"], 40)
        assert len(made.mix.samples) / SAMPLE_RATE == pytest.approx(24.4, abs=0.1)

    def test_it_stops(self) -> None:
        def on_step(i: int, n: int, preview: object) -> None:
            raise Cancelled

        with pytest.raises(Cancelled):
            perform(sound.instruments(), {"bass": [GridNote(0, 4, 43)]}, ["reed"], on_step=on_step)

    @pytest.mark.parametrize(
        ("voices", "players", "tempo", "words"),
        [
            ({"bass": []}, ["reed"], 80, "no notes"),
            ({"bass": [GridNote(0, 4, 43)]}, [], 80, "Name 1 instruments"),
            ({"bass": [GridNote(0, 4, 43)]}, ["kazoo"], 80, "no instrument “kazoo”"),
            ({"bass": [GridNote(0, 4, 43)]}, ["reed"], 0, "“tempo”"),
            ({"bass": [GridNote(0, 4, 43)]}, ["reed"], "quick", "“tempo”"),
        ],
    )
    def test_what_cannot_be_played_is_a_sentence(self, voices: Any, players: Any, tempo: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            perform(sound.instruments(), voices, players, tempo)

    def test_a_harmonised_melody_is_there_to_be_heard_when_the_section_is_opened(self) -> None:
        written, heard = [dict(zip(on.OUTPUTS, step, strict=True)) for step in self.opened(TUNE)]
        roll = json.loads(written["roll"])
        assert roll["offered"] and roll["rev"] == 0 and len(roll["heat"]) == len(roll["notes"])
        melody = [tuple(note) for note in roll["notes"] if note[3] == 0]
        assert melody == list(TUNE.notes) and {note[3] for note in roll["notes"]} == {0, 1, 2, 3}
        assert written["note"].startswith("Harmonised in") and written["last"] == ("harmonise", TUNE.to_json(), 8)
        assert "<audio" in heard["sound"] and "data-autoplay" not in heard["sound"]
        assert len(heard["stems"]) == 4 and heard["roll"] == gr.skip()

    def test_what_is_offered_is_made_once_for_all_visitors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first = self.opened(replace(TUNE, bars=2))
        for model in ("chorales", "instruments"):
            monkeypatch.setattr(sound, model, None)
        again = self.opened(replace(TUNE, bars=2))
        assert again[0] == first[0] and "<audio" in dict(zip(on.OUTPUTS, again[1], strict=True))["sound"]

    def test_what_a_visitor_has_drawn_by_then_stays_and_is_played(self) -> None:
        (step,) = self.opened(replace(TUNE, rev=3))
        assert [name for name, value in zip(on.OUTPUTS, step, strict=True) if value != gr.skip()] == ["sound", "stems"]
        assert self.opened(Roll(rev=1)) == [gr.skip()] == self.opened(Roll())

    @staticmethod
    def opened(roll: Roll) -> list[Any]:
        return list(on.opened(roll.to_json(), 8, 0.8, 0, 100, *PLAYERS))

    def test_the_roll_becomes_midi_and_stems_a_zip(self) -> None:
        *_, last = on.play(request(), TUNE.to_json(), 0, 100, *PLAYERS)
        with zipfile.ZipFile(on.save_stems(last[-1])) as archive:
            assert archive.namelist() == ["soprano.wav"]
            samples, rate = soundfile.read(io.BytesIO(archive.read("soprano.wav")))
        assert rate == SAMPLE_RATE and np.abs(samples).max() > 0.05
        (notes,) = read_midi(on.save_midi(TUNE.to_json(), 100)).values()
        assert [[n.pitch, n.start, n.length] for n in notes] == MELODY
        with pytest.raises(gr.Error, match="Press “Play” first"):
            on.save_stems(None)
        with pytest.raises(gr.Error, match="no notes"):
            on.save_midi("", 80)
        with pytest.raises(gr.Error, match="no notes to play"):
            list(on.play(request(), "", 0, 100, *PLAYERS))


class TestMelodies:
    """Melodies from files and from humming."""

    def test_the_top_line_of_the_highest_track_is_the_melody(self) -> None:
        chords = [GridNote(t, 4, p) for t, p in ((16, 72), (20, 74), (24, 76)) for p in (p, p - 4, p - 7)]
        tracks = {"0: piano": chords, "1: bass": [GridNote(16, 12, 40)]}
        assert voices_of(tracks, 512) == {0: [GridNote(0, 4, 72), GridNote(4, 4, 74), GridNote(8, 4, 76)]}

    def test_four_voices_come_back_as_they_were(self, write: Write) -> None:
        full = result(written("harmonise", TUNE))
        text, note = on.open_midi(str(write("a.mid", Path(on.save_midi(full.to_json(), 80)).read_bytes())))
        assert Roll.from_json(text).notes == full.notes and "from the file" in note

    def test_what_lies_elsewhere_is_moved_by_octaves(self) -> None:
        low = {0: [GridNote(0, 4, 43), GridNote(4, 4, 55)]}
        moved, by = in_range(low)
        assert by == 24 and [n.pitch for n in moved[0]] == [67, 79]
        high = {0: [GridNote(0, 4, 120)]}
        assert in_range(high)[1] % 12 == 0 and 60 <= in_range(high)[0][0][0].pitch <= 81
        with pytest.raises(ValueError, match="spans 100 semitones"):
            in_range({0: [GridNote(0, 4, 10), GridNote(4, 4, 110)]})

    def test_long_files_are_cut_at_the_last_bar(self) -> None:
        notes = [GridNote(4 * i, 4, 60 + i % 12) for i in range(500)]
        (melody,) = voices_of({"0: a": notes}, 512).values()
        assert len(melody) == 128 and melody[-1].start + melody[-1].length == 512

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "not a MIDI file"),
            (b"MThd nonsense", "not a MIDI file"),
            (midi_bytes({"a": []}), "no notes"),
            (midi_bytes({"a": [GridNote(0, 1, 60)]})[:-6], "not a MIDI file"),
            (midi_bytes({"a": [GridNote(i, 1, 60 + i % 9) for i in range(11_000)]}), "at most 10,000"),
            (midi_bytes({"a": [GridNote(i, 1, 60 + i % 9) for i in range(100_000)]}), "too large"),
        ],
        ids=["empty", "nonsense", "no notes", "cut", "many", "100,000"],
    )
    def test_bad_files_are_sentences(self, write: Write, data: bytes, words: str) -> None:
        with pytest.raises(gr.Error, match=words):
            on.open_midi(str(write("a.mid", data)))

    def test_a_hummed_tune_is_written_down(self, write: Write) -> None:
        tempo, sixteenth = 90, 15 / 90
        tune = [(57, 0, 4), (59, 4, 4), (61, 8, 8), (61, 18, 4), (57, 22, 6)]
        samples = np.zeros(int(6 * SAMPLE_RATE), np.float32)
        for pitch, start, length in tune:
            note = tone(440 * 2 ** ((pitch + 0.35 - 69) / 12), length * sixteenth - 0.06, SAMPLE_RATE)
            first = int((0.7 + start * sixteenth) * SAMPLE_RATE)
            samples[first : first + len(note)] += note * np.hanning(len(note)) ** 0.25
        *steps, (text, note, progress) = on.write_down(
            request(), str(write("hum.wav", wav_bytes(samples, SAMPLE_RATE))), tempo
        )
        assert "Listening" in steps[0][2] and progress == on.bar(None) and not len(JOBS)
        got = sung(Roll.from_json(text), 0)
        assert [p - got[0][0] for p, *_ in got] == [0, 2, 4, 4, 0] and "5 notes" in note and "+12" in note
        assert [s for _, s, _ in got] == [s for _, s, _ in tune]
        assert all(abs(n - m) <= 1 for (*_, n), (*_, m) in zip(got, tune, strict=True))

    @pytest.mark.parametrize("kind", ["silence", "noise", "click"])
    def test_no_tune_is_a_sentence(self, write: Write, kind: str) -> None:
        samples = np.zeros(2 * SAMPLE_RATE, np.float32)
        if kind == "noise":
            samples = np.random.default_rng(0).normal(0, 0.1, len(samples)).clip(-1, 1).astype(np.float32)
        if kind == "click":
            samples[9_000] = 0.9
        with pytest.raises(gr.Error, match="No tune was found"):
            list(on.write_down(request(), str(write("hum.wav", wav_bytes(samples, SAMPLE_RATE))), 80))

    def test_stop_ends_the_listening(self, write: Write) -> None:
        file = write("hum.wav", wav_bytes(np.tile(tone(220, 1, SAMPLE_RATE), 40), SAMPLE_RATE))
        steps = on.write_down(request("mine"), str(file), 80)
        assert "Listening" in next(steps)[2] and JOBS.stop(request("mine"), on.LANE) == 1
        *rest, last = steps
        assert rest[-1] == (gr.skip(), gr.skip(), on.bar(None)) and last == gr.skip() and not len(JOBS)
        assert all(roll == gr.skip() for roll, *_ in rest)

    def test_bad_recordings_are_sentences_and_none_is_nothing(self, write: Write) -> None:
        hour = io.BytesIO()
        soundfile.write(hour, np.zeros(3600 * 1000, np.int16), 1000, format="FLAC")
        for data, words in ((hour.getvalue(), "at most 60"), (b"", "empty"), (b"\xff\xfbnot", "not a sound file")):
            with pytest.raises(gr.Error, match=words):
                list(on.write_down(request(), str(write("hum.flac", data)), 80))
        assert list(on.write_down(request(), None, 80)) == [gr.skip()]

    def test_wobbles_do_not_make_notes(self) -> None:
        time = np.arange(400)
        pitch = 69 + 0.4 * np.sin(time / 6) + np.where((time > 200) & (time < 206), 7, 0)
        curves = Curves(440 * 2 ** ((pitch - 69) / 12), np.full(400, -12.0), np.ones(400))
        assert [(n.start, n.pitch) for n in hummed(curves, 75, 512)] == [(0, 69)]
        assert hummed(listen(tone(220, 1, SAMPLE_RATE)), 60, 3)[0].length == 3


class TestEndpoint:
    """`/harmonise` as a program calls it."""

    def test_a_melody_becomes_midi_and_wav(self, client: Client) -> None:
        midi, wav = client.predict(MELODY, 1.0, 3, PLAYERS, api_name="/harmonise")
        voices = list(read_midi(midi).values())
        assert [[n.pitch, n.start, n.length] for n in voices[0]] == MELODY and len(voices) == 4
        samples, rate = soundfile.read(wav)
        assert rate == SAMPLE_RATE and 0.05 < np.abs(samples).max() <= 0.96
        again = client.predict(MELODY, 1.0, 3, PLAYERS, api_name="/harmonise")
        assert [Path(f).read_bytes() for f in again] == [Path(midi).read_bytes(), Path(wav).read_bytes()]
        other, _ = client.predict(json.dumps(MELODY), seed=4, api_name="/harmonise")
        assert Path(other).read_bytes() != Path(midi).read_bytes()

    def test_a_midi_file_is_a_melody(self, client: Client, write: Write) -> None:
        notes = [GridNote(s, n, p) for p, s, n in MELODY]
        file = write("tune.mid", midi_bytes({"tune": notes}))
        midi, _ = client.predict(handle_file(file), seed=3, instruments=None, api_name="/harmonise")
        assert next(iter(read_midi(midi).values())) == notes

    @pytest.mark.parametrize(
        ("melody", "settings", "words"),
        [
            ([], {}, "1 to 2,000 notes"),
            ([[60, 0, 1]] * 10_000, {}, "1 to 2,000 notes"),
            ([[200, 0, 1]], {}, "0 to 127"),
            ([[60, 0]], {}, "written as"),
            ("[[60, 0, 1]", {}, "not a valid list"),
            ("/etc/passwd", {}, "not uploaded"),
            ({"path": "/etc/passwd"}, {}, "not uploaded"),
            (7, {}, "file is expected|not uploaded"),
            (MELODY, {"temperature": 9}, "“temperature”"),
            (MELODY, {"temperature": "hot"}, "“temperature”"),
            (MELODY, {"seed": 1.5}, "seed must be"),
            (MELODY, {"instruments": ["reed"]}, "Name four instruments"),
            (MELODY, {"instruments": "reed"}, "Name four instruments"),
            (MELODY, {"instruments": ["kazoo"] * 4}, "no instrument “kazoo”"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_bad_calls_get_a_sentence(self, client: Client, melody: Any, settings: dict[str, Any], words: str) -> None:
        with pytest.raises(AppError, match=words) as caught:
            client.predict(melody, **settings, api_name="/harmonise")
        assert "went wrong" not in str(caught.value)
