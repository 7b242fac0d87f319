"""Run the detector emulator: decays in a phantom, photons, detectors, data frames.

It attaches to an acquisition service, waits for a run to be started, and streams until its end;
then it waits for the next run. Ctrl-C leaves.
"""

from __future__ import annotations

import argparse

from daq.cli.common import add_endpoint_option, tell
from daq.cli.emulation import add_emulation_options, emulator_config

EXAMPLES = """\
examples:
  tomoshibi emulate --preset caremibrain --phantom brain --activity-MBq 1
  tomoshibi emulate --preset tof_brain --phantom hot-rod --fast --threads 2
  tomoshibi emulate --fault corrupt=0.001 --fault drop=0.001
  tomoshibi emulate --nuclide Ga-68:0.3+Lu-177:0.7 --lutetium --trigger-keV 60
  tomoshibi emulate --preset bench2 --phantom point --dead-crystals 3 --noisy-crystals 17,42
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_emulation_options(parser)
    add_endpoint_option(parser)


def run(options: argparse.Namespace) -> int:
    """Emulate until told to leave."""
    from emulator.service import run_emulator

    config = emulator_config(options, endpoint=options.endpoint)
    tell(
        f"emulating {config.phantom} with {config.activity_Bq / 1e6:g} MBq {config.nuclide} in "
        f"{config.scanner}, waiting at {config.endpoint}"
    )
    run_emulator(config)
    return 0
