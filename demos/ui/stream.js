/**
 * No answer of the server is lost.
 *
 * Gradio's page asks for an event (`queue/join`) and hears all answers on one stream (`queue/data`), which the server
 * closes when nothing is due. A page that asks just then takes the stream for open and never hears the answer. So the
 * page learns that the server took an event only when the stream has spoken of it or is over.
 */
(() => {
  const PATIENCE_MS = 3000, CLOSING_MS = 50;
  const fetched = window.fetch;
  let stream = null;

  class Stream extends EventTarget {
    heard = new Set();
    over = false;

    async follow(response) {
      let rest = "";
      const texts = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await texts.read(); !part.done; part = await texts.read()) {
        rest += part.value;
        for (const [, id] of rest.matchAll(/"event_id":"([^"]+)"/g)) this.heard.add(id);
        rest = rest.slice(-100);
        this.dispatchEvent(new Event("news"));
      }
    }

    /** The page is left time to hear of it. */
    end() {
      setTimeout(() => {
        this.over = true;
        this.dispatchEvent(new Event("news"));
      }, CLOSING_MS);
    }

    /** Resolves when the stream has spoken of an event or is over. */
    async tells(id) {
      const late = performance.now() + PATIENCE_MS;
      while (!this.over && !this.heard.has(id) && performance.now() < late) {
        await new Promise((done) => {
          this.addEventListener("news", done, { once: true });
          setTimeout(done, PATIENCE_MS);
        });
      }
    }
  }

  window.fetch = async (request, options) => {
    const address = new URL(request.url ?? request, location.href).pathname, asks = address.endsWith("/queue/join");
    const opened = address.endsWith("/queue/data") ? (stream = new Stream()) : null;
    try {
      const response = await fetched(request, options);
      if (opened) opened.follow(response.clone()).catch(() => {}).then(() => opened.end());
      else if (asks && response.ok && stream) await stream.tells((await response.clone().json()).event_id);
      return response;
    } catch (error) {
      opened?.end();
      throw error;
    }
  };
})();
