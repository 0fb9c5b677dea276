const SNAP = 16, STEP = 0.02, LEAST_SHARE = 0.08;
let state = { places: {}, at: [0.5, 0.5], to: null, invented: null, ...JSON.parse(stored) };

root.innerHTML = `
  <div class="map" tabindex="0" role="application">
    <canvas width="96" height="72" aria-hidden="true"></canvas>
    <svg class="way" aria-hidden="true"><line/></svg>
    <div class="names"></div>
    <i class="spot second"></i><i class="spot first"></i>
    <p class="badge"></p>
  </div>
  <div class="foot"><output></output>
    <button type="button" class="toggle" title="The note becomes a second timbre: drag the ring.">Glide to a second
    </button>
  </div>`;
const map = root.querySelector(".map"), names = root.querySelector(".names"), first = root.querySelector(".first");
const second = root.querySelector(".second"), line = root.querySelector("line"), badge = root.querySelector(".badge");
const blend = root.querySelector("output"), glide = root.querySelector(".toggle");
map.setAttribute("aria-label", `${LABEL}. Click or drag to hear a timbre; arrow keys move, Enter plays.`);
const spoken = (name) => name.replaceAll("_", " ");

function shares(x, y) {
  const weights = Object.values(state.places).map(([a, b]) => ((a - x) ** 2 + (b - y) ** 2 + 1e-9) ** -2);
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

function paint() {
  const context = map.querySelector("canvas").getContext("2d"), { width, height } = context.canvas;
  const picture = context.createImageData(width, height), places = Object.values(state.places);
  const around = places.map(([x, y]) => Math.atan2(y - 0.5, x - 0.5));
  const order = [...around].sort((a, b) => a - b);
  const colours = around.map((angle) => {
    const turn = 2 * Math.PI * order.indexOf(angle) / places.length;
    return [0, 2, 4].map((third) => 165 + 75 * Math.cos(turn + third * Math.PI / 3));
  });
  for (let i = 0; i < width * height; i++) {
    const share = shares((i % width + 0.5) / width, (Math.floor(i / width) + 0.5) / height);
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = share.reduce((sum, s, k) => sum + s * colours[k][c], 0);
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

function label() {
  const width = map.clientWidth, height = map.clientHeight, taken = [];
  const dots = Object.values(state.places).map(([x, y]) => [x * width - 5, y * height - 5, 10, 10]);
  const clash = (a, b) => Math.max(0, Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0])) *
    Math.max(0, Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]));
  for (const item of names.children) {
    const [x, y] = state.places[item.dataset.name], text = item.lastElementChild;
    const w = text.offsetWidth, h = text.offsetHeight, px = x * width, py = y * height;
    const tries = [[px + 12, py - h / 2], [px - 12 - w, py - h / 2], [px - w / 2, py - h - 9], [px - w / 2, py + 9],
      [px + 6, py - h - 5], [px + 6, py + 5], [px - w - 6, py - h - 5], [px - w - 6, py + 5]];
    const cost = ([a, b]) => [...taken, ...dots].reduce((sum, box) => sum + clash([a, b, w, h], box), 0) +
      1e4 * (a < 0 || a + w > width || b < 0 || b + h > height);
    const best = tries.reduce((a, b) => (cost(b) < cost(a) ? b : a));
    taken.push([...best, w, h]);
    Object.assign(item.style, { left: `${px}px`, top: `${py}px` });
    text.style.translate = `${best[0] - px}px ${best[1] - py}px`;
  }
}

function place(spot, [x, y]) {
  spot.style.left = `${100 * x}%`;
  spot.style.top = `${100 * y}%`;
}

function words([x, y]) {
  const all = Object.keys(state.places), share = shares(x, y);
  const heard = all.map((name, i) => [share[i], name]).sort((a, b) => b[0] - a[0]).slice(0, 3);
  const [most] = heard;
  if (!most) return "";
  const pure = heard[1]?.[0] < LEAST_SHARE;
  const said = ([s, name]) => (pure ? spoken(name) : `${Math.round(100 * s)} % ${spoken(name)}`);
  return heard.filter(([s]) => s >= LEAST_SHARE).map(said).join(", ");
}

function mark() {
  place(first, state.at);
  first.hidden = state.invented !== null;
  second.hidden = !state.to;
  line.parentElement.style.display = state.to && state.invented === null ? "" : "none";
  glide.setAttribute("aria-pressed", String(Boolean(state.to)));
  if (state.to) {
    place(second, state.to);
    const ends = { x1: state.at[0], y1: state.at[1], x2: state.to[0], y2: state.to[1] };
    for (const [name, value] of Object.entries(ends)) line.setAttribute(name, `${100 * value}%`);
  }
  badge.textContent = state.invented === null ? "" : `Invented from seed ${state.invented}`;
  const start = state.invented === null ? words(state.at) : "an invented timbre";
  blend.textContent = state.to ? `${start} → ${words(state.to)}` : start;
}

function draw() {
  names.replaceChildren(...Object.keys(state.places).map((name) => {
    const item = document.createElement("button");
    item.type = "button";
    item.dataset.name = name;
    item.tabIndex = -1;
    item.innerHTML = "<i></i><span></span>";
    item.lastElementChild.textContent = spoken(name);
    return item;
  }));
  if (names.children.length) paint();
  label();
  mark();
}

function move(spot, [x, y], final) {
  if (spot === second) state.to = [x, y];
  else Object.assign(state, { at: [x, y], invented: null });
  mark();
  if (final || !unsent) send(state);
}

let held = null;
function at(event, snap) {
  const box = map.getBoundingClientRect();
  const x = event.clientX - box.left, y = event.clientY - box.top;
  const near = Object.values(state.places).find(([a, b]) => Math.hypot(a * box.width - x, b * box.height - y) < SNAP);
  return snap && near ? near : [clamp(x / box.width, 0, 1), clamp(y / box.height, 0, 1)];
}

map.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  map.setPointerCapture(event.pointerId);
  const ring = second.getBoundingClientRect();
  const x = event.clientX - ring.x - ring.width / 2, y = event.clientY - ring.y - ring.height / 2;
  const onRing = !second.hidden && Math.hypot(x, y) < 20;
  const name = event.target.closest("button")?.dataset.name;
  held = onRing ? second : first;
  move(held, !onRing && name ? state.places[name] : at(event, true), true);
});
map.addEventListener("pointermove", (event) => {
  if (!held) return;
  move(held, at(event, false), false);
});
for (const name of ["pointerup", "pointercancel"]) {
  map.addEventListener(name, () => {
    held = null;
  });
}
map.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!by && event.key !== "Enter") return;
  event.preventDefault();
  const [x, y] = state.at, far = event.shiftKey ? 5 * STEP : STEP;
  move(first, by ? [clamp(x + far * by[0], 0, 1), clamp(y + far * by[1], 0, 1)] : state.at, true);
});
glide.addEventListener("click", () => {
  const [x, y] = state.at;
  state.to = state.to ? null : [x < 0.5 ? x + 0.35 : x - 0.35, y < 0.5 ? y + 0.2 : y - 0.2];
  mark();
  send(state);
});

new ResizeObserver(label).observe(map);
replaced((found) => {
  Object.assign(state, found);
  draw();
});
draw();
if (!Object.keys(state.places).length) trigger("ready");
