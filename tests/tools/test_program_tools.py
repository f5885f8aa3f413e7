"""Beside real tools whose migrations are programs: what they applied is registered, what is rolled back they apply
again, and their own status agrees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from program_tools import TOOLS, ProgramTool
from watching import exists

import migrollback_nb as mr


def made(kind: type[ProgramTool], root: Path, dsn: str) -> ProgramTool:
    if not os.environ.get("REQUIRE_DEPLOY_TOOLS") and (lacks := ProgramTool.lacks(kind.program)) is not None:
        pytest.skip(lacks)
    return kind(root, dsn)


@pytest.fixture(params=TOOLS, ids=lambda kind: kind.program)
def tool(request: pytest.FixtureRequest, tmp_path: Path, database_dsn: str) -> ProgramTool:
    return made(request.param, tmp_path, database_dsn)


@pytest.fixture
def beside(tool: ProgramTool, database_dsn: str) -> Iterator[mr.Migrations]:
    """The migrations of the tool's folder."""
    with mr.connect(database_dsn, dir=tool.folder, rollbacks=tool.rollbacks) as migrations:
        yield migrations


@pytest.mark.long
def test_what_is_rolled_back_the_tool_calls_pending_and_applies_again(tool, beside, session):
    first = tool.write(0)
    tool.up()
    second = tool.write(1)
    found = beside.sync()
    assert [one.migration_name for one in found.registered] == [first]
    assert (found.not_applied, found.failed) == ((second,), ())
    tool.up()
    assert [one.migration_name for one in beside.sync().registered] == [second]
    assert beside.check(second).can_rollback
    assert beside.check(second).warnings == ()
    assert beside.rollback(second, confirm=second).success
    assert (exists(session(), "a"), exists(session(), "b")) == (True, False)
    assert tool.applied() == [first]
    assert beside.sync().applied_again == ()
    tool.up()
    assert exists(session(), "b")
    assert beside.sync().applied_again == (second,)
    assert tool.applied() == [first, second]
    done = beside.rollback(first, confirm=first, chain=True) if tool.program in ("alembic", "django-admin") else None
    if done is not None:
        assert done.success
        assert tool.applied() == []
        tool.up()
        assert tool.applied() == [first, second]
