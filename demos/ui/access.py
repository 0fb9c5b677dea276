"""A page on a shared host: who may enter, and what everybody is held to."""

import argparse
from pathlib import Path

from demos.ui import theme

__all__ = ["LIMITS", "credentials"]

LIMITS = {
    "max_file_size": "20mb",
    "allowed_paths": [theme.ASSETS],
    "state_session_capacity": 256,
    "enable_monitoring": False,
    "run_history": False,
    "show_error": False,
    "ssr_mode": False,
}
"""Arguments of `Blocks.launch`: bounded uploads and sessions, one folder, nothing recorded, no traces shown."""


def credentials(path: str) -> list[tuple[str, str]]:
    """Names and passwords from a file of `name:password` lines, as an argparse type.

    Raises:
        argparse.ArgumentTypeError: unreadable, empty (which Gradio would take for "no password"), or a malformed line.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from None
    pairs = [(name, password) for name, _, password in (line.partition(":") for line in lines)]
    if not pairs or not all(name and password for name, password in pairs):
        raise argparse.ArgumentTypeError(f"{path} must hold one name:password a line")
    return pairs
