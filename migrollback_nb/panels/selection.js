// A selection goes to the kernel by its name, at once and in order, and stays shown until the kernel acknowledges it.
// Loads nothing.
function selectionOf(model, trait) {
  // of this view: the same model may be shown twice, and in several pages
  const own = Math.random().toString(36).slice(2);
  let made = 0;
  let last = null;
  let waiting = false;
  return {
    select(name) {
      last = name;
      made += 1;
      waiting = true;
      // a message of its own: state that is saved waits while the kernel is busy, and a click on a button would overtake it
      model.send({ selected: name, view: own, number: made });
    },
    // as select, but nothing is shown as selected
    ask(name) {
      made += 1;
      model.send({ selected: name, view: own, number: made });
    },
    // what the kernel said before it acknowledged the last selection is out of date
    shown() {
      if (waiting && (model.get("acknowledged")[own] ?? 0) >= made) waiting = false;
      return waiting ? last : model.get(trait);
    },
  };
}
