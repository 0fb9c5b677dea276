const root = element.querySelector(".surface");
let stored = props.value || "{}", unsent = false, waitingSince = 0, timer = 0;

function keep(state) {
  stored = JSON.stringify(state);
  if (props.value !== stored) props.value = stored;
}

function send(state) {
  clearTimeout(timer);
  const wait = waitingSince + 1000 - performance.now();
  if (waitingSince && wait > 0) {
    unsent = state;
    timer = setTimeout(() => send(state), wait);
    return;
  }
  unsent = false;
  waitingSince = performance.now();
  keep(state);
  trigger("input");
}

(window.atelierSurfaces ??= {})[ID] = {
  text: () => stored,
  answered() {
    waitingSince = 0;
    if (unsent) send(unsent);
  },
};

function replaced(show) {
  watch("value", () => {
    if ((props.value || "{}") === stored) return;
    stored = props.value || "{}";
    show(JSON.parse(stored));
  });
}

const visible = () => element.offsetParent !== null;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
