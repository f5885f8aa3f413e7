// The history as a table: all rows, of which the page holds only those in view. Words are text, never markup. Loads nothing.
const ROW = 27; // height of a row, as the style sheet says
const BEYOND = 10; // rows that are held over and under what is seen

function render({ model, el }) {
  const selection = selectionOf(model, "chosen");
  const own = `migrollback-history-${Math.random().toString(36).slice(2)}`;
  const make = (tag, name, role) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (role) made.setAttribute("role", role);
    return made;
  };
  el.classList.add("migrollback-history");
  const chips = make("div", "migrollback-history-chips");
  const grid = make("div", "migrollback-history-grid", "grid");
  grid.tabIndex = 0;
  grid.setAttribute("aria-label", "History");
  grid.setAttribute("aria-multiselectable", "true");
  // also outside of a panel the keys are the table's, not the notebook's
  grid.setAttribute("data-lm-suppress-shortcuts", "true");
  const head = make("div", "migrollback-history-head", "rowgroup");
  const titles = make("div", "migrollback-history-row", "row");
  const body = make("div", "migrollback-history-body", "rowgroup");
  const empty = make("div", "migrollback-history-empty");
  head.append(titles);
  grid.append(head, body);
  el.append(chips, grid, empty);

  let at = 0; // the place in the order where the keys are
  let anchor = 0; // where a range begins
  // what the kernel sends as JSON in one piece, read once
  const read = (trait) => {
    let [bytes, found] = [null, null];
    return () => {
      if (model.get(trait) !== bytes) {
        bytes = model.get(trait);
        found = JSON.parse(new TextDecoder().decode(bytes));
      }
      return found;
    };
  };
  const order = read("places");
  const rows = read("rows");
  const allCells = () => rows().cells;
  const allNames = () => rows().names ?? allCells().name?.words ?? [];
  const choice = () => {
    const shown = selection.shown();
    const found = shown ? JSON.parse(shown) : [];
    return Array.isArray(found) ? { names: new Set(found), deploy: "" } : { names: new Set(), deploy: found };
  };

  const set = (trait, value) => {
    model.set(trait, value);
    model.save_changes();
  };
  const drawChips = () => {
    chips.replaceChildren(
      ...model.get("chips").map(({ trait, label, options }) => {
        const group = make("div", "", "group");
        group.setAttribute("aria-label", label);
        group.append(
          `${label} `,
          ...options.map(([key, words, kind, count]) => {
            const chip = make("button", `migrollback-history-chip ${kind}`);
            chip.type = "button";
            chip.textContent = `${words} ${count.toLocaleString("en")}`;
            chip.setAttribute("aria-pressed", String(model.get(trait) === key));
            chip.addEventListener("click", () => set(trait, model.get(trait) === key ? "" : key));
            return chip;
          }),
        );
        return group;
      }),
    );
  };
  const drawTitles = () => {
    const sort = model.get("sort");
    titles.replaceChildren(
      ...Object.entries(model.get("titles")).map(([column, title]) => {
        const cell = make("div", "", "columnheader");
        cell.dataset.column = column;
        const [up, down] = [sort === column, sort === `-${column}`];
        cell.setAttribute("aria-sort", up ? "ascending" : down ? "descending" : "none");
        const button = make("button");
        button.type = "button";
        button.textContent = `${title}${up ? " ▲" : down ? " ▼" : ""}`;
        button.title = `Sort by ${title}`;
        button.addEventListener("click", () => set("sort", up ? `-${column}` : down || column !== "applied" ? column : `-${column}`));
        cell.append(button);
        return cell;
      }),
    );
  };

  const line = (place, chosen) => {
    const number = order()[place];
    const row = make("div", "migrollback-history-row", "row");
    row.id = `${own}-${place}`;
    row.dataset.place = place;
    row.setAttribute("aria-rowindex", String(place + 2));
    if (place === at) row.classList.add("at");
    if (number < 0) {
      const deploy = model.get("deploys")[-1 - number];
      row.classList.add("migrollback-history-deploy");
      row.setAttribute("aria-selected", String(deploy.label !== "" && deploy.label === chosen.deploy));
      const cell = make("div", "", "gridcell");
      cell.textContent = cell.title = deploy.words;
      row.append(cell);
      return row;
    }
    row.setAttribute("aria-selected", String(chosen.names.has(allNames()[number])));
    const cells = allCells();
    for (const column of Object.keys(model.get("titles"))) {
      const { words, kinds, of } = cells[column];
      const cell = make("div", "", "gridcell");
      cell.dataset.column = column;
      const text = words[of[number]];
      if (kinds.length && text) {
        const pill = make("span", kinds[of[number]]);
        pill.textContent = text;
        cell.append(pill);
      } else cell.textContent = text;
      cell.title = text;
      row.append(cell);
    }
    return row;
  };
  let drawn = "";
  const drawRows = (force) => {
    const count = order().length;
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - BEYOND);
    const last = Math.min(count, Math.ceil((grid.scrollTop + (grid.clientHeight || 352)) / ROW) + BEYOND);
    const now = `${first} ${last} ${count}`;
    if (!force && now === drawn) return;
    drawn = now;
    const chosen = choice();
    body.style.paddingTop = `${first * ROW}px`;
    body.style.paddingBottom = `${(count - last) * ROW}px`;
    const lines = [];
    for (let place = first; place < last; place += 1) lines.push(line(place, chosen));
    body.replaceChildren(...lines);
    if (at >= first && at < last) grid.setAttribute("aria-activedescendant", `${own}-${at}`);
    else grid.removeAttribute("aria-activedescendant");
  };
  const reveal = (place) => {
    const top = place * ROW;
    const room = grid.clientHeight - head.offsetHeight;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + ROW > grid.scrollTop + room) grid.scrollTop = top + ROW - room;
  };
  const draw = () => {
    const count = order().length;
    at = Math.max(0, Math.min(at, count - 1));
    grid.setAttribute("aria-rowcount", String(count + 1));
    empty.textContent = count ? "" : model.get("empty");
    el.setAttribute("aria-busy", String(model.get("locked")));
    drawRows(true);
  };
  const follow = () => {
    // what is chosen elsewhere comes into view here
    const { names, deploy } = choice();
    const wanted = allNames();
    const place = order().findIndex((number) => (number < 0 ? deploy && model.get("deploys")[-1 - number].label === deploy : names.has(wanted[number])));
    if (place >= 0 && !names.has(wanted[order()[at]])) {
      at = anchor = place;
      reveal(place);
    }
    draw();
  };

  const select = (to, { extend = false, add = false } = {}) => {
    const number = order()[to];
    if (number === undefined || model.get("locked")) return;
    const names = allNames();
    at = to;
    if (number < 0 && !extend) {
      const { label } = model.get("deploys")[-1 - number];
      anchor = to;
      if (label) selection.select(JSON.stringify(label));
      return draw();
    }
    let wanted = [names[number]];
    if (extend) {
      wanted = order().slice(Math.min(anchor, to), Math.max(anchor, to) + 1).filter((one) => one >= 0).map((one) => names[one]);
    } else if (add) {
      const before = choice().names;
      if (before.has(names[number])) before.delete(names[number]);
      else before.add(names[number]);
      wanted = [...before];
      anchor = to;
    } else anchor = to;
    if (wanted.length) selection.select(JSON.stringify(wanted));
    draw();
  };
  body.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // no text is marked
  body.addEventListener("click", (event) => {
    const row = event.target.closest("[data-place]");
    if (row) select(Number(row.dataset.place), { extend: event.shiftKey, add: event.ctrlKey || event.metaKey });
  });
  grid.addEventListener("keydown", (event) => {
    if (event.target !== grid) return;
    const page = Math.max(1, Math.floor(grid.clientHeight / ROW) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      at = Math.max(0, Math.min(order().length - 1, at + moves[event.key]));
      reveal(at);
      if (event.shiftKey) select(at, { extend: true });
      else draw();
    } else if (event.key === "Enter" || event.key === " ") select(at, { extend: event.shiftKey, add: event.ctrlKey || event.metaKey });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  let waiting = 0;
  grid.addEventListener("scroll", () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      drawRows(false);
    });
  });
  const sized = new ResizeObserver(() => {
    el.dataset.narrow = el.clientWidth && el.clientWidth < 820 ? "1" : "0";
    drawRows(true);
  });
  sized.observe(el);
  sized.observe(grid);

  const heard = [
    ...["chips", "status", "verdict"].map((trait) => [`change:${trait}`, drawChips]),
    ...["titles", "sort"].map((trait) => [`change:${trait}`, drawTitles]),
    ...["rows", "places", "deploys", "empty", "locked", "acknowledged"].map((trait) => [`change:${trait}`, draw]),
    ["change:chosen", follow],
  ];
  for (const [event, action] of heard) model.on(event, action);
  drawChips();
  drawTitles();
  follow();
  return () => {
    sized.disconnect();
    for (const [event, action] of heard) model.off(event, action);
  };
}

export default { render };
