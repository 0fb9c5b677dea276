"""The Lab tab: `page` lays it out, `handlers` answer the page, `stage` draws the models in the browser."""

from demos.lab.tab.page import TITLE, build

__all__ = ["TITLE", "build"]
