"""Open the live console: state, rates, spectra, image, journal, and the run's controls.

It is a client: it may be opened late, closed and reopened without harm to the run. Without a
display use --offscreen, which draws screenshots.
"""

from __future__ import annotations

import argparse

from daq.cli.common import CommandError, add_endpoint_option, add_json_option, finish

EXAMPLES = """\
examples:
  tomoshibi console
  tomoshibi console --offscreen --screenshots pictures
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from gui.app import console

    console.add_arguments(parser)
    add_endpoint_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Show the console until it is closed."""
    from gui.app.console import run_with

    report = run_with(options)
    if report["failure"]:
        raise CommandError(report["failure"])
    finish(options, report, f"console: {report['frames']} frames at {report['mean_Hz']:.1f} Hz")
    return 0
