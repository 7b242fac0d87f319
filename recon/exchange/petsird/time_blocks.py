"""Encodes PETSIRD's time blocks of coincidences to bytes, and decodes them, at memory speed.

The layout is that of ``recon.exchange.petsird.yardl`` for the types TimeBlock, EventTimeBlock and
CoincidenceEvent of the schemas (PETSIRD 0.9 to 0.12). A block of events is

    case 0 · start ms · stop ms · 0 (singles) · 1 1 n events · 1 1 m events · 0 (triples) · 0

all as varints, an event being its two detection bins, the larger first, and the TOF bin.
"""

from __future__ import annotations

import numpy as np

from hw.arrays import Array
from hw.jit import kernel

MOST_EVENT_BYTES = 15
MOST_BLOCK_BYTES = 40

DONE, FULL, OTHER, TORN = 0, 1, 2, 3
"""Why decoding stopped: end of the stream, no more room, a block other than plain coincidences, or
truncated bytes."""


@kernel
def put(out: Array, at: int, value: int) -> int:
    """Write an unsigned integer as a varint; return the position after it."""
    rest = np.uint64(value)
    while rest >= np.uint64(0x80):
        out[at] = np.uint8((rest & np.uint64(0x7F)) | np.uint64(0x80))
        at += 1
        rest >>= np.uint64(7)
    out[at] = np.uint8(rest)
    return at + 1


