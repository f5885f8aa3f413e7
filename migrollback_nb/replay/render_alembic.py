"""Revisions of Alembic -> their SQL, as `alembic upgrade --sql` and `downgrade --sql` print it. Runs Alembic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.files.formats.alembic_sql import of_migration, sections
from migrollback_nb.files.formats.revisions import revision_of
from migrollback_nb.replay import tool_runs
from migrollback_nb.replay.rendered import NOTHING, Rendered

if TYPE_CHECKING:
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.formats.program import ProgramFile

_LONGEST = 600.0


def render_revisions(
    folder: MigrationFolder, files: Sequence[ProgramFile], command: Sequence[str], progress: Progress | None
) -> Mapping[str, Rendered]:
    """What Alembic prints for each revision, in both directions. Runs Alembic, without a database."""
    words = tuple(command) or (tool_runs.found("alembic"),)
    root = tool_runs.root_of(folder.path, "alembic.ini")
    lineage = {file.version: file.before[file.version] for file in files}
    down = {file.version: file.before[file.version][:1] for file in files}
    asking = _Asking(words, root, lineage, progress)
    order = [file.version for file in files]
    ups = asking.both("upgrade", "base:heads", order, lambda r: f"{r}:heads", lambda r: f"{_one(down[r])}:{r}")
    downs = asking.both(
        "downgrade",
        "heads:base",
        list(reversed(order)),
        lambda r: f"{_one(down[r])}:base" if down[r] else None,
        lambda r: f"{r}:{_one(down[r])}",
    )
    made = {}
    for file in files:
        up, down_ = ups[file.version], downs[file.version]
        revision = revision_of(Path(file.path))
        reason = _Asking.why(down_)
        if revision is not None and revision.is_empty:
            down_, reason = (NOTHING, None), None
        elif reason is None and not (down_[0] or "").strip():
            reason = "its downgrade does nothing that Alembic writes out"
        made[file.name] = Rendered(
            up=up[0],
            rollback=None if reason is not None else down_[0],
            reason=reason,
            by="Rendered by alembic upgrade --sql and alembic downgrade --sql",
            remarks=() if up[0] is not None else (f"its upgrade cannot be rendered: {up[1]}",),
        )
    return made


def _one(down: Sequence[str]) -> str:
    return down[0] if down else "base"


class _Asking:
    """Calls Alembic until each revision is rendered, or it is known why not."""

    def __init__(
        self, words: Sequence[str], root: Path, known: Mapping[str, object], progress: Progress | None
    ) -> None:
        self._words = words
        self._root = root
        self._known = known
        self._progress = progress

    def both(
        self,
        way: str,
        all_of_them: str,
        order: Sequence[str],
        beyond: Callable[[str], str | None],
        alone: Callable[[str], str],
    ) -> dict[str, tuple[str | None, str | None]]:
        """Revision -> (its SQL, why there is none): all in one call, and after one that fails the others."""
        found: dict[str, tuple[str | None, str | None]] = {}
        span: str | None = all_of_them
        while span is not None and len(found) < len(order):
            failed = self._ask(way, span, found, first=span == all_of_them)
            span = beyond(failed) if failed is not None else None
        for revision in order:
            if revision not in found:  # of a branch that was not gone through
                self._ask(way, alone(revision), found, only=revision)
            found.setdefault(revision, (None, f"alembic {way} {alone(revision)} --sql prints nothing for it"))
        return found

    def _ask(
        self,
        way: str,
        span: str,
        found: dict[str, tuple[str | None, str | None]],
        *,
        first: bool = False,
        only: str | None = None,
    ) -> str | None:
        """Add what one call prints; the revision at which it failed, None where it did not, or not at a new one."""
        run = tool_runs.run([*self._words, way, span, "--sql"], cwd=self._root, timeout=_LONGEST)
        parts = list(sections(run.out))
        if run.status != 0 and not parts and first:
            raise UsageError(
                f"alembic {way} {span} --sql fails: {run.trouble}",
                hint="It has to run offline: see context.is_offline_mode() in env.py. Say how it is called after --.",
            )
        failed = parts.pop()[0] if run.status != 0 and parts else None
        for revision, text in parts:
            if revision not in found and only in (None, revision):
                found[revision] = (of_migration(text, self._known), None)
                if self._progress is not None:
                    self._progress(len(found), len(self._known), revision)
        if failed is None or failed in found:
            if only is not None and run.status != 0:
                found.setdefault(only, (None, run.trouble))
            return None
        found[failed] = (None, run.trouble)
        return failed

    @staticmethod
    def why(answer: tuple[str | None, str | None]) -> str | None:
        """Why there is no SQL; None where there is."""
        return None if answer[0] is not None else answer[1] or "it is not known why"
