const SIZE = 512;
const INK = "#1b1b1f";
const MAX_STROKES = 10000;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const radiusAt = (width, pressure) => width * (0.2 + 0.6 * clamp(pressure, 0, 1));

/** Path of a capsule chain: a disc at each point and the tangent quad between neighbours, all wound the same way. */
function outline(points, width) {
  const path = new Path2D();
  for (let i = 0; i < points.length; i++) {
    const [x, y, p] = points[i];
    const r = radiusAt(width, p);
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
    if (i === 0) continue;
    const [x0, y0, p0] = points[i - 1];
    const r0 = radiusAt(width, p0);
    const d = Math.hypot(x - x0, y - y0);
    if (d <= Math.abs(r0 - r)) continue;
    const ux = (x - x0) / d, uy = (y - y0) / d;
    const c = (r0 - r) / d, s = Math.sqrt(1 - c * c);
    const ax = c * ux + s * uy, ay = c * uy - s * ux;
    const bx = c * ux - s * uy, by = c * uy + s * ux;
    path.moveTo(x0 + ax * r0, y0 + ay * r0);
    path.lineTo(x + ax * r, y + ay * r);
    path.lineTo(x + bx * r, y + by * r);
    path.lineTo(x0 + bx * r0, y0 + by * r0);
    path.closePath();
  }
  return path;
}

class Stroke {
  constructor(tool, colour, width, points) {
    Object.assign(this, { tool, colour, width, points });
  }
  get path() {
    return (this._path ??= outline(this.points, this.width));
  }
  get json() {
    const { tool, colour, width, points } = this;
    return (this._json ??= JSON.stringify({ tool, colour, width, points }));
  }
  get box() {
    return (this._box ??= this.measure());
  }
  measure() {
    const reach = radiusAt(this.width, 1);
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const [x, y] of this.points) {
      box[0] = Math.min(box[0], x - reach);
      box[1] = Math.min(box[1], y - reach);
      box[2] = Math.max(box[2], x + reach);
      box[3] = Math.max(box[3], y + reach);
    }
    return box;
  }
  /** Whether a disc touches the stroke. */
  touches(x, y, r) {
    const [x0, y0, x1, y1] = this.box;
    if (x < x0 - r || y < y0 - r || x > x1 + r || y > y1 + r) return false;
    return this.points.some(([bx, by, p], i) => {
      const [ax, ay] = this.points[Math.max(i - 1, 0)];
      const dx = bx - ax, dy = by - ay;
      const t = clamp(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0, 1);
      return Math.hypot(x - ax - t * dx, y - ay - t * dy) <= r + radiusAt(this.width, p);
    });
  }
}

/** What was sampled from the pointer, as the points that are stored: evenly spaced, smoothed, simplified, rounded. */
function settle(raw) {
  const points = simplify(smooth(smooth(even(dense(raw)))), 0.12);
  const round = (value, unit) => Math.round(value * unit) / unit;
  return points.map(([x, y, p, t]) => [round(x, 10), round(y, 10), round(p, 100), Math.round(t)]);
}

/** Points at least 3 units apart; the ends stay. */
function even(points) {
  const result = points.slice(0, 1);
  for (const point of points.slice(1, -1)) {
    const last = result.at(-1);
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= 3) result.push(point);
  }
  return points.length > 1 ? [...result, points.at(-1)] : result;
}

function smooth(points) {
  return points.map((b, i) => {
    const a = points[i - 1], c = points[i + 1];
    return a && c ? b.map((v, k) => 0.5 * v + 0.25 * (a[k] + c[k])) : b;
  });
}

/**
 * Catmull-Rom through the places, a point at least every 4 units; tangents are limited where spacing is uneven.
 * Pressure and time go straight from point to point: a curve would overshoot, and time would run backwards.
 */
function dense(points) {
  const result = points.slice(0, 1);
  for (let i = 1; i < points.length; i++) {
    const b = points[i - 1], c = points[i];
    const a = points[i - 2] ?? b, d = points[i + 1] ?? c;
    const gap = Math.hypot(c[0] - b[0], c[1] - b[1]);
    const limit = (from, to) => Math.min(1, (2 * gap) / (Math.hypot(to[0] - from[0], to[1] - from[1]) || 1)) / 2;
    const m = limit(a, c), n = limit(b, d);
    const steps = Math.ceil(gap / 4);
    for (let k = 1; k < steps; k++) {
      const t = k / steps, u = 1 - t;
      const h = [u * u * (1 + 2 * t), t * t * (3 - 2 * t), u * u * t * m, -t * t * u * n];
      const curved = (j) => h[0] * b[j] + h[1] * c[j] + h[2] * (c[j] - a[j]) + h[3] * (d[j] - b[j]);
      result.push(b.map((v, j) => (j < 2 ? curved(j) : u * v + t * c[j])));
    }
    result.push(c);
  }
  return result;
}