@kernel
def _put_events(out: Array, at: int, words: Array, first: int, stop: int, layout: Array) -> int:
    """Write events first..stop of (n, 4) i8, COINCIDENCE as words; ``layout`` is
    (DOI bins, energy bins, LLD and width of an energy bin in 0.1 keV, TOF: lowest, span, bins).

    out : u1; ``at`` : where to begin in it. Returns the position after the last byte.
    """
    n_doi, n_energy, lld, energy_width = layout[0], layout[1], layout[2], layout[3]
    tof_low, tof_span, tof_bins = layout[4], layout[5], layout[6]
    for i in range(first, stop):
        pair, second, third = words[i, 1], words[i, 2], words[i, 3]
        bin_a = (pair & 0xFFFFFFFF) * n_doi + ((third >> 8) & 0xFF)
        bin_b = ((pair >> 32) & 0xFFFFFFFF) * n_doi + ((third >> 16) & 0xFF)
        if n_energy > 1:
            energy_a = (((second >> 32) & 0xFFFF) - lld) // energy_width
            energy_b = (((second >> 48) & 0xFFFF) - lld) // energy_width
            bin_a = bin_a * n_energy + min(max(energy_a, 0), n_energy - 1)
            bin_b = bin_b * n_energy + min(max(energy_b, 0), n_energy - 1)
        tof_ps = ((second & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        if bin_a > bin_b:
            bin_a, bin_b, tof_ps = bin_b, bin_a, -tof_ps
        at = put(out, at, bin_b)
        at = put(out, at, bin_a)
        place = (tof_ps - tof_low) * tof_bins // tof_span
        at = put(out, at, min(max(place, 0), tof_bins - 1))
    return at


@kernel
def _put_list(
    out: Array, at: int, words: Array, first: int, stop: int, layout: Array, stored: int
) -> int:
    """Write the coincidence lists of the only pair of module types, or none.

    stored : 0 writes none; other arguments as for ``_put_events``
    """
    if not stored:
        out[at] = 0
        return at + 1
    out[at] = 1
    out[at + 1] = 1
    at = put(out, at + 2, stop - first)
    return _put_events(out, at, words, first, stop, layout)


@kernel
def encode_blocks(
    prompts: Array,
    delayeds: Array,
    first_block: int,
    n_blocks: int,
    block_ms: int,
    layout: Array,
    delayeds_stored: int,
    out: Array,
) -> int:
    """Write ``n_blocks`` time blocks of ``block_ms`` to ``out``; return the number of bytes.

    Events are words in order of time; those belonging to a block already written go into the first.
    ``out`` needs ``MOST_EVENT_BYTES`` an event and ``MOST_BLOCK_BYTES`` a block.

    Parameters
    ----------
    prompts, delayeds : (n, 4) i8, ``COINCIDENCE`` records as words
    first_block : number of the first block, from the run's start
    layout : i8, see :meth:`recon.exchange.petsird.header.Binning.layout`
    delayeds_stored : 1 to write a list of delayeds, else 0
    out : (bytes,) u1
    """
    at, p, d = 0, 0, 0
    block_ps = block_ms * 1_000_000_000
    for k in range(n_blocks):
        end_ps = (first_block + k + 1) * block_ps
        p_stop, d_stop = p, d
        while p_stop < len(prompts) and prompts[p_stop, 0] < end_ps:
            p_stop += 1
        while d_stop < len(delayeds) and delayeds[d_stop, 0] < end_ps:
            d_stop += 1
        out[at] = 1  # one more item of the stream
        out[at + 1] = 0  # EventTimeBlock
        at = put(out, at + 2, (first_block + k) * block_ms)
        at = put(out, at, (first_block + k + 1) * block_ms)
        out[at] = 0
        at = _put_list(out, at + 1, prompts, p, p_stop, layout, 1)
        at = _put_list(out, at, delayeds, d, d_stop, layout, delayeds_stored)
        out[at] = 0
        out[at + 1] = 0
        at += 2
        p, d = p_stop, d_stop
    return at


@kernel
def get(data: Array, at: int, found: Array) -> int:
    """Read a varint into ``found[0]``; return the position after it, or −1 at the end of data."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            found[0] = np.int64(value)
            return at
        shift += np.uint64(7)
    return -1


@kernel
def decode_blocks(
    data: Array, state: Array, out: Array, number: Array, n_detection_bins: int
) -> int:
    """Read time blocks of plain coincidences; return why it stopped (``DONE`` … ``TORN``).

    Parameters
    ----------
    data : the file, u1
    state : i8: position, items left in the stream's present batch, end (ms) of the blocks read so
        far, coincidences with a bin that does not exist; updated
    out : (n, 5) i8, filled with start ms, stop ms, larger bin, smaller bin, TOF bin; the first is
        negative (−1 − ms) for delayeds
    number : i8 [rows filled]; one row per coincidence
    """
    found = np.zeros(1, np.int64)
    while True:
        at, left = state[0], state[1]
        if left == 0:
            at = get(data, at, found)
            if at < 0:
                return TORN
            left = found[0]
            if left == 0:
                state[0] = at
                return DONE
        state[0], state[1] = at, left
        if at >= len(data):
            return TORN
        if data[at] != 0:
            return OTHER
        rows, bad = number[0], 0
        at = get(data, at + 1, found)
        if at < 0:
            return TORN
        start = found[0]
        at = get(data, at, found)
        if at < 0:
            return TORN
        stop = found[0]
        at = get(data, at, found)
        if at < 0:
            return TORN
        if found[0] != 0:
            return OTHER
        for kind in range(2):
            at = get(data, at, found)
            if at < 0:
                return TORN
            if found[0] == 0:
                continue
            if found[0] != 1:
                return OTHER
            at = get(data, at, found)
            if at < 0:
                return TORN
            if found[0] != 1:
                return OTHER
            at = get(data, at, found)
            if at < 0:
                return TORN
            events = found[0]
            if rows + events > len(out):
                return FULL if events <= len(data) - at else TORN
            for _ in range(events):
                for field in range(2, 5):
                    at = get(data, at, found)
                    if at < 0:
                        return TORN
                    out[rows, field] = found[0]
                if out[rows, 2] >= n_detection_bins or out[rows, 3] >= n_detection_bins:
                    bad += 1
                    continue
                out[rows, 0] = start if kind == 0 else -1 - start
                out[rows, 1] = stop
                rows += 1
        for _ in range(2):
            at = get(data, at, found)
            if at < 0:
                return TORN
            if found[0] != 0:
                return OTHER
        number[0] = rows
        state[0], state[1] = at, left - 1
        state[2] = max(state[2], stop)
        state[3] += bad


def warm_petsird() -> None:
    """Run both kernels once."""
    nothing = np.zeros((0, 4), np.int64)
    layout = np.array([1, 1, 0, 1, 0, 1, 1], np.int64)
    out = np.zeros(MOST_BLOCK_BYTES, np.uint8)
    used = encode_blocks(nothing, nothing, 0, 1, 1, layout, 1, out)
    data = np.frombuffer(out[:used].tobytes() + b"\0", np.uint8)
    state, number = np.zeros(4, np.int64), np.zeros(1, np.int64)
    decode_blocks(data, state, np.zeros((1, 5), np.int64), number, 1)
