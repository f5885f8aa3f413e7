"""Drives notebooks in a browser as a person does, and keeps book of what the page asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


#: What scrolls as soon as its content is larger than it, which depends on the fonts of the machine, so axe-core alone
#: finds it on some and not on others. What is printed is JupyterLab's own matter.
UNREACHABLE = """
() => [...document.querySelectorAll('.jp-OutputArea-output *')].filter((element) => {
  const style = getComputedStyle(element);
  return [style.overflowX, style.overflowY].some((overflow) => ['auto', 'scroll'].includes(overflow))
    && element.getClientRects().length > 0
    && !element.closest('.jp-RenderedText')
    && element.tabIndex < 0
    && !element.querySelector('a[href], button, input, select, textarea, summary, [tabindex="0"]');
}).map((element) => element.outerHTML.slice(0, 200))
"""


class Visit:
    """One page in which panels are shown."""

    #: Where cells show what they have to show.
    outputs = ".jp-OutputArea-output"
    #: What the page that is not ours asks others for; it is kept from them here.
    asks_others: tuple[str, ...] = ()
    #: Where in the page's own programs an error is none of ours.
    others: re.Pattern[str] | None = None

    def __init__(self, page: Page, url: str, home: Path, artefacts: Path) -> None:
        self.page = page
        self._url = url
        self._home = home
        self._artefacts = artefacts
        self._asked: list[str] = []
        self._dialogs: list[str] = []
        self._errors: list[str] = []
        page.context.route(
            lambda url: urlsplit(url).hostname != "127.0.0.1" and url.startswith("http"), lambda route: route.abort()
        )
        page.on("request", lambda request: self._asked.append(request.url))
        page.on("websocket", lambda socket: self._asked.append(socket.url))
        page.on("pageerror", self._take_error)
        page.on("dialog", self._dismiss)

    def _take_error(self, error: Any) -> None:
        places = re.findall(r"\w+:[^\s()]*:\d+:\d+", error.stack or "")
        if self.others is None or not places or not all(self.others.search(place) for place in places):
            self._errors.append(f"{error}\n{error.stack}")

    def _dismiss(self, dialog: Any) -> None:
        if dialog.type != "beforeunload":
            self._dialogs.append(dialog.message)
        dialog.accept()

    def write(self, *cells: str) -> str:
        """Write a notebook of these cells. Returns its name."""
        name = f"test_{sum(1 for _ in self._home.glob('*.ipynb')) + 1}.ipynb"
        content = {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell{place}",
                    "execution_count": None,
                    "metadata": {},
                    "outputs": [],
                    "source": text,
                }
                for place, text in enumerate(cells)
            ],
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"},
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self._home / name).write_text(json.dumps(content), encoding="utf-8")
        return name

    @property
    def output(self) -> Locator:
        """What the cells show."""
        return self.page.locator(self.outputs)

    def button(self, name: str) -> Locator:
        return self.output.get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Locator:
        return self.output.get_by_label(name, exact=True)

    def option(self, field: str, words: str) -> str:
        """The whole text of the first option of a list that has these words."""
        return self.field(field).locator("option", has_text=words).first.inner_text()

    @property
    def card(self) -> Locator:
        """The verdict card."""
        return self.output.locator(".migrollback-card").first

    def accept(self) -> None:
        """Tick each harm."""
        ticks = self.output.get_by_role("checkbox", name=re.compile("^I accept: "))
        ticks.first.wait_for()
        for tick in ticks.all():
            tick.check()

    def text(self, words: str) -> Locator:
        return self.output.get_by_text(words).first

    # -- judgement -------------------------------------------------------------------------------------------------

    def shoot(self, name: str) -> None:
        """Keep a picture of the page for people to look at."""
        self.page.screenshot(path=self._artefacts / f"{name}.png")

    def faults(self) -> list[str]:
        """What axe-core calls serious or critical in the output of the cells, and what may scroll there and cannot
        be reached by keyboard."""
        from axe_playwright_python.base import AXE_FILE_PATH

        self.page.evaluate(Path(AXE_FILE_PATH).read_text(encoding="utf-8"))
        found = self.page.evaluate(
            "() => axe.run({ include: ['.jp-OutputArea-output'] }, { resultTypes: ['violations'] })"
        )
        assert found["passes"], "axe looked at nothing"
        return [
            f"{fault['id']} ({fault['impact']}): {node['html'][:200]} {node.get('failureSummary', '')}"
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ] + [f"may scroll, and cannot be reached by keyboard: {element}" for element in self.page.evaluate(UNREACHABLE)]

    def forget(self) -> None:
        self._dialogs.clear()
        self._errors.clear()

    def judge(self) -> None:
        """Nothing left the machine since the page was opened, no text from a database ran as script, and nothing of
        ours failed in the page."""
        asked = [
            url
            for url in self._asked
            if urlsplit(url).scheme in ("http", "https", "ws", "wss") and not url.startswith(self.asks_others or "none")
        ]
        assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}, [
            url for url in asked if urlsplit(url).hostname != "127.0.0.1"
        ]
        assert self._dialogs == []
        assert self._errors == [], self._errors
        self.close()

    def close(self) -> None:
        """End what runs behind the page."""


class Laboratory(Visit):
    """One page of JupyterLab, one notebook at a time."""

    outputs = ".jp-NotebookPanel .jp-OutputArea-output"

    # -- the page --------------------------------------------------------------------------------------------------

    def open(self) -> None:
        self.page.goto(f"{self._url}/lab?token=browser-test&reset")
        self._wait_for_app()
        self.command("application:toggle-left-area")
        self.close()

    def _wait_for_app(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp !== undefined", timeout=90_000)
        self.page.evaluate("() => window.jupyterapp.restored.then(() => true)")

    def command(self, name: str, **arguments: Any) -> None:
        self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => true)", [name, arguments]
        )

    def theme(self, name: str) -> None:
        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        self.page.wait_for_function(
            "wanted => document.body.dataset.jpThemeLight === wanted", arg="true" if name == "Light" else "false"
        )
        # a change of theme shows JupyterLab's splash screen, which fades away over the page: what is looked at is paler
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def inspect(self, name: str) -> list[str]:
        """The faults of what is shown, in the light and in the dark; keeps a picture of both.
        The page is light afterwards."""
        found = []
        for theme in ("Dark", "Light"):
            self.theme(theme)
            found += [f"{theme}: {fault}" for fault in self.faults()]
            self.shoot(f"{name}_{theme.lower()}")
        return found

    def reload(self) -> None:
        self.page.reload()
        self._wait_for_app()
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)

    # -- a notebook ------------------------------------------------------------------------------------------------

    def notebook(self, *cells: str) -> None:
        """Open a notebook of these cells and run all of them."""
        name = self.write(*cells)
        self.command("docmanager:open", path=name, factory="Notebook")
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
        self.run_all()

    def run_all(self) -> None:
        self.page.evaluate(
            "async () => { const panel = window.jupyterapp.shell.currentWidget; await panel.context.ready; await"
            " panel.sessionContext.ready; await panel.sessionContext.session.kernel.info; }"
        )
        self.command("notebook:run-all-cells")

    def run(self, code: str) -> None:
        """Run this in the notebook's kernel, beside its cells; does not wait until it has ended."""
        self.page.evaluate(
            "code => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code }); }",
            code,
        )

    def close(self) -> None:
        """Close the notebook and end its kernel."""
        self.page.evaluate(
            "async () => { for (const widget of [...window.jupyterapp.shell.widgets('main')]) { if"
            " (widget.sessionContext) { await widget.context.save(); await widget.sessionContext.shutdown(); }"
            " widget.close(); } }"
        )

    def save(self) -> None:
        self.command("docmanager:save")

    def restart_kernel(self) -> None:
        self.page.evaluate(
            "async () => { const panel = window.jupyterapp.shell.currentWidget; await"
            " panel.sessionContext.session.kernel.restart(); await panel.sessionContext.session.kernel.info; }"
        )


