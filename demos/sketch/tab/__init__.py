"""The Sketch tab: `page` lays it out, `handlers` answer the page, `endpoints` answer clients."""

from demos.sketch.tab.handlers import warm
from demos.sketch.tab.page import TITLE, build

__all__ = ["TITLE", "build", "warm"]
