"""COBS and CRC-32C of the firmware against the packages and against a plain reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import crc32c
import numpy as np
import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from oracles.control_reference import cobs_decoded, cobs_encoded, crc32c_bit_by_bit

pytestmark = pytest.mark.firmware

NOTHING, PACKET, EMPTY, DAMAGED = range(4)
RUNS = st.lists(
    st.one_of(st.binary(max_size=12), st.integers(0, 520).map(lambda n: b"\xa5" * n)), max_size=5
)
"""Bytes with long pieces free of zeros, where blocks fill up."""
PACKETS = RUNS.map(lambda pieces: b"\0".join(pieces))


# --- CRC --------------------------------------------------------------------------------------


def test_crc_of_the_reference_string(core_library: Any) -> None:
    assert core_library.lib.crc32c(0, b"123456789", 9) == 0xE3069283


@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_crc_agrees_with_the_package_and_chains(core_library: Any, data: bytes, cut: int) -> None:
    lib = core_library.lib
    head, tail = data[:cut], data[cut:]
    expected = crc32c.crc32c(data)
    assert lib.crc32c(0, data, len(data)) == expected == crc32c_bit_by_bit(data)
    assert lib.crc32c(lib.crc32c(0, head, len(head)), tail, len(tail)) == expected


def test_crc_at_every_alignment(core_library: Any) -> None:
    ffi, lib = core_library.ffi, core_library.lib
    data = np.random.default_rng(5).integers(0, 256, 64, dtype=np.uint8).tobytes()
    memory = ffi.from_buffer(data)
    for start in range(16):
        for end in range(start, 64):
            assert lib.crc32c(0, memory + start, end - start) == crc32c.crc32c(data[start:end])


# --- COBS encoding ----------------------------------------------------------------------------


class Encoder:
    """The firmware's encoder with a small buffer, drained a few bytes at a time."""

    def __init__(self, library: Any, size: int) -> None:
        self.ffi, self.lib = library.ffi, library.lib
        self.memory = self.ffi.new("uint8_t[]", size)
        self.state = self.ffi.new("struct cobs_encoder *")
        self.lib.cobs_encoder_start(self.state, self.memory, size)

    def drain(self, most: int) -> bytes:
        """Take up to so many of the bytes that are ready."""
        count = min(most, self.lib.cobs_encoder_ready(self.state))
        first = self.state.bytes + getattr(self.state, "from")
        data = bytes(self.ffi.buffer(first, count))
        self.lib.cobs_encoder_sent(self.state, count)
        return data

    def packet(self, data: bytes, steps: Iterator[int]) -> bytes:
        """Encode one packet, draining as ``steps`` says; return what came out meanwhile."""
        out, taken = b"", 0
        while taken < len(data):
            piece = data[taken : taken + next(steps)]
            taken += self.lib.cobs_encode(self.state, piece, len(piece))
            out += self.drain(next(steps))
        while not self.lib.cobs_encode_end(self.state):
            out += self.drain(next(steps))
        return out


def _steps(seed: int) -> Iterator[int]:
    generator = np.random.default_rng(seed)
    while True:
        yield int(generator.integers(1, 400))


