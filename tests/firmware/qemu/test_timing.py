"""Tier 3: how long things take, on the guest's own counter while instructions are counted.

Guest time then depends on what the firmware does and on nothing else: it runs far ahead of the
host's while the guest sleeps. So all orders of a test go out at once, and the answers are read
when they have come; a busy host changes nothing.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import numpy as np
import pytest
import serial

from daq.link.serial.exchange import pack_request, register_address
from daq.link.serial.packets import COMMAND, NOTICE, REPLY, PacketReader, encode_message
from hw.machines.qemu import Qemu
from hw.wire.control import COMMANDS, COUNTER_HZ, FAULTS, NOTICES
from rigs.firmware.arm_modules import arm_image, needs_qemu

pytestmark = needs_qemu

TICKS_PER_MS = COUNTER_HZ // 1000
HOST_TIMEOUT_MS = 30_000
SLEW_MV_S = 10_000
BIAS_MV = 50_000
SETTINGS = {"host_timeout_ms": HOST_TIMEOUT_MS, "bias_slew": SLEW_MV_S, "telemetry_ms": 100}


@dataclass
class Story:
    """What one guest said: counter of the last order, notices in order."""

    last_order: int
    telemetry: np.ndarray
    faults: list[np.void]


def orders():
    """Return registers, bias and a beat as one piece of the line."""
    wanted = [
        ("write", {"register": register_address(name), "value": value, "reserved": 0})
        for name, value in SETTINGS.items()
    ]
    wanted += [("bias", {"target_mV": BIAS_MV}), ("beat", {"host_time_ns": 1})]
    line = b""
    for sequence, (name, fields) in enumerate(wanted, start=1):
        spec = COMMANDS[name]
        line += encode_message(COMMAND, sequence, spec.code, pack_request(spec, fields, b""))
    return line


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """One guest: orders once, then a host that listens and says nothing until it is given up."""
    reader, beat, telemetry, faults = PacketReader(), None, [], []
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("guest")
        machine = stack.enter_context(Qemu(folder=folder, image=arm_image(), icount=True))
        line = stack.enter_context(serial.serial_for_url(machine.serial_url, timeout=0.05))
        line.write(orders())
        until = time.monotonic() + 30
        while not faults and time.monotonic() < until:
            for packet in reader.feed(line.read(4096)):
                if packet.kind == REPLY and packet.code == COMMANDS["beat"].code:
                    beat = np.frombuffer(packet.payload[4:], COMMANDS["beat"].reply)[0]
                if packet.kind != NOTICE:
                    continue
                name, dtype = NOTICES[packet.code]
                if name == "telemetry":
                    telemetry.append(np.frombuffer(packet.payload, dtype)[0])
                if name == "fault":
                    faults.append(np.frombuffer(packet.payload, dtype)[0])
    assert beat is not None and faults, "the guest said too little within 30 s"
    return Story(int(beat["counter"]), np.array(telemetry), faults)


def test_silent_host_is_given_up_after_the_timeout_and_not_before(story):
    fault = story.faults[0]
    assert FAULTS[int(fault["fault"])].name == "host_lost"
    after_ms = (int(fault["counter"]) - story.last_order) / TICKS_PER_MS
    heard_before_ms = 1  # the order was heard in the turn before its reply told the counter
    assert HOST_TIMEOUT_MS - heard_before_ms <= after_ms <= HOST_TIMEOUT_MS + 10


def test_bias_ramps_at_the_slew_limit(story):
    rising = story.telemetry[story.telemetry["bias_mV"] < 0.95 * BIAS_MV]
    rising = rising[rising["bias_mV"] > 0.05 * BIAS_MV]
    seconds = rising["counter"].astype(float) / COUNTER_HZ
    slope = np.polyfit(seconds, rising["bias_mV"].astype(float), 1)[0]
    assert rising.size > 20
    assert slope == pytest.approx(SLEW_MV_S, rel=0.01)


def test_telemetry_comes_when_it_is_due(story):
    gaps_ms = np.diff(story.telemetry["counter"].astype(float)) / TICKS_PER_MS
    assert np.abs(gaps_ms[1:] - SETTINGS["telemetry_ms"]).max() < 10
    assert gaps_ms[1:].mean() == pytest.approx(SETTINGS["telemetry_ms"], rel=0.05)


def test_scaler_gates_are_100_ms_and_at_most_a_turn_longer(story):
    first, last = story.telemetry[0], story.telemetry[-1]
    gates = int(last["scaler_gates"]) - int(first["scaler_gates"])
    gate_ms = (int(last["counter"]) - int(first["counter"])) / TICKS_PER_MS / gates
    assert 99.5 < gate_ms < 105
