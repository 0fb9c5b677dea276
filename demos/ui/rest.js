/**
 * A page at rest asks for no frames.
 *
 * The tracker of Gradio's page that says "Loading" goes on counting its seconds when it is gone, and would ask for every
 * frame as long as the page is open. It is the first that counts.
 */
(() => {
  const COUNTS = /performance\.now\(\).*1e3/;
  const asked = window.requestAnimationFrame.bind(window);
  let loading = null, its = false;

  window.requestAnimationFrame = (then) => {
    const first = !loading && COUNTS.test(then);
    if (first) loading = document.querySelector("[data-testid=status-tracker]");
    if (!first && !its) return asked(then);
    if (!loading?.isConnected) return 0;
    return asked((time) => {
      its = true;
      try {
        then(time);
      } finally {
        its = false;
      }
    });
  };
})();
