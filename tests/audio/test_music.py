"""Chorales: exact likelihoods, causality, filling, rules, MIDI and the wrapper, with random weights."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import torch

from demos.audio.music.data import RANGES, TOKENS, from_tokens, load_chorales, shifts, to_tokens
from demos.audio.music.data import Chorales as Batches
from demos.audio.music.measure import likelihoods, rules, speed
from demos.audio.music.midi import GridNote, grid_of, midi_bytes, notes_of, read_midi
from demos.audio.music.model import Chorales
from demos.audio.music.networks import ChoraleModel
from demos.audio.music.rules import broken_rules
from demos.audio.music.training import CONTEXT, WINDOW, music_losses, score_pieces
from demos.core.cancel import Cancelled

MELODY = [[67, 0, 4], [67, 4, 4], [69, 8, 6], [71, 14, 2], [72, 16, 8]]


@pytest.fixture(scope="module")
def model(checkpoints: Path) -> Chorales:
    return Chorales.load(checkpoints / "music", "cpu")


def inputs(frames: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randint(TOKENS, (1, frames, 4), generator=rng)
    given = torch.rand(1, frames, 4, generator=rng) < 0.4
    return x, given, (torch.arange(frames) % 16)[None], torch.zeros(1, dtype=torch.long)


def piece(frames: int = 64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(np.stack([rng.integers(a, b, frames // 4) for a, b in RANGES], 1), 4, 0)


class TestLikelihood:
    """The model as a probability."""

    @pytest.mark.parametrize("cells", [[(0, 3), (1, 0)], [(0, 0), (0, 1)], [(1, 2), (2, 1)]])
    def test_it_sums_to_one_over_what_is_erased(self, model: Chorales, cells: list[tuple[int, int]]) -> None:
        x, given, phase, stride = inputs(3)
        given = torch.ones_like(given)
        values = torch.cartesian_prod(torch.arange(TOKENS), torch.arange(TOKENS))
        x = x.repeat(len(values), 1, 1)
        for column, (t, v) in enumerate(cells):
            given[0, t, v] = False
            x[:, t, v] = values[:, column]
        n = len(values)
        with torch.no_grad():
            log_prob = model.network.log_prob(x, given.repeat(n, 1, 1), phase.repeat(n, 1), stride.repeat(n))
        assert log_prob.sum((1, 2)).exp().sum().item() == pytest.approx(1, abs=1e-4)
        assert (log_prob[:, given[0]] == 0).all()

    def test_a_cell_sees_what_is_given_later_but_not_what_is_erased(self, model: Chorales) -> None:
        x, given, phase, stride = inputs(8)
        given[:] = False
        given[0, 5, 0] = True
        with torch.no_grad():
            base = model.network(x, given, phase, stride)
            for (t, v), visible in (((5, 0), True), ((5, 1), False), ((6, 2), False)):
                changed = x.clone()
                changed[0, t, v] = (x[0, t, v] + 1) % TOKENS
                moved = (model.network(changed, given, phase, stride) - base)[0].abs().amax(-1) > 1e-6
                assert moved[:t].any().item() == visible
                assert moved[t, v + 1 :].all() and (visible or not moved[t, : v + 1].any())

    def test_filling_reports_the_likelihood_of_what_it_drew(self, model: Chorales) -> None:
        x, given, phase, stride = inputs(12)
        made, log_prob = model.network.fill(x, given, phase, stride, torch.Generator().manual_seed(0))
        assert torch.equal(made[given], x[given])
        with torch.no_grad():
            assert torch.allclose(model.network.log_prob(made, given, phase, stride), log_prob, atol=1e-4)

    def test_what_costs_nothing_is_drawn_with_its_own_share_of_the_probability(self, model: Chorales) -> None:
        x, given, phase, stride = inputs(1)
        given = torch.ones_like(given)
        given[..., 0] = False
        n = 4000
        many = (x.repeat(n, 1, 1), given.repeat(n, 1, 1), phase.repeat(n, 1), stride.repeat(n))
        rng = torch.Generator().manual_seed(0)
        made, log_prob = model.network.fill(*many, rng, cost=lambda before, frames: frames[..., 0] % 2, tries=8)
        p = model.network(x, given, phase, stride)[0, 0, 0].softmax(-1)
        assert torch.allclose(log_prob[:, 0, 0], p[made[:, 0, 0]].log(), atol=1e-4)
        p[1::2] = 0
        share = torch.bincount(made[:, 0, 0], minlength=TOKENS) / n
        assert share[1::2].sum() < 0.05 and (share - p / p.sum()).abs().sum() / 2 < 0.1
        assert torch.equal(made[:, 0, 1:], many[0][:, 0, 1:])

    def test_padding_changes_nothing(self, model: Chorales) -> None:
        x, given, phase, stride = inputs(9)
        x3, given3, phase3 = (torch.cat([a, a[:, :3]], 1) for a in (x, given, phase))
        valid = torch.arange(12)[None] < 9
        with torch.no_grad():
            whole = model.network.log_prob(x3, given3, phase3, stride, valid)
            assert torch.allclose(whole[:, :9], model.network.log_prob(x, given, phase, stride), atol=1e-5)
        assert (whole[:, 9:] == 0).all()

    def test_long_pieces_are_scored_in_parts_that_count_each_cell_once(self, model: Chorales) -> None:
        long = piece(WINDOW + CONTEXT + 100)
        cells, frames, notes, total = score_pieces(model.network, [long])[0]
        assert (cells, frames) == (4 * len(long), len(long)) and 0 < notes <= cells
        assert -total / cells == pytest.approx(np.log(TOKENS), rel=0.3)
        short = piece(WINDOW)
        x = torch.from_numpy(to_tokens(short))[None]
        none, phase = torch.zeros_like(x, dtype=torch.bool), (torch.arange(WINDOW) % 16)[None]
        with torch.no_grad():
            direct = model.network.log_prob(x, none, phase, torch.zeros(1, dtype=torch.long)).sum().item()
        assert score_pieces(model.network, [short])[0, 3] == pytest.approx(direct, rel=1e-5)

    def test_every_convention_is_named_and_consistent(self, model: Chorales) -> None:
        found = likelihoods(model, [piece(64), piece(48, 1)])
        assert found["per frame of sixteenth notes"] == pytest.approx(4 * found["per cell of sixteenths"])
        assert found["per note"] > found["per cell of sixteenths"]
        assert {"per frame of quarter notes", "three voices given soprano, per frame of sixteenth notes"} <= set(found)

    def test_it_learns_a_held_chord(self) -> None:
        torch.manual_seed(0)
        network = ChoraleModel(width=24, heads=2, encoder_depth=1, decoder_depth=1, dropout=0.0)
        batches = Batches([np.tile([72, 67, 64, 48], (64, 1))], frames=32)
        optimiser, rng = torch.optim.AdamW(network.parameters(), 1e-2), torch.Generator().manual_seed(0)
        seen = []
        for _ in range(15):
            with torch.autocast("cpu", torch.bfloat16):
                loss = music_losses(network, batches.batch(4, rng))["loss"]
            optimiser.zero_grad()
            loss.backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
            optimiser.step()
            seen.append(loss.item())
        assert seen[-1] < 0.6 * seen[0]


class TestData:
    """Grids."""

    def test_tokens_and_back(self) -> None:
        grid = np.array([[81, 52, -1, 36]])
        assert to_tokens(grid).tolist() == [[46, 17, 0, 1]] and np.array_equal(from_tokens(to_tokens(grid)), grid)
        with pytest.raises(ValueError, match="between 36 and 81"):
            to_tokens(np.array([[82, 60, 50, 40]]))

    def test_transpositions_stay_in_range(self) -> None:
        grid = np.array([[79, 60, 55, 40], [62, 60, -1, 45]])
        assert shifts(grid).tolist() == [-2, -1, 0, 1, 2]
        assert shifts(np.full((2, 4), -1)).tolist() == list(range(-6, 7))

    def test_batches_have_their_shapes_and_kinds(self) -> None:
        batch = Batches([piece(64), piece(200, 1)], frames=48).batch(40, torch.Generator().manual_seed(0))
        assert batch["x"].shape == batch["given"].shape == (40, 48, 4) and batch["valid"].shape == (40, 48)
        assert batch["given"][~batch["valid"]].all() and batch["x"].max() < TOKENS
        assert set(batch["stride"].tolist()) == {0, 1, 2}
        erased = [(~g)[v].float().mean().item() for g, v in zip(batch["given"], batch["valid"], strict=True)]
        assert max(erased) == 1 and 0.1 < np.mean(erased) < 0.9

    def test_the_file_is_split_as_it_says(self, tmp_path: Path) -> None:
        path = tmp_path / "pieces.json"
        path.write_text(json.dumps({s: [piece().tolist()] * n for s, n in (("train", 3), ("valid", 1), ("test", 2))}))
        assert [len(v) for v in load_chorales(path).values()] == [3, 1, 2]


class TestRules:
    """Counting."""

    def test_parallels_crossings_and_ranges_are_counted(self) -> None:
        clean = np.repeat([[72, 67, 64, 48], [71, 67, 62, 55]], 4, 0)
        assert not any(broken_rules([clean]).values())
        fifths = np.repeat([[67, 60, 55, 48], [69, 62, 56, 46]], 4, 0)
        found = broken_rules([fifths])
        assert found["parallel fifths"] == pytest.approx(100 * 1 / 2) and found["parallel octaves"] == 0
        octaves = np.repeat([[72, 65, 57, 48], [74, 64, 55, 50]], 4, 0)
        assert broken_rules([octaves])["parallel octaves"] == pytest.approx(50)
        assert broken_rules([np.repeat([[72, 67, 64, 48], [60, 67, 64, 48]], 4, 0)])["parallel octaves"] == 0
        crossed = np.repeat([[62, 67, 64, 48]], 8, 0)
        assert broken_rules([crossed])["crossings"] == pytest.approx(100)
        assert broken_rules([np.repeat([[84, 67, 64, 48]], 4, 0)])["out of range"] == pytest.approx(100)
        assert not any(broken_rules([np.full((16, 4), -1)]).values())

    def test_what_is_written_keeps_them_where_it_can(self, model: Chorales) -> None:
        free = Chorales(model.network, model.device, tries=1)
        counted = [broken_rules([m.compose(4, seed=s).grid for s in range(8)]) for m in (model, free)]
        total = [sum(found.values()) for found in counted]
        assert total[0] < 0.5 * total[1] and all(counted[0][rule] < counted[1][rule] for rule in counted[0])

    def test_a_voice_that_leaves_no_choice_is_still_written_around(self, model: Chorales) -> None:
        grid = np.full((8, 4), -1)
        grid[:, 0] = 36
        erased = np.ones(grid.shape, bool)
        erased[:, 0] = False
        assert (model.fill(grid, erased, seed=0).grid[:, 0] == 36).all()


class TestMidi:
    """Files."""

    def test_notes_survive_a_file(self) -> None:
        voices = {
            "soprano": [GridNote(0, 4, 67), GridNote(4, 4, 67), GridNote(8, 1, 81)],
            "bass": [GridNote(2, 10, 36)],
        }
        got = read_midi(midi_bytes(voices, 97))
        assert list(got.values()) == list(voices.values()) and [k[3:] for k in got] == list(voices)

    def test_a_voice_and_its_notes(self) -> None:
        notes = [GridNote(0, 4, 60), GridNote(4, 4, 60), GridNote(10, 2, 62)]
        voice = grid_of(notes, 14)
        assert voice.tolist() == [60] * 8 + [-1] * 2 + [62] * 2 + [-1] * 2
        starts = np.isin(np.arange(14), [0, 4, 10])
        assert notes_of(voice, starts) == notes and len(notes_of(voice)) == 2
        assert grid_of([GridNote(0, 8, 60), GridNote(2, 2, 64)], 8).tolist() == [60, 60, 64, 64, -1, -1, -1, -1]

    @pytest.mark.parametrize("data", [b"", b"MThd", b"junk" * 99, midi_bytes({"a": [GridNote(0, 4, 60)]})[:-9]])
    def test_damaged_files_are_sentences(self, data: bytes) -> None:
        with pytest.raises(ValueError, match="MIDI file"):
            read_midi(data)

    def test_no_notes_and_too_many_are_sentences(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no notes"):
            read_midi(midi_bytes({"a": []}))
        with pytest.raises(ValueError, match="at most 10,000"):
            read_midi(midi_bytes({"a": [GridNote(i, 1, 60 + i % 5) for i in range(10_001)]}))
        with pytest.raises(ValueError, match="cannot be opened"):
            read_midi(tmp_path / "none.mid")
        with pytest.raises(ValueError, match="too large"):
            read_midi(bytes(3 * 2**20))

    def test_percussion_is_left_out(self) -> None:
        file = mido.MidiFile()
        drums = [mido.Message("note_on", note=40, channel=9), mido.Message("note_off", note=40, channel=9, time=99)]
        file.tracks.append(mido.MidiTrack(drums))
        target = io.BytesIO()
        file.save(file=target)
        with pytest.raises(ValueError, match="no notes"):
            read_midi(target.getvalue())


class TestWrapper:
    """What a person calls."""

    def test_a_melody_is_kept_and_comes_back_from_midi(self, model: Chorales) -> None:
        score = model.harmonise(MELODY, seed=3)
        soprano = [GridNote(start, length, pitch) for pitch, start, length in MELODY]
        assert score.grid.shape == (24, 4) and score.notes()["soprano"] == soprano and score.seed == 3
        read = read_midi(score.midi())
        assert list(read.values()) == [notes for notes in score.notes().values() if notes]
        assert not score.surprise[:, 0].any() and (score.surprise[:, 1:] > 0).all()

    def test_seeds_and_temperature(self, model: Chorales) -> None:
        a, b, c = (model.harmonise(MELODY, seed=s).grid for s in (1, 1, 2))
        assert np.array_equal(a, b) and not np.array_equal(a, c)
        cold = [model.harmonise(MELODY, 0.0, seed=s).grid for s in (1, 2)]
        assert np.array_equal(cold[0], cold[1])

    @pytest.mark.parametrize("move", [-40, -12, 12, 24, 36])
    def test_a_melody_out_of_range_is_moved_and_moved_back(self, model: Chorales, move: int) -> None:
        low = [[p + move, s, n] for p, s, n in MELODY]
        score = model.harmonise(low)
        assert [n.pitch for n in score.notes()["soprano"]] == [p for p, _, _ in low]
        if move % 12 == 0:
            plain = model.harmonise(MELODY).grid
            assert np.array_equal(score.grid, np.where(plain >= 0, plain + move, -1))

    def test_filling_keeps_what_is_not_erased(self, model: Chorales) -> None:
        grid = piece(32)
        erased = np.zeros(grid.shape, bool)
        erased[8:16, 1:3] = True
        score = model.fill(grid, erased)
        assert np.array_equal(score.grid[~erased], grid[~erased]) and not score.surprise[~erased].any()
        assert (score.surprise[erased] > 0).all()

    def test_composing_and_continuing_have_their_lengths(self, model: Chorales) -> None:
        assert model.compose(2).grid.shape == (32, 4)
        grid = piece(32)
        longer = model.extend(grid, 1).grid
        assert longer.shape == (48, 4) and np.array_equal(longer[:32], grid)

    def test_surprise_is_that_of_the_whole_score(self, model: Chorales) -> None:
        grid = piece(32)
        found = model.surprise(grid)
        assert found.sum() == pytest.approx(-score_pieces(model.network, [grid])[0, 3], rel=1e-5)

    def test_steps_are_reported_and_it_stops(self, model: Chorales) -> None:
        seen: list[tuple[int, int]] = []

        def on_step(i: int, n: int, preview: Any) -> None:
            seen.append((i, n))
            assert preview().shape == (24, 4)
            if i == 5:
                raise Cancelled

        with pytest.raises(Cancelled):
            model.harmonise(MELODY, on_step=on_step)
        assert seen == [(i, 24) for i in range(1, 6)] and not model.lane.busy

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda m: m.harmonise([]), "1 to 2,000 notes"),
            (lambda m: m.harmonise([[60, 0, 1]] * 100_000), "1 to 2,000 notes"),
            (lambda m: m.harmonise([[60, 0]]), "written as"), (lambda m: m.harmonise([["C", 0, 1]]), "written as"),
            (lambda m: m.harmonise([[200, 0, 1]]), "0 to 127"), (lambda m: m.harmonise([[60, -1, 1]]), "0 to 127"),
            (lambda m: m.harmonise([[60, 10**9, 1]]), "within 32 bars"),
            (lambda m: m.harmonise([[10, 0, 4], [120, 4, 4]]), "spans 110 semitones"),
            (lambda m: m.harmonise(MELODY, 9), "“temperature”"), (lambda m: m.compose(0), "“bars”"),
            (lambda m: m.compose(1.5), "“bars”"), (lambda m: m.compose(10**9), "“bars”"),
            (lambda m: m.extend(piece(512), 1), "at most 32 bars"),
            (lambda m: m.fill(piece(16), np.zeros((16, 4), bool)), "Mark what"),
            (lambda m: m.fill(piece(16), np.ones((8, 4), bool)), "Mark what"),
            (lambda m: m.surprise(np.full((4, 4), 99)), "between 36 and 81"),
            (lambda m: m.surprise(np.zeros((4, 3), int)), "four columns"),
            (lambda m: m.surprise(np.zeros((4, 4))), "four columns"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, model: Chorales, call: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words) as caught:
            call(model)
        assert str(caught.value).endswith(".") and not model.lane.busy

    def test_figures_are_sane(self, model: Chorales) -> None:
        found = rules(model, [piece(32)])
        drawn = ", as drawn at once"
        assert set(found) == {"Bach", *(a + b for a in ("harmonised", "composed") for b in ("", drawn))}
        assert found["composed"]["crossings"] < found[f"composed{drawn}"]["crossings"]
        assert speed(model, piece(32), bars=1)["harmonise_1_bars_s"] > 0

    def test_the_shipped_size_is_small(self) -> None:
        assert 1e6 < sum(p.numel() for p in ChoraleModel().parameters()) < 5e6