@given(packets=st.lists(PACKETS, min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_the_encoding_is_the_packages_whatever_the_pieces(
    core_library: Any, packets: list[bytes], seed: int
) -> None:
    encoder, steps = Encoder(core_library, 600), _steps(seed)
    out = b"".join(encoder.packet(packet, steps) for packet in packets) + encoder.drain(10_000)
    assert out == b"".join(bytes(cobs.encode(packet)) + b"\0" for packet in packets)
    assert out == b"".join(cobs_encoded(packet) + b"\0" for packet in packets)


@pytest.mark.parametrize("length", [253, 254, 255, 508, 509])
@pytest.mark.parametrize("end", [b"", b"\0", b"\0\0", b"\x01"])
def test_full_blocks(core_library: Any, length: int, end: bytes) -> None:
    packet = b"\x42" * length + end
    encoder = Encoder(core_library, 2048)
    out = encoder.packet(packet, _steps(length)) + encoder.drain(2048)
    assert out == bytes(cobs.encode(packet)) + b"\0"


def test_an_encoder_that_is_not_drained_takes_no_more_than_it_holds(core_library: Any) -> None:
    encoder = Encoder(core_library, 300)
    data = b"\x07" * 1000
    taken = core_library.lib.cobs_encode(encoder.state, data, len(data))
    assert taken == 254, "one block; for the next one there is no room"
    assert core_library.lib.cobs_encode(encoder.state, data, len(data)) == 0
    assert core_library.lib.cobs_encode_end(encoder.state) == 1, "an end always has room"


def test_a_packet_that_is_cut_damages_itself_alone(core_library: Any) -> None:
    encoder = Encoder(core_library, 1000)
    lib = core_library.lib
    lib.cobs_encode(encoder.state, b"\x01\x02\x00\x03", 4)
    assert lib.cobs_encode_cut(encoder.state) == 1
    out = encoder.packet(b"whole", _steps(1)) + encoder.drain(1000)
    assert out.split(b"\0")[1:] == [bytes(cobs.encode(b"whole")), b""]


# --- COBS decoding ----------------------------------------------------------------------------


def decoded(
    library: Any, line: bytes, size: int, chunk: int
) -> tuple[list[tuple[int, bytes]], int]:
    """Feed a line in chunks; return verdict and bytes of each packet, and line bytes counted."""
    ffi, lib = library.ffi, library.lib
    memory, state = ffi.new("uint8_t[]", size), ffi.new("struct cobs_decoder *")
    lib.cobs_decoder_start(state, memory, size)
    taken, found, counted = ffi.new("uint32_t *"), [], 0
    for start in range(0, len(line), chunk):
        piece = line[start : start + chunk]
        while piece:
            verdict = lib.cobs_decode(state, piece, len(piece), taken)
            assert 0 < taken[0] <= len(piece)
            piece = piece[taken[0] :]
            if verdict != NOTHING:
                found.append((verdict, bytes(ffi.buffer(memory, state.count))))
                counted += state.raw
    return found, counted + (0 if state.ended else state.raw)


@given(packets=st.lists(PACKETS, max_size=4), chunk=st.integers(1, 300))
def test_what_the_package_encodes_is_decoded(
    core_library: Any, packets: list[bytes], chunk: int
) -> None:
    line = b"".join(bytes(cobs.encode(packet)) + b"\0" for packet in packets)
    found, counted = decoded(core_library, line, 4000, chunk)
    assert found == [(PACKET, packet) for packet in packets]
    assert counted == len(line)


@given(line=st.binary(max_size=600), chunk=st.integers(1, 70))
def test_any_bytes_are_judged_as_the_reference_does_and_all_are_counted(
    core_library: Any, line: bytes, chunk: int
) -> None:
    found, counted = decoded(core_library, line, 1040, chunk)
    assert counted == len(line)
    for (verdict, packet), encoded in zip(found, line.split(b"\0")[:-1], strict=True):
        expected = cobs_decoded(encoded)
        if not encoded:
            assert verdict == EMPTY
        elif expected is None:
            assert verdict == DAMAGED
        else:
            assert (verdict, packet) == (PACKET, expected)


def test_an_overlong_packet_is_damaged_and_the_next_one_whole(core_library: Any) -> None:
    line = b"".join(bytes(cobs.encode(p)) + b"\0" for p in (b"\x05" * 41, b"\x06" * 40, b"\0" * 41))
    found, counted = decoded(core_library, line, 40, 7)
    assert [verdict for verdict, _ in found] == [DAMAGED, PACKET, DAMAGED]
    assert found[1][1] == b"\x06" * 40
    assert counted == len(line)
