"""Folders of db-migrate: SQL where its program only runs that, a program where it does more."""

from pathlib import Path

import pytest

from migrollback_nb.files.formats import MigrationFolder

#: How its programs run a file, in the ways that its versions wrote them.
PROMISE = """
exports.{way} = function(db) {{
  var filePath = path.join(__dirname, 'sqls', '{name}-{way}.sql');
  return new Promise( function( resolve, reject ) {{
    fs.readFile(filePath, {{encoding: 'utf-8'}}, function(err,data){{
      if (err) return reject(err);
      console.log('received data: ' + data);
      resolve(data);
    }});
  }})
  .then(function(data) {{
    return db.runSql(data);
  }});
}};
"""
CALLBACK = """
exports.{way} = function(db, callback) {{
  var filePath = path.join(__dirname + '/sqls/{name}-{way}.sql');
  fs.readFile(filePath, {{encoding: 'utf-8'}}, function(err,data){{
    if (err) return callback(err);
    db.runSql(data, function(err) {{ if (err) return callback(err); callback(); }});
  }});
}};
"""
COFFEE = """
exports.{way} = (db, callback) ->
  filePath = path.join "#{{__dirname}}/sqls/{name}-{way}.sql"
  fs.readFile filePath, {{encoding: 'utf-8'}}, (err,data) ->
    return callback err if err
    db.runSql data, callback
"""
SHARED = """
exports.setup = function (options, _seedLink) {{ Promise = options.Promise }}
const runQuery = (db, sqlName) => {{
  const filePath = path.join(__dirname, 'sqls', sqlName)
  return new Promise((resolve, reject) => fs.readFile(filePath, (err, data) => err ? reject(err) : resolve(data)))
    .then(function (data) {{ return db.runSql(data) }})
}}
exports.up = function (db) {{ return runQuery(db, '{name}-up.sql') }}
exports.down = function (db) {{ return runQuery(db, '{name}-down.sql') }}
"""
HEAD = "/**\n  * We receive the dbmigrate dependency. db.createTable(\n  */\nvar fs = require('fs');\n// db.addColumn\n"


def put(root: Path, name: str, text: str, *, files=("up", "down"), ending="js") -> None:
    (root / "sqls").mkdir(exist_ok=True)
    (root / f"{name}.{ending}").write_text(HEAD + text)
    for way in files:
        (root / "sqls" / f"{name}-{way}.sql").write_text("CREATE TABLE a ();" if way == "up" else "DROP TABLE a;")


def both(form: str, name: str, *ways: str) -> str:
    return "".join(form.format(way=way, name=name) for way in ways or ("up", "down"))


@pytest.mark.parametrize(("form", "ending"), [(PROMISE, "js"), (CALLBACK, "js"), (COFFEE, "coffee")])
@pytest.mark.parametrize("dir", ["", "sqls"])
def test_a_program_that_only_runs_its_files_is_those(tmp_path, form, ending, dir):
    name = "20250120000000-a"
    root = tmp_path / "migrations"
    root.mkdir()
    put(root, name, both(form, name), ending=ending)
    contents = MigrationFolder(root / dir).read_all()
    (file,) = contents.files
    assert (file.name, file.tool, file.version, file.is_program) == (name, "db-migrate", "20250120000000", False)
    assert (file.up_statements(), file.rollback.statement_texts()) == (("CREATE TABLE a ()",), ("DROP TABLE a",))
    assert (contents.errors, contents.warnings) == ((), ())
    assert MigrationFolder(root / dir).checksum(name) == file.checksum


def test_one_call_for_both_and_files_of_another_name(tmp_path):
    name, other = "20250120000000-a", "20250120000000-b"
    put(tmp_path, name, SHARED.format(name=name))
    put(tmp_path, "20250121000000-c", both(PROMISE, other), files=())
    put(tmp_path, other, "")
    (tmp_path / f"{other}.js").unlink()
    contents = MigrationFolder(tmp_path).read_all()
    assert [(file.name, file.is_program, file.rollback is not None) for file in contents.files] == [
        (name, False, True),
        ("20250121000000-c", False, True),
    ]
    assert (contents.errors, contents.warnings) == ((), ())
    put(tmp_path, name, SHARED.format(name=name) + "exports.up = (db) => runQuery(db, 'x-up.sql');")
    assert MigrationFolder(tmp_path).read(name).is_program


@pytest.mark.parametrize(
    "more",
    [
        "exports.up = function(db) { return db.createTable('b', {}); };",
        "exports.more = function(db) { return db.runSql('DROP TABLE b'); };",
        "exports.more = function(db) { return db['runSql']('DROP TABLE b'); };",
        "exports.more = function(db) { return db.runSql(data2); };",
    ],
)
def test_one_that_does_more_is_a_program(tmp_path, more):
    name = "20250120000000-a"
    put(tmp_path, name, both(PROMISE, name) + more)
    contents = MigrationFolder(tmp_path).read_all()
    (file,) = contents.files
    assert (file.is_program, file.applied_by, file.rollback) == (True, "db-migrate up", None)
    assert contents.warnings[0].startswith("1 of 1 migrations are programs of db-migrate that do more than run a file")
    (tmp_path / f"{name}.rollback.sql").write_text("DROP TABLE a;")
    assert MigrationFolder(tmp_path).read(name).rollback.statement_texts() == ("DROP TABLE a",)


def test_a_down_that_its_program_does_not_run_is_none(tmp_path):
    name = "20250120000000-a"
    put(tmp_path, name, both(PROMISE, name, "up") + "exports.down = function(db) { return null; };")
    assert MigrationFolder(tmp_path).read(name).rollback is None


def test_what_is_not_there_and_what_no_program_runs(tmp_path):
    first, second = "20250120000000-a", "20250121000000-b"
    put(tmp_path, first, both(PROMISE, first), files=("down",))
    put(tmp_path, second, both(PROMISE, second))
    (tmp_path / "sqls" / "20250122000000-c-up.sql").write_text("SELECT 1;")
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == [second]
    assert [(Path(error.path).name, error.problem) for error in contents.errors] == [
        (f"{first}.js", f"runs sqls/{first}-up.sql, which is not there")
    ]
    assert contents.warnings == ("20250122000000-c in sqls/ is left out: no program runs it",)
