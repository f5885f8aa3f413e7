// The list of reasons: a row for each dependency, which its line in the drawing answers to. Loads nothing.
const ROWS = 100; // at first; more on request

// on: { look(number or null), choose(place) }
function reasonsOf(facts, on) {
  const region = document.createElement("div");
  region.className = "migrollback-reasons";
  region.setAttribute("role", "region");
  region.tabIndex = 0;
  const table = document.createElement("table");
  const caption = document.createElement("caption");
  const head = document.createElement("thead");
  head.innerHTML = '<tr><th scope="col">Migration</th><th scope="col">depends on</th><th scope="col">because of</th></tr>';
  const body = document.createElement("tbody");
  table.append(caption, head, body);
  const more = document.createElement("button");
  more.type = "button";
  region.append(table, more);
  let numbers = [];
  let shown = 0;
  let marks = null;
  const rows = new Map(); // number of an edge -> row

  const cell = (row, place, marked) => {
    const made = document.createElement("td");
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = -1;
    // a long name breaks between its words
    for (const word of facts().short[place].split(/(?<=_)/)) button.append(word, document.createElement("wbr"));
    button.lastChild?.remove();
    button.title = `${facts().names[place]}: choose it`;
    button.dataset.place = place;
    if (marked?.number.has(place)) {
      const number = document.createElement("span");
      number.className = "migrollback-count";
      number.textContent = marked.number.get(place);
      made.append(number, " ");
    }
    made.append(button);
    row.append(made);
  };
  const add = (count) => {
    const part = document.createDocumentFragment();
    for (const number of numbers.slice(shown, shown + count)) {
      const [dependent, dependency, , schemaOnly, why] = facts().edges[number];
      const row = document.createElement("tr");
      row.dataset.number = number;
      row.tabIndex = rows.size ? -1 : 0;
      row.className = kindOf(dependent, dependency, marks);
      if (schemaOnly) row.classList.add("schema-only");
      cell(row, dependent, marks);
      cell(row, dependency, marks);
      const reason = document.createElement("td");
      reason.textContent = why.replace(/^inferred: /, "");
      row.append(reason);
      rows.set(number, row);
      part.append(row);
    }
    shown = Math.min(numbers.length, shown + count);
    body.append(part);
    const left = numbers.length - shown;
    more.hidden = !left;
    more.textContent = `${left.toLocaleString("en-US")} more: show ${Math.min(left, 1000).toLocaleString("en-US")} of them`;
  };
  more.addEventListener("click", () => add(1000));

  const enter = (row) => {
    for (const other of body.querySelectorAll('tr[tabindex="0"]')) other.tabIndex = -1;
    row.tabIndex = 0;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  };
  body.addEventListener("focusin", (event) => on.look(Number(event.target.closest("tr").dataset.number)));
  body.addEventListener("focusout", () => on.look(null));
  body.addEventListener("pointerover", (event) => event.target.closest("tr") && on.look(Number(event.target.closest("tr").dataset.number)));
  body.addEventListener("pointerleave", () => on.look(null));
  body.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) on.choose(Number(button.dataset.place));
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const buttons = [...row.querySelectorAll("button")];
    const at = buttons.indexOf(event.target);
    const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling, Home: body.firstElementChild, End: body.lastElementChild }[event.key];
    if (next) enter(next);
    else if (event.key === "ArrowRight" && buttons[at + 1]) buttons[at + 1].focus();
    else if (event.key === "ArrowLeft") (buttons[at - 1] ?? row).focus();
    else if (event.key === "Enter" && event.target === row) on.reveal(Number(row.dataset.number));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return {
    element: region,
    fill(list, words, marked) {
      numbers = list;
      marks = marked;
      shown = 0;
      rows.clear();
      body.replaceChildren();
      caption.textContent = words;
      region.setAttribute("aria-label", words);
      region.scrollTop = 0;
      table.hidden = !numbers.length;
      add(ROWS);
    },
    // the row of an edge that was chosen in the drawing
    show(number) {
      while (!rows.has(number) && shown < numbers.length) add(1000);
      for (const row of body.querySelectorAll(".migrollback-looked-at")) row.classList.remove("migrollback-looked-at");
      const row = rows.get(number);
      row?.classList.add("migrollback-looked-at");
      row?.scrollIntoView({ block: "nearest" });
    },
  };
}

function kindOf(dependent, dependency, marks) {
  if (!marks) return "";
  if (dependent !== marks.start && marks.resting.has(dependent) && marks.resting.has(dependency)) return "falls";
  if (marks.required.has(dependency) && (dependent === marks.start || marks.required.has(dependent))) return "needs";
  return "";
}
