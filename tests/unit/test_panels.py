"""RollbackPanel's states and views, on a stand-in for the database: what is shown follows from the state alone, and shows safely."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import pytest
import traitlets
from panel_parts import part, tour, walk

import migrollback_nb as mr
from migrollback_nb.panels import CheckPanel, ConfirmPanel, PreviewPanel, RollbackPanel
from migrollback_nb.panels.desk import STATE
from migrollback_nb.results import ChainResult, CheckResult, Notice, Preview, Rehearsal, RollbackResult, Target
from migrollback_nb.results.rehearsal import Broken, Failure, RowLoss
from migrollback_nb.results.schema import SchemaChange, SchemaDiff
from migrollback_nb.results.verification import Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrollback_nb.panels.panel import Panel

HOSTILE = "1_</pre><script>alert(1)</script><img src=x onerror=\"alert('2')\">\u202e\x1b[31m&amp;"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
TAGS = {"div", "details", "summary", "thead", "ol", "section", "span", "pre", "table", "tbody", "tr", "th", "td", "ul", "li", "b", "code", "progress", "p"}
ATTRIBUTES = {"style", "open", "role", "aria-label", "aria-level", "tabindex", "scope", "class"}

TARGET = Target(host="db.example", port=5432, database="shop", user="dba", server_version="18.6", schema="public")


def row(name: str, *, reason: str | None = None) -> dict[str, Any]:
    return {"migration_name": name, "can_rollback": reason is None, "blocking_reason": reason}


def preview_of(*names: str, target: Target = TARGET) -> Preview:
    checks = tuple(CheckResult(migration_name=name, can_rollback=True, reason="Migration can be safely rolled back") for name in names)
    return Preview(steps=tuple((name, f"DROP TABLE t_{name};") for name in names), checks=checks, fingerprint="f" * 64, target=target)


def rehearsal_of(*names: str, target: Target = TARGET) -> Rehearsal:
    return Rehearsal(
        success=True,
        message="The rollback would succeed",
        steps=tuple((name, f"DROP TABLE t_{name};") for name in names),
        fingerprint="f" * 64,
        target=target,
        where="on the target",
    )


class Standin:
    """As much of a `Migrations` as the panel uses. `gate` holds a rollback up; `fail` is raised by whatever is asked next."""

    def __init__(self) -> None:
        self.target = TARGET
        self.rows = [row("2_b"), row("1_a", reason="Cannot rollback: other migrations depend on this one")]
        self.calls: list[Any] = []
        self.fail: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.cancelled = 0
        self.state = "f"
        self.database = SimpleNamespace(
            notices=(), connection=SimpleNamespace(closed=False), list_rollbackable=self._list, unfinished=tuple, cancel=self._cancel, reconnect=self._reconnect
        )

    def _answer(self, call: Any, answer: Any) -> Any:
        self.calls.append(call)
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        return answer

    def _list(self) -> list[dict[str, Any]]:
        return self._answer("list", list(self.rows))

    def _cancel(self) -> None:
        self.cancelled += 1
        self.gate.set()

    def _reconnect(self) -> None:
        self.calls.append("reconnect")
        self.database.connection.closed = False

    def check(self, name: str) -> CheckResult:
        return self._answer(("check", name), CheckResult(migration_name=name, can_rollback=True, reason="Migration can be safely rolled back"))

    def preview(self, name: str, *, chain: bool) -> Preview:
        return self._answer(("preview", name, chain), replace(preview_of(*(["2_b"] if chain and name == "1_a" else []), name), fingerprint=self.state * 64))

    def rehearse(self, name: str, *, chain: bool, consent: bool, **_: Any) -> Rehearsal:
        return self._answer(
            ("rehearse", name, chain, consent), replace(rehearsal_of(*(["2_b"] if chain and name == "1_a" else []), name), fingerprint=self.state * 64)
        )

    def rollback(self, name: str, **arguments: Any) -> RollbackResult:
        assert callable(arguments.pop("progress"))
        assert self.gate.wait(10)
        result = RollbackResult(success=True, message="Migration rolled back successfully", sql_executed="DROP TABLE t;", migration_name=name)
        return self._answer(("rollback", name, arguments), result)

    def rollbacks(self) -> list[Any]:
        return [call for call in self.calls if call[0] == "rollback"]


@pytest.fixture
def standin() -> Iterator[Standin]:
    made = Standin()
    yield made
    made.gate.set()


@pytest.fixture
def panel(standin: Standin) -> RollbackPanel:
    return RollbackPanel(standin)


SHOWN = ("value", "disabled", "options", "description", "tooltip", "placeholder", "button_style")


def seen(panel: RollbackPanel) -> list[Any]:
    """All that a person can see or press."""
    return [(type(widget).__name__, {trait: getattr(widget, trait) for trait in SHOWN if hasattr(widget, trait)}) for widget in walk(panel)]


class Strict(HTMLParser):
    """Fails at any tag or attribute that the package does not write itself."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        assert {name for name, _ in attributes} <= ATTRIBUTES, attributes
        assert not any("url" in (value or "") or "expression" in (value or "") for _, value in attributes), attributes


