"""The Audio tab: `page` lays it out, one module a section, `endpoints` answer clients."""

from demos.audio.tab.page import TITLE, build

__all__ = ["TITLE", "build"]
