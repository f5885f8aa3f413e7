// Marks among very many dots: one shape for each kind above the drawing, which is paled as one. Loads nothing.
const MANY = 400; // nodes, above which marking them one by one would be seen to take time

// nodes: id -> element; null where there are few, or where they are more than dots
function overlayOf(nodes) {
  const list = [...nodes.values()];
  if (list.length <= MANY || !list.every((node) => node.parentNode === list[0].parentNode && node.querySelector("circle") && !node.querySelector("text, rect"))) return null;
  const base = shape("g", { class: "migrollback-base" });
  list[0].before(base);
  base.append(...list);
  const layer = shape("g", { class: "migrollback-overlay", "aria-hidden": "true" });
  base.after(layer);
  const known = new Map();
  const outline = (id) => {
    if (!known.has(id)) {
      const dots = [...nodes.get(id).querySelectorAll("circle")].map((dot) => {
        const [x, y, r] = ["cx", "cy", "r"].map((name) => Number(dot.getAttribute(name)));
        return `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0`;
      });
      known.set(id, dots.join(""));
    }
    return known.get(id);
  };
  return {
    // so that the first choice does not wait for it
    prepare: () => [...nodes.keys()].forEach(outline),
    // marked: id -> "falls", "needs", "rests" or "chosen"; none: as it was
    draw(marked) {
      const shapes = new Map([["rests", []], ["needs", []], ["falls", []], ["chosen", []]]);
      for (const [id, sort] of marked) shapes.get(sort).push(outline(id));
      layer.replaceChildren();
      for (const [sort, all] of shapes) if (all.length) layer.append(shape("path", { class: sort, d: all.join("") }));
      base.classList.toggle("migrollback-pale", marked.size > 0);
    },
  };
}