def assert_inert(panel: RollbackPanel) -> None:
    """No text from a database is markup, and none changes how it is read."""
    for widget in walk(panel):
        if isinstance(widget, widgets.HTML):
            parser = Strict()
            parser.feed(widget.value)
            parser.close()
        texts = [getattr(widget, trait, "") or "" for trait in ("description", "tooltip", "placeholder")]
        texts += [widget.value] if isinstance(widget, widgets.HTML) else []
        texts += [label for label, _ in widget.options] if isinstance(widget, widgets.Select) else []
        for text in texts:
            assert not UNSAFE.search(text), text
        assert not getattr(widget, "description_allow_html", False)
    assert not UNSAFE.search(repr(panel))


def attempt(name: str, **others: Any) -> dict[str, Any]:
    """A rollback whose end nobody recorded."""
    began = datetime(2025, 1, 20, 14, 30, tzinfo=UTC)
    return {"migration_name": name, "occurred_at": began, "database_user": "dba", "client": None, "reason": None, "completed": 0, "running": None} | others


# -- states -----------------------------------------------------------------------------------------------------------

IDLE: dict[str, Any] = {
    "target": TARGET, "migrations": (row("2_b"), row("1_a", reason="No rollback SQL defined for this migration")), "unfinished": (), "history": (), "dependencies": (), "selected": None,
    "chain": False, "consent": False, "check_result": None, "preview_result": None, "rehearsal_result": None, "typed": "", "reason": "", "result": None, "error": None,
    "busy": "", "progress": "", "fraction": None, "hold": "",
}  # fmt: skip
CHOSEN = IDLE | {"selected": "2_b"}
PREVIEWED = CHOSEN | {"preview_result": preview_of("2_b")}
READY = PREVIEWED | {"typed": "2_b", "reason": "because"}
BLOCKED = CheckResult(
    migration_name="1_a", can_rollback=False, reason="Cannot rollback: other migrations depend on this one", dependent_migrations=("2_b",), warnings=("a", "b")
)
DONE = RollbackResult(
    success=True, message="Migration rolled back successfully", sql_executed="DROP TABLE t;", migration_name="2_b", duration_ms=1.5,
    notices=(Notice(severity="NOTICE", message="gone", skipped=True),), warnings=("changed",),
)  # fmt: skip
CHANGED = SchemaDiff(
    changes=(SchemaChange(change="created", kind="table", identity=HOSTILE, old_definition=None, new_definition={"owner": HOSTILE}),),
    old="before it was applied",
    new="now",
)
RESTORED = Verification(
    verdict="restored", message="The schema is as it was before", changes=CHANGED, differences=SchemaDiff(changes=()), unexpected=SchemaDiff(changes=())
)
DIFFERS = replace(RESTORED, verdict="differs", message="The schema differs", differences=CHANGED, unexpected=CHANGED)
HOSTILE_CHECK = CheckResult(migration_name=HOSTILE, can_rollback=False, reason=HOSTILE, dependent_migrations=(HOSTILE,), warnings=(HOSTILE,))
HOSTILE_PREVIEW = Preview(
    steps=((HOSTILE, HOSTILE),), checks=(replace(HOSTILE_CHECK, can_rollback=True),), fingerprint="f", target=replace(TARGET, host=HOSTILE, database=HOSTILE, user=HOSTILE, schema=HOSTILE)
)  # fmt: skip
REHEARSED = rehearsal_of("2_b")
REHEARSED_BADLY = replace(
    REHEARSED, success=False, message="It would fail", failure=Failure(migration_name="2_b", sqlstate="42P01", message="no such table", statement_number=1, statement="DROP TABLE u", position=3)
)  # fmt: skip
LOSS = RowLoss(relation="public.t", column=None, what="dropped", rows=7, exact=True)
HOSTILE_REHEARSAL = replace(
    REHEARSED, message=HOSTILE, steps=((HOSTILE, HOSTILE),), where=HOSTILE, target=replace(TARGET, database=HOSTILE), rows=(replace(LOSS, relation=HOSTILE),),
    broken=(Broken(kind=HOSTILE, identity=HOSTILE, because=HOSTILE, certain=True, used_by=(HOSTILE,)),), remarks=(HOSTILE,), warnings=(HOSTILE,), replicas=(HOSTILE,),
    renamed=((HOSTILE, HOSTILE),), rewritten=(HOSTILE,), notices=(Notice(severity=HOSTILE, message=HOSTILE, skipped=True),),
)  # fmt: skip
HOSTILE_RESULT = replace(
    DONE,
    message=HOSTILE,
    sql_executed=HOSTILE,
    migration_name=HOSTILE,
    notices=(Notice(severity=HOSTILE, message=HOSTILE, skipped=False),),
    warnings=(HOSTILE,),
)
STATES: dict[str, dict[str, Any]] = {
    "idle": IDLE,
    "empty": IDLE | {"migrations": ()},
    "broken off": IDLE | {"unfinished": (attempt("2_b"), attempt("1_a", completed=2), attempt("1_a", running=4711))},
    "hostile, broken off": IDLE | {"unfinished": (attempt(HOSTILE, client=HOSTILE, reason=HOSTILE),)},
    "not connected": IDLE | {"target": None, "migrations": (), "error": mr.ConnectionFailed("No connection", hint="Check the server.")},
    "elsewhere": READY | {"target": replace(TARGET, database="other")},
    "chosen": CHOSEN,
    "chosen, not in the list": CHOSEN | {"selected": "9_gone"},
    "checked": CHOSEN | {"check_result": CheckResult(migration_name="2_b", can_rollback=True, reason="Migration can be safely rolled back")},
    "blocked": IDLE | {"selected": "1_a", "check_result": BLOCKED},
    "previewed": PREVIEWED,
    "previewed chain": IDLE | {"selected": "1_a", "chain": True, "preview_result": preview_of("2_b", "1_a")},
    "rehearsed": CHOSEN | {"rehearsal_result": REHEARSED},
    "rehearsed, previewed": PREVIEWED | {"rehearsal_result": replace(REHEARSED, rows=(LOSS,)), "consent": True},
    "rehearsed, failed": PREVIEWED | {"rehearsal_result": REHEARSED_BADLY},
    "hostile rehearsal": PREVIEWED | {"rehearsal_result": HOSTILE_REHEARSAL},
    "mistyped": PREVIEWED | {"typed": "2_B", "reason": "because"},
    "ready": READY,
    "running": READY | {"busy": "Rolling back 2_b", "progress": "7 s"},
    "running, statement by statement": READY | {"busy": "Rolling back 2_b", "progress": "statement 2 of 4: DROP TABLE t; 7 s", "fraction": 0.25},
    "refused": CHOSEN | {"reason": "because", "error": mr.Refused("Something has changed since the preview: look at a new one first")},
    "failed": CHOSEN | {"error": mr.RollbackFailed("Rollback failed", migration_name="2_b", sqlstate="42P01", statement_number=1, statement="DROP TABLE u;", hint="Mend it.")},
    "lock": CHOSEN | {"error": mr.LockBusy("canceling statement due to lock timeout", sqlstate="55P03")},
    "cancelled": CHOSEN | {"error": mr.RollbackFailed("Rollback failed", migration_name="2_b", sqlstate="57014", passing=True)},
    "bug": CHOSEN | {"error": ZeroDivisionError("division by zero")},
    "done": IDLE | {"result": DONE},
    "done, nothing changed": IDLE | {"result": replace(DONE, unchanged=True)},
    "done, restored": IDLE | {"result": replace(DONE, verification=RESTORED)},
    "done, differs": IDLE | {"result": replace(DONE, verification=DIFFERS)},
    "hostile verification": IDLE | {"result": ChainResult(results=(DONE, DONE), verification=replace(DIFFERS, message=HOSTILE), warnings=(HOSTILE,))},
    "done, chain": IDLE | {"result": ChainResult(results=(DONE, replace(DONE, migration_name="1_a")))},
    "hostile": IDLE | {"migrations": (row(HOSTILE, reason=HOSTILE),), "selected": HOSTILE, "check_result": HOSTILE_CHECK, "preview_result": HOSTILE_PREVIEW, "target": HOSTILE_PREVIEW.target},
    "hostile running": IDLE | {"selected": HOSTILE, "busy": f"Rolling back {HOSTILE}", "progress": HOSTILE, "error": mr.Refused(HOSTILE, dependents=(HOSTILE,), hint=HOSTILE)},
    "hostile failure": IDLE | {"error": mr.RollbackFailed(HOSTILE, migration_name=HOSTILE, statement_number=1, statement=HOSTILE, detail=HOSTILE, hint=HOSTILE, sqlstate="P0001")},
    "hostile bug": IDLE | {"error": ValueError(HOSTILE)},
    "hostile done": IDLE | {"result": HOSTILE_RESULT},
    "hostile done, chain": IDLE | {"result": ChainResult(results=(HOSTILE_RESULT, HOSTILE_RESULT))},
}  # fmt: skip


