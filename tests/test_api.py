"""The endpoints of the running app, as a program reaches them: `gradio_client`, plain HTTP and MCP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ListToolsResult, TextContent
from PIL import Image, ImageDraw

from demos.sketch.data import STYLES
from tests.conftest import serving

RING = json.dumps(
    {"strokes": [{"points": [[256 + 150 * math.cos(a / 5), 256 + 150 * math.sin(a / 5)] for a in range(32)]}]}
)
FUNCTIONS = {
    "sketch_to_image", "sketch_styles", "play_note", "transfer_timbre", "instruments", "harmonise", "speak_digits",
    "voices", "restyle", "style_presets", "score_image", "fit_detector", "score_folder", "family_sample",
    "family_log_prob", "family_encode", "families", "augment_classifier",
}  # fmt: skip
Write = Callable[[str, bytes], Path]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of the whole app, served as `python app.py` does."""
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def draw(client: Client, sketch: Any = RING, **settings: Any) -> list[Path]:
    given = client.predict(sketch, **{"steps": 2, **settings}, api_name="/sketch_to_image")
    return [Path(name) for name in given]


def opened(path: Path) -> Image.Image:
    assert path.suffix == ".png" and path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    picture = Image.open(path)
    picture.load()
    return picture


def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def photograph(offset: int = 0) -> Image.Image:
    """A drawn circle on paper."""
    picture = Image.new("RGB", (300, 200), (250, 248, 240))
    ImageDraw.Draw(picture).ellipse((60 + offset, 20, 220, 180), outline=(30, 30, 40), width=5)
    return picture


def refused(client: Client, sketch: Any, sentence: str, **settings: Any) -> None:
    """The call ends with the sentence, and the next one works."""
    with pytest.raises(AppError, match=sentence) as caught:
        draw(client, sketch, **settings)
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 400
    assert len(draw(client, steps=1)) == 1


def test_all_functions_are_there_and_described(client: Client, url: str) -> None:
    described: Any = client.view_api(return_format="dict", print_info=False)
    endpoints = described["named_endpoints"]
    assert set(endpoints) == {f"/{name}" for name in FUNCTIONS}
    names = [p["parameter_name"] for p in endpoints["/sketch_to_image"]["parameters"]]
    assert names == ["sketch", "prompt", "style", "count", "steps", "guidance", "faithfulness", "seed"]
    defaults = [p["parameter_default"] for p in endpoints["/sketch_to_image"]["parameters"][1:]]
    assert defaults == ["", "fluent_3d", 1, 8, 2.0, 1.0, 0]
    assert "pictograms" in httpx.get(url + "gradio_api/info").text


def test_styles(client: Client) -> None:
    assert client.predict(api_name="/sketch_styles") == list(STYLES)


def test_strokes_become_a_transparent_png(client: Client) -> None:
    (path,) = draw(client, steps=8)
    picture = opened(path)
    assert picture.mode == "RGBA" and picture.size == (512, 512)
    alpha = np.asarray(picture)[..., 3]
    assert max(alpha[0, 0], alpha[0, -1], alpha[-1, 0], alpha[-1, -1]) < 25 and alpha.max() > 200


def test_the_same_seed_gives_the_same_files(client: Client) -> None:
    first, again, other = (draw(client, seed=seed, count=2) for seed in (5, 5, 6))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    assert first[0].read_bytes() != first[1].read_bytes() != other[1].read_bytes()


def test_pictures_are_drawings_too(client: Client, write: Write) -> None:
    file = write("photo.jpg", encoded(photograph(), "JPEG"))
    (path,) = draw(client, handle_file(file))
    data = "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode()
    assert opened(path).size == (512, 512)
    assert draw(client, data)[0].read_bytes() == path.read_bytes()
    assert draw(client, handle_file(write("other.png", encoded(photograph(60)))))[0].read_bytes() != path.read_bytes()


def test_words_alone_and_all_settings(client: Client) -> None:
    made = draw(client, "", prompt="red apple", style="noto:1, twemoji:2", count=3, steps=3, guidance=3.5, seed=-1)
    assert len({p.read_bytes() for p in made}) == 3
    seeds = {draw(client, seed=-1, steps=1)[0].name for _ in range(3)}
    assert len(seeds) == 3


def test_unknown_words_are_no_error(client: Client) -> None:
    assert draw(client, prompt="qwxyz")[0].read_bytes() == draw(client)[0].read_bytes()


@pytest.mark.parametrize("sketch", ["", " ", '{"strokes": []}', "{}", None])
def test_nothing_at_all_is_refused(client: Client, sketch: str | None) -> None:
    refused(client, sketch, "Draw something, or name it in words")


