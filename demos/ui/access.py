"""Who may enter: names and passwords for a page on a shared host."""

import argparse
from pathlib import Path

__all__ = ["credentials"]


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
