"""The Anomaly tab: `page` lays it out, `handlers` and `many` answer the page, `endpoints` answer clients."""

from demos.anomaly.tab.page import TITLE, build

__all__ = ["TITLE", "build"]
