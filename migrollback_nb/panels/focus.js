// Keeps the focus in a panel. What is switched off while something runs, hidden or written anew loses it to the page,
// and the next Tab would begin somewhere else: it is given back, or goes to what took the place. While something runs
// nothing is moved. Loads nothing.
const FOCUSABLE = "button, input, select, textarea, summary, a[href], [tabindex='0']";

function keepFocus(panel, busy) {
  let trail = []; // what had the focus here, the latest first, and the widget in which it stands
  let pending = 0;
  let later = 0;
  const usable = (element) => element.isConnected && !element.disabled && element.getClientRects().length > 0;
  const within = (host) => [...(host?.querySelectorAll(FOCUSABLE) ?? [])].filter(usable);
  // what is hidden keeps the focus until the page is drawn, and nothing tells of it when it is gone then
  const lost = () => {
    const at = document.activeElement;
    return trail.length > 0 && (at === null || at === document.body || (panel.contains(at) && !usable(at)));
  };
  const give = (element) => element?.focus({ preventScroll: true });
  // where the element stands, or stood
  const nearest = (found, { element, host }) => {
    const place = element.isConnected ? element : host;
    const follows = (other) => place.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING;
    return found.find(follows) ?? found.at(-1);
  };
  // the same, or where it was written anew what stands in its place
  const again = ({ element, host, tag, number }) => {
    if (usable(element)) return element;
    return element.isConnected ? null : within(host).filter((one) => one.tagName === tag)[number];
  };
  const inGroup = (one) => {
    const group = one.host?.closest(".migrollback-group");
    return group && panel.contains(group) ? nearest(within(group), one) : null;
  };

  const fallBack = () => {
    if (lost() && !busy()) give(trail.map(again).find(Boolean) ?? nearest(within(panel), trail[0]));
  };
  const restore = () => {
    pending = 0;
    clearTimeout(later);
    if (!lost() || busy()) return;
    const found = again(trail[0]) ?? inGroup(trail[0]);
    if (found) give(found);
    // unless what was found out is brought into view and takes it
    else later = setTimeout(fallBack, 300);
  };
  const look = () => (pending ||= requestAnimationFrame(restore));
  const entered = ({ target }) => {
    if (!panel.contains(target)) trail = [];
    else if (target.matches(FOCUSABLE)) {
      const host = target.closest(".jupyter-widgets");
      const number = [...(host?.querySelectorAll(target.tagName) ?? [])].indexOf(target);
      const others = trail.filter(({ element }) => element !== target);
      trail = [{ element: target, host, tag: target.tagName, number }, ...others].slice(0, 4);
    }
  };
  // a click beside everything takes the focus away on purpose; one on a control gives it to that
  const left = () => (trail = []);
  const changed = new MutationObserver(look);
  // it reads only, and gives a focus that was lost: nothing that it does makes it look again without end
  changed.observe(panel, { subtree: true, childList: true, attributeFilter: ["disabled", "style", "hidden"] });
  document.addEventListener("focusin", entered);
  document.addEventListener("pointerdown", left, { capture: true });
  return {
    look,
    // what was just found out takes a focus that has no place any more
    take(element) {
      if (!lost() || again(trail[0]) || inGroup(trail[0])) return;
      clearTimeout(later);
      element.tabIndex = -1;
      give(element);
    },
    stop() {
      changed.disconnect();
      clearTimeout(later);
      document.removeEventListener("focusin", entered);
      document.removeEventListener("pointerdown", left, { capture: true });
    },
  };
}
