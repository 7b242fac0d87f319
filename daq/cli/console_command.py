"""Open the live console: state, rates, spectra, picture, journal, and the run's controls.

It is a client: it may be opened late, closed and opened again without harm to the run. Without a
display use --offscreen, which draws to pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daq.cli.common import CommandError, add_endpoint_option, add_json_option, finish

EXAMPLES = """\
examples:
  tomoshibi console
  tomoshibi console --offscreen --screenshots pictures
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--offscreen", action="store_true", help="draw without a display")
    parser.add_argument("--size", type=_size, default=(1280, 800), metavar="WxH",
                        help="window size in px (default: 1280x800)")  # fmt: skip
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER",
                        help="keep a picture console.png in this folder")  # fmt: skip
    parser.add_argument("--every", type=float, default=5.0, metavar="S",
                        help="how often it is renewed (default: %(default)g s)")  # fmt: skip
    add_endpoint_option(parser)
    add_json_option(parser)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: write WIDTHxHEIGHT, e.g. 1280x800") from None
    return width, height


def run(options: argparse.Namespace) -> int:
    """Show the console until it is closed."""
    from gui.console import run_console
    from hw.endpoints import Endpoints

    report = run_console(
        Endpoints(options.endpoint),
        headless=options.offscreen,
        size=options.size,
        screenshot_dir=options.screenshots,
        screenshot_every_s=options.every,
    )
    if report["failure"]:
        raise CommandError(report["failure"])
    text = f"console: {report['frames']} frames at {report['mean_Hz']:.1f} Hz"
    finish(options, report, text)
    return 0
