"""Colours and styles of the pictures, light and dark, as one style sheet; and words and signs beside them. Pure."""

from __future__ import annotations

#: The class of every picture's <svg>.
CLASS = "migrollback-picture"
FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"

# name -> (light, dark); texts hold 4.5:1 on their ground, lines 3:1 on paper
_COLOURS = {
    "paper": ("#ffffff", "#1e1e1e"),
    "ink": ("#1a1a1a", "#e8e8e8"),
    "quiet": ("#555555", "#b0b0b0"),
    "rule": ("#d9d9d9", "#3d3d3d"),
    "band": ("#f6f6f6", "#262626"),
    "edge": ("#6b6b6b", "#9a9a9a"),
    "applied": ("#d7f5dd", "#14401f"),
    "on-applied": ("#0b3d1a", "#d7f5dd"),
    "applied-line": ("#2f7d46", "#5fbf7c"),
    "rolled-back": ("#eeeeee", "#333333"),
    "on-rolled-back": ("#444444", "#d0d0d0"),
    "rolled-back-line": ("#6b6b6b", "#a0a0a0"),
    "failed": ("#b3261e", "#b3261e"),
    "on-failed": ("#ffffff", "#ffffff"),
    "failed-line": ("#7a120c", "#ff9e97"),
    "falls": ("#fde3e1", "#55201c"),
    "on-falls": ("#7a120c", "#ffd9d6"),
    "falls-line": ("#c62828", "#ff8a80"),
    "needs": ("#dce9fb", "#1b3556"),
    "on-needs": ("#0b3468", "#d6e6ff"),
    "needs-line": ("#1b5fc1", "#82b4ff"),
    "careful": ("#ffe9b8", "#4d3a00"),
    "on-careful": ("#3d2b00", "#ffe9b8"),
}

#: Where a page says that it is dark: JupyterLab and Notebook 7, VS Code, Voila.
_DARK_PAGES = ('body[data-jp-theme-light="false"]', "body.vscode-dark", "body.theme-dark")
_LIGHT_PAGES = ('body[data-jp-theme-light="true"]', "body.vscode-light", "body.theme-light")

