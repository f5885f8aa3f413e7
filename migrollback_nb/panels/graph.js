// The drawing of dependencies: a migration is chosen by click or keyboard, and what falls with it is marked in the page. Loads nothing.
const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const VIEWS = [["plan", "Plan"], ["graph", "Graph"], ["lanes", "Lanes"], ["tables", "Tables"]];
const NOTHING = { ids: [], names: [], short: [], words: [], status: [], bare: [], edges: [] };
const AT_ONCE = 200; // so many numbers are written at once, more when the marks are seen
const NAMED_AT_ONCE = 250; // so many nodes get their name for screen readers before the page may do something else
const BESIDE = 400; // so wide is the list beside the drawing
let panels = 0;

function render({ model, el }) {
  const selection = selectionOf(model, "chosen");
  const own = `migrollback-panel-${(panels += 1)}-${Math.random().toString(36).slice(2)}`;
  el.classList.add("migrollback-graph");
  // also outside of a panel the keys are the drawing's, not the notebook's
  el.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  const made = (kind, name, ...children) => {
    const element = document.createElement(kind);
    element.className = `migrollback-${name}`;
    element.append(...children);
    return element;
  };
  const tabs = made("div", "graph-tabs");
  tabs.setAttribute("role", "tablist");
  tabs.setAttribute("aria-label", "View");
  const bar = made("div", "graph-bar");
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Zoom");
  const said = made("div", "graph-said");
  said.setAttribute("role", "status");
  const frame = made("div", "graph-frame");
  frame.id = own;
  const why = made("div", "graph-why");
  why.setAttribute("aria-live", "polite");

  let facts = NOTHING;
  let reckoned = dependencyModel(facts);
  let places = new Map(); // id -> place in the facts
  let numbers = new Map(); // "id id" -> number of the edge
  let groups = new Map(); // id of what several migrations are folded into -> their places
  let picture = { svg: null, nodes: new Map(), edges: new Map() };
  let ids = new WeakMap(); // element -> id of a node, or key of an edge
  let marked = { nodes: new Map(), edges: new Map(), start: null };
  let numbered = null; // the numbers in the drawing
  let numberedAround = null; // the part of it that has them: left, top, right, bottom; null: all of it
  let misnamed = new Set(); // ids of nodes that are called as before
  let first = null; // id of the first node that can be chosen
  let stop = null; // the node that Tab comes to
  let drawn = null; // which view it is

  const scroller = scrollerOf(frame, () => {
    minimap.moved();
    renumber();
  });
  const hand = handOf(frame, scroller);
  const colour = (name) => getComputedStyle(el).getPropertyValue(`--migrollback-map-${name || "node"}`) || "#808080";
  const minimap = minimapOf(scroller, colour);
  const reasons = reasonsOf(() => facts, {
    look: (number) => look(number),
    choose: (place) => choose(facts.ids[place]),
    reveal: (number) => {
      const [dependent, dependency] = facts.edges[number];
      const at = lineOf(number) ?? picture.nodes.get(facts.ids[dependent]) ?? picture.nodes.get(facts.ids[dependency]);
      if (at) scroller.reveal(at);
    },
  });
  const side = made("div", "graph-side", minimap.element, why, reasons.element);
  const body = made("div", "graph-body", frame, side);
  el.append(made("div", "graph-head", tabs, bar), said, body);

  // -- tabs and tools --------------------------------------------------------------------------------------------

  for (const [view, words] of VIEWS) {
    const tab = made("button", "graph-tab", words);
    tab.type = "button";
    tab.dataset.view = view;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", own);
    tabs.append(tab);
  }
  const open = (view) => {
    if (view === model.get("view")) return;
    model.set("view", view);
    model.save_changes();
  };
  tabs.addEventListener("click", (event) => event.target.dataset.view && open(event.target.dataset.view));
  tabs.addEventListener("keydown", (event) => {
    const list = [...tabs.children];
    const at = list.indexOf(event.target);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: list.length - 1 }[event.key];
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const tab = list[(next + list.length) % list.length];
    tab.focus();
    open(tab.dataset.view);
    event.preventDefault();
    event.stopPropagation();
  });
  const showTabs = () => {
    for (const tab of tabs.children) {
      const here = tab.dataset.view === model.get("view");
      tab.setAttribute("aria-selected", String(here));
      tab.tabIndex = here ? 0 : -1;
    }
    frame.setAttribute("aria-busy", String(model.get("view") !== model.get("drawn")));
  };
  const button = (words, sign, action) => {
    const one = made("button", "graph-tool", sign);
    one.type = "button";
    one.setAttribute("aria-label", words);
    one.title = words;
    one.addEventListener("click", action);
    bar.append(one);
  };
  const chosenNode = () => picture.nodes.get(selection.shown());
  button("Zoom in", "+", () => scroller.zoom(1.4));
  button("Zoom out", "−", () => scroller.zoom(1 / 1.4));
  button("Show all of it", "⤢ all", () => scroller.whole());
  button("Centre on the chosen migration", "◎ chosen", () => chosenNode() && scroller.centre(chosenNode()));
  const tick = made("input", "graph-tick");
  tick.type = "checkbox";
  tick.checked = true;
  tick.addEventListener("change", () => {
    el.classList.toggle("migrollback-no-schema-only", !tick.checked);
    refill();
  });
  const schemaTick = made("label", "graph-label", tick, " edges by schema alone");
  bar.append(schemaTick);

  // when the marks are seen: the list and the map are looked at later
  let waiting = [];
  const afterwards = (action) => {
    waiting.push(action);
    if (waiting.length > 1) return;
    const work = () => {
      const actions = waiting;
      waiting = [];
      for (const one of actions) one();
    };
    requestAnimationFrame(() => setTimeout(work));
  };

  // -- choice and marks ------------------------------------------------------------------------------------------

  const choose = (id) => {
    if (model.get("locked") || !known(id)) return;
    if (groups.has(id)) return selection.ask(id); // opens it; chooses nothing
    selection.select(id);
    mark();
  };
  const known = (id) => places.has(id) || groups.has(id);
  const wordsOf = (id, marks) => {
    const place = places.get(id);
    if (place === undefined) {
      const words = picture.nodes.get(id)?.querySelector(":scope > title")?.textContent.split("\n")[0] ?? "";
      const many = marks ? groups.get(id).filter((one) => marks.number.has(one)).length : 0;
      return many ? `${words}; ${many} fall` : words;
    }
    const verdict = model.get("verdicts")[place];
    const words = `${facts.names[place]}, ${facts.words[place]}${verdict ? `, ${verdict}` : ""}`;
    if (!marks || place === marks.start) return words;
    if (marks.number.has(place)) return `${words}, falls as number ${marks.number.get(place)} of ${marks.falling.length}`;
    if (marks.required.has(place)) return `${words}, the choice depends on it`;
    return marks.resting.has(place) ? `${words}, depends on the choice` : words;
  };
  const name = (node, id, marks) => {
    node.setAttribute("aria-label", wordsOf(id, marks));
    if (node.hasAttribute("role")) return;
    node.setAttribute("role", "button");
    if (!node.hasAttribute("tabindex")) node.setAttribute("tabindex", "-1");
    if (!node.hasAttribute("aria-pressed")) node.setAttribute("aria-pressed", "false");
  };
  const kind = (place, marks) =>
    place === marks.start ? "chosen" : marks.number.has(place) ? "falls" : marks.required.has(place) ? "needs" : marks.resting.has(place) ? "rests" : "";
  const mark = () => {
    const chosen = selection.shown();
    const start = places.get(chosen) ?? null;
    const before = marked;
    marked = { nodes: new Map(), edges: new Map(), start, marks: start === null ? null : reckoned.marks(start) };
    const marks = marked.marks;
    if (marks) {
      for (const place of [...marks.resting, ...marks.required]) {
        const node = picture.nodes.get(facts.ids[place]);
        if (node) marked.nodes.set(facts.ids[place], kind(place, marks));
      }
      for (const [id, members] of groups) {
        const sort = ["falls", "needs", "rests"].find((one) => members.some((place) => kind(place, marks).replace("chosen", "falls") === one));
        if (sort && picture.nodes.has(id)) marked.nodes.set(id, sort);
      }
      for (const [key, edge] of picture.edges) {
        const number = numbers.get(key);
        if (number === undefined) continue;
        const sort = kindOf(facts.edges[number][0], facts.edges[number][1], marks);
        if (sort) marked.edges.set(edge, sort);
      }
    }
    const node = chosenNode();
    // before anything is changed: to measure then takes as long as to lay all of it out
    if (picture.overlay && node && frame.clientWidth) scroller.reveal(node, scroller.boxes(picture.nodes).get(chosen));
    if (picture.overlay) {
      picture.overlay.draw(marked.nodes);
      if (before.start !== start && before.start !== null) picture.nodes.get(facts.ids[before.start])?.setAttribute("aria-pressed", "false");
      node?.setAttribute("aria-pressed", "true");
    } else repaint(before.nodes, marked.nodes);
    for (const [edge, sort] of before.edges) edge.classList.remove(sort);
    for (const [edge, sort] of marked.edges) edge.classList.add(sort);
    picture.svg?.classList.toggle("migrollback-marked", start !== null && !picture.overlay);
    numbered?.remove();
    // a plan counts its own steps
    numbered = null;
    const numbering = () => (numbered ??= marks && picture.svg && model.get("around") !== chosen ? count(marks) : null);
    if (marks && marks.falling.length <= AT_ONCE) numbering();
    stopAt(picture.nodes.has(chosen) ? chosen : first);
    said.textContent = marks ? sentence() : "";
    marked.facts = facts;
    for (const id of [...before.nodes.keys(), ...marked.nodes.keys()]) misnamed.add(id);
    const listed = before.start !== start || before.facts !== facts;
    const mine = marked;
    afterwards(() => {
      if (mine === marked) numbering();
      rename();
      if (listed) refill();
      minimap.draw(picture.nodes, (id) => marked.nodes.get(id)?.replace("rests", ""));
    });
    if (!picture.overlay && node && frame.clientWidth) scroller.reveal(node);
  };
  const repaint = (before, now) => {
    for (const [id, sort] of before) {
      const node = picture.nodes.get(id);
      if (!node || now.get(id) === sort) continue;
      node.classList.remove("chosen", "falls", "needs", "rests");
      if (sort === "chosen") node.setAttribute("aria-pressed", "false");
    }
    for (const [id, sort] of now) {
      if (before.get(id) === sort) continue;
      const node = picture.nodes.get(id);
      if (sort === "chosen") {
        node.classList.add("falls", "chosen");
        node.setAttribute("aria-pressed", "true");
      } else node.classList.add(sort);
    }
  };
  const rename = () => {
    let left = NAMED_AT_ONCE;
    for (const id of misnamed) {
      if (!left) return afterwards(rename);
      misnamed.delete(id);
      left -= 1;
      if (picture.nodes.has(id)) name(picture.nodes.get(id), id, marked.marks ?? null);
    }
  };
  // numbers in the drawing, where there is room for them; they stand in names and list as well
  const count = (marks) => {
    // of very many only those around what is seen: others are written when it moves there
    numberedAround = marks.falling.length > AT_ONCE ? around(scroller.seen()) : null;
    return numbersOf(marks, (place) => facts.ids[place], scroller.boxes(picture.nodes), picture.svg, numberedAround);
  };
  const around = ([x, y, width, height]) => [x - width / 2, y - height / 2, x + 1.5 * width, y + 1.5 * height];
  const renumber = () => {
    if (!numbered || !numberedAround) return;
    const [x, y, width, height] = scroller.seen();
    const [left, top, right, bottom] = numberedAround;
    if (x >= left && y >= top && x + width <= right && y + height <= bottom) return;
    numbered.remove();
    numbered = count(marked.marks);
  };
  const refill = () => {
    const list = reckoned.reasons(marked.start).filter((number) => tick.checked || !facts.edges[number][3]);
    const many = list.length.toLocaleString("en-US");
    const words = marked.start === null ? `${many} dependencies` : list.length === 1 ? "1 reason" : `${many} reasons, those of the choice first`;
    reasons.fill(list, list.length ? words : marked.start === null ? "No dependency is recorded" : "No dependency: nothing depends on it, and it depends on nothing", marked.marks);
    why.textContent = "";
  };
  const sentence = () => {
    const { falling, required } = marked.marks;
    const verdict = model.get("verdicts")[marked.start];
    // a plan is of what falls alone
    const wanted = model.get("drawn") === "plan" ? falling : [...falling, ...required];
    const outside = picture.svg ? wanted.filter((place) => !picture.nodes.has(facts.ids[place])).length : 0;
    const text = `${facts.names[marked.start]}${verdict ? ` (${verdict})` : ""}: ${reckoned.sentence(marked.start)}`;
    return outside && model.get("drawn") !== "tables" ? `${text} ${outside.toLocaleString("en-US")} of these are outside this picture.` : text;
  };

  // -- edges -----------------------------------------------------------------------------------------------------

  const lineOf = (number) => picture.edges.get(`${facts.ids[facts.edges[number][0]]} ${facts.ids[facts.edges[number][1]]}`);
  const edgeWords = (number) => {
    const [dependent, dependency, , , reason] = facts.edges[number];
    return `${facts.names[dependent]} depends on ${facts.names[dependency]}: ${reason}`;
  };
  let looked = [];
  const look = (number) => {
    for (const element of looked) element.classList.remove("migrollback-looked-at");
    looked = [];
    if (number === null) return;
    const [dependent, dependency] = facts.edges[number];
    looked = [lineOf(number), picture.nodes.get(facts.ids[dependent]), picture.nodes.get(facts.ids[dependency])].filter(Boolean);
    for (const element of looked) element.classList.add("migrollback-looked-at");
  };
  const showReason = (edge) => {
    const number = numbers.get(ids.get(edge));
    why.textContent = edge.getAttribute("aria-label");
    if (number === undefined) return;
    look(number);
    reasons.show(number);
  };

  // -- the drawing -----------------------------------------------------------------------------------------------

  // one stop for Tab among the nodes, one among the edges; arrows go on from there
  const stopAt = (id) => {
    stop?.setAttribute("tabindex", "-1");
    stop = picture.nodes.get(id);
    stop?.setAttribute("tabindex", "0");
  };
  const take = () => {
    facts = { ...NOTHING, ...model.get("facts") };
    reasons.fill([], "", null); // the rows of other facts mean nothing any more
    reckoned = dependencyModel(facts);
    places = new Map(facts.ids.map((id, place) => [id, place]));
    numbers = new Map(facts.edges.map(([dependent, dependency], number) => [`${facts.ids[dependent]} ${facts.ids[dependency]}`, number]));
    groups = new Map(Object.entries(model.get("groups")));
    schemaTick.hidden = !facts.edges.some((edge) => edge[3]);
  };
  const draw = () => {
    const held = frame.contains(document.activeElement);
    picture = { svg: null, nodes: new Map(), edges: new Map() };
    ids = new WeakMap();
    numbered = stop = first = null;
    marked = { nodes: new Map(), edges: new Map(), start: null };
    misnamed = new Set();
    const text = model.get("svg");
    frame.hidden = bar.hidden = !text;
    if (!text) {
      scroller.clear();
      mark();
      return;
    }
    picture = read(text);
    const { svg, nodes, edges } = picture;
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", model.get("label"));
    for (const [id, node] of nodes) {
      if (!known(id)) continue;
      first ??= id;
      ids.set(node, id);
      // of very many the names are written when they are seen
      if (picture.overlay) misnamed.add(id);
      else name(node, id, null);
    }
    afterwards(rename);
    let tab = "0";
    for (const [key, edge] of edges) {
      const number = numbers.get(key);
      const words = number === undefined ? edge.querySelector(":scope > title")?.textContent : edgeWords(number);
      if (!words) continue;
      ids.set(edge, key);
      edge.setAttribute("role", "button");
      edge.setAttribute("tabindex", tab);
      tab = "-1";
      edge.setAttribute("aria-label", words);
      tip(edge, words);
      edge.classList.toggle("schema-only", number !== undefined && Boolean(facts.edges[number][3]));
    }
    const wide = Number((svg.getAttribute("viewBox") ?? "").split(/[\s,]+/)[2]);
    const room = body.clientWidth;
    // beside the list where there is room for both, above it where the whole width is wanted
    const below = room > 0 && wide > room - BESIDE && wide * LEAST <= room;
    el.classList.toggle("migrollback-below", below);
    scroller.show(svg, model.get("height") + (below ? 160 : 0));
    if (drawn !== model.get("drawn")) frame.scrollTo(0, 0); // another picture: from its heading on
    drawn = model.get("drawn");
    mark();
    afterwards(() => picture.overlay?.prepare());
    const chosen = chosenNode();
    if (held && chosen) chosen.focus({ preventScroll: true });
    fit();
  };
  const newest = () => picture.nodes.get(facts.ids.findLast((id) => picture.nodes.has(id))) ?? [...picture.nodes.values()].at(-1);
  const fit = () => {
    // no size: not in the page yet
    fitted = !picture.svg || frame.clientWidth > 0;
    if (!fitted || !picture.svg) return;
    const node = chosenNode();
    if (node) scroller.reveal(node);
    else if (model.get("drawn") === "graph" && scroller.overflows && picture.nodes.size) scroller.begin(newest());
  };
  let fitted = true;
  const seen = new ResizeObserver(() => {
    if (fitted) minimap.moved();
    else draw();
  });
  seen.observe(frame);

  frame.addEventListener("click", (event) => {
    if (hand.dragged()) return;
    const node = event.target.closest("g.node");
    const edge = event.target.closest("g.edge");
    if (node && ids.has(node)) choose(ids.get(node));
    else if (edge && ids.has(edge)) edge.focus({ preventScroll: true });
  });
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = event.target.closest?.("g.node");
    const edge = event.target.closest?.("g.edge");
    if (!node && !edge) return;
    if (node && (event.key === "Enter" || event.key === " ")) choose(ids.get(node));
    else if (event.key === "+") scroller.zoom(1.4);
    else if (event.key === "-") scroller.zoom(1 / 1.4);
    else if (event.key === "0") scroller.whole();
    else if (ARROWS[event.key] && event.shiftKey) scroller.pan(ARROWS[event.key][0] * 0.2, ARROWS[event.key][1] * 0.2);
    else if (ARROWS[event.key] && node) walk(node, ...ARROWS[event.key]);
    else if (ARROWS[event.key]) walkEdges(edge, ARROWS[event.key][0] + ARROWS[event.key][1]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const walk = (node, right, down) => {
    const boxes = scroller.boxes(picture.nodes);
    const middle = ([x, y, width, height]) => [x + width / 2, y + height / 2];
    const from = middle(boxes.get(ids.get(node)));
    let best = null;
    let least = Infinity;
    for (const [id, box] of boxes) {
      const [x, y] = middle(box);
      const along = (x - from[0]) * right + (y - from[1]) * down;
      const aside = Math.abs((x - from[0]) * down) + Math.abs((y - from[1]) * right);
      if (id !== ids.get(node) && known(id) && along > 1 && along + 2 * aside < least) [best, least] = [id, along + 2 * aside];
    }
    if (!best) return;
    stopAt(best);
    picture.nodes.get(best).focus({ preventScroll: true });
  };
  // in the order of the list of reasons, so that one comes from an edge of the choice to the next
  const walkEdges = (edge, step) => {
    const listed = reckoned.reasons(marked.start).map(lineOf).filter((line) => line && ids.has(line));
    const list = groups.size ? [...picture.edges.values()].filter((line) => ids.has(line)) : listed;
    if (!list.length) return;
    const at = list.indexOf(edge);
    const next = list[(at + step + list.length) % list.length];
    edge.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus({ preventScroll: true });
  };
  // what has the focus is seen
  frame.addEventListener("focusin", (event) => {
    const element = event.target.closest?.("g.node, g.edge");
    if (!element || !ids.has(element)) return;
    scroller.reveal(element);
    if (element.classList.contains("edge")) showReason(element);
  });
  frame.addEventListener("focusout", () => look(null));

  // what arrives in one message is drawn once
  let wanted = "";
  const later = (what) => () => {
    if (!wanted) queueMicrotask(() => {
      const all = wanted === "draw";
      wanted = "";
      if (all) take();
      showTabs();
      if (all) draw();
      else mark();
    });
    if (wanted !== "draw") wanted = what;
  };
  const [redraw, remark] = [later("draw"), later("mark")];
  const reverdict = () => {
    for (const [id, node] of picture.nodes) if (known(id)) name(node, id, marked.marks ?? null);
    if (marked.marks) said.textContent = sentence();
  };
  const heard = [["change:svg", redraw], ["change:facts", redraw], ["change:drawn", redraw], ["change:groups", redraw], ["change:view", remark], ["change:verdicts", reverdict], ["change:chosen", remark], ["change:acknowledged", remark]];
  for (const [event, action] of heard) model.on(event, action);
  take();
  showTabs();
  draw();
  return () => {
    seen.disconnect();
    for (const [event, action] of heard) model.off(event, action);
  };
}

export default { render };
