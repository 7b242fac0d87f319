"""Send a run's raw log as a source of data (the sending part of `tomoshibi replay`).

It attaches to an acquisition service and sends the frames when a run with the log's run tag is
started (`tomoshibi replay` arranges that).
"""

from __future__ import annotations

import argparse
import signal

from daq.cli.common import add_endpoint_option, add_runs_option, find_run
from daq.cli.options.replay_speed import add_speed_options, speed_of

EXAMPLES = """\
examples:
  tomoshibi replay-source RUN --fast
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    add_speed_options(parser)
    add_endpoint_option(parser)
    add_runs_option(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until told to leave."""
    from daq.folder.run_folder import run_config
    from daq.replay.raw_log_source import ReplaySource
    from hw.messages.endpoints import Endpoints

    folder = find_run(options.run_folder, options.runs)
    source = ReplaySource(
        folder, run_config(folder), Endpoints(options.endpoint), speed=speed_of(options)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: source.leave())
    source.serve()
    return 0
