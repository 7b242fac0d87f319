"""Is this build slower than BASE? Five warm figures of both, measured in turns on this machine.

BASE (a commit, branch or tag; without it, the commit of the newest line in benchmarks/history) is
checked out into a temporary folder and measured by its own code; this checkout is measured with its
uncommitted changes. Both builds' kernels are compiled beforehand. Then come sittings: fresh
processes of both, each figure in turns A B B A, so that a slow minute of a shared machine affects
both. The result is how much more time this build takes, with a 95 % confidence interval (Wilcoxon's
signed ranks over the sittings). A figure is slower if the whole interval lies above the limit of
8 %.

A change that is slower for a reason says so in its commit's message, on a line of its own:
    Slower: event path: singles carry their depth of interaction now
Such a figure passes, and is shown with its reason.

exit status: 0 not slower; 1 slower, or something failed; 2 BASE cannot be compared with (it is not
in this clone, or is older than this command)
"""

from __future__ import annotations

import argparse

from daq.cli.bench.speed_history import HISTORY
from daq.cli.common import add_json_option, finish, positive, whole

SITTINGS, FEWEST_SITTINGS = 8, 6
"""With fewer, an exact 95 % interval does not exist."""

LIMIT_PERCENT = 8.0

EXAMPLES = """\
examples:
  tomoshibi bench compare main                     what this branch costs, before it is merged
  tomoshibi bench compare HEAD                     what is not committed yet
  tomoshibi bench compare v1.2 --figure projector --figure "event path"
  tomoshibi bench compare                          against the history's newest line, as CI does
  tomoshibi bench compare --record                 and add a line where nothing is slower
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("base", nargs="?", default=None, metavar="BASE",
                        help=f"commit (default: that of the newest line in {HISTORY})")  # fmt: skip
    parser.add_argument("--figure", action="append", default=[], type=_figure, metavar="NAME",
                        help='only this one, e.g. "event path"; may be repeated')  # fmt: skip
    parser.add_argument("--sittings", type=_sittings, default=SITTINGS, metavar="N",
                        help="pairs of fresh processes; more make the interval narrower "
                        f"(default: %(default)s; at least {FEWEST_SITTINGS})")  # fmt: skip
    parser.add_argument("--limit", type=positive, default=LIMIT_PERCENT, metavar="PERCENT",
                        help="how much slower is too slow (default: %(default)g)")  # fmt: skip
    parser.add_argument("--record", action="store_true", default=False,
                        help="if nothing is slower, add a line to the history")  # fmt: skip
    add_json_option(parser)


def _figure(text: str) -> str:
    return " ".join(text.lower().replace("-", " ").replace("_", " ").split())


def run(options: argparse.Namespace) -> int:
    """Compare; return the exit status."""
    from daq.cli.bench.comparison import compare

    return compare(
        options.base,
        figures=options.figure,
        sittings=options.sittings,
        limit_percent=options.limit,
        record=options.record,
        tell_result=lambda result, text: finish(options, result, text),
    )


def _sittings(text: str) -> int:
    if (count := whole(text)) < FEWEST_SITTINGS:
        raise argparse.ArgumentTypeError(
            f"{text} sittings: at least {FEWEST_SITTINGS}, of fewer there is no interval of 95 %"
        )
    return count
