"""Writes PETSIRD list mode: the same bytes as the PyPI ``petsird`` writer for the same data.

Format: PETSIRD 0.9 to 0.12 (Emission Tomography Standardization Initiative), yardl binary protocol
(:mod:`recon.exchange.petsird.yardl`); the schemas lie beside this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coincidence.events import COINCIDENCE
from hw.arrays import Records
from hw.whole_file import whole_file
from recon.exchange.errors import ExchangeError
from recon.exchange.event_parts import Part, intervals
from recon.exchange.petsird.header import Binning
from recon.exchange.petsird.time_blocks import MOST_BLOCK_BYTES, MOST_EVENT_BYTES, encode_blocks
from recon.exchange.petsird.versions import NEWEST, header_as, schema_of
from recon.exchange.petsird.yardl import write_opening

BLOCK_MS = 1
MOST_BLOCKS = 100_000
LONGEST_MS = 2**32 - 1


@dataclass(frozen=True)
class Exported:
    """Number of events in a file, and its size in bytes."""

    prompts: int
    delayeds: int
    bytes: int


def write_petsird(
    path: Path,
    parts: Iterable[Part],
    header: dict[str, Any],
    binning: Binning,
    *,
    doi_bins: int,
    block_ms: int = BLOCK_MS,
    duration_s: float = 0.0,
    delayeds: bool = True,
    version: str = NEWEST,
) -> Exported:
    """Write a list of coincidences as a stream: memory does not grow with the list.

    Parameters
    ----------
    parts : (is delayeds, ``COINCIDENCE`` records); each kind in order of time
    header : of :func:`recon.exchange.petsird.header.header_of`
    block_ms : length of a time block: the time resolution that a reader gets
    duration_s : time blocks reach at least this far
    version : of PETSIRD, one of ``VERSIONS``; its readers take no other

    Raises
    ------
    ExchangeError
        if the disk refuses, or a time does not fit the format; no file is left then.
    """
    schema = schema_of(version)
    opening = bytearray(write_opening(schema.text))
    schema.codec("PETSIRD.Header").write(opening, header_as(header, version))
    layout = binning.layout(doi_bins)
    counts = [0, 0]
    with whole_file(path) as file:
        file.write(opening)
        total = len(opening)
        done = 0
        step_ps = block_ms * 1_000_000_000
        for interval in intervals(parts, step_ps=step_ps, until_ps=int(duration_s * 1e12)):
            last = interval.until_ps // step_ps
            if last * block_ms > LONGEST_MS:
                raise ExchangeError(f"{path}: {last * block_ms} ms do not fit PETSIRD's 32 bits")
            chosen = interval.delayeds if delayeds else interval.delayeds[:0]
            for data in _encoded(interval.prompts, chosen, done, last, block_ms, layout, delayeds):
                file.write(data)
                total += len(data)
            done = last
            counts[0] += len(interval.prompts)
            counts[1] += len(chosen)
        file.write(b"\0")  # the stream has ended
    return Exported(counts[0], counts[1], total + 1)


def _encoded(
    prompts: Records,
    delayeds: Records,
    first: int,
    last: int,
    block_ms: int,
    layout: np.ndarray,
    with_delayeds: bool,
) -> Iterable[memoryview]:
    """Yield blocks first..last as bytes, few at a time so that the buffer stays small."""
    for begin in range(first, last, MOST_BLOCKS):
        stop = min(begin + MOST_BLOCKS, last)
        ends_ps = stop * block_ms * 1_000_000_000
        p, d = (int(np.searchsorted(kind["time_ps"], ends_ps)) for kind in (prompts, delayeds))
        room = (p + d) * MOST_EVENT_BYTES + (stop - begin) * MOST_BLOCK_BYTES
        out = np.empty(room, np.uint8)
        used = encode_blocks(
            as_rows(prompts[:p]), as_rows(delayeds[:d]), begin, stop - begin, block_ms, layout,
            int(with_delayeds), out,
        )  # fmt: skip
        yield out[:used].data
        prompts, delayeds = prompts[p:], delayeds[d:]


def as_rows(records: Records) -> np.ndarray:
    """Return ``COINCIDENCE`` records as (n, 4) i8."""
    plain = np.ascontiguousarray(records, dtype=COINCIDENCE)
    return plain.view(np.int64).reshape(-1, 4)
