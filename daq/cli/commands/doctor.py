"""Check this machine: libraries, display, disk, ports, clock. Each trouble comes with its remedy.

The exit status is 0 where nothing stops the demo, 1 otherwise.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from daq.cli.common import add_endpoint_option, add_json_option, add_runs_option, finish

EXAMPLES = """\
examples:
  tomoshibi doctor
  tomoshibi doctor --json
"""

MARKS = {"ok": "ok     ", "warning": "WARNING", "trouble": "TROUBLE"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_endpoint_option(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Check everything and tell."""
    from daq.cli.commands.doctor_checks import examine
    from hw.messages.endpoints import Endpoints

    findings = examine(Endpoints(options.endpoint), options.runs)
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.verdict]}  {finding.what}: {finding.found}")
        if finding.remedy:
            lines.append(f"           → {finding.remedy}")
    healthy = all(finding.verdict != "trouble" for finding in findings)
    result = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
    finish(options, result, "\n".join(lines))
    return 0 if healthy else 1
