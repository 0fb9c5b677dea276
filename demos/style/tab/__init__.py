"""The Style tab: `page` lays it out, the other modules answer it: one picture, the exact engine, many, clients."""

from demos.style.tab.page import TITLE, build

__all__ = ["TITLE", "build"]
