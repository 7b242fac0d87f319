"""Run the detector emulator: decays in a phantom, photons, detectors, data frames.

It attaches to an acquisition service, waits for a run to be started, and streams until its end;
then it waits for the next run. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from daq.cli.common import add_endpoint_option, tell
from daq.cli.options.emulation import add_emulation_options, emulator_config
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from emulator.config import EmulatorConfig

EXAMPLES = """\
examples:
  tomoshibi emulate --preset caremibrain --phantom brain --activity-MBq 1
  tomoshibi emulate --preset tof_brain --phantom hot-rod --fast --threads 2
  tomoshibi emulate --fault corrupt=0.001 --fault clock_drift@10s:module=3,ppm=1,for=5s
  tomoshibi emulate --nuclide Ga-68:0.3+Lu-177:0.7 --lutetium --trigger-keV 60
  tomoshibi emulate --tac bolus:full_s=300 --motion head          a dynamic scan of a restless head
  tomoshibi emulate --phantom hot-rod --nuclide Rb-82 --motion breathing:amplitude_mm=15
  tomoshibi emulate --tac curves.csv --motion poses.csv           as measured
  tomoshibi emulate --activity-MBq 20 --library        load mode: many singles on few cores
  tomoshibi emulate --preset gamma_head_melp --nuclide Lu-177 --gantry step:32x10s
  tomoshibi emulate --preset bench2 --phantom point --dead-crystals 3 --noisy-crystals 17,42
  tomoshibi emulate --preset bench2 --phantom point --hits /tmp/modules   in front of firmware
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_emulation_options(parser)
    add_endpoint_option(parser)
    parser.add_argument("--hits", default="", metavar="FOLDER",
                        help="send hits to firmware modules, whose windows are in this folder "
                             "(`tomoshibi link` runs them), instead of frames")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Emulate until told to leave."""
    from emulator.process.service import run_emulator

    config = emulator_config(options, endpoint=options.endpoint, hits=options.hits)
    progress = ProgressLine("making the event library")

    def ready(taken: EmulatorConfig, remark: str) -> None:
        progress.done(
            f"emulating {taken.phantom} with {taken.activity_Bq / 1e6:g} MBq {taken.nuclide} in "
            f"{taken.scanner}, waiting at {taken.endpoint}"
        )
        if remark:
            tell(remark)

    run_emulator(config, progress=lambda share: progress(share, 1.0), ready=ready)
    return 0
