"""The families as a tree, drawn: what a model says of p(x), and how each family follows from that."""

from __future__ import annotations

import html

from demos.lab.tab.stage import FAMILIES

__all__ = ["taxonomy"]

BRANCHES = {
    "Explicit density, tractable": ("p(x) can be computed exactly", ("autoregressive", "flow")),
    "Explicit density, approximate": ("a bound, an estimate, or up to a constant", ("vae", "energy", "score")),
    "Implicit density": ("only samples", ("gan",)),
}
"""What is known of p(x), in words, and the families of which that holds (after Goodfellow 2016, arXiv:1701.00160)."""
WIDTH, HEIGHT, BOX, GAP = 960, 312, 144, 17
TOP, MIDDLE, LOW = 12, 112, 226


def _box(x: float, y: float, width: float, title: str, note: str, kind: str) -> str:
    middle, height = x + width / 2, 62 if note else 44
    text = f'<text x="{middle:.1f}" y="{y + 27}" class="name">{html.escape(title)}</text>'
    if note:
        text += f'<text x="{middle:.1f}" y="{y + 47}" class="note">{html.escape(note)}</text>'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="10"/>{text}'


def _wire(x1: float, y1: float, x2: float, y2: float) -> str:
    half = (y1 + y2) / 2
    return f'<path d="M{x1:.1f} {y1}V{half}H{x2:.1f}V{y2}"/>'


def taxonomy() -> str:
    """The tree as SVG text; each family's box is a button with its number in `FAMILIES` as `data-index`."""
    count, numbers = len(FAMILIES), list(FAMILIES)
    left = (WIDTH - count * BOX - (count - 1) * GAP) / 2
    wires, boxes, at = [], [_box(WIDTH / 2 - 150, TOP, 300, "What does the model say of p(x)?", "", "root")], 0
    for title, (note, families) in BRANCHES.items():
        first = left + at * (BOX + GAP)
        wide = len(families) * BOX + (len(families) - 1) * GAP
        middle = first + wide / 2
        wires.append(_wire(WIDTH / 2, TOP + 44, middle, MIDDLE))
        boxes.append(_box(first, MIDDLE, wide, title, note, "branch"))
        for name in families:
            x = left + at * (BOX + GAP)
            wires.append(_wire(middle, MIDDLE + 62, x + BOX / 2, LOW))
            label = FAMILIES[name][0]
            boxes.append(
                f'<g role="button" tabindex="0" data-index="{numbers.index(name)}" aria-label="{label} in the gallery">'
                f"{_box(x, LOW, BOX, label, 'open in the gallery', 'leaf')}</g>"
            )
            at += 1
    return (
        f'<div class="wide"><svg class="tree" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="Families by what they say of p(x)">{"".join(wires)}{"".join(boxes)}</svg></div>'
    )
