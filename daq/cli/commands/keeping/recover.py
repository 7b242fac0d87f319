"""Repair runs that died: sort what is recorded, write the summary, make the image.

A run whose acquisition was killed, or lost its power, has a raw log without an end and no summary.
A torn tail, of which nothing was acknowledged, is cut off the log; everything that is made from the
log is made anew. A run whose sorting ended before its recording is repaired likewise. `tomoshibi
runs` shows which runs need it; `tomoshibi acquire` repairs those in its folder by itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    CommandError,
    add_json_option,
    add_runs_option,
    add_threads_option,
    find_run,
    finish,
    tell,
)
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.replay.run_recovery import Recovered

EXAMPLES = """\
examples:
  tomoshibi recover --all                 every run in the runs folder that needs it
  tomoshibi recover last
  tomoshibi recover RUN --no-image --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folders", metavar="RUN", nargs="*",
                        help='runs: folders, names, or "last"')  # fmt: skip
    parser.add_argument("--all", action="store_true", help="every run that needs it")
    parser.add_argument("--no-image", action="store_true", help="make no image")
    add_threads_option(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Recover the runs and print what was done."""
    from daq.replay.run_recovery import unfinished

    if bool(options.run_folders) == options.all:
        raise CommandError("name the runs to recover, or give --all")
    if options.all:
        folders = unfinished(options.runs)
    else:
        folders = [find_run(text, options.runs) for text in options.run_folders]
    done = [_recover(folder, options) for folder in folders]
    text = "\n".join(f"{one.folder.name}: {one.words()}" for one in done)
    result = [{"run": str(one.folder), "torn_bytes": one.torn_bytes, "added": one.added,
               "summary": one.summary} for one in done]  # fmt: skip
    finish(options, {"recovered": result}, text or f"no run in {options.runs} needs it")
    return 0


def _recover(folder: Path, options: argparse.Namespace) -> Recovered:
    from daq.replay.run_recovery import recover

    progress = ProgressLine(f"sorting {folder.name}")
    done = recover(folder, progress=progress, threads=options.threads)
    progress.done()
    if not options.no_image and _lacks_image(folder, done.summary):
        _make_image(folder)
    return done


def _lacks_image(folder: Path, summary: dict[str, Any]) -> bool:
    return bool(summary.get("prompts")) and not any(folder.glob("images/*.nii*"))


def _make_image(folder: Path) -> None:
    """Reconstruct with the defaults; if that fails, the run is recovered all the same."""
    from daq.cli import main

    tell(f"{folder.name}: making the image")
    if main(["reconstruct", str(folder)]):
        tell(f"{folder.name}: no image could be made; `tomoshibi reconstruct {folder}` says why")
