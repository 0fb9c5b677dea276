const TOOLS = {
  pen: { name: "Pen", min: 1, max: 32, width: 8 },
  brush: { name: "Colour brush", min: 8, max: 120, width: 36 },
  eraser: { name: "Eraser by area", min: 6, max: 160, width: 44 },
  cutter: { name: "Eraser by stroke", min: 6, max: 60, width: 16 },
};
const COLOURS = {
  black: "#1b1b1f", grey: "#8a8f98", white: "#ffffff", brown: "#8b5a3c", red: "#e5484d", orange: "#f5803e",
  yellow: "#f9c81d", green: "#46a758", teal: "#16b8b0", blue: "#3e7bf0", purple: "#8e4ec6", pink: "#f48fb8",
};
const SEND_EVERY_MS = 80;
const REST_MS = 60;
const STORED_CHARACTERS = 1000000;

const pads = (window.atelierSketchpads ??= {});
const previous = pads[CONFIG.id];
previous?.leave();
const leaving = new AbortController();
const on = (target, names, handler, options = {}) =>
  names.split(" ").forEach((name) => target.addEventListener(name, handler, { signal: leaving.signal, ...options }));

const root = element.querySelector(".sketchpad-root");
root.innerHTML = MARKUP;
root.append(Object.assign(document.createElement("style"), { textContent: STYLE }));
const find = (selector) => root.querySelector(selector);
const pad = find(".pad"), paper = find(".pad-paper"), canvas = find(".pad-canvas"), cursor = find(".pad-cursor");
const slider = find(".pad-width input"), news = find(".pad-news"), onion = find(".pad-onion");
const context = canvas.getContext("2d");
const layers = { brush: document.createElement("canvas"), pen: document.createElement("canvas") };

const state = previous?.state ?? {
  strokes: [], done: [], undone: [], tool: CONFIG.tool, colour: COLOURS.red, grid: false, onion: CONFIG.onion,
  widths: Object.fromEntries(Object.entries(TOOLS).map(([tool, { width }]) => [tool, width])),
};
let live = null, sharpness = 0, needsPaint = false, penSeen = -Infinity, keyPoint = [SIZE / 2, SIZE / 2], resultTimer = 0;

// Drawing

function stamp(target, stroke, onto) {
  if (stroke.tool !== "eraser" && stroke.tool !== onto) return;
  target.globalCompositeOperation = stroke.tool === "eraser" ? "destination-out" : "source-over";
  target.fillStyle = stroke.colour;
  target.fill(stroke.path);
}

function prepare(surface, pixels) {
  surface.width = surface.height = pixels;
  const target = surface.getContext("2d");
  target.setTransform(pixels / SIZE, 0, 0, pixels / SIZE, 0, 0);
  return target;
}

function rebuild() {
  for (const tool in layers) {
    const target = prepare(layers[tool], canvas.width);
    for (const stroke of state.strokes) stamp(target, stroke, tool);
  }
  paint();
}

function paint() {
  if (needsPaint) return;
  needsPaint = true;
  requestAnimationFrame(() => {
    needsPaint = false;
    const stroke = live?.tool === "cutter" ? null : liveStroke();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const tool in layers) {
      context.globalCompositeOperation = "source-over";
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.drawImage(layers[tool], 0, 0);
      context.setTransform(canvas.width / SIZE, 0, 0, canvas.width / SIZE, 0, 0);
      if (stroke) stamp(context, stroke, tool);
    }
    paper.classList.toggle("pad-marked", state.strokes.length > 0 || live !== null);
  });
}

function picture(pixels, ground) {
  const sheet = document.createElement("canvas");
  const target = prepare(sheet, pixels);
  for (const tool in layers) {
    const layer = document.createElement("canvas");
    const onto = prepare(layer, pixels);
    for (const stroke of state.strokes) stamp(onto, stroke, tool);
    target.setTransform(1, 0, 0, 1, 0, 0);
    target.drawImage(layer, 0, 0);
  }
  target.globalCompositeOperation = "destination-over";
  target.fillStyle = ground;
  target.fillRect(0, 0, pixels, pixels);
  return sheet;
}

