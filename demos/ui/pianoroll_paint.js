const GAP = 2, ONSET = 2.5;
const INKS = ["--body-text-color-subdued", "--border-color-primary", "--color-accent", "--background-fill-secondary",
  "--background-fill-primary"];

function paint() {
  if (needsPaint) return;
  needsPaint = true;
  requestAnimationFrame(() => {
    needsPaint = false;
    const style = getComputedStyle(root);
    const [quiet, line, accent, black, white] = INKS.map((name) => style.getPropertyValue(name));
    const ink = { quiet, line, accent, black, white };
    paintGrid(ink);
    paintRuler(ink);
    paintKeys(ink);
    find(".roll-hint").hidden = state.notes.length > 0 || action !== null;
  });
}

function begin(canvas, shift = 0) {
  const context = canvas.getContext("2d"), sharp = window.devicePixelRatio || 1;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(sharp, 0, 0, sharp, -shift * sharp, 0);
  context.font = MONO;
  context.textBaseline = "middle";
  return context;
}

function paintGrid(ink) {
  const left = scroll.scrollLeft, context = begin(grid, left), tall = ROWS * row, end = steps() * size;
  const rect = (colour, ...box) => ((context.fillStyle = colour), context.fillRect(...box));
  for (let pitch = CONFIG.low; pitch <= CONFIG.high; pitch++) {
    if (isBlack(pitch)) rect(ink.black, left, yOf(pitch), Math.min(wide, end - left), row);
    if (pitch % 12 === 0) rect(ink.line, left, yOf(pitch) + row - 0.5, Math.min(wide, end - left), 1);
  }
  for (let t = Math.floor(left / size); t <= Math.min(steps(), (left + wide) / size); t++) {
    context.globalAlpha = t % STEPS_A_BAR === 0 ? 0.7 : t % 4 === 0 ? 0.6 : 0.22;
    const [colour, thick] = t % STEPS_A_BAR ? [ink.line, 1] : [ink.quiet, 0.5];
    if (t % 4 === 0 || size >= 7) rect(colour, t * size - 0.5, 0, thick, tall);
  }
  context.globalAlpha = 1;
  const live = action?.note, shown = live ? settle(state.notes, live) : state.notes;
  for (const note of shown) paintNote(context, note, ink);
  if (live && !shown.includes(live)) paintNote(context, live, ink);
  paintLanes(context, ink, left);
  if (frame) {
    const [a, b] = [frame.from, frame.to].map((f) => f.at).sort((x, y) => x - y);
    const [low, high] = [frame.from, frame.to].map((f) => f.pitch).sort((x, y) => x - y);
    const box = [Math.floor(a) * size, yOf(high), (Math.ceil(b) - Math.floor(a)) * size, (high - low + 1) * row];
    context.strokeStyle = ink.accent;
    context.setLineDash([4, 3]);
    context.strokeRect(...box);
    context.globalAlpha = 0.1;
    rect(ink.accent, ...box);
    context.globalAlpha = 1;
    context.setLineDash([]);
  }
  if (byKeys && document.activeElement === grid) {
    context.strokeStyle = ink.accent;
    context.lineWidth = 2;
    context.strokeRect(state.cursor.start * size, yOf(state.cursor.pitch), size * state.length, row);
    context.lineWidth = 1;
  }
}

