"""Show what became of a run, decide whether it counts, and sign it.

Raw data are always recorded: a run is kept, a test, or discarded (with a reason) by a mark made
afterwards, and nothing is deleted. --by signs with the present time. It stands in the run
(review.json), its journal, in `runs`, and in images and DICOM files made from then on. Any later
change takes the signature off.
"""

from __future__ import annotations

import argparse

from daq.cli.common import add_json_option, add_runs_option, find_run, finish

EXAMPLES = """\
examples:
  tomoshibi review last                                    what was decided
  tomoshibi review RUN --keep --by "M. Tanaka" --note "quiet patient, no motion"
  tomoshibi review RUN --discard "phantom moved at 2 min"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("which", metavar="RUN", help='the run: a folder, a name, or "last"')
    verdict = parser.add_mutually_exclusive_group()
    verdict.add_argument("--keep", action="store_true", help="it counts")
    verdict.add_argument("--test", action="store_true", help="it was a test")
    verdict.add_argument("--discard", metavar="REASON", help="it does not count, and why")
    parser.add_argument("--by", metavar="WHO", help="sign it")
    parser.add_argument("--note", metavar="TEXT", help="what to say of it")
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Show or change a review."""
    import datetime as dt

    import msgspec

    from daq.folder.identity.review_file import Review, change_review, read_review

    folder = find_run(options.which, options.runs)
    changes = _changes(options)
    if changes:
        review = change_review(folder, changes, now=dt.datetime.now().astimezone())
    else:
        review = read_review(folder) or Review()
    told = {"run": folder.name, "review": msgspec.to_builtins(review)}
    finish(options, told, f"{folder.name}: {review.words() or 'nothing was decided yet'}")
    return 0


def _changes(options: argparse.Namespace) -> dict[str, str]:
    changes: dict[str, str] = {}
    if options.keep or options.test:
        changes |= {"verdict": "keep" if options.keep else "test", "reason": ""}
    if options.discard is not None:
        changes |= {"verdict": "discard", "reason": options.discard}
    if options.by is not None:
        changes["reviewed_by"] = options.by
    if options.note is not None:
        changes["note"] = options.note
    return changes
