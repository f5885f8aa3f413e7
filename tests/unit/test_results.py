"""Results show as text, HTML and JSON from one object, escape what they show, and cannot contradict themselves."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest

import migrollback_nb as mr
from migrollback_nb.core import results
from migrollback_nb.database.system_files import system_text

EVIL = '<script>alert("1")</script>'
TARGET = mr.Target(host=EVIL, port=5432, database=EVIL, user=EVIL, server_version="18.6", schema=EVIL)
CHECK = mr.CheckResult(
    migration_name=EVIL, can_rollback=False, reason=EVIL, dependent_migrations=(EVIL,), warnings=(EVIL,)
)
DIFF = mr.SchemaDiff(
    changes=tuple(
        results.SchemaChange(change=change, kind=EVIL, identity=EVIL, old_definition=old, new_definition=new)
        for change, old, new in (
            ("created", None, {EVIL: EVIL}),
            ("changed", {"a": EVIL}, {"a": [EVIL]}),
            ("dropped", {"a": 1}, None),
        )
    ),
    old=EVIL,
    new=EVIL,
)
VERIFIED = mr.Verification(verdict="differs", message=EVIL, changes=DIFF, differences=DIFF, unexpected=DIFF)
DONE = mr.RollbackResult(
    success=True,
    message=EVIL,
    sql_executed=EVIL,
    migration_name=EVIL,
    notices=(results.Notice(severity=EVIL, message=EVIL, skipped=True),),
    warnings=(EVIL,),
    duration_ms=1.5,
    verification=VERIFIED,
)
REGISTERED = mr.RegisterResult(migration_name=EVIL, outcome=EVIL, has_rollback_sql=True, warnings=(EVIL,))
ALL = [
    TARGET,
    CHECK,
    DONE,
    REGISTERED,
    mr.Preview(steps=((EVIL, EVIL),), checks=(CHECK,), fingerprint="f", target=TARGET),
    mr.Preview(steps=((EVIL, EVIL), ("b", "c")), checks=(CHECK, CHECK), fingerprint="f", target=TARGET),
    mr.ChainResult(results=(DONE, DONE), verification=VERIFIED, warnings=(EVIL,)),
    DIFF,
    mr.SchemaDiff(changes=()),
    VERIFIED,
    dataclasses.replace(VERIFIED, verdict="unknown"),
    mr.SyncResult(
        registered=(REGISTERED,),
        skipped=(EVIL,),
        failed=(results.FileFailure(migration_name=EVIL, error=EVIL),),
        warnings=(EVIL,),
    ),
    mr.ApplyResult(applied=(EVIL,), skipped=(EVIL,), warnings=(EVIL,)),
    mr.Plan(migration_name=EVIL, steps=(EVIL, "b")),
    mr.Template(migration_name=EVIL, text=EVIL),
    mr.Template(
        migration_name=EVIL,
        text=EVIL,
        statements=(EVIL,),
        todos=(EVIL,),
        warnings=(EVIL,),
        proof=mr.MigrationProof(migration_name=EVIL, grade="loses_data", remarks=(EVIL,)),
    ),
    mr.InstallResult(installed=(EVIL,), rights_closed=1, target=TARGET),
    mr.NothingToRollBack(deploy=EVIL, state="nothing brought"),
    mr.LastApplied(migration_name=EVIL, warnings=(EVIL,)),
    mr.ApplyResult(
        left_rolled_back=(
            results.LeftRolledBack(
                migration_name=EVIL, rolled_back_at=datetime(2026, 1, 1, tzinfo=UTC), rolled_back_by=EVIL, reason=EVIL
            ),
        )
    ),
    mr.SyncResult(applied_again=(EVIL,), not_applied=(EVIL,), deploy=EVIL),
    mr.AuditResult(intact=False, events=3, head_number=3, head_hash=EVIL, first_bad_number=2),
]


@pytest.mark.parametrize("result", ALL, ids=lambda result: type(result).__name__)
class TestEvery:
    def test_html_escapes(self, result):
        shown = result._repr_html_()
        assert "<script" not in shown
        assert "alert(" in shown or "alert" in shown or EVIL[:3] not in shown

    def test_repr_is_one_object_and_says_its_kind(self, result):
        assert type(result).__name__ in repr(result)

    def test_json_round_trips(self, result):
        assert json.loads(results.to_json(result.to_dict())) == result.to_dict()

    def test_is_frozen(self, result):
        field = dataclasses.fields(result)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, field, None)

    def test_takes_keywords_only(self, result):
        with pytest.raises(TypeError):
            type(result)(*[None] * len(dataclasses.fields(result)))


def test_statuses_are_those_of_the_sql():
    text = system_text()
    inside = text.split("CHECK (status IN (")[1].split(")")[0]
    assert {part.strip().strip("'") for part in inside.split(",")} == {status.value for status in mr.Status}


def test_specified_keys_of_json():
    specified = ["migration_name", "can_rollback", "reason", "dependent_migrations", "warnings"]
    assert list(CHECK.to_dict()) == [*specified, "verdict", "effects", "known_by", "known_at"]
    assert {"success", "message", "sql_executed", "migration_name"} <= set(DONE.to_dict())
    assert list(mr.SyncResult().to_dict()) == ["registered", "skipped", "failed", "warnings"]
    assert mr.SyncResult(not_applied=("001_a",)).to_dict()["not_applied"] == ["001_a"]


def test_times_in_json_are_iso_with_their_zone():
    assert json.loads(results.to_json({"at": datetime(2025, 1, 20, tzinfo=UTC)})) == {"at": "2025-01-20T00:00:00+00:00"}


def test_a_chain_that_failed_says_so():
    failed = dataclasses.replace(DONE, success=False, message="Rollback failed: no", sql_executed=None)
    chain = mr.ChainResult(results=(failed,))
    assert not chain.success
    assert chain.message == "Rollback failed: no"
    assert chain.to_dict()["sql_executed"] is None


def test_the_mark_tells_done_from_done_without_effect():
    marks = [
        dataclasses.replace(DONE, success=success, unchanged=unchanged).mark
        for success, unchanged in ((True, False), (True, True), (False, False))
    ]
    assert len(set(marks)) == 3


def test_a_printed_preview_shows_what_would_run():
    warned = dataclasses.replace(CHECK, warnings=("changed since",))
    steps = (("1_a", "DROP TABLE a;\nDROP TABLE \x1b;"),)
    preview = mr.Preview(steps=steps, checks=(warned,), fingerprint="f", target=TARGET, deploy_ledgers=("public.l",))
    first, *rest = str(preview).splitlines()
    assert first.startswith("Would roll back 1_a on ")
    assert rest == [
        "Would change the deploy ledger public.l",
        "Warning: changed since",
        "",
        "DROP TABLE a;",
        "DROP TABLE <U+001B>;",
    ]
    assert "DROP" not in repr(preview)


def test_a_preview_of_a_chain_names_each_part():
    preview = mr.Preview(
        steps=(("2_b", "DROP TABLE b;"), ("1_a", "DROP TABLE a;")),
        checks=(CHECK, CHECK),
        fingerprint="f",
        target=TARGET,
    )
    assert preview.migration_name == "1_a"
    assert preview.sql.index("2_b") < preview.sql.index("DROP TABLE b") < preview.sql.index("1_a")
