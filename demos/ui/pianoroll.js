const KEYS_WIDTH = 40, RULER = 22, LANE = 13, CLOSEST = 36;
const VOICES = CONFIG.voices.length, ROWS = CONFIG.high - CONFIG.low + 1;
const MONO = "500 10px ui-sans-serif, system-ui, sans-serif";

const rolls = (window.atelierPianorolls ??= {});
const previous = rolls[CONFIG.id];
previous?.leave();
const leaving = new AbortController();
const on = (target, names, handler, options = {}) =>
  names.split(" ").forEach((name) => target.addEventListener(name, handler, { signal: leaving.signal, ...options }));

const root = element.querySelector(".pianoroll-root");
root.innerHTML = MARKUP;
root.append(Object.assign(document.createElement("style"), { textContent: STYLE }));
const find = (selector) => root.querySelector(selector);
const roll = find(".roll"), scroll = find(".roll-scroll"), sheet = find(".roll-sheet"), head = find(".roll-head");
const grid = find(".roll-grid"), keys = find(".roll-keys"), ruler = find(".roll-ruler"), news = find(".roll-news");

const state = previous?.state ?? {
  ...parse("", VOICES), done: [], undone: [], tool: "draw", voice: 0, heat: false, zoom: 1, length: 4,
  cursor: { pitch: 67, start: 0 }, pace: 0.1875,
};
let action = null, hover = null, frame = null, before = null, stored = props.value || "", needsPaint = false, wide = 0;
let byKeys = false, row = 10, size = 9, playing = null;

// Geometry

const steps = () => state.bars * STEPS_A_BAR;
const yOf = (pitch) => (CONFIG.high - pitch) * row;
const isDark = () => Boolean(root.closest(".dark"));

function resize() {
  row = roll.clientWidth < 640 ? 9 : 11;
  const tall = ROWS * row + VOICES * LANE;
  fit(keys, KEYS_WIDTH, RULER + tall);
  wide = scroll.clientWidth;
  if (wide < 1) return;
  size = Math.min(CLOSEST, Math.max(wide / steps(), matchMedia("(pointer: coarse)").matches ? 9 : 6) * state.zoom);
  sheet.style.width = `${Math.max(wide, steps() * size)}px`;
  fit(grid, wide, tall);
  fit(ruler, wide, RULER);
  paint();
}

function fit(canvas, width, height) {
  const sharp = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * sharp);
  canvas.height = Math.round(height * sharp);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

/** Where an event lies: sixteenth (with fraction), pitch, and the lane's voice if it is one. */
function place(event) {
  const box = grid.getBoundingClientRect(), y = event.clientY - box.top;
  const at = (event.clientX - box.left + scroll.scrollLeft) / size;
  const lane = y >= ROWS * row ? clamp(Math.floor((y - ROWS * row) / LANE), 0, VOICES - 1) : -1;
  const pitch = clamp(CONFIG.high - Math.floor(y / row), CONFIG.low, CONFIG.high);
  return { at: clamp(at, 0, steps() - 1e-6), pitch, lane };
}

function noteAt(at, pitch) {
  const hits = state.notes.filter((n) => n.pitch === pitch && n.start <= at && at < n.start + n.length);
  return hits.find((n) => n.voice === state.voice) ?? hits[0];
}

// Changing: every change is one step of the history

const snapshot = () => ({ notes: state.notes, marks: state.marks.map((m) => m.slice()), bars: state.bars });

function commit(was = before ?? snapshot()) {
  state.done.push(was);
  state.done.splice(0, state.done.length - 200);
  state.undone.length = 0;
  changed();
}

function changed() {
  before = null;
  state.rev += 1;
  props.value = stored = serialise(state);
  refresh();
  paint();
  if (state.heat) trigger("input");
}

function step(from, onto, word) {
  if (action || !from.length) return;
  onto.push(snapshot());
  Object.assign(state, from.pop());
  resize();
  changed();
  tell(word);
}
const undo = () => step(state.done, state.undone, "Undone");
const redo = () => step(state.undone, state.done, "Redone");

function put(note) {
  const was = snapshot();
  state.notes = [...settle(state.notes.filter((n) => n !== note), note), note];
  return was;
}

function exchange(note, changes) {
  const was = snapshot();
  state.notes = state.notes.filter((n) => n !== note);
  put({ ...note, ...changes, heat: null });
  commit(was);
}

