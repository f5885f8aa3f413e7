"""Why a tool failed, as it says it itself."""

import pytest

from migrollback_nb.replay.tool_runs import Run

RUBY = """/gems/adapter.rb:83:in `new_client': connection failed (ActiveRecord::ConnectionNotEstablished)
\tIs the server running locally?
\tfrom /gems/postgresql_adapter.rb:77:in `new_client'
\tfrom migrate.rb:2:in `<main>'
"""
NODE = """/app/knexfile.js:3
    throw new Error("no such file")
    ^

Error: no such file
    at Object.<anonymous> (/app/knexfile.js:3:9) {
  code: 'ENOENT'
}

Node.js v20.20.2
"""
PYTHON = """Traceback (most recent call last):
  File "tool.py", line 1, in <module>
ValueError: no way
"""


@pytest.mark.parametrize(
    ("err", "why"),
    [
        (RUBY, "connection failed (ActiveRecord::ConnectionNotEstablished)"),
        (NODE, "Error: no such file"),
        (PYTHON, "ValueError: no way"),
        ("  only an indented line\n", "only an indented line"),
        ("", "exit status 1"),
        ("E: cannot drop Check(<Text object at 0x7faeba30ecd0>, 1)", "E: cannot drop Check(<Text object>, 1)"),
    ],
    ids=["ruby", "node", "python", "indented", "silent", "address"],
)
def test_why_it_failed_is_found_above_the_trace(err, why):
    assert Run(status=1, out="", err=err, seconds=0).trouble.endswith(why)
