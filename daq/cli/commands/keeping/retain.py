"""Say which stored runs a rule lets go, and why each of the others is kept; --delete deletes them.

A run goes only if it is closed, sound, not marked keep, as old as the rule says, and if a copy made
by `tomoshibi archive` has every file that it has now. Without --delete nothing changes, and copies
are looked at by names and sizes. With --delete every byte of run and copy is read and compared at
that moment; a run whose copy differs is kept, and the exit status is 1. The oldest go first. What
was deleted, and where its copy is, stands in RUNS/deleted_runs.jsonl.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from daq.cli.common import CommandError, add_json_option, add_runs_option, finish, positive
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.archive.retention import Fate

EXAMPLES = """\
examples:
  tomoshibi retain --older-than 30                    what would go, and why the others stay
  tomoshibi retain --older-than 30 --delete
  tomoshibi retain --free-GB 200 --older-than 7       the oldest, until 200 GB are free
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--older-than", type=positive, metavar="DAYS",
                        help="runs armed at least so many days ago may go")  # fmt: skip
    parser.add_argument("--free-GB", type=positive, metavar="G",
                        help="only as many as it takes for so many GB (10⁹ bytes) to be free on "
                        "the disk of the runs")  # fmt: skip
    parser.add_argument("--delete", action="store_true", help="delete them; else nothing changes")
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Judge all runs, and delete if asked to."""
    import datetime as dt
    import shutil
    from dataclasses import asdict

    from daq.archive.retention import Rule, fates

    if options.older_than is None and options.free_GB is None:
        raise CommandError("give a rule: --older-than DAYS, --free-GB G, or both")
    if not options.runs.is_dir():
        raise CommandError(f"{options.runs} is no folder: --runs names that of the runs")
    wanted = None if options.free_GB is None else int(options.free_GB * 1e9)
    line = ProgressLine("comparing with the copies")
    found = list(
        fates(
            options.runs, Rule(options.older_than or 0.0, wanted), delete=options.delete,
            now=dt.datetime.now().astimezone(), free=shutil.disk_usage(options.runs).free,
            progress=line,
        )
    )  # fmt: skip
    line.done()
    result = {"runs": [asdict(one) for one in found], "deleted": sum(one.done for one in found),
              "freed_bytes": sum(one.bytes for one in found if one.done)}  # fmt: skip
    finish(options, result, "\n".join([*map(_line, found), _sum(found, options.delete)]))
    return 1 if any(one.failed for one in found) else 0


def _line(fate: Fate) -> str:
    what = "deleted" if fate.done else "would go" if fate.goes else "kept"
    return f"{fate.name:<34} {what:<8} {fate.why}"


def _sum(found: list[Fate], delete: bool) -> str:
    going = [one for one in found if one.goes]
    size = f"{len(going)} of {len(found)} runs, {sum(one.bytes for one in going) / 1e9:.2f} GB"
    return f"{size} deleted" if delete else f"{size} would go; --delete deletes them"
