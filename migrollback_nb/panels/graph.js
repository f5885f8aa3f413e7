// The drawing of a graph: a node is chosen by click or keyboard, the drawing zooms and pans. Loads nothing from anywhere.
const ALLOWED = new Set(["svg", "g", "a", "title", "text", "path", "polygon", "polyline", "ellipse"]);
const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function clean(text) {
  // dot has escaped every name already; nothing but shapes and text gets through here whatever happens
  const svg = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  for (const element of [svg, ...svg.querySelectorAll("*")]) {
    if (!ALLOWED.has(element.localName)) {
      element.remove();
      continue;
    }
    for (const { name } of [...element.attributes]) {
      if (/^on|href$|^style$/i.test(name)) element.removeAttribute(name);
    }
  }
  return document.importNode(svg, true);
}

function render({ model, el }) {
  const selection = selectionOf(model, "chosen");
  el.classList.add("migrollback-graph");
  const bar = document.createElement("div");
  bar.className = "migrollback-graph-bar";
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Zoom");
  const frame = document.createElement("div");
  frame.className = "migrollback-graph-frame";
  el.append(bar, frame);
  // also outside of a panel the keys are the drawing's, not the notebook's
  el.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));

  let svg = null;
  let home = null; // the viewBox that shows all
  let view = null; // the viewBox now
  let nodes = new Map(); // id -> element
  const ids = new WeakMap(); // and back

  const button = (words, sign, action) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = sign;
    made.setAttribute("aria-label", words);
    made.title = words;
    made.addEventListener("click", action);
    bar.append(made);
  };
  const look = (box) => {
    view = box;
    svg?.setAttribute("viewBox", view.join(" "));
  };
  const zoom = (factor, at = [0.5, 0.5]) => {
    if (!svg) return;
    const [x, y, width, height] = view;
    const wide = Math.min(home[2] * 4, Math.max(home[2] / 200, width / factor));
    const high = (height * wide) / width;
    look([x + (width - wide) * at[0], y + (height - high) * at[1], wide, high]);
  };
  const pan = (x, y) => svg && look([view[0] + x * view[2], view[1] + y * view[3], view[2], view[3]]);
  const centre = (node) => {
    const box = middle(node);
    // as large as it reads well: one unit of the drawing is one pixel
    const wide = Math.min(home[2], frame.clientWidth || home[2]);
    const high = Math.min(home[3], frame.clientHeight || home[3]);
    const inside = (at, size, from, all) => Math.max(from, Math.min(at - size / 2, from + all - size));
    look([inside(box[0], wide, home[0], home[2]), inside(box[1], high, home[1], home[3]), wide, high]);
  };
  const middle = (node) => {
    const box = node.getBBox();
    const corner = node.getCTM();
    const root = svg.getCTM();
    const point = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2).matrixTransform(root.inverse().multiply(corner));
    return [point.x, point.y];
  };
  button("Zoom in", "+", () => zoom(1.4));
  button("Zoom out", "−", () => zoom(1 / 1.4));
  button("Show all of it", "⤢ all", () => home && look([...home]));
  button("Centre on the chosen migration", "◎ chosen", () => nodes.get(selection.shown()) && centre(nodes.get(selection.shown())));

  const choose = (id) => {
    if (model.get("locked")) return;
    selection.select(id);
    mark();
  };
  const mark = () => {
    const chosen = selection.shown();
    const found = new Set(model.get("found"));
    const stop = nodes.has(chosen) ? chosen : nodes.keys().next().value;
    for (const [id, node] of nodes) {
      node.classList.toggle("migrollback-chosen", id === chosen);
      node.classList.toggle("migrollback-found", found.has(id));
      node.setAttribute("aria-pressed", String(id === chosen));
      // one stop for Tab; arrows go on from there
      node.setAttribute("tabindex", id === stop ? "0" : "-1");
    }
  };
  const draw = () => {
    const held = frame.contains(document.activeElement);
    frame.replaceChildren();
    nodes = new Map();
    svg = null;
    const text = model.get("svg");
    if (!text) return;
    svg = clean(text);
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", model.get("label"));
    home = svg.getAttribute("viewBox").split(/\s+/).map(Number);
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    // one unit of the drawing is one pixel, as long as there is room
    frame.style.height = `${Math.min(480, Math.max(120, home[3]))}px`;
    frame.append(svg);
    look([...home]);
    const words = model.get("words");
    for (const title of svg.querySelectorAll("title")) title.remove();
    for (const link of svg.querySelectorAll("a")) {
      const tip = link.getAttributeNS("http://www.w3.org/1999/xlink", "title")?.trim();
      if (tip) {
        const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
        title.textContent = tip;
        link.prepend(title);
      }
      link.replaceWith(...link.childNodes);
    }
    for (const node of svg.querySelectorAll("g.node")) {
      const id = node.id;
      nodes.set(id, node);
      ids.set(node, id);
      node.setAttribute("role", "button");
      node.setAttribute("aria-label", words[id] ?? id);
      node.addEventListener("click", () => !dragged && choose(id));
    }
    // two drawings on one page must not have one id
    for (const element of svg.querySelectorAll("[id]")) element.removeAttribute("id");
    mark();
    const chosen = nodes.get(selection.shown());
    if (held && chosen) chosen.focus({ preventScroll: true });
    fit();
  };
  const fit = () => {
    // a drawing that would be too small to read shows its part around the chosen one, or around the newest; no size: not in the page yet
    fitted = !svg || frame.clientWidth > 0;
    if (fitted && nodes.size && (home[2] > 1.5 * frame.clientWidth || home[3] > 1.5 * frame.clientHeight)) {
      centre(nodes.get(selection.shown()) ?? [...nodes.values()].at(-1));
    }
  };
  let fitted = true;
  const seen = new ResizeObserver(() => fitted || fit());
  seen.observe(frame);

  frame.addEventListener("keydown", (event) => {
    const node = event.target.closest?.("g.node");
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") choose(ids.get(node));
    else if (event.key === "+") zoom(1.4);
    else if (event.key === "-") zoom(1 / 1.4);
    else if (event.key === "0") look([...home]);
    else if (ARROWS[event.key] && event.shiftKey) pan(ARROWS[event.key][0] * 0.2, ARROWS[event.key][1] * 0.2);
    else if (ARROWS[event.key]) {
      const [right, down] = ARROWS[event.key];
      const from = middle(node);
      let best = null;
      let least = Infinity;
      for (const other of nodes.values()) {
        const [x, y] = middle(other);
        const along = (x - from[0]) * right + (y - from[1]) * down;
        const aside = Math.abs((x - from[0]) * down) + Math.abs((y - from[1]) * right);
        if (other !== node && along > 1 && along + 2 * aside < least) [best, least] = [other, along + 2 * aside];
      }
      if (best) {
        node.setAttribute("tabindex", "-1");
        best.setAttribute("tabindex", "0");
        best.focus({ preventScroll: true });
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  // what has the focus is seen
  frame.addEventListener("focusin", (event) => {
    const node = event.target.closest?.("g.node");
    if (!node) return;
    const [x, y] = middle(node);
    if (x < view[0] || x > view[0] + view[2] || y < view[1] || y > view[1] + view[3]) look([x - view[2] / 2, y - view[3] / 2, view[2], view[3]]);
  });

  let grabbed = null;
  let dragged = false;
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !svg) return;
    grabbed = [event.clientX, event.clientY, ...view];
    dragged = false;
  });
  frame.addEventListener("pointermove", (event) => {
    if (!grabbed || !(event.buttons & 1)) return;
    const scale = Math.max(view[2] / frame.clientWidth, view[3] / frame.clientHeight);
    const [x, y] = [(event.clientX - grabbed[0]) * scale, (event.clientY - grabbed[1]) * scale];
    if (Math.abs(event.clientX - grabbed[0]) + Math.abs(event.clientY - grabbed[1]) > 4) dragged = true;
    if (dragged) look([grabbed[2] - x, grabbed[3] - y, view[2], view[3]]);
  });
  const release = () => {
    grabbed = null;
    setTimeout(() => (dragged = false)); // after the click that ends the drag
  };
  frame.addEventListener("pointerup", release);
  frame.addEventListener("pointerleave", release);
  frame.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey || !svg) return; // without Ctrl the page scrolls, as everywhere
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    },
    { passive: false },
  );

  model.on("change:svg", draw);
  model.on("change:chosen", mark);
  model.on("change:acknowledged", mark);
  model.on("change:found", mark);
  draw();
  return () => {
    seen.disconnect();
    model.off("change:svg", draw);
    model.off("change:chosen", mark);
    model.off("change:acknowledged", mark);
    model.off("change:found", mark);
  };
}

export default { render };
