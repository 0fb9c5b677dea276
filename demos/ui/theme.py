"""How the page looks: paper and ink with one accent, vermilion, in light and dark.

Only fonts that the visitor's system already has, nothing fetched from elsewhere: the page works without the internet.
Classes start with `at-`; the colours are Gradio's own variables, so that both modes follow from one rule.
"""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes.utils import colors, sizes

__all__ = ["ASSETS", "CSS", "HEAD", "look", "theme"]

ASSETS = str(Path(__file__).resolve().parent / "assets")
"""The one folder that visitors may fetch files from."""

_VERMILION = colors.Color(
    name="vermilion",
    c50="#fef4f1",
    c100="#fde5de",
    c200="#fbcdbf",
    c300="#f6a993",
    c400="#ee7c5c",
    c500="#de5530",
    c600="#c4401d",
    c700="#a33317",
    c800="#862d18",
    c900="#702a19",
    c950="#3d1208",
)
_SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")


def theme() -> gr.themes.Base:
    """The theme of the whole page."""
    return gr.themes.Base(
        primary_hue=_VERMILION,
        secondary_hue=_VERMILION,
        neutral_hue=colors.stone,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_lg,
        font=[_quoted(name) for name in _SANS],
        font_mono=[_quoted(name) for name in _MONO],
    ).set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#161412",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="#201d1b",
        background_fill_secondary="#f5f3f0",
        background_fill_secondary_dark="#1a1816",
        block_background_fill="white",
        block_background_fill_dark="#201d1b",
        block_border_width="1px",
        block_border_color="#e7e2dc",
        block_border_color_dark="#36312d",
        block_label_background_fill="*block_background_fill",
        block_label_background_fill_dark="*block_background_fill",
        block_label_border_width="0px",
        block_label_text_color="*neutral_500",
        block_label_text_color_dark="*neutral_400",
        block_title_text_weight="600",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        block_shadow="none",
        border_color_primary="#e7e2dc",
        border_color_primary_dark="#36312d",
        input_background_fill="#fdfcfb",
        input_background_fill_dark="#191715",
        input_border_width="1px",
        input_border_color="#dcd6cf",
        input_border_color_dark="#403a35",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_secondary_background_fill="#f0ece7",
        button_secondary_background_fill_dark="#2c2824",
        button_secondary_background_fill_hover="#e7e1da",
        button_secondary_background_fill_hover_dark="#38332e",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="*neutral_100",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_hover="*primary_800",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited="*primary_700",
        link_text_color_visited_dark="*primary_300",
        link_text_color_active="*primary_800",
        link_text_color_active_dark="*primary_200",
        loader_color="*primary_600",
        loader_color_dark="*primary_400",
    )


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name


