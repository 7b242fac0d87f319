"""Give a run a pseudonym, and take out who it is about.

identity.json is removed, after its content was written into a key file, if one is asked for; labels
that identify a person are taken out of older runs. Nothing else changes. Then all files of the run
are searched, inside archives too, for what was taken out; what is left is told, and the exit status
is 1. Copies, backups and exports elsewhere are not found.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from daq.cli.common import add_json_option, add_runs_option, find_run, finish

EXAMPLES = """\
examples:
  tomoshibi pseudonymise RUN --key-file /safe/keys/RUN.json
  tomoshibi pseudonymise RUN --pseudonym STUDY7-012
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("which", metavar="RUN", help='the run: a folder, a name, or "last"')
    parser.add_argument("--pseudonym", default="", metavar="TEXT",
                        help="the pseudonym (default: a random one)")  # fmt: skip
    parser.add_argument("--key-file", type=Path, metavar="FILE",
                        help="keep there whose pseudonym it is (0600); without it nobody can "
                        "tell any more")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Pseudonymise."""
    from daq.folder.identity.pseudonym import pseudonymise

    folder = find_run(options.which, options.runs)
    done = pseudonymise(folder, pseudonym=options.pseudonym, key_file=options.key_file)
    lines = [f"{folder} is {done.pseudonym} now", *(f"  {words}" for words in done.changed)]
    if done.key_file:
        lines.append(f"  {done.key_file}: says whose pseudonym it is")
    lines += [f"  LEFT in {place}: {what}" for place, what in done.left]
    lines += [f"  NOT SEARCHED: {place}" for place in done.not_searched]
    if done.clean:
        lines.append("  all files were searched: nothing of the person is left in them")
    finish(options, {**asdict(done), "clean": done.clean}, "\n".join(lines))
    return 0 if done.clean else 1
