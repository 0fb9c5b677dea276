"""Atelier: the use cases, the families of models behind them, and what they share."""

__version__ = "0.1.0"
