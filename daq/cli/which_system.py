"""Which running system a command is about, where no ``--endpoint`` names it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from daq.cli.common import CommandError, add_keys_option

NONE = (
    "no system runs here: `tomoshibi demo` starts one with everything, `tomoshibi acquire` the "
    "acquisition alone. One on another machine is named with --endpoint"
)


def add_running_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--endpoint`` of a command that is about a running system."""
    parser.add_argument(
        "--endpoint",
        default=os.environ.get("TOMOSHIBI_ENDPOINT", ""),
        metavar="ADDRESS",
        help="address of the system (default: $TOMOSHIBI_ENDPOINT or, if it is the only one, the "
        "system that runs here; `tomoshibi systems` lists them)",
    )
    add_keys_option(parser)


def endpoint_of(options: argparse.Namespace) -> str:
    """Return the address that was given, or that of the only running system.

    Raises CommandError, which says what to type, where there is none, or more than one.
    """
    from daq.client.register import running_systems

    if options.endpoint:
        return str(options.endpoint)
    found = running_systems()
    if not found:
        raise CommandError(NONE)
    if len(found) > 1:
        lines = [
            f"  --endpoint {system.endpoint}   {system.scanner}, {Path(system.runs)}, "
            f"{system.by} (process {system.pid})"
            for system in found
        ]
        raise CommandError("\n".join([f"{len(found)} systems run here; say which:", *lines]))
    return found[0].endpoint
