"""Set a marker in the run that is going on: a few words at the present detector time.

It stands in the run (markers.json), in its journal and its summary; `tomoshibi runs --show RUN`
lists a run's markers. Sorting and images know nothing of it. Write nothing that identifies a
person.
"""

from __future__ import annotations

import argparse

from daq.cli.common import add_json_option, finish
from daq.cli.which_system import add_running_option, endpoint_of

EXAMPLES = """\
examples:
  tomoshibi mark "second injection"
  tomoshibi mark the patient coughed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("text", nargs="+", metavar="TEXT", help="what happened, in one line")
    add_running_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Set it."""
    from daq.client.client import ControlClient
    from hw.messages.endpoints import Endpoints

    with ControlClient(Endpoints(endpoint_of(options))) as daq:
        marker = daq.call("mark", text=" ".join(options.text))
    finish(options, marker, f"{marker['at_s']:.3f} s: {marker['text']}")
    return 0
