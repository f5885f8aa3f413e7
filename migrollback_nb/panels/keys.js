// Keys that are pressed in a panel are the panel's: JupyterLab would move between cells, insert and delete them instead. Loads nothing.
function render({ el }) {
  el.style.display = "none";
  const guard = () => {
    if (el.isConnected) el.parentElement.closest(".widget-vbox")?.setAttribute("data-lm-suppress-shortcuts", "true");
    return el.isConnected;
  };
  if (guard()) return undefined;
  const waiting = new MutationObserver(() => guard() && waiting.disconnect());
  waiting.observe(document.body, { childList: true, subtree: true });
  return () => waiting.disconnect();
}

export default { render };
