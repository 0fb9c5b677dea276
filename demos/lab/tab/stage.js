const VIEWS = { samples: "Samples and density", inside: "Inside the model" };
const STATES = { training: "Training", waiting: "Waiting", paused: "Paused", done: "Done" };
const COLUMNS = [
  ["steps", "steps"], ["seconds", "seconds"], ["nll", "−log p(x), held out"], ["distance", "sliced Wasserstein"],
  ["mmd", "MMD"], ["parameters", "parameters"],
];
const GLIDE_MS = 170, CALM = matchMedia("(prefers-reduced-motion: reduce)").matches;

const root = element.querySelector(".lab");
root.innerHTML = `
  <div class="lab-top">
    <div class="lab-views" role="group" aria-label="What the panels show">${Object.entries(VIEWS).map(([key, name]) =>
      `<button type="button" data-view="${key}">${name}</button>`).join("")}</div>
    <p class="lab-state" role="status"><i></i><span>Making the models …</span></p>
    <button type="button" class="lab-wide" aria-pressed="false">Whole screen</button>
  </div>
  <div class="lab-grid">${Object.entries(FAMILIES).map(([name, family]) => `
    <section class="lab-panel" data-family="${name}" aria-label="${family.title}">
      <header><h3>${family.title}</h3><span class="lab-can"></span></header>
      <button type="button" class="lab-plot" aria-label="${family.title}: look inside, or at samples" title="Click: look inside, or at samples">
        <canvas role="img"></canvas><span class="lab-fail" hidden>diverged</span>
      </button>
      <p class="lab-told"></p>
      <canvas class="lab-loss" aria-hidden="true"></canvas>
      <div class="lab-unit"><span class="lab-of"></span><span class="lab-now"></span></div>
    </section>`).join("")}
  </div>
  <div class="lab-table"><table aria-label="Figures"><thead></thead><tbody></tbody></table></div>
  <p class="lab-note"></p>`;

function abilities(family) {
  const density = family.density.able ? `density ${family.density.note}` : `<s title="${family.density.note}">density</s>`;
  const latent = family.representation.able ? "latent" : `<s title="${family.representation.note}">latent</s>`;
  return `samples · ${density} · ${latent}`;
}

const find = (selector, within = root) => within.querySelector(selector);
const panels = Object.fromEntries([...root.querySelectorAll(".lab-panel")].map((panel) => [panel.dataset.family, {
  panel, canvas: find(".lab-plot canvas", panel), loss: find(".lab-loss", panel), now: find(".lab-now", panel),
  told: find(".lab-told", panel), fail: find(".lab-fail", panel), button: find(".lab-plot", panel), flipped: false,
}]));
const stageState = { view: "samples", session: null, opening: null, state: "", place: 0, families: {}, shown: [], calls: 0 };
(window.atelierLab ??= {})[ID] = {
  state: stageState,
  rate: () => stageState.shown.filter((t) => t > performance.now() - 3000).length / 3,
};

// Frames

function take(text) {
  const frame = JSON.parse(text), fresh = frame.opening;
  if (fresh) {
    Object.assign(stageState, { session: fresh.session, opening: fresh, families: {}, shown: [] });
    fresh.points = places(fresh.data);
    fresh.sheet = fresh.truth && map(bytes(fresh.truth), fresh.cells, theme.soft, (v) => 0.5 * v);
    for (const [name, { panel }] of Object.entries(panels)) {
      panel.hidden = !(name in fresh.families);
      panels[name].flipped = false;
      if (panel.hidden) continue;
      Object.assign(FAMILIES[name], fresh.families[name]);
      find(".lab-can", panel).innerHTML = abilities(FAMILIES[name]);
      find(".lab-of", panel).textContent = FAMILIES[name].unit;
    }
  }
  if (frame.session !== stageState.session) return;
  const { opening } = stageState, now = performance.now();
  Object.assign(stageState, { state: frame.state, place: frame.place, complete: frame.complete ?? false });
  for (const [name, part] of Object.entries(frame.families ?? {})) {
    const old = stageState.families[name] ?? {}, family = { ...old, ...part };
    family.to = places(part.samples);
    family.from = old.to && old.to.length === family.to.length ? glided(old, now) : family.to;
    family.since = now;
    if (part.density) family.sheet = map(bytes(part.density), opening.cells, theme.accent, (v) => 0.85 * v);
    if (part.inside) family.inside = { ...part.inside, cells: opening.cells };
    stageState.families[name] = family;
    curve(panels[name].loss, family.curve, FAMILIES[name].unit.startsWith("nats") ? opening.entropy : null);
    panels[name].fail.hidden = !family.diverged;
    panels[name].now.textContent = family.curve.length ? family.curve.at(-1).toFixed(2) : "";
  }
  if (frame.families) stageState.shown = [...stageState.shown.filter((t) => t > now - 5000), now];
  tell();
  figures();
  stir();
}

function glided(family, now) {
  const t = CALM ? 1 : Math.min(1, (now - family.since) / GLIDE_MS);
  if (t >= 1) return family.to;
  return family.to.map((v, i) => family.from[i] + (v - family.from[i]) * ease(t));
}

function tell() {
  const { state, place, opening, families } = stageState;
  const steps = Object.values(families).map((family) => family.steps), rate = window.atelierLab[ID].rate();
  const most = Math.max(0, ...steps).toLocaleString("en"), of = opening.steps.toLocaleString("en");
  const text = {
    training: `up to ${most} of ${of} steps${rate ? ` · ${rate.toFixed(0)} frames/s` : ""}`,
    waiting: `${place} ${place === 1 ? "training" : "trainings"} ahead of yours`,
    paused: `at ${most} of ${of} steps`,
    done: `${opening.title}, ${of} steps`,
  }[state];
  const note = find(".lab-state");
  note.dataset.state = state;
  find("span", note).textContent = `${STATES[state]}: ${text}`;
}

