"""RollbackPanel on a real PostgreSQL: the whole way by clicks, every refusal, a hostile migration, cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets
import pytest
from panel_parts import accept, part, walk
from pg_servers import with_migrations, with_system
from watching import eventually

import migrollback_nb as mr
from migrollback_nb.panels import RollbackPanel

if TYPE_CHECKING:
    import psycopg
    from pg_servers import Server

WriteMigration = Callable[[str, str], Path]
BASE, TOP = "001_queue", "002_analytics"


#: The second on the first, one without rollback SQL, one whose rollback is slow and one whose rollback fails.
FILES = {
    BASE: "CREATE TABLE queue (id int);\n-- ROLLBACK START\n-- DROP TABLE queue;\n-- ROLLBACK END\n",
    TOP: (
        f"-- Depends on: {BASE}\nCREATE TABLE analytics (id int);\n-- ROLLBACK START\n-- DROP TABLE analytics;\n--"
        " ROLLBACK END\n"
    ),
    "003_one_way": "CREATE TABLE one_way ();\n",
    "004_slow": (
        "CREATE TABLE slow ();\n-- ROLLBACK START\n-- DROP TABLE slow;\n-- SELECT pg_sleep(30);\n-- ROLLBACK END\n"
    ),
    "005_broken": (
        "CREATE TABLE broken ();\n-- ROLLBACK START\n-- DROP TABLE broken;\n-- DROP TABLE brokn;\n-- ROLLBACK END\n"
    ),
}


@pytest.fixture(scope="module")
def shop_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from with_migrations(server, tmp_path_factory.mktemp("shop") / "migrations", FILES)


@pytest.fixture
def database_template(request: pytest.FixtureRequest, server: Server) -> str:
    return request.getfixturevalue("shop_template") if "shop" in request.fixturenames else with_system(server)


@pytest.fixture
def shop(db: mr.Migrations, write_migration: WriteMigration) -> mr.Migrations:
    """Those migrations, applied."""
    for name, text in FILES.items():
        write_migration(name, text)
    return db


def exists(db: mr.Migrations, table: str) -> bool:
    return db.database.connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,)


def status(db: mr.Migrations, name: str) -> str:
    return db.database.queries.checksums()[name][0]


def click(panel: RollbackPanel, button: str) -> None:
    part(panel, f"{button}_button").click()
    assert panel.wait(60)


def preview(panel: RollbackPanel, name: str, *, chain: bool = False) -> None:
    part(panel, "choice").value = name
    part(panel, "chain_box").value = chain
    click(panel, "preview")


def confirm(panel: RollbackPanel, reason: str = "it is too slow") -> None:
    """Type and press; does not wait."""
    part(panel, "name_field").value = panel.selected
    part(panel, "reason_field").value = reason
    accept(panel)
    assert not part(panel, "rollback_button").disabled, panel.missing
    part(panel, "rollback_button").click()


def texts(panel: RollbackPanel) -> str:
    return "\n".join(widget.value for widget in walk(panel) if isinstance(widget, widgets.HTML))


def test_the_whole_way(shop: mr.Migrations) -> None:
    panel = RollbackPanel(shop)
    assert shop.target.database in part(panel, "target_view").value
    assert panel.selected is None
    part(panel, "choice").value = TOP
    click(panel, "check")
    assert panel.check_result.can_rollback
    click(panel, "preview")
    assert "analytics" in part(panel, "sql_view").value
    assert exists(shop, "analytics")
    confirm(panel)
    assert panel.wait(60)
    assert panel.error is None
    assert panel.result.success
    assert "Done" in part(panel, "message_view").value
    assert not exists(shop, "analytics")
    assert status(shop, TOP) == "rolled_back"
    event = shop.events(TOP).query("event != 'snapshot_taken' and event != 'verified'").iloc[-1]
    assert (event["event"], event["reason"]) == ("rolled_back", "it is too slow")
    assert TOP not in {name for _, name in part(panel, "choice").options}
    assert panel.selected is None
    # what it blocked is free now, without anybody refreshing
    assert next(label for label, name in part(panel, "choice").options if name == BASE).endswith("? not rehearsed")


def test_looking_writes_nothing(shop: mr.Migrations) -> None:
    before = (shop.database.queries.history(), shop.database.queries.events())
    panel = RollbackPanel(shop)
    for name in [name for _, name in part(panel, "choice").options]:
        part(panel, "choice").value = name
        click(panel, "check")
        click(panel, "preview")
        part(panel, "chain_box").value = True
        click(panel, "preview")
    click(panel, "refresh")
    assert (shop.database.queries.history(), shop.database.queries.events()) == before


def test_a_chain_goes_as_one(shop: mr.Migrations) -> None:
    panel = RollbackPanel(shop)
    preview(panel, BASE, chain=True)
    assert [name for name, _ in panel.preview_result.steps] == [TOP, BASE]
    confirm(panel)
    assert panel.wait(60)
    assert panel.result.success
    assert (status(shop, BASE), status(shop, TOP)) == ("rolled_back", "rolled_back")


def test_a_deploy_is_chosen_checked_and_rolled_back_by_its_label(
    db: mr.Migrations, write_migration: WriteMigration
) -> None:
    for name in (BASE, TOP):
        write_migration(name, FILES[name])
    db.apply(BASE, deploy="monday")
    db.apply(TOP, deploy="tuesday")
    write_migration("003_more", "CREATE TABLE more ();\n-- ROLLBACK START\n-- DROP TABLE more;\n-- ROLLBACK END\n")
    db.apply(deploy="tuesday")
    panel = RollbackPanel(db)
    listed = part(panel, "deploy_choice")
    assert [name for name in listed.names if name] == ["tuesday", "monday"]
    assert "tuesday   2 migrations, " in listed.options[1][0]
    part(panel, "choice").value = BASE
    listed.value = "tuesday"
    assert (panel.deploy, panel.selected) == ("tuesday", None)
    click(panel, "check")
    assert [name for name, _ in panel.preview_result.steps] == ["003_more", TOP]
    assert "Others' objects" in unescape(texts(panel)), "a table, a row for each"
    click(panel, "rehearse")
    part(panel, "reason_field").value = "it was the whole of it"
    accept(panel)
    part(panel, "name_field").value = TOP
    assert panel.missing == "Type the deploy's name exactly"
    part(panel, "name_field").value = "tuesday"
    click(panel, "rollback")
    assert panel.error is None
    assert (status(db, TOP), status(db, "003_more"), status(db, BASE)) == ("rolled_back", "rolled_back", "applied")
    assert panel.deploy == listed.value == ""
    assert [name for name in listed.names if name] == ["monday"]
    # what is chosen in the list of migrations takes its place
    listed.value = "monday"
    part(panel, "choice").value = BASE
    assert (panel.deploy, listed.value) == ("", "")


def test_without_deploys_there_is_no_list_of_them(shop: mr.Migrations) -> None:
    panel = RollbackPanel(shop, deploys=())
    assert part(panel, "deploy_choice").options == ()


@pytest.mark.parametrize(
    ("name", "words"), [(BASE, "other migrations depend on this one"), ("003_one_way", "No rollback SQL")]
)
def test_a_refusal_is_shown_at_the_preview(shop: mr.Migrations, name: str, words: str) -> None:
    panel = RollbackPanel(shop)
    preview(panel, name)
    assert isinstance(panel.error, mr.Refused)
    assert words in part(panel, "message_view").value
    assert panel.preview_result is None
    assert part(panel, "rollback_button").disabled
    click(panel, "check")
    assert not panel.check_result.can_rollback
    assert words in part(panel, "card_view").value


def _edit(session: psycopg.Connection, shop: mr.Migrations) -> None:
    session.execute(
        "UPDATE public.migration_history SET rollback_sql = 'DROP TABLE queue CASCADE' WHERE migration_name = %s",
        (TOP,),
    )


def _roll_back(session: psycopg.Connection, shop: mr.Migrations) -> None:
    assert session.execute("SELECT success FROM public.execute_migration_rollback(%s)", (TOP,)).fetchone() == (True,)


def _fail(session: psycopg.Connection, shop: mr.Migrations) -> None:
    session.execute("UPDATE public.migration_history SET status = 'failed' WHERE migration_name = %s", (TOP,))


def _depend(session: psycopg.Connection, shop: mr.Migrations) -> None:
    session.execute(
        "INSERT INTO public.migration_dependencies (migration_name, depends_on) VALUES ('003_one_way', %s)", (TOP,)
    )


def _forget(session: psycopg.Connection, shop: mr.Migrations) -> None:
    session.execute("DELETE FROM public.migration_dependencies WHERE migration_name = %s", (TOP,))
    session.execute("DELETE FROM public.migration_history WHERE migration_name = %s", (TOP,))


@pytest.mark.parametrize("change", [_edit, _roll_back, _fail, _depend, _forget])
def test_what_changed_since_the_preview_is_refused(
    shop: mr.Migrations,
    session: Callable[..., psycopg.Connection],
    change: Callable[[psycopg.Connection, mr.Migrations], None],
) -> None:
    panel = RollbackPanel(shop)
    preview(panel, TOP)
    other = session()
    change(other, shop)
    confirm(panel)
    assert panel.wait(60)
    assert isinstance(panel.error, mr.Refused | mr.MigrationNotFound)
    assert panel.result is None
    assert panel.preview_result is None
    assert panel.typed == ""
    assert part(panel, "rollback_button").disabled
    assert exists(shop, "queue")
    assert exists(shop, "analytics") is (change is not _roll_back)


def test_after_a_refusal_a_new_preview_leads_on(
    shop: mr.Migrations, session: Callable[..., psycopg.Connection]
) -> None:
    panel = RollbackPanel(shop)
    preview(panel, TOP)
    session().execute(
        "UPDATE public.migration_history SET rollback_sql = 'DROP TABLE analytics; SELECT 1' WHERE migration_name = %s",
        (TOP,),
    )
    confirm(panel)
    assert panel.wait(60)
    assert "changed since the preview" in part(panel, "message_view").value
    assert panel.selected == TOP
    assert part(panel, "rehearse_button").button_style == "primary"
    click(panel, "preview")
    assert "SELECT" in part(panel, "sql_view").value
    assert panel.error is None
    confirm(panel)
    assert panel.wait(60)
    assert panel.result.success


def test_a_failing_rollback_is_undone_and_shown(shop: mr.Migrations) -> None:
    panel = RollbackPanel(shop)
    preview(panel, "005_broken")
    confirm(panel)
    assert panel.wait(60)
    assert isinstance(panel.error, mr.RollbackFailed)
    assert "42P01" in part(panel, "message_view").value
    assert "migrollback resolve" not in part(panel, "message_view").value, "the panel has a step for it"
    assert exists(shop, "broken")
    assert status(shop, "005_broken") == "failed"
    assert "intervention" in next(label for label, name in part(panel, "choice").options if name == "005_broken")
    assert panel.failed[0]["sqlstate"] == "42P01"
    # another panel, later, offers it too
    later = RollbackPanel(shop)
    assert "brokn" in part(later, "failed_view").value
    assert part(later, "as_applied_button").disabled
    part(later, "found_field").value = "INC-3: nothing is gone"
    click(later, "as_applied")
    assert later.error is None
    assert (status(shop, "005_broken"), later.failed, later.findings) == ("applied", (), "")
    assert later.reason == "", "what was found there is no reason for another rollback"
    assert shop.events("005_broken").iloc[-1]["reason"] == "INC-3: nothing is gone"


def test_what_still_stands_is_recorded_as_rolled_back_by_a_tick_only(shop: mr.Migrations) -> None:
    panel = RollbackPanel(shop)
    preview(panel, "005_broken")
    confirm(panel)
    assert panel.wait(60)
    assert panel.late.children == (panel.resolving,)
    box = part(panel, "force_box")
    assert box.layout.display == "none", "nothing was refused yet"
    part(panel, "found_field").value = "INC-4: it stays, and is dropped next week"
    click(panel, "as_rolled_back")
    assert isinstance(panel.error, mr.Refused)
    assert status(shop, "005_broken") == "failed"
    assert (box.layout.display, box.value) == (None, False)
    assert "public.broken" in part(panel, "force_view").value
    assert "--force" not in texts(panel), "the panel has a tick for it"
    assert panel.late.children == (panel.resolving,), "it stays where it is"
    box.value = True
    click(panel, "as_rolled_back")
    assert panel.error is None
    assert (status(shop, "005_broken"), exists(shop, "broken")) == ("rolled_back", True)
    assert "broken" in str(shop.events("005_broken", details=True).iloc[-1]["details"])
    assert box.value is False


def test_a_cancelled_rehearsal_says_nothing_of_the_rollback(
    shop: mr.Migrations, session: Callable[..., psycopg.Connection]
) -> None:
    panel = RollbackPanel(shop)
    part(panel, "choice").value = "004_slow"
    part(panel, "rehearse_button").click()
    watching = session()
    eventually(
        lambda: (
            watching.execute(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
            ).fetchone()
            is not None
        ),
        "the rehearsal sleeps",
    )
    assert panel.doing == "rehearse"
    part(panel, "cancel_button").click()
    assert panel.wait(20)
    said = texts(panel)
    assert "nothing is known of the rollback" in said
    assert "would fail" not in said.lower()
    assert "so will this" not in said
    assert panel.rehearsal_result is None
    # what was previewed on the way stands
    assert panel.preview_result is not None
    click(panel, "check")
    assert "would fail" not in texts(panel).lower()


def test_a_rehearsal_needs_no_preview_and_counts_as_one(shop: mr.Migrations) -> None:
    panel = RollbackPanel(shop)
    part(panel, "choice").value = TOP
    click(panel, "rehearse")
    assert panel.error is None
    card = part(panel, "card_view").value
    assert card.count(panel.shared.card.headline) == 1
    assert "Longest lock" in card
    assert panel.shared.previewed
    confirm(panel)
    assert panel.wait(60)
    assert panel.result.success


def test_a_read_only_session_is_named(shop: mr.Migrations, database_dsn: str) -> None:
    with mr.connect(f"{database_dsn} options='-c default_transaction_read_only=on'", dir=shop.folder.path) as db:
        panel = RollbackPanel(db)
        assert panel.error is None
        assert panel.standing == "read only"
        assert "Read-only session" in part(panel, "target_view").value


def test_where_the_system_is_missing_a_button_installs_it(empty_dsn: str, folder: Path) -> None:
    with mr.connect(empty_dsn, dir=folder) as db:
        panel = RollbackPanel(db)
        assert "not installed" in part(panel, "message_view").value
        assert db.target.database in part(panel, "target_view").value
        assert db.target.database in part(panel, "install_button").description
        click(panel, "install")
        assert panel.error is None
        assert part(panel, "install_button").disabled
        assert "nothing to roll back" in part(panel, "empty_view").value


def test_a_long_rollback_is_cancelled(shop: mr.Migrations, session: Callable[..., psycopg.Connection]) -> None:
    panel = RollbackPanel(shop)
    preview(panel, "004_slow")
    confirm(panel)
    watching = session()
    deadline = time.monotonic() + 20
    while not watching.execute(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    ).fetchone():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert panel.busy
    assert not part(panel, "cancel_button").disabled
    began = time.monotonic()
    part(panel, "cancel_button").click()
    assert panel.wait(10)
    assert time.monotonic() - began < 5
    assert panel.error.sqlstate == "57014"
    assert "Cancelled" in part(panel, "message_view").value
    assert panel.busy == ""
    assert exists(shop, "slow")
    assert status(shop, "004_slow") == "applied"
    assert shop.events("004_slow").iloc[-1]["event"] == "failed"
    preview(panel, "004_slow")
    assert panel.preview_result is not None, panel.error


def test_who_holds_a_lock_is_told(
    database_dsn: str, shop: mr.Migrations, session: Callable[..., psycopg.Connection]
) -> None:
    blocker = session(application_name="nightly report")
    with (
        mr.connect(
            database_dsn, dir=shop.folder.path, timeouts=mr.Timeouts(lock_timeout="300ms", retries=1)
        ) as hurried,
        blocker.transaction(),
    ):
        blocker.execute("LOCK TABLE analytics IN ACCESS SHARE MODE")
        panel = RollbackPanel(hurried)
        preview(panel, TOP)
        confirm(panel)
        assert panel.wait(60)
        assert panel.error is not None
        assert panel.result is None
        assert "try again" in part(panel, "message_view").value
        assert status(shop, TOP) == "applied"


@pytest.mark.long
def test_a_rollback_that_was_broken_off_is_named_when_the_panel_is_rebuilt(
    shop: mr.Migrations, session: Callable[..., psycopg.Connection]
) -> None:
    other = session()
    # as by a client that was killed between its two transactions
    other.execute(
        "SELECT start_migration_rollback(ARRAY[%s], gen_random_uuid(), 'INC-7', 'a notebook that is gone')", (TOP,)
    )
    with other.transaction():
        other.execute("SELECT lock_migrations()")
        shown = part(RollbackPanel(shop), "unfinished_view").value
        assert f"The rollback of {TOP} was begun at " in shown
        assert "by a notebook that is gone (INC-7); its end is not recorded yet: process " in shown
        assert f"process {other.info.backend_pid} of the server" in shown
    panel = RollbackPanel(shop)
    assert "it was broken off: nothing of it was kept" in part(panel, "unfinished_view").value
    preview(panel, TOP)
    confirm(panel)
    assert panel.wait(60)
    assert panel.result.success
    assert part(panel, "unfinished_view").value == ""


def test_one_that_ran_in_steps_says_how_many_stay(
    shop: mr.Migrations, write_migration: WriteMigration, session: Callable[..., psycopg.Connection]
) -> None:
    write_migration(
        "006_steps",
        "CREATE TABLE steps (id int);\nCREATE INDEX i ON steps (id);\n-- ROLLBACK START transaction:false\n-- DROP"
        " INDEX CONCURRENTLY i;\n-- DROP TABLE steps;\n-- ROLLBACK END\n",
    )
    shop.apply()
    other = session()
    other.execute("SELECT start_migration_rollback(ARRAY['006_steps'], '00000000-0000-4000-8000-000000000001')")
    other.execute("SELECT journal_migration_statement('006_steps', '00000000-0000-4000-8000-000000000001', 1, 5)")
    assert (
        "1 of its statements ran outside a transaction and stay" in part(RollbackPanel(shop), "unfinished_view").value
    )


def test_an_ordinary_end_leaves_nothing_to_name(shop: mr.Migrations) -> None:
    with pytest.raises(mr.RollbackFailed):
        shop.rollback("005_broken", confirm="005_broken")
    shop.rollback(BASE, confirm=BASE, chain=True)
    assert part(RollbackPanel(shop), "unfinished_view").value == ""


def test_a_session_that_was_ended_is_opened_again(
    shop: mr.Migrations, session: Callable[..., psycopg.Connection]
) -> None:
    panel = RollbackPanel(shop)
    session().execute("SELECT pg_terminate_backend(%s)", (shop.database.connection.info.backend_pid,))
    preview(panel, TOP)
    assert panel.preview_result is not None, panel.error
    shop.close()  # as the last cell of a notebook does under Run All
    confirm(panel)
    assert panel.wait(60)
    assert panel.result.success


def test_without_the_system_it_says_so_and_refresh_tries_again(empty_dsn: str) -> None:
    with mr.connect(empty_dsn) as db:
        panel = RollbackPanel(db, system=True)
        assert isinstance(panel.error, mr.NotInstalled)
        assert "migrollback install" in part(panel, "message_view").value
        assert part(panel, "empty_view").value == "", "of such a database it is not known whether it is empty"
        assert "not installed" in part(panel, "lacking_view").value
        db.install()
        click(panel, "refresh")
        assert panel.error is None
        assert len(part(panel, "choice").options) == 1


def test_rolling_back_the_system_itself_shows_where_its_audit_log_went(
    db: mr.Migrations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    panel = RollbackPanel(db, system=True)
    preview(panel, part(panel, "choice").options[-1][1])
    assert "rollback system itself" in part(panel, "card_view").value
    confirm(panel)
    assert panel.wait(60)
    assert panel.result.success, panel.error
    saved = list(tmp_path.glob("migrollback_trail_*.json"))
    assert len(saved) == 1
    assert saved[0].name in part(panel, "message_view").value
    assert isinstance(panel.error, mr.NotInstalled)


HOSTILE = """1_<img src=x onerror=alert('1')>"&amp;\u202e\u2066 DROP"""
TEXT = """</pre><script>alert("x")</script><b onclick='y'>\x1b[31m\u202egnp"""


