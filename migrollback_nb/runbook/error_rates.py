"""Error rates of a database before and after a rollback, from the counters of pg_stat_database; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

#: Counters that count troubles, and what they are in words.
TROUBLES = {
    "xact_rollback": "transactions that were rolled back",
    "deadlocks": "deadlocks",
    "conflicts": "queries cancelled by recovery",
    "sessions_abandoned": "sessions whose client was lost",
    "sessions_fatal": "sessions ended by an error",
    "checksum_failures": "checksum failures",
}
#: A share or a rate that grows beyond this many times what it was ...
FACTOR = 2.0
#: ... and, of transactions rolled back, by more than this share of all.
ALLOWANCE = 0.01


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What happened between two readings of the counters, against what was usual until the first.

    Parameters
    ----------
    before, after : mapping
        Readings: the counters, ``at`` (ISO 8601) and ``stats_reset`` (ISO 8601 or None).

    Returns
    -------
    dict
        risen: names of the counters that rose unusually; lines: all of it in words; seconds: between the readings.
        Where the counters were reset in between, reset is True and nothing is compared; where no transaction was
        counted, quiet is True.

    Examples
    --------
    >>> calm = {"at": "2026-01-02T00:00:00+00:00", "stats_reset": "2026-01-01T00:00:00+00:00"}
    >>> calm |= {"xact_commit": 9990, "xact_rollback": 10}
    >>> later = calm | {"at": "2026-01-02T00:10:00+00:00", "xact_commit": 10050, "xact_rollback": 50}
    >>> compare(calm, later)["lines"][0]
    'transactions that were rolled back: 40 of 100 (40.0 %) in 10 min; before 0.1 %: RISEN'
    """
    seconds = (datetime.fromisoformat(after["at"]) - datetime.fromisoformat(before["at"])).total_seconds()
    if before.get("stats_reset") != after.get("stats_reset") or any(
        (after.get(name) or 0) < (before.get(name) or 0) for name in ("xact_commit", *TROUBLES)
    ):
        return {
            "reset": True,
            "quiet": False,
            "risen": [],
            "seconds": seconds,
            "lines": ["The counters were reset in between: nothing can be compared"],
        }
    usual = (
        (datetime.fromisoformat(before["at"]) - datetime.fromisoformat(before["stats_reset"])).total_seconds()
        if before.get("stats_reset")
        else None
    )
    risen, lines = [], []
    for name, words in TROUBLES.items():
        if before.get(name) is None or after.get(name) is None:
            continue
        count = after[name] - before[name]
        if name == "xact_rollback":
            everything = count + after["xact_commit"] - before["xact_commit"]
            share = count / everything if everything else 0.0
            ever = before[name] + before["xact_commit"]
            share_before = before[name] / ever if ever else 0.0
            rose = share > max(FACTOR * share_before, share_before + ALLOWANCE)
            shares = f"{share:.1%}".replace("%", " %"), f"{share_before:.1%}".replace("%", " %")
            line = f"{words}: {count:,} of {everything:,} ({shares[0]}) in {_span(seconds)}; before {shares[1]}"
        else:
            expected = before[name] / usual * seconds if usual else 0.0
            rose = count > max(FACTOR * expected, expected + 1) or (name == "checksum_failures" and count > 0)
            line = f"{words}: {count:,} in {_span(seconds)}; usual {expected:.1f}"
        if rose:
            risen.append(name)
        lines.append(line + (": RISEN" if rose else ""))
    quiet = not any(after[name] - before[name] for name in ("xact_commit", "xact_rollback"))
    return {"reset": False, "quiet": quiet, "risen": risen, "seconds": seconds, "lines": lines}


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
