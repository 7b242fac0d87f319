"""Open the live console: state, rates, spectra, image, journal, and the run's controls.

It is a client: it may be opened late, closed and reopened without harm to the run. Without a
display use --offscreen, which draws screenshots.
"""

from __future__ import annotations

import argparse

from daq.cli.common import CommandError, add_json_option, finish, tell
from daq.cli.which_system import NONE, add_running_option, endpoint_of

EXAMPLES = """\
examples:
  tomoshibi console
  tomoshibi console --offscreen --screenshots pictures
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from gui.app import console

    console.add_arguments(parser)
    add_running_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Show the console until it is closed."""
    from daq.client.register import running_systems
    from gui.app.console import run_with
    from hw.messages.endpoints import default_base

    if options.endpoint or running_systems():
        options.endpoint = endpoint_of(options)
    else:  # it may be opened first, and waits for a daq at the permanent address
        tell(f"{NONE}; the console waits for one at {default_base()}")
        options.endpoint = default_base()
    report = run_with(options)
    if report["failure"]:
        raise CommandError(report["failure"])
    finish(options, report, f"console: {report['frames']} frames at {report['mean_Hz']:.1f} Hz")
    return 0
