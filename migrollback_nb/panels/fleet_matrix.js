// A fleet as a matrix: all targets and migrations, of which the page holds only those in view. Words are text, never markup. Loads nothing.
const ROW = 24; // height of a row, as the style sheet says
const CELL = 24; // width of a cell
const HEAD = 180; // height of the names over the columns
const SIDE = 300; // width of the names at the rows
const BEYOND = 4; // cells that are held beside what is seen
const MARKS = { a: ["✔", "applied", "good"], r: ["↩", "rolled back", "quiet"], f: ["✘", "failed", "bad"], " ": ["·", "not there", ""] };

function render({ model, el }) {
  const selection = selectionOf(model, "chosen");
  const own = `migrollback-fleet-${Math.random().toString(36).slice(2)}`;
  const make = (tag, name, role) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (role) made.setAttribute("role", role);
    return made;
  };
  el.classList.add("migrollback-fleet");
  const grid = make("div", "migrollback-fleet-grid", "grid");
  grid.tabIndex = 0;
  grid.setAttribute("aria-label", "Targets and migrations");
  grid.setAttribute("data-lm-suppress-shortcuts", "true");
  const room = make("div", "migrollback-fleet-room", "rowgroup");
  const said = make("div", "migrollback-fleet-said");
  said.setAttribute("role", "status");
  grid.append(room);
  el.append(grid, said);

  let row = 0; // where the keys are
  let column = 0;
  const rows = () => model.get("rows");
  const columns = () => model.get("columns");
  const letter = (target, migration) => model.get("cells")[target]?.[migration] ?? " ";

  const placed = (tag, name, role, left, top) => {
    const made = make(tag, name, role);
    made.style.left = `${left}px`;
    made.style.top = `${top}px`;
    return made;
  };
  const titleOf = (migration, at) => {
    const title = placed("div", "migrollback-fleet-title", "columnheader", SIDE + at * CELL, 0);
    const name = model.get("migrations")[migration];
    title.setAttribute("aria-colindex", String(at + 2));
    title.setAttribute("aria-selected", String(name === selection.shown()));
    title.dataset.column = at;
    const words = make("span");
    words.textContent = title.title = name;
    title.append(words);
    return title;
  };
  const lineOf = (target, at, first, last) => {
    const line = placed("div", "migrollback-fleet-row", "row", 0, HEAD + at * ROW);
    line.setAttribute("aria-rowindex", String(at + 2));
    line.dataset.row = at;
    const name = make("div", "migrollback-fleet-name", "rowheader");
    const [word, kind] = model.get("states")[target] ?? ["", ""];
    const label = make("span");
    label.textContent = model.get("targets")[target];
    const state = make("span", kind);
    state.textContent = word;
    name.title = `${model.get("targets")[target]}: ${word}`;
    name.append(label, state);
    line.append(name);
    for (let place = first; place < last; place += 1) {
      const migration = columns()[place];
      const [mark, words, style] = MARKS[letter(target, migration)] ?? MARKS[" "];
      const cell = make("div", `migrollback-fleet-cell ${style}`, "gridcell");
      cell.style.left = `${SIDE + place * CELL}px`;
      cell.id = `${own}-${at}-${place}`;
      cell.dataset.column = place;
      cell.textContent = mark;
      cell.title = `${model.get("targets")[target]}: ${model.get("migrations")[migration]} ${words}`;
      cell.setAttribute("aria-label", `${model.get("migrations")[migration]} ${words}`);
      cell.setAttribute("aria-colindex", String(place + 2));
      if (model.get("migrations")[migration] === selection.shown()) cell.classList.add("chosen");
      if (at === row && place === column) cell.classList.add("at");
      line.append(cell);
    }
    return line;
  };
  let drawn = "";
  const draw = (force) => {
    const [height, width] = [rows().length, columns().length];
    row = Math.max(0, Math.min(row, height - 1));
    column = Math.max(0, Math.min(column, width - 1));
    const top = Math.max(0, Math.floor(grid.scrollTop / ROW) - BEYOND);
    const bottom = Math.min(height, Math.ceil((grid.scrollTop + (grid.clientHeight || 420)) / ROW) + BEYOND);
    const left = Math.max(0, Math.floor(grid.scrollLeft / CELL) - BEYOND);
    const right = Math.min(width, Math.ceil((grid.scrollLeft + (grid.clientWidth || 900)) / CELL) + BEYOND);
    const now = `${top} ${bottom} ${left} ${right}`;
    if (!force && now === drawn) return;
    drawn = now;
    room.style.height = `${HEAD + height * ROW}px`;
    room.style.width = `${SIDE + width * CELL + 8}px`;
    grid.setAttribute("aria-rowcount", String(height + 1));
    grid.setAttribute("aria-colcount", String(width + 1));
    const head = make("div", "migrollback-fleet-head", "row");
    const corner = make("div", "migrollback-fleet-corner", "columnheader");
    corner.textContent = "Target";
    head.append(corner);
    for (let place = left; place < right; place += 1) head.append(titleOf(columns()[place], place));
    head.style.width = room.style.width;
    const lines = [];
    for (let at = top; at < bottom; at += 1) lines.push(lineOf(rows()[at], at, left, right));
    room.replaceChildren(head, ...lines);
    if (row >= top && row < bottom && column >= left && column < right) grid.setAttribute("aria-activedescendant", `${own}-${row}-${column}`);
    else grid.removeAttribute("aria-activedescendant");
    el.setAttribute("aria-busy", String(model.get("locked")));
    said.textContent = height && width ? "" : model.get("empty");
  };
  const reveal = () => {
    const [top, left] = [row * ROW, column * CELL];
    const high = grid.clientHeight - HEAD;
    const wide = grid.clientWidth - SIDE;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + ROW > grid.scrollTop + high) grid.scrollTop = top + ROW - high;
    if (left < grid.scrollLeft) grid.scrollLeft = left;
    else if (left + CELL > grid.scrollLeft + wide) grid.scrollLeft = left + CELL - wide;
  };
  const choose = (place) => {
    const migration = columns()[place];
    if (migration === undefined || model.get("locked")) return;
    column = place;
    selection.select(model.get("migrations")[migration]);
    draw(true);
  };
  room.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-column]");
    const line = event.target.closest("[data-row]");
    if (line) row = Number(line.dataset.row);
    if (cell) choose(Number(cell.dataset.column));
    else draw(true);
  });
  grid.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor((grid.clientHeight - HEAD) / ROW) - 1);
    const moves = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], PageDown: [page, 0], PageUp: [-page, 0], Home: [0, -Infinity], End: [0, Infinity] };
    if (event.key in moves) {
      row = Math.max(0, Math.min(rows().length - 1, row + moves[event.key][0]));
      column = Math.max(0, Math.min(columns().length - 1, column + moves[event.key][1]));
      reveal();
      draw(true);
    } else if (event.key === "Enter" || event.key === " ") choose(column);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  let waiting = 0;
  grid.addEventListener("scroll", () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      draw(false);
    });
  });
  const sized = new ResizeObserver(() => draw(true));
  sized.observe(grid);
  const redraw = () => draw(true);
  const heard = ["targets", "migrations", "cells", "states", "rows", "columns", "chosen", "empty", "locked", "acknowledged"].map((trait) => `change:${trait}`);
  for (const event of heard) model.on(event, redraw);
  draw(true);
  return () => {
    sized.disconnect();
    for (const event of heard) model.off(event, redraw);
  };
}

export default { render };
