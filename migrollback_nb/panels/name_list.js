// A list of names: the native one, so that keys and readers find what they know. Its words are text, never markup. Loads nothing.
let lists = 0;

function render({ model, el }) {
  const selection = selectionOf(model, "value");
  const rows = model.get("rows");
  // the classes of ipywidgets' own lists: it looks like them in every theme
  el.classList.add("migrollback-list", "jupyter-widgets", "widget-inline-hbox", "jupyter-widget-inline-hbox");
  el.classList.add(...(rows > 1 ? ["widget-select", "jupyter-widget-select"] : ["widget-dropdown", "jupyter-widget-dropdown"]));
  const label = document.createElement("label");
  label.className = "widget-label jupyter-widget-label";
  label.style.width = model.get("description_width");
  const select = document.createElement("select");
  select.size = rows;
  lists += 1;
  label.htmlFor = select.id = `migrollback-list-${lists}-${Math.random().toString(36).slice(2)}`;
  el.append(label, select);
  // also outside of a panel the keys are the list's, not the notebook's
  select.setAttribute("data-lm-suppress-shortcuts", "true");

  let drawn = null; // the options in the page
  let fills = 0;
  let focused = false; // when it was switched off
  let held = false; // a selection is about to be made: what is under the pointer stays there

  const above = (option) => (option ? option.getBoundingClientRect().top - select.getBoundingClientRect().top : 0);
  const fill = (options) => {
    const known = new Map([...select.options].map((option) => [option.value, option]));
    const fresh = new Set(options.map(([, name]) => name));
    // the first that is seen and stays, stays where it is
    const fixed = [...select.options].find((option) => fresh.has(option.value) && above(option) >= 0);
    const before = above(fixed);
    select.replaceChildren(
      ...options.map(([words, name]) => {
        const option = known.get(name) ?? document.createElement("option");
        // no line of the list is two, and spaces stay
        const text = words.replace(/\s/g, "\u00a0");
        if (option.textContent !== text) option.textContent = text;
        option.value = name;
        return option;
      }),
    );
    drawn = options;
    return () => {
      if (rows === 1 || !fixed || !select.clientHeight) return;
      select.scrollTop += above(fixed) - before;
      // the browser scrolls to the choice once more, later
      fills += 1;
      const [mine, place] = [fills, select.scrollTop];
      setTimeout(() => mine === fills && (select.scrollTop = place));
    };
  };
  const reveal = (option) => {
    if (!option || rows === 1) return;
    const height = option.getBoundingClientRect().height;
    const top = above(option) - select.clientTop;
    if (top < 0) select.scrollTop += top;
    else if (top + height > select.clientHeight) select.scrollTop += top + height - select.clientHeight;
  };
  const draw = () => {
    if (held) return;
    label.textContent = label.title = model.get("description");
    if (select.disabled !== model.get("disabled")) {
      // switched off it loses the focus, and has it back when nothing else took it
      if (!select.disabled) focused = document.activeElement === select;
      select.disabled = !select.disabled;
      if (!select.disabled && focused && document.activeElement === document.body) select.focus({ preventScroll: true });
    }
    const before = select.selectedOptions[0]?.value ?? null;
    const scroll = select.scrollTop;
    const stay = model.get("options") !== drawn ? fill(model.get("options")) : () => {};
    const name = selection.shown();
    const place = drawn.findIndex(([, other]) => other === name);
    if (select.selectedIndex !== place) select.selectedIndex = place;
    // the browser scrolls to what is chosen; a list that was only refreshed stays where it was
    select.scrollTop = scroll;
    stay();
    if (place >= 0 && name !== before) {
      fills += 1;
      reveal(select.options[place]);
    }
  };
  const release = () => {
    held = false;
    draw();
  };

  select.addEventListener("change", () => {
    const name = select.selectedOptions[0]?.value;
    if (name !== undefined && name !== selection.shown()) selection.select(name);
    release();
  });
  select.addEventListener("blur", release);
  if (rows > 1) {
    // after the list itself has dealt with it
    const later = () => setTimeout(release);
    select.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      held = true;
      window.addEventListener("mouseup", later, { once: true, capture: true });
      window.addEventListener("pointercancel", later, { once: true, capture: true });
    });
  } else {
    // it may be open: no event says
    select.addEventListener("pointerdown", () => (held = true));
    select.addEventListener("keydown", (event) => {
      if (event.key === "Escape") release();
      else if (event.key !== "Tab") held = true;
    });
  }

  const changes = ["options", "value", "acknowledged", "description", "disabled"].map((trait) => `change:${trait}`);
  for (const change of changes) model.on(change, draw);
  draw();
  // it had no size yet
  const seen = new ResizeObserver(() => {
    if (!select.clientHeight) return;
    seen.disconnect();
    reveal(select.selectedOptions[0]);
  });
  seen.observe(select);
  return () => {
    seen.disconnect();
    for (const change of changes) model.off(change, draw);
  };
}

export default { render };