function paintNote(context, note, ink) {
  const [x, y, w, h] = [note.start * size + 0.5, yOf(note.pitch) + 0.5, note.length * size - GAP, row - 1];
  const left = scroll.scrollLeft;
  if (x > left + wide || x + w < left) return;
  const heated = state.heat && note.heat !== null;
  const colour = heated ? heatColour(note.heat, isDark()) : state.heat ? ink.line : SHADES[note.voice % SHADES.length];
  const whole = state.marks[note.voice].subarray(note.start, note.start + note.length);
  const marked = whole.reduce((sum, v) => sum + v, 0);
  context.fillStyle = colour;
  context.globalAlpha = marked ? 0.28 : 1;
  context.beginPath();
  context.roundRect(x, y, w, h, 3);
  context.fill();
  context.fillStyle = "#0007";
  context.beginPath();
  context.roundRect(x, y, ONSET, h, [3, 0, 0, 3]);
  context.fill();
  context.globalAlpha = 1;
  context.beginPath();
  context.roundRect(x, y, w, h, 3);
  if (marked) {
    context.strokeStyle = SHADES[note.voice % SHADES.length];
    context.setLineDash([3, 2]);
    context.stroke();
    context.setLineDash([]);
  }
  if (w < 13 || marked) return;
  context.fillStyle = heated && note.heat > HOTTEST / 3 === isDark() ? "#33261f" : "#fff";
  context.font = `600 ${row - 3}px ui-sans-serif, system-ui, sans-serif`;
  context.fillText(CONFIG.voices[note.voice][0], x + ONSET + 2, y + h / 2 + 0.5);
  context.font = MONO;
}

function paintLanes(context, ink, left) {
  const top = ROWS * row;
  for (let voice = 0; voice < VOICES; voice++) {
    const y = top + voice * LANE;
    context.fillStyle = ink.line;
    context.fillRect(left, y, wide, voice ? 0.5 : 1);
    context.fillStyle = SHADES[voice % SHADES.length];
    context.globalAlpha = 0.28;
    for (const note of state.notes) {
      if (note.voice === voice) context.fillRect(note.start * size + 0.5, y + LANE / 2 - 1, note.length * size - GAP, 2);
    }
    context.globalAlpha = 1;
    const marked = state.marks[voice];
    for (let t = Math.floor(left / size); t < Math.min(steps(), (left + wide) / size + 1); t++) {
      if (!marked[t]) continue;
      context.globalAlpha = 0.75;
      context.fillRect(t * size, y + 2, size + 0.3, LANE - 4);
      context.globalAlpha = 1;
    }
  }
}

function paintRuler(ink) {
  const context = begin(ruler, scroll.scrollLeft);
  for (let bar = 0; bar <= state.bars; bar++) {
    const x = bar * STEPS_A_BAR * size;
    context.fillStyle = ink.quiet;
    context.fillRect(x - 0.5, 8, 0.8, RULER - 8);
    if (bar < state.bars) context.fillText(String(bar + 1), x + 5, RULER / 2 + 1);
  }
}

function paintKeys(ink) {
  const context = begin(keys), at = action?.note?.pitch ?? hover?.pitch ?? (byKeys ? state.cursor.pitch : null);
  context.textAlign = "right";
  for (let pitch = CONFIG.low; pitch <= CONFIG.high; pitch++) {
    const y = RULER + yOf(pitch);
    context.fillStyle = isBlack(pitch) ? ink.line : ink.white;
    context.fillRect(0, y, KEYS_WIDTH - 3, row);
    if (pitch % 12 === 0 || pitch % 12 === 5) {
      context.fillStyle = ink.line;
      context.fillRect(0, y + row - 0.5, KEYS_WIDTH - 3, 1);
    }
    if (pitch === at) {
      context.fillStyle = ink.accent;
      context.fillRect(0, y, KEYS_WIDTH - 3, row);
    }
    if (pitch === at || (pitch % 12 === 0 && Math.abs(pitch - (at ?? -9)) > 1)) {
      context.fillStyle = pitch === at ? "#fff" : ink.quiet;
      context.fillText(nameOf(pitch), KEYS_WIDTH - 7, y + row / 2 + 0.5);
    }
  }
  CONFIG.voices.forEach((name, voice) => {
    context.fillStyle = SHADES[voice % SHADES.length];
    context.fillText(name[0], KEYS_WIDTH - 7, RULER + ROWS * row + (voice + 0.5) * LANE + 0.5);
  });
}