function resize() {
  const pixels = Math.min(2048, Math.round(paper.clientWidth * (window.devicePixelRatio || 1)));
  if (pixels < 1 || pixels === sharpness) return;
  canvas.width = canvas.height = sharpness = pixels;
  rebuild();
}

// Sending: the value is stored at once, the event waits for the reply to the one before; what is slow to store, twice
// running, is stored less often. The end of a stroke may overtake what is under way, but nothing overtakes that:
// something has to be seen of short strokes, too

let stored = props.value || "", unsent = false, waiting = 0, overtaking = false, lastStored = 0, costs = [0, 0];
let sendTimer = 0, restTimer = 0;

function changed(finished = true) {
  clearTimeout(restTimer);
  if (finished) return handOver(CONFIG.overtakes);
  const pause = Math.max(SEND_EVERY_MS, 8 * Math.min(...costs), stored.length / 400);
  sendTimer ||= setTimeout(handOver, Math.max(0, lastStored + pause - performance.now()));
}

function handOver(overtakes = false) {
  clearTimeout(sendTimer);
  sendTimer = 0;
  store();
  unsent = true;
  send(overtakes);
}

function store() {
  const start = performance.now();
  const stroke = live?.tool === "cutter" ? null : liveStroke();
  const text = serialise(stroke ? [...state.strokes, stroke] : state.strokes);
  if (text !== stored) props.value = stored = text;
  lastStored = performance.now();
  setTimeout(() => (costs = [costs[1], performance.now() - start]));
  remember();
}

function send(overtakes = false) {
  if (!unsent || (waiting && (!overtakes || overtaking))) return;
  unsent = false;
  overtaking = waiting > 0;
  waiting += 1;
  trigger(overtaking ? "overtake" : "input");
}

/** Hand over what the page begins with, once Gradio has mounted the component. */
function present() {
  if (props.value !== stored) props.value = stored;
  unsent = true;
  send();
}

function acknowledge() {
  waiting = Math.max(0, waiting - 1);
  send();
  clearTimeout(restTimer);
  restTimer = setTimeout(() => live || waiting || trigger("rest"), REST_MS);
}

const storageKey = `atelier.sketchpad.${CONFIG.id}`;
let rememberTimer = 0;
function remember(now = false) {
  clearTimeout(rememberTimer);
  if (!now || live) return (rememberTimer = setTimeout(remember, 300 + stored.length / 200, true));
  try {
    if (state.strokes.length && stored.length < STORED_CHARACTERS) localStorage.setItem(storageKey, stored);
    else localStorage.removeItem(storageKey);
  } catch {
    rememberTimer = 0;
  }
}

function remembered() {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
}

// History: what is undone is kept as the list before and after, or as the one stroke added

function commit(step) {
  state.done.push(step);
  state.undone.length = 0;
  apply(step, true);
}

function apply(step, forward) {
  if (step.add && forward) {
    state.strokes.push(step.add);
    for (const tool in layers) stamp(layers[tool].getContext("2d"), step.add, tool);
    paint();
  } else {
    if (step.add) state.strokes.pop();
    else state.strokes = [...(forward ? step.after : step.before)];
    rebuild();
  }
  refresh();
  changed();
}

function undo() {
  if (live || !state.done.length) return;
  const step = state.done.pop();
  state.undone.push(step);
  apply(step, false);
  tell("Undone");
}

function redo() {
  if (live || !state.undone.length) return;
  const step = state.undone.pop();
  state.done.push(step);
  apply(step, true);
  tell("Redone");
}

function clear() {
  if (live || !state.strokes.length) return;
  commit({ before: [...state.strokes], after: [] });
  tell("Paper cleared");
}

