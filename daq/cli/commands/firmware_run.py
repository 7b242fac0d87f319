"""`tomoshibi firmware run`: modules on this machine, without an acquisition."""

from __future__ import annotations

import argparse
import signal
import threading
import time

from daq.cli.common import tell
from daq.cli.options.firmware_modules import arm_modules, check_machines, machine_folder

LOOK_S = 0.2


def run_machines(options: argparse.Namespace) -> int:
    """Run modules until Ctrl-C; their serial ports are told on stdout, one a line."""
    from daq.link.modules.own_machines import MachineRing

    arm = arm_modules(options.machines, options.arm_modules, options.modules)
    check_machines(arm, options.modules)
    leave = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: leave.set())
    with (
        machine_folder(options.folder) as folder,
        MachineRing(
            folder, modules=options.modules, arm=arm, data_path=options.firmware_data, say=tell
        ) as ring,
    ):
        for machine in ring.machines:
            print(f"module {machine.module} {machine.kind} {machine.serial_url}", flush=True)
        tell(f"windows and logs in {folder}; Ctrl-C stops the modules")
        while not leave.is_set():
            dead = [machine for machine in ring.machines if not machine.alive]
            if dead:
                raise dead[0].error("it ended by itself", "see its log")
            time.sleep(LOOK_S)
    return 0
