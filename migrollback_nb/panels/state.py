"""The state that panels share: one choice on one connection, its results, and the work in threads. No SQL, no view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from migrollback_nb.core.errors import DatabaseError, MigrollbackError, Refused, UsageError
from migrollback_nb.core.production import Rule, is_production
from migrollback_nb.core.results import (
    NothingToRollBack,
    Preview,
    Target,
)
from migrollback_nb.core.results.assessment import LOSSES
from migrollback_nb.core.results.verdict_cards import best_card
from migrollback_nb.database.settings import milliseconds
from migrollback_nb.panels.restoring import Restores, Restoring
from migrollback_nb.panels.standing import RehearsalCancelled, StillThere, standing_of, was_cancelled
from migrollback_nb.panels.state_traits import STATE, State
from migrollback_nb.panels.worker import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from migrollback_nb.core.results import Approvals, Assessment
    from migrollback_nb.core.results.card import CardLine, VerdictCard
    from migrollback_nb.migrations import Migrations

__all__ = ["LOCK", "STATE", "SharedState", "State"]


class SharedState(Restores, State):
    """One choice on one connection, for several panels. Writes by `rollback` and `restore`; an event by `rehearse`.

    What takes time runs in a thread, one thing at a time. A lost connection is opened again by the next action.

    Parameters
    ----------
    db : Migrations
        The connection. It is borrowed: it is not closed here.
    production : str, iterable of str or callable, optional
        Which targets are production; see `migrollback_nb.core.production.is_production`.
    system : bool
        True: the rollback system's own migration is shown too.
    **state : Any
        First values of the traits.
    """

    #: How many times several traits were set at once; views draw when it changes.
    updates = traitlets.Int(0)

    def __init__(self, db: Migrations, *, production: Rule | None = None, system: bool = False, **state: Any) -> None:
        self.db = db
        self.system = system
        self._updating = 0
        self._rule = production
        self._reads: set[str] = set()
        self._given = set(state)
        super().__init__(**state)
        self.observe(self._forget, names=["selected", "chain", "several", "deploy"])

    @property
    def production(self) -> bool:
        """Whether the target is production: marked so, or by the user's rule."""
        return self.target is not None and is_production(self.target, self._rule)

    # -- state -----------------------------------------------------------------------------------------------------

    def update(self, **state: Any) -> None:
        """Set several traits of the state at once, the choice first. Does not write to the database."""
        with LOCK:
            if unknown := set(state) - set(STATE):
                raise TypeError(f"no such state: {', '.join(sorted(unknown))}")
            self._updating += 1
            try:
                for name in STATE:
                    if name in state:
                        setattr(self, name, state[name])
            finally:
                self._updating -= 1
            if not self._updating:
                self.updates += 1

    @property
    def updating(self) -> bool:
        """Whether more of the state is about to be set: not yet the moment to draw it."""
        return self._updating > 0

    def _forget(self, change: Mapping[str, Any]) -> None:
        name, new = change["name"], change["new"]
        self.update(
            # asked for the one before, not for this one
            **{"chain": False} if name == "selected" else {},
            # one choice at a time: a migration, several, or a deploy
            **{"selected": None} if name in ("several", "deploy") and new else {},
            **{"several": ()} if name in ("selected", "deploy") and new else {},
            **{"deploy": ""} if name in ("selected", "several") and new else {},
            consent=False,
            on_copy=False,
            check_result=None,
            preview_result=None,
            rehearsal_result=None,
            accepted=(),
            archive=False,
            planned=(),
            typed="",
            result=None,
            error=None,
        )

    @property
    def together(self) -> dict[str, Any]:
        """What is rolled back together, as `Migrations.rollback` takes it; empty where one migration is chosen."""
        return {"deploy": self.deploy} if self.deploy else {"select": self.several} if self.several else {}

    @property
    def chosen(self) -> str:
        """What is chosen, in words; empty while nothing is."""
        if self.deploy:
            return f"deploy {self.deploy}"
        if len(self.several) > 1:
            return f"{len(self.several):,} migrations"
        return str(self.several[0]) if self.several else self.selected or ""

    @property
    def confirm(self) -> str | None:
        """What is to be typed before the choice is rolled back; None before a preview."""
        return self.preview_result.confirm if self.preview_result is not None else self.selected

    @property
    def previewed(self) -> bool:
        """Whether `preview_result` is of the present choice, here."""
        preview = self.preview_result
        return (
            preview is not None
            and preview.target == self.target
            and (
                bool(self.together)
                or (preview.migration_name == self.selected and (len(preview.steps) == 1 or bool(self.chain)))
            )
        )

    @property
    def missing(self) -> str:
        """What is still missing before a rollback can be run, in words; empty when nothing is."""
        if self.busy:
            return str(self.busy)
        if not self.chosen:
            return "Choose a migration"
        if self.hold:
            return str(self.hold)
        if not self.previewed:
            return "Look at a preview first"
        if (rest := len({line.harm for line in self.harms} - set(self.accepted))) > 0:
            return f"Tick what you accept: {rest} more"
        return self._not_confirmed

    @property
    def _not_confirmed(self) -> str:
        """What is missing of what people say to it: approvals, the typed name, a reason."""
        if (needed := self.approvals) is not None and not needed.satisfied:
            return f"It {needed.words}"
        if self.typed != self.confirm:
            return f"Type the {'deploy' if self.deploy else 'migration'}'s name exactly"
        return "" if self.reason.strip() else "Give a reason: it goes into the audit log"

    @property
    def assessment(self) -> Assessment | None:
        """What is known of the choice: from its rehearsal, else its preview, else its check."""
        for found in (self.rehearsal_result, self.preview_result, self.check_result):
            if found is not None and found.assessment is not None:
                known: Assessment = found.assessment
                return known
        return None

    @property
    def approvals(self) -> Approvals | None:
        """What policies ask for of what was previewed; None where none applies."""
        known = None if self.preview_result is None else self.preview_result.assessment
        return None if known is None else known.approvals

    @property
    def card(self) -> VerdictCard | None:
        """What is known of the choice, on one card: of its rehearsal, else its preview, else its check."""
        return best_card(self.check_result, self.preview_result, self.rehearsal_result)

    @property
    def harms(self) -> tuple[CardLine, ...]:
        """What has to be accepted before a rollback can be run, a tick each."""
        return () if (card := self.card) is None else card.harms

    # -- actions -----------------------------------------------------------------------------------------------------

    def open(self, reads: Iterable[str], *, quietly: bool = False) -> None:
        """Read what a panel shows, unless that is known; `quietly`: or do without. Does not write."""
        lacking = set(reads) - self._reads
        self._reads |= lacking
        if wanted := lacking - self._given:
            try:
                self.update(**self._read(lambda: self._found(wanted)), standing=standing_of(self.db))
            except Exception as error:  # noqa: BLE001  # shown in the panel, as that of any click; Refresh tries again
                if quietly:  # a role may be allowed the list and not this
                    self._reads -= lacking
                    return
                self.update(error=error, target=self.target or self.db.target, standing=standing_of(self.db))

    def refresh(self) -> None:
        """Refresh what is registered. Does not write."""
        self.start("Reading the list of migrations", lambda: self._read(self._found))

    def install(self) -> None:
        """Install the rollback system, or bring it up to date. Writes its tables and functions."""

        def work() -> dict[str, Any]:
            self._connected()
            self.db.install()
            return self._read(self._found)

        self.start("Installing the rollback system", work)

    def resolve(self, name: str, status: str, *, force: bool = False) -> None:
        """Record how a failed migration stands, and the `findings`. Writes the history; runs no SQL of it.

        `force`: as rolled back although something that it created still stands.
        """
        if not (findings := self.findings.strip()):
            raise UsageError("Say what was found and done: it goes into the audit log")

        def work() -> dict[str, Any]:
            self._connected()
            try:
                self.db.resolve(name, status=status, reason=findings, force=force)
            except Refused as refused:
                # dependents are named in a field of their own; what is left is what still stands
                if status == "rolled_back" and not refused.dependents:
                    raise StillThere(refused) from refused
                raise
            return {"findings": "", **self._read(self._found)}

        self.start(f"Resolving {name} as {status.replace('_', ' ')}", work, doing="resolve")

    def check(self) -> None:
        """Find out whether the choice may be rolled back; `check_result` has the answer. Does not write.

        Of several together it is their preview that says so: a verdict for each.
        """
        if self.together:
            self._look_at("Checking", doing="check")
            return
        name = self._chosen()
        self.start(
            "Checking", lambda: self._read(lambda: {"check_result": self.db.check(name), "result": None}), doing="check"
        )

    def preview(self) -> None:
        """Find out what a rollback of the choice would run; `preview_result` has it. Does not write."""
        self._look_at("Preparing the preview", doing="preview")

    def _look_at(self, words: str, *, doing: str) -> None:
        choice = self._choice()
        self.update(preview_result=None, rehearsal_result=None, accepted=(), typed="", result=None)
        self.start(words, lambda: self._read(lambda: self._look(choice)), doing=doing)

    def _look(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        preview = self.db.preview(**choice)
        if isinstance(preview, NothingToRollBack):
            return {"error": UsageError(preview.message)}
        return {"check_result": None, "preview_result": preview, "on_copy": self.would_stall(preview)}

    def would_stall(self, preview: Preview | None) -> bool:
        """Whether a rehearsal on the target itself would make others wait for too long. Does not write."""
        if preview is None or preview.foreseen is None:
            return False
        bound = self.db.database.session.timeouts.max_stall
        return preview.foreseen.stalls(milliseconds(bound, option="max_stall") or None)

    def rehearse(self) -> None:
        """Run the rollback of the choice and undo it; `rehearsal_result` has the report. Writes one event only.

        Without a preview it looks at one first: where others would wait for too long, it runs on a copy.
        """
        choice, consent = self._choice(), self.consent
        self.update(rehearsal_result=None, accepted=(), result=None)

        def work() -> dict[str, Any]:
            target = self._connected()
            if self.preview_result is None:
                found = self._look(choice)
                if "error" in found:
                    return found
                self.update(**found)
            on = "scratch" if self.on_copy else None
            try:
                rehearsed = self.db.rehearse(**choice, consent=consent, on=on, progress=self._report)
            except DatabaseError as error:
                if was_cancelled(self.db, error.sqlstate):
                    return {"error": RehearsalCancelled(self.chosen)}
                raise
            if isinstance(rehearsed, NothingToRollBack):
                return {"error": UsageError(rehearsed.message)}
            if rehearsed.failure is not None and was_cancelled(self.db, rehearsed.failure.sqlstate):
                return {"error": RehearsalCancelled(self.chosen)}
            state: dict[str, Any] = {"target": target, "rehearsal_result": rehearsed}
            preview = self.preview_result
            if preview is not None and preview.fingerprint != rehearsed.fingerprint:
                state |= {
                    "preview_result": None,
                    "typed": "",
                    "error": Refused(
                        "Something has changed since the preview: look at a new one",
                        migration_name=rehearsed.migration_name,
                    ),
                }
            return state

        self.start(f"Rehearsing {self.chosen}", work, doing="rehearse")

    def rollback(self) -> None:
        """Roll the choice back as previewed. Writes; only when nothing is `missing`.

        Raises
        ------
        UsageError
            When something is missing.
        """
        preview = self.preview_result
        if self.missing or preview is None:
            raise UsageError(f"Not yet: {self.missing}")
        choice, typed, reason = self._choice(), self.typed, self.reason.strip()
        kept: dict[str, Any] = {"archive": True} if self.archive else {}  # else as the database's setting says
        card = self.card
        planned = () if card is None else card.steps
        # all of it has been accepted: nothing is missing
        accepted = any(line.harm in LOSSES for line in self.harms)

        def work() -> dict[str, Any]:
            # whatever comes of it, the next try begins with a new look
            state: dict[str, Any] = {
                "check_result": None,
                "preview_result": None,
                "rehearsal_result": None,
                "typed": "",
                "accepted": (),
                "planned": planned,
                "restoring": Restoring(),
            }
            try:
                if self._connected() != preview.target:
                    raise Refused(  # noqa: TRY301  # handled as a refusal by the database
                        "The connection leads to another database than the preview's",
                        migration_name=preview.migration_name,
                    )
                result = self.db.rollback(
                    **choice,
                    confirm=typed,
                    reason=reason,
                    preview=preview,
                    accept_loss=accepted,
                    progress=self._report,
                    **kept,
                )
                if isinstance(result, NothingToRollBack):  # another session was faster
                    state["error"] = UsageError(result.message)
                else:
                    state |= {"result": result, "reason": ""}
            except BaseException as error:  # noqa: BLE001  # nothing above a thread would show it
                state["error"] = error
            try:
                state |= self._read(self._found)
            except BaseException as error:  # noqa: BLE001  # must not hide how the rollback ended
                state.setdefault("error", error)
            if state.get("result") is not None:
                state |= {"selected": None, "several": (), "deploy": ""}
            return state

        count = len(preview.steps)
        self.start(
            (
                f"Rolling back {preview.migration_name}"
                if count == 1
                else f"Rolling back {count} migrations in one transaction, {preview.migration_name} the last"
            ),
            work,
            doing="rollback",
        )

    # -- work, off the kernel's thread -----------------------------------------------------------------------------

    def _chosen(self) -> str:
        if self.selected is None:
            raise UsageError("Choose a migration first")
        return str(self.selected)

    def _choice(self) -> dict[str, Any]:
        """The choice, as what rolls back takes it."""
        return self.together or {"name": self._chosen(), "chain": self.chain}

    def _connected(self) -> Target:
        """Open the connection again if it was lost. Returns where it leads."""
        if self.db.database.connection.closed:
            self.db.database.session.reconnect()
        return self.db.target

    def _read(self, question: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Query, twice when the connection was lost; adds the target and whether it is production. Does not write."""
        self._connected()
        try:
            return {**question(), "target": self.db.look_up_target()}
        except MigrollbackError:
            if not self.db.database.connection.closed:
                raise
            self._connected()
            return {**question(), "target": self.db.look_up_target()}

    def _found(self, reads: Collection[str] | None = None) -> dict[str, Any]:
        reads = self._reads if reads is None else reads
        found: dict[str, Any] = {}
        if "migrations" in reads:
            found["migrations"] = tuple(self.db.list_rows(system=self.system))
            found["unfinished"] = tuple(self.db.database.queries.unfinished())
            found["failed"] = tuple(self.db.database.queries.failed())
        if "history" in reads:
            found["history"] = tuple(self.db.registered_rows(system=self.system))
        if "deploys" in reads:
            found["deploys"] = tuple(self.db.deploy_rows())
        if "archives" in reads:
            found |= self._archives()
        if "graph" in reads:
            from migrollback_nb.operations.graph_facts import graph_facts

            found["graph"] = graph_facts(self.db.database, edges="recorded", objects=True)
        known = (found.get(what, getattr(self, what)) for what in ("migrations", "history"))
        names = {row["migration_name"] for rows in known for row in rows}
        graph = found.get("graph", self.graph)
        names |= set() if graph is None else set(graph.graph.names)
        return {**found, "selected": self.selected if self.selected in names else None}
