const address = (path) => new URL("." + path, (window.gradio_config?.root || location.origin) + "/").href;
const audio = () => element.querySelector("audio");

window.atelierSounds ??= {
  takes: {},
  hush(except) {
    for (const other of document.querySelectorAll("audio")) if (other !== except) other.pause();
  },
};

function fill(fresh) {
  const figure = element.querySelector("figure.sound");
  if (!figure) return;
  const url = address(figure.dataset.src), kept = fresh && "autoplay" in figure.dataset;
  audio().src = figure.querySelector("a[download]").href = url;
  if (!kept) return;
  audio().play().catch(() => {});
  const [title, facts] = figure.querySelector("figcaption").children;
  const outline = figure.querySelector(".outline").outerHTML;
  const take = { url, title: title.innerText, facts: facts.innerText, outline };
  window.atelierSounds.takes[ID] = [take, ...(window.atelierSounds.takes[ID] || [])].slice(0, MOST);
  document.dispatchEvent(new CustomEvent("atelier-take"));
}

function follow() {
  const head = element.querySelector(".playhead"), now = audio();
  if (!head || !now) return;
  head.style.left = `${100 * now.currentTime / (now.duration || 1)}%`;
  if (!now.paused) requestAnimationFrame(follow);
}

element.addEventListener("play", (event) => {
  window.atelierSounds.hush(event.target);
  follow();
}, true);
for (const name of ["seeked", "ended"]) element.addEventListener(name, follow, true);
element.addEventListener("click", (event) => {
  const view = event.target.closest(".view");
  if (!view || !audio().duration) return;
  const box = view.getBoundingClientRect();
  audio().currentTime = audio().duration * (event.clientX - box.left) / box.width;
  audio().play().catch(() => {});
});
watch("value", () => fill(true));
fill(false);
