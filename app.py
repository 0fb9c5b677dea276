"""Atelier's page: one tab per use case. `python app.py --help` lists the options."""

import argparse
import logging
import os
from collections.abc import Sequence
from typing import Any

import gradio as gr

from demos import __version__
from demos.anomaly import tab as anomaly_tab
from demos.audio import tab as audio_tab
from demos.lab import tab as lab_tab
from demos.sketch import tab as sketch_tab
from demos.style import tab as style_tab
from demos.ui import access, delivery, events, theme


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; what is not given follows the environment variable named in its help."""
    mcp = os.environ.get("GRADIO_MCP_SERVER", "true").lower() == "true"
    add = (parser := argparse.ArgumentParser(description=__doc__)).add_argument
    add("--host", dest="server_name", help="address to listen on, 0.0.0.0 for all [GRADIO_SERVER_NAME]")
    add("--port", dest="server_port", type=int, help="else the first free one from 7860 [GRADIO_SERVER_PORT]")
    add("--share", action="store_true", default=None, help="make a public gradio.live link [GRADIO_SHARE]")
    add("--auth-file", dest="auth", type=access.credentials, help="who may enter: a file of name:password lines")
    add("--root-path", help="path behind a reverse proxy [GRADIO_ROOT_PATH]")
    add("--mcp", dest="mcp_server", action=argparse.BooleanOptionalAction, default=mcp, help="[GRADIO_MCP_SERVER]")
    add("--device", help="auto, cpu, cuda, cuda:1 or mps [ATELIER_DEVICE]")
    add("--max-queue", type=int, default=32, help="jobs that may wait before visitors hear “busy”")
    add("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser.parse_args(arguments)


def build(tabs: Sequence[Any] = (sketch_tab, audio_tab, style_tab, anomaly_tab, lab_tab)) -> gr.Blocks:
    """The page. A tab reaches the browser when it is first opened; its endpoints are there from the start."""
    with gr.Blocks(title="Atelier", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown("# Atelier\nDraw, play, paint, inspect, learn: models answer as you go.", elem_classes="at-header")
        with gr.Tabs():
            for tab in tabs:
                with gr.Tab(tab.TITLE, id=tab.TITLE.lower(), render_children=False):
                    tab.build()
        gr.Markdown(f"Atelier {__version__} · Apache-2.0 · computed where this app runs", elem_classes="at-footer")
        page.unload(events.unload)
    return page


def serve(page: gr.Blocks, device: str | None, max_queue: int, log_level: str, **launch: Any) -> tuple[Any, str, str]:
    """Start the server with the limits that a shared host needs; `launch` goes to `Blocks.launch`."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("atelier").setLevel(log_level.upper())
    os.environ.update({"ATELIER_DEVICE": device} if device else {})
    return events.queued(page, max_size=max_queue).launch(**access.LIMITS | theme.look() | delivery.options() | launch)


if __name__ == "__main__":
    serve(page := build(), **vars(parse()), prevent_thread_lock=True)
    sketch_tab.warm()
    page.block_thread()
