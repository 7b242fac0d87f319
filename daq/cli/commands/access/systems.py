"""List the running systems of this user on this machine, and the addresses where they are met.

Commands about a running system (tap, fault, console) find it by themselves if it is the only one;
of several, say which with --endpoint.
"""

from __future__ import annotations

import argparse

import msgspec

from daq.cli.common import add_json_option, finish
from daq.cli.which_system import NONE

EXAMPLES = """\
examples:
  tomoshibi systems
  tomoshibi systems --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print one line for each."""
    from daq.client.register import running_systems

    found = running_systems()
    lines = [
        f"{system.endpoint}   {system.scanner}, runs in {system.runs}, started by "
        f"`tomoshibi {system.by}`, process {system.pid}"
        for system in found
    ]
    result = {"systems": [msgspec.to_builtins(system) for system in found]}
    finish(options, result, "\n".join(lines) or NONE)
    return 0
