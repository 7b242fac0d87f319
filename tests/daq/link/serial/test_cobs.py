"""COBS here and in the package ``cobs``: the same bytes out, the same damage refused."""

from __future__ import annotations

from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.link.serial.cobs import decoded, encoded

RUNS = st.tuples(st.sampled_from([b"\0", b"\x01", b"\xfe", b"\xff", b"x"]), st.integers(0, 600))
PACKETS = st.lists(RUNS, max_size=6).map(lambda runs: b"".join(byte * n for byte, n in runs))
"""Long runs, so that blocks are full, just not full and just over."""


def reference(piece: bytes) -> bytes | None:
    """What the package makes of a piece of a line."""
    try:
        return bytes(cobs.decode(piece))
    except cobs.DecodeError:
        return None


@given(st.one_of(PACKETS, st.binary(max_size=1200)))
@settings(max_examples=300)
def test_packets_go_there_and_back_as_in_the_package(packet: bytes) -> None:
    line = encoded(packet)
    assert line == cobs.encode(packet)
    assert b"\0" not in line
    assert decoded(line) == packet


@given(st.one_of(st.binary(max_size=700), PACKETS))
@settings(max_examples=300)
def test_what_is_no_packet_is_refused_as_in_the_package(soup: bytes) -> None:
    assert decoded(soup) == reference(soup)


@given(PACKETS, st.integers(0, 10**6), st.integers(0, 255))
def test_a_damaged_byte_is_read_as_in_the_package(packet: bytes, place: int, byte: int) -> None:
    line = bytearray(cobs.encode(packet))
    line[place % len(line)] = byte
    assert decoded(bytes(line)) == reference(bytes(line))