class Notebook7(Visit):
    """One notebook in a page of Jupyter Notebook 7."""

    others = re.compile("/static/notebook/")
    outputs = ".jp-NotebookPanel .jp-OutputArea-output"

    def notebook(self, *cells: str, theme: str = "light") -> None:
        """Open a notebook of these cells and run all of them."""
        self.page.goto(f"{self._url}/notebooks/{self.write(*cells)}?token=browser-test")
        self.page.wait_for_function("() => window.jupyterapp !== undefined", timeout=90_000)
        self._run("apputils:change-theme", theme=f"JupyterLab {theme.title()}")
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
        self.page.evaluate(
            "async () => { const panel = window.jupyterapp.shell.currentWidget; await panel.context.ready; await"
            " panel.sessionContext.ready; await panel.sessionContext.session.kernel.info; }"
        )
        self._run("notebook:run-all-cells")

    def _run(self, name: str, **arguments: Any) -> None:
        self.page.wait_for_function("name => window.jupyterapp.commands.hasCommand(name)", arg=name)
        self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => true)", [name, arguments]
        )

    def close(self) -> None:
        """Save the notebook, end its kernel and close the page."""
        self.page.evaluate(
            "async () => { const panel = window.jupyterapp.shell.currentWidget; await panel.context.save(); await"
            " panel.sessionContext.shutdown(); }"
        )
        self.page.context.close()


class Voila(Visit):
    """One notebook as Voila shows it: its outputs, no code.
    Its page asks for icons and MathJax, which the panels do without."""

    asks_others = ("https://cdn.jsdelivr.net/npm/@fortawesome/", "https://cdnjs.cloudflare.com/ajax/libs/mathjax/")

    def notebook(self, *cells: str, theme: str = "light") -> None:
        """Open a notebook of these cells; Voila runs it."""
        self.page.goto(f"{self._url}/voila/render/{self.write(*cells)}?token=browser-test&theme={theme}")

    def close(self) -> None:
        """Close the page, which ends the kernel."""
        self.page.context.close()