function replace(text) {
  const strokes = parse(text);
  if (!strokes) {
    console.warn("The sketchpad ignored a value that isn't a drawing.");
    props.value = stored;
    return;
  }
  finish();
  const same = serialise(strokes) === serialise(state.strokes);
  props.value = stored = text;
  if (same) return;
  state.done.push({ before: [...state.strokes], after: strokes });
  state.undone.length = 0;
  state.strokes = [...strokes];
  rebuild();
  refresh();
  remember();
  unsent = true;
  send();
}

// The stroke that is being drawn

function begin(tool, point) {
  live = { tool, raw: [], before: [...state.strokes], stroke: null };
  extend(point);
}

function extend([x, y, pressure]) {
  const last = live.raw.at(-1);
  if (last && Math.hypot(x - last[0], y - last[1]) < 0.8) return;
  const margin = SIZE / 8;
  const at = [clamp(x, -margin, SIZE + margin), clamp(y, -margin, SIZE + margin)];
  const now = performance.now();
  live.started ??= now;
  live.raw.push([...at, pressure, now - live.started]);
  live.stroke = null;
  if (live.tool === "cutter") cut(at);
  paint();
  changed(false);
}

function cut([x, y]) {
  const kept = state.strokes.filter((s) => s.tool === "eraser" || !s.touches(x, y, state.widths.cutter / 2));
  if (kept.length === state.strokes.length) return;
  state.strokes = kept.every((s) => s.tool === "eraser") ? [] : kept;
  rebuild();
}

function liveStroke() {
  if (!live) return null;
  const colour = live.tool === "brush" ? state.colour : INK;
  return (live.stroke ??= new Stroke(live.tool, colour, state.widths[live.tool], settle(live.raw)));
}

function finish() {
  if (!live) return;
  const { tool, before } = live, stroke = tool === "cutter" ? null : liveStroke();
  live = null;
  clearTimeout(sendTimer);
  sendTimer = 0;
  if (stroke && (tool !== "eraser" || state.strokes.length)) {
    if (state.strokes.length >= MAX_STROKES) tell("The paper is full");
    else return commit({ add: stroke });
  } else if (!stroke && state.strokes.length !== before.length) {
    return commit({ before, after: [...state.strokes] });
  }
  paint();
}

// Pointer

