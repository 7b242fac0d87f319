"""Golden vectors: an independent decoder and the real receiver agree with what they state."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from daq.path.frame_check import FrameChecker, Verdict
from oracles.frame_reader import FrameError, open_frame

FOLDER = Path(__file__).resolve().parents[3] / "hw" / "wire" / "golden"
TABLE = json.loads((FOLDER / "frames.json").read_text(encoding="utf-8"))
BYTES = (FOLDER / "frames.bin").read_bytes()
FRAMES: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in TABLE["frames"]}
INTACT = [name for name, entry in FRAMES.items() if "header" in entry]
every_frame = pytest.mark.parametrize("name", FRAMES)

# The header as docs/protocol.md states it, for the standard library's struct module.
HEADER = struct.Struct("<I B B H I I I I Q I I I h H H H I I I")
HEADER_NAMES = (
    *("magic", "version", "flags", "module", "sequence", "frame_id", "run_tag", "event_count"),
    *("events_before", "lost_events", "dead_events", "dead_time", "temperature", "bias", "epoch"),
    *("reserved", "reserved_2", "reserved_3", "crc"),
)


def frame_bytes(name: str) -> bytes:
    """Cut a vector out of the binary file."""
    entry = FRAMES[name]
    return BYTES[entry["offset"] : entry["offset"] + entry["length"]]


def decode_word(word: int) -> list[int]:
    """Take fields off the low end of the word; return them from the top."""
    fields = []
    for bits in (30, 14, 12, 2, 3, 3):
        word, field = divmod(word, 2**bits)
        fields.append(field)
    return fields[::-1]


def test_the_binary_file_is_the_frames_end_to_end() -> None:
    position = 0
    for entry in TABLE["frames"]:
        assert entry["offset"] == position
        position += entry["length"]
    assert position == len(BYTES)


@pytest.mark.parametrize("name", INTACT)
def test_an_independent_decoder_finds_the_stated_values(name: str) -> None:
    data, entry = frame_bytes(name), FRAMES[name]
    header = dict(zip(HEADER_NAMES, HEADER.unpack_from(data), strict=True))
    assert header == entry["header"]
    words = struct.unpack_from(f"<{header['event_count']}Q", data, 64)
    assert [decode_word(word) for word in words] == entry["words"]
    assert len(data) == 64 + 8 * header["event_count"]


@every_frame
def test_the_receiver_comes_to_the_stated_verdict(name: str) -> None:
    receiver = FrameChecker(
        n_modules=TABLE["receiver"]["modules"], run_tag=TABLE["receiver"]["run_tag"]
    )
    before = FRAMES[name]["after"]
    header = FRAMES[before[0] if before else name].get("header")
    receiver.expect(header["frame_id"] if header else 0)  # its run has come so far
    receiver.check([frame_bytes(earlier) for earlier in before])
    assert receiver.verdicts[Verdict.ACCEPTED] == len(before)
    receiver.check([frame_bytes(name)])
    receiver.verdicts[Verdict.ACCEPTED] -= len(before)
    assert {v.name: int(receiver.verdicts[v]) for v in Verdict if receiver.verdicts[v]} == {
        FRAMES[name]["verdict"]: 1
    }


@every_frame
def test_the_plain_reader_opens_exactly_the_sound_frames(name: str) -> None:
    if name in INTACT:
        open_frame(frame_bytes(name))
    else:
        with pytest.raises(FrameError):
            open_frame(frame_bytes(name))


def test_every_verdict_has_a_vector() -> None:
    assert {entry["verdict"] for entry in TABLE["frames"]} == {verdict.name for verdict in Verdict}


def test_the_boundaries_reach_the_ends_of_every_field() -> None:
    for number, bits in enumerate((3, 3, 2, 12, 14, 30)):
        found = {word[number] for word in FRAMES["boundaries"]["words"]}
        assert {0, 1, 2**bits - 2, 2**bits - 1} <= found


def test_the_counters_of_the_whole_run_close() -> None:
    names = ("first", "heartbeat", "boundaries", "saturation", "latest_time", "last")
    sent = 0
    for sequence, name in enumerate(names):
        header = FRAMES[name]["header"]
        assert (header["sequence"], header["events_before"]) == (sequence, sent)
        sent += header["event_count"]
