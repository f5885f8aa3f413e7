"""Proofs as JUnit XML and HTML, without a database."""

from xml.etree import ElementTree as ET

from migrollback_nb.cli.junit import junit_xml
from migrollback_nb.core.results import DataLoss, MigrationProof, Proof, SchemaChange

HOSTILE = '<img src=x onerror=alert(1)> \x00\x1b[31m \u202e \ufffe ]]> & "'
PROOF = Proof(
    migrations=(
        MigrationProof(migration_name="001_a", grade="restores", reapplies=True, seconds=0.25),
        MigrationProof(
            migration_name="002_b",
            grade="differs",
            differences=(
                SchemaChange(
                    change="created",
                    kind="table",
                    identity=HOSTILE,
                    old_definition=None,
                    new_definition={"owner": HOSTILE},
                ),
                DataLoss(identity=HOSTILE, rows=3, rows_kept=2, columns=(HOSTILE,)),
            ),
            remarks=(HOSTILE,),
            seconds=0.5,
        ),
        MigrationProof(migration_name="003_c", grade="fails", sqlstate="42P01", statement=HOSTILE),
        MigrationProof(migration_name="004_d", grade="no_rollback"),
    ),
    server="PostgreSQL 18",
)


def cases(**options):
    suite = ET.fromstring(junit_xml(PROOF, suite=HOSTILE, **options)).find("testsuite")
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == [
        str(len(found)),
        str(sum("failure" in tags for tags in found.values())),
        str(sum("skipped" in tags for tags in found.values())),
    ]
    return found


def test_what_does_not_restore_is_a_failure_and_what_has_no_rollback_is_skipped():
    assert cases() == {"001_a": [], "002_b": ["failure"], "003_c": ["failure"], "004_d": ["skipped"]}


def test_a_required_grade_is_the_bound_and_asks_for_a_rollback():
    assert cases(required="differs") == {
        "001_a": [],
        "002_b": ["system-out"],
        "003_c": ["failure"],
        "004_d": ["failure"],
    }


def test_times_add_up():
    root = ET.fromstring(junit_xml(PROOF, suite="s"))
    assert root.get("time") == root.find("testsuite").get("time") == "0.750"


def test_hostile_texts_are_visible_and_harmless():
    text = junit_xml(PROOF, suite="s").decode()
    assert "<img" not in text
    assert not set("\x00\x1b\u202e\ufffe") & set(text)
    for page in (PROOF._repr_html_(), *(migration._repr_html_() for migration in PROOF.migrations)):
        assert "<img" not in page
        assert not set("\x00\x1b\u202e") & set(page)


def test_counts_and_words():
    assert {grade: count for grade, count in PROOF.counts.items() if count} == {
        "restores": 1,
        "differs": 1,
        "fails": 1,
        "no_rollback": 1,
    }
    assert [migration.migration_name for migration in PROOF.below("loses_data")] == ["002_b", "003_c", "004_d"]
    assert "4 migrations: 1 restores, 1 differs, 1 fails, 1 no_rollback" in repr(PROOF)


def test_what_could_not_be_tried_is_an_error_and_reaches_no_required_grade():
    unknown = MigrationProof(migration_name="001_a", grade="unknown", sqlstate="53300", remarks=("not tried",))
    proof = Proof(migrations=(unknown,), server="PostgreSQL 18")
    for required in (None, "loses_data"):
        suite = ET.fromstring(junit_xml(proof, suite="s", required=required)).find("testsuite")
        assert [suite.get(name) for name in ("failures", "errors")] == ["0", "1"]
        assert suite.find(".//error").get("message") == "unknown: not tried"
    assert proof.below("loses_data") == (unknown,)
