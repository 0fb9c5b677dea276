const LOWEST = 24, HIGHEST = 100, BLACK = [1, 3, 6, 8, 10];
const NAMES = ["C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B"];
const CODES = "KeyA KeyW KeyS KeyE KeyD KeyF KeyT KeyG KeyY KeyH KeyU KeyJ KeyK KeyO KeyL KeyP Semicolon".split(" ");
const TEXT = "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable=true]";
let state = JSON.parse(stored), low = 12 * Math.floor(state.pitch / 12) - 12, octaves = 2, glissando = false;

root.innerHTML = `
  <div class="piano"><button type="button" class="shift" data-by="-12" aria-label="An octave lower">‹</button>
    <div class="keys" role="group"></div>
    <button type="button" class="shift" data-by="12" aria-label="An octave higher">›</button></div>
  <p class="keyhint">Play with a mouse, a finger, or the keys A to P; Z and X move an octave.</p>`;
const keys = root.querySelector(".keys");
keys.setAttribute("aria-label", LABEL);

function draw() {
  octaves = root.clientWidth > 760 ? 4 : 2;
  low = clamp(low, LOWEST, HIGHEST - 4 - 12 * octaves);
  const pitches = Array.from({ length: 12 * octaves + 1 }, (_, i) => low + i);
  const whites = pitches.filter((p) => !BLACK.includes(p % 12)).length, home = low + (octaves > 2 ? 12 : 0);
  let white = 0;
  keys.replaceChildren(...pitches.map((pitch) => {
    const key = document.createElement("button"), black = BLACK.includes(pitch % 12);
    key.type = "button";
    key.className = black ? "black" : "white";
    key.dataset.pitch = pitch;
    key.setAttribute("aria-label", `${NAMES[pitch % 12]} ${Math.floor(pitch / 12) - 1}`);
    key.style.left = `${100 * (black ? white - 0.31 : white) / whites}%`;
    key.style.width = `${100 * (black ? 0.62 : 1) / whites}%`;
    if (!black) white += 1;
    const code = CODES[pitch - home];
    const name = pitch % 12 ? "" : `C${Math.floor(pitch / 12) - 1}`;
    const letter = (code || "").replace("Key", "").replace("Semicolon", ";");
    key.innerHTML = `<small>${letter}</small><span>${name}</span>`;
    return key;
  }));
  mark();
}

function mark() {
  const played = [...keys.children].find((key) => Number(key.dataset.pitch) === state.pitch);
  for (const key of keys.children) {
    key.classList.toggle("on", key === played);
    key.tabIndex = key === (played || keys.firstElementChild) ? 0 : -1;
  }
}

function press(pitch) {
  if (pitch < LOWEST || pitch > HIGHEST) return;
  state = { pitch, press: state.press + 1 };
  mark();
  keep(state);
  trigger("input");
}

function under(event) {
  const key = document.elementFromPoint(event.clientX, event.clientY)?.closest(".keys button");
  return Number(key?.dataset.pitch);
}

keys.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.target.releasePointerCapture?.(event.pointerId);
  glissando = true;
  press(under(event));
});
keys.addEventListener("pointermove", (event) => {
  const pitch = glissando ? under(event) : state.pitch;
  if (pitch && pitch !== state.pitch) press(pitch);
});
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => {
  glissando = false;
});
keys.addEventListener("click", (event) => {
  if (event.detail === 0) press(Number(event.target.closest("button")?.dataset.pitch));
});
keys.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  press(state.pitch + by);
  keys.querySelector(".on")?.focus();
});

function shift(by) {
  low += by;
  draw();
}
for (const button of root.querySelectorAll(".shift")) {
  button.addEventListener("click", () => shift(Number(button.dataset.by)));
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.(TEXT);
  if (!visible() || typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = CODES.indexOf(event.code);
  if (step >= 0) press(low + (octaves > 2 ? 12 : 0) + step);
  else if (event.code === "KeyZ" || event.code === "KeyX") shift(event.code === "KeyZ" ? -12 : 12);
});
new ResizeObserver(() => {
  if ((root.clientWidth > 760 ? 4 : 2) !== octaves) draw();
}).observe(root);
replaced((found) => {
  state = found;
  mark();
});
draw();
