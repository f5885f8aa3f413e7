"""Replaces ``<!-- from the source: NAME -->`` in a page by what the source says: a Sphinx extension."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rooms
from docutils import nodes
from facts import PACKAGE, Facts, facts

import migrollback_nb
from migrollback_nb.cli.command import TASKS
from migrollback_nb.cli.commands import describe_commands, get_parser
from migrollback_nb.core import errors

DOCS = Path(__file__).parents[1]
_PLACE = re.compile(r"^<!-- from the source: ([a-z ]+) -->$", re.MULTILINE)
_SQL = sorted(PACKAGE.joinpath("database", "sql").rglob("*.sql"))


#: Of a line that is typed, so that it stands on a page without scrolling.
_WIDTH = 88


def escaped(text: str) -> str:
    """Text as Markdown shows it to the letter; pure."""
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", text)


def cell(text: str) -> str:
    """Text for a cell of a table; pure."""
    return " ".join(escaped(text).split())


# -- command line ------------------------------------------------------------------------------------------------------


def commands() -> dict[str, dict[str, Any]]:
    """Command -> what the table of commands says of it."""
    return {command["name"]: command for command in describe_commands()["commands"]}


def arguments(command: str) -> list[dict[str, Any]]:
    """What a command takes besides the common options."""
    return list(commands()[command]["arguments"])


def common_options() -> list[dict[str, Any]]:
    """The options that stand before or after the command."""
    return list(describe_commands()["common"])


def _typed(argument: dict[str, Any]) -> str:
    """An argument as it is typed, its value included."""
    names, metavar = argument["names"], argument["metavar"]
    value = metavar or ("{" + ",".join(argument["choices"]) + "}" if argument["choices"] else "")
    if not names[0].startswith("-"):
        return f"{value or names[0]}{' ...' if argument['repeatable'] else ''}"
    return f"{', '.join(names)} {value}".rstrip()


def _usage(command: str) -> str:
    """The line that is typed, without the common options."""
    words = [_typed(argument) if argument["required"] else f"[{_typed(argument)}]" for argument in arguments(command)]
    lines, indent = [f"migrollback {command}"], " " * len(f"migrollback {command} ")
    for word in words:
        if len(lines[-1]) + len(word) >= _WIDTH:
            lines.append(indent + word)
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)


def _table(described: list[dict[str, Any]]) -> Iterator[str]:
    yield "| argument | what it says |"
    yield "| --- | --- |"
    for argument in described:
        marks = [
            word
            for word, is_so in (("required", argument["required"]), ("may be repeated", argument["repeatable"]))
            if is_so
        ]
        bar = "\\|"
        said = cell(argument["help"]) + (f" ({';'.join(marks)})" if marks else "")
        yield f"| `` {_typed(argument).replace('|', bar)} `` | {said} |"


def cli_reference() -> str:
    """Every command with its arguments, by task, from the table of commands."""
    epilog = (get_parser().epilog or "").strip()
    lines = ["```text", epilog, "```", "", "## Common options", "", *_table(common_options()), ""]
    by_task = {task: [name for name, one in commands().items() if one["task"] == task] for task in TASKS}
    lines += ["| to | commands |", "| --- | --- |"]
    lines += [
        f"| {TASKS[task][0].lower()} | {', '.join(f'[{name}](#{name})' for name in names)} |"
        for task, names in by_task.items()
    ]
    lines.append("")
    for name, command in commands().items():
        text = f"{command['help'][:1].upper()}{command['help'][1:]}. {command['more']}".strip()
        lines += [f"## {name}", "", escaped(text), "", "```text", _usage(name), "```", ""]
        lines += ["```sh", command["example"], "```", ""]
        if own := arguments(name):
            lines += [*_table(own), ""]
        lines += [f"[JSON of this command](json.md#{name})", ""] if name in _json_commands() else []
    return "\n".join(lines)


# -- SQL ---------------------------------------------------------------------------------------------------------------


def _of_file() -> dict[str, Path]:
    """Name of a function -> the file that makes it."""
    made: dict[str, Path] = {}
    for file in _SQL:
        for name in re.findall(
            r"^CREATE (?:OR REPLACE )?FUNCTION migrollback_schema\.(\w+)",
            file.read_text(encoding="utf-8"),
            re.MULTILINE,
        ):
            made[name] = file
    return made


def _title(file: Path) -> str:
    """What an SQL file's heading says it is about, up to its colon; else its name."""
    heading = re.match(r"-- -+\n-- ([^:.\n]+)", file.read_text(encoding="utf-8"))
    return heading.group(1) if heading else file.stem.lstrip("0123456789_").replace("_", " ").capitalize()


SPECIFIED = (
    "can_rollback_migration",
    "execute_migration_rollback",
    "list_rollbackable_migrations",
    "create_migration_snapshot",
)


def _function(found: dict[str, Any]) -> Iterator[str]:
    arguments = ",\n    ".join(_split(found["arguments"]))
    long = len(found["arguments"]) > 80
    head = f"{found['name']}(" + (f"\n    {arguments}\n" if long else found["arguments"]) + ")"
    yield f"### {found['name']}"
    yield ""
    yield "```sql"
    yield f"{head}\n  RETURNS {found['result']}"
    yield "```"
    yield ""
    yield escaped(found["comment"])
    yield ""


