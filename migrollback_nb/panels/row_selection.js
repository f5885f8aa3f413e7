// Which row of an interactive table was clicked: the table itself says its position, where another may be by then.
// Loads nothing.
function render({ model, el }) {
  el.style.display = "none";
  const selection = selectionOf(model, "");
  let panel = null;
  const report = (event) => {
    const cell = event.target.closest?.(".dt-container tbody tr")?.cells[0];
    if (cell) selection.select(cell.textContent);
  };
  const listen = () => {
    panel = el.isConnected ? el.parentElement.closest(".widget-vbox") : null;
    // before the table hears of it
    panel?.addEventListener("click", report, true);
    return panel !== null;
  };
  const waiting = new MutationObserver(() => listen() && waiting.disconnect());
  if (!listen()) waiting.observe(document.body, { childList: true, subtree: true });
  return () => {
    waiting.disconnect();
    panel?.removeEventListener("click", report, true);
  };
}

export default { render };
