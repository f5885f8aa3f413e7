// Keys that are pressed in a panel are the panel's: JupyterLab would move between cells, insert and delete them instead. And what is picked from a
// list is told by its words: the list itself tells only the place, and the kernel may have another list by then. Loads nothing.
function keep(event) {
  // on the very element: JupyterLab asks that first, and its parents only then
  event.target.setAttribute("data-lm-suppress-shortcuts", "true");
}

function render({ model, el }) {
  el.style.display = "none";
  const tell = (event) => {
    if (event.target instanceof HTMLSelectElement) model.send({ picked: event.target.selectedOptions[0]?.text ?? "" });
  };
  const guard = () => {
    const panel = el.isConnected && el.parentElement.closest(".widget-vbox");
    panel?.addEventListener?.("focusin", keep);
    panel?.addEventListener?.("change", tell, true); // before the list hears of it
    return el.isConnected;
  };
  if (guard()) return undefined;
  const waiting = new MutationObserver(() => guard() && waiting.disconnect());
  waiting.observe(document.body, { childList: true, subtree: true });
  return () => waiting.disconnect();
}

export default { render };