def _split(arguments: str) -> list[str]:
    """Cut a list of arguments at the commas that separate them; pure."""
    return re.split(r", (?=(?:OUT |INOUT |VARIADIC )?[a-z_]+ )(?![^(]*\))", arguments)


def sql_reference(known: Facts) -> str:
    """Every function, as COMMENT ON of a fresh installation describes it."""
    functions = {found["name"]: found for found in known["functions"]}
    places = _of_file()
    groups: dict[Path, list[str]] = defaultdict(list)
    triggers = [name for name, found in functions.items() if found["result"] == "trigger"]
    for name in functions:
        if name not in SPECIFIED and name not in triggers:
            groups[places[name]].append(name)
    lines = ["## The four of every day", ""]
    for name in SPECIFIED:
        lines += _function(functions[name])
    for file in _SQL:
        if groups.get(file):
            lines += [f"## {_title(file)}", ""]
            for name in groups[file]:
                lines += _function(functions[name])
    lines += ["## Triggers", "", "They keep the rules of the tables; no one calls them.", ""]
    for name in triggers:
        lines += _function(functions[name])
    return "\n".join(lines)


def table_reference(known: Facts) -> str:
    """Every table with its columns, as COMMENT ON describes them."""
    lines: list[str] = []
    for table in known["tables"]:
        lines += [
            f"## {table['name']}",
            "",
            escaped(table["comment"]),
            "",
        ]
        lines += ["| column | type | meaning |", "| --- | --- | --- |"] if table["columns"] else []
        lines += [
            f"| `{column['name']}` | {cell(column['type'])} | {cell(column['comment'] or '')} |"
            for column in table["columns"]
        ]
        lines.append("")
    return "\n".join(lines)


# -- SQLSTATEs, settings, variables ------------------------------------------------------------------------------------


def sqlstates() -> dict[str, list[str]]:
    """SQLSTATE of ours -> the messages that are raised with it, in the order of the files."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in _SQL:
        text = file.read_text(encoding="utf-8")
        # one RAISE reaches to the semicolon that ends it; none of ours holds one inside its texts
        for raise_ in re.findall(r"\bRAISE\b[^;]*", text):
            if code := re.search(r"ERRCODE = '(MR\d{3})'", raise_):
                message = re.search(r"EXCEPTION\s+'((?:[^']|'')*)'", raise_)
                said = message.group(1).replace("''", "'") if message else ""
                if said and said != "%" and said not in found[code.group(1)]:
                    found[code.group(1)].append(said)
                found.setdefault(code.group(1), [])
        for code_only in re.findall(r"'(MR\d{3})'", text):
            found.setdefault(code_only, [])
    return dict(sorted(found.items()))


def sqlstate_reference() -> str:
    """What is raised with each SQLSTATE of ours, and what Python makes of it."""
    lines = ["| SQLSTATE | in Python | messages |", "| --- | --- | --- |"]
    for code, messages in sqlstates().items():
        kind = errors.FOR_SQLSTATE.get(code)
        said = "; ".join(cell(message) for message in messages) or "(made where it is raised)"
        lines.append(f"| `{code}` | {f'`{kind.__name__}`' if kind else '`DatabaseError`'} | {said} |")
    return "\n".join(lines)


def events() -> list[str]:
    """Names of all events, from the newest CHECK of the table."""
    checks = [found for file in _SQL for found in re.findall(r"event IN \(([^)]*)\)", file.read_text(encoding="utf-8"))]
    return re.findall(
        r"'([a-z_]+)'", next(check for check in reversed(checks) if "'rolled_back'" in check and "'installed'" in check)
    )


def settings() -> set[str]:
    """The settings migrollback.* that the source reads or sets."""
    found: set[str] = set()
    for file in [*PACKAGE.rglob("*.py"), *_SQL]:
        found |= set(re.findall(r"['\"{ (]migrollback\.([a-z_]+)['\"]", file.read_text(encoding="utf-8")))
    return found


def variables() -> set[str]:
    """The environment variables that the source reads or sets for programs of the user; libpq's own apart."""
    found: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        found |= set(
            re.findall(
                r"\b(MIGROLLBACK_[A-Z_]+[A-Z]|SUPABASE_[A-Z_]+URL|DATABASE_URL|XDG_[A-Z_]+)\b",
                file.read_text(encoding="utf-8"),
            )
        )
    return found


# -- JSON --------------------------------------------------------------------------------------------------------------

_LONGEST = 2


def _json_commands() -> set[str]:
    from facts import COMMANDS

    return set(COMMANDS)


def _cut(value: Any) -> Any:
    """JSON with lists cut after two elements; pure."""
    if isinstance(value, dict):
        return {key: _cut(inner) for key, inner in value.items()}
    if isinstance(value, list):
        kept = [_cut(inner) for inner in value[:_LONGEST]]
        return kept if len(value) <= _LONGEST else [*kept, f"… {len(value) - _LONGEST} more"]
    return value