function place(event) {
  const box = canvas.getBoundingClientRect();
  const pressure = event.pointerType === "pen" && event.pressure > 0 ? event.pressure : 0.5;
  return [((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE, pressure];
}

on(canvas, "pointerdown", (event) => {
  if (event.pointerType === "pen") penSeen = performance.now();
  const palm = event.pointerType === "touch" && performance.now() - penSeen < 800;
  const flipped = event.pointerType === "pen" && (event.buttons & 32) > 0;
  if (live || palm || (event.button !== 0 && !flipped)) return;
  event.preventDefault();
  pad.classList.add("pad-by-pointer");
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  begin(flipped ? "eraser" : state.tool, place(event));
  live.pointer = event.pointerId;
});

on(canvas, "pointermove", (event) => {
  if (event.pointerType === "pen") penSeen = performance.now();
  showCursor(event.pointerType === "touch" ? null : place(event));
  if (live?.pointer !== event.pointerId) return;
  const events = event.getCoalescedEvents?.() ?? [];
  (events.length ? events : [event]).forEach((part) => live && extend(place(part)));
});

on(canvas, "pointerup pointercancel lostpointercapture", (event) => {
  if (live && live.pointer === event.pointerId) finish();
});
on(canvas, "pointerleave", () => live || showCursor(null));
on(canvas, "contextmenu", (event) => event.preventDefault());

function showCursor(point, keys = false) {
  cursor.hidden = !point;
  cursor.classList.toggle("pad-keys", keys);
  if (!point) return;
  const scale = paper.clientWidth / SIZE, size = Math.max(6, state.widths[state.tool] * scale);
  cursor.style.width = cursor.style.height = `${size}px`;
  cursor.style.transform = `translate(${point[0] * scale - size / 2}px, ${point[1] * scale - size / 2}px)`;
}

// Keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  b: () => choose("pen"), c: () => choose("brush"), e: () => choose("eraser"), x: () => choose("cutter"),
  "[": () => widen(1 / 1.2), "]": () => widen(1.2),
};

on(document, "keydown", (event) => {
  const target = event.composedPath()[0];
  if (event.key in ARROWS || event.key === "Tab") pad.classList.remove("pad-by-pointer");
  const inside = root.contains(target);
  const typing = target.matches?.("input:not([type=range], [type=color]), textarea, select, [contenteditable]");
  if (!(inside || root.matches(":hover")) || (typing && !inside) || !root.offsetParent) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const command = event.ctrlKey || event.metaKey;
  let action = null;
  if (command && key === "z") action = event.shiftKey ? redo : undo;
  else if (command && key === "y") action = redo;
  else if (!command && !event.altKey) action = KEYS[key] ?? (target === canvas ? steer(event) : null);
  if (!action) return;
  event.preventDefault();
  action();
});

function steer(event) {
  if (event.key in ARROWS) {
    return () => {
      const [dx, dy] = ARROWS[event.key].map((v) => v * (event.shiftKey ? 32 : 8));
      keyPoint = [clamp(keyPoint[0] + dx, 0, SIZE), clamp(keyPoint[1] + dy, 0, SIZE)];
      if (live?.pointer === "keys") extend([...keyPoint, 0.5]);
      showCursor(keyPoint, true);
    };
  }
  if (event.key === "Escape" && live?.pointer === "keys") return lift;
  if ((event.key !== " " && event.key !== "Enter") || event.repeat) return null;
  return () => {
    if (live) return live.pointer === "keys" && lift();
    begin(state.tool, [...keyPoint, 0.5]);
    live.pointer = "keys";
    showCursor(keyPoint, true);
    tell("Pen down");
  };
}

function lift() {
  finish();
  tell("Pen up");
}
on(canvas, "blur", () => {
  if (live?.pointer === "keys") finish();
  showCursor(null);
});

// Toolbar

function choose(tool) {
  if (live) return;
  state.tool = tool;
  refresh();
  tell(TOOLS[tool].name);
}

function tint(colour) {
  state.colour = hex(colour);
  choose("brush");
}

function widen(factor) {
  const { min, max } = TOOLS[state.tool];
  state.widths[state.tool] = clamp(Math.round(state.widths[state.tool] * factor * 10) / 10, min, max);
  refresh();
  tell(`Width ${Math.round(state.widths[state.tool])}`);
}

function tell(text) {
  news.textContent = text;
}

function refresh() {
  const { min, max } = TOOLS[state.tool], width = state.widths[state.tool];
  for (const button of root.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === state.tool));
  }
  for (const swatch of root.querySelectorAll("[data-colour]")) {
    swatch.setAttribute("aria-pressed", String(state.tool === "brush" && swatch.dataset.colour === state.colour));
  }
  const own = !Object.values(COLOURS).includes(state.colour);
  find(".pad-picker").classList.toggle("pad-chosen", own && state.tool === "brush");
  find(".pad-picker input").value = state.colour;
  pad.style.setProperty("--pad-colour", state.colour);
  slider.value = String(Math.round((100 * Math.log(width / min)) / Math.log(max / min)));
  slider.setAttribute("aria-valuetext", `${Math.round(width)} of 512`);
  const dot = find(".pad-dot");
  dot.style.setProperty("--dot", `${clamp(width * 0.45, 3, 26)}px`);
  dot.style.setProperty("--dot-colour", { pen: "currentColor", brush: state.colour }[state.tool] ?? "transparent");
  find('[data-act="undo"]').disabled = !state.done.length;
  find('[data-act="redo"]').disabled = !state.undone.length;
  for (const act of ["clear", "svg", "png"]) find(`[data-act="${act}"]`).disabled = !state.strokes.length;
  find('[data-act="grid"]').setAttribute("aria-pressed", String(state.grid));
  find(".pad-grid").hidden = !state.grid;
  find('[data-act="onion"]').setAttribute("aria-pressed", String(state.onion));
}

