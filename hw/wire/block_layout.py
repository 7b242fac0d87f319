"""The layout of a file of blocks: the raw log, the list-mode logs and the truth file.

A file is a sequence of blocks, each a 32-byte header and a payload, both guarded by CRC-32C; the
first block is a JSON head, the last a JSON end. docs/file-format.md.
"""

from __future__ import annotations

from enum import IntEnum

import crc32c
import numpy as np

BLOCK_MAGIC = 0x4B424D54  # "TMBK"
BLOCK_HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("kind", "<u2"),
        ("flags", "<u2"),
        ("sequence", "<u4"),
        ("items", "<u4"),
        ("length", "<u8"),
        ("payload_crc", "<u4"),
        ("header_crc", "<u4"),
    ]
)
BLOCK_HEADER_BYTES = BLOCK_HEADER.itemsize
MAX_PAYLOAD = 1 << 30


class BlockKind(IntEnum):
    """What a block's payload is."""

    HEAD = 1
    FRAMES = 2
    PROMPTS = 3
    DELAYEDS = 4
    SINGLES = 5
    TRIPLES = 6
    ANGLES = 7
    END = 9
    TRUTH = 10
    REFUSED = 11


def block_header(
    kind: BlockKind, payload: bytes | memoryview, *, sequence: int, items: int
) -> bytes:
    """Return the header of block number ``sequence`` of its file, counting from 0."""
    header = np.zeros((), dtype=BLOCK_HEADER)
    header["magic"], header["kind"] = BLOCK_MAGIC, kind
    header["sequence"], header["items"] = sequence, items
    header["length"], header["payload_crc"] = len(payload), crc32c.crc32c(payload)
    header["header_crc"] = crc32c.crc32c(header.tobytes()[:-4])
    return header.tobytes()