def test_every_state_sets_every_trait() -> None:
    assert all(set(state) == set(STATE) for state in STATES.values())


def test_updating_from_any_state_shows_the_same_as_building_it(standin: Standin) -> None:
    built = {name: seen(RollbackPanel(standin, **state)) for name, state in STATES.items()}
    panel = RollbackPanel(standin, **IDLE)
    before = "idle"
    for after in tour(list(STATES)):
        panel.update(**STATES[after])
        assert seen(panel) == built[after], f"{before} -> {after}"
        assert {trait: getattr(panel, trait) for trait in STATE} == STATES[after], f"{before} -> {after}"
        before = after


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_inert_and_labelled(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    assert_inert(panel)
    controls = [widget for widget in walk(panel) if hasattr(widget, "disabled") and not isinstance(widget, widgets.HTML)]
    assert len(controls) == 13
    assert all(widget.description for widget in controls)
    assert standin.calls == []


@pytest.mark.parametrize("name", STATES)
def test_roll_back_works_only_when_nothing_is_missing(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    assert part(panel, "rollback_button").disabled is (name != "ready")
    assert part(panel, "rollback_button").disabled is bool(panel.missing)
    part(panel, "rollback_button").click()  # as a page would that shows an older state
    assert panel.wait(10)
    assert len(standin.rollbacks()) == (name == "ready")


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state["busy"]])
def test_while_something_runs_only_cancel_works(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    enabled = [widget for widget in walk(panel) if hasattr(widget, "disabled") and not isinstance(widget, widgets.HTML) and not widget.disabled]
    assert enabled == [part(panel, "cancel_button")]
    part(panel, "check_button").click()
    part(panel, "preview_button").click()
    part(panel, "refresh_button").click()
    part(panel, "rollback_button").click()
    assert standin.calls == []


@pytest.mark.parametrize(
    ("state", "word"),
    [("done, restored", "Done"), ("done, differs", "Look closer"), ("refused", "Refused"), ("failed", "Failed"), ("lock", "try again"), ("cancelled", "Cancelled"), ("bug", "Unexpected"), ("done", "Done"), ("running", "Rolling back"),
     ("done, nothing changed", "Look closer")],
)  # fmt: skip
def test_every_outcome_has_a_word_beside_its_colour(state: str, word: str, standin: Standin) -> None:
    assert word in part(RollbackPanel(standin, **STATES[state]), "message_view").value


# -- steps ------------------------------------------------------------------------------------------------------------


def preview(panel: RollbackPanel, name: str = "2_b") -> None:
    part(panel, "choice").value = name
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert panel.preview_result is not None


def confirm(panel: RollbackPanel) -> None:
    part(panel, "name_field").value = panel.selected
    part(panel, "reason_field").value = " because "
    assert not part(panel, "rollback_button").disabled
    part(panel, "rollback_button").click()


def test_nothing_is_chosen_at_first(panel: RollbackPanel, standin: Standin) -> None:
    assert panel.selected is None
    assert part(panel, "choice").value is None
    assert standin.calls == ["list"]


def test_what_was_previewed_is_what_is_asked_for(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    looked_at = panel.preview_result
    confirm(panel)
    assert panel.wait(10)
    assert standin.rollbacks() == [("rollback", "2_b", {"confirm": "2_b", "reason": "because", "preview": looked_at, "chain": False})]
    assert panel.result.success
    assert (panel.preview_result, panel.typed, panel.reason, panel.error, panel.busy) == (None, "", "", None, "")


@pytest.mark.parametrize("typed", ["", "2_B", "2_b ", " 2_b", "2_b.sql", "1_a"])
def test_the_name_has_to_be_exact(panel: RollbackPanel, standin: Standin, typed: str) -> None:
    preview(panel)
    part(panel, "reason_field").value = "because"
    part(panel, "name_field").value = typed
    assert part(panel, "rollback_button").disabled
    assert "exactly" in part(panel, "missing_view").value
    part(panel, "rollback_button").click()
    assert panel.wait(10)
    assert standin.rollbacks() == []
    assert isinstance(panel.error, mr.UsageError)


@pytest.mark.parametrize("reason", ["", "  ", "\n\t"])
def test_a_reason_has_to_be_given(panel: RollbackPanel, reason: str) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "reason_field").value = reason
    assert part(panel, "rollback_button").disabled
    assert "reason" in part(panel, "missing_view").value


def test_another_choice_forgets_preview_name_and_chain(panel: RollbackPanel) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "reason_field").value = "because"
    part(panel, "chain_box").value = True
    assert (panel.preview_result, panel.typed) == (None, "")
    preview(panel)
    part(panel, "choice").value = "1_a"
    assert (panel.preview_result, panel.typed, panel.chain, panel.reason) == (None, "", False, "because")
    assert part(panel, "rollback_button").disabled