function remove(note) {
  const was = snapshot();
  state.notes = state.notes.filter((n) => n !== note);
  commit(was);
  tell(`${nameOf(note.pitch)} removed`);
}

function mark(first, end, voices, value) {
  for (const voice of voices) state.marks[voice].fill(value, first, end);
}

function lengthen(by) {
  const bars = clamp(state.bars + by, 1, CONFIG.bars);
  if (bars === state.bars) return;
  const was = snapshot();
  state.bars = bars;
  state.notes = state.notes.filter((n) => n.start < steps());
  const cut = (n) => ({ ...n, length: steps() - n.start, heat: null });
  state.notes = state.notes.map((n) => (n.start + n.length > steps() ? cut(n) : n));
  state.marks.forEach((m) => m.fill(0, steps()));
  commit(was);
  resize();
}

/**
 * Take what Python sets: a whole roll, a draft of one in the making, one that is offered while nothing has been changed,
 * or the surprise of the notes that it saw.
 */
function replace(text) {
  const data = parse(text, VOICES);
  if (!data || data.answers !== undefined || (data.offered && (action || data.rev !== state.rev))) {
    if (data?.answers === state.rev) {
      const order = [...state.notes].sort((a, b) => a.start - b.start || a.voice - b.voice);
      order.forEach((note, i) => (note.heat = data.heat?.[i] ?? null));
      stored = serialise(state);
    }
    props.value = stored;
    return paint();
  }
  before ??= snapshot();
  const { notes, marks, bars, draft } = data, longer = bars !== state.bars;
  Object.assign(state, { notes, marks, bars });
  action = frame = null;
  if (longer) resize();
  if (draft) return paint();
  const same = serialise({ ...state, rev: 0 }) === serialise({ ...before, rev: 0 });
  if (same) {
    Object.assign(state, before);
    before = null;
    props.value = stored = serialise(state);
    return paint();
  }
  state.done.push(before);
  state.undone.length = 0;
  before = null;
  state.rev += 1;
  props.value = stored = serialise(state);
  refresh();
  paint();
  if (state.heat && notes.some((n) => n.heat === null)) trigger("input");
}

// Pointer

on(grid, "pointerdown", (event) => {
  if (action) return;
  event.preventDefault();
  byKeys = false;
  roll.classList.add("roll-by-pointer");
  grid.focus({ preventScroll: true });
  grid.setPointerCapture(event.pointerId);
  const spot = place(event), at = Math.floor(spot.at);
  before = snapshot();
  action = { pointer: event.pointerId, from: spot, moved: false };
  if (spot.lane >= 0) {
    const first = at - (at % 4);
    Object.assign(action, { kind: "lane", value: state.marks[spot.lane][at] ? 0 : 1 });
    sweep(spot, first);
  } else if (event.button === 2 || state.tool === "rub" || event.buttons & 32) {
    action.kind = "rub";
    rub(spot);
  } else if (state.tool === "mark") {
    action.kind = "frame";
    frame = { from: spot, to: spot };
  } else {
    const note = noteAt(spot.at, spot.pitch);
    if (note) state.voice = note.voice;
    const tail = note && (note.start + note.length - spot.at) * size;
    const grip = note && Math.min(10, (note.length * size) / 3);
    action.kind = !note ? "new" : tail <= grip ? "stretch" : "move";
    action.original = note;
    action.note = note
      ? { ...note }
      : { pitch: spot.pitch, start: at, length: Math.min(state.length, steps() - at), voice: state.voice, heat: null };
    if (note) state.notes = state.notes.filter((n) => n !== note);
    sing(action.note.pitch);
    refresh();
  }
  paint();
});

on(grid, "pointermove", (event) => {
  const spot = place(event);
  if (action?.pointer !== event.pointerId) {
    hover = event.pointerType === "touch" ? null : spot;
    grid.style.cursor = cursorAt(spot);
    return paint();
  }
  action.moved ||= Math.abs(spot.at - action.from.at) * size > 4 || spot.pitch !== action.from.pitch;
  DRAGS[action.kind](spot);
  paint();
});

