const MOST_BARS = 32;
const STEPS_A_BAR = 16;
const SHADES = ["#de5f2e", "#c2920f", "#179480", "#5b6fd6"];
const HEAT = [[214, 206, 196], [240, 154, 122], [190, 48, 18]];
const HEAT_DARK = [[82, 75, 69], [196, 110, 80], [255, 120, 78]];
const HOTTEST = 8;
const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const isBlack = (pitch) => [1, 3, 6, 8, 10].includes(pitch % 12);
const nameOf = (pitch) => NAMES[pitch % 12] + (Math.floor(pitch / 12) - 1);

/** The notes after `winner` was placed: others of its voice give way where they overlap. */
function settle(notes, winner) {
  const end = winner.start + winner.length;
  return notes.flatMap((note) => {
    if (note === winner || note.voice !== winner.voice) return [note];
    const over = note.start + note.length;
    if (over <= winner.start || note.start >= end) return [note];
    if (note.start < winner.start) return [{ ...note, length: winner.start - note.start, heat: null }];
    return over > end ? [{ ...note, start: end, length: over - end, heat: null }] : [];
  });
}

/** Runs of marked sixteenths as [first, end, voice]. */
function spans(marks) {
  return marks.flatMap((row, voice) => {
    const found = [];
    for (let t = 0; t < row.length; t++) {
      if (!row[t]) continue;
      let end = t;
      while (row[end]) end++;
      found.push([t, end, voice]);
      t = end;
    }
    return found;
  });
}

const noMarks = (voices) => Array.from({ length: voices }, () => new Uint8Array(MOST_BARS * STEPS_A_BAR));

function serialise({ notes, marks, bars, rev }) {
  const sorted = [...notes].sort((a, b) => a.start - b.start || a.voice - b.voice);
  const rows = sorted.map((n) => [n.pitch, n.start, n.length, n.voice]);
  const heat = sorted.length && sorted.every((n) => n.heat !== null) ? sorted.map((n) => n.heat) : null;
  return JSON.stringify({ bars, notes: rows, erased: spans(marks), heat, rev });
}

/** What a text says, or null if it isn't a roll. */
function parse(text, voices) {
  if (!text) return { notes: [], marks: noMarks(voices), bars: 8, rev: 0 };
  try {
    const data = JSON.parse(text), marks = noMarks(voices);
    if (data.answers !== undefined) return data;
    const bars = clamp(Math.round(data.bars ?? 8), 1, MOST_BARS), steps = bars * STEPS_A_BAR;
    const notes = data.notes.map(([pitch, start, length, voice], i) => {
      if (![pitch, start, length, voice].every(Number.isInteger)) throw new TypeError("not a note");
      return { pitch, start, length: Math.min(length, steps - start), voice, heat: data.heat?.[i] ?? null };
    });
    for (const [first, end, voice] of data.erased ?? []) marks[voice].fill(1, first, end);
    const flags = { draft: data.draft ?? false, offered: data.offered ?? false };
    const fit = (n) => n.length > 0 && n.start >= 0 && n.voice >= 0 && n.voice < voices;
    return { notes: notes.filter(fit), marks, bars, rev: data.rev ?? 0, ...flags };
  } catch {
    return null;
  }
}

/** The colour of so many nats, from quiet to hot. */
function heatColour(nats, dark) {
  const stops = dark ? HEAT_DARK : HEAT;
  const at = (clamp(nats, 0, HOTTEST) / HOTTEST) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2), part = at - i;
  return `rgb(${stops[i].map((c, k) => Math.round(c + part * (stops[i + 1][k] - c))).join(" ")})`;
}
