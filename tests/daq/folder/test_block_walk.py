"""Damage costs the blocks that it touches, wherever it is, and is told; nothing else is lost."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.errors import LogError
from daq.folder.block_walk import MOST_PLACES
from daq.folder.blocks import BlockReader, BlockWriter
from hw.wire.block_layout import BLOCK_HEADER_BYTES, BlockKind, block_header

PAYLOADS = [bytes([k]) * size for k, size in enumerate((5, 0, 300, 64, 1, 33, 1000, 8))]
ITEMS = [10 * (k + 1) for k in range(len(PAYLOADS))]


@dataclass(frozen=True)
class Written:
    """A log's bytes and where its blocks begin: the head first, the file's end last."""

    content: bytes
    begins: tuple[int, ...]


def write(path: Path, payloads: list[bytes] = PAYLOADS, *, run: str = "ours") -> Written:
    writer = BlockWriter(path, {"format": "a test", "run": run})
    begins = [0, writer.bytes_written]
    for payload, items in zip(payloads, ITEMS * len(payloads), strict=False):
        writer.append(BlockKind.FRAMES, payload, items=items)
        begins.append(writer.bytes_written)
    writer.close({"blocks": len(payloads)})
    return Written(path.read_bytes(), tuple(begins))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("blocks") / "whole")


def read(path: Path, content: bytes) -> tuple[BlockReader, list[bytes]]:
    path.write_bytes(content)
    reader = BlockReader(path)
    return reader, [block.payload for block in reader]


def test_one_flipped_bit_costs_one_block(tmp_path: Path, whole: Written) -> None:
    """The finding: 14 of 2666 frames stayed readable."""
    damaged = bytearray(whole.content)
    damaged[whole.begins[3] + BLOCK_HEADER_BYTES + 100] ^= 4
    reader, payloads = read(tmp_path / "log", damaged)
    assert payloads == PAYLOADS[:2] + PAYLOADS[3:]
    assert (reader.end, reader.torn_bytes) == ({"blocks": 8}, 0)
    assert reader.damage.blocks == 1
    assert reader.damage.items == ITEMS[2]
    assert reader.damage.places == [(whole.begins[3], 300 + BLOCK_HEADER_BYTES)]
    assert reader.damage.words("frames") == (
        f"damaged at byte {whole.begins[3]}: 332 bytes cannot be read; 1 block with 30 frames "
        "lost, all others are read"
    )


def test_a_block_whose_header_is_damaged_is_lost_with_unknown_items(
    tmp_path: Path, whole: Written
) -> None:
    damaged = bytearray(whole.content)
    damaged[whole.begins[3] + 12] ^= 1
    damaged[whole.begins[7] + 40] ^= 1
    reader, payloads = read(tmp_path / "log", damaged)
    assert payloads == [PAYLOADS[k] for k in (0, 1, 3, 4, 5, 7)]
    assert (reader.damage.blocks, reader.damage.items, reader.damage.count) == (2, ITEMS[6], 2)
    assert f"in 2 places, the first at byte {whole.begins[3]}" in reader.damage.words("frames")
    assert "2 blocks with at least 70 frames lost" in reader.damage.words("frames")


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "remove", "insert"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 400),
        st.binary(min_size=1, max_size=80),
    ),
    max_size=6,
)


def edited(content: bytes, edits: list[tuple[str, float, int, bytes]]) -> list[tuple[int, int]]:
    """Return the bytes after the edits, each with where it was at first (-1: inserted)."""
    marked = list(enumerate(content))
    for kind, where, number, inserted in edits:
        if not marked:
            return marked
        at = int(where * len(marked))
        if kind == "flip":
            origin, value = marked[at]
            marked[at] = (origin, value ^ (1 << number % 8))
        elif kind == "remove":
            del marked[at : at + number]
        else:
            marked[at:at] = [(-1, value) for value in inserted]
    return marked


def untouched(content: bytes, marked: list[tuple[int, int]], begin: int, end: int) -> bool:
    """Whether a region lies in the edited bytes as it was, in one piece."""
    try:
        at = next(k for k, (origin, _) in enumerate(marked) if origin == begin)
    except StopIteration:
        return False
    return marked[at : at + end - begin] == list(enumerate(content))[begin:end]


@given(edits=EDITS)
@settings(max_examples=600)
def test_every_block_that_no_damage_touches_is_read(
    tmp_path: Path, whole: Written, edits: list[tuple[str, float, int, bytes]]
) -> None:
    marked = edited(whole.content, edits)
    ends = (*whole.begins[1:], len(whole.content))
    sound = [
        untouched(whole.content, marked, begin, end)
        for begin, end in zip(whole.begins, ends, strict=True)
    ]
    path = tmp_path / "log"
    path.write_bytes(content := bytes(value for _, value in marked))
    if not sound[0] or marked[0][0] != 0:
        with pytest.raises(LogError):
            BlockReader(path)
        return
    reader = BlockReader(path)
    payloads = [block.payload for block in reader]
    assert payloads == [p for p, is_sound in zip(PAYLOADS, sound[1:-1], strict=True) if is_sound]
    assert reader.end == ({"blocks": 8} if sound[-1] else None)
    kept = sum(e - b for b, e, is_sound in zip(whole.begins, ends, sound, strict=True) if is_sound)
    assert reader.damage.bytes + reader.torn_bytes + kept == len(content)
    assert bool(reader.damage or reader.torn_bytes) >= (content != whole.content and sound[-1])
    if sound[-1]:
        assert reader.damage.blocks == sound.count(False)
    assert [place.items for place in reader.places() if reader_has(reader, place)] == [
        items for items, is_sound in zip(ITEMS, sound[1:-1], strict=False) if is_sound
    ]


def reader_has(reader: BlockReader, place) -> bool:
    """Whether the block at a place is sound."""
    try:
        reader.at(place)
    except LogError:
        return False
    return True


@given(flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=40))
@settings(max_examples=100)
def test_records_keep_their_order_whatever_is_damaged(
    tmp_path: Path, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path / "many"
    path.unlink(missing_ok=True)
    payloads = [k.to_bytes(4, "big") * 20 for k in range(200)]
    content = bytearray(write(path, payloads).content)
    for at, value in flips:
        content[500 + at % (len(content) - 500)] ^= value
    _, found = read(path, content)
    assert found == sorted(set(found))
    assert len(found) >= 200 - len(flips)


def test_a_block_that_lies_twice_in_the_file_is_read_once(tmp_path: Path, whole: Written) -> None:
    again = whole.content[whole.begins[2] : whole.begins[5]]
    at = whole.begins[7]
    content = whole.content[:at] + again + whole.content[at:]
    reader, payloads = read(tmp_path / "log", content)
    assert payloads == PAYLOADS
    assert (reader.damage.blocks, reader.damage.bytes) == (0, len(again))
    assert "bytes are foreign; no block is lost" in reader.damage.words("frames")


def test_blocks_of_another_log_cost_what_they_lie_on(tmp_path: Path, whole: Written) -> None:
    """As where a file system mixes up its pages."""
    other = write(tmp_path / "other", [bytes([k]) * 7 for k in range(100, 150)], run="other")
    page = other.content[other.begins[30] : other.begins[40]]
    for begin in (whole.begins[2], whole.begins[3] + 50):
        for end in (begin, begin + len(page)):
            content = whole.content[:begin] + page + whole.content[end:]
            reader, payloads = read(tmp_path / "log", content)
            assert set(payloads) <= set(PAYLOADS)
            lost = [k for k, payload in enumerate(PAYLOADS) if payload not in payloads]
            assert len(lost) <= 5
            assert reader.end == {"blocks": 8}
            assert reader.damage


def test_blocks_in_the_wrong_order_are_damage(tmp_path: Path, whole: Written) -> None:
    a, b, c = (whole.begins[k] for k in (3, 4, 5))
    content = whole.content[:a] + whole.content[b:c] + whole.content[a:b] + whole.content[c:]
    reader, payloads = read(tmp_path / "log", content)
    assert payloads in (PAYLOADS[:2] + PAYLOADS[3:], PAYLOADS[:3] + PAYLOADS[4:])
    assert reader.damage.blocks == 1


def test_blocks_that_were_cut_out_are_missed(tmp_path: Path, whole: Written) -> None:
    content = whole.content[: whole.begins[2]] + whole.content[whole.begins[6] :]
    reader, payloads = read(tmp_path / "log", content)
    assert payloads == PAYLOADS[:1] + PAYLOADS[5:]
    assert (reader.damage.blocks, reader.damage.bytes) == (4, 0)


def test_a_torn_tail_is_no_damage_and_damage_before_it_is_no_tail(
    tmp_path: Path, whole: Written
) -> None:
    torn = whole.content[: whole.begins[7] + 100]
    reader, payloads = read(tmp_path / "log", torn)
    assert payloads == PAYLOADS[:6]
    assert (reader.torn_bytes, bool(reader.damage)) == (100, False)
    damaged = bytearray(torn)
    damaged[whole.begins[2] + 2] ^= 1
    reader, payloads = read(tmp_path / "log", damaged)
    assert payloads == PAYLOADS[:1] + PAYLOADS[2:6]
    assert (reader.torn_bytes, reader.damage.blocks) == (100, 1)


def test_going_on_with_a_damaged_log_cuts_off_its_torn_tail_alone(
    tmp_path: Path, whole: Written
) -> None:
    """Cut at the first damage, all sound blocks behind it would be destroyed."""
    damaged = bytearray(whole.content[: whole.begins[7] + 100])
    damaged[whole.begins[2] + 2] ^= 1
    path = tmp_path / "log"
    path.write_bytes(damaged)
    writer = BlockWriter.reopened(path)
    assert writer.bytes_written == whole.begins[7]
    writer.append(BlockKind.FRAMES, b"new", items=1)
    writer.close({})
    reader = BlockReader(path)
    assert [block.payload for block in reader] == [PAYLOADS[0], *PAYLOADS[2:6], b"new"]
    assert (reader.torn_bytes, reader.damage.blocks, reader.end) == (0, 1, {})


def test_places_are_found_behind_damage_too(tmp_path: Path, whole: Written) -> None:
    for at in (whole.begins[3], whole.begins[3] + BLOCK_HEADER_BYTES + 7):
        content = whole.content[:at] + whole.content[at + 9 :]  # bytes are missing
        path = tmp_path / "log"
        path.write_bytes(content)
        reader = BlockReader(path)
        sound = [place for place in reader.places() if reader_has(reader, place)]
        assert [place.items for place in sound] == ITEMS[:2] + ITEMS[3:]


def test_a_sector_that_cannot_be_read_costs_its_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payloads = [bytes([k]) * 3000 for k in range(20)]
    path = tmp_path / "log"
    write(path, payloads)
    real, bad = os.pread, range(4096 * 3, 4096 * 4)

    def pread(number: int, size: int, position: int) -> bytes:
        if position < bad.stop and position + size > bad.start:
            raise OSError(errno.EIO, "Input/output error")
        return real(number, size, position)

    monkeypatch.setattr(os, "pread", pread)
    reader = BlockReader(path)
    found = [block.payload for block in reader]
    assert len(found) == 17 or len(found) == 18
    assert reader.end is not None
    assert reader.damage.blocks == 20 - len(found)


def test_what_is_told_of_much_damage_is_bounded(tmp_path: Path) -> None:
    payloads = [bytes([k % 256]) * 40 for k in range(200)]
    written = write(tmp_path / "log", payloads)
    damaged = bytearray(written.content)
    for begin in written.begins[1:-1:2]:
        damaged[begin + 40] ^= 1
    reader, found = read(tmp_path / "log", damaged)
    assert (len(found), reader.damage.blocks, reader.damage.count) == (100, 100, 100)
    assert len(reader.damage.places) == MOST_PLACES


@pytest.mark.parametrize("jump", [0, 1, 7])
def test_a_file_made_to_take_for_ever_does_not(tmp_path: Path, jump: int) -> None:
    """Each block claims all that follows; or each number is far from the last one's."""
    count, path = 20_000, tmp_path / "log"
    BlockWriter(path, {}).abandon()
    blocks = bytearray()
    for k in range(count):
        header = np.frombuffer(
            bytearray(block_header(BlockKind.FRAMES, b"", sequence=1 + k * jump % 5003, items=1)),
            np.uint8,
        )
        blocks += header.tobytes()
    if jump == 0:
        blocks = bytearray(_russian_dolls(count))
    with path.open("ab") as file:
        file.write(blocks)
    try:
        found = list(BlockReader(path))
    except LogError as error:
        assert "blocks lie in one another" in str(error)
    else:
        assert len(found) <= count


def _russian_dolls(count: int) -> bytes:
    import struct

    import crc32c

    out = bytearray()
    for k in range(count):
        length = (count - k - 1) * BLOCK_HEADER_BYTES
        front = struct.pack("<IHHIIQI", 0x4B424D54, 2, 0, k + 1, 1, length, 0)
        out += front + struct.pack("<I", crc32c.crc32c(front))
    return bytes(out)
