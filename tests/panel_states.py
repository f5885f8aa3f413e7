"""A stand-in for the database behind a rollback panel, the states that the panel can be in, and what a person sees
of it."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import ipywidgets as widgets
from panel_parts import walk

import migrollback_nb as mr
from migrollback_nb.core.results import ChainResult, CheckResult, Notice, Preview, Rehearsal, RollbackResult, Target
from migrollback_nb.core.results.archives import Conflict, RestoredTable, RestoreResult
from migrollback_nb.core.results.assessment import Assessment, Effect
from migrollback_nb.core.results.rehearsal import Broken, Failure, RowLoss
from migrollback_nb.core.results.schema import SchemaChange, SchemaDiff
from migrollback_nb.core.results.verification import Verification
from migrollback_nb.panels import RollbackPanel
from migrollback_nb.panels.name_list import NameList
from migrollback_nb.panels.restoring import Restoring
from migrollback_nb.panels.standing import RehearsalCancelled

HOSTILE = "1_</pre><script>alert(1)</script><img src=x onerror=\"alert('2')\">\u202e\x1b[31m&amp;"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
TAGS = {
    "div",
    "details",
    "summary",
    "thead",
    "ol",
    "section",
    "span",
    "pre",
    "table",
    "tbody",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "b",
    "code",
    "progress",
    "p",
}
ATTRIBUTES = {"style", "open", "role", "aria-label", "aria-level", "tabindex", "scope", "class"}

TARGET = Target(host="db.example", port=5432, database="shop", user="dba", server_version="18.6", schema="public")


def row(name: str, *, reason: str | None = None) -> dict[str, Any]:
    return {"migration_name": name, "can_rollback": reason is None, "blocking_reason": reason}


def preview_of(*names: str, target: Target = TARGET) -> Preview:
    checks = tuple(
        CheckResult(migration_name=name, can_rollback=True, reason="Migration can be safely rolled back")
        for name in names
    )
    return Preview(
        steps=tuple((name, f"DROP TABLE t_{name};") for name in names),
        checks=checks,
        fingerprint="f" * 64,
        target=target,
    )


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
    """As much of a `Migrations` as the panel uses. `gate` holds a rollback up;
    `fail` is raised by whatever is asked next."""

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
            connection=SimpleNamespace(closed=False, info=SimpleNamespace(parameter_status={}.get)),
            session=SimpleNamespace(notices=(), cancelled=False, cancel=self._cancel, reconnect=self._reconnect),
            queries=SimpleNamespace(unfinished=tuple, failed=tuple),
        )

    def look_up_target(self) -> Target:
        return self.target

    def _answer(self, call: Any, answer: Any) -> Any:
        self.calls.append(call)
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        return answer

    def list_rows(self, *, system: bool) -> list[dict[str, Any]]:
        assert not system
        return self._list()

    def _list(self) -> list[dict[str, Any]]:
        return self._answer("list", list(self.rows))

    def _cancel(self) -> None:
        self.cancelled += 1
        self.gate.set()

    def _reconnect(self) -> None:
        self.calls.append("reconnect")
        self.database.connection.closed = False

    def check(self, name: str) -> CheckResult:
        return self._answer(
            ("check", name),
            CheckResult(migration_name=name, can_rollback=True, reason="Migration can be safely rolled back"),
        )

    def preview(self, name: str, *, chain: bool) -> Preview:
        return self._answer(
            ("preview", name, chain),
            replace(preview_of(*(["2_b"] if chain and name == "1_a" else []), name), fingerprint=self.state * 64),
        )

    def rehearse(self, name: str, *, chain: bool, consent: bool, **_: Any) -> Rehearsal:
        return self._answer(
            ("rehearse", name, chain, consent),
            replace(rehearsal_of(*(["2_b"] if chain and name == "1_a" else []), name), fingerprint=self.state * 64),
        )

    def rollback(self, name: str, **arguments: Any) -> RollbackResult:
        assert callable(arguments.pop("progress"))
        assert self.gate.wait(10)
        result = RollbackResult(
            success=True,
            message="Migration rolled back successfully",
            sql_executed="DROP TABLE t;",
            migration_name=name,
        )
        return self._answer(("rollback", name, arguments), result)

    def rollbacks(self) -> list[Any]:
        return [call for call in self.calls if call[0] == "rollback"]


SHOWN = ("value", "disabled", "options", "description", "tooltip", "placeholder", "button_style")


def seen(panel: RollbackPanel) -> list[Any]:
    """All that a person can see or press."""
    return [
        (type(widget).__name__, {trait: getattr(widget, trait) for trait in SHOWN if hasattr(widget, trait)})
        for widget in walk(panel)
    ]


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
        texts += [label for label, _ in widget.options] if isinstance(widget, NameList) else []
        for text in texts:
            assert not UNSAFE.search(text), text
        assert not getattr(widget, "description_allow_html", False)
    assert not UNSAFE.search(repr(panel))


def attempt(name: str, **others: Any) -> dict[str, Any]:
    """A rollback whose end nobody recorded."""
    began = datetime(2025, 1, 20, 14, 30, tzinfo=UTC)
    return {
        "migration_name": name,
        "occurred_at": began,
        "database_user": "dba",
        "client": None,
        "reason": None,
        "completed": 0,
        "running": None,
    } | others


def failure_of(name: str, **others: Any) -> dict[str, Any]:
    """A migration whose rollback failed."""
    when = datetime(2025, 1, 20, 14, 30, tzinfo=UTC)
    return {"migration_name": name, "occurred_at": when, "message": "no such table", "sqlstate": "42P01"} | others


def deploys_of(*labels: str) -> tuple[dict[str, Any], ...]:
    """Rows of deploys with these labels, each of two migrations."""
    moment = datetime(2026, 11, 30, 12, tzinfo=UTC)
    return tuple(
        {"deploy_id": str(n), "label": label, "applied": ["2_b", "1_a"], "state": "applied", "started_at": moment}
        for n, label in enumerate(labels)
    )


LONG = "2_" + "very_long_" * 21 + "name_220"
LONG_SQL = "\n".join(f"DROP TABLE t{number} CASCADE;" for number in range(10_000))
IDLE: dict[str, Any] = {
    "target": TARGET,
    "migrations": (row("2_b"), row("1_a", reason="No rollback SQL defined for this migration")),
    "standing": "",
    "unfinished": (),
    "failed": (),
    "history": (),
    "deploys": (),
    "graph": None,
    "selected": None,
    "chain": False,
    "several": (),
    "deploy": "",
    "consent": False,
    "on_copy": False,
    "accepted": (),
    "archives": (),
    "archive": False,
    "restoring": Restoring(),
    "planned": (),
    "check_result": None,
    "preview_result": None,
    "rehearsal_result": None,
    "typed": "",
    "reason": "",
    "findings": "",
    "result": None,
    "error": None,
    "busy": "",
    "doing": "",
    "progress": "",
    "fraction": None,
    "hold": "",
}
CHOSEN = IDLE | {"selected": "2_b"}
PREVIEWED = CHOSEN | {"preview_result": preview_of("2_b")}
READY = PREVIEWED | {"typed": "2_b", "reason": "because"}
BLOCKED = CheckResult(
    migration_name="1_a",
    can_rollback=False,
    reason="Cannot rollback: other migrations depend on this one",
    dependent_migrations=("2_b",),
    warnings=("a", "b"),
)
DONE = RollbackResult(
    success=True,
    message="Migration rolled back successfully",
    sql_executed="DROP TABLE t;",
    migration_name="2_b",
    duration_ms=1.5,
    notices=(Notice(severity="NOTICE", message="gone", skipped=True),),
    warnings=("changed",),
)
CHANGED = SchemaDiff(
    changes=(
        SchemaChange(
            change="created",
            kind="table",
            identity=HOSTILE,
            old_definition=None,
            new_definition={"owner": HOSTILE},
        ),
    ),
    old="before it was applied",
    new="now",
)
RESTORED = Verification(
    verdict="restored",
    message="The schema is as it was before",
    changes=CHANGED,
    differences=SchemaDiff(changes=()),
    unexpected=SchemaDiff(changes=()),
)
DIFFERS = replace(RESTORED, verdict="differs", message="The schema differs", differences=CHANGED, unexpected=CHANGED)
HOSTILE_CHECK = CheckResult(
    migration_name=HOSTILE, can_rollback=False, reason=HOSTILE, dependent_migrations=(HOSTILE,), warnings=(HOSTILE,)
)
HOSTILE_PREVIEW = Preview(
    steps=((HOSTILE, HOSTILE),),
    checks=(replace(HOSTILE_CHECK, can_rollback=True),),
    fingerprint="f",
    target=replace(TARGET, host=HOSTILE, database=HOSTILE, user=HOSTILE, schema=HOSTILE),
)
REHEARSED = rehearsal_of("2_b")
REHEARSED_BADLY = replace(
    REHEARSED,
    success=False,
    message="It would fail",
    failure=Failure(
        migration_name="2_b",
        sqlstate="42P01",
        message="no such table",
        statement_number=1,
        statement="DROP TABLE u",
        position=3,
    ),
)
LOSS = RowLoss(relation="public.t", column=None, what="dropped", rows=7, exact=True)
LOSES = Effect(effect="loses_rows", identity="public.t", rows=7, detail="table dropped", known_by="rehearsal")
BREAKS = Effect(effect="breaks", identity=HOSTILE, detail=HOSTILE, known_by="rehearsal")
HARMFUL = replace(
    REHEARSED,
    assessment=Assessment(
        migration_name="2_b",
        verdict="loses",
        headline="Would succeed, and lose 7 rows of public.t",
        effects=(LOSES, BREAKS),
        known_by="rehearsal",
    ),
)
HOSTILE_REHEARSAL = replace(
    REHEARSED,
    message=HOSTILE,
    steps=((HOSTILE, HOSTILE),),
    where=HOSTILE,
    target=replace(TARGET, database=HOSTILE),
    rows=(replace(LOSS, relation=HOSTILE),),
    broken=(Broken(kind=HOSTILE, identity=HOSTILE, because=HOSTILE, certain=True, used_by=(HOSTILE,)),),
    remarks=(HOSTILE,),
    warnings=(HOSTILE,),
    replicas=(HOSTILE,),
    renamed=((HOSTILE, HOSTILE),),
    rewritten=(HOSTILE,),
    notices=(Notice(severity=HOSTILE, message=HOSTILE, skipped=True),),
)
HOSTILE_RESULT = replace(
    DONE,
    message=HOSTILE,
    sql_executed=HOSTILE,
    migration_name=HOSTILE,
    notices=(Notice(severity=HOSTILE, message=HOSTILE, skipped=False),),
    warnings=(HOSTILE,),
)
ARCHIVES = tuple(
    {
        "migration_name": name,
        "event": event,
        "direction": direction,
        "tables": [f"public.{name}"],
        "rows": 30,
        "bytes": 8192,
        "age": 4000,
        "complete": complete,
        "kept_at": datetime(2025, 1, 20, 14, 30, tzinfo=UTC),
        "restored_at": None,
    }
    for name, event, direction, complete in (
        ("2_b", 9, "rollback", True),
        (HOSTILE, 8, "apply", HOSTILE),
        ("1_a", 7, "apply", True),
    )
)
COMES_BACK = RestoreResult(
    migration_name="2_b",
    event=9,
    tables=(RestoredTable(table=HOSTILE, what="table dropped", restored=29, conflicts=1, triggers=(HOSTILE,)),),
    conflicts=(Conflict(table=HOSTILE, count=1, keys=(HOSTILE,)),),
    dry_run=True,
)
RESTORED_VALUES = replace(COMES_BACK, dry_run=False)
STATES: dict[str, dict[str, Any]] = {
    "archives": IDLE | {"archives": ARCHIVES},
    "an archive chosen": IDLE | {"archives": ARCHIVES, "restoring": Restoring(event=9, on_conflict="archive")},
    "an archive previewed": IDLE | {"archives": ARCHIVES, "restoring": Restoring(event=9, preview=COMES_BACK)},
    "an archive confirmed": (
        IDLE | {"archives": ARCHIVES, "restoring": Restoring(event=9, preview=COMES_BACK, typed="2_b")}
    ),
    "an archive restored": IDLE | {"archives": ARCHIVES, "restoring": Restoring(event=9, result=RESTORED_VALUES)},
    "restoring": (
        IDLE
        | {
            "archives": ARCHIVES,
            "restoring": Restoring(event=9, preview=COMES_BACK),
            "busy": "Putting back",
            "typed": "",
        }
    ),
    "kept, ready": READY | {"archive": True, "typed": "2_B"},
    "idle": IDLE,
    "empty": IDLE | {"migrations": ()},
    "broken off": IDLE | {"unfinished": (attempt("2_b"), attempt("1_a", completed=2), attempt("1_a", running=4711))},
    "hostile, broken off": IDLE | {"unfinished": (attempt(HOSTILE, client=HOSTILE, reason=HOSTILE),)},
    "not connected": (
        IDLE
        | {
            "target": None,
            "migrations": (),
            "error": mr.ConnectionFailed("No connection", hint="Check the server."),
        }
    ),
    "elsewhere": READY | {"target": replace(TARGET, database="other")},
    "chosen": CHOSEN,
    "chosen, not in the list": CHOSEN | {"selected": "9_gone"},
    "checked": (
        CHOSEN
        | {
            "check_result": CheckResult(
                migration_name="2_b", can_rollback=True, reason="Migration can be safely rolled back"
            )
        }
    ),
    "blocked": IDLE | {"selected": "1_a", "check_result": BLOCKED},
    "previewed": PREVIEWED,
    "range": IDLE | {"several": ("1_a", HOSTILE)},
    "previewed range": IDLE | {"several": ("1_a",), "preview_result": preview_of("2_b", "1_a"), "typed": "1_a"},
    "a deploy": IDLE
    | {
        "deploys": deploys_of("release-2", LONG, HOSTILE),
        "deploy": "release-2",
        "preview_result": replace(preview_of("2_b", "1_a"), deploy="release-2"),
    },
    "hostile deploy": IDLE | {"deploy": HOSTILE, "preview_result": replace(preview_of("1_a"), deploy=HOSTILE)},
    "previewed chain": IDLE | {"selected": "1_a", "chain": True, "preview_result": preview_of("2_b", "1_a")},
    "rehearsed": CHOSEN | {"rehearsal_result": REHEARSED},
    "rehearsed, previewed": PREVIEWED | {"rehearsal_result": replace(REHEARSED, rows=(LOSS,)), "consent": True},
    "rehearsed, failed": PREVIEWED | {"rehearsal_result": REHEARSED_BADLY},
    "hostile rehearsal": PREVIEWED | {"rehearsal_result": HOSTILE_REHEARSAL},
    "mistyped": PREVIEWED | {"typed": "2_B", "reason": "because"},
    "ready": READY,
    "running": READY | {"busy": "Rolling back 2_b", "progress": "7 s"},
    "running, statement by statement": (
        READY | {"busy": "Rolling back 2_b", "progress": "statement 2 of 4: DROP TABLE t; 7 s", "fraction": 0.25}
    ),
    "refused": (
        CHOSEN
        | {
            "reason": "because",
            "error": mr.Refused("Something has changed since the preview: look at a new one first"),
        }
    ),
    "failed": (
        CHOSEN
        | {
            "error": mr.RollbackFailed(
                "Rollback failed",
                migration_name="2_b",
                sqlstate="42P01",
                statement_number=1,
                statement="DROP TABLE u;",
                hint="Mend it.",
            )
        }
    ),
    "lock": CHOSEN | {"error": mr.LockBusy("canceling statement due to lock timeout", sqlstate="55P03")},
    "failed before": (
        IDLE | {"failed": (failure_of("2_b"), failure_of("1_a", occurred_at=None, message=None, sqlstate=None))}
    ),
    "failed, to be resolved": (
        CHOSEN
        | {
            "failed": (failure_of("2_b"),),
            "findings": "put right by hand",
            "error": mr.RollbackFailed("Rollback failed", migration_name="2_b", sqlstate="42P01", hint="Type this."),
        }
    ),
    "hostile failure before": IDLE | {"failed": (failure_of(HOSTILE, message=HOSTILE, sqlstate=HOSTILE),)},
    "not installed": IDLE | {"error": mr.NotInstalled("The rollback system is not installed in shop", hint=HOSTILE)},
    "older system": IDLE | {"error": mr.OlderSystem("It is older"), "target": replace(TARGET, database=HOSTILE)},
    "read only": CHOSEN | {"standing": "read only"},
    "connection lost": CHOSEN | {"standing": "lost", "error": mr.ConnectionFailed("The connection was lost")},
    "harmful": READY | {"rehearsal_result": HARMFUL},
    "harmful, in part accepted": READY | {"rehearsal_result": HARMFUL, "accepted": ("loses_rows",)},
    "harmful, accepted": READY | {"rehearsal_result": HARMFUL, "accepted": ("loses_rows", "breaks")},
    "rehearsal cancelled": PREVIEWED | {"error": RehearsalCancelled("2_b")},
    "rehearsing": PREVIEWED | {"busy": "Rehearsing 2_b", "doing": "rehearse", "progress": "1 s"},
    "rolling back": READY | {"busy": "Rolling back 2_b", "doing": "rollback", "progress": "7 s", "fraction": 0.5},
    "cancelled": (
        CHOSEN | {"error": mr.RollbackFailed("Rollback failed", migration_name="2_b", sqlstate="57014", passing=True)}
    ),
    "bug": CHOSEN | {"error": ZeroDivisionError("division by zero")},
    "done": IDLE | {"result": DONE},
    "done, nothing changed": IDLE | {"result": replace(DONE, unchanged=True)},
    "done, restored": IDLE | {"result": replace(DONE, verification=RESTORED)},
    "done, differs": IDLE | {"result": replace(DONE, verification=DIFFERS)},
    "hostile verification": (
        IDLE
        | {
            "result": ChainResult(
                results=(DONE, DONE), verification=replace(DIFFERS, message=HOSTILE), warnings=(HOSTILE,)
            )
        }
    ),
    "done, chain": IDLE | {"result": ChainResult(results=(DONE, replace(DONE, migration_name="1_a")))},
    "hostile": (
        IDLE
        | {
            "migrations": (row(HOSTILE, reason=HOSTILE),),
            "selected": HOSTILE,
            "check_result": HOSTILE_CHECK,
            "preview_result": HOSTILE_PREVIEW,
            "target": HOSTILE_PREVIEW.target,
        }
    ),
    "hostile running": (
        IDLE
        | {
            "selected": HOSTILE,
            "busy": f"Rolling back {HOSTILE}",
            "progress": HOSTILE,
            "error": mr.Refused(HOSTILE, dependents=(HOSTILE,), hint=HOSTILE),
        }
    ),
    "hostile failure": (
        IDLE
        | {
            "error": mr.RollbackFailed(
                HOSTILE,
                migration_name=HOSTILE,
                statement_number=1,
                statement=HOSTILE,
                detail=HOSTILE,
                hint=HOSTILE,
                sqlstate="P0001",
            )
        }
    ),
    "hostile bug": IDLE | {"error": ValueError(HOSTILE)},
    "hostile done": IDLE | {"result": HOSTILE_RESULT},
    "hostile done, chain": IDLE | {"result": ChainResult(results=(HOSTILE_RESULT, HOSTILE_RESULT))},
}
#: What is large: built alone, since each pair of states is tried.
LARGE: dict[str, dict[str, Any]] = {
    "long SQL": CHOSEN | {"preview_result": replace(PREVIEWED["preview_result"], steps=(("2_b", LONG_SQL),))},
    "long name": IDLE | {"selected": LONG, "migrations": (row(LONG),), "preview_result": preview_of(LONG)},
    "three hundred effects": PREVIEWED
    | {
        "rehearsal_result": replace(
            HARMFUL,
            assessment=replace(
                HARMFUL.assessment, effects=tuple(replace(LOSES, identity=f"public.t{place}") for place in range(300))
            ),
        )
    },
}