CSS = """
.gradio-container { width: 100%; max-width: 1280px !important; margin: 0 auto !important; }
.at-header h1 { font-size: 1.7rem; font-weight: 650; letter-spacing: -0.02em; margin: 0.4rem 0 0; }
.at-header p { margin: 0.15rem 0 0.3rem; color: var(--body-text-color-subdued); }
.at-footer, .at-footer * { text-align: center; font-size: var(--text-sm); color: var(--body-text-color-subdued); }
.at-footer p { margin: 0.6rem 0; }
.row:has(> button):not(:has(> :not(button))) { align-items: stretch; }

.at-bar { height: 4px; border-radius: 2px; overflow: hidden; background: var(--border-color-primary); }
.at-bar > span { display: block; height: 100%; background: var(--primary-600); transition: width 0.15s linear; }
.at-bar[aria-hidden="true"] { background: transparent; }
.at-bar-text { position: absolute; right: 0; top: 7px; font-size: var(--text-xs);
  color: var(--body-text-color-subdued); }
.at-progress { position: relative; min-height: 22px; margin: -6px 0 -8px; overflow: visible; }
.prose table { font-size: var(--text-sm); border: 0 !important; }
.prose table tr { border: 0 !important; }
.prose table th, .prose table td { border: 0 !important; padding: 4px 14px 4px 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important; }

.at-seed { align-items: stretch; }
.at-dice { align-self: center; min-height: 44px; }
.at-frame { width: 100%; max-width: 560px; margin: 0 auto; aspect-ratio: 1; overflow: hidden;
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  background: repeating-conic-gradient(#fff 0 25%, #f4f2ef 0 50%) 0 0 / 24px 24px; }
.dark .at-frame { background: repeating-conic-gradient(#f2efeb 0 25%, #e6e2dd 0 50%) 0 0 / 24px 24px; }
.at-frame .at-frame { border: 0; background: none; aspect-ratio: auto; }
.at-frame div { width: 100%; height: 100%; max-width: none; }
.at-frame img { display: block; width: 100%; height: 100%; margin: 0; object-fit: contain; }
.at-frame .at-empty { display: grid; place-items: center; color: #78716c; }
.at-note { min-height: 1.5em; text-align: center; }
.at-note p { margin: 0; font-size: var(--text-sm); color: var(--body-text-color-subdued); }

.at-heat { position: relative; width: min(100%, calc(480px * var(--wide))); max-height: 480px; margin: 0 auto;
  overflow: hidden; border-radius: var(--radius-lg); }
.at-heat img, .at-heat svg { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; }
.at-heat-map { opacity: var(--at-heat, 0.8); }
.at-heat polygon { fill: none; stroke: #fff; stroke-width: 1.5px; vector-effect: non-scaling-stroke;
  filter: drop-shadow(0 0 1px #000); }
.at-fader { display: flex; gap: 8px; align-items: center; justify-content: center; font-size: var(--text-sm);
  color: var(--body-text-color-subdued); }
.at-fader input { accent-color: var(--primary-600); }
.at-plot { display: block; width: 100%; max-width: 640px; height: auto; margin: 0 auto; font-size: 11px; }
.at-plot text { fill: var(--body-text-color-subdued); }
.at-plot .at-axis { stroke: var(--border-color-primary); }
.at-plot .at-bars-0 { fill: var(--neutral-400); }
.at-plot .at-bars-1 { fill: var(--primary-500); fill-opacity: 0.75; }
.at-plot .at-bars-2 { fill: var(--body-text-color); fill-opacity: 0.7; }
.at-plot .at-mark-0 { stroke: var(--body-text-color); stroke-width: 1.5; stroke-dasharray: 4 3; }
.at-plot .at-mark-1, .at-plot .at-line { stroke: var(--primary-500); stroke-width: 2; fill: none; }
.at-plot .at-chance { stroke: var(--neutral-400); stroke-dasharray: 4 4; }
.at-plot .at-point { fill: var(--primary-500); }
.at-offstage { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.at-flush .html-container { padding: 0; }
.at-empty { display: grid; place-items: center; min-height: 160px; color: var(--body-text-color-subdued); }

.at-history .grid-container { gap: var(--spacing-sm); }
.at-history .grid-wrap.fixed-height, .at-shelf .grid-wrap.fixed-height { min-height: 0; max-height: none; }
.at-history [data-testid="block-label"] ~ * .grid-wrap, .at-shelf [data-testid="block-label"] ~ * .grid-wrap {
  padding-top: calc(var(--block-label-text-size) + 4 * var(--spacing-md)); }
.at-shelf .thumbnail-lg { aspect-ratio: 2; background: white; }
.at-history .empty { min-height: 96px !important; }

:focus-visible { outline: 2px solid var(--primary-500); outline-offset: 2px; }
@media (pointer: coarse) { button:not(.board *, .names *) { min-height: 40px; } }
@media (max-width: 640px) {
  .main.fillable.app { padding: 8px 12px !important; }
  .at-header h1 { font-size: 1.35rem; }
  .at-shelf .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .at-history .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)); }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation-duration: 0.01s !important; } }
"""

HEAD = """
<meta name="description" content="Draw, and a picture follows your lines: small generative models on a CPU.">
<meta name="color-scheme" content="light dark">
<style>@media (width <= 640px) { footer .show-api ~ .divider { display: none; } }</style>
"""
"""The rule is here because Gradio keeps `css` to what is above the footer; it hides what this dot divides."""


def look() -> dict[str, Any]:
    """Everything that `Blocks.launch` needs to know about the page's looks."""
    return {"theme": theme(), "css": CSS, "head": HEAD, "footer_links": ["api", "settings"]}
