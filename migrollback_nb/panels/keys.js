// What a panel does in its page beside showing widgets: it keeps its keys from JupyterLab, which would move between cells, insert and
// delete them instead; it brings into view what a click has found; and it says when the kernel behind it is gone. Loads nothing.
function keep(event) {
  // on the very element: JupyterLab asks that first, and its parents only then
  event.target.setAttribute("data-lm-suppress-shortcuts", "true");
}

const GONE =
  "The kernel was restarted or has ended: what this panel shows is no longer true, and its buttons do nothing. " +
  "Run the notebook's cells again (menu Run, Run All Cells).";

function render({ model, el }) {
  const said = el.appendChild(document.createElement("div"));
  said.setAttribute("role", "alert");
  el.classList.add("migrollback-said");
  const panel = () => el.parentElement?.closest(".widget-vbox");

  // the text is written only then: an alert is read out when it appears
  const tell = () => {
    const gone = el.closest(".jupyter-widgets-disconnected") !== null || panel()?.matches(".jupyter-widgets-disconnected");
    said.textContent = gone ? GONE : "";
    said.className = gone ? "migrollback-gone" : "";
    el.style.display = gone ? "" : "none";
  };
  const watching = new MutationObserver(tell);

  const reveal = (name) => {
    const found = [...(panel()?.querySelectorAll(`.${name}`) ?? [])].find((element) => element.getClientRects().length > 0);
    if (!found) return;
    found.style.scrollMargin = "8px";
    const bring = () => {
      // of what does not fit, the heading is seen first
      const tall = found.getBoundingClientRect().height > window.innerHeight / 2;
      found.scrollIntoView({ block: tall ? "start" : "nearest" });
    };
    bring();
    focus?.take(found);
    // a table of many rows is drawn after it was asked for
    const grown = new ResizeObserver(bring);
    grown.observe(found);
    setTimeout(() => grown.disconnect(), 3000);
  };
  // the widgets that show it have been told before, and draw themselves first
  const heard = (message) => message.reveal && requestAnimationFrame(() => requestAnimationFrame(() => reveal(message.reveal)));
  model.on("msg:custom", heard);

  let focus = null;
  const looked = () => focus?.look();
  model.on("change:busy", looked);

  const guard = () => {
    if (!el.isConnected) return false;
    if (panel()) focus ??= keepFocus(panel(), () => model.get("busy"));
    panel()?.addEventListener("focusin", keep);
    // once: to add a class that is there already counts as a change too, and what watches it would never end
    panel()?.classList.add("migrollback-panel");
    for (const element of [el.parentElement, el, panel()]) {
      if (element) watching.observe(element, { attributes: true, attributeFilter: ["class"] });
    }
    tell();
    return true;
  };
  const waiting = new MutationObserver(() => guard() && waiting.disconnect());
  if (!guard()) waiting.observe(document.body, { childList: true, subtree: true });
  return () => {
    waiting.disconnect();
    watching.disconnect();
    model.off("msg:custom", heard);
    model.off("change:busy", looked);
    focus?.stop();
  };
}

export default { render };
