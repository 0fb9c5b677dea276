"""Gradio controls that several tabs share; knows no model."""
