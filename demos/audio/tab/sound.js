const root = element.querySelector(".player"), LEAD = 0.05;
const address = (path) => new URL("." + path, (window.gradio_config?.root || location.origin) + "/").href;
const audio = () => root.querySelector("audio"), figure = () => root.querySelector("figure.sound");
let live = null, stopped = "";

window.atelierSounds ??= {
  takes: {},
  hush(except) {
    for (const other of document.querySelectorAll("audio")) if (other !== except) other.pause();
  },
};

// A sound in the making: its parts are queued on the clock of an AudioContext, which the player's <audio> listens to

function listen({ take, rate }) {
  try {
    const context = new AudioContext({ sampleRate: +rate }), out = context.createMediaStreamDestination();
    live = { take, context, out, rate: +rate, known: 0, queue: Promise.resolve(), first: null, end: 0 };
  } catch {
    return;
  }
  audio().srcObject = live.out.stream;
  audio().play().catch(() => leave(""));
}

async function append(now, url, last) {
  try {
    const data = await (await fetch(url)).arrayBuffer();
    const buffer = await now.context.decodeAudioData(data);
    const source = new AudioBufferSourceNode(now.context, { buffer });
    const frame = Math.max(now.end, Math.ceil((now.context.currentTime + LEAD) * now.rate));
    now.first ??= frame / now.rate;
    now.end = frame + buffer.length;
    source.connect(now.out);
    source.start(frame / now.rate);
    if (last) source.addEventListener("ended", () => now === live && settle(+figure().dataset.seconds));
  } catch {
    if (now === live && last) settle(position());
  }
}

function leave(take) {
  if (!live) return;
  const { context } = live;
  live = null;
  stopped = take;
  audio().srcObject = null;
  context.close().catch(() => {});
}

/** From the parts to the finished file, at so many seconds; before there is one, the take stays silent. */
function settle(seconds) {
  leave(live.take);
  const { src } = figure().dataset;
  if (!src) return;
  audio().src = address(src);
  audio().currentTime = seconds;
}

const position = () => (live ? Math.max(0, live.context.currentTime - (live.first ?? Infinity)) : audio().currentTime);
const length = () => +figure().dataset.seconds || audio().duration || 1;

function show(fresh) {
  const before = audio();
  const { take: next } = new DOMParser().parseFromString(props.value || "", "text/html").querySelector("figure")?.dataset ?? {};
  if (live && live.take !== next) leave("");
  root.innerHTML = props.value || "";
  if (!figure()) return;
  if (live) audio().replaceWith(before);
  const { src, take, parts, rate } = figure().dataset, urls = parts?.split(" ") ?? [];
  if (fresh && parts && !live && stopped !== take && !src) listen({ take, rate });
  if (live) {
    const now = live;
    for (const url of urls.slice(now.known).map(address)) {
      const last = Boolean(src) && url === address(urls.at(-1));
      now.queue = now.queue.then(() => append(now, url, last));
    }
    now.known = urls.length;
  }
  if (src) finish(fresh);
}

function finish(fresh) {
  const { src, take } = figure().dataset, url = address(src), kept = fresh && "autoplay" in figure().dataset;
  root.querySelector("a[download]").href = url;
  if (live) follow();
  else audio().src = url;
  if (!kept) return;
  if (!live && stopped !== take) audio().play().catch(() => {});
  const [title, facts] = root.querySelector("figcaption").children, outline = root.querySelector(".outline").outerHTML;
  const made = { url, title: title.innerText, facts: facts.innerText, outline };
  window.atelierSounds.takes[ID] = [made, ...(window.atelierSounds.takes[ID] || [])].slice(0, MOST);
  document.dispatchEvent(new CustomEvent("atelier-take"));
}

function follow() {
  const head = root.querySelector(".playhead");
  if (!head) return;
  head.style.left = `${Math.min(100, (100 * position()) / length())}%`;
  if (!audio().paused) requestAnimationFrame(follow);
}

root.addEventListener("play", (event) => {
  window.atelierSounds.hush(event.target);
  follow();
}, true);
root.addEventListener("pause", () => live && settle(position()), true);
for (const name of ["seeked", "ended"]) root.addEventListener(name, follow, true);
root.addEventListener("click", (event) => {
  const view = event.target.closest(".view");
  if (!view || !figure().dataset.src) return;
  const box = view.getBoundingClientRect(), at = (length() * (event.clientX - box.left)) / box.width;
  if (live) settle(at);
  audio().currentTime = at;
  audio().play().catch(() => {});
});
watch("value", () => show(true));
show(false);
if (!figure()) trigger("ready");
