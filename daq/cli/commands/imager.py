"""Run the live imager: coincidences in, several images a second out.

It attaches to an acquisition service, waits for runs, and exits on Ctrl-C. Nothing waits for it:
events that it has no time for are left out, intensities stay right, and the fraction used is shown.
"""

from __future__ import annotations

import argparse

from daq.cli.common import add_endpoint_option
from daq.cli.options.imaging import add_live_options, live_settings

EXAMPLES = """\
examples:
  tomoshibi imager
  tomoshibi imager --live-window forget:30s --live-frames 5      whatever the runs ask for
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_live_options(parser)
    parser.add_argument("--modality", choices=("PET", "SPECT"), default="",
                        help="load the kernels of such runs only: ready sooner")  # fmt: skip
    add_endpoint_option(parser)


def run(options: argparse.Namespace) -> int:
    """Image until told to leave."""
    from hw.messages.endpoints import Endpoints
    from recon.imager.service import run_imager

    run_imager(Endpoints(options.endpoint), live=live_settings(options), modality=options.modality)
    return 0