/** Ramer-Douglas-Peucker over x, y and pressure. */
function simplify(points, tolerance) {
  if (points.length < 3) return points;
  const keep = new Uint8Array(points.length);
  keep[0] = keep[points.length - 1] = 1;
  const stack = [[0, points.length - 1]];
  while (stack.length) {
    const [first, last] = stack.pop();
    const [ax, ay, ap] = points[first], [bx, by, bp] = points[last];
    const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy || 1;
    let worst = tolerance, at = 0;
    for (let i = first + 1; i < last; i++) {
      const [x, y, p] = points[i];
      const t = clamp(((x - ax) * dx + (y - ay) * dy) / length, 0, 1);
      const off = Math.hypot(x - ax - t * dx, y - ay - t * dy) + 4 * Math.abs(p - ap - t * (bp - ap));
      if (off > worst) [worst, at] = [off, i];
    }
    if (at) {
      keep[at] = 1;
      stack.push([first, at], [at, last]);
    }
  }
  return points.filter((_, i) => keep[i]);
}

const serialise = (strokes) => `{"version":1,"size":${SIZE},"strokes":[${strokes.map((s) => s.json).join(",")}]}`;

/** Strokes of a drawing's JSON text, or null if it isn't one. */
function parse(text) {
  if (!text) return [];
  try {
    const data = JSON.parse(text);
    const scale = SIZE / (Number(data.size) || SIZE);
    const strokes = (data.strokes ?? []).slice(0, MAX_STROKES).map((item) => {
      const tool = item.tool ?? "pen", width = Number(item.width ?? 8) * scale;
      if (!["pen", "brush", "eraser"].includes(tool) || !(width > 0)) throw new TypeError("not a stroke");
      const finite = item.points.filter((p) => p.length >= 2 && p.slice(0, 2).every(Number.isFinite));
      const points = finite.map(([x, y, p, t]) => {
        const at = [x, y].map((v) => clamp(v * scale, -SIZE, 2 * SIZE));
        return [...at, clamp(Number.isFinite(p) ? p : 0.5, 0, 1), Number.isFinite(t) ? t : 0];
      });
      return new Stroke(tool, hex(item.colour), Math.min(width, SIZE), points);
    });
    return strokes.filter((stroke) => stroke.points.length);
  } catch {
    return null;
  }
}

function hex(colour) {
  const text = String(colour ?? INK);
  if (/^#[0-9a-f]{3}$/i.test(text)) return "#" + [...text.slice(1)].map((c) => c + c).join("").toLowerCase();
  return /^#[0-9a-f]{6}$/i.test(text) ? text.toLowerCase() : INK;
}

/** The drawing as SVG: brush layer below ink, erasers as masks; `demos/core/svg.py` writes and reads the same. */
function toSVG(strokes) {
  const path = (stroke, order, colour) => {
    const points = stroke.points.length > 1 ? stroke.points : [stroke.points[0], stroke.points[0]];
    const width = (i) => Math.round(2 * (radiusAt(stroke.width, points[i][2]) + radiusAt(stroke.width, points[i + 1][2]))) / 2;
    const runs = [];
    for (let i = 0; i + 1 < points.length; i++) {
      const at = `${points[i + 1][0].toFixed(1)} ${points[i + 1][1].toFixed(1)}`;
      const run = runs.at(-1);
      if (run?.width === width(i)) run.d += "L" + at;
      else runs.push({ width: width(i), d: `M${points[i][0].toFixed(1)} ${points[i][1].toFixed(1)}L${at}` });
    }
    const mark = `data-tool="${stroke.tool}" data-order="${order}" stroke="${colour}"`;
    return runs.map((run) => `<path ${mark} stroke-width="${Math.max(run.width, 0.5)}" d="${run.d}"/>`).join("");
  };
  const layers = { brush: "", pen: "" };
  const all = `width="${SIZE}" height="${SIZE}"`;
  let masks = "", erased = "";
  strokes.forEach((stroke, order) => {
    if (stroke.tool !== "eraser") return (layers[stroke.tool] += path(stroke, order, stroke.colour));
    erased += path(stroke, order, "#000000");
    if (strokes[order + 1]?.tool === "eraser") return;
    masks += `<mask id="erased-${order}" maskUnits="userSpaceOnUse" x="0" y="0" ${all}>`;
    masks += `<rect ${all} fill="#ffffff"/>${erased}</mask>`;
    for (const tool in layers) if (layers[tool]) layers[tool] = `<g mask="url(#erased-${order})">${layers[tool]}</g>`;
    erased = "";
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE} ${SIZE}" ${all} fill="none" stroke-linecap="round" ` +
    `stroke-linejoin="round"><defs>${masks}</defs><g id="colour">${layers.brush}</g><g id="ink">${layers.pen}</g></svg>`
  );
}
