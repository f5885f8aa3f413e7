"""Finds the passwords of a text by its literals and comments, and puts *** in their places. Pure.

Apart from `passwords`, because few texts may hold one, and reading these patterns takes as long as asking a database.
"""

from __future__ import annotations

import re

#: Any text that may hold one.
_MAY_HOLD = re.compile("password|://", re.IGNORECASE)
#: Comment, string, dollar-quoted string, name.
_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'(?!')|'(?:[^']|'')*'(?!')"""
    r"""|(?<![\w$])\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|"(?:[^"]|"")*"(?!")""",
    re.DOTALL,
)
#: What stands before a literal that is a password; ' is the end of another literal.
_BEFORE = re.compile(
    r"""password(?:["']?\s*(?:=>|:=|=|:)?\s*'?\s*(?:\|\|\s*)?(?:\w+\(\s*)?(?:U&)?|'\s*,\s*)$""", re.IGNORECASE
)
_BEFORE_JSON = re.compile(r"""password"\s*:\s*$""", re.IGNORECASE)
#: A literal whose arguments go where a password is.
_FORMAT = re.compile(r"password\s*=?\s*'*%", re.IGNORECASE)
_END = re.compile(r"('|\$\w*\$)$")
_VALUE = r"(?:'(?:[^'\\]|\\.)*'|(?:\\.|[^\s'\\])+)"
_CONNECTION_STRING = re.compile(rf"\s*\w+\s*=\s*{_VALUE}(?:\s+\w+\s*=\s*{_VALUE})*\s*", re.DOTALL)
_IN_CONNECTION_STRING = re.compile(rf"((?:^|\s)\w*password\s*=\s*){_VALUE}", re.IGNORECASE | re.DOTALL)
_IN_URI = (
    re.compile(r"""(://[^:/@\s'"]*:)[^\s'"/]+@"""),
    re.compile(r"""([?&]\w*password=)[^&\s'"]+""", re.IGNORECASE),
)
_BARE = (
    re.compile(
        r"""((?:host|hostaddr|port|dbname|user|service)\s*=\s*[^\s'"=]+\s+\w*password\s*=\s*)(?![*$])[^\s'"&();,]+""",
        re.IGNORECASE,
    ),
    re.compile(r"""(password=)(?![*'"$])(?:\\.|[^\s'"&();,\\])+""", re.IGNORECASE | re.DOTALL),
    # a literal that was cut off
    re.compile(r"""(password"?\s*(?:=\s*)?(?:E|U&)?(?:'|\$\w*\$))[^'$]*$""", re.IGNORECASE),
)


def mask(text: str) -> str:
    """As `passwords.mask_passwords`."""
    if not _MAY_HOLD.search(text):
        return text
    text = _IN_URI[0].sub(r"\1***@", text)
    text = _IN_URI[1].sub(r"\1***", text)
    if _CONNECTION_STRING.fullmatch(text):
        return _IN_CONNECTION_STRING.sub(r"\1***", text)
    shown: list[str] = []
    before, masked, arguments, place = "", False, False, 0
    for found in _TOKEN.finditer(text):
        code, token = text[place : found.start()], found[0]
        place = found.end()
        shown.append(_bare(code))
        before = (before + code)[-80:]
        masked = masked and code.isspace() and "\n" in code
        arguments = arguments and not set(code) & set(");")
        if token.startswith(("--", "/*")):
            shown.append(token[:2] + mask(token[2:]))
        elif token[0] == '"':
            hidden = bool(_BEFORE_JSON.search(before))
            shown.append('"***"' if hidden else f'"{mask(token[1:-1])}"')
            before = (before + token)[-80:]
        elif masked or arguments or _BEFORE.search(before):
            shown.append("'***'")
            before, masked = "", True
        else:
            shown.append(_literal(token))
            arguments = bool(_FORMAT.search(token))
            before = _END.sub("", token)[-80:] + "'"
    shown.append(_bare(text[place:]))
    return "".join(shown)


def _bare(code: str) -> str:
    """Without the passwords that stand in no literal: of a connection string among other words."""
    for pattern in _BARE:
        code = pattern.sub(r"\1***", code)
    return code


def _body(token: str) -> str:
    """What a literal says; of one with backslashes only the quotes are read."""
    if token[0] == "$":
        tag = token.index("$", 1) + 1
        return token[tag:-tag]
    if token[0] == "'":
        return token[1:-1].replace("''", "'")
    return token[2:-1].replace("''", "'").replace(r"\'", "'")


def _literal(token: str) -> str:
    """A literal without the passwords in what it says; itself where there are none."""
    body = _body(token)
    masked = mask(body)
    if body == masked:
        return token
    if token[0] == "$":
        tag = token[: token.index("$", 1) + 1]
        return f"{tag}{masked}{tag}"
    quoted = masked.replace("'", "''")
    return f"'{quoted}'" if token[0] == "'" else f"{token[0]}'{quoted}'"
