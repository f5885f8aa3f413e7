// One line for a selector, with a list of what may stand next. It counts at Enter, and when the line is left. Loads nothing.
let lines = 0;

function render({ model, el }) {
  const own = `migrollback-selector-${(lines += 1)}-${Math.random().toString(36).slice(2)}`;
  el.classList.add("migrollback-selector");
  const label = document.createElement("label");
  label.htmlFor = own;
  const input = document.createElement("input");
  input.id = own;
  input.type = "text";
  input.spellcheck = false;
  input.autocomplete = "off";
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-controls", `${own}-list`);
  // also outside of a panel the keys are the line's, not the notebook's
  input.setAttribute("data-lm-suppress-shortcuts", "true");
  const list = document.createElement("ul");
  list.id = `${own}-list`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "What may stand here");
  list.hidden = true;
  const field = document.createElement("div");
  field.className = "migrollback-selector-field";
  field.append(input, list);
  const clear = document.createElement("button");
  clear.type = "button";
  clear.textContent = "×";
  clear.setAttribute("aria-label", "Clear the selector");
  clear.title = "Clear the selector";
  el.append(label, field, clear);

  let asked = 0;
  let at = -1; // the place in the list
  const options = () => model.get("options");
  const close = () => {
    list.hidden = true;
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const ask = () => {
    asked += 1;
    model.send({ complete: input.value, number: asked });
  };
  const apply = () => {
    close();
    const text = input.value.trim();
    clear.hidden = !text;
    if (text === model.get("value")) {
      // what was typed and does not count stands there no more
      model.send({ typed: text });
      return;
    }
    model.set("value", text);
    model.save_changes();
  };
  const accept = (place) => {
    input.value = options()[place][0];
    close();
    input.focus();
    // what ends in a colon wants a value still
    if (/[:,+ ]$/.test(input.value)) ask();
    else apply();
  };
  const stand = (place) => {
    at = place;
    [...list.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === at)));
    const option = list.children[at];
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const fill = () => {
    // an answer to what was typed before, or that comes after the line was left
    if (model.get("answered") !== asked || document.activeElement !== input) return;
    list.replaceChildren(
      ...options().map(([text, words], number) => {
        const option = document.createElement("li");
        option.id = `${own}-${number}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", "false");
        const strong = document.createElement("b");
        strong.textContent = text;
        option.append(strong, words ? ` ${words}` : "");
        return option;
      }),
    );
    at = -1;
    input.removeAttribute("aria-activedescendant");
    list.hidden = !list.children.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
  };
  const show = () => {
    label.textContent = model.get("description");
    input.placeholder = model.get("placeholder");
    input.disabled = clear.disabled = model.get("disabled");
    input.setAttribute("aria-invalid", String(model.get("wrong")));
    if (document.activeElement !== input || input.value.trim() === model.get("value")) input.value = model.get("value");
    clear.hidden = !input.value;
  };

  input.addEventListener("input", () => {
    clear.hidden = !input.value;
    ask();
  });
  input.addEventListener("change", apply);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const count = list.hidden ? 0 : list.children.length;
    if (event.key === "ArrowDown" && !count) ask();
    else if (event.key === "ArrowDown") stand((at + 1) % count);
    else if (event.key === "ArrowUp" && count) stand((at + count - (at < 0 ? 0 : 1)) % count);
    else if (event.key === "Enter" && count && at >= 0) accept(at);
    else if (event.key === "Enter") apply();
    else if (event.key === "Escape" && count) close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the line keeps the focus
    const option = event.target.closest("li");
    if (option && event.button === 0) accept([...list.children].indexOf(option));
  });
  clear.addEventListener("click", () => {
    input.value = "";
    apply();
    input.focus();
  });

  const heard = [["change:answered", fill], ...["value", "disabled", "wrong", "description", "placeholder"].map((name) => [`change:${name}`, show])];
  for (const [event, action] of heard) model.on(event, action);
  show();
  return () => {
    for (const [event, action] of heard) model.off(event, action);
  };
}

export default { render };