def json_reference(known: Facts) -> str:
    """What each command prints with --format json, as it did on the demo when these pages were built."""
    lines: list[str] = []
    for title, found in known["outputs"].items():
        status = f" Exit status {found['exit']}." if found["exit"] else ""
        shown = json.dumps(_cut(json.loads(found["output"])), indent=2, ensure_ascii=False)
        lines += [f"## {title}", "", f"`{found['command']}`{status}", "", "```json", shown, "```", ""]
    return "\n".join(lines)


# -- Python ------------------------------------------------------------------------------------------------------------


def _python(*names: str) -> str:
    lines = []
    for name in names:
        thing = getattr(migrollback_nb, name)
        kind = "autofunction" if inspect.isfunction(thing) else "autoexception" if _is_error(thing) else "autoclass"
        inherited = ["   :inherited-members:"] if inspect.isclass(thing) and _inherits_ours_alone(thing) else []
        lines += ["```{eval-rst}", f".. {kind}:: migrollback_nb.{name}", *inherited, "```", ""]
    return "\n".join(lines)


def _inherits_ours_alone(kind: type) -> bool:
    """Whether a class inherits from classes of ours only: their methods are a part of it, those of str are not."""
    bases = kind.__mro__[1:-1]
    return bool(bases) and all(base.__module__.startswith("migrollback_nb.") for base in bases)


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseException)


def _public() -> list[tuple[str, Any]]:
    return [(name, getattr(migrollback_nb, name)) for name in migrollback_nb.__all__ if name != "panels"]


def python_main() -> str:
    """The functions, and `Migrations`."""
    return _python(*(name for name, thing in _public() if inspect.isfunction(thing)), "Migrations", "Timeouts")


def python_errors() -> str:
    """The errors."""
    return _python(*(name for name, thing in _public() if _is_error(thing)))


def python_results() -> str:
    """All other public classes."""
    return _python(
        *(
            name
            for name, thing in _public()
            if inspect.isclass(thing) and not _is_error(thing) and name not in ("Migrations", "Timeouts")
        )
    )


def python_panels() -> str:
    """The panels."""
    from migrollback_nb import panels

    lines: list[str] = []
    for name in panels.__all__:
        kind = "autofunction" if inspect.isfunction(getattr(panels, name)) else "autoclass"
        lines += ["```{eval-rst}", f".. {kind}:: migrollback_nb.panels.{name}", "```", ""]
    return "\n".join(lines)


# -- where they stand --------------------------------------------------------------------------------------------------

#: Name in a page -> what makes its text; those that need the facts of a fresh installation come second.
MAKERS: dict[str, Callable[[], str]] = {
    "command line": cli_reference,
    "sqlstates": sqlstate_reference,
    "python": python_main,
    "python errors": python_errors,
    "python results": python_results,
    "python panels": python_panels,
    "rooms": rooms.picture,
    "room table": rooms.table,
}
FROM_FACTS: dict[str, Callable[[Facts], str]] = {
    "sql functions": sql_reference,
    "tables": table_reference,
    "json": json_reference,
}


def places() -> dict[str, list[str]]:
    """Page -> the names of what the source puts there."""
    return {
        str(page.relative_to(DOCS)): found
        for page in sorted(DOCS.rglob("*.md"))
        if "_build" not in page.parts and (found := _PLACE.findall(page.read_text(encoding="utf-8")))
    }


def _replace(_app: object, _page: str, source: list[str]) -> None:
    def made(match: re.Match[str]) -> str:
        name = match.group(1)
        return MAKERS[name]() if name in MAKERS else FROM_FACTS[name](facts(DOCS / "_build" / ".facts"))

    source[0] = _PLACE.sub(made, source[0])


def _refresh(*_: object) -> list[str]:
    """Pages made from the source are read again at every build: Sphinx sees no change of theirs."""
    return [page.removesuffix(".md") for page in places()]


_as_written: dict[str, list[str]] = {}


def _keep_comment(_app: object, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Before napoleon: a comment beside a field is text, and no `type: description`."""
    if what == "attribute":
        _as_written[name] = list(lines)


def _put_comment_back(_app: object, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    if what == "attribute" and name in _as_written:
        lines[:] = _as_written[name]


def _draw_dashes(_app: object, tree: nodes.document) -> None:
    """Draw Sphinx's ` -- ` between a parameter and its text as a dash: smart quotes are off, for options' dashes."""
    for text in [text for text in tree.findall(nodes.Text) if text.startswith(" -- ")]:
        text.parent.replace(text, nodes.Text(" – " + text.removeprefix(" -- ")))  # noqa: RUF001  # a dash, as printed


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("source-read", _replace)
    app.connect("env-get-outdated", _refresh)
    # before and after napoleon, whose priority is 500: it takes a comment for `type: description`
    app.connect("autodoc-process-docstring", _keep_comment, priority=100)
    app.connect("autodoc-process-docstring", _put_comment_back, priority=900)
    app.connect("doctree-read", _draw_dashes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