# @name is a colour; a program that knows no variables takes the light one
_RULES = f"""
.{CLASS}{{font-family:{FONT};font-size:12px;background:@paper}}
.{CLASS} text{{fill:@ink;stroke:none}}
.{CLASS} .paper{{fill:@paper;stroke:none}}
.{CLASS} .band{{fill:@band;stroke:none}}
.{CLASS} .rule{{stroke:@rule;fill:none}}
.{CLASS} .quiet{{fill:@quiet;font-size:11px}}
.{CLASS} .heading{{font-weight:600}}
.{CLASS} .strong{{font-weight:600}}
.{CLASS} .node rect,.{CLASS} .node circle{{fill:@applied;stroke:@applied-line}}
.{CLASS} .node .wait{{fill:none;stroke:none;pointer-events:all}}
.{CLASS} .node text{{fill:@on-applied}}
.{CLASS} .node.plain text{{fill:@ink}}
.{CLASS} .rolled_back rect,.{CLASS} .rolled_back circle{{fill:@rolled-back;stroke:@rolled-back-line}}
.{CLASS} .rolled_back rect,.{CLASS} .rolled_back circle{{stroke-dasharray:3 2}}
.{CLASS} .rolled_back text{{fill:@on-rolled-back}}
.{CLASS} .failed rect,.{CLASS} .failed circle{{fill:@failed;stroke:@failed-line;stroke-width:2}}
.{CLASS} .failed text{{fill:@on-failed}}
.{CLASS} .object rect{{fill:@band;stroke:@rolled-back-line}}
.{CLASS} .object text{{fill:@ink}}
.{CLASS} .falls rect,.{CLASS} .falls circle{{fill:@falls;stroke:@falls-line;stroke-dasharray:none}}
.{CLASS} .falls text{{fill:@on-falls}}
.{CLASS} .needs rect,.{CLASS} .needs circle{{fill:@needs;stroke:@needs-line;stroke-dasharray:none}}
.{CLASS} .needs text{{fill:@on-needs}}
.{CLASS} .chosen rect,.{CLASS} .chosen circle{{stroke-width:3}}
.{CLASS} .chosen text{{font-weight:600}}
.{CLASS} .node .row{{fill:none;stroke:none;pointer-events:all}}
.{CLASS} .node:hover .row{{fill:@band}}
.{CLASS} .node.plain text{{fill:@ink}}
.{CLASS} .node.plain .quiet{{fill:@quiet}}
.{CLASS} .node .sign-bad{{fill:@falls-line;font-weight:600}}
.{CLASS} .node .sign-good{{fill:@applied-line;font-weight:600}}
.{CLASS} .node .sign-careful{{fill:@ink}}
.{CLASS} .link{{fill:none;stroke:@edge}}
.{CLASS} .falls .link{{stroke:@falls-line}}
.{CLASS} .needs .link{{stroke:@needs-line}}
.{CLASS} .edge path:not(.migrollback-wide){{fill:none;stroke:@edge;stroke-width:1.2}}
.{CLASS} .edge .head{{fill:@edge;stroke:none}}
.{CLASS} .edge.inferred path:not(.migrollback-wide){{stroke-dasharray:5 3}}
.{CLASS} .edge.schema-only path:not(.migrollback-wide){{stroke-dasharray:1 3;stroke-width:1}}
.{CLASS} .edge.falls path:not(.migrollback-wide){{stroke:@falls-line}}
.{CLASS} .edge.falls .head{{fill:@falls-line}}
.{CLASS} .edge.needs path:not(.migrollback-wide){{stroke:@needs-line}}
.{CLASS} .edge.needs .head{{fill:@needs-line}}
.{CLASS} .edge .migrollback-wide{{fill:none;stroke:transparent;stroke-width:10;stroke-dasharray:none}}
.{CLASS} .edge .migrollback-wide{{pointer-events:stroke}}
.{CLASS} .edge:hover path:not(.migrollback-wide){{stroke-width:3}}
"""


def css(theme: str = "auto") -> str:
    """The style sheet of all pictures.

    Parameters
    ----------
    theme : {'auto', 'light', 'dark'}
        auto: as the page says that it is, else as the reader's system does.
    """
    own = f".{CLASS}.mr-{theme}"  # two pictures of one page may have two themes
    light = ";".join(f"--mr-{name}:{pair[0]}" for name, pair in _COLOURS.items())
    dark = ";".join(f"--mr-{name}:{pair[1]}" for name, pair in _COLOURS.items())
    if theme != "auto":
        return f"{own}{{{dark if theme == 'dark' else light}}}" + _rules(int(theme == "dark"))
    sheet = f"{own}{{{light}}}@media (prefers-color-scheme:dark){{{own}{{{dark}}}}}"
    sheet += ",".join(f"{page} {own}" for page in _LIGHT_PAGES) + f"{{{light}}}"
    sheet += ",".join(f"{page} {own}" for page in _DARK_PAGES) + f"{{{dark}}}"
    return sheet + _rules(0)


def _rules(place: int) -> str:
    text = _RULES
    for name in sorted(_COLOURS, key=len, reverse=True):
        for prop in ("fill", "stroke", "background"):
            pair = f"{prop}:{_COLOURS[name][place]};{prop}:var(--mr-{name})"
            for end in (";", "}"):
                text = text.replace(f"{prop}:@{name}{end}", pair + end)
    return text.replace("\n", "")


#: Status -> word.
STATUS = {"applied": "applied", "rolled_back": "rolled back", "failed": "failed"}

#: Verdict -> sign, word, class.
VERDICTS = {
    "blocked": ("✗", "blocked", "sign-bad"),
    "loses": ("!", "loses data", "sign-bad"),
    "takes_others": ("!", "takes others", "sign-careful"),
    "harms": ("!", "harms", "sign-careful"),
    "not_rehearsed": ("?", "not rehearsed", "sign-careful"),
    "ready": ("✓", "ready", "sign-good"),
}
