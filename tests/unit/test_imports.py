"""Imports point one way, as DESIGN.md draws them, and importing the package stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import migrollback_nb

ROOT = Path(migrollback_nb.__file__).parent

#: Layers, lowest first. A module imports from its own layer and from those below it.
LAYERS = [
    {
        "errors",
        "html",
        "identities",
        "folders",
        "results",
        "sql",
        "sql_text",
        "sql_names",
        "not_undone",
        "bodies",
        "other_tools",
        "not_read",
        "migration_file",
        "formats",
        "formats.folder",
        "formats.layout",
        "formats.marked",
        "formats.paired",
        "formats.sqitch",
        "rollback_block",
        "planning",
        "production",
        "audit",
        "undo_text",
        "needs",
        "preludes",
        "compared_values",
        "missing",
        "plpgsql",
        "statement_objects",
        "inference",
        "junit",
        "inverse",
        "schema_ddl",
        "runbook",
        "smoke_tests",
        "error_rates",
        "hooks",
        "charts",
        "terminal",
    },
    {
        "blockers",
        "telling",
        "connection",
        "session",
        "signatures",
        "database",
        "embedded",
        "private_server",
        "installation",
        "rehearsing",
        "schema_copy",
        "replay",
        "stored_sql",
        "scratch",
        "old_definitions",
        "suggesting",
        "contents",
        "sample_rows",
        "proof",
        "backup",
        "snapshots",
        "interrupts",
        "trail",
        "registering",
        "deploy_ledgers",
        "renamed_files",
        "applying",
        "rolling_back",
        "refusing",
    },
    {"migrations"},
    {"frames", "graphs", "checklist", "report", "runbook_notebooks"},
    {"panels"},
    {"arguments"},
    {"cli", "confirmation", "magics", "demo", "lab"},
]
#: Against the arrows, inside functions only: a question is answered by a DataFrame or a drawing, which is loaded when it is asked.
WHEN_ASKED = {
    ("migrations", "checklist"),
    ("migrations", "report"),
    ("migrations", "runbook_notebooks"),
    ("migrations", "frames"),
    ("migrations", "graphs"),
    ("results.rehearsal", "frames"),
    ("results.schema", "frames"),
}
#: The lowest layer knows nothing of a database or a display.
NOT_PURE = {"psycopg", "pandas", "graphviz", "ipywidgets", "anywidget", "IPython", "tqdm"}


def layer(module):
    name = module if any(module in names for names in LAYERS) else module.split(".")[0]
    return next((place for place, names in enumerate(LAYERS) if name in names), None)


def imports(path):
    """(module, whether it is imported inside a function only) of every import that runs; those for type checkers do not."""
    found = []

    def visit(node, lazy):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: a relative import"
                names = [f"{child.module}.{alias.name}" for alias in child.names] if child.module == "migrollback_nb" else [child.module]
                found.extend((name, lazy) for name in names)
            visit(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    visit(ast.parse(path.read_text(encoding="utf-8")), lazy=False)
    return found


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"
}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_one_way(module):
    own = layer(module)
    assert own is not None, f"say in LAYERS where {module} stands"
    for imported, lazy in imports(MODULES[module]):
        name = imported.removeprefix("migrollback_nb.")
        if name == imported:
            assert own > 0 or imported.split(".")[0] not in NOT_PURE, f"{module} imports {imported}"
        elif layer(name) is not None and not (lazy and (module, name) in WHEN_ASKED):  # None: __version__ and its like
            assert layer(name) <= own, f"{module} imports {name}, which stands above it"


def test_only_two_modules_talk_to_postgresql():
    # composing SQL or a DSN is no talk: psycopg.sql and psycopg.conninfo need no server
    talking = {module for module, path in MODULES.items() if ".connect(" in (text := path.read_text(encoding="utf-8")) and "psycopg.connect(" in text}
    assert talking <= {"blockers", "connection", "embedded", "demo"}


def imported_by(code):
    program = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split("\n")[-2].split())


def test_importing_the_package_brings_nothing_heavy():
    assert not imported_by("import migrollback_nb") & {"pandas", "numpy", "ipywidgets", "graphviz", "psycopg", "IPython", "postgast", "anywidget"}


def test_parsing_brings_no_database_and_no_display():
    assert not imported_by("import migrollback_nb as mr; mr.parse('SELECT 1', name='1_a').record()") & {
        "pandas",
        "ipywidgets",
        "graphviz",
        "psycopg",
        "IPython",
    }


def test_connecting_brings_no_display():
    brought = imported_by("import migrollback_nb as mr\ntry: mr.connect('host=/nonexistent')\nexcept mr.ConnectionFailed: pass")
    assert "psycopg" in brought
    assert not brought & {"pandas", "ipywidgets", "graphviz", "IPython"}


@pytest.mark.parametrize("name", sorted(migrollback_nb.__all__))
def test_every_public_name_is_there_and_says_what_it_is(name):
    assert getattr(migrollback_nb, name).__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = migrollback_nb.no_such_name


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_says_its_job_in_its_first_line(module):
    text = ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    if module == "sql":
        return  # a folder of .sql files
    assert text
    assert text.splitlines()[0].endswith((".", ":"))
