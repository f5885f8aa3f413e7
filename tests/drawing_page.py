"""Shows widgets of anywidget in a page without a notebook, as fast as a browser can: what the page reckons and marks is
tried here, what goes through a kernel in the notebooks' own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: As much of a widget's model as a program in the page uses. What is sent is kept; `set` tells nobody but the page.
_SHOW = """
async ([program, style, state]) => {
  document.body.replaceChildren();
  const sheet = document.head.appendChild(document.createElement("style"));
  sheet.textContent = style;
  const url = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const listeners = new Map();
  const model = {
    state,
    sent: [],
    get: (name) => model.state[name],
    set: (name, value) => model.change({ [name]: value }),
    save_changes: () => {},
    send: (message) => model.sent.push(message),
    on: (event, action) => listeners.set(event, [...(listeners.get(event) ?? []), action]),
    off: () => {},
    change: (changes) => {
      Object.assign(model.state, changes);
      for (const name of Object.keys(changes)) for (const action of listeners.get(`change:${name}`) ?? []) action();
    },
  };
  window.model = model;
  const el = document.createElement("div");
  document.body.append(el);
  const start = performance.now();
  widget.render({ model, el });
  el.getBoundingClientRect();
  return performance.now() - start;
}
"""


def show(page: Page, widget: Any, *, dark: bool = False) -> float:
    """Show a widget in an empty page. Returns how many milliseconds it took."""
    page.route("http://127.0.0.1:9/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto("http://127.0.0.1:9/")
    page.evaluate(
        """dark => {
          document.body.dataset.jpThemeLight = String(!dark);
          const [page, text, bar] = dark ? ["#111111", "#eeeeee", "#222222"] : ["#ffffff", "#1a1a1a", "#eeeeee"];
          document.body.style = `margin:8px;background:${page};font-family:sans-serif;--jp-layout-color1:${page};` +
            `--jp-ui-font-color1:${text};--jp-layout-color2:${bar}`;
        }""",
        dark,
    )
    took: float = page.evaluate(_SHOW, [str(widget._esm), str(widget._css), state_of(widget)])
    return took


def state_of(widget: Any) -> dict[str, Any]:
    """What the page knows of a widget."""
    return {name: value for name, value in widget.get_state().items() if not name.startswith("_")}
