"""Pictures of 28 × 28 pixels and small tables as HTML text for `gr.HTML`: crisp, in the page's own colours."""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demos.core.media import data_uri

__all__ = ["Cell", "chances", "meter", "pane", "pixels", "row", "sheet", "sheet_of", "six", "strip", "table", "tile"]

Cell = tuple[str, str]
"""Content of a table's cell and its class: "number", "not" or nothing."""
PICKED = """
const pick = ({ target }) => {
  const cell = target.closest('[data-index]');
  if (cell) trigger('select', { index: Number(cell.dataset.index) });
};
element.addEventListener('click', pick);
element.addEventListener('keydown', (event) => {
  if (!['Enter', ' '].includes(event.key) || event.target.localName !== 'g') return;
  event.preventDefault();
  pick(event);
});
setTimeout(() => trigger('ready'), 0);
"""


@functools.cache
def _style() -> str:
    return (Path(__file__).parent / "garments.css").read_text(encoding="utf-8")


def pane(value: str = "", elem_id: str | None = None, *, alive: bool = False) -> gr.HTML:
    """A place for the fragments of this module; one that is `alive` fires `ready` and `select`."""
    return gr.HTML(
        value, elem_id=elem_id, elem_classes="at-flush", css_template=_style(), apply_default_css=False,
        html_template='<div style="container-type: inline-size">${value}</div>', js_on_load=PICKED if alive else None,
    )  # fmt: skip


def pixels(picture: Image.Image, alt: str) -> str:
    """A picture whose pixels stay squares."""
    return f'<img class="px" alt="{html.escape(alt)}" src="{data_uri(picture, "png")}">'


def sheet_of(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size as one, in as many columns as rows or one more."""
    columns, side = math.ceil(math.sqrt(len(pictures))), pictures[0].width
    whole = Image.new("L", (columns * side, -(-len(pictures) // columns) * side))
    for i, picture in enumerate(pictures):
        whole.paste(picture, (side * (i % columns), side * (i // columns)))
    return whole


def sheet(picture: Image.Image | None, alt: str, count: int = 0, chosen: int | None = None) -> str:
    """A sheet of samples as `sheet_of` lays it out; with a count each of them is a button."""
    if picture is None:
        return f'<div class="sheet"><p>{html.escape(alt)}</p></div>'
    columns = math.ceil(math.sqrt(max(count, 1)))
    cells = "".join(
        f'<button type="button" data-index="{i}" aria-label="Take picture {i + 1}" '
        f'aria-pressed="{str(i == chosen).lower()}"></button>'
        for i in range(count)
    )
    return (
        f'<div class="sheet" style="--columns:{columns}"><div>{pixels(picture, alt)}'
        f'<div class="cells">{cells}</div></div></div>'
    )


def tile(picture: Image.Image | None, title: str, note: str = "") -> str:
    """A picture and what it is; without a picture the note stands in its place."""
    named = f"<b>{html.escape(title)}</b>"
    if picture is None:
        return (
            f'<figure class="tile"><div class="none">{html.escape(note)}</div><figcaption>{named}</figcaption></figure>'
        )
    return f'<figure class="tile">{pixels(picture, title)}<figcaption>{named}{html.escape(note)}</figcaption></figure>'


def row(tiles: Sequence[str], kind: str = "") -> str:
    """Tiles side by side."""
    return f'<div class="row {kind}" style="--columns:{max(len(tiles), 1)}">{"".join(tiles)}</div>'


def six(panels: Mapping[str, tuple[Image.Image | None, str]]) -> str:
    """A panel a family: its sheet of samples and a note."""
    blank = Image.new("L", (8, 8))
    return (
        '<div class="six">'
        + "".join(tile(picture or blank, title, note) for title, (picture, note) in panels.items())
        + "</div>"
    )


def strip(pictures: Sequence[Image.Image], most: int = 8) -> str:
    """How one picture came about, evenly chosen."""
    if len(pictures) < 2:
        return '<div class="strip"></div>'
    at = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).round().astype(int)
    shown = "".join(pixels(pictures[i], f"On its way, {k + 1}") for k, i in enumerate(at))
    return f'<div class="strip row" style="--columns:{len(at)}">{shown}</div>'


def meter(percent: float, said: str) -> str:
    """A bar from 0 to 100 with its number beside it for whoever can't see it."""
    return (
        f'<span class="meter" role="img" aria-label="{html.escape(said)}"><i style="width:{percent:.1f}%"></i></span>'
    )


def table(head: Sequence[Cell], rows: Sequence[tuple[str, Sequence[Cell]]]) -> str:
    """A table; every row has a class of its own. Cells are HTML."""
    top = "".join(f'<th scope="col" class="{kind}">{text}</th>' for text, kind in head)
    body = "".join(
        f'<tr class="{of}">{"".join(f"""<td class="{kind}">{text}</td>""" for text, kind in cells)}</tr>'
        for of, cells in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def chances(found: Mapping[str, float]) -> str:
    """Probabilities of labels as bars, the likeliest marked."""
    most = max(found, key=lambda name: found[name])
    parts: list[Any] = []
    for name, p in found.items():
        kind = ' class="most"' if name == most else ""
        said = f"{100 * p:.1f} %"
        parts.append(f"<span{kind}>{name}</span>{meter(100 * p, f'{name}: {said}')}<span{kind}>{said}</span>")
    return f'<div class="chances">{"".join(parts)}</div>'
