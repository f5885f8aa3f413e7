"""The traits that are the state of panels, and what each of them is. Nothing else."""

from __future__ import annotations

import traitlets

from migrollback_nb.core.results import ChainResult, CheckResult, Preview, Rehearsal, RollbackResult, Target
from migrollback_nb.display.graph.facts import GraphFacts
from migrollback_nb.panels.restoring import Restoring

#: Traits that are the state, in the order in which `update` sets them: a new choice forgets what was found for the one
#: before.
STATE = (
    "target", "standing", "migrations", "unfinished", "failed",
    "history", "deploys", "graph", "selected", "chain", "several", "deploy",
    "consent", "on_copy",
    "check_result", "preview_result", "rehearsal_result", "accepted", "typed", "reason", "findings",
    "archives", "archive", "restoring",
    "planned", "result", "error", "busy", "doing", "progress", "fraction", "hold",
)  # fmt: skip


class State(traitlets.HasTraits):
    """The traits that every panel has.

    Attributes
    ----------
    target : Target or None
        Where all this happens; None while it is not known.
    migrations : tuple of dict
        What is applied: rows of ``db.database.queries.list_rollbackable()``.
    unfinished : tuple of dict
        Rollbacks that were begun and whose end is not recorded: rows of ``db.database.queries.unfinished()``.
    standing : {'', 'read only', 'lost'}
        What of the connection is not as usual: nothing, its session may only read, it was lost.
    failed : tuple of dict
        Migrations whose rollback failed, which a person has to resolve: rows of ``db.database.queries.failed()``.
    history : tuple of dict
        All that is registered; read only for the panels that show it.
    deploys : tuple of dict
        What brought them, newest first; read only for the panels that show it.
    graph : GraphFacts or None
        What depends on what, and what each touched; read only for the panels that show it.
    selected : str or None
        The chosen migration. A new choice forgets `chain`, the check, the preview, the rehearsal, the typed name and
        the result.
    chain : bool
        Whether all that depend on it are rolled back with it. A change forgets what a new choice does.
    several : tuple of str
        Instead of `selected`: selectors, as the names of a range. They are rolled back together, with all that depend
        on them. A choice of one forgets it, and a change of it forgets what a new choice does.
    deploy : str
        Instead of `selected`: the label of a deploy, for exactly what it brought. Forgotten as `several` is.
    consent : bool
        Whether it is rehearsed also when undoing does not undo all of it.
    on_copy : bool
        Whether it is rehearsed on a copy of the schema, where no one waits. A preview sets it where others would wait
        for longer than `Timeouts.max_stall`.
    check_result, preview_result, rehearsal_result : CheckResult, Preview, Rehearsal or None
        What was found out about the choice.
    accepted : tuple of str
        Which of the `harms` the person accepts, by their kinds. A change of the choice forgets it.
    typed, reason : str
        What the person has written to confirm a rollback.
    findings : str
        What the person has found and done where a rollback failed.
    archives : tuple of dict
        What is kept of destroyed values: rows of ``db.archive_rows()``; read only for the panels that show it.
    archive : bool
        Whether the rollback keeps what it destroys itself. Forgotten with the choice.
    restoring : Restoring
        Which archive is chosen to be put back, and what is known of it.
    planned : tuple of CardStep
        What was known of each of several when their rollback began.
    result : RollbackResult, ChainResult or None
        How the last rollback ended.
    error : BaseException or None
        Why the last click did not do what it says.
    busy : str
        What is running, in words; empty when nothing is.
    doing : str
        Which of the steps that is: check, preview, rehearse, rollback, or empty for anything else.
    progress : str
        How far that is, as far as known: which statement runs, for how long, and what the server has said.
    fraction : float or None
        How much of the SQL has run, by the number of statements, from 0 to 1; None while that is not known.
    hold : str
        What must still happen elsewhere before a rollback can run, in words: a checklist's open items. Empty when
        nothing must.
    """

    target = traitlets.Instance(Target, allow_none=True)
    standing = traitlets.Unicode("")
    migrations = traitlets.Tuple()
    unfinished = traitlets.Tuple()
    failed = traitlets.Tuple()
    history = traitlets.Tuple()
    deploys = traitlets.Tuple()
    graph = traitlets.Instance(GraphFacts, allow_none=True)
    selected = traitlets.Unicode(None, allow_none=True)
    chain = traitlets.Bool(default_value=False)
    several = traitlets.Tuple()
    deploy = traitlets.Unicode("")
    consent = traitlets.Bool(default_value=False)
    on_copy = traitlets.Bool(default_value=False)
    check_result = traitlets.Instance(CheckResult, allow_none=True)
    preview_result = traitlets.Instance(Preview, allow_none=True)
    rehearsal_result = traitlets.Instance(Rehearsal, allow_none=True)
    accepted = traitlets.Tuple()
    typed = traitlets.Unicode("")
    reason = traitlets.Unicode("")
    findings = traitlets.Unicode("")
    archives = traitlets.Tuple()
    archive = traitlets.Bool(default_value=False)
    restoring = traitlets.Instance(Restoring, args=())
    planned = traitlets.Tuple()
    result = traitlets.Union(
        [traitlets.Instance(RollbackResult), traitlets.Instance(ChainResult)], allow_none=True, default_value=None
    )
    error = traitlets.Instance(BaseException, allow_none=True)
    busy = traitlets.Unicode("")
    doing = traitlets.Unicode("")
    progress = traitlets.Unicode("")
    fraction = traitlets.Float(None, allow_none=True)
    hold = traitlets.Unicode("")
