// In which order what falls is rolled back, as numbers beside the nodes, where there is room. Loads nothing.
const ORDER = "migrollback-number";
const DOT = 30; // what is narrower is a dot, and its number stands beside it

// within: left, top, right, bottom of the part that gets them; null: all of it
function numbersOf(marks, idOf, boxes, svg, within = null) {
  const [left, top] = (svg.getAttribute("viewBox") ?? "0 0").split(/[\s,]+/).map(Number);
  const lines = new Map(); // height -> where dots begin on it
  for (const [x, y, width, height] of boxes.values()) {
    const line = Math.round((y + height / 2) / 4);
    if (width >= DOT) continue;
    if (lines.has(line)) lines.get(line).push(x);
    else lines.set(line, [x]);
  }
  const every = shape("g", { class: ORDER, "aria-hidden": "true" });
  for (const place of marks.falling) {
    const box = boxes.get(idOf(place));
    if (!box) continue;
    const [x, y, width, height] = box;
    if (within && (x < within[0] || y < within[1] || x > within[2] || y > within[3])) continue;
    const text = String(marks.number.get(place));
    if (width < DOT) {
      const end = x + width + 7 * text.length + 2;
      if (lines.get(Math.round((y + height / 2) / 4)).some((other) => other > x + 1 && other < end)) continue;
      every.append(shape("text", { x: left + x + width + 1, y: top + y + height / 2 + 4 }, text));
    } else {
      const plate = 7.5 * text.length + 8;
      every.append(
        shape("rect", { x: left + x - 6, y: top + y - 7, width: plate, height: 15, rx: 7 }),
        shape("text", { x: left + x - 6 + plate / 2, y: top + y + 4.5, "text-anchor": "middle", class: "migrollback-on-plate" }, text),
      );
    }
  }
  svg.append(every);
  return every;
}

function shape(kind, attributes, text = "") {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}
