// What a person picks goes to the kernel by its name, at once and in order, and stays shown until the kernel has heard of it. Loads nothing.
function hand(model, trait) {
  // of this view: the same model may be shown twice, and in several pages
  const own = Math.random().toString(36).slice(2);
  let made = 0;
  let last = null;
  let waiting = false;
  return {
    pick(name) {
      last = name;
      made += 1;
      waiting = true;
      // a message of its own: state that is saved waits while the kernel is busy, and a click on a button would overtake it
      model.send({ pick: name, hand: own, number: made });
    },
    // what the kernel said before it heard of the last pick is of the past
    shown() {
      if (waiting && (model.get("heard")[own] ?? 0) >= made) waiting = false;
      return waiting ? last : model.get(trait);
    },
  };
}
