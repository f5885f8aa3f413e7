"""How long a person waits before the screen: from a click to the painted result, and from Run to the painted panel, in
JupyterLab and Chromium. Skipped where there is no browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import migrollback_nb as mr
from migrollback_nb.cli import demo

from .conftest import Measure
from .test_panels import TOP, fill

pytest.importorskip("playwright.sync_api", reason="needs playwright")
from lab_server import ARTEFACTS, chromium, lab_server, new_page, started_browser
from laboratory import Laboratory

pytestmark = pytest.mark.skipif(chromium() is None, reason="needs chromium")
ROUNDS = 15

#: Waits in the page from the click on a button until the next frame with these words is painted; the bar of what runs
#: is gone then.
CLICKED = """([words, clicked]) => { window.measured = new Promise(done => {
  const panel = document.querySelector('.jp-NotebookPanel .migrollback-panel');
  let began = 0;
  const click = event => { if (event.target.closest('button')?.textContent.trim() === clicked) began ||= performance.now(); };
  panel.addEventListener('click', click, {capture: true});
  const look = () => {
    if (!began || !panel.innerText.includes(words) || panel.querySelector('progress')) return;
    observer.disconnect();
    panel.removeEventListener('click', click, {capture: true});
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
  };
  const observer = new MutationObserver(look);
  observer.observe(panel, {subtree: true, childList: true, characterData: true, attributes: true});
}); }"""  # noqa: E501

#: Runs the last cell, and waits until the next frame with such an element in it is painted.
OPENED = """async selector => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = notebook.widgets.length - 1;
  const painted = new Promise(done => {
    const look = () => {
      if (!document.querySelector(`.jp-NotebookPanel ${selector}`)) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now())));
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, {subtree: true, childList: true});
  });
  const began = performance.now();
  window.jupyterapp.commands.execute('notebook:run-cell');
  return await painted - began;
}"""

#: Types into the search, and waits until the next frame with these words is painted.
SEARCHED = """async ([text, words]) => {
  const line = document.querySelector('.jp-NotebookPanel .migrollback-selector input');
  const panel = document.querySelector('.jp-NotebookPanel .migrollback-panel');
  const painted = new Promise(done => {
    const look = () => {
      if (!panel.innerText.includes(words)) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now())));
    };
    const observer = new MutationObserver(look);
    observer.observe(panel, {subtree: true, childList: true, characterData: true});
  });
  line.focus();
  line.value = text;
  const began = performance.now();
  line.dispatchEvent(new Event('input', {bubbles: true}));
  return await painted - began;
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """JupyterLab on a laptop's screen."""
    with lab_server(tmp_path_factory.mktemp("lab")) as (url, home), started_browser() as browser:
        page = new_page(browser)
        page.set_viewport_size({"width": 1366, "height": 768})
        made = Laboratory(page, url, home, ARTEFACTS)
        made.open()
        yield made
        made.close()


def test_from_a_click_to_the_painted_result(
    lab: Laboratory, table: list[Measure], new_database: Callable[[], str], folder: Path
) -> None:
    dsn = new_database()
    with mr.connect(dsn, dir=folder) as db:
        demo.load(db)
    cell = (
        f"import migrollback_nb as mr\npanel = mr.panels.RollbackPanel(mr.connect({dsn!r}, dir={str(folder)!r}))\npanel"
    )
    lab.notebook(cell)
    lab.field("Migration").locator("option").first.wait_for(state="attached")
    steps = {
        "Check": ("Can rollback", "200 ms"),
        "Preview": ("would run", "300 ms"),
        "Rehearse": ("was rehearsed", "500 ms"),
    }
    took: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):
        lab.run(f"panel.selected = None; panel.selected = {TOP!r}")
        lab.card.wait_for(state="detached")
        for name, (words, _) in steps.items():
            lab.page.wait_for_timeout(100)
            lab.page.evaluate(CLICKED, [words, name])
            lab.button(name).click()
            took[name].append(lab.page.evaluate("() => window.measured"))
    for name, (_, bound) in steps.items():
        what = f"in the browser, from a click to the painted result: {name}"
        table.append(Measure(what=what, ours=median(took[name][1:]) / 1000, compared_with="", other=None, bound=bound))


@pytest.mark.parametrize(("kind", "count"), [("HistoryPanel", 5_000), ("HistoryPanel", 10_000), ("GraphPanel", 5_000)])
def test_from_run_to_the_painted_panel(
    lab: Laboratory, table: list[Measure], new_database: Callable[[], str], kind: str, count: int
) -> None:
    dsn = new_database()
    fill(dsn, count)
    first = f"import time\nimport migrollback_nb as mr\ndb = mr.connect({dsn!r})\nmr.panels.{kind}(db).close()"
    last = f"began = time.process_time()\npanel = mr.panels.{kind}(db)\nprint(time.process_time() - began)\npanel"
    row = ".migrollback-history-body .migrollback-history-row" if kind == "HistoryPanel" else "g.node"
    painted, of_kernel, searched = [], [], []
    for _ in range(6):
        lab.close()
        lab.command("docmanager:open", path=lab.write(first, last), factory="Notebook")
        lab.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
        run_first(lab.page)
        painted.append(lab.page.evaluate(OPENED, row))
        of_kernel.append(float(lab.page.locator(".jp-RenderedText").first.inner_text()))
        if kind == "HistoryPanel":
            lab.output.get_by_text("✔").or_(lab.output.get_by_text("can be rolled back")).first.wait_for()
            number = f"{count - 7:07d}"
            searched.append(lab.page.evaluate(SEARCHED, [number, f"1 of {count:,} migrations"]))
    for what, seconds, bound in (
        (f"in the browser, {kind} of {count:,}: from Run to painted", median(painted[1:]) / 1000, "1 s"),
        (f"{kind} of {count:,}: the kernel's CPU of it", median(of_kernel[1:]), "0.5 s"),
        *([(f"{kind} of {count:,}: a search", median(searched[1:]) / 1000, "200 ms")] if searched else []),
    ):
        table.append(Measure(what=what, ours=seconds, compared_with="", other=None, bound=bound))


def run_first(page: Any) -> None:
    """Run the first cell, and wait until the kernel has done so."""
    page.evaluate(
        "async () => { const panel = window.jupyterapp.shell.currentWidget; await panel.context.ready; await"
        " panel.sessionContext.ready; await panel.sessionContext.session.kernel.info;"
        " panel.content.activeCellIndex = 0; await window.jupyterapp.commands.execute('notebook:run-cell'); }"
    )
