"""Events as JSON lines for log collectors, to their end or followed. Writes to the stream that it is given."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import json_value

if TYPE_CHECKING:
    from migrollback_nb.cli.command import Call

#: Seconds between two looks at the audit log.
INTERVAL = 1.0


def stream(call: Call, select: Any) -> None:
    """Print each event in one line, the oldest first; with --follow until it is interrupted. Does not write.

    Raises
    ------
    UsageError
        With options that JSON lines do not go with.
    """
    args = call.args
    if args.reverse or (args.follow and (args.limit is not None or args.until is not None)):
        raise UsageError("JSON lines come oldest first, and --follow has no end", hint="Leave the other option out.")
    after = args.after or 0
    wanted = {"event": args.event, "since": args.since, "until": args.until, "limit": args.limit}
    with suppress(KeyboardInterrupt):
        while True:
            rows = call.db.event_rows(select, args.exclude, after=after, **wanted)
            for row in rows:
                call.out.write(json.dumps(row, ensure_ascii=True, default=json_value) + "\n")
                after = row["event_number"]
            call.out.flush()
            if not args.follow:
                return
            time.sleep(INTERVAL)