function follow() {
  clearInterval(resultTimer);
  const look = () => {
    const source = root.getRootNode().querySelector(CONFIG.result);
    const address = state.onion && source ? source.currentSrc || source.src : "";
    if (address && onion.src !== address) onion.src = address;
    onion.hidden = !address;
  };
  look();
  if (state.onion) resultTimer = setInterval(look, 150);
}

async function download(blob, extension) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob) });
  link.download = `${CONFIG.filename}.${extension}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const ACTIONS = {
  undo, redo, clear,
  grid: () => (state.grid = !state.grid),
  onion: () => {
    state.onion = !state.onion;
    follow();
  },
  svg: () => download(new Blob([toSVG(state.strokes)], { type: "image/svg+xml" }), "svg"),
  png: () => picture(1024, "#ffffff").toBlob((blob) => download(blob, "png"), "image/png"),
};

for (const [name, colour] of Object.entries(COLOURS)) {
  const swatch = Object.assign(document.createElement("button"), { type: "button", title: `Brush: ${name}` });
  swatch.setAttribute("aria-label", `Brush colour ${name}`);
  swatch.dataset.colour = colour;
  swatch.style.setProperty("--swatch", colour);
  find(".pad-colours").append(swatch);
}
const picker = Object.assign(document.createElement("label"), { className: "pad-picker", title: "Brush: any colour" });
picker.append(Object.assign(document.createElement("input"), { type: "color" }));
picker.firstChild.setAttribute("aria-label", "Brush: any colour");
find(".pad-colours").append(picker);

on(root, "click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { tool, act, colour } = button.dataset;
  if (tool) choose(tool);
  if (colour) tint(colour);
  if (act) {
    ACTIONS[act]();
    refresh();
  }
});
on(picker.firstChild, "input change", (event) => tint(event.target.value));
on(slider, "input", () => {
  const { min, max } = TOOLS[state.tool];
  state.widths[state.tool] = Math.round(10 * min * (max / min) ** (slider.value / 100)) / 10;
  refresh();
});

// Life

pad.setAttribute("aria-label", CONFIG.label);
pad.style.setProperty("--pad-max", CONFIG.width);
canvas.setAttribute("aria-label", `${CONFIG.label}. ${CONFIG.description}`);
find(".pad-hint").textContent = CONFIG.label;
if (!CONFIG.result) find('[data-act="onion"]').hidden = true;
onion.classList.toggle("pad-ground", CONFIG.ground);

const sizes = new ResizeObserver(resize);
sizes.observe(paper);
on(window, "resize", resize);
on(window, "pagehide", () => remember(true));
on(document, "visibilitychange", () => remember(true));
watch("value", () => {
  if ((props.value || "") !== stored) replace(props.value || "");
});

pads[CONFIG.id] = {
  state,
  acknowledge,
  replace,
  text: () => stored,
  picture: (pixels) => picture(pixels, "#ffffff").toDataURL("image/png"),
  leave: () => {
    remember(true);
    leaving.abort();
    sizes.disconnect();
    clearTimeout(restTimer);
    clearInterval(resultTimer);
  },
};

if (!previous || serialise(state.strokes) !== stored) {
  const memory = previous ? null : remembered();
  const kept = memory ? parse(memory) : null;
  state.strokes = (kept?.length ? kept : parse(stored)) ?? [];
  state.done.length = state.undone.length = 0;
  if (kept?.length) stored = memory;
  if (state.strokes.length) setTimeout(present, 60);
}
resize();
refresh();
follow();
