"""Simulated sketches: lines lie on the edges they come from, hints have the picture's colours, draws repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demos.core.strokes import Drawing, rasterise
from demos.sketch.data import STYLES, Pictograms, condition
from demos.sketch.simulate import (
    COLOURS,
    Picture,
    augment,
    colour_words,
    draw_hints,
    draw_lines,
    edge_chains,
)

SIZE = 128
IDENTITY = np.eye(2, 3, dtype=np.float32)
Pixels = NDArray[np.uint8]


def pictogram(colour: tuple[int, int, int] = (225, 45, 50)) -> Pixels:
    """A disc with a hole and a darker, off-centre square: no flip or turn maps it onto itself."""
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    cv2.circle(rgba, (60, 64), 40, (*colour, 255), -1)
    cv2.circle(rgba, (70, 80), 10, (0, 0, 0, 0), -1)
    cv2.rectangle(rgba, (38, 44), (54, 56), (*(c // 3 for c in colour), 255), -1)
    return rgba


def distance_to_edges(rgba: NDArray[Any]) -> NDArray[np.float32]:
    """Distance of every pixel to the nearest edge in alpha or colour."""
    planes = [cv2.morphologyEx(np.ascontiguousarray(rgba[..., c]), cv2.MORPH_GRADIENT, np.ones((3, 3))) for c in (0, 3)]
    return cv2.distanceTransform((np.max(planes, 0) <= 64).astype(np.uint8), cv2.DIST_L2, 5)


def at(plane: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = np.rint(points).astype(int).clip(0, SIZE - 1).T
    return plane[y, x]


def seeds(n: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(n)]


def test_chains_lie_on_the_edges_at_every_scale() -> None:
    rgba = pictogram()
    near, levels = distance_to_edges(rgba), edge_chains(rgba)
    assert len(levels) == 6
    for level in levels:
        points = np.concatenate(level)
        assert all(len(chain) >= 4 for chain in level)
        assert at(near, points).mean() < 0.7 and np.quantile(at(near, points), 0.95) <= 2
        assert points.mean(0) == pytest.approx(np.argwhere(near == 0)[:, ::-1].mean(0), abs=6)
    assert sum(len(chain) for chain in levels[0]) > 250


def test_every_edge_is_traced() -> None:
    rgba = pictogram()
    drawn = np.ones((SIZE, SIZE), np.uint8)
    for chain in edge_chains(rgba)[0]:
        cv2.polylines(drawn, [np.rint(chain).astype(np.int32)], False, 0)
    away = cv2.distanceTransform(drawn, cv2.DIST_L2, 5)
    assert away[distance_to_edges(rgba) == 0].max() < 4


def test_the_two_edges_of_a_thin_part_are_joined_to_one_stroke_and_those_of_a_broad_part_are_not() -> None:
    paper = np.full((SIZE, SIZE, 4), 255, np.uint8)
    cv2.line(paper, (20, 30), (108, 30), (200, 60, 40, 255), 3)
    cv2.rectangle(paper, (30, 60), (98, 100), (200, 60, 40, 255), -1)
    edges, joined = (np.concatenate(edge_chains(paper)[level]) for level in (0, 3))
    thin, thin_joined = (points[(points[:, 1] < 45) & (abs(points[:, 0] - 64) < 30)] for points in (edges, joined))
    assert abs(thin[:, 1] - 30).min() > 0.9
    assert abs(thin_joined[:, 1] - 30).max() <= 1 and 1.7 < len(thin) / len(thin_joined) < 2.3
    broad, broad_joined = (points[points[:, 1] > 45] for points in (edges, joined))
    assert len(broad_joined) == pytest.approx(len(broad), rel=0.1)


def test_black_line_art_also_gives_its_skeleton() -> None:
    ring = np.zeros((SIZE, SIZE, 4), np.uint8)
    cv2.circle(ring, (64, 64), 40, (10, 10, 10, 255), 7)
    *_, skeleton = levels = edge_chains(ring)
    assert len(levels) == 7
    radius = np.hypot(*(np.concatenate(skeleton) - 64).T)
    assert radius == pytest.approx(40, abs=1.5)


def test_an_empty_picture_gives_no_lines_and_no_colours() -> None:
    empty = np.zeros((SIZE, SIZE, 4), np.uint8)
    assert edge_chains(empty) == [[]] * 6
    rng = np.random.default_rng(0)
    assert not draw_lines(rng, edge_chains(empty), IDENTITY, SIZE).any()
    assert not draw_hints(rng, empty).any()
    assert colour_words(empty) == ()
    rgba, drawing = Picture(empty, edge_chains(empty)).draw(rng)
    assert not rgba.any() and not drawing.any()


def test_lines_drawn_without_a_map_lie_near_the_edges() -> None:
    rgba = pictogram()
    near, levels = distance_to_edges(rgba), edge_chains(rgba)
    spread, inks = [], []
    for rng in seeds(60):
        ink = draw_lines(rng, levels, IDENTITY, SIZE)
        assert ink.shape == (SIZE, SIZE) and ink.dtype == np.uint8
        if ink.any():
            spread.append(float(near[ink > 127].mean()))
            inks.append(ink)
    assert len(inks) > 55
    assert np.median(spread) < 2.5 and np.quantile(spread, 0.9) < 5
    covered = np.maximum.reduce(inks) > 0
    assert covered[near == 0].mean() > 0.97
    assert len({ink.tobytes() for ink in inks}) == len(inks)


@pytest.mark.parametrize("seed", range(12))
def test_the_map_moves_picture_and_chains_alike(seed: int) -> None:
    rgba = pictogram()
    matrix = augment(np.random.default_rng(seed), SIZE)
    warped = cv2.warpAffine(rgba, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    points = np.concatenate(edge_chains(rgba)[0]) @ matrix[:, :2].T + matrix[:, 2]
    inside = ((points > 2) & (points < SIZE - 3)).all(1)
    assert inside.mean() > 0.7
    assert at(distance_to_edges(warped), points[inside]).mean() < 1.2


def test_maps_are_gentle_and_of_all_kinds() -> None:
    maps = np.stack([augment(rng, SIZE) for rng in seeds(200)])
    assert maps.shape == (200, 2, 3) and maps.dtype == np.float32
    determinant = np.linalg.det(maps[:, :, :2])
    assert 0.3 < (determinant < 0).mean() < 0.7
    zoom = np.sqrt(np.abs(determinant))
    assert 0.74 < zoom.min() < 0.8 and 1.0 < zoom.max() < 1.09
    centre = maps @ np.array([63.5, 63.5, 1.0])
    assert np.abs(centre - 63.5).max() < 0.17 * SIZE and centre.std() > 2


def test_whole_draws_keep_picture_and_lines_together() -> None:
    picture = Picture(pictogram(), edge_chains(pictogram()))
    right, wrong, hinted = [], [], 0
    draws = [picture.draw(rng) for rng in seeds(60)]
    for i, (rgba, drawing) in enumerate(draws):
        assert rgba.shape == (SIZE, SIZE, 4) and drawing.shape == (5, SIZE, SIZE)
        assert rgba.dtype == drawing.dtype == np.uint8
        assert (rgba[..., :3].astype(int) <= rgba[..., 3:].astype(int) + 1).all()
        assert (drawing[1:4] <= drawing[4:]).all() and set(np.unique(drawing[4])) <= {0, 255}
        hinted += bool(drawing[4].any())
        if drawing[0].any():
            right.append(distance_to_edges(rgba)[drawing[0] > 127].mean())
            wrong.append(distance_to_edges(draws[i - 1][0])[drawing[0] > 127].mean())
    assert np.median(right) < 2.5 and np.median(right) < 0.5 * np.median(wrong)
    assert 48 < len(right) < 60
    assert 15 < hinted < 45


def test_draws_are_repeated_by_the_generator_alone() -> None:
    picture = Picture(pictogram(), edge_chains(pictogram()))
    first, again = (picture.draw(np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = picture.draw(np.random.default_rng(6))
    assert not np.array_equal(first[0], other[0])
    assert np.array_equal(picture.rgba, pictogram())


def test_hints_have_the_picture_s_own_colours_in_about_their_place() -> None:
    rgba = pictogram((50, 120, 220))
    hits, off = [], []
    for rng in seeds(40):
        hints = draw_hints(rng, rgba)
        covered = hints[..., 3] == 255
        assert covered.any() and covered.mean() < 0.9
        hits.append((rgba[covered][:, 3] == 255).mean())
        palette = np.array([[50, 120, 220], [16, 40, 73]])
        off.append(np.median(np.abs(hints[covered][:, None, :3].astype(int) - palette).max(2).min(1)))
    assert np.mean(hits) > 0.75
    assert np.median(off) < 25


@pytest.mark.parametrize("name", COLOURS)
def test_a_picture_is_named_by_its_colour(name: str) -> None:
    flat = np.zeros((SIZE, SIZE, 4), np.uint8)
    cv2.circle(flat, (64, 64), 40, (*COLOURS[name], 255), -1)
    assert colour_words(flat) == (name,)
    cv2.circle(flat, (64, 64), 22, (*COLOURS["green" if name != "green" else "red"], 255), -1)
    assert colour_words(flat)[0] == name and len(colour_words(flat)) == 2
    assert colour_words(flat, most=1) == (name,)


def test_the_condition_is_premultiplied_ink_and_colour() -> None:
    ink = np.zeros((8, 8), np.float32)
    ink[2, 3] = 0.5
    colour = np.zeros((8, 8, 4), np.uint8)
    colour[..., :3] = 200
    colour[1, 1] = (200, 100, 50, 128)
    seen = condition(ink, colour)
    assert seen.shape == (5, 8, 8) and seen.dtype == np.uint8
    assert seen[0, 2, 3] == 128 and seen[0].sum() == 128
    assert seen[1:, 1, 1].tolist() == [100, 50, 25, 128]
    assert seen[1:].sum() == 100 + 50 + 25 + 128


def test_a_drawing_and_a_simulated_sketch_look_alike_to_the_network() -> None:
    rgba = pictogram()
    drawing = condition(
        *rasterise(
            Drawing.from_json(
                {
                    "size": SIZE,
                    "strokes": [{"width": 2.0, "points": chain.tolist()} for chain in edge_chains(rgba)[0]],
                }
            ),
            SIZE,
        )
    )
    drawn = [draw_lines(rng, edge_chains(rgba), IDENTITY, SIZE) for rng in seeds(30)]
    simulated = np.mean([ink[ink > 0].mean() for ink in drawn if ink.any()])
    assert drawing[0][drawing[0] > 0].mean() == pytest.approx(simulated, rel=0.35)
    assert np.median(distance_to_edges(rgba)[drawing[0] > 127]) < 1.5


def test_examples_are_drawings_that_the_page_can_read(root: Path) -> None:
    files = sorted((root / "demos" / "sketch" / "examples").glob("*.json"))
    assert len(files) >= 7
    for file in files:
        ink, colour = rasterise(Drawing.from_json(file.read_text(encoding="utf-8")), SIZE)
        assert 0.01 < (ink > 0.5).mean() + (colour[..., 3] > 0).mean() < 0.7, file.name


def test_batches_are_repeated_by_the_generator_alone() -> None:
    torch = pytest.importorskip("torch")
    from demos.sketch.batches import WORDS, Drawings, drop, make_vocabulary
    from demos.sketch.networks import Autoencoder

    pixels = np.stack([pictogram(COLOURS[c]) for c in ("red", "blue", "green") for _ in STYLES])
    style, concept = np.arange(18) % 6, np.arange(18) // 6
    words = [("disc", "red"), ("disc", "ring"), ("secret",)]
    data = Pictograms(pixels, style, concept, list("abc"), words, np.array([False, False, True]))
    vocabulary = make_vocabulary(data)
    assert {"disc", "ring", *COLOURS} == set(vocabulary)
    torch.manual_seed(0)
    network = Autoencoder(4, (8, 8, 16), (8, 8, 16), 1).eval()
    drawings = Drawings(data, network, vocabulary, "cpu")
    one, two, other = (drawings.batch(8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert [tuple(part.shape) for part in one] == [(8, 4, 16, 16), (8, 5, 128, 128), (8, WORDS), (8, 6)]
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[1], other[1])
    z, drawing, tokens, styles = one
    assert torch.isfinite(z).all() and drawing.min() >= 0 and drawing.max() <= 1
    assert tokens.max() <= len(vocabulary) and (styles.sum(1) == 1).all()
    many = [drop(drawing, tokens + 1, torch.Generator().manual_seed(seed)) for seed in range(40)]
    without_lines = np.mean([(d.flatten(1).amax(1) == 0).float().mean() for d, _ in many])
    without_words = np.mean([(w.amax(1) == 0).float().mean() for _, w in many])
    assert 0.05 < without_lines < 0.35 and 0.2 < without_words < 0.45
