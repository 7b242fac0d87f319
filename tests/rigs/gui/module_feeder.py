"""Made-up but plausible modules for the console's page, published on a real socket.

By hand, beside ``gui_feeder.py``: ``python tests/rigs/gui/module_feeder.py ipc:///tmp/feeder``
"""

from __future__ import annotations

import math
import sys
import time

import zmq

from hw.messages.codec import encode
from hw.messages.endpoints import Endpoints
from hw.messages.modules import LinkState, ModuleScan, ModuleState, ModuleStates, ScanPoint
from hw.wire.control import fault_words


def well(module: int) -> ModuleState:
    """Return a module that runs normally."""
    link = LinkState(
        url=f"/dev/pts/{module + 3}",
        connected=True,
        baud=3_000_000,
        round_trip_ms=(0.4 + 0.01 * module, 1.9),
        frames=3810,
        offset_ms=0.02,
        drift_ppm=-1.25 + 0.05 * module,
        drift_sigma_ppm=0.04,
    )
    return ModuleState(
        module=module,
        machine="qemu" if module < 4 else "native",
        link=link,
        state="running",
        bias_state="on",
        locked=True,
        bias_mV=56_480 + 10 * (module % 5),
        target_mV=56_500,
        current_nA=2_340 + 37 * (module % 7),
        supply_mV=5_010,
        temperature_C=24.5 + 0.1 * (module % 6),
        hit_rate=8_400.0 + 40 * module,
        word_rate=8_100.0 + 40 * module,
        scaler_Hz=91_000.0,
        resets=1,
        reset_cause="power on",
        slot="factory",
        build="3fa91c02",
        epoch=1,
    )


def faulty(module: int, fault: int, name: str) -> ModuleState:
    """Return a module with a latched fault: bias is safe."""
    state = well(module)
    state.state, state.bias_state, state.fault, state.fault_text = (
        "fault", "tripped", name, fault_words(fault),
    )  # fmt: skip
    state.bias_mV = state.current_nA = 0
    state.hit_rate = state.word_rate = 0.0
    return state


def i_v_curve(module: int, *, points: int = 71, done: bool = True) -> ModuleScan:
    """Return an I-V scan with a knee at 53 V."""
    found = []
    for k in range(points):
        mV = 50_000 + 100 * k
        over = max(0.0, (mV - 53_000) / 1000)
        found.append(ScanPoint(x=mV, y=20.0 + 0.2 * k + 420.0 * over**2))
    scan = ModuleScan(module=module, kind="bias", points=found, steps=71, done=done)
    scan.found = {"breakdown_mV": 53_020.0} if done else {}
    return scan


def staircase(module: int) -> ModuleScan:
    """Return a threshold scan: dark counts in steps of a photoelectron."""
    points = [
        ScanPoint(x=mV, y=3.1e5 * 0.17 ** math.floor(mV / 10)) for mV in range(2, 60, 2)
    ]  # fmt: skip
    return ModuleScan(module=module, kind="threshold", points=points, steps=29, done=True)


class ModuleFeeder:
    """Publishes module states like the daq; ``with ModuleFeeder(endpoints) as f: f.tell(…)``."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._socket.bind(endpoints.of("modules"))

    def __enter__(self) -> ModuleFeeder:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close(linger=0)

    def tell(self, modules: list[ModuleState], *scans: ModuleScan) -> None:
        """Publish once."""
        states = ModuleStates(modules=modules, scans=list(scans), wall_ns=time.monotonic_ns())
        self._socket.send(encode(states))


def a_ring() -> list[ModuleState]:
    """Return 48 modules, three of which need attention."""
    ring = [well(module) for module in range(48)]
    ring[5] = faulty(5, 1, "overcurrent")
    ring[17].locked = False
    ring[30].link.connected = False
    return ring


if __name__ == "__main__":
    with ModuleFeeder(Endpoints(sys.argv[1])) as feeder:
        while True:
            feeder.tell(a_ring(), i_v_curve(0), staircase(0))
            time.sleep(0.25)