const DRAGS = {
  lane: (spot) => sweep(spot, Math.floor(action.from.at / 4) * 4),
  rub,
  frame: (spot) => (frame.to = spot),
  new: (spot) => {
    const { note } = action;
    if (action.moved) note.length = clamp(Math.floor(spot.at) - note.start + 1, 1, steps() - note.start);
    retune(spot.pitch);
  },
  stretch: (spot) => {
    action.note.length = clamp(Math.round(spot.at) - action.note.start, 1, steps() - action.note.start);
    action.note.heat = null;
  },
  move: (spot) => {
    if (!action.moved) return;
    const by = Math.round(spot.at - action.from.at);
    action.note.start = clamp(action.original.start + by, 0, steps() - action.note.length);
    action.note.heat = null;
    retune(clamp(action.original.pitch + spot.pitch - action.from.pitch, CONFIG.low, CONFIG.high));
  },
};

function retune(pitch) {
  if (pitch !== action.note.pitch) sing(pitch);
  action.note.pitch = pitch;
}

function rub(spot) {
  const note = spot.lane < 0 && noteAt(spot.at, spot.pitch);
  if (note) state.notes = state.notes.filter((n) => n !== note);
}

function sweep(spot, anchor) {
  const [low, high] = [action.from.lane, Math.max(spot.lane, 0)].sort((a, b) => a - b);
  const first = Math.min(anchor, Math.floor(spot.at / 4) * 4);
  const end = Math.max(anchor, Math.floor(spot.at / 4) * 4) + 4;
  state.marks = before.marks.map((m) => m.slice());
  mark(first, Math.min(end, steps()), CONFIG.voices.map((_, v) => v).slice(low, high + 1), action.value);
}

on(grid, "pointerup pointercancel lostpointercapture", (event) => {
  if (action?.pointer !== event.pointerId) return;
  const { kind, note, original, moved } = action;
  action = null;
  if (kind === "frame") markFrame();
  if (note) {
    if (original && !moved) tell(`${nameOf(note.pitch)} removed`);
    else {
      put(note);
      state.length = note.length;
      tell(`${nameOf(note.pitch)}, ${where(note.start)}`);
    }
  }
  frame = null;
  const was = before;
  before = null;
  const same = serialise({ ...state, rev: 0 }) === serialise({ ...was, rev: 0 });
  if (same) Object.assign(state, was), paint();
  else commit(was);
});
on(grid, "pointerleave", () => ((hover = null), paint()));
on(grid, "contextmenu", (event) => event.preventDefault());

function markFrame() {
  const [first, end] = [frame.from.at, frame.to.at].sort((x, y) => x - y).map((x, i) => Math.floor(x) + i);
  const [low, high] = [frame.from.pitch, frame.to.pitch].sort((x, y) => x - y);
  const inside = (n) => n.pitch >= low && n.pitch <= high && n.start < end && n.start + n.length > first;
  const hit = state.notes.filter(inside);
  const click = end - first === 1 && low === high;
  for (const n of hit) {
    const over = n.start + n.length, [a, b] = click ? [n.start, over] : [Math.max(first, n.start), Math.min(end, over)];
    mark(a, b, [n.voice], click && state.marks[n.voice][a] ? 0 : 1);
  }
  if (!hit.length) tell("No notes in this frame");
}

function cursorAt(spot) {
  if (spot.lane >= 0) return "cell";
  const note = state.tool === "draw" && noteAt(spot.at, spot.pitch);
  if (!note) return "crosshair";
  return (note.start + note.length - spot.at) * size <= Math.min(10, (note.length * size) / 3) ? "ew-resize" : "grab";
}

on(ruler, "click", (event) => {
  const at = (event.clientX - ruler.getBoundingClientRect().left + scroll.scrollLeft) / size;
  const bar = Math.min(Math.floor(at / STEPS_A_BAR), state.bars - 1) * STEPS_A_BAR;
  if (state.tool === "mark") {
    const was = snapshot(), all = state.marks.every((m) => m[bar]);
    mark(bar, bar + STEPS_A_BAR, state.marks.keys(), all ? 0 : 1);
    commit(was);
  } else if (playing) playing.currentTime = clamp(at * state.pace, 0, playing.duration || 0);
});

on(keys, "click", (event) => {
  const y = event.clientY - keys.getBoundingClientRect().top - RULER, voice = Math.floor((y - ROWS * row) / LANE);
  if (y < 0) return;
  if (voice < 0) return sing(CONFIG.high - Math.floor(y / row));
  const was = snapshot(), whole = state.marks[voice].subarray(0, steps()).every(Boolean);
  mark(0, steps(), [voice], whole ? 0 : 1);
  commit(was);
});

// Keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const where = (start) => `bar ${Math.floor(start / STEPS_A_BAR) + 1}, sixteenth ${(start % STEPS_A_BAR) + 1}`;

on(root, "keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, command = event.ctrlKey || event.metaKey;
  let act = null;
  if (command && key === "z") act = event.shiftKey ? redo : undo;
  else if (command && key === "y") act = redo;
  else if (!command && !action) act = event.target === grid ? (steer(event, key) ?? PLAIN[key]) : PLAIN[key];
  if (!act) return;
  event.preventDefault();
  act();
});

const PLAIN = {
  d: () => choose("draw"), e: () => choose("rub"), s: () => choose("mark"),
  ...Object.fromEntries(CONFIG.voices.map((_, v) => [String(v + 1), () => chooseVoice(v)])),
};

function steer(event, key) {
  const { cursor } = state, note = noteAt(cursor.start, cursor.pitch);
  if (key in ARROWS) {
    const [right, up] = ARROWS[key];
    return () => {
      byKeys = true;
      roll.classList.remove("roll-by-pointer");
      const far = event.shiftKey ? [4, 12] : [1, 1];
      const to = {
        pitch: clamp(cursor.pitch + up * far[1], CONFIG.low, CONFIG.high),
        start: clamp(cursor.start + right * far[0], 0, steps() - 1),
      };
      if (event.altKey && note) {
        const start = clamp(note.start + to.start - cursor.start, 0, steps() - note.length);
        exchange(note, { pitch: note.pitch + to.pitch - cursor.pitch, start });
      }
      state.cursor = to;
      if (up) sing(to.pitch);
      show(to.start);
      const under = noteAt(to.start, to.pitch);
      const there = under ? `, ${CONFIG.voices[under.voice]} note of ${under.length}` : "";
      tell(`${nameOf(to.pitch)}, ${where(to.start)}${there}`);
      paint();
    };
  }
  if (key === " " || key === "Enter") {
    return () => {
      byKeys = true;
      if (note) return remove(note);
      const { pitch, start } = cursor;
      const made = { pitch, start, length: Math.min(state.length, steps() - start), voice: state.voice, heat: null };
      commit(put(made));
      sing(pitch);
      tell(`${nameOf(pitch)} added, ${where(start)}`);
    };
  }
  if ((key === "Delete" || key === "Backspace") && note) return () => remove(note);
  if (key === "+" || key === "=" || key === "-") {
    return () => {
      const by = key === "-" ? -1 : 1;
      state.length = clamp((note?.length ?? state.length) + by, 1, steps() - (note?.start ?? 0));
      if (note) exchange(note, { length: state.length });
      tell(`Length ${state.length} sixteenths`);
      paint();
    };
  }
  if (key === "m") {
    return () => {
      const was = snapshot(), first = cursor.start - (cursor.start % 4);
      const value = state.marks[state.voice][first] ? 0 : 1;
      mark(first, first + 4, [state.voice], value);
      commit(was);
      tell(`${CONFIG.voices[state.voice]} ${value ? "marked" : "unmarked"}, ${where(first)}`);
    };
  }
  return null;
}

function show(start) {
  const x = start * size;
  if (x < scroll.scrollLeft || x + 4 * size > scroll.scrollLeft + wide) scroll.scrollLeft = Math.max(0, x - wide / 3);
}
on(grid, "blur", () => ((byKeys = false), paint()));

// Sound: a short tone for what is being drawn, and the playhead of the page's player

let air = null;
function sing(pitch) {
  try {
    air ??= new AudioContext();
    const tone = air.createOscillator(), gain = air.createGain(), now = air.currentTime;
    tone.type = "triangle";
    tone.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
    gain.gain.setValueAtTime(0, now);
    gain.gain.linearRampToValueAtTime(0.12, now + 0.01);
    gain.gain.exponentialRampToValueAtTime(0.0005, now + 0.3);
    tone.connect(gain).connect(air.destination);
    tone.start();
    tone.stop(now + 0.32);
  } catch {
    air = null;
  }
}

