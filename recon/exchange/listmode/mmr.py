"""Siemens mMR list mode: 32-bit PETLINK words with bin addresses, as sinograms and as lines.

A word with bit 31 clear is a coincidence: bit 30 set for a prompt, clear for a delayed, and an
address bin + 344·(view + 252·sinogram) in the rest. Set bits 31–29 of 100 are a time in ms; other
tags are counted (PETLINK guideline J1; STIR 6, CListRecordECAT8_32bit). Sinograms follow the
header's segment table: segment 0, +1, −1, +2 …, each with one plane for every pair of rings a
whole number of rings apart.

View v and bin b are the crystals (of 504 places around, every ninth of which is a gap)

    d1 = v + ⌊t/2⌋,  d2 = v − ⌊(t + 1)/2⌋ + 252  (mod 504),  t = b − 172

(STIR, ProjDataInfoCylindricalNoArcCorr). Real data confirm this: no event falls into a gap. Segment
±k is ring1 − ring2 = ±k: with it the measured list is more likely than with the opposite (by 1500
in the log-likelihood after 6 iterations). Crystals are assumed to lie on a circle. The direction of
the views is not documented: the picture may be a mirror image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.arrays import I8
from hw.bounded_files import FileRefused, read_bytes
from recon.core.events import Lors
from recon.exchange.errors import ExchangeError

CRYSTALS_AROUND = 504
GAP_EVERY = 9
DEPTH_MM = 7.0
"""Mean depth of interaction, as in STIR for this scanner."""

MOST_BYTES = 16 << 30
"""Of a list: more than an hour of a scanner in use."""

MOST = 1e6
"""Larger than any number in a header."""

Counts = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class MmrHeader:
    """The values used from a header (.l.hdr, Interfile with Siemens' keys).

    segment_planes : planes of segment 0, +1, −1, +2 …
    """

    bins: int
    views: int
    rings: int
    ring_mm: float
    radius_mm: float
    segment_planes: tuple[int, ...]
    data: str

    @property
    def sinograms(self) -> int:
        """Number of sinograms of all segments."""
        return sum(self.segment_planes)


@dataclass(frozen=True)
class MmrEvents:
    """Coincidences in order: address parts, time (ms), and whether each is a delayed."""

    header: MmrHeader
    bin: I8
    view: I8
    sinogram: I8
    time_ms: I8
    delayed: npt.NDArray[np.bool_]
    other_words: int

    @property
    def duration_s(self) -> float:
        """From the first to the last time word."""
        return float(np.ptp(self.time_ms) + 1) / 1000 if len(self.time_ms) else 0.0


def read_header(path: Path) -> MmrHeader:
    """Read a header.

    Raises
    ------
    ExchangeError
        if a key is missing, or the segment table is not this scanner's span-1 table.
    """
    try:
        text = read_bytes(path).decode("latin-1")
    except FileRefused as error:
        raise ExchangeError(f"{path} cannot be read: {error}") from error
    parted = (line.partition(":=") for line in text.splitlines() if ":=" in line)
    keys = {key.strip(" !%\t").lower(): value.strip() for key, _, value in parted}

    def number(key: str) -> float:
        try:
            value = float(keys[key])
            if not 0 < value < MOST:
                raise ValueError(keys[key])
            return value
        except (KeyError, ValueError) as error:
            raise ExchangeError(f"{path} has no number for {key!r}: not an mMR header") from error

    table = tuple(int(n) for n in re.findall(r"\d{1,9}", keys.get("segment table", "")))
    found = MmrHeader(
        bins=int(number("number of projections")),
        views=int(number("number of views")),
        rings=int(number("number of rings")),
        ring_mm=10 * number("distance between rings (cm)"),
        radius_mm=10 * number("gantry crystal radius (cm)"),
        segment_planes=table,
        data=keys.get("name of data file", ""),
    )
    expected = [found.rings]
    for k in range(1, len(table) // 2 + 1):
        expected += [found.rings - k] * 2
    if list(table) != expected or 2 * found.views != CRYSTALS_AROUND:
        raise ExchangeError(
            f"{path}: {found.views} views and segments {str(table[:5])[1:-1]}, … are not the "
            f"uncompressed (span 1) ones of an mMR ({', '.join(map(str, expected[:5]))}, …)"
        )
    return found


def find_header(data: Path) -> MmrHeader:
    """Return the header beside a list-mode file that describes its addresses."""
    errors = []
    for path in sorted(data.parent.glob("*.hdr*")):
        try:
            return read_header(path)
        except ExchangeError as error:
            errors.append(str(error))
    tried = "; ".join(errors) or f"there is no .hdr in {data.parent}"
    raise ExchangeError(f"{data}: no header that fits ({tried}): name it with --header")


def read_mmr(path: Path, header: MmrHeader) -> MmrEvents:
    """Read a list-mode file (.l).

    Raises
    ------
    ExchangeError
        if a word is cut short, or an address lies beyond the header's sinograms.
    """
    try:
        raw = read_bytes(path, most_bytes=MOST_BYTES)
    except FileRefused as error:
        raise ExchangeError(f"{path} cannot be read: {error}") from error
    if not raw or len(raw) % 4:
        raise ExchangeError(f"{path} has {len(raw)} bytes, no whole number of 32-bit words")
    words = np.frombuffer(raw, "<u4")
    is_event = words >> 31 == 0
    is_time = words >> 29 == 0b100
    ms = np.where(is_time, words & 0x1FFFFFFF, 0).astype(np.int64)
    address = (words[is_event] & 0x3FFFFFFF).astype(np.int64)
    beyond = int((address >= header.bins * header.views * header.sinograms).sum())
    if beyond or not len(address):
        raise ExchangeError(
            f"{path}: {beyond} of {len(address)} addresses lie beyond {header.bins} bins × "
            f"{header.views} views × {header.sinograms} sinograms: wrong header, or not mMR data"
        )
    rest, bin_ = np.divmod(address, header.bins)
    sinogram, view = np.divmod(rest, header.views)
    return MmrEvents(
        header=header,
        bin=bin_,
        view=view,
        sinogram=sinogram,
        time_ms=np.maximum.accumulate(ms)[is_event],
        delayed=(words[is_event] >> 30 & 1) == 0,
        other_words=int((~is_event & ~is_time).sum()),
    )


def ring_pairs(header: MmrHeader) -> I8:
    """Return the rings (of d1, of d2) of every sinogram, (sinograms, 2)."""
    pairs = []
    for segment, planes in enumerate(header.segment_planes):
        difference = (segment + 1) // 2 * (1 if segment % 2 else -1)
        low = np.arange(planes)
        second = low + max(0, -difference)
        pairs.append(np.stack([second + difference, second], axis=1))
    return np.concatenate(pairs)


def crystals_of(view: I8, bin_: I8, bins: int) -> tuple[I8, I8]:
    """Return the crystal positions around the ring (0 … 503) of a view and bin."""
    t = bin_ - bins // 2
    d1 = (view + (t >> 1)) % CRYSTALS_AROUND
    d2 = (view - ((t + 1) >> 1) + CRYSTALS_AROUND // 2) % CRYSTALS_AROUND
    return d1, d2


def lines(header: MmrHeader, view: I8, bin_: I8, sinogram: I8) -> Lors:
    """Return the lines of addresses, mm, centred on the scanner."""
    rings = ring_pairs(header)[sinogram]
    ends = []
    for end, place in enumerate(crystals_of(view, bin_, header.bins)):
        angle = 2 * np.pi * (place + 0.5) / CRYSTALS_AROUND
        radius = header.radius_mm + DEPTH_MM
        z = (rings[:, end] - (header.rings - 1) / 2) * header.ring_mm
        ends.append(np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1))
    start, end_ = (np.ascontiguousarray(one, dtype=np.float32) for one in ends)
    return Lors(start, end_)


def all_addresses(header: MmrHeader, count: int, seed: int) -> tuple[I8, I8, I8]:
    """Return ``count`` addresses (view, bin, sinogram) drawn evenly from all that have two
    crystals, to estimate a sensitivity image from."""
    rng = np.random.default_rng(seed)
    view = rng.integers(0, header.views, 2 * count)
    bin_ = rng.integers(0, header.bins, 2 * count)
    d1, d2 = crystals_of(view, bin_, header.bins)
    seen = np.flatnonzero((d1 % GAP_EVERY != 0) & (d2 % GAP_EVERY != 0))[:count]
    sinogram = rng.integers(0, header.sinograms, len(seen))
    return view[seen], bin_[seen], sinogram


def line_count(header: MmrHeader) -> int:
    """Return the number of lines: addresses with two crystals."""
    view, bin_ = np.divmod(np.arange(header.views * header.bins), header.bins)
    d1, d2 = crystals_of(view, bin_, header.bins)
    return int(((d1 % GAP_EVERY != 0) & (d2 % GAP_EVERY != 0)).sum()) * header.sinograms


def ssrb(events: MmrEvents) -> tuple[Counts, Counts]:
    """Return prompts and delayeds as sinograms [2·rings − 1, views, bins]: single-slice rebinning,
    every line in the plane midway between its rings (M. E. Daube-Witherspoon, G. Muehllehner, J.
    Nucl. Med. 28 (1987) 1717)."""
    plane = ring_pairs(events.header).sum(axis=1)[events.sinogram]
    return _histograms(events, plane, 2 * events.header.rings - 1)


def span11(events: MmrEvents) -> tuple[Counts, Counts]:
    """Return prompts and delayeds as the vendor's usual sinograms, 837 planes of span 11: segment k
    holds ring differences 11k − 5 … 11k + 5, in the order 0, +1, −1 …"""
    rings = ring_pairs(events.header)[events.sinogram]
    n, most = events.header.rings, len(events.header.segment_planes) // 2
    difference = rings[:, 0] - rings[:, 1]
    segment = np.sign(difference) * ((np.abs(difference) + 5) // 11)
    least = [max(0, 11 * k - 5) for k in range((most + 5) // 11 + 1)]
    sizes = [2 * n - 1 - 2 * low for low in least]
    first = np.cumsum([0, sizes[0], *(size for size in sizes[1:] for _ in range(2))])
    order = np.where(segment == 0, 0, 2 * np.abs(segment) - (segment > 0))
    plane = first[order] + rings.sum(axis=1) - np.array(least)[np.abs(segment)]
    return _histograms(events, plane, int(first[-1]))


def _histograms(events: MmrEvents, plane: I8, planes: int) -> tuple[Counts, Counts]:
    shape = (planes, events.header.views, events.header.bins)
    made = []
    for kind in (~events.delayed, events.delayed):
        cell = np.ravel_multi_index((plane[kind], events.view[kind], events.bin[kind]), shape)
        counts = np.zeros(shape, np.uint16)
        where, number = np.unique(cell, return_counts=True)
        if number.max(initial=0) > 65535:
            raise ExchangeError(
                f"{number.max()} counts in one bin: import a shorter part of the list"
            )
        counts.reshape(-1)[where] = number
        made.append(counts)
    return made[0], made[1]
