"""What the page calls about latent space: walk from a picture, mix two, add and subtract."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from PIL import Image

from demos.lab.tab.garments import example, model, title
from demos.lab.tab.tiles import row, sheet, tile
from demos.ui.events import guard

__all__ = ["SLOTS", "between", "first_slots", "put", "reset", "walk"]

HERE = "latent"
SLOTS = {"A": ("Pullover", 3), "B": ("T-shirt", 5), "C": ("Dress", 8)}
"""What lies in each place at first: a label and the seed of its sample by the VAE."""
DIRECTIONS = 8


def _refusal(family: str) -> str:
    """Why this family has no latent space, and which have; empty if it has one."""
    table = model().families()
    can = table[family]["representation"]
    if can["able"]:
        return ""
    able = [title(name) for name, row in table.items() if row["representation"]["able"]]
    return f"{can['note']} Choose {', '.join(able[:-1])} or {able[-1]}."


def _said(sentence: str) -> str:
    return f'<p class="said">{html.escape(sentence)}</p>'


@guard
def walk(where: str, family: str, hand: Image.Image | None, *amounts: float) -> tuple[Any, ...]:
    """The picture moved along the principal directions, and as it was."""
    if where != HERE:
        return gr.skip(), gr.skip()
    sentence = _refusal(family)
    if sentence:
        return sheet(None, sentence), ""
    picture = hand or example()
    moved = model().walk(family, picture, amounts)
    if any(amounts):
        note = "Moved along " + ", ".join(f"{i + 1} by {a:+.1f}" for i, a in enumerate(amounts) if a) + "."
    else:
        note = f"As {title(family)} encodes and decodes the picture in hand."
    return sheet(moved, note), note


@guard
def reset() -> list[float]:
    """All amounts at nothing."""
    return [0.0] * DIRECTIONS


@guard
def first_slots(where: str, slots: dict[str, Any]) -> tuple[Any, ...]:
    """Three samples to mix, if there are none yet: pictures, how they are shown."""
    if where != HERE or slots:
        return gr.skip(), gr.skip()
    found = {name: model().sample("vae", 1, label, seed)[0] for name, (label, seed) in SLOTS.items()}
    return found, _shelf(found)


def _shelf(slots: dict[str, Any]) -> str:
    return row([tile(picture, name) for name, picture in slots.items()], "of-3")


@guard
def put(name: str, slots: dict[str, Any], hand: Image.Image | None) -> tuple[Any, ...]:
    """The picture in hand in one of the places: pictures, how they are shown."""
    slots = {**slots, name: hand or example()}
    return slots, _shelf(slots)


@guard
def between(where: str, family: str, slots: dict[str, Any], count: float) -> tuple[Any, ...]:
    """The way from A to B, and A - B + C."""
    if where != HERE or not slots:
        return gr.skip(), gr.skip()
    sentence = _refusal(family)
    if sentence:
        return _said(sentence), ""
    way = model().interpolate(family, slots["A"], slots["B"], int(count))
    tiles = [tile(picture, "A" if i == 0 else "B" if i == len(way) - 1 else " ") for i, picture in enumerate(way)]
    made = model().arithmetic(family, slots["A"], slots["B"], slots["C"])
    terms = [tile(slots["C"], "C"), tile(slots["A"], "+ A"), tile(slots["B"], "− B"), tile(made, "=")]
    return row(tiles, "way"), row(terms, "of-4")
