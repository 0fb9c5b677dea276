"""How the page travels: compressed, with what has to run before Gradio's scripts, and its parts kept by the browser."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gradio.brotli_middleware import BrotliMiddleware
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demos.ui.scripts import CHANGES, changed

__all__ = ["Delivery", "options"]

SCRIPTS = "".join(
    f"<script>{(Path(__file__).parent / name).read_text(encoding='utf-8')}</script>"
    for name in ("stream.js", "rest.js")
).encode()
KEPT = "public, max-age=31536000, immutable"


class Delivery:
    """ASGI middleware for Gradio's page.

    The page describes all its tabs in two million characters, which are compressed to a tenth; Gradio compresses files
    only. Scripts given to `gr.Blocks.launch(head=...)` would run after those that they are for. The names of Gradio's
    assets contain a hash of what is in them: a browser need not ask for them twice. Some are changed on the way, see
    `demos.ui.scripts`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.compressed = _Compressed(self._page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and path in ("", "/"):
            await self.compressed(scope, receive, send)
        elif scope["type"] == "http" and path.startswith("/assets/"):
            await self._asset(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        def begun(page: bytes) -> bytes:
            return page.replace(b"<head>", b"<head>" + SCRIPTS, 1)

        await self.app(scope, receive, _Rewritten(begun, send))

    async def _asset(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(raw=message["headers"])["cache-control"] = KEPT
            await send(message)

        name = scope["path"].rpartition("/")[2].partition("-")[0]
        ours = name in CHANGES and scope["path"].endswith(".js") and scope["method"] == "GET"
        await self.app(scope, receive, _Rewritten(partial(changed, name), kept) if ours else kept)


class _Rewritten:
    """Gathers an answer that may come in parts and sends it on rewritten."""

    def __init__(self, rewrite: Callable[[bytes], bytes], send: Send) -> None:
        self.rewrite, self.send = rewrite, send
        self.start: Message = {}
        self.body = b""

    async def __call__(self, message: Message) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start":
            self.start = message
            return
        self.body += message.get("body", b"")
        if not message.get("more_body"):
            body = self.rewrite(self.body)
            MutableHeaders(raw=self.start["headers"])["content-length"] = str(len(body))
            await self.send(self.start)
            await self.send({"type": "http.response.body", "body": body})


class _Compressed(BrotliMiddleware):
    """Compresses whatever it is given, not only what looks like the name of a file."""

    def _is_compressible_file_type(self, scope: Scope) -> bool:
        return True


def options() -> dict[str, Any]:
    """The argument of `Blocks.launch` that delivers a page so; a new one each time, since Gradio writes into it."""
    return {"app_kwargs": {"middleware": [Middleware(Delivery)]}}
