// The drawing moves under the pointer, and zooms with Ctrl and the wheel. Loads nothing.
function handOf(frame, scroller) {
  let grabbed = null;
  let dragged = false;
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.offsetX > frame.clientWidth || event.offsetY > frame.clientHeight) return;
    grabbed = [event.clientX, event.clientY, frame.scrollLeft, frame.scrollTop];
    dragged = false;
  });
  frame.addEventListener("pointermove", (event) => {
    if (!grabbed || !(event.buttons & 1)) return;
    if (Math.abs(event.clientX - grabbed[0]) + Math.abs(event.clientY - grabbed[1]) > 4) dragged = true;
    if (dragged) frame.scrollTo(grabbed[2] + grabbed[0] - event.clientX, grabbed[3] + grabbed[1] - event.clientY);
  });
  const release = () => {
    grabbed = null;
    setTimeout(() => (dragged = false)); // after the click that ends the drag
  };
  frame.addEventListener("pointerup", release);
  frame.addEventListener("pointerleave", release);
  frame.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // without Ctrl it scrolls, as everywhere
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      scroller.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    },
    { passive: false },
  );
  return { dragged: () => dragged };
}
