// What falls with a migration, what it depends on, and why: reckoned in the page from what it was sent. Loads nothing.
const APPLIED = 0;
const ROLLED_BACK = 1;

// facts: names, ids, status (0 applied, 1 rolled back, 2 failed) and bare (1: without rollback), the oldest first;
// edges: [dependent, dependency, inferred, schema only, why], the first two by their place in these lists
function dependencyModel(facts) {
  const count = facts.names.length;
  const edges = facts.edges;
  const above = Array.from({ length: count }, () => []); // numbers of the edges to what depends on it
  const below = Array.from({ length: count }, () => []);
  edges.forEach(([dependent, dependency], number) => {
    above[dependency].push(number);
    below[dependent].push(number);
  });

  // all that is reached, the start among it
  const reach = (start, way, end) => {
    const seen = new Set([start]);
    for (const at of seen) for (const number of way[at]) seen.add(edges[number][end]);
    return seen;
  };

  // dependencies first, the oldest first where that is open: the order of the plan, backwards
  const order = (inside) => {
    const waiting = new Map();
    for (const at of inside) waiting.set(at, below[at].filter((number) => inside.has(edges[number][1])).length);
    const ready = heapOf([...inside].filter((at) => !waiting.get(at)));
    const done = [];
    while (ready.size()) {
      const at = ready.pop();
      done.push(at);
      for (const number of above[at]) {
        const dependent = edges[number][0];
        if (!inside.has(dependent)) continue;
        waiting.set(dependent, waiting.get(dependent) - 1);
        if (!waiting.get(dependent)) ready.push(dependent);
      }
    }
    return done;
  };

  const known = new Map(); // what was reckoned once is known
  const marks = (start) => {
    if (!known.has(start)) known.set(start, reckon(start));
    return known.get(start);
  };
  const reckon = (start) => {
    const resting = reach(start, above, 0);
    const ordered = order(resting);
    const cycle = ordered.length < resting.size;
    const backwards = (cycle ? [...resting].sort((one, other) => one - other) : ordered).reverse();
    const counts = (at) => at === start || facts.status[at] !== ROLLED_BACK;
    const falling = backwards.filter(counts);
    const chain = new Map();
    for (const at of backwards) {
      let most = 0;
      for (const number of above[at]) most = Math.max(most, chain.get(edges[number][0]) ?? 0);
      chain.set(at, most + (counts(at) ? 1 : 0));
    }
    const required = reach(start, below, 1);
    required.delete(start);
    return {
      start,
      falling, // in the order in which they are rolled back
      number: new Map(falling.map((at, place) => [at, place + 1])),
      resting, // what is rolled back already among it
      required,
      cycle,
      longest: chain.get(start),
    };
  };

  // "81 fall, 3 of them not applied, 1 without rollback; longest chain 6"
  const sentence = (start) => {
    const { falling, resting, required, cycle, longest } = marks(start);
    const many = (number) => number.toLocaleString("en-US");
    const failed = falling.filter((at) => facts.status[at] !== APPLIED).length;
    const bare = falling.filter((at) => facts.bare[at]).length;
    const gone = resting.size - falling.length;
    let text = falling.length === 1 ? "1 falls" : `${many(falling.length)} fall`;
    if (failed) text += falling.length === 1 ? ", it is not applied" : `, ${many(failed)} of them not applied`;
    if (bare) text += falling.length === 1 ? ", without rollback" : `, ${many(bare)} without rollback`;
    text += cycle ? "; they depend on each other in a cycle" : `; longest chain ${many(longest)}`;
    if (gone) text += `; ${many(gone)} more ${gone === 1 ? "depends" : "depend"} on it and ${gone === 1 ? "is" : "are"} rolled back already`;
    return `${text}. ${required.size ? `It depends on ${many(required.size)}.` : "It depends on none."}`;
  };

  // numbers of the edges that say why: first those of the choice itself, then what falls in order, then what it depends on
  const reasons = (start) => {
    if (start === null) return edges.map((_, number) => number).sort((one, other) => edges[other][0] - edges[one][0] || edges[one][1] - edges[other][1]);
    const { falling, resting, required } = marks(start);
    const own = [...above[start], ...below[start]];
    const down = [...new Set([...falling, ...resting])].filter((at) => at !== start).flatMap((at) => below[at].filter((number) => resting.has(edges[number][1])));
    const needs = [...required].sort((one, other) => other - one).flatMap((at) => below[at]);
    return [...new Set([...own, ...down, ...needs])];
  };

  return { marks, sentence, reasons, edges, count };
}

// the smallest number first
function heapOf(numbers) {
  const heap = numbers.sort((one, other) => one - other);
  return {
    size: () => heap.length,
    push(number) {
      let at = heap.push(number) - 1;
      while (at && heap[(at - 1) >> 1] > number) {
        heap[at] = heap[(at - 1) >> 1];
        at = (at - 1) >> 1;
      }
      heap[at] = number;
    },
    pop() {
      const first = heap[0];
      const last = heap.pop();
      if (!heap.length) return first;
      let at = 0;
      for (;;) {
        let under = 2 * at + 1;
        if (under >= heap.length) break;
        if (under + 1 < heap.length && heap[under + 1] < heap[under]) under += 1;
        if (heap[under] >= last) break;
        heap[at] = heap[under];
        at = under;
      }
      heap[at] = last;
      return first;
    },
  };
}
