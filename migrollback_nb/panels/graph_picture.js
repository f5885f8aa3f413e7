// One drawing in a box that scrolls: cleaned, with a place for each node and a line wide enough to be hit for each edge. Loads nothing.
const SVG = "http://www.w3.org/2000/svg";
const LEAST = 0.9; // smaller than this no drawing is shown unasked: text has to be read
const ALLOWED = new Set(["svg", "g", "a", "title", "desc", "text", "tspan", "path", "polygon", "polyline", "ellipse", "circle", "rect", "line", "defs", "marker"]);

function clean(text) {
  // every name was escaped already; nothing but shapes and text gets through here whatever happens
  const svg = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  // where the text has none of these, and no letter is written as a number, no attribute has to be looked at
  const plain = !/\son|href|\sstyle|url\(|&(?!amp;|lt;|gt;|quot;|#x27;|#39;)/i.test(text);
  for (const element of [svg, ...svg.getElementsByTagName("*")]) {
    if (!ALLOWED.has(element.localName)) element.remove();
    else if (!plain) {
      for (const { name, value } of [...element.attributes]) {
        if (/^on|href$|^style$/i.test(name) || /url\(\s*['"]?[^#'"\s]/i.test(value)) element.removeAttribute(name);
      }
    }
  }
  return document.importNode(svg, true);
}

// nodes: id -> element; edges: "id id" (dependent, dependency) -> element
function read(text) {
  const svg = clean(text);
  // what is marked is reckoned here
  for (const one of svg.querySelectorAll("g.node, g.edge")) one.classList.remove("falls", "needs", "chosen");
  const nodes = new Map();
  const called = new Map(); // as dot calls it -> id
  for (const node of svg.querySelectorAll("g.node")) {
    if (!node.id) continue;
    nodes.set(node.id, node);
    const title = node.querySelector(":scope > title");
    if (title) called.set(title.textContent, node.id);
  }
  const edges = new Map();
  for (const edge of svg.querySelectorAll("g.edge")) {
    const title = edge.querySelector(":scope > title")?.textContent.split("->") ?? [];
    const ends = [edge.dataset.dependent ?? called.get(title[0]), edge.dataset.dependency ?? called.get(title[1])];
    if (ends[0] && ends[1]) edges.set(ends.join(" "), edge);
  }
  for (const link of svg.querySelectorAll("a")) link.replaceWith(...link.childNodes);
  // two drawings on one page must not have one id; what a drawing refers to by itself keeps its own
  for (const element of svg.querySelectorAll("[id]")) if (element.localName !== "marker") element.removeAttribute("id");
  for (const edge of edges.values()) {
    const line = edge.querySelector("path, polyline, line");
    if (!line || edge.querySelector(".migrollback-wide")) continue;
    const wide = line.cloneNode(false);
    for (const name of ["stroke", "stroke-width", "stroke-dasharray", "class", "marker-end", "marker-start"]) wide.removeAttribute(name);
    wide.setAttribute("class", "migrollback-wide");
    edge.append(wide);
  }
  return { svg, nodes, edges, overlay: overlayOf(nodes) };
}

function tip(element, words) {
  let title = element.querySelector(":scope > title");
  if (!title) element.prepend((title = document.createElementNS(SVG, "title")));
  if (title.textContent !== words) title.textContent = words;
}

// scrolls and scales what stands in the frame; `moved` is called when another part is seen
function scrollerOf(frame, moved) {
  let svg = null;
  let size = [0, 0];
  let scale = 1;
  let known = null; // id -> [x, y, width, height], in units of the drawing

  const apply = () => {
    svg.style.width = `${size[0] * scale}px`;
    svg.style.height = `${size[1] * scale}px`;
    moved();
  };
  const boxOf = (element) => {
    const box = element.getBoundingClientRect();
    const origin = svg.getBoundingClientRect();
    return [(box.left - origin.left) / scale, (box.top - origin.top) / scale, box.width / scale, box.height / scale];
  };
  const scroller = {
    show(picture, height) {
      svg = picture;
      known = null;
      frame.replaceChildren(svg);
      const box = (svg.getAttribute("viewBox") ?? "0 0 300 150").split(/[\s,]+/).map(Number);
      size = [box[2], box[3]];
      svg.removeAttribute("width");
      svg.removeAttribute("height");
      scale = 1;
      const wide = frame.clientWidth;
      // as wide as there is room, as long as it reads; else at its own size, and it scrolls
      if (wide && size[0] > wide && wide / size[0] >= LEAST) scale = wide / size[0];
      frame.style.height = `${Math.max(80, Math.min(height, Math.ceil(size[1] * scale) + (size[0] * scale > wide ? 18 : 4)))}px`;
      apply();
    },
    clear() {
      svg = known = null;
      frame.replaceChildren();
    },
    get scale() {
      return scale;
    },
    get size() {
      return size;
    },
    get overflows() {
      return svg !== null && (size[0] * scale > frame.clientWidth + 2 || size[1] * scale > frame.clientHeight + 2);
    },
    seen: () => [frame.scrollLeft / scale, frame.scrollTop / scale, frame.clientWidth / scale, frame.clientHeight / scale],
    boxes(nodes) {
      if (!known && svg && frame.clientWidth) known = new Map([...nodes].map(([id, node]) => [id, boxOf(node)]));
      return known ?? new Map();
    },
    zoom(factor, at = [0.5, 0.5]) {
      if (!svg) return;
      const least = Math.min(1, frame.clientWidth / size[0], frame.clientHeight / size[1]) / 1.2;
      const next = Math.min(4, Math.max(least, scale * factor));
      const [x, y] = [frame.scrollLeft + at[0] * frame.clientWidth, frame.scrollTop + at[1] * frame.clientHeight];
      const grown = next / scale;
      scale = next;
      apply();
      frame.scrollTo(x * grown - at[0] * frame.clientWidth, y * grown - at[1] * frame.clientHeight);
    },
    whole() {
      if (!svg) return;
      scale = Math.min(1, (frame.clientWidth - 2) / size[0], (frame.clientHeight - 2) / size[1]);
      apply();
    },
    pan: (x, y) => frame.scrollBy(x * frame.clientWidth, y * frame.clientHeight),
    lookAt: (x, y) => frame.scrollTo(x * scale - frame.clientWidth / 2, y * scale - frame.clientHeight / 2),
    centre(element) {
      const [x, y, width, height] = boxOf(element);
      scroller.lookAt(x + width / 2, y + height / 2);
    },
    // where one begins to look: with the heading, unless it is far from there
    begin(element) {
      scroller.centre(element);
      if (frame.scrollTop < frame.clientHeight / 2) frame.scrollTop = 0;
    },
    // only when it is out of sight: what is seen does not move under the hand
    reveal(element, known = null) {
      if (known) {
        const [x, y, width, height] = known.map((one) => one * scale);
        const [left, top] = [frame.scrollLeft, frame.scrollTop];
        if (x < left || x + width > left + frame.clientWidth || y < top || y + height > top + frame.clientHeight) scroller.lookAt(known[0] + known[2] / 2, known[1] + known[3] / 2);
        return;
      }
      const box = element.getBoundingClientRect();
      const view = frame.getBoundingClientRect();
      if (box.left < view.left || box.right > view.left + frame.clientWidth || box.top < view.top || box.bottom > view.top + frame.clientHeight) scroller.centre(element);
    },
  };
  frame.addEventListener("scroll", moved, { passive: true });
  return scroller;
}