def test_a_new_preview_wants_the_name_again(panel: RollbackPanel) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert panel.typed == part(panel, "name_field").value == ""


def test_a_chain_is_previewed_and_asked_for_as_one(panel: RollbackPanel, standin: Standin) -> None:
    part(panel, "choice").value = "1_a"
    part(panel, "chain_box").value = True
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert "2_b" in part(panel, "preview_view").value
    confirm(panel)
    assert panel.wait(10)
    assert standin.rollbacks()[0][2]["chain"] is True


def test_a_double_click_runs_it_once(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.gate.clear()
    confirm(panel)
    part(panel, "rollback_button").click()
    standin.gate.set()
    assert panel.wait(10)
    part(panel, "rollback_button").click()
    assert panel.wait(10)
    assert len(standin.rollbacks()) == 1


def test_what_arrives_while_it_runs_changes_nothing(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.gate.clear()
    confirm(panel)
    part(panel, "choice").value = "1_a"
    part(panel, "chain_box").value = True
    part(panel, "name_field").value = "1_a"
    assert (panel.selected, panel.chain, panel.typed) == ("2_b", False, "2_b")
    assert (part(panel, "choice").value, part(panel, "chain_box").value, part(panel, "name_field").value) == ("2_b", False, "2_b")
    standin.gate.set()
    assert panel.wait(10)
    assert standin.rollbacks()[0][1] == "2_b"


def test_wait_says_whether_it_has_ended(panel: RollbackPanel, standin: Standin) -> None:
    assert panel.wait(0)
    preview(panel)
    standin.gate.clear()
    confirm(panel)
    assert not panel.wait(0.05)
    part(panel, "cancel_button").click()
    assert standin.cancelled == 1
    assert panel.wait(10)


def test_cancel_does_nothing_when_nothing_runs(panel: RollbackPanel, standin: Standin) -> None:
    part(panel, "cancel_button").click()
    assert standin.cancelled == 0
    assert panel.busy == ""


def test_a_cancel_that_cannot_be_sent_is_shown(panel: RollbackPanel, standin: Standin) -> None:
    def refuse() -> None:
        raise OSError("no route to host")

    preview(panel)
    standin.gate.clear()
    confirm(panel)
    standin.database.cancel = refuse
    part(panel, "cancel_button").click()
    assert "no route to host" in part(panel, "message_view").value
    assert panel.busy == "Rolling back 2_b"


@pytest.mark.parametrize("error", [mr.Refused("no"), mr.LockBusy("wait"), mr.NotInstalled("none"), RuntimeError("bug"), KeyboardInterrupt("stop")])
@pytest.mark.parametrize("button", ["refresh_button", "check_button", "preview_button", "rollback_button"])
def test_whatever_goes_wrong_is_shown(panel: RollbackPanel, standin: Standin, button: str, error: BaseException) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "reason_field").value = "because"
    standin.fail = error
    part(panel, button).click()
    assert panel.wait(10)
    assert panel.error is error
    assert str(error) in part(panel, "message_view").value
    assert panel.busy == ""
    if button == "rollback_button":
        assert (panel.preview_result, panel.typed, panel.reason) == (None, "", "because")
        assert part(panel, "preview_button").button_style == "primary"


@pytest.mark.parametrize("button", ["check_button", "preview_button", "rollback_button"])
def test_a_click_without_a_choice_is_answered(panel: RollbackPanel, button: str) -> None:
    part(panel, button).click()
    assert panel.wait(10)
    assert "Choose a migration" in part(panel, "message_view").value


def test_a_list_that_cannot_be_read_at_first_is_shown_and_can_be_tried_again(standin: Standin) -> None:
    standin.fail = mr.NotInstalled("The rollback system is not installed", hint="Run migrollback install.")
    panel = RollbackPanel(standin)
    assert "not installed" in part(panel, "message_view").value
    part(panel, "refresh_button").click()
    assert panel.wait(10)
    assert panel.error is None
    assert len(part(panel, "choice").options) == 2


def test_how_a_rollback_ended_is_shown_although_the_list_cannot_be_read_then(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)

    def gone() -> None:
        raise mr.NotInstalled("The rollback system is not installed")

    standin.database.list_rollbackable = gone
    confirm(panel)
    assert panel.wait(10)
    assert "Done" in part(panel, "message_view").value
    assert "not installed" in part(panel, "message_view").value


def test_a_lost_connection_is_opened_again(panel: RollbackPanel, standin: Standin) -> None:
    standin.database.connection.closed = True
    preview(panel)
    assert "reconnect" in standin.calls

    def lose(name: str) -> CheckResult:
        del standin.check
        standin.database.connection.closed = True
        raise mr.ConnectionFailed("The connection to the database was lost")

    standin.check = lose
    part(panel, "check_button").click()
    assert panel.wait(10)
    assert panel.error is None
    assert panel.check_result is not None


def test_a_connection_that_leads_elsewhere_is_refused(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.database.connection.closed = True
    standin.target = replace(TARGET, host="other.example")
    confirm(panel)
    assert panel.wait(10)
    assert isinstance(panel.error, mr.Refused)
    assert standin.rollbacks() == []
    assert "other.example" in part(panel, "target_view").value


def test_a_migration_that_is_gone_is_no_longer_chosen(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.rows = standin.rows[1:]
    part(panel, "refresh_button").click()
    assert panel.wait(10)
    assert (panel.selected, panel.preview_result) == (None, None)


def test_an_unknown_state_is_an_error(panel: RollbackPanel) -> None:
    with pytest.raises(TypeError, match="selectd"):
        panel.update(selectd="2_b")


@pytest.mark.parametrize("name", STATES)
def test_what_is_left_where_no_widget_runs_is_short_and_safe(name: str, standin: Standin) -> None:
    bundle = RollbackPanel(standin, **STATES[name])._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert len(bundle["text/plain"]) <= 111  # where ipywidgets cuts it
    assert "\n" not in bundle["text/plain"]
    assert not UNSAFE.search(bundle["text/plain"])


def test_the_panel_holds_no_sql() -> None:
    import inspect

    from migrollback_nb.panels import desk, graph_panel, history_panel, panel, rollback_panel, steps

    source = "".join(inspect.getsource(module) for module in (desk, graph_panel, history_panel, panel, rollback_panel, steps))
    assert not re.search(r"\b(SELECT|UPDATE|INSERT|DELETE)\b|psycopg", source)


# -- rehearsal, banner, parts -----------------------------------------------------------------------------------------


def test_a_rehearsal_is_shown_and_leaves_the_preview_alone(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    looked_at = panel.preview_result
    part(panel, "consent_box").value = True
    part(panel, "rehearse_button").click()
    assert panel.wait(10)
    assert ("rehearse", "2_b", False, True) in standin.calls
    assert panel.preview_result is looked_at
    assert "would succeed" in part(panel, "rehearsal_view").value
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert panel.rehearsal_result is None


def test_a_rehearsal_that_met_another_state_than_the_preview_takes_the_preview_away(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    standin.state = "e"
    part(panel, "rehearse_button").click()
    assert panel.wait(10)
    assert (panel.preview_result, panel.typed) == (None, "")
    assert isinstance(panel.error, mr.Refused)
    assert panel.rehearsal_result is not None
    part(panel, "again_button").click()
    assert panel.wait(10)
    assert panel.preview_result.fingerprint == "e" * 64


@pytest.mark.parametrize("name", STATES)
def test_a_new_preview_is_offered_after_a_refusal_and_only_then(name: str, standin: Standin) -> None:
    button = part(RollbackPanel(standin, **STATES[name]), "again_button")
    assert (button.layout.display is None) is (not button.disabled) is (name in {"refused", "failed", "lock", "cancelled"})


@pytest.mark.parametrize(
    ("rule", "loud"), [(None, False), ("shop", True), ("SHO?", True), ("other, db.*", True), (["nothing"], False), (lambda target: target.port == 5432, True), (lambda _: 1 / 0, True)]
)  # fmt: skip
def test_production_is_loud_by_the_rule_of_the_user(standin: Standin, rule: Any, loud: bool) -> None:
    panel = RollbackPanel(standin, production=rule, **READY)
    assert ("PRODUCTION" in part(panel, "target_view").value) is loud
    assert ("PRODUCTION" in part(panel, "rollback_button").description) is loud


def test_production_is_known_by_a_variable(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGROLLBACK_PRODUCTION", "*.example")
    assert "PRODUCTION" in part(RollbackPanel(standin), "target_view").value


def test_a_chain_names_every_step_and_asks_once(standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES["previewed chain"])
    shown = part(panel, "name_view").value
    assert "2 migrations" in shown
    assert shown.index("2_b") < shown.index("1_a")
    assert len([widget for widget in walk(panel) if isinstance(widget, widgets.Text) and widget.description == "Name"]) == 1


def test_the_time_that_goes_by_is_told(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.gate.clear()
    standin.database.notices = (Notice(severity="NOTICE", message=HOSTILE, skipped=False),)
    told = threading.Event()
    panel.observe(lambda _: told.set(), "progress")
    confirm(panel)
    assert told.wait(10)
    assert " s; the server said last: 1_" in panel.progress
    assert_inert(panel)
    standin.gate.set()
    assert panel.wait(10)
    assert panel.progress == ""


@pytest.mark.parametrize("kind", [CheckPanel, PreviewPanel, ConfirmPanel])
@pytest.mark.parametrize("name", STATES)
def test_each_step_stands_alone_inert(kind: type[Panel], name: str, standin: Standin) -> None:
    built = seen(kind(standin, **STATES[name]))
    panel = kind(standin, **IDLE)
    panel.update(**STATES[name])
    assert seen(panel) == built
    assert_inert(panel)
    assert part(panel, "target_view").value


def test_a_rollback_by_single_panels_of_one_desk(standin: Standin) -> None:
    check = CheckPanel(standin)
    confirming = ConfirmPanel(check)
    assert standin.calls == ["list"]
    part(check, "choice").value = "2_b"
    assert confirming.selected == "2_b"
    preview(confirming)
    assert check.preview_result is confirming.preview_result
    confirm(confirming)
    assert check.wait(10)
    assert check.result.success
    assert "Done" in part(check, "message_view").value


@pytest.mark.parametrize("linked", [mr.panels.link, lambda one, other: traitlets.link((one, "selected"), (other, "selected"))])
def test_panels_of_two_desks_are_linked_by_traits(standin: Standin, linked: Callable[..., Any]) -> None:
    one, other = CheckPanel(standin), RollbackPanel(standin)
    linked(one, other)
    part(one, "choice").value = "2_b"
    assert (other.selected, part(other, "choice").value) == ("2_b", "2_b")
    preview(other, "1_a")
    assert one.selected == "1_a"
    assert one.check_result is None


def test_linked_panels_show_one_state_and_run_one_thing_at_a_time(standin: Standin) -> None:
    one, other = RollbackPanel(standin), RollbackPanel(standin)
    mr.panels.link(one, other)
    preview(one)
    assert other.preview_result is one.preview_result
    standin.gate.clear()
    confirm(other)
    assert one.busy == other.busy
    part(one, "check_button").click()
    assert part(one, "rollback_button").disabled
    standin.gate.set()
    assert other.wait(10)
    assert one.result is other.result is not None
    assert len(standin.rollbacks()) == 1


def test_panels_of_two_databases_are_not_linked(standin: Standin) -> None:
    elsewhere = Standin()
    elsewhere.target = replace(TARGET, host="other.example")
    with pytest.raises(mr.UsageError, match=r"other\.example"):
        mr.panels.link(CheckPanel(standin), CheckPanel(elsewhere))


def test_a_long_list_is_filtered(standin: Standin) -> None:
    standin.rows = [row(f"{number:05}_m") for number in range(5_000)] + [row("old_one", reason="it is stuck")]
    panel = RollbackPanel(standin, selected="04999_m")
    assert len(part(panel, "choice").options) == 201
    assert part(panel, "choice").value == "04999_m"
    assert "filter" in part(panel, "empty_view").value
    part(panel, "filter_field").value = "STUCK"
    assert [name for _, name in part(panel, "choice").options] == ["04999_m", "old_one"]
    panel.selected = None
    part(panel, "filter_field").value = "nobody"
    assert "None of the 5,001" in part(panel, "empty_view").value


@pytest.mark.parametrize(
    ("state", "words"), [("idle", "After the rollback"), ("done, restored", "as it was before"), ("done, differs", "differs"), ("done", "Not verified")]
)
def test_the_last_step_says_whether_the_schema_is_as_it_was(state: str, words: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[state])
    assert words in part(panel, "verify_view").value
    assert "as it was before" not in part(panel, "message_view").value
