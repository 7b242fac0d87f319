"""Make the emulated electronics misbehave: set, clear and list faults of a running system.

The order goes through the acquisition to the emulator, which answers; the run's journal notes it,
and faults.json in the run's folder records what was really done. Without a run it applies to the
next one. docs/emulator/faults.md describes all faults and what a receiver sees of each.
"""

from __future__ import annotations

import argparse

from daq.cli.common import CommandError, add_json_option, finish
from daq.cli.which_system import add_running_option, endpoint_of

EXAMPLES = """\
examples:
  tomoshibi fault list
  tomoshibi fault set drop=0.01
  tomoshibi fault set clock_drift:module=3,ppm=1,for=5s
  tomoshibi fault set module_reset@20s:module=0+7,off=80ms
  tomoshibi fault clear 2
  tomoshibi fault clear all
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", choices=("list", "set", "clear"), help="what to do")
    parser.add_argument("fault", nargs="*", default=[], metavar="FAULT",
                        help="set: KIND[@TIME][:name=value,...]; clear: N or all")  # fmt: skip
    add_running_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Send the orders and print what is now set."""
    from daq.client.client import ControlClient
    from hw.messages.endpoints import Endpoints

    if options.action == "list" and options.fault:
        raise CommandError("fault list: takes no fault; it lists those set, and all kinds")
    if options.action != "list" and not options.fault:
        example = "set drop=0.01`" if options.action == "set" else "clear 2` or `clear all`"
        raise CommandError(f"fault {options.action}: say which, such as `tomoshibi fault {example}")
    result: dict[str, object] = {}
    with ControlClient(Endpoints(endpoint_of(options))) as daq:
        for text in options.fault or [""]:
            result = daq.call("fault", action=options.action, text=text)
    lines = list(map(str, result["faults"])) or ["no fault is set"]  # type: ignore[call-overload]
    kinds: dict[str, str] = result["kinds"]  # type: ignore[assignment]
    lines += [f"  {name}: {words}" for name, words in kinds.items()]
    finish(options, result, "\n".join(lines))
    return 0
