"""Databases as earlier versions left them: their install script, and what they may hold, for copying."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from pg_servers import Server

VERSIONS = Path(__file__).parent
#: Of what is generated for a schema and differs: md5 of the rollback SQL, checksum of the text.
OF_SCHEMA = {
    '"Ops1"': ("7dca23f94b4224be02d675aeab389227", "d17df086f25a4d2d61d2c3fd1c8db3f6ac305707e07acd9700750b09603878d9"),
    "public": ("a519031e43bdca3f9d7d4b030da221b1", "ef9c34558aa103b53fde89f39f292ae70df2f296369fd95db659a379b48626b6"),
}


def script(version: str, name: str, schema: str) -> str:
    """A script of a version for another schema than Ops1: as long as that, so that the offsets in it stay right."""
    text = (VERSIONS / version / f"{name}.sql").read_text(encoding="utf-8")
    quoted = schema if schema == "public" else f'"{schema}"'
    assert len(quoted) == len('"Ops1"')
    for old, new in zip(OF_SCHEMA['"Ops1"'], OF_SCHEMA[quoted], strict=True):
        text = text.replace(old, new)
    return text.replace('"Ops1"', quoted)


@pytest.fixture(scope="module")
def templates(server: Server) -> Iterator[dict[tuple[str, str, bool], str]]:
    """Databases that were made for copying."""
    made: dict[tuple[str, str, bool], str] = {}
    yield made
    for name in made.values():
        server.drop_database(name)


@pytest.fixture
def old(server: Server, templates: dict[tuple[str, str, bool], str]) -> Iterator[Callable[..., str]]:
    """Makes databases of version 0.1.0: old(schema="public", filled=True) -> DSN."""
    copies = []

    def make(schema: str = "public", *, version: str = "0.1.0", filled: bool = True) -> str:
        key = (version, schema, filled)
        if key not in templates:
            templates[key] = server.create_database()
            with psycopg.connect(server.dsn(templates[key]), autocommit=True) as connection:
                connection.execute(script(version, "install", schema))
                if filled:
                    # each a transaction of its own: the gate takes what one transaction wrote for tampering
                    for statement in script(version, "data", schema).split(";\n"):
                        connection.execute(statement)
        copies.append(server.create_database(template=templates[key]))
        return server.dsn(copies[-1])

    yield make
    for name in copies:
        server.drop_database(name)
