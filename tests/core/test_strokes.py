"""Strokes: what the JSON may hold, what the rasteriser draws, and what comes back from SVG and from pictures."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demos.core.strokes import INK, Drawing, Stroke, parse_colour, radii, rasterise, render, split_picture

LINE = [[100, 256, 0.5], [400, 256, 0.5]]


def drawing(*strokes: dict, **more: object) -> Drawing:
    return Drawing.from_json({"version": 1, "size": 512, "strokes": list(strokes), **more})


def scribble(count: int, points: int, seed: int = 0) -> Drawing:
    generator = np.random.default_rng(seed)
    tools, widths = ("pen", "pen", "pen", "brush", "pen", "eraser"), (8.0, 5.0, 6.0, 36.0, 8.0, 30.0)
    strokes = []
    for i in range(count):
        walk = generator.uniform(80, 430, 2) + np.cumsum(generator.normal(0, 7, (points, 2)), axis=0)
        pressure = generator.uniform(0.3, 0.8, (points, 1))
        colour = (40 * i % 256, 90, 200)
        strokes.append(Stroke(np.hstack([walk, pressure]).astype(np.float32), widths[i % 6], colour, tools[i % 6]))
    return Drawing(tuple(strokes))


def test_json_round_trip() -> None:
    first = scribble(12, 20)
    again = Drawing.from_json(first.to_json())
    assert [s.tool for s in again.strokes] == [s.tool for s in first.strokes]
    assert again.strokes[3].colour == first.strokes[3].colour
    assert np.abs(again.strokes[5].points - first.strokes[5].points).max() < 0.01
    assert Drawing.from_json(again.to_json()).to_json() == again.to_json()


def test_points_of_two_three_or_four_numbers() -> None:
    mixed = drawing({"points": [[1, 2], [3, 4, 0.7], [5, 6, 0.9, 120]]})
    assert mixed.strokes[0].points.tolist() == pytest.approx(np.array([[1, 2, 0.5], [3, 4, 0.7], [5, 6, 0.9]]))
    assert mixed.strokes[0].colour == INK and mixed.strokes[0].tool == "pen"


@pytest.mark.parametrize("text", ["", "{}", '{"strokes": []}', '{"strokes": [{"tool": "eraser", "points": [[1, 1]]}]}'])
def test_nothing_drawn_is_empty(text: str) -> None:
    assert Drawing.from_json(text).is_empty
    assert rasterise(Drawing.from_json(text), 64)[0].max() == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "object"),
        ('"text"', "object"),
        ('{"version": 2}', "version"),
        ('{"strokes": 3}', "list"),
        ('{"strokes": [4]}', "Stroke 1"),
        ('{"strokes": [{"tool": "laser", "points": [[1, 1]]}]}', "tool"),
        ('{"strokes": [{"tool": ["pen"], "points": [[1, 1]]}]}', "tool"),
        ('{"strokes": [{"points": "abc"}]}', "points"),
        ('{"strokes": [{"points": [[1]]}]}', "point"),
        ('{"strokes": [{"points": [[1, "2"]]}]}', "number"),
        ('{"strokes": [{"points": [[1, [2]]]}]}', "number"),
        ('{"strokes": [{"points": [[NaN, 1], [1, Infinity]]}]}', "finite"),
        ('{"strokes": [{"points": [[1, 1]], "width": -3}]}', "width"),
        ('{"strokes": [{"points": [[1, 1]], "width": "8"}]}', "width"),
        ('{"strokes": [{"points": [[1, 1]], "colour": "url(x)"}]}', "colour"),
        ('{"size": 0}', "size"),
        ('{"size": 1' + "0" * 400 + "}", "large"),
        (" " * 16_000_001, "16 MB"),
        (json.dumps({"strokes": [{"points": [[1, 1]]}] * 10_001}), "10,001"),
        (json.dumps({"strokes": [{"points": [[1, 1]] * 400_001}]}), "400,000"),
    ],
)
def test_bad_json_is_a_clear_value_error(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        Drawing.from_json(text)
    assert len(str(error.value)) < 120 and str(error.value).endswith(".")


def test_points_that_are_not_finite_are_dropped() -> None:
    kept = Drawing.from_json('{"strokes": [{"points": [[NaN, 1], [10, 20], [null, 3], [1e999, 4], [30, 40]]}]}')
    assert kept.strokes[0].points[:, :2].tolist() == [[10, 20], [30, 40]]


def test_far_coordinates_are_clipped() -> None:
    far = drawing({"points": [[-1e30, 5], [1e30, 5]], "width": 1e9})
    assert far.strokes[0].points[:, 0].tolist() == [-512, 1024]
    assert rasterise(far, 32)[0].mean() == pytest.approx((5 + 256) / 512, abs=0.01)


def test_ten_thousand_strokes_are_drawn_within_three_seconds() -> None:
    many = Drawing.from_json(scribble(10_000, 20).to_json())
    start = time.process_time()
    ink, _ = rasterise(many, 128)
    assert time.process_time() - start < 3
    assert len(many.strokes) == 10_000 and ink.any()


def test_a_small_drawing_is_fast() -> None:
    small = scribble(20, 30)
    rasterise(small, 128)
    seconds = []
    for _ in range(15):
        start = time.process_time()
        rasterise(small, 128)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.006


@pytest.mark.parametrize("size", [64, 128, 512])
@pytest.mark.parametrize("pressure", [0.0, 0.5, 1.0])
def test_a_line_has_the_area_of_its_capsule(size: int, pressure: float) -> None:
    ink, colour = rasterise(drawing({"points": [[100, 256, pressure], [400, 256, pressure]], "width": 20}), size)
    width = 20 * (0.4 + 1.2 * pressure)
    area = (300 * width + np.pi * width**2 / 4) * (size / 512) ** 2
    assert ink.sum() == pytest.approx(area, rel=0.04)
    assert ink.shape == (size, size) and ink.dtype == np.float32 and ink.min() == 0 and 0.4 < ink.max() <= 1
    assert colour.shape == (size, size, 4) and colour.dtype == np.uint8 and not colour.any()


def test_a_tapered_segment_is_the_hull_of_two_discs() -> None:
    stroke = Stroke(np.array([[150, 256, 1.0], [330, 256, 0.0]], np.float32), 100.0)
    (a, b), distance = radii(stroke), 180.0
    angle = np.arccos((a - b) / distance)
    area = a * a * (np.pi - angle) + b * b * angle + (a + b) * np.sqrt(distance**2 - (a - b) ** 2)
    assert rasterise(Drawing((stroke,)), 512)[0].sum() == pytest.approx(area, rel=0.005)


def test_a_point_within_a_larger_disc_adds_nothing() -> None:
    disc = Stroke(np.array([[256, 256, 1.0]], np.float32), 100.0)
    both = Stroke(np.array([[256, 256, 1.0], [266, 256, 0.1]], np.float32), 100.0)
    one, two = rasterise(Drawing((disc,)), 256)[0], rasterise(Drawing((both,)), 256)[0]
    assert one.sum() == pytest.approx(np.pi * 80**2 / 4, rel=0.01)
    assert np.abs(one - two).mean() < 2e-3


def test_a_dot_is_centred() -> None:
    ink, _ = rasterise(drawing({"points": [[100, 300]], "width": 16}), 512)
    y, x = np.nonzero(ink)
    assert (x.mean() + 0.5, y.mean() + 0.5) == pytest.approx((100, 300), abs=0.1)
    assert ink.sum() == pytest.approx(np.pi * 64, rel=0.03)


def test_layers_and_eraser() -> None:
    brush = {"tool": "brush", "colour": "#e5484d", "width": 40, "points": LINE}
    pen = {"points": [[250, 100], [250, 400]], "width": 10, "colour": "#00f"}
    eraser = {"tool": "eraser", "width": 60, "points": [[350, 256]]}
    shown = np.asarray(render(drawing(pen, brush, eraser, {**pen, "points": [[350, 256]]}), 512))
    assert shown[256, 200].tolist() == [229, 72, 77]
    assert shown[256, 250].tolist() == [0, 0, 255]
    assert shown[256, 370].tolist() == [255, 255, 255]
    assert shown[256, 350].tolist() == [0, 0, 255]
    ink, colour = rasterise(drawing(pen, brush, eraser), 512)
    assert ink[256, 250] == 1 and ink[256, 200] == 0
    assert colour[256, 250].tolist() == [229, 72, 77, 255] and colour[256, 350, 3] == 0
    rim = colour[(colour[..., 3] > 40) & (colour[..., 3] < 255)]
    assert len(rim) and np.abs(rim[:, :3].astype(int) - [229, 72, 77]).max() < 5


def test_render_agrees_with_rasterise() -> None:
    ink, _ = rasterise(drawing({"points": LINE, "colour": "#000"}), 128)
    grey = np.asarray(render(drawing({"points": LINE, "colour": "#000"}), 128))[..., 0] / 255
    assert np.abs((1 - grey) - ink).max() < 0.01


@pytest.mark.parametrize("size", [0, -1, 7, 10**9])
def test_absurd_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="between"):
        rasterise(drawing(), size)


def test_colours() -> None:
    assert parse_colour("#1b1b1f") == INK and parse_colour("#f0a") == (255, 0, 170)


def test_svg_round_trip() -> None:
    first = scribble(18, 12)
    again = Drawing.from_svg(first.to_svg())
    assert [s.tool for s in again.strokes][:1] == ["pen"] and "eraser" in [s.tool for s in again.strokes]
    off = np.abs(np.asarray(render(first, 256), float) - np.asarray(render(again, 256), float))
    assert off.mean() < 1.5 and np.asarray(render(first, 256)).mean() < 250


@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [
        ('<path d="M20 50H80"/>', (50, 50), (50, 20)),
        ('<path d="m20 20 l60 0 v60 h-60 z"/>', (80, 50), (50, 50)),
        ('<path d="M20 50C20 20 80 20 80 50"/>', (50, 27.5), (50, 50)),
        ('<path d="M20 50Q50 0 80 50T140 50"/>', (50, 25), (50, 50)),
        ('<path d="M20 50A30 30 0 0 1 80 50"/>', (50, 20), (50, 80)),
        ('<path d="M20 50C20 20 50 20 50 50S80 80 80 50"/>', (65, 72.5), (65, 27)),
        ('<polyline points="20,20 80,20 80,80"/>', (80, 50), (50, 50)),
        ('<polygon points="20,20 80,20 80,80"/>', (50, 50), (20, 80)),
        ('<line x1="20" y1="80" x2="80" y2="20"/>', (50, 50), (20, 20)),
        ('<rect x="20" y="20" width="60" height="60" rx="5"/>', (20, 50), (50, 50)),
        ('<circle cx="50" cy="50" r="30"/>', (80, 50), (50, 50)),
        ('<ellipse cx="50" cy="50" rx="40" ry="20"/>', (50, 30), (50, 50)),
        ('<g transform="translate(10 0) scale(2)"><path d="M10 20h20"/></g>', (50, 40), (20, 20)),
        ('<path transform="rotate(90 50 50)" d="M20 50H80"/>', (50, 25), (25, 50)),
        ('<path transform="matrix(0 1 1 0 0 0)" d="M20 30H80"/>', (30, 50), (50, 30)),
    ],
)
def test_svg_shapes(shape: str, inside: tuple[float, float], outside: tuple[float, float]) -> None:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" fill="none" stroke="#000">{shape}</svg>'
    ink, _ = rasterise(Drawing.from_svg(text), 200)
    assert (
        ink[
            round(inside[1] * 2) - 3 : round(inside[1] * 2) + 3, round(inside[0] * 2) - 3 : round(inside[0] * 2) + 3
        ].max()
        > 0.6
    )
    assert ink[round(outside[1] * 2), round(outside[0] * 2)] == 0


def test_svg_fills_become_colour_and_the_view_box_is_fitted() -> None:
    ink, colour = rasterise(
        Drawing.from_svg('<svg viewBox="0 0 200 100"><rect x="50" width="100" height="100" fill="#e00"/></svg>'), 100
    )
    assert colour[50, 50].tolist() == [238, 0, 0, 255] and colour[10, 50, 3] == 0
    assert ink[50, 25] > 0.5 and ink[50, 50] == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<svg",
        "<html/>",
        '<!DOCTYPE x [<!ENTITY a "b">]><svg>&a;</svg>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg><text>&a;</text></svg>',
        '<svg viewBox="0 0 0 0"/>',
        "<svg>" + "<g>" * 5000 + "</g>" * 5000 + "</svg>",
        "<svg>" + '<path d="M0 0h1"/>' * 10_001 + "</svg>",
        "<svg>" + " " * 4_000_000 + "</svg>",
    ],
)
def test_bad_svg_is_a_clear_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"SVG.*\.$"):
        Drawing.from_svg(text)


def test_svg_garbage_is_ignored() -> None:
    shapes = '<path d="M nan nan L garbage"/><circle r="x"/><rect width="10%"/><use href="#a"/><image href="x.png"/>'
    assert Drawing.from_svg(f"<svg>{shapes}</svg>").is_empty


def sheet(ground: tuple[int, ...], line: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (512, 512), ground)
    pen = ImageDraw.Draw(image)
    pen.rectangle((60, 60, 450, 450), outline=line, width=10)
    pen.ellipse((200, 200, 320, 320), fill=(220, 40, 40, 255)[: len(ground)])
    return image


@pytest.mark.parametrize(
    "image",
    [
        sheet((255, 255, 255), (20, 20, 20)),
        sheet((225, 215, 190), (30, 30, 40)),
        sheet((18, 20, 24), (240, 240, 240)),
        sheet((0, 0, 0, 0), (20, 20, 20, 255), "RGBA"),
        Image.fromarray(
            (np.asarray(sheet((250, 245, 235), (20, 20, 20))) * np.linspace(0.5, 1, 512)[:, None]).astype(np.uint8)
        ),
    ],
    ids=["white", "paper", "board", "transparent", "shadow"],
)
def test_split_picture(image: Image.Image) -> None:
    ink, colour = split_picture(image, 128)
    assert ink.shape == (128, 128) and ink.dtype == np.float32 and colour.shape == (128, 128, 4)
    assert ink[64, 16] > 0.7 and ink[16, 64] > 0.7
    assert ink[40, 40] < 0.05 and ink[64, 64] < 0.05
    red, green, blue, alpha = colour[64, 64].astype(int)
    assert alpha > 200 and red > 150 and max(green, blue) < 90
    assert colour[40, 40, 3] < 30 and colour[5, 5, 3] < 30


def test_split_picture_keeps_proportions() -> None:
    ink, colour = split_picture(Image.new("L", (400, 100), 255), 64)
    assert not ink.any() and not colour.any()
    wide = Image.new("RGB", (400, 100), "white")
    ImageDraw.Draw(wide).line((0, 50, 400, 50), fill="black", width=8)
    ink, _ = split_picture(wide, 64)
    assert ink[32, 32] > 0.5 and ink[:24].max() == 0 and ink[40:].max() == 0
