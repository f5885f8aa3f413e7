"""Panels by the messages of ipywidgets alone, as VS Code speaks with a kernel: no page of Jupyter's, no browser."""

from __future__ import annotations

import os
import queue
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager

import migrollback_nb as mr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What a front end has without asking the network: VS Code's own, and what lies in the kernel's environment.
MODULES = {"@jupyter-widgets/base", "@jupyter-widgets/controls", "@jupyter-widgets/output", "anywidget"}
PANELS = ("RollbackPanel", "GraphPanel", "HistoryPanel")


class FrontEnd:
    """A kernel, and what it has told of its widgets."""

    def __init__(self, manager: KernelManager) -> None:
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.states: dict[str, dict[str, Any]] = {}
        self.shown: list[dict[str, Any]] = []

    def run(self, code: str) -> None:
        asked = self.client.execute(code)
        self._listen(lambda told: told["msg_type"] == "status" and told["content"]["execution_state"] == "idle", asked)

    def _listen(self, enough: Callable[[dict[str, Any]], bool], asked: str | None = None) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                told = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            content = told["content"]
            assert told["msg_type"] != "error", "\n".join(content["traceback"])
            match told["msg_type"]:
                case "comm_open":
                    self.states[content["comm_id"]] = dict(content["data"]["state"])
                case "comm_msg" if content["data"]["method"] in ("update", "echo_update"):
                    self.states[content["comm_id"]] |= content["data"]["state"]
                case "display_data" | "execute_result":
                    self.shown.append(content["data"])
            if enough(told) and (asked is None or told["parent_header"].get("msg_id") == asked):
                return
        values = [state["value"] for state in self.states.values() if state.get("value")]
        pytest.fail(f"the kernel does not say so, but {values}")

    def send(self, comm: str, data: dict[str, Any]) -> None:
        told = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        self.client.shell_channel.send(told)

    def named(self, **wanted: Any) -> str:
        """Id of the one widget with this state."""
        (found,) = (id for id, state in self.states.items() if wanted.items() <= state.items())
        return found

    def until_shown(self, text: str) -> None:
        def says() -> bool:
            return any(text in str(state.get("value", "")).lower() for state in self.states.values())

        if not says():
            self._listen(lambda _: says())


@pytest.fixture
def front_end(database_dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    monkeypatch.setenv("MIGROLLBACK_DSN", database_dsn)
    monkeypatch.setenv("MIGROLLBACK_DIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    made = FrontEnd(manager)
    yield made
    made.client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.long
def test_a_panel_is_used_by_messages_alone(
    front_end: FrontEnd, db: mr.Migrations, applied: Callable[..., str]
) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    front_end.run("import migrollback_nb as mr\ndb = mr.connect()\nmr.panels.RollbackPanel(db)")
    view = front_end.shown[-1]
    assert view["application/vnd.jupyter.widget-view+json"]["model_id"] in front_end.states
    assert "RollbackPanel" in view["text/plain"]
    lists = front_end.named(_anywidget_id="migrollback_nb.panels.name_list.NameList", description="Migration")
    front_end.send(lists, {"method": "custom", "content": {"selected": "001_a", "view": "vscode", "number": 1}})
    button = front_end.named(_model_name="ButtonModel", description="Check")
    front_end.send(button, {"method": "custom", "content": {"event": "click"}})
    front_end.until_shown("not rehearsed")
    assert front_end.states[lists]["acknowledged"] == {"vscode": 1}
    assert db.check("001_a").can_rollback


def test_no_panel_asks_for_a_module_that_would_have_to_be_fetched(db: mr.Migrations) -> None:
    import ipywidgets
    from panel_parts import walk

    for name in PANELS:
        for widget in walk(getattr(mr.panels, name)(db)):
            if isinstance(widget, ipywidgets.Widget):
                assert {widget._model_module, widget._view_module} <= MODULES, type(widget)
    shipped = Path(sys.prefix) / "share" / "jupyter" / "nbextensions" / "anywidget"
    assert (shipped / "index.js").is_file() or (shipped / "extension.js").is_file()


def test_marimo_gets_words_instead_of_a_broken_box(db: mr.Migrations) -> None:
    for name in PANELS:
        mime, text = getattr(mr.panels, name)(db)._mime_()
        assert mime == "text/html"
        assert f"{name} needs JupyterLab" in text
        assert "db.check(NAME)" in text