function follow() {
  const at = playing.currentTime / state.pace, inside = at > 0 && at <= steps() && !playing.ended;
  head.hidden = !inside;
  head.style.transform = `translateX(${at * size}px)`;
  if (playing.paused || !playing.isConnected) return;
  const x = at * size - scroll.scrollLeft;
  if (inside && (x < 0 || x > wide - 20)) scroll.scrollLeft = at * size - 20;
  requestAnimationFrame(follow);
}
on(document, "play seeked ended", (event) => {
  if (!CONFIG.player || !event.target.closest?.(CONFIG.player)) return;
  playing = event.target;
  follow();
}, { capture: true });

// Toolbar

function choose(tool) {
  state.tool = tool;
  refresh();
  tell(find(`[data-tool=${tool}]`).getAttribute("aria-label"));
}

function chooseVoice(voice) {
  state.voice = voice;
  refresh();
  tell(CONFIG.voices[voice]);
}

function tell(text) {
  news.textContent = text;
}

const ACTIONS = {
  undo, redo,
  clear: () => {
    const was = snapshot();
    Object.assign(state, { notes: [], marks: noMarks(VOICES) });
    commit(was);
  },
  unmark: () => {
    const was = snapshot();
    state.marks = noMarks(VOICES);
    commit(was);
  },
  shorter: () => lengthen(-1),
  longer: () => lengthen(1),
  closer: () => zoom(1.5),
  farther: () => zoom(1 / 1.5),
  heat: () => {
    state.heat = !state.heat;
    paint();
    if (state.heat && state.notes.some((n) => n.heat === null)) trigger("input");
  },
};

function zoom(by) {
  const middle = (scroll.scrollLeft + wide / 2) / size;
  state.zoom = clamp(state.zoom * by, 1, 6);
  resize();
  scroll.scrollLeft = middle * size - wide / 2;
}

function refresh() {
  for (const name of ["tool", "voice"]) {
    for (const button of root.querySelectorAll(`[data-${name}]`)) {
      button.setAttribute("aria-pressed", String(button.dataset[name] === String(state[name])));
    }
  }
  const disable = (act, value) => (find(`[data-act="${act}"]`).disabled = value);
  const marked = state.marks.some((m) => m.some(Boolean));
  disable("undo", !state.done.length);
  disable("redo", !state.undone.length);
  disable("unmark", !marked);
  disable("clear", !state.notes.length);
  disable("shorter", state.bars <= 1);
  disable("longer", state.bars >= CONFIG.bars);
  disable("farther", state.zoom <= 1);
  find('[data-act="heat"]').setAttribute("aria-pressed", String(state.heat));
  find(".roll-scale").hidden = !state.heat;
  find(".roll-bars").textContent = `${state.bars} bar${state.bars > 1 ? "s" : ""}`;
  find(".roll-where").textContent = marked ? CONFIG.marked : CONFIG.marking;
}

CONFIG.voices.forEach((name, voice) => {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
  button.title = `Draw the ${name.toLowerCase()} (${voice + 1})`;
  button.dataset.voice = voice;
  button.style.setProperty("--shade", SHADES[voice % SHADES.length]);
  find(".roll-voices").append(button);
});

on(root, "click", (event) => {
  const button = event.target.closest("button");
  if (!button || action) return;
  const { tool, act, voice } = button.dataset;
  if (tool) choose(tool);
  if (voice !== undefined) chooseVoice(+voice);
  if (act) {
    ACTIONS[act]();
    refresh();
  }
});

// Life

function colours() {
  const [cold, warm, hot] = (isDark() ? HEAT_DARK : HEAT).map((c) => `rgb(${c.join(" ")})`);
  for (const [name, colour] of Object.entries({ cold, warm, hot })) roll.style.setProperty(`--${name}`, colour);
  paint();
}

roll.setAttribute("aria-label", CONFIG.label);
grid.setAttribute("aria-label", `${CONFIG.label}. ${CONFIG.description}`);
find(".roll-hint").textContent = CONFIG.label;
on(scroll, "scroll", paint);
const sizes = new ResizeObserver(resize);
sizes.observe(scroll);
watch("value", () => {
  if ((props.value || "") !== stored) replace(props.value || "");
});

rolls[CONFIG.id] = {
  state,
  text: () => stored,
  pace: (seconds) => (state.pace = seconds),
  leave: () => {
    leaving.abort();
    sizes.disconnect();
  },
};

if (!previous) Object.assign(state, parse(stored, VOICES) ?? {});
else if (stored !== serialise(state)) replace(stored);
delete state.draft;
delete state.offered;
colours();
resize();
refresh();
