"""What `render` and `capture` take, for migrations that are programs: their arguments as data. Writes nothing."""

from __future__ import annotations

from migrollback_nb.cli.arguments import argument

CAPTURE = (
    argument(
        "name",
        metavar="NAME",
        nargs="?",
        migration=True,
        help="the migration that the command applies; else the one that its ledger holds afterwards",
    ),
    argument(
        "--down", metavar="COMMAND", help="the tool's own way back, run afterwards: what it leaves otherwise is said"
    ),
    argument("--each", action="store_true", help="run the command again until it applies nothing more"),
    argument("--empty", action="store_true", help="begin with an empty database instead of a copy of the schema"),
    argument("--on", metavar="DSN", help="server on which the scratch database is made; else the embedded one"),
)

RENDER = (
    argument(
        "--on", metavar="DSN", help="of Django: server on which its scratch database is made; else the embedded one"
    ),
)