@pytest.mark.parametrize(
    ("sketch", "sentence"),
    [
        ("no json", "isn't valid JSON"),
        ("[" * 50_000, "isn't valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"strokes": 5}', "strokes must be a list"),
        ('{"strokes": [{"points": [[NaN, NaN]]}]}', "no point with finite coordinates"),
        ('{"strokes": [{"points": [["<b>", 1]]}]}', "must be a number"),
        ('{"strokes": [{"width": -1, "points": [[1, 1]]}]}', "positive number"),
        (json.dumps({"strokes": [{"points": [[1, 1]]}] * 10_001}), "10,001 strokes; at most 10,000"),
        ("/etc/passwd", "isn't valid JSON"),
        ("data:image/png;base64,!!!", "data: URI"),
        ("data:image/png;base64,aGVsbG8=", "not a picture that can be read"),
        ("data:,", "data: URI"),
    ],
    ids=lambda text: str(text)[:30],
)
def test_malformed_drawings_are_refused(client: Client, sketch: str, sentence: str) -> None:
    refused(client, sketch, sentence)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"count": 10**9}, "“count” must be a whole number from 1 to 16"),
        ({"count": 0}, "“count” must be"),
        ({"count": 1.5}, "“count” must be"),
        ({"count": None}, "“count” must be"),
        ({"count": "many"}, "“count” must be"),
        ({"steps": 0}, "“steps” must be a whole number from 1 to 50"),
        ({"steps": 10**9}, "“steps” must be"),
        ({"guidance": "NaN"}, "“guidance” must be a number from"),
        ({"guidance": "Infinity"}, "“guidance” must be"),
        ({"guidance": -1}, "“guidance” must be"),
        ({"faithfulness": 1e308}, "“faithfulness” must be a number from"),
        ({"faithfulness": []}, "“faithfulness” must be"),
        ({"style": "oil painting"}, "no style “oil painting”; the styles are fluent_3d"),
        ({"style": None}, "style"),
        ({"style": 7}, "style"),
        ({"style": {"a": []}}, "style"),
        ({"prompt": "x" * 40_000}, "limited to 2,000 characters; this text has 40,000"),
        ({"prompt": ["cat"]}, "The words must be a text"),
        ({"prompt": None}, "The words must be a text"),
        ({"seed": 1.5}, "The seed must be a whole number"),
        ({"seed": 10**30}, "The seed must be a whole number"),
        ({"seed": "cat"}, "The seed must be a whole number"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_settings_out_of_range_are_refused(client: Client, settings: dict[str, Any], sentence: str) -> None:
    refused(client, RING, sentence, **settings)


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("huge.png", lambda: encoded(Image.new("1", (12_000, 12_000))), "12000 × 12000 pixels, more than 50 million"),
        ("cut.png", lambda: encoded(noise(200))[:9000], "damaged or cut off"),
        ("text.png", lambda: b"hello", "not a picture that can be read"),
        ("script.svg", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "not a picture"),
        ("blank.png", lambda: encoded(Image.new("RGB", (64, 64), "white")), "Draw something"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_are_refused(
    client: Client, write: Write, name: str, make: Callable[[], bytes], sentence: str
) -> None:
    refused(client, handle_file(write(name, make())), sentence)


def test_an_animated_gif_counts_with_its_first_frame(client: Client, write: Write) -> None:
    frames = [photograph(20 * i) for i in range(3)]
    gif = write("moving.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    still = write("still.gif", encoded(frames[0], "GIF"))
    assert draw(client, handle_file(gif))[0].read_bytes() == draw(client, handle_file(still))[0].read_bytes()


@pytest.mark.parametrize("sketch", [{"path": "/etc/passwd"}, {"path": "app.py"}, {"path": None}, {"a": 1}, 7, [RING]])
def test_only_uploaded_files_are_read(url: str, client: Client, sketch: Any) -> None:
    answer = post(url, sketch)
    assert "event: error" in answer and "event: complete" not in answer
    assert "root:" not in answer and "Traceback" not in answer and "Something went wrong" not in answer
    assert len(draw(client, steps=1)) == 1


def test_what_is_fine_stays_fine(client: Client) -> None:
    for sketch in (
        '{"strokes": [{"points": [[256, 256]]}]}',
        '{"strokes": [{"points": [[9, 9], [NaN, 1], [400, 300]]}]}',
        json.dumps({"strokes": [{"points": [[i % 500, i // 20], [250, 250]]} for i in range(10_000)]}),
    ):
        assert opened(draw(client, sketch)[0]).size == (512, 512)


def test_two_clients_at_once_get_their_own(url: str) -> None:
    words = ("red", "blue")
    alone = {w: draw(Client(url, verbose=False), prompt=w)[0].read_bytes() for w in words}
    both: dict[str, list[bytes]] = {}

    def call(word: str) -> None:
        mine = Client(url, verbose=False)
        both[word] = [draw(mine, prompt=word)[0].read_bytes() for _ in range(3)]

    threads = [threading.Thread(target=call, args=(w,)) for w in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert both == {w: [alone[w]] * 3 for w in words} and alone["red"] != alone["blue"]


def test_the_address_of_a_result_works(url: str) -> None:
    line = next(line for line in post(url, RING).splitlines() if line.startswith("data: "))
    (file,) = json.loads(line.removeprefix("data: "))[0]
    answer = httpx.get(httpx.URL(url).join(file["url"]))
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (512, 512)


def test_json_s_own_nan_is_refused(url: str) -> None:
    answer = post(url, RING, guidance=math.nan)
    assert "“guidance” must be a number" in json.loads(answer.split("data: ")[1])["error"]


class TestAgents:
    """The same functions as tools of the Model Context Protocol."""

    @staticmethod
    def ask(url: str, *calls: tuple[str, dict[str, Any]]) -> tuple[ListToolsResult, list[CallToolResult]]:
        async def session() -> tuple[ListToolsResult, list[CallToolResult]]:
            async with (
                streamable_http_client(url + "gradio_api/mcp/") as (read, write, _),
                ClientSession(read, write) as agent,
            ):
                await agent.initialize()
                return await agent.list_tools(), [await agent.call_tool(*call) for call in calls]

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, asyncio.wait_for(session(), 120)).result()

    def test_tools_are_listed_with_their_descriptions(self, url: str) -> None:
        listed, _ = self.ask(url)
        tools = {tool.name: tool for tool in listed.tools}
        assert set(tools) == FUNCTIONS and all(tool.description for tool in listed.tools)
        drawing = tools["sketch_to_image"]
        assert drawing.description and "pictograms" in drawing.description
        assert set(drawing.inputSchema["properties"]) >= {"sketch", "prompt", "style", "count", "steps", "seed"}
        assert "strokes" in json.dumps(drawing.inputSchema)

    def test_tools_answer(self, url: str) -> None:
        _, (styles, made) = self.ask(
            url, ("sketch_styles", {}), ("sketch_to_image", {"sketch": RING, "prompt": "cat", "steps": 2})
        )
        assert not styles.isError and not made.isError
        assert isinstance(styles.content[0], TextContent) and "fluent_high_contrast" in styles.content[0].text
        assert isinstance(made.content[0], TextContent)
        (address,) = re.findall(r"'url': '(http[^']+)'", made.content[0].text)
        assert Image.open(io.BytesIO(httpx.get(address).content)).size == (512, 512)

    @pytest.mark.parametrize("form", ["{path}", "{url}gradio_api/file={path}", "data:image/png;base64,{data}"])
    def test_an_uploaded_picture_is_a_sketch(self, url: str, form: str) -> None:
        data = encoded(photograph())
        (path,) = httpx.post(url + "gradio_api/upload", files={"files": ("photo.png", data)}).json()
        sketch = form.format(path=path, url=url, data=base64.b64encode(data).decode())
        _, (made,) = self.ask(url, ("sketch_to_image", {"sketch": sketch, "steps": 1}))
        assert not made.isError, made.content

    @pytest.mark.parametrize(
        "sketch", ["http://169.254.169.254/a.png", "https://example.com/file=/etc/passwd", "/etc/passwd"]
    )
    def test_nothing_else_is_fetched(self, url: str, sketch: str) -> None:
        _, (made,) = self.ask(url, ("sketch_to_image", {"sketch": sketch, "steps": 1}))
        assert made.isError and isinstance(made.content[0], TextContent)
        assert re.search(r"valid JSON|was not uploaded|A file is expected", made.content[0].text)

    def test_a_wrong_call_is_answered_with_the_sentence(self, url: str) -> None:
        _, (wrong, right) = self.ask(
            url, ("sketch_to_image", {"sketch": "", "prompt": ""}), ("sketch_to_image", {"sketch": RING, "steps": 1})
        )
        assert wrong.isError and not right.isError
        assert isinstance(wrong.content[0], TextContent) and "Draw something" in wrong.content[0].text


def post(url: str, sketch: Any, guidance: float = 2.0) -> str:
    """The raw events with which the HTTP API answers."""
    body = json.dumps({"data": [sketch, "", "noto", 1, 1, guidance, 1.0, 0]})
    call = httpx.post(
        f"{url}gradio_api/call/sketch_to_image", content=body, headers={"content-type": "application/json"}
    )
    if call.status_code != 200:
        return f"event: error\n{call.text}"
    return httpx.get(f"{url}gradio_api/call/sketch_to_image/{call.json()['event_id']}", timeout=60).text