def assert_harmless(panel: RollbackPanel) -> None:
    shown = texts(panel)
    for raw in ("<script", "<img", "<b onclick", "\x1b", "\u202e", "\u2066", "onerror=alert('1')>\""):
        assert raw not in shown, raw
        assert raw not in repr(panel)
    assert not any(sign in label for label, _ in part(panel, "choice").options for sign in "\x1b\u202e\u2066")


def test_a_hostile_migration_is_inert_at_every_step(db: mr.Migrations, write_migration: WriteMigration) -> None:
    quoted = TEXT.replace("'", "''").replace("%", "%%")
    identifier = '"' + TEXT.replace('"', '""') + '"'
    write_migration(
        HOSTILE,
        f"-- Description: {TEXT}\nCREATE TABLE hostile ();\n-- ROLLBACK START\n-- DROP TABLE hostile /* {TEXT} */;\n"
        f"-- DO $$ BEGIN RAISE WARNING '{quoted}'; END $$;\n-- DROP TABLE IF EXISTS {identifier};\n-- ROLLBACK END\n",
    )
    write_migration(
        "2_top",
        f"-- Depends on: {BASE}\nSELECT 1;\n-- ROLLBACK START\n-- DO $$ BEGIN RAISE EXCEPTION '{quoted}' USING HINT ="
        f" '{quoted}', DETAIL = '{quoted}'; END $$;\n-- ROLLBACK END\n",
    )
    write_migration(BASE, "SELECT 1;")
    db.apply()
    db.database.connection.execute(
        "INSERT INTO public.migration_dependencies (migration_name, depends_on) VALUES (%s, %s)", (HOSTILE, "2_top")
    )

    panel = RollbackPanel(db)
    assert_harmless(panel)
    part(panel, "choice").value = "2_top"
    for button in ("check", "preview"):  # refused: it names the hostile one
        click(panel, button)
        assert "onerror" in texts(panel)
        assert_harmless(panel)
    preview(panel, HOSTILE)
    assert panel.preview_result is not None, panel.error
    click(panel, "check")
    assert_harmless(panel)
    confirm(panel, reason=TEXT)
    assert_harmless(panel)  # while it runs
    assert panel.wait(60)
    assert panel.result.success, panel.error
    assert "&lt;script&gt;" in part(panel, "message_view").value
    assert_harmless(panel)
    preview(panel, "2_top")
    confirm(panel)
    assert panel.wait(60)
    assert isinstance(panel.error, mr.RollbackFailed)
    assert "&lt;script&gt;" in part(panel, "message_view").value
    assert_harmless(panel)


def test_where_the_system_is_elsewhere_the_panel_says_where(empty_dsn, folder):
    with mr.connect(empty_dsn, dir=folder, schema="ops") as db:
        db.database.connection.execute("CREATE SCHEMA ops")
        db.install()
    with mr.connect(empty_dsn, dir=folder) as db:
        panel = RollbackPanel(db)
        assert panel.wait(30)
        assert "It is in schema ops: connect with schema=&#x27;ops&#x27;" in part(panel, "lacking_view").value
