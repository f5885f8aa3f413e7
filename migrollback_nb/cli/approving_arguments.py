"""What request, approve, approvals and policy take: their arguments as data. Writes nothing."""

from __future__ import annotations

from migrollback_nb.cli.arguments import DEPLOYS, argument
from migrollback_nb.cli.range_arguments import ROLLBACK

#: As of rollback, which means the same by them.
_OF_ROLLBACK = ("names", "--deploy", "--to", "--last", "--since", "--select", "--exclude", "--chain", "--preview")
_WIDE = DEPLOYS[0]

REQUEST = (
    *(one for one in ROLLBACK if one.names[0] in _OF_ROLLBACK),
    argument("--reason", metavar="TEXT", help="why; the approvers see it"),
    argument("--resolve", action="store_true", help="not to roll it back, but to resolve it by force"),
)

_REQUEST = argument("request", metavar="ID", type=int, help="number of the request, as approvals lists it")

APPROVE = (
    _REQUEST,
    argument("--confirm", metavar="NAME", help="approve without being asked, by the name of the (last) migration"),
    argument("--reason", metavar="TEXT", help="goes into the audit log"),
)

APPROVALS = (
    argument("request", metavar="ID", type=int, nargs="?", help="only this request, with the SQL that would run"),
    argument("--open", action="store_true", help="without those that were used, withdrawn, or are void"),
    argument("--withdraw", metavar="ID", type=int, help="withdraw a request, with the approvals that it has"),
    argument("--reason", metavar="TEXT", help="with --withdraw: why"),
    _WIDE,
)

POLICY = (
    argument("policy", metavar="NAME", nargs="?", help="the policy; without any: all are listed"),
    argument("--approvals", type=int, metavar="N", either="what", help="set it: how many approvals it takes"),
    argument("--remove", action="store_true", either="what", help="remove it; needs --reason"),
    argument(
        "--by",
        metavar="ROLE",
        action="append",
        default=[],
        help="who approves: this role, or its members; several times: any of them (default: any other role)",
    ),
    argument(
        "--target",
        metavar="NAME",
        action="append",
        default=[],
        help="of which migrations, with * and ?; several times: any of them (default *)",
    ),
    argument(
        "--if",
        dest="conditions",
        metavar="WORD",
        action="append",
        default=[],
        help="only when this verdict or effect holds, such as loses, takes_others, not_rehearsed; several times: any",
    ),
    argument(
        "--command",
        dest="commands",
        choices=("rollback", "resolve"),
        action="append",
        default=[],
        help="of which command: rollback (default), or resolve, where it is forced",
    ),
    argument("--minutes", type=float, metavar="T", default=60, help="how long an approval holds (default 60)"),
    argument(
        "--break-glass-by",
        metavar="ROLE",
        action="append",
        default=[],
        help="who may do without, besides the owner of the system; may be repeated",
    ),
    argument("--reason", metavar="TEXT", help="goes into the audit log"),
    _WIDE,
)
