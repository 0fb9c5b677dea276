"""Tracing: edges where contrast is, chains that cover them once, drawings that look like the picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from demos.core.strokes import Drawing, rasterise
from demos.core.trace import chains, edge_map, import_drawing, trace


def disc(size: int, colour: tuple[int, int, int] = (230, 160, 40)) -> Image.Image:
    image = Image.new("RGBA", (size, size))
    pen = ImageDraw.Draw(image)
    pen.ellipse((size * 0.15, size * 0.15, size * 0.85, size * 0.85), fill=(*colour, 255))
    pen.ellipse((size * 0.4, size * 0.4, size * 0.5, size * 0.5), fill=(30, 30, 30, 255))
    return image


def line_art(size: int) -> Image.Image:
    image = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((size * 0.2, size * 0.2, size * 0.8, size * 0.8), outline="black", width=max(3, size // 50))
    pen.line((size * 0.1, size * 0.9, size * 0.9, size * 0.9), fill="black", width=max(3, size // 50))
    return image


def test_edges_lie_on_the_contour() -> None:
    edges = edge_map(np.asarray(disc(128)), 1.0, 30, 60)
    y, x = np.nonzero(edges)
    radius = np.hypot(x + 0.5 - 64, y + 0.5 - 64)
    outer = radius[radius > 30]
    assert edges.dtype == bool and edges.shape == (128, 128)
    assert len(outer) > 200 and np.abs(outer - 0.35 * 128).max() < 2


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_thresholds_are_contrasts_at_every_scale(sigma: float) -> None:
    step = np.full((64, 64, 4), 255, np.uint8)
    step[:, 32:, :3] = 255 - 40
    assert edge_map(step, sigma, 20, 30).any()
    assert not edge_map(step, sigma, 45, 55).any()


def test_alpha_alone_gives_an_edge() -> None:
    white = np.full((64, 64, 4), 255, np.uint8)
    white[:, :20, 3] = 0
    assert edge_map(white, 1.0, 30, 60)[:, 17:23].any(axis=1).all()
    white[..., 3] = 255
    assert not edge_map(white, 1.0, 30, 60).any()


def test_chains_cover_the_mask() -> None:
    mask = edge_map(np.asarray(disc(128)), 1.0, 30, 60)
    found = chains(mask)
    covered = np.zeros_like(mask)
    for chain in found:
        assert chain.dtype == np.float32 and chain.shape[1] == 2 and len(chain) > 1
        assert np.abs(np.diff(chain, axis=0)).max() <= 1
        covered[chain[:, 1].astype(int), chain[:, 0].astype(int)] = True
    assert not (covered & ~mask).any()
    assert np.asarray(distance_transform_edt(~covered))[mask].max() < 2


def test_a_ring_is_one_closed_chain() -> None:
    y, x = np.mgrid[:64, :64]
    (ring,) = chains(np.abs(np.hypot(x - 32, y - 32) - 20) < 0.7)
    assert (ring[0] == ring[-1]).all() and len(ring) > 100


def test_crossing_lines_go_straight_on() -> None:
    mask = np.zeros((41, 41), bool)
    mask[20, 2:39] = mask[2:39, 20] = True
    longest = sorted(chains(mask), key=len)[-2:]
    assert [len(chain) for chain in longest] == pytest.approx([37, 37], abs=2)
    assert sorted(np.ptp(chain, axis=0).argmax() for chain in longest) == [0, 1]


def test_chains_of_nothing() -> None:
    assert chains(np.zeros((16, 16), bool)) == []


def test_line_art_gives_centre_lines() -> None:
    drawing = trace(line_art(256))
    assert len(drawing.strokes) == 2 and all(s.tool == "pen" for s in drawing.strokes)
    ring = drawing.strokes[0].points
    assert np.hypot(ring[:, 0] - 256, ring[:, 1] - 256) == pytest.approx(150, abs=5)


@pytest.mark.parametrize("size", [64, 128, 512])
def test_a_picture_gives_its_contours(size: int) -> None:
    drawing = trace(disc(size))
    ink, _ = rasterise(drawing, 128)
    assert 2 <= len(drawing.strokes) <= 6
    y, x = np.nonzero(ink > 0.5)
    radius = np.hypot(x + 0.5 - 64, y + 0.5 - 64)
    outer = radius[radius > 25]
    assert np.median(outer) == pytest.approx(44, abs=1.5)
    angles = np.histogram(np.arctan2(y - 64, x - 64)[radius > 25], bins=24, range=(-np.pi, np.pi))[0]
    assert (angles > 0).all()


def test_detail_adds_strokes() -> None:
    generator = np.random.default_rng(0)
    image = Image.new("RGB", (256, 256), "white")
    pen = ImageDraw.Draw(image)
    for x, y in generator.integers(20, 230, (30, 2)):
        pen.ellipse((x, y, x + 14, y + 14), fill=(255, 225, 200))
    pen.rectangle((90, 90, 170, 170), fill=(40, 90, 200))
    low, high = trace(image, 0.0), trace(image, 1.0)
    assert 1 <= len(low.strokes) < len(high.strokes)


def test_tracing_is_fast() -> None:
    pictures = {128: (disc(128), 0.03), 512: (disc(512), 0.2)}
    for picture, limit in pictures.values():
        trace(picture)
        seconds = []
        for _ in range(5):
            start = time.process_time()
            trace(picture)
            seconds.append(time.process_time() - start)
        assert min(seconds) < limit


def test_a_blank_picture_is_an_empty_drawing() -> None:
    assert trace(Image.new("RGB", (300, 200), "white")).is_empty
    assert trace(Image.new("RGBA", (1, 1))).is_empty


def saved(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def test_import(tmp_path: Path) -> None:
    frames = [line_art(120), Image.new("RGB", (120, 120))]
    svg = tmp_path / "a.svg"
    svg.write_text('\ufeff<svg viewBox="0 0 9 9"><path d="M1 1L8 8"/></svg>', "utf-8")
    paths = [
        saved(tmp_path, "a.png", line_art(200)),
        saved(tmp_path, "a.jpg", line_art(300)),
        saved(tmp_path, "a.gif", frames[0], save_all=True, append_images=frames[1:]),
        svg,
    ]
    for path in paths:
        assert not Drawing.from_json(import_drawing(path)).is_empty
    (tmp_path / "a.json").write_text(import_drawing(svg))
    assert import_drawing(tmp_path / "a.json") == import_drawing(svg)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_import_of_bad_files(tmp_path: Path) -> None:
    whole = saved(tmp_path, "whole.png", disc(400)).read_bytes()
    files = {
        "empty": b"",
        "text.png": b"hello, I am no picture",
        "cut.png": whole[: len(whole) // 2],
        "cut.svg": b"<svg><path",
        "latin.svg": "<svg>é</svg>".encode("latin-1"),
        "blank.svg": b"<svg/>",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"\.$"):
            import_drawing(tmp_path / name)
    saved(tmp_path, "huge.png", Image.new("1", (12_000, 12_000)))
    with pytest.raises(ValueError, match="megapixels"):
        import_drawing(tmp_path / "huge.png")
    with pytest.raises(ValueError, match="found"):
        import_drawing(tmp_path / "missing.png")


def test_nothing_is_drawn_beside_a_wide_picture() -> None:
    stripes = np.full((120, 320, 3), 240, np.uint8)
    stripes[:, ::40] = stripes[:, 1::40] = stripes[:, 2::40] = 20
    rng = np.random.default_rng(0)
    busy = np.clip(stripes + rng.normal(0, 12, stripes.shape), 0, 255).astype(np.uint8)
    drawing = trace(Image.fromarray(busy), 0.8, 512)
    heights = [y for stroke in drawing.strokes for _, y, *_ in stroke.points]
    assert (
        heights
        and min(heights) > 512 * (0.5 - 0.5 * 120 / 320) - 12
        and max(heights) < 512 * (0.5 + 0.5 * 120 / 320) + 12
    )
