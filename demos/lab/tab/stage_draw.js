const BOX = 2.5, UNIT = 8192, LATENT = 3.4;

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** Places as numbers x, y, x, y, … in units of the plane. */
function places(text) {
  const whole = new Int16Array(bytes(text).buffer);
  return Float32Array.from(whole, (v) => v / UNIT);
}

const parts = (colour) => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
};

let theme = { ink: [28, 25, 23], accent: [222, 85, 48], soft: [120, 113, 108], dark: false };

function readTheme(root) {
  const style = getComputedStyle(root), of = (name) => parts(style.getPropertyValue(name).trim() || "#888");
  const ink = of("--lab-ink");
  theme = { ink, accent: of("--lab-accent"), soft: of("--lab-soft"), dark: ink[0] + ink[1] + ink[2] > 384 };
}

const paint = ([r, g, b], alpha) => `rgba(${r},${g},${b},${alpha})`;

/** Shades on a square of cells as a small picture, to be stretched smoothly. */
function map(shades, cells, colour, curve = (v) => v) {
  const sheet = document.createElement("canvas");
  sheet.width = sheet.height = cells;
  const context = sheet.getContext("2d"), image = context.createImageData(cells, cells);
  const [r, g, b] = colour;
  for (let i = 0; i < shades.length; i++) image.data.set([r, g, b, 255 * curve(shades[i] / 255)], 4 * i);
  context.putImageData(image, 0, 0);
  return sheet;
}

/** Where points of [-reach, reach]² lie on a canvas that is `size` wide. */
const scale = (size, reach = BOX) => [(x) => ((x + reach) / (2 * reach)) * size, (y) => ((reach - y) / (2 * reach)) * size];

