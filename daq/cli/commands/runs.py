"""List the runs in the runs folder, newest first.

The list is an index (runs.sqlite) that is updated each time; the run folders are the record, and
folders deleted or copied in are noticed.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from daq.cli.common import add_json_option, add_runs_option, finish

EXAMPLES = """\
examples:
  tomoshibi runs
  tomoshibi runs --runs /data/runs --json
"""


HEADING = (
    f"{'run':<34} {'condition':<10} {'time/s':>8} {'singles':>11} {'prompts':>10} "
    f"{'delayeds':>9} {'images':>6} {'MB':>7} books"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list."""
    from daq.folder.catalogue import Catalogue
    from daq.replay.run_recovery import unfinished

    rows = Catalogue(options.runs).rows()
    lines = [HEADING]
    lines += [
        f"{r.name:<34} {r.condition:<10} {r.detector_time_s:8.1f} {r.singles:11d} {r.prompts:10d} "
        f"{r.delayeds:9d} {r.images:6d} {r.bytes / 1e6:7.1f} {'close' if r.conserved else '–'}"
        for r in rows
    ]
    unfinished_runs = [folder.name for folder in unfinished(options.runs)]
    if unfinished_runs:
        lines.append(f"need recovery (`tomoshibi recover --all`): {', '.join(unfinished_runs)}")
    text = "\n".join(lines) if rows else f"no runs in {options.runs}: `tomoshibi demo` makes one"
    result = {"runs": [asdict(row) for row in rows], "need_recovery": unfinished_runs}
    finish(options, result, text)
    return 0
