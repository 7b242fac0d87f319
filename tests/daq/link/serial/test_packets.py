"""Bytes of a line to packets: whatever the pieces, and whatever was damaged between zeros."""

from __future__ import annotations

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from daq.link.serial.packets import (
    COMMAND,
    NOTICE,
    REPLY,
    ControlMessage,
    PacketReader,
    encode_message,
    open_message,
)
from hw.wire.control import MAX_PAYLOAD, VERSION
from hw.wire.frames import new_header, seal_frame

MESSAGES = st.builds(
    ControlMessage,
    st.just(VERSION),
    st.sampled_from((COMMAND, REPLY, NOTICE)),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
    st.binary(max_size=300) | st.binary(min_size=MAX_PAYLOAD, max_size=MAX_PAYLOAD),
)


def on_the_line(packet: ControlMessage | bytes) -> bytes:
    if isinstance(packet, bytes):
        return cobs.encode(packet) + b"\0"
    return encode_message(packet.kind, packet.sequence, packet.code, packet.payload)


def some_frame(sequence: int, words: int) -> bytes:
    rng = np.random.default_rng(sequence)
    values = rng.integers(0, 1 << 63, words, dtype=np.uint64)
    return seal_frame(new_header(3, sequence, sequence, run_tag=7), values)


FRAMES = st.builds(some_frame, st.integers(0, 1000), st.integers(0, 120))
PACKETS = st.lists(MESSAGES | FRAMES, max_size=6)


@given(PACKETS, st.lists(st.integers(1, 400), max_size=30))
def test_packets_come_out_as_they_went_in_whatever_the_pieces(packets, cuts):
    line = b"".join(map(on_the_line, packets))
    reader, found, at = PacketReader(), [], 0
    for size in [*cuts, len(line)]:
        found += reader.feed(line[at : at + size])
        at += size
    assert found == packets
    assert (reader.invalid_packets, reader.invalid_bytes) == (0, 0)


@given(st.lists(MESSAGES | FRAMES, min_size=2, max_size=6), st.data())
def test_one_damaged_byte_costs_one_packet_at_most_and_none_is_made_up(packets, data):
    line = b"".join(map(on_the_line, packets))
    at = data.draw(st.integers(0, len(line) - 1))
    bit = data.draw(st.integers(0, 8))
    here = bytes([line[at] ^ (1 << bit)]) if bit < 8 else b""
    reader = PacketReader()
    # what only has the form of a frame is the books' to judge; the CRC decides there
    found = [p for p in reader.feed(line[:at] + here + line[at + 1 :] + b"\0") if p in packets]
    rest = list(packets)
    for packet in found:
        rest = rest[rest.index(packet) + 1 :]
    assert len(found) >= len(packets) - 1


def test_a_lost_zero_between_two_packets_costs_neither():
    first, second = some_frame(1, 20), some_frame(2, 30)
    line = on_the_line(first)[:-1] + on_the_line(second)
    reader = PacketReader()
    assert reader.feed(line) == [first, second]
    assert (reader.rescued, reader.invalid_packets) == (1, 1)


def test_a_zero_that_became_another_byte_costs_neither_packet():
    message = ControlMessage(VERSION, REPLY, 9, 1, b"")
    frame = some_frame(2, 30)
    line = on_the_line(message)[:-1] + b"\x40" + on_the_line(frame)
    assert PacketReader().feed(line) == [message, frame]


def test_a_packet_longer_than_any_is_dropped_and_the_next_one_is_taken():
    reader = PacketReader()
    for _ in range(20):
        assert reader.feed(b"\x01" * 50_000) == []
    message = ControlMessage(VERSION, NOTICE, 1, 1, b"abc")
    assert reader.feed(b"\0" + on_the_line(message)) == [message]
    assert (reader.invalid_packets, reader.invalid_bytes) == (1, 1_000_001)


def test_a_packet_under_way_when_the_line_breaks_is_given_up_and_counted():
    reader, frame = PacketReader(), some_frame(1, 20)
    line = on_the_line(frame)
    assert reader.feed(line[:50]) == []
    assert reader.forget() == 50
    assert reader.feed(line) == [frame]
    assert reader.invalid_packets == 1


@pytest.mark.parametrize("place", range(16))
def test_each_bit_of_a_messages_header_is_checked(place):
    packet = bytearray(cobs.decode(encode_message(COMMAND, 0x1234, 5, b"payload")[:-1]))
    for bit in range(8):
        packet[place] ^= 1 << bit
        assert open_message(bytes(packet)) is None
        packet[place] ^= 1 << bit
    assert open_message(bytes(packet)) == ControlMessage(VERSION, COMMAND, 0x1234, 5, b"payload")


@given(st.binary(max_size=2000))
def test_noise_is_never_a_message_and_every_byte_of_it_is_counted(noise):
    reader = PacketReader()
    found = reader.feed(noise + b"\0")
    assert found == []
    empty = sum(1 for piece in (noise + b"\0").split(b"\0") if not piece)
    assert reader.invalid_bytes == len(noise) + 1 - (empty - 1)
