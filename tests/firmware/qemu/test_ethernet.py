"""Tier 3: what the ARM image puts on the Ethernet is what any receiver of IPv4 and UDP accepts."""

from __future__ import annotations

import socket
import struct

import numpy as np

from daq.link.serial.session import ModuleSession
from hw.machines.qemu import DATAGRAM_HEADERS_BYTES, Qemu
from hw.wire.control import DATAGRAM, STRUCTS, BiasState, DataPath
from hw.wire.protocol import HEADER_BYTES
from rigs.firmware.arm_modules import arm_image, needs_qemu
from rigs.firmware.events import mark

pytestmark = needs_qemu


def ones_complement_sum(data: bytes) -> int:
    """Return the sum of RFC 1071, 0xFFFF where checksum and data agree."""
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_datagram_has_right_headers_lengths_and_checksums(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        port = receiver.getsockname()[1]
        with (
            Qemu(folder=tmp_path, image=arm_image(), datagram_port=port) as machine,
            ModuleSession.open(machine.serial_url) as session,
        ):
            machine.window.world["serial_number"] = 0x1234
            session.write("data_path", int(DataPath.ethernet))
            session.command("bias", target_mV=56_000)
            on = int(BiasState.on)
            session.wait_for(lambda t: t["bias_state"] == on, within_s=10, what="bias")
            session.command("run", run_tag=5, periods=1, first_sequence=9, reserved=0)
            machine.window.put(np.array([mark(0)], np.uint64))
            packet = receiver.recv(2048)
    ethernet, ip, udp = packet[:14], packet[14:34], packet[34:42]
    assert ethernet[:6] == b"\xff" * 6
    assert ethernet[6] & 3 == 2  # an address of one station, locally administered
    assert ethernet[12:] == b"\x08\x00"
    assert (ip[0], ip[9], len(packet) - 14) == (0x45, 17, int.from_bytes(ip[2:4], "big"))
    assert ones_complement_sum(ip) == 0xFFFF
    source, destination, length, checksum = struct.unpack(">4H", udp)
    assert source == destination == DATAGRAM["port"]
    assert length == len(packet) - 34
    assert checksum != 0  # 0 would say that there is none
    pseudo = ip[12:20] + struct.pack(">2H", 17, length)
    assert ones_complement_sum(pseudo + packet[34:]) == 0xFFFF
    body = packet[DATAGRAM_HEADERS_BYTES:]
    header = np.frombuffer(body, STRUCTS["datagram"], 1)[0]
    assert (header["magic"], header["sequence"]) == (DATAGRAM["magic"], 9)
    assert header["length"] == header["frame_bytes"] == HEADER_BYTES == len(body) - header.nbytes
