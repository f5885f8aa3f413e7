"""CREATE of what few databases have of their own: collations, conversions, languages, access methods. Pure."""

from __future__ import annotations

from collections.abc import Callable

from migrollback_nb.undo.ddl.objects import Definition, Step
from migrollback_nb.undo.ddl.quoting import literal
from migrollback_nb.undo.ddl.states import Schemas

#: What SQL calls the letter that the catalogs have for who provides a collation.
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_METHODS = {"i": "INDEX", "t": "TABLE"}


def _collation(_: Schemas, identity: str, d: Definition) -> list[Step]:
    parts = [f"PROVIDER = {_PROVIDERS[d['collprovider']]}"]
    # its column has another name since PostgreSQL 17
    locale = d.get("colllocale") or d.get("colliculocale")
    if d["collprovider"] == "c" and d["collcollate"] != d["collctype"]:
        parts += [f"LC_COLLATE = {literal(d['collcollate'])}", f"LC_CTYPE = {literal(d['collctype'])}"]
    else:
        parts.append(f"LOCALE = {literal(locale or d['collcollate'])}")
    if not d.get("collisdeterministic", True):
        parts.append("DETERMINISTIC = false")
    if d.get("collicurules"):
        parts.append(f"RULES = {literal(d['collicurules'])}")
    return [Step(sql=f"CREATE COLLATION {identity} ({', '.join(parts)})")]


def _conversion(_: Schemas, identity: str, d: Definition) -> list[Step]:
    usual = "DEFAULT " if d.get("default") else ""
    pair = f"{literal(d['for'])} TO {literal(d['to'])}"
    return [Step(sql=f"CREATE {usual}CONVERSION {identity} FOR {pair} FROM {d['proc']}")]


def _language(_: Schemas, identity: str, d: Definition) -> list[Step]:
    parts = [
        f" {word} {d[field]}"
        for field, word in (("handler", "HANDLER"), ("inline", "INLINE"), ("validator", "VALIDATOR"))
        if d.get(field)
    ]
    return [Step(sql=f"CREATE {'TRUSTED ' if d.get('trusted') else ''}LANGUAGE {identity}{''.join(parts)}")]


def _access_method(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [Step(sql=f"CREATE ACCESS METHOD {identity} TYPE {_METHODS[d['type']]} HANDLER {d['handler']}")]


CREATE: dict[str, Callable[[Schemas, str, Definition], list[Step]]] = {
    "access method": _access_method,
    "collation": _collation,
    "conversion": _conversion,
    "language": _language,
}