function figures() {
  const { opening, families } = stageState, head = find(".lab-table thead"), body = find(".lab-table tbody");
  const cell = (name, key) => {
    const family = families[name];
    if (key === "parameters") return opening.families[name].parameters.toLocaleString("en");
    if (key === "steps") return family.steps.toLocaleString("en");
    if (key === "seconds") return family.seconds.toFixed(1);
    const value = family.figures?.[key];
    if (key === "nll" && !FAMILIES[name].density.able) return '<span class="lab-not">no density</span>';
    if (value === null || value === undefined) return "–";
    const best = Math.min(...Object.keys(families).map((other) => families[other].figures?.[key] ?? Infinity));
    const kind = key === "nll" && FAMILIES[name].density.note !== "exact" ? { "lower bound": "≤ ", unnormalised: "≈ " } : {};
    const mark = kind[FAMILIES[name].density.note] ?? "";
    return `<span${value === best ? ' class="lab-best"' : ""}>${mark}${value.toFixed(key === "nll" ? 2 : 3)}</span>`;
  };
  const names = Object.keys(families);
  if (!head.children.length) head.innerHTML = `<tr><th>Family</th>${COLUMNS.map(([, name]) => `<th>${name}</th>`).join("")}</tr>`;
  body.innerHTML = names.map((name) => `<tr><td>${FAMILIES[name].title}</td>${COLUMNS.map(([key]) =>
    `<td>${cell(name, key)}</td>`).join("")}</tr>`).join("");
  const known = opening.entropy === null ? "The true density of these points is unknown."
    : `The true −log p(x) is ${opening.entropy.toFixed(2)} nats: no model can be below it but by chance.`;
  find(".lab-note").textContent = `${known} Two sets of real points are ${opening.floor.toFixed(3)} apart by sliced ` +
    "Wasserstein distance. ≤: at most so much, by a bound; ≈: the energy’s constant is estimated on a grid.";
}

// Drawing

/** Whether the stage is displayed; what fills the whole screen has no offsetParent. */
const seen = () => root.getClientRects().length > 0;

let stirring = 0;
function stir() {
  stirring ||= requestAnimationFrame(drawAll);
}

function drawAll(now) {
  stirring = 0;
  if (!seen() || !stageState.opening) return;
  let moving = false;
  for (const [name, family] of Object.entries(stageState.families)) {
    const { canvas, told, flipped } = panels[name], inside = (stageState.view === "inside") !== flipped;
    const size = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1));
    if (!size) continue;
    if (canvas.height !== size) canvas.width = canvas.height = size; // a new canvas is 300 by 150
    const context = canvas.getContext("2d"), u = size / 380, samples = glided(family, now);
    context.clearRect(0, 0, size, size);
    const note = inside ? FAMILIES[name].inside : family.density ? "Samples over the density." : "Samples over the data.";
    if (told.textContent !== note) told.textContent = note;
    if (inside && family.inside) {
      if (name !== "vae") dots(context, size, stageState.opening.points, theme.soft, 0.35, 1.2 * u);
      INSIDE[name](context, size, family.inside, samples, CALM ? 2 : now / 1000, u);
      moving ||= !CALM && ["autoregressive", "energy", "score"].includes(name);
    } else {
      if (family.sheet) stretched(context, size, family.sheet);
      else dots(context, size, stageState.opening.points, theme.soft, 0.3, 1.3 * u);
      dots(context, size, samples, theme.ink, 0.8, 1.6 * u);
    }
    const label = `${FAMILIES[name].title}, ${inside ? FAMILIES[name].inside : "samples over density"}`;
    if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
    moving ||= now - family.since < GLIDE_MS;
  }
  if (moving) stir();
}

function recolour() {
  readTheme(root);
  const { opening, families } = stageState;
  for (const [name, family] of Object.entries(families)) {
    if (family.density) family.sheet = map(bytes(family.density), opening.cells, theme.accent, (v) => 0.85 * v);
    for (const key of ["sheet", "high", "low"]) delete family.inside?.[key];
    curve(panels[name].loss, family.curve, FAMILIES[name].unit.startsWith("nats") ? opening.entropy : null);
  }
  stir();
}

function look(view) {
  stageState.view = view;
  for (const panel of Object.values(panels)) panel.flipped = false;
  for (const button of root.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
  stir();
}

root.querySelectorAll("[data-view]").forEach((button) => button.addEventListener("click", () => look(button.dataset.view)));
for (const panel of Object.values(panels)) {
  panel.button.addEventListener("click", () => {
    panel.flipped = !panel.flipped;
    stir();
  });
}
new ResizeObserver(recolour).observe(root);
new MutationObserver(recolour).observe(document.body, { attributes: true, attributeFilter: ["class"] });

const wide = find(".lab-wide");
wide.hidden = !document.fullscreenEnabled;
wide.addEventListener("click", () => document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen());
root.addEventListener("fullscreenchange", () => {
  wide.setAttribute("aria-pressed", String(document.fullscreenElement === root));
  stir();
});

let here = false;
setInterval(() => {
  const now = seen();
  if (now && !here) {
    stir();
    if (stageState.session === null && stageState.calls++ === 0) trigger("ready");
  }
  if (!now && here && ["training", "waiting"].includes(stageState.state)) trigger("away");
  here = now;
}, 400);

readTheme(root);
look("samples");
watch("value", () => props.value && take(props.value));
if (props.value) take(props.value);
