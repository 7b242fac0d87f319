"""Golden vectors: data frames on whose bytes and fate every implementation must agree.

Each frame comes with the verdict of a fresh receiver set up as :data:`RECEIVER`, after it has
accepted the frames named in ``after``. Verdicts are named as in ``daq.path.frame_check.Verdict``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.arrays import U8
from hw.wire import protocol as p
from hw.wire.angle_words import MOST_DEG, pack_angle_words
from hw.wire.frames import frame_crc, new_header, seal_frame

RECEIVER = {"run_tag": 0x5EED1E55, "modules": 48}
"""What the receiver of the vectors knows: the run's tag and how many modules there are."""

MODULE = 5
NO_WORDS: U8 = np.empty(0, dtype=np.uint64)

SOUND_VERDICTS = ("ACCEPTED", "OTHER_RUN", "UNKNOWN_MODULE", "DUPLICATE", "OUT_OF_STEP")


@dataclass(frozen=True)
class GoldenFrame:
    """One vector: its bytes, its purpose, and what a receiver must make of it."""

    name: str
    text: str
    data: bytes
    verdict: str = "ACCEPTED"
    after: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether the bytes are a valid frame, whatever the receiver makes of it."""
        return self.verdict in SOUND_VERDICTS


def golden_frames() -> list[GoldenFrame]:
    """Return all vectors, in the order of the binary file."""
    return [*_sound_frames(), *_sequence_frames(), *_damaged_frames(), *_refused_frames()]


def golden_json(frames: list[GoldenFrame]) -> str:
    """Return the JSON that says where each frame lies in the binary file and what it contains."""
    entries, offset = [], 0
    for frame in frames:
        entries.append(_entry(frame, offset))
        offset += len(frame.data)
    table = {
        "about": "Data frames in frames.bin, generated from hw/wire/protocol.toml by "
        "python -m hw.generate. Words as [kind, doi, flags, crystal, energy, time].",
        "protocol_version": p.VERSION,
        "schema_crc": p.SCHEMA_CRC,
        "receiver": RECEIVER,
        "frames": entries,
    }
    text = json.dumps(table, indent=1, ensure_ascii=False)
    one_line = re.sub(r"\[[\s\d,]+\]", lambda found: " ".join(found[0].split()), text)
    return one_line.replace("[ ", "[").replace(" ]", "]") + "\n"


def _entry(frame: GoldenFrame, offset: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": frame.name, "text": frame.text, "offset": offset}
    entry |= {"length": len(frame.data), "verdict": frame.verdict, "after": list(frame.after)}
    if frame.intact:
        header = np.frombuffer(frame.data, p.HEADER_DTYPE, count=1)[0]
        words = np.frombuffer(frame.data, "<u8", offset=p.HEADER_BYTES)
        columns = p.unpack_words(words)
        entry["header"] = {name: int(header[name]) for name in p.HEADER_DTYPE.names or ()}
        entry["words"] = [
            [int(value) for value in row] for row in zip(*columns.values(), strict=True)
        ]
    return entry


def _frame(sequence: int, words: U8 = NO_WORDS, **fields: int) -> bytes:
    header = {"run_tag": RECEIVER["run_tag"], "frame_id": sequence, "module": MODULE} | fields
    module, frame_id = header.pop("module"), header.pop("frame_id")
    return seal_frame(new_header(module, sequence, frame_id, **header), words)


def _single(time_ticks: int = 1_000_000, crystal: int = 100) -> U8:
    return p.pack_words(time_ticks=[time_ticks], crystal=crystal, energy_dkeV=5110, doi=3)


def _boundary_words() -> U8:
    """Each field at 0, 1, its greatest value and one below, with the others at a middle value."""
    middle = {"kind": 1, "doi": 3, "flags": 0, "crystal": 1023, "energy": 5110, "time": 123_456_789}
    words = []
    for field in p.WORD_FIELDS.values():
        for value in (0, 1, field.mask - 1, field.mask):
            values = middle | {field.name: value}
            words.append(sum(values[f.name] << f.shift for f in p.WORD_FIELDS.values()))
    return np.array([*words, 0, 2**64 - 1], dtype=np.uint64)


def _sound_frames() -> list[GoldenFrame]:
    boundary = _boundary_words()
    telemetry = {"temperature": -1234, "bias": 5650, "epoch": 7, "dead_events": 2, "dead_time": 70}
    saturation = p.pack_words(
        time_ticks=[1, 2, 3],
        crystal=0,
        energy_dkeV=[16382, 16383, 20000],
        flags=[0, p.WORD_FLAGS["saturated"], p.WORD_FLAGS["saturated"]],
    )
    latest = _single(p.TIME_MASK)
    angles = pack_angle_words(
        time_ticks=[0, 1, 2, 3, 4, 5, p.TIME_MASK],
        angle_deg=[0, 90, 0.001, -0.001, 359.999, MOST_DEG, -MOST_DEG],
    )
    extremes = {"frame_id": 2**32 - 1, "events_before": 2**53 + 1, "epoch": 2**16 - 1}
    extremes |= dict.fromkeys(("lost_events", "dead_events", "dead_time"), 2**32 - 1)
    extremes |= {"temperature": -(2**15), "bias": 2**16 - 1, "module": RECEIVER["modules"] - 1}
    extremes |= {"flags": sum(p.FRAME_FLAGS.values())}
    sent = 1 + len(boundary)
    return [
        GoldenFrame(
            "first",
            "a module's first data frame of a run: one single of 511.0 keV",
            _frame(0, _single(), flags=p.FLAG_FIRST),
        ),
        GoldenFrame(
            "heartbeat",
            "no event words: the module lives, and the watermark moves on",
            _frame(1, NO_WORDS, events_before=1, **telemetry),
            after=("first",),
        ),
        GoldenFrame(
            "boundaries",
            "each field of the word in turn at 0, 1, greatest − 1, greatest; then no bit, all bits",
            _frame(2, boundary, events_before=1),
            after=("first", "heartbeat"),
        ),
        GoldenFrame(
            "saturation",
            "1638.2 keV fits; 1638.3 keV and 2000 keV both become the overflow value 16383",
            _frame(3, saturation, events_before=sent, flags=p.FLAG_OVERFLOW, lost_events=9),
        ),
        GoldenFrame(
            "latest_time",
            "a word at 2^30 − 1 ticks, the last that fits: nearly four periods after the start",
            _frame(4, latest, events_before=sent + 3, flags=p.FLAG_SYNC_LOST),
        ),
        GoldenFrame(
            "angles",
            "angle words: 0°, 90°, 0.001°, −0.001°, 359.999°, and the most in either direction",
            _frame(6, angles, events_before=sent + 5),
        ),
        GoldenFrame(
            "last",
            "a module's last data frame of a run: nothing follows",
            _frame(5, _single(0), events_before=sent + 4, flags=p.FLAG_LAST),
        ),
        GoldenFrame(
            "header_extremes",
            "header fields at their bounds; events_before does not fit a double",
            _frame(0, NO_WORDS, **extremes),
        ),
    ]


def _sequence_frames() -> list[GoldenFrame]:
    half, end = 2**31 - 1, 2**32 - 1
    return [
        GoldenFrame("sequence_half_way", "sequence 2^31 − 1", _frame(half)),
        GoldenFrame(
            "sequence_before_wrap",
            "sequence 2^32 − 1, the last before it wraps",
            _frame(end, frame_id=half + 1),
            after=("sequence_half_way",),
        ),
        GoldenFrame(
            "sequence_after_wrap",
            "sequence 0 again, which is not a repeated frame",
            _frame(0, frame_id=half + 2),
            after=("sequence_half_way", "sequence_before_wrap"),
        ),
    ]


def _damaged_frames() -> list[GoldenFrame]:
    good = _frame(6, np.concatenate([_single(1), _single(2)]))
    many = _resealed(good[: p.HEADER_BYTES], event_count=p.MAX_EVENTS + 1)
    return [
        GoldenFrame("empty_message", "no bytes at all", b"", "TRUNCATED"),
        GoldenFrame("truncated_header", "63 bytes", good[: p.HEADER_BYTES - 1], "TRUNCATED"),
        GoldenFrame(
            "bad_magic", "another magic, the CRC is right", _resealed(good, magic=0), "BAD_MAGIC"
        ),
        GoldenFrame(
            "bad_version",
            "the next protocol version, the CRC is right",
            _resealed(good, version=p.VERSION + 1),
            "BAD_VERSION",
        ),
        GoldenFrame("missing_word", "the last word is missing", good[:-8], "BAD_LENGTH"),
        GoldenFrame("missing_byte", "the last byte is missing", good[:-1], "BAD_LENGTH"),
        GoldenFrame("extra_word", "a word too many", good + bytes(8), "BAD_LENGTH"),
        GoldenFrame("too_many_events", "event_count above its bound", many, "BAD_LENGTH"),
        GoldenFrame("flipped_payload", "a bit of a word flipped", _flipped(good, 70), "BAD_CRC"),
        GoldenFrame("flipped_header", "a bit of bias flipped", _flipped(good, 46), "BAD_CRC"),
        GoldenFrame("flipped_crc", "a bit of the CRC flipped", _flipped(good, 63), "BAD_CRC"),
    ]


def _refused_frames() -> list[GoldenFrame]:
    return [
        GoldenFrame(
            "other_run", "the tag of another run", _frame(6, _single(), run_tag=1), "OTHER_RUN"
        ),
        GoldenFrame(
            "unknown_module",
            "the first module index that does not exist",
            _frame(6, _single(), module=RECEIVER["modules"]),
            "UNKNOWN_MODULE",
        ),
        GoldenFrame(
            "duplicate",
            "the frame `first` once more",
            _frame(0, _single(), flags=p.FLAG_FIRST),
            "DUPLICATE",
            after=("first", "heartbeat"),
        ),
        GoldenFrame(
            "out_of_step",
            "the next number, but a period 200 (1 s) further ahead than the number says",
            _frame(2, frame_id=2 + 200, events_before=1),
            "OUT_OF_STEP",
            after=("first", "heartbeat"),
        ),
    ]


def _resealed(frame: bytes, **fields: int) -> bytes:
    """Change header fields and correct the CRC."""
    header = np.frombuffer(frame, p.HEADER_DTYPE, count=1).copy()
    payload = frame[p.HEADER_BYTES :]
    for name, value in fields.items():
        header[name] = value
    header["crc"] = frame_crc(header.tobytes(), payload)
    return header.tobytes() + payload


def _flipped(frame: bytes, byte: int) -> bytes:
    return frame[:byte] + bytes([frame[byte] ^ 0x10]) + frame[byte + 1 :]
