const list = element.querySelector("ul.takes");

function draw() {
  const takes = PLAYERS.flatMap((id) => window.atelierSounds?.takes[id] || []).slice(0, MOST);
  list.replaceChildren(...takes.map((take) => {
    const item = document.createElement("li");
    item.innerHTML = `<b></b><span></span>${take.outline}<audio controls preload="none"></audio><a download>WAV</a>`;
    item.querySelector("b").textContent = take.title;
    item.querySelector("span").textContent = take.facts;
    item.querySelector("audio").src = item.querySelector("a").href = take.url;
    return item;
  }));
  if (!takes.length) list.innerHTML = '<li class="empty">Sounds that you make are kept here until you leave.</li>';
}

list.addEventListener("play", (event) => window.atelierSounds?.hush(event.target), true);
document.addEventListener("atelier-take", draw);
draw();