function dots(context, size, points, colour, alpha, radius, reach) {
  const [px, py] = scale(size, reach);
  context.fillStyle = paint(colour, alpha);
  context.beginPath();
  for (let i = 0; i < points.length; i += 2) {
    const x = px(points[i]), y = py(points[i + 1]);
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.fill();
}

function lines(context, size, points, each, colour, alpha, width, upTo = Infinity) {
  const [px, py] = scale(size), most = Math.min(each, Math.ceil(upTo));
  context.strokeStyle = paint(colour, alpha);
  context.lineWidth = width;
  context.lineJoin = "round";
  context.beginPath();
  for (let start = 0; start < points.length; start += 2 * each) {
    for (let i = 0; i < most; i++) {
      const x = px(points[start + 2 * i]), y = py(points[start + 2 * i + 1]);
      if (i) context.lineTo(x, y);
      else context.moveTo(x, y);
    }
  }
  context.stroke();
}

/** Points at a time between the stations of their paths. */
function along(paths, each, t) {
  const at = Math.min(each - 1.001, Math.max(0, t * (each - 1))), i = Math.floor(at), part = at - i;
  const found = new Float32Array((paths.length / each / 2) * 2);
  for (let n = 0; n < found.length / 2; n++) {
    for (const c of [0, 1]) {
      const k = 2 * (n * each + i) + c;
      found[2 * n + c] = paths[k] * (1 - part) + paths[k + 2] * part;
    }
  }
  return found;
}

function stretched(context, size, sheet) {
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(sheet, 0, 0, size, size);
}

const ease = (t) => (t < 0.5 ? 2 * t * t : 1 - 2 * (1 - t) ** 2);

/** What each family shows of its inside: `draw(context, size, parts of the frame, samples, seconds, unit)`. */
const INSIDE = {
  autoregressive(context, size, view, samples, clock, u) {
    stretched(context, size, (view.sheet ??= map(bytes(view.columns), view.cells, theme.accent, (v) => 0.75 * v)));
    const first = (view.bars ??= bytes(view.first)), wide = size / first.length, [px, py] = scale(size);
    context.fillStyle = paint(theme.ink, 0.28);
    first.forEach((v, i) => context.fillRect(i * wide, size - (v / 255) * 0.16 * size, wide + 0.5, (v / 255) * 0.16 * size));
    const turn = (clock / 3) % 1, rise = ease(Math.min(1, Math.max(0, (turn - 0.25) / 0.45)));
    for (let i = 0; i < 36; i++) {
      const x = px(samples[2 * i]), y = py(samples[2 * i + 1]), base = size - 0.02 * size;
      const now = base + (y - base) * rise;
      context.strokeStyle = paint(theme.ink, 0.22);
      context.lineWidth = u;
      context.beginPath();
      context.moveTo(x, base);
      context.lineTo(x, now);
      context.stroke();
      context.fillStyle = paint(theme.ink, Math.min(1, 4 * turn));
      context.beginPath();
      context.arc(x, now, 2.6 * u, 0, 2 * Math.PI);
      context.fill();
    }
  },
  vae(context, size, view, samples, clock, u) {
    const codes = (view.at ??= places(view.codes)), stds = (view.wide ??= places(view.stds)), hues = (view.turn ??= bytes(view.hues));
    const [px, py] = scale(size, LATENT), unit = size / (2 * LATENT);
    for (const radius of [1, 2, 3]) {
      context.strokeStyle = paint(theme.ink, 0.22);
      context.lineWidth = u;
      context.beginPath();
      context.arc(size / 2, size / 2, radius * unit, 0, 2 * Math.PI);
      context.stroke();
    }
    for (let i = 0; i < hues.length; i++) {
      const x = px(codes[2 * i]), y = py(codes[2 * i + 1]);
      const colour = `hsl(${(hues[i] / 255) * 360} 70% ${theme.dark ? 62 : 46}%`;
      if (i % 6 === 0) {
        context.fillStyle = `${colour} / 0.12)`;
        context.beginPath();
        context.ellipse(x, y, Math.abs(stds[2 * i]) * unit, Math.abs(stds[2 * i + 1]) * unit, 0, 0, 2 * Math.PI);
        context.fill();
      }
      context.fillStyle = `${colour} / 0.9)`;
      context.beginPath();
      context.arc(x, y, 2.1 * u, 0, 2 * Math.PI);
      context.fill();
    }
  },
  flow(context, size, view, samples, clock, u) {
    const grid = (view.lines ??= places(view.grid)), half = grid.length / 2;
    lines(context, size, grid.subarray(0, half), view.each, theme.accent, 0.85, 1.3 * u);
    lines(context, size, grid.subarray(half), view.each, theme.ink, 0.6, 1.1 * u);
  },
  gan(context, size, view, samples, clock, u) {
    const shades = (view.shades ??= bytes(view.surface));
    const real = theme.dark ? [96, 165, 250] : [37, 99, 175];
    view.high ??= map(shades, view.cells, real, (v) => 1.7 * Math.max(0, v - 0.5));
    view.low ??= map(shades, view.cells, theme.accent, (v) => 1.7 * Math.max(0, 0.5 - v));
    stretched(context, size, view.high);
    stretched(context, size, view.low);
    dots(context, size, samples, theme.ink, 0.75, 1.5 * u);
  },
  energy(context, size, view, samples, clock, u) {
    stretched(context, size, (view.sheet ??= map(bytes(view.surface), view.cells, theme.accent, (v) => 0.8 * v * v)));
    const paths = (view.way ??= places(view.paths)), t = (clock / 5) % 1.25;
    lines(context, size, paths, view.each, theme.ink, 0.45, u, Math.min(1, t) * view.each);
    dots(context, size, along(paths, view.each, Math.min(1, t)), theme.ink, 1, 3 * u);
  },
  score(context, size, view, samples, clock, u) {
    const field = (view.arrows ??= places(view.field)), side = Math.sqrt(field.length / 2), [px, py] = scale(size);
    context.strokeStyle = paint(theme.soft, 0.75);
    context.lineWidth = 1.1 * u;
    context.beginPath();
    for (let i = 0; i < side * side; i++) {
      const x = px(((i % side) + 0.5) / side * 2 * BOX - BOX), y = py(BOX - (Math.floor(i / side) + 0.5) / side * 2 * BOX);
      const length = Math.hypot(field[2 * i], field[2 * i + 1]) || 1e-6, far = Math.min(length, 2.4) / length;
      const dx = field[2 * i] * far * size / 75, dy = -field[2 * i + 1] * far * size / 75;
      context.moveTo(x - dx / 2, y - dy / 2);
      context.lineTo(x + dx / 2, y + dy / 2);
      const angle = Math.atan2(dy, dx);
      for (const side of [-1, 1]) {
        context.moveTo(x + dx / 2, y + dy / 2);
        context.lineTo(x + dx / 2 - 3.4 * u * Math.cos(angle + side * 0.5), y + dy / 2 - 3.4 * u * Math.sin(angle + side * 0.5));
      }
    }
    context.stroke();
    const paths = (view.way ??= places(view.paths)), t = Math.min(1, (clock / 3.2) % 1.3);
    lines(context, size, paths, view.each, theme.accent, 0.5, 1.3 * u, 1 + t * (view.each - 1));
    dots(context, size, along(paths, view.each, ease(t)), theme.accent, 1, 3 * u);
  },
};

/** A loss over its steps, with a dashed line where it can best be. */
function curve(canvas, values, best) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth * ratio, height = canvas.clientHeight * ratio;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (values.length < 2) return;
  const sorted = [...values, ...(best === null ? [] : [best])].sort((a, b) => a - b);
  const low = sorted[0], high = Math.max(low + 1e-3, sorted[Math.floor(0.96 * (sorted.length - 1))]);
  const y = (v) => height - 4 * ratio - (Math.min(1, (v - low) / (high - low)) * (height - 8 * ratio));
  if (best !== null) {
    context.setLineDash([4 * ratio, 4 * ratio]);
    context.strokeStyle = paint(theme.soft, 0.8);
    context.beginPath();
    context.moveTo(0, y(best));
    context.lineTo(width, y(best));
    context.stroke();
    context.setLineDash([]);
  }
  context.strokeStyle = paint(theme.accent, 1);
  context.lineWidth = 1.6 * ratio;
  context.beginPath();
  values.forEach((v, i) => context.lineTo((i / (values.length - 1)) * width, y(v)));
  context.stroke();
}
