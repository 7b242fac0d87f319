"""Data frames: what is sealed opens again, and what was touched does not."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.wire import protocol
from hw.wire.frames import frame_crc, new_header, seal_frame
from oracles.frame_reader import FrameError, open_frame

words_lists = st.lists(st.integers(0, 2**64 - 1), max_size=40)
u4 = st.integers(0, 2**32 - 1)


def slow_crc32c(data: bytes) -> int:
    """CRC-32C bit by bit, from RFC 3720's polynomial."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def sealed(words: list[int], **fields: int) -> bytes:
    """Seal a frame of module 3 with the given words."""
    return seal_frame(new_header(3, 17, 19, **fields), np.array(words, dtype=np.uint64))


@given(words_lists, u4, u4, st.integers(0, 2**64 - 1), st.integers(-(2**15), 2**15 - 1))
def test_a_sealed_frame_opens_to_what_went_in(
    words: list[int], run_tag: int, lost: int, before: int, temperature: int
) -> None:
    given_fields = {"run_tag": run_tag, "lost_events": lost, "events_before": before}
    given_fields["temperature"] = temperature
    header, found = open_frame(sealed(words, **given_fields))
    assert found.tolist() == words
    assert int(header["event_count"]) == len(words)
    expected = {"module": 3, "sequence": 17, "frame_id": 19} | given_fields
    assert {name: int(header[name]) for name in expected} == expected


def test_an_empty_frame_is_a_header_alone() -> None:
    frame = sealed([])
    assert len(frame) == 64
    assert open_frame(frame)[1].size == 0


@settings(max_examples=30)
@given(words_lists)
def test_the_checksum_is_rfc_3720s_over_header_then_payload(words: list[int]) -> None:
    frame = sealed(words)
    stored = struct.unpack_from("<I", frame, 60)[0]
    assert stored == slow_crc32c(frame[:60] + frame[64:])


def test_the_slow_checksum_gives_the_published_check_value() -> None:
    assert slow_crc32c(b"123456789") == 0xE3069283


def test_every_single_bit_flip_is_rejected() -> None:
    frame = sealed([0, 2**64 - 1, 0x0123456789ABCDEF])
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            open_frame(bytes(damaged))


@given(words_lists, st.data())
def test_any_burst_of_up_to_32_bits_is_rejected(words: list[int], data: st.DataObject) -> None:
    frame = int.from_bytes(sealed(words), "little")
    bits = 512 + 64 * len(words)
    burst = data.draw(st.integers(1, 2**32 - 1)) << data.draw(st.integers(0, bits - 32))
    with pytest.raises(FrameError):
        open_frame((frame ^ burst).to_bytes(bits // 8, "little"))


@given(words_lists, st.data())
def test_a_frame_cut_anywhere_is_rejected(words: list[int], data: st.DataObject) -> None:
    frame = sealed(words)
    with pytest.raises(FrameError, match=r"truncated|length"):
        open_frame(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        open_frame(data)


@given(st.binary(max_size=200))
def test_garbage_after_a_right_magic_and_version_is_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        open_frame(struct.pack("<IB", protocol.MAGIC, protocol.VERSION) + data)


def test_another_version_is_refused_naming_both() -> None:
    header = new_header(0, 0, 0)
    header["version"] = 9
    with pytest.raises(FrameError, match="version is 0x9, expected 0x1"):
        open_frame(seal_frame(header, np.empty(0, dtype=np.uint64)))


def test_more_events_than_the_bound_are_refused_even_where_they_are_there() -> None:
    with pytest.raises(FrameError, match="event_count is 65537, the bound is 65536"):
        open_frame(sealed([0] * 65537))


def test_as_many_events_as_the_bound_are_taken() -> None:
    assert len(open_frame(sealed([7] * 65536))[1]) == 65536


def test_sealing_leaves_the_callers_header_as_it_was() -> None:
    header = new_header(0, 0, 0)
    seal_frame(header, np.zeros(3, dtype=np.uint64))
    assert int(header["event_count"]) == int(header["crc"]) == 0


def test_header_and_payload_may_be_checked_apart() -> None:
    frame = sealed([1, 2])
    assert frame_crc(frame[:64], frame[64:]) == struct.unpack_from("<I", frame, 60)[0]
