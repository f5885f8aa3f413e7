"""What runs on a scratch database before the first migration: the user's SQL files, and stand-ins of ours. Reads only.

A folder rarely begins at nothing: its migrations name schemas, tables and functions that the platform created before
the first of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from migrollback_nb.core.errors import UsageError

#: Variable that names preludes where none is given, as PATH names folders.
VARIABLE = "MIGROLLBACK_PRELUDE"
#: What `render` writes of the migrations of Django's installed apps, which the project's own come after.
INSTALLED_APPS = "installed_apps.prelude.sql"
_STAND_INS = Path(__file__).parent / "stand_ins"
#: Stand-ins that come with us, by the word that names each.
SHIPPED = ("supabase",)
#: What a Supabase database has before the first migration, so that a migration that misses it can be recognized.
SUPABASE_SCHEMAS = frozenset(
    {
        "auth",
        "storage",
        "extensions",
        "realtime",
        "graphql",
        "graphql_public",
        "vault",
        "net",
        "cron",
        "supabase_functions",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelude:
    """SQL that runs first."""

    name: str  #: the file as it was named, or the word for a stand-in
    text: str
    roles: str = ""  #: SQL that creates the roles which it names; run only on a server that is there for this alone
    extensions: Path | None = None  #: folder of stand-ins for extensions, as they lie in share/extension

    @property
    def is_stand_in(self) -> bool:
        """It came with us."""
        return self.extensions is not None

    @property
    def stood_in(self) -> frozenset[str]:
        """Names of the extensions that it has stand-ins for."""
        return (
            frozenset()
            if self.extensions is None
            else frozenset(file.stem for file in self.extensions.glob("*.control"))
        )


def find(names: Sequence[Path | str] | Path | str | None = None, *, beside: Path | None = None) -> tuple[Prelude, ...]:
    """The preludes of these names, and before them what was rendered of installed apps. Writes nothing.

    Parameters
    ----------
    names : Path, str, or sequence of them, optional
        Files of SQL, or ``supabase`` for the stand-in (a file of that name is ``./supabase``). By default what
        MIGROLLBACK_PRELUDE names.
    beside : Path, optional
        The folder of rollbacks, in which `render` writes what the apps that Django's project has installed create.

    Raises
    ------
    UsageError
        When one cannot be read.
    """
    if names is None:
        wanted: list[Path | str] = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    else:
        wanted = [names] if isinstance(names, Path | str) else list(names)
    if beside is not None and (installed := beside / INSTALLED_APPS).is_file():
        wanted.insert(0, installed)
    return tuple(
        _shipped(name) if name in SHIPPED else _read(Path(name)) for name in dict.fromkeys(wanted) if name != ""
    )


def extensions_only() -> tuple[Prelude, ...]:
    """Preludes that run nothing, but stand in for the extensions that no plain server has. Writes nothing."""
    return tuple(Prelude(name=name, text="", extensions=_STAND_INS / name / "extension") for name in SHIPPED)


def _shipped(name: Path | str) -> Prelude:
    folder = _STAND_INS / str(name)
    return Prelude(
        name=str(name),
        text=(folder / "schema.sql").read_text(encoding="utf-8"),
        roles=(folder / "roles.sql").read_text(encoding="utf-8"),
        extensions=folder / "extension",
    )


def _read(path: Path) -> Prelude:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The prelude {path} is not UTF-8", hint="Save it as UTF-8 text.") from error
    except OSError as error:
        hint = f"Name a file of SQL, or {' or '.join(SHIPPED)} for the stand-in that comes with migrollback_nb."
        raise UsageError(f"The prelude {path} cannot be read: {error.strerror}", hint=hint) from error
    # the only commands of psql that pg_dump writes into a plain dump of a schema
    kept = [
        line if not line.startswith(("\\restrict ", "\\unrestrict ")) else "\n"
        for line in text.splitlines(keepends=True)
    ]
    return Prelude(name=str(path), text=without_own_options("".join(kept)))


def without_own_options(dump: str) -> str:
    """A dump without the options of columns that PostgreSQL keeps for itself (15.20: pg_attver=N). Pure.

    Only its own pg_dump leaves them out.

    Examples
    --------
    >>> without_own_options("ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver=7, n_distinct=5);")
    'ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5);'
    """
    return re.sub(r" SET \(([^()\n]*\bpg_\w+=[^()\n]*)\);$", _set_the_others, dump, flags=re.MULTILINE)


def _set_the_others(found: re.Match[str]) -> str:
    listed = found[1].split(", ")
    others = [option for option in listed if not option.startswith("pg_")]
    # a column's name may hold anything, line breaks too, so what stands before is not looked at; RESET takes any name,
    # and changes nothing here
    return (
        f" SET ({', '.join(others)});"
        if others
        else f" RESET ({', '.join(option.partition('=')[0] for option in listed)});"
    )
