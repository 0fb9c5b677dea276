const LEVELS = [-60, 0], QUIET = -45, AUDIBLE = -18, PITCHES = [24, 100], ROOM = 6, SPAN = 26;
const LEFT = 44, FOOT = 18, STEP = 0.01, PAST = 40, BUMP = 12, FAR = 4;
const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
let state = JSON.parse(stored), heard = state, past = [], range = [48, 74];
let settings = { transpose: 0, offset: 0, threshold: 0.5, autotune: 0 };

root.innerHTML = `
  <div class="paper"><canvas class="pitch" tabindex="0" role="slider"></canvas>
    <canvas class="level" tabindex="0" role="slider"></canvas>
    <p class="none">No pitch yet: record or choose a sound, or draw a line here.</p></div>
  <div class="foot"><span>Drag over a curve to redraw it, pitch above and loudness below; or focus it and use the arrow keys.</span>
    <span class="tools"><button type="button" class="toggle back">Undo</button>
    <button type="button" class="toggle reset">As heard</button></span></div>`;
const [high, low] = root.querySelectorAll("canvas"), none = root.querySelector(".none");
const KEYS_HELP = "left and right move the cursor, up and down redraw the curve there, Shift goes farther";
high.setAttribute("aria-label", `${LABEL}: pitch over time; ${KEYS_HELP}`);
low.setAttribute("aria-label", `${LABEL}: loudness over time; ${KEYS_HELP}`);
let cursor = 0;

const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const count = () => state.pitch?.length || 0;
const sounds = (i) => state.sure[i] >= 100 * settings.threshold && state.sure[i] > 0 && state.level[i] > LEVELS[0];

function measure() {
  const pitches = (heard.pitch || []).filter((_, i) => heard.sure[i] >= 50 && heard.level[i] > QUIET);
  let [from, to] = pitches.length ? [Math.min(...pitches) - ROOM, Math.max(...pitches) + ROOM] : [48, 74];
  const more = Math.max(0, SPAN - (to - from)) / 2;
  range = [Math.floor(clamp(from - more, ...PITCHES)), Math.ceil(clamp(to + more, ...PITCHES))];
}

function frame(canvas, [from, to], foot = 0) {
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "11px ui-sans-serif, system-ui, sans-serif";
  context.textBaseline = "middle";
  return {
    context, width, height,
    x: (i) => LEFT + (width - LEFT - 8) * i / Math.max(1, count() - 1),
    y: (value) => 8 + (height - foot - 16) * (to - value) / (to - from),
  };
}

function grid({ context, width, y }, values, title, strong) {
  for (const value of values) {
    context.strokeStyle = colour("--border-color-primary");
    context.globalAlpha = strong(value) ? 1 : 0.45;
    context.beginPath();
    context.moveTo(LEFT, y(value));
    context.lineTo(width - 8, y(value));
    context.stroke();
    context.globalAlpha = 1;
    context.fillStyle = colour("--body-text-color-subdued");
    context.textAlign = "right";
    context.fillText(title(value), LEFT - 6, y(value));
  }
}

function trace({ context, x, y }, value, wanted, style, width) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.beginPath();
  for (let i = 0, drawing = false; i < count(); i++) {
    if (!wanted(i)) drawing = false;
    else if (drawing) context.lineTo(x(i), y(value(i)));
    else {
      context.moveTo(x(i), y(value(i)));
      drawing = true;
    }
  }
  context.stroke();
}

function drawPitch() {
  const place = frame(high, range), { context } = place;
  const lines = Array.from({ length: range[1] - range[0] + 1 }, (_, i) => range[0] + i);
  grid(place, lines, (p) => (p % 12 ? "" : `C${p / 12 - 1}`), (p) => p % 12 === 0);
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, place.width - LEFT, place.height);
  context.clip();
  const { transpose, autotune } = settings, pitch = (i) => state.pitch[i];
  context.globalAlpha = 0.35;
  trace(place, pitch, (i) => !sounds(i) && state.level[i] > QUIET, colour("--body-text-color-subdued"), 1.5);
  context.globalAlpha = 1;
  trace(place, pitch, sounds, colour("--primary-500"), 2.5);
  if (transpose || autotune) {
    const played = (i) => pitch(i) + autotune * (Math.round(pitch(i)) - pitch(i)) + transpose;
    context.setLineDash([5, 4]);
    trace(place, played, sounds, colour("--body-text-color"), 1.5);
  }
  context.restore();
  const now = state.pitch?.[cursor] ?? 0;
  drawCursor(high, place, now, `${noteName(now)}, ${now.toFixed(1)} semitones${count() && sounds(cursor) ? "" : ", silent"}`);
}

function drawLevel() {
  const place = frame(low, LEVELS, FOOT), { context, x, y } = place;
  const level = (i) => clamp(state.level[i], ...LEVELS);
  grid(place, [-60, -40, -20, 0], (v) => `${v} dB`, () => true);
  if (!count()) return;
  const seconds = (count() - 1) * STEP, pace = [0.2, 0.5, 1, 2, 5, 10, 20].find((p) => seconds / p <= 8) || 30;
  context.fillStyle = colour("--body-text-color-subdued");
  context.textAlign = "center";
  for (let t = 0; t <= seconds; t += pace) {
    context.fillText(`${Math.round(10 * t) / 10} s`, Math.min(x(t / STEP), place.width - 16), place.height - 10);
  }
  context.fillStyle = colour("--primary-500");
  context.globalAlpha = 0.18;
  context.beginPath();
  context.moveTo(x(0), y(LEVELS[0]));
  for (let i = 0; i < count(); i++) context.lineTo(x(i), y(level(i)));
  context.lineTo(x(count() - 1), y(LEVELS[0]));
  context.fill();
  context.globalAlpha = 1;
  trace(place, level, () => true, colour("--primary-500"), 2);
  if (settings.offset) {
    context.setLineDash([5, 4]);
    const played = (i) => clamp(level(i) + settings.offset, ...LEVELS);
    trace(place, played, sounds, colour("--body-text-color"), 1.5);
  }
  const now = level(Math.min(cursor, count() - 1));
  drawCursor(low, place, now, `${Math.round(now)} dB`);
}

