"""Damage that checksums do not catch: after a mutation they are made right again."""

from __future__ import annotations

import io
import random

import crc32c
import numpy as np

from daq.link.serial.cobs import decoded, encoded
from daq.link.serial.packets import MESSAGE_BYTES, MESSAGE_CRC_OFFSET
from hw.wire.block_layout import BLOCK_HEADER, BLOCK_HEADER_BYTES, BLOCK_MAGIC
from hw.wire.frames import frame_crc
from hw.wire.protocol import CRC_OFFSET, HEADER_BYTES


def mended_frame(data: bytes) -> bytes:
    """Return a data frame with the CRC of its bytes."""
    if len(data) < HEADER_BYTES:
        return data
    crc = frame_crc(data[:HEADER_BYTES], data[HEADER_BYTES:])
    return data[:CRC_OFFSET] + crc.to_bytes(4, "little") + data[CRC_OFFSET + 4 :]


def mended_packets(data: bytes) -> bytes:
    """Return control packets with the CRCs of their bytes, as far as they can be decoded."""
    pieces = [decoded(piece) if piece else None for piece in data.split(b"\0")]
    found = []
    for packet in pieces:
        if packet is not None and len(packet) >= MESSAGE_BYTES:
            start, payload = packet[:MESSAGE_CRC_OFFSET], packet[MESSAGE_BYTES:]
            length = len(payload) & 0xFFFF
            start = start[:10] + length.to_bytes(2, "little") + start[12:]
            crc = crc32c.crc32c(payload, crc32c.crc32c(start))
            found.append(encoded(start + crc.to_bytes(4, "little") + payload) + b"\0")
    return b"".join(found) or data


def mended_blocks(data: bytes) -> bytes:
    """Return a file of blocks whose lengths, numbers and CRCs are right."""
    parts: list[bytes] = []
    marker = BLOCK_MAGIC.to_bytes(4, "little")
    for sequence, piece in enumerate(data.split(marker)[1:]):
        raw = marker + piece
        if len(raw) < BLOCK_HEADER_BYTES:
            break
        header = np.frombuffer(raw[:BLOCK_HEADER_BYTES], BLOCK_HEADER)[0].copy()
        payload = raw[BLOCK_HEADER_BYTES:]
        header["sequence"], header["length"] = sequence, len(payload)
        header["payload_crc"] = crc32c.crc32c(payload)
        header["header_crc"] = crc32c.crc32c(header.tobytes()[:-4])
        parts.append(header.tobytes() + payload)
    return b"".join(parts) or data


def other_arrays(rng: random.Random, data: bytes) -> bytes:
    """Return an npz some of whose arrays have other values, types, shapes or names."""
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice(list(arrays))
        arrays[name] = _other(rng, arrays[name])
        if rng.random() < 0.1:
            arrays[rng.choice(("other", "gain", "t_ns", "activity"))] = arrays.pop(name)
    buffer = io.BytesIO()
    (np.savez if rng.random() < 0.5 else np.savez_compressed)(buffer, **arrays)
    return buffer.getvalue()


def _other(rng: random.Random, array: np.ndarray) -> np.ndarray:
    kind = rng.randrange(6)
    if kind == 0:
        return array.ravel()[: rng.randrange(array.size + 1)]
    if kind == 1:
        return array[None] if array.ndim < 8 else array.ravel()
    if kind == 2:
        types = ("f8", "f2", "i1", "u8", "?", "c16", "U3", "S2", "M8[s]", "V4", ">i4")
        return np.zeros(array.shape, rng.choice(types))
    changed = array.copy()
    if changed.size and changed.dtype.kind in "iuf":
        values = [0, 1, -1, 255, 2**31 - 1, 2**40, -(2**40)]
        if changed.dtype.kind == "f":
            values += [np.nan, np.inf, -np.inf, 1e30, 1e-30, 0.5]
        with np.errstate(all="ignore"):
            chosen = np.array(rng.choice(values)).astype(changed.dtype)
        changed.flat[rng.randrange(changed.size) :: rng.choice((1, 7, changed.size))] = chosen
    return np.asarray(changed)
