// Keys that are pressed in a panel are the panel's: JupyterLab would move between cells, insert and delete them instead. Loads nothing.
function keep(event) {
  // on the very element: JupyterLab asks that first, and its parents only then
  event.target.setAttribute("data-lm-suppress-shortcuts", "true");
}

function render({ el }) {
  el.style.display = "none";
  const guard = () => {
    if (el.isConnected) el.parentElement.closest(".widget-vbox")?.addEventListener("focusin", keep);
    return el.isConnected;
  };
  if (guard()) return undefined;
  const waiting = new MutationObserver(() => guard() && waiting.disconnect());
  waiting.observe(document.body, { childList: true, subtree: true });
  return () => waiting.disconnect();
}

export default { render };