/** The cursor of the keyboard on the curve that has the focus, and the values there for who listens to the page. */
function drawCursor(canvas, { context, height, x, y }, value, text) {
  if (!count()) return;
  cursor = Math.min(cursor, count() - 1);
  canvas.setAttribute("aria-valuenow", value.toFixed(1));
  canvas.setAttribute("aria-valuetext", `${(cursor * STEP).toFixed(2)} s: ${text}`);
  if (!canvas.matches(":focus-visible")) return;
  const from = x(cursor - BUMP), to = x(cursor + BUMP);
  context.fillStyle = context.strokeStyle = colour("--body-text-color");
  context.globalAlpha = 0.08;
  context.fillRect(from, 0, to - from, height);
  context.globalAlpha = 1;
  context.lineWidth = 1;
  context.setLineDash([]);
  context.beginPath();
  context.moveTo(x(cursor), 0);
  context.lineTo(x(cursor), height);
  context.stroke();
  context.beginPath();
  context.arc(x(cursor), y(value), 5, 0, 7);
  context.fill();
}

const noteName = (p) => `${NAMES[((Math.round(p) % 12) + 12) % 12]}${Math.floor(Math.round(p) / 12) - 1}`;

function draw() {
  if (!high.clientWidth) return;
  drawPitch();
  drawLevel();
  none.hidden = Array.from({ length: count() }, (_, i) => i).some(sounds);
  root.querySelector(".back").disabled = !past.length;
}

function blank() {
  const n = 401;
  return { pitch: Array(n).fill(60), level: Array(n).fill(-80), sure: Array(n).fill(0) };
}

function begin() {
  past = [...past, state].slice(-PAST);
  state = count() ? structuredClone(state) : blank();
}

function finish() {
  keep(state);
  trigger("input");
}

/** Arrow keys: a bump of the curve rises and falls at the cursor; presses that follow each other are one step back. */
function keys(canvas, span, value, write, unit) {
  let changing = false;
  const end = () => {
    if (changing) finish();
    changing = false;
  };
  canvas.addEventListener("keydown", (event) => {
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key], up = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const jump = { Home: 0, End: count() - 1 }[event.key];
    if ((along ?? up ?? jump) === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (up) {
      if (!changing) begin();
      changing = true;
      const before = Array.from({ length: count() }, (_, i) => value(i));
      for (let i = Math.max(0, cursor - BUMP); i <= Math.min(count() - 1, cursor + BUMP); i++) {
        const share = 0.5 + 0.5 * Math.cos((Math.PI * (i - cursor)) / (BUMP + 1));
        write(i, clamp(before[i] + share * up * unit * (event.shiftKey ? FAR : 1), ...span()));
      }
      keep(state);
    } else {
      end();
      cursor = clamp(jump ?? cursor + along * (event.shiftKey ? 5 * BUMP : 5), 0, Math.max(0, count() - 1));
    }
    draw();
  });
  canvas.addEventListener("blur", () => {
    end();
    draw();
  });
  canvas.addEventListener("focus", draw);
}

function pen(canvas, span, foot, write) {
  let last = null;
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.round((event.clientX - box.x - LEFT) / (box.width - LEFT - 8) * (count() - 1));
    const value = span()[1] - (event.clientY - box.y - 8) / (box.height - foot - 16) * (span()[1] - span()[0]);
    return [clamp(i, 0, count() - 1), clamp(value, ...span())];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    begin();
    last = where(event);
    cursor = last[0];
    write(...last);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const next = where(event), [from, to] = [last, next].sort((a, b) => a[0] - b[0]);
    for (let i = from[0]; i <= to[0]; i++) {
      const share = to[0] === from[0] ? 1 : (i - from[0]) / (to[0] - from[0]);
      write(i, from[0] === to[0] ? next[1] : from[1] + share * (to[1] - from[1]));
    }
    last = next;
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (!last) return;
      last = null;
      finish();
    });
  }
}

function writePitch(i, pitch) {
  state.pitch[i] = Math.round(100 * pitch) / 100;
  state.sure[i] = 100;
  if (state.level[i] < QUIET) state.level[i] = AUDIBLE;
}
function writeLevel(i, level) {
  state.level[i] = level < LEVELS[0] + 1 ? -80 : Math.round(10 * level) / 10;
}
pen(high, () => range, 0, writePitch);
pen(low, () => LEVELS, FOOT, writeLevel);
keys(high, () => range, (i) => state.pitch[i], writePitch, 0.5);
keys(low, () => LEVELS, (i) => clamp(state.level[i], ...LEVELS), writeLevel, 1.5);

function restore(found) {
  state = found;
  draw();
  finish();
}
root.querySelector(".back").addEventListener("click", () => {
  if (past.length) restore(past.pop());
});
root.querySelector(".reset").addEventListener("click", () => {
  past = [...past, state].slice(-PAST);
  restore(heard);
});

window.atelierSurfaces[ID].settings = (transpose, offset, threshold, autotune) => {
  settings = { transpose, offset, threshold, autotune };
  draw();
};
new ResizeObserver(draw).observe(high);
replaced((found) => {
  state = heard = found;
  past = [];
  measure();
  draw();
});
measure();
draw();
if (!count()) trigger("ready");
