// The whole drawing in small, with the part that is seen. For the eye: by keyboard one moves in the drawing itself. Loads nothing.
const LARGE = 50; // nodes, above which there is one
const SMALL_SIZE = [220, 130];

function minimapOf(scroller, colours) {
  const canvas = document.createElement("canvas");
  canvas.className = "migrollback-minimap";
  canvas.setAttribute("aria-hidden", "true");
  canvas.hidden = true;
  let ratio = [1, 1];
  let still = null; // the nodes, drawn once for each set of marks
  const minimap = {
    element: canvas,
    // kind: id -> "falls", "needs", "chosen" or nothing
    draw(nodes, kind) {
      canvas.hidden = nodes.size <= LARGE;
      still = null;
      if (canvas.hidden) return;
      const boxes = scroller.boxes(nodes);
      const [width, height] = scroller.size;
      const even = Math.min(SMALL_SIZE[0] / width, SMALL_SIZE[1] / height);
      // what is many times longer than wide is stretched: a thread shows nothing
      ratio = [Math.max(even, 40 / width), Math.max(even, 40 / height)];
      canvas.width = Math.ceil(width * ratio[0]);
      canvas.height = Math.ceil(height * ratio[1]);
      const brush = canvas.getContext("2d", { willReadFrequently: true });
      const paint = (wanted) => {
        brush.fillStyle = colours(wanted);
        for (const [id, [x, y, wide, high]] of boxes) {
          if ((kind(id) ?? "") === wanted) brush.fillRect(x * ratio[0], y * ratio[1], Math.max(1.5, wide * ratio[0]), Math.max(1.5, high * ratio[1]));
        }
      };
      for (const wanted of ["", "needs", "falls", "chosen"]) paint(wanted);
      still = brush.getImageData(0, 0, canvas.width, canvas.height);
      minimap.moved();
    },
    moved() {
      if (!still) return;
      const brush = canvas.getContext("2d", { willReadFrequently: true });
      brush.putImageData(still, 0, 0);
      const [x, y, width, height] = scroller.seen();
      brush.strokeStyle = colours("view");
      brush.lineWidth = 2;
      brush.strokeRect(x * ratio[0] + 1, y * ratio[1] + 1, Math.min(canvas.width - 2, width * ratio[0] - 2), Math.min(canvas.height - 2, height * ratio[1] - 2));
    },
  };
  const go = (event) => {
    if (!(event.buttons & 1)) return;
    const box = canvas.getBoundingClientRect();
    scroller.lookAt(((event.clientX - box.left) / box.width) * (canvas.width / ratio[0]), ((event.clientY - box.top) / box.height) * (canvas.height / ratio[1]));
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    go(event);
  });
  canvas.addEventListener("pointermove", go);
  return minimap;
}
