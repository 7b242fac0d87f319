"""Frames in datagrams, plain and inside Ethernet: whole ones come out, lost ones are counted."""

from __future__ import annotations

import socket
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.link.serial.datagrams import DatagramReceiver, Reassembly, strip_ethernet
from daq.link.serial.line_errors import PortBusy
from daq.link.serial.poller import Poller
from hw.wire.control import DATAGRAM, STRUCTS
from hw.wire.frames import new_header, seal_frame


def frame_of(sequence: int, words: int) -> bytes:
    return seal_frame(new_header(2, sequence, sequence, run_tag=7), np.arange(words, dtype="u8"))


def datagrams_of(frame: bytes, sequence: int, number: int) -> list[bytes]:
    out = []
    for offset in range(0, len(frame), DATAGRAM["max_bytes"]):
        piece = frame[offset : offset + DATAGRAM["max_bytes"]]
        header = np.zeros((), STRUCTS["datagram"])
        header["magic"], header["module"], header["length"] = DATAGRAM["magic"], 2, len(piece)
        header["sequence"], header["offset"], header["frame_bytes"] = sequence, offset, len(frame)
        header["number"] = number + len(out)
        out.append(header.tobytes() + piece)
    return out


def internet_sum(data: bytes) -> int:
    """RFC 1071, as slowly as it reads."""
    total = 0
    for i in range(0, len(data), 2):
        total += data[i] << 8 | data[i + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload: bytes, *, port: int = 7117) -> bytes:
    udp = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0x4000, 64, 17, 0, b"\n\0\0\1", b"\n\0\0\2"
    )
    ip = ip[:10] + struct.pack("!H", internet_sum(ip)) + ip[12:]
    packet = b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x08\0" + ip + udp
    return packet + bytes(max(0, 60 - len(packet)))


def run(packets: list[bytes]) -> tuple[Reassembly, list[bytes]]:
    found: list[bytes] = []
    books = Reassembly(found.append)
    for packet in packets:
        books.feed(memoryview(packet))
    return books, found


@given(st.lists(st.integers(0, 800), min_size=1, max_size=8), st.booleans())
def test_frames_come_out_whole_and_in_order(sizes, wrapped):
    frames, packets = [frame_of(i, n) for i, n in enumerate(sizes)], []
    for i, frame in enumerate(frames):
        packets += datagrams_of(frame, i, len(packets))
    books, found = run([ethernet(p) for p in packets] if wrapped else packets)
    assert found == frames
    assert (books.lost_frames, books.lost_datagrams, books.invalid) == (0, 0, 0)


@given(st.lists(st.integers(200, 800), min_size=2, max_size=6), st.data())
def test_one_lost_datagram_is_one_lost_frame(sizes, data):
    frames = [frame_of(i, n) for i, n in enumerate(sizes)]
    owners, packets = [], []
    for i, frame in enumerate(frames):
        new = datagrams_of(frame, i, len(packets))
        packets += new
        owners += [i] * len(new)
    gone = data.draw(st.integers(0, len(packets) - 2))
    books, found = run(packets[:gone] + packets[gone + 1 :])
    books.give_up()
    assert found == [f for i, f in enumerate(frames) if i != owners[gone]]
    assert books.lost_datagrams == 1
    assert books.lost_frames <= 1  # 0 where the frame was that one datagram: its number tells


def test_datagrams_out_of_order_and_twice_make_the_same_frames():
    frame = frame_of(5, 700)
    packets = datagrams_of(frame, 5, 0)
    books, found = run([packets[1], packets[0], packets[0], *reversed(packets[2:])])
    assert found == [frame]
    assert (books.repeated, books.lost_frames, books.lost_datagrams) == (1, 0, 0)


def test_a_new_run_numbers_its_datagrams_anew_also_where_the_first_is_lost():
    first = [p for i in range(60) for p in datagrams_of(frame_of(i, 300), i, 2 * i)]
    again = [p for i in range(5) for p in datagrams_of(frame_of(i, 300), i, 2 * i)]
    books, found = run(first + again[1:])
    assert len(found) == 64
    assert books.lost_datagrams == 1


@pytest.mark.parametrize(
    "hurt",
    [
        lambda p: p[:20],
        lambda p: b"XMSD" + p[4:],
        lambda p: p[:-1],
        lambda p: p + b"x",
        lambda p: p[:6] + b"\xff\xff" + p[8:],
        lambda p: p[:12] + b"\xff\xff\xff\xff" + p[16:],
        lambda p: p[:16] + b"\xff\xff\xff\xff" + p[20:],
        lambda p: b"",
    ],
)
def test_a_datagram_that_contradicts_itself_is_counted_and_left_out(hurt):
    frame = frame_of(0, 300)
    first, *rest = datagrams_of(frame, 0, 0)
    books, found = run([hurt(first), first, *rest])
    assert found == [frame]
    assert books.invalid == 1


def test_every_bit_of_the_ipv4_header_matters():
    packet = bytearray(ethernet(b"payload!"))
    assert bytes(strip_ethernet(memoryview(packet))) == b"payload!"
    for place in range(12, 34):
        for bit in range(8):
            packet[place] ^= 1 << bit
            assert strip_ethernet(memoryview(packet)) is None, (place, bit)
            packet[place] ^= 1 << bit


def test_other_ethernet_traffic_is_not_damage():
    books, found = run([b"\xff" * 12 + b"\x08\x06" + bytes(46)])
    assert (found, books.foreign, books.invalid) == ([], 1, 0)


def test_datagrams_for_another_port_are_refused():
    books, found = run([ethernet(datagrams_of(frame_of(0, 1), 0, 0)[0], port=53)])
    assert (found, books.invalid) == ([], 1)


def test_a_receiver_takes_what_a_socket_sends_and_its_port_is_its_own():
    found: list[bytes] = []
    receiver = DatagramReceiver(0, take=found.append)
    try:
        with pytest.raises(PortBusy, match="another program listens"):
            DatagramReceiver(receiver.port, take=found.append)
        frames = [frame_of(i, 500) for i in range(50)]
        with Poller() as poller, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            poller.add(receiver)
            for i, frame in enumerate(frames):
                for packet in datagrams_of(frame, i, 3 * i):
                    sender.sendto(packet, ("127.0.0.1", receiver.port))
            from rigs.firmware.native_modules import wait_until

            wait_until(lambda: len(found) == 50)
            poller.remove(receiver)
        assert found == frames
        assert receiver.granted_bytes > 0
    finally:
        receiver.close()
