"""List the alarms of a running acquisition, acknowledge them, or put them aside for a while.

An alarm stays until its cause is gone and somebody has acknowledged it. One that is put aside
(--aside) is behind the others and comes back by itself. Acknowledging needs no control of the run.
"""

from __future__ import annotations

import argparse
from typing import Any

from daq.cli.common import CommandError, add_json_option, finish
from daq.cli.which_system import add_running_option, endpoint_of

EXAMPLES = """\
examples:
  tomoshibi alarms                 what waits for an answer, the worst first
  tomoshibi alarms --ack           all of them were seen
  tomoshibi alarms --ack 3 4       these were
  tomoshibi alarms --aside 4 --minutes 20
"""
WAIT_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--ack", nargs="*", type=int, metavar="NUMBER", help="acknowledge (all, without a number)"
    )
    parser.add_argument("--aside", nargs="+", type=int, metavar="NUMBER", help="put aside")
    parser.add_argument(
        "--minutes", type=float, default=10.0, metavar="M", help="for so long (default: 10)"
    )
    add_running_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Do what is asked, then list what is left."""
    from daq.client.client import ControlClient
    from hw.messages.endpoints import Endpoints

    endpoints = Endpoints(endpoint_of(options))
    with ControlClient(endpoints) as daq:
        if options.ack is not None:
            daq.call("acknowledge", numbers=options.ack)
        if options.aside:
            daq.call("shelve", numbers=options.aside, minutes=options.minutes)
    found = _alarms(endpoints)
    finish(options, {"alarms": found}, "\n".join(map(_line, found)) or "no alarms")
    return 0


def _alarms(endpoints: Any) -> list[dict[str, Any]]:
    """Return the alarms as the daq tells its displays."""
    import msgspec

    from daq.client.client import DisplayClient

    display = DisplayClient(endpoints)
    try:
        telemetry = display.telemetry(timeout_s=WAIT_S)
    finally:
        display.close()
    if telemetry is None:
        raise CommandError(f"no telemetry came within {WAIT_S:g} s: is the daq busy, or gone?")
    found: list[dict[str, Any]] = msgspec.to_builtins(telemetry.alarms)
    return found


def _line(alarm: dict[str, Any]) -> str:
    from hw.notices.catalogue import catalogue

    entry = catalogue().get(alarm["id"])
    state = "cause still there" if alarm["stands"] else "cause gone"
    if alarm["answered_by"]:
        state += f", acknowledged by {alarm['answered_by']}"
    if alarm["shelved_s"]:
        state += f", aside for {alarm['shelved_s'] / 60:.0f} min"
    first = ", came first" if alarm["first_out"] else ""
    times = f" (×{alarm['count']})" if alarm["count"] > 1 else ""
    do = f"\n      do: {entry.do}" if entry is not None and entry.do else ""
    text = f"{alarm['number']:4d}  {alarm['priority']:6}  {alarm['text']}{times}"
    return f"{text}\n      {state}{first}{do}"
