"""Functions of extensions that migrations use as if they were always there -> the extension. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from migrollback_nb.parsing.objects import statement_objects

#: Extension -> its functions that published migrations call; all of them ship with PostgreSQL itself.
_FUNCTIONS = {
    "uuid-ossp": (
        *("uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v3", "uuid_generate_v4", "uuid_generate_v5"),
        *("uuid_nil", "uuid_ns_dns", "uuid_ns_url", "uuid_ns_oid", "uuid_ns_x500"),
    ),
    "pgcrypto": (
        *("crypt", "gen_salt", "digest", "hmac", "gen_random_bytes", "armor", "dearmor", "encrypt", "decrypt"),
        *("pgp_sym_encrypt", "pgp_sym_decrypt", "pgp_pub_encrypt", "pgp_pub_decrypt"),
    ),
    "pg_trgm": ("similarity", "word_similarity", "strict_word_similarity", "show_trgm"),
    "unaccent": ("unaccent",),
    "tablefunc": ("crosstab", "connectby", "normal_rand"),
    "fuzzystrmatch": ("levenshtein", "soundex", "metaphone", "dmetaphone", "difference"),
    "hstore": ("hstore", "akeys", "avals", "skeys", "svals"),
    "dblink": ("dblink", "dblink_exec", "dblink_connect"),
    "earthdistance": ("earth_distance", "ll_to_earth", "earth_box"),
}
_EXTENSIONS = {function: extension for extension, functions in _FUNCTIONS.items() for function in functions}


def functions_named(statement: str) -> dict[str, str]:
    """Functions of extensions that a statement calls, bodies of code included -> the extension.

    Examples
    --------
    >>> functions_named("CREATE TABLE t (id uuid DEFAULT uuid_generate_v4(), n int DEFAULT length('a'))")
    {'uuid_generate_v4': 'uuid-ossp'}
    """
    used = dict.fromkeys(
        mention.name
        for one in statement_objects(statement)
        for mention in one.mentions
        if mention.space == "routine" and mention.action == "used"
    )
    return {name: _EXTENSIONS[name] for name in used if name in _EXTENSIONS}


def missing_words(missing: Iterable[tuple[str, str]]) -> str:
    """What (function, extension) that are not there have in common with each other, in words; pure.

    Examples
    --------
    >>> missing_words([("uuid_generate_v4", "uuid-ossp")])
    'uuid_generate_v4() is of extension uuid-ossp'
    """
    return ", ".join(f"{function}() is of extension {extension}" for function, extension in missing)
