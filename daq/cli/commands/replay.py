"""Replay a run.

--verify sorts the raw log again and compares the coincidences bit for bit with those written live;
the exit status is 0 only if they are identical. Without it the raw log is sent through the live
chain as if the scanner were there: a new run, a live image, the console.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from daq.cli.common import (
    add_json_option,
    add_runs_option,
    add_threads_option,
    find_run,
    finish,
)
from daq.cli.options.replay_speed import add_speed_options
from daq.cli.progress import ProgressLine

EXAMPLES = """\
examples:
  tomoshibi replay last --verify
  tomoshibi replay RUN                      in the console, in real time
  tomoshibi replay RUN --speed 5
  tomoshibi replay RUN --headless --fast    as fast as the chain takes it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    parser.add_argument("--verify", action="store_true", help="compare the bits; no live chain")
    parser.add_argument("--headless", action="store_true", help="no window")
    add_speed_options(parser)
    parser.add_argument("--name", default="", help="name of the new run's folder")
    add_threads_option(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Verify or replay."""
    folder = find_run(options.run_folder, options.runs)
    return _verify(options, folder) if options.verify else _replay(options, folder)


def _verify(options: argparse.Namespace, folder: Path) -> int:
    from daq.replay.sort_again import verify

    progress = ProgressLine("verifying")
    found = verify(folder, progress=progress, threads=options.threads)
    progress.done()
    words = "identical" if found.identical else "DIFFERENT"
    text = (
        f"{folder.name}: {words}\n  live   {found.live_hash}\n  replay {found.replay_hash}\n"
        + _further(found.live_further, found.replay_further)
        + f"  {found.prompts} prompts, {found.delayeds} delayeds"
        + ("" if found.complete else "; the run was cut off: its beginning was compared")
        + (f"\n  {found.trouble}" if found.trouble else "")
    )
    finish(options, {"run": str(folder), **asdict(found)}, text)
    return 0 if found.identical and not found.trouble else 1


def _further(live: dict[str, str], replay: dict[str, str]) -> str:
    """Return a line for each further log compared."""
    return "".join(f"  {kind}: live {live[kind]}, replay {replay[kind]}\n" for kind in live)


def _replay(options: argparse.Namespace, folder: Path) -> int:
    from daq.cli.launch.live_chain import LiveChain, replay_plan

    return LiveChain(replay_plan(options, folder)).run_and_report(options)
