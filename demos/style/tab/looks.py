"""How the Style tab looks and what its events share: styles, small scripts, lanes."""

from __future__ import annotations

from typing import Any

__all__ = ["FADER", "HEIGHT", "KEYS", "LANE", "PAIR", "QUIET", "THUMBNAILS"]

HEIGHT = "min(420px, 92vw)"
PAIR = f"""
.pair {{ position: relative; height: {HEIGHT}; overflow: hidden; border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); background: var(--background-fill-secondary); }}
.pair p {{ display: grid; place-items: center; height: 100%; margin: 0; color: var(--body-text-color-subdued); }}
.pair img {{ position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; object-fit: contain; }}
.pair .before {{ clip-path: inset(0 calc(100% - var(--at-before, 0%)) 0 0); }}
.pair .after {{ clip-path: inset(0 0 0 var(--at-before, 0%)); }}
"""
FADER = """
<style>
#style-tabs .caption-label, #style-grid .caption-label { left: 0; right: 0; max-width: none; white-space: normal;
  font-size: 11px; line-height: 1.25; text-align: center; }
@media (max-width: 640px) {
  :is(#style-examples, #style-gallery, #style-pictures, #style-grid) .grid-container {
    grid-template-columns: repeat(4, minmax(0, 1fr)); }
}
#style-mask .pad-onion { height: 100%; max-height: none; object-fit: contain; }
</style>
<label class="at-fader">After
<input type="range" min="0" max="100" step="1" value="0" aria-label="How much of the picture is shown as it was"
 oninput="document.documentElement.style.setProperty('--at-before', this.value + '%')">Before</label>
"""
KEYS = """
window.atelierStyleKeys ??= document.addEventListener('keyup', ({ key, target }) => {
  if (!target.matches?.('[id^="style-"] input')) return;
  const moved = target.type === 'range' && /^(Arrow|Page|Home|End)/.test(key);
  if (moved) target.dispatchEvent(new PointerEvent('pointerup', { bubbles: true }));
  if (target.type === 'number' && key === 'Enter') target.blur();
}) ?? true;
"""
THUMBNAILS: dict[str, Any] = {
    "height": "auto", "interactive": False, "allow_preview": False, "elem_classes": "at-history", "object_fit": "cover",
    "show_label": False, "buttons": [],
}  # fmt: skip

LANE: dict[str, Any] = {"concurrency_id": "style", "concurrency_limit": 1, "api_visibility": "private"}
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
