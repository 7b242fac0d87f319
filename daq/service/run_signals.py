"""Samples of signals from outside get the detector time at which they came, and are kept.

Their times are of this machine's monotonic clock, by which the data's arrival is known, too: the
difference of both clocks is the least that the data of the last second had
(:mod:`daq.path.wall_clock`). So a sample's time is too late by the least way of data from module to
daq, some ms, the same for all samples of a source that keeps up.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from daq.errors import RunError
from daq.folder.identity.identity_file import refuse_identity_in
from daq.folder.journal import Journal
from daq.folder.signals.signal_file import NAME_PATTERN, Kind, check_values
from daq.path.wall_clock import WallClock
from daq.service.run import Run
from hw.messages.bounds import Count, Finite, Integer

OLDEST_NS = 120_000_000_000
MOST_AHEAD_NS = 1_000_000_000
MOST_SAMPLES = 5000
MOST_SENDERS = 100


class Samples(msgspec.Struct, kw_only=True, frozen=True):
    """Samples of a signal, the oldest first.

    sender : a word of the sending process's own; first : number of the first sample in its stream
    wall_ns : CLOCK_MONOTONIC of each
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    kind: Kind
    source: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
    sender: Annotated[str, msgspec.Meta(max_length=40)]
    first: Count
    wall_ns: Annotated[list[Integer], msgspec.Meta(max_length=MOST_SAMPLES)]
    values: Annotated[list[Finite], msgspec.Meta(max_length=MOST_SAMPLES)]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.wall_ns):
            raise ValueError(f"{len(self.values)} values of {len(self.wall_ns)} times")


def keep_signal(
    run: Run, args: dict[str, Any], clock: WallClock, journal: Journal
) -> dict[str, Any]:
    """Keep samples in the run; return how many, and the number of the next one.

    ``taken`` is 0 and ``next`` the first's number while no data have come: send them again.

    Raises
    ------
    RunError, StorageError
        if they are no samples, of another machine's clock, or cannot be kept.
    """
    try:
        given = msgspec.convert(args, Samples)
    except msgspec.ValidationError as error:
        raise RunError(f"signal: {error}") from error
    check_values(given.kind, given.values)
    _check_clock(given)
    refuse_identity_in(run.folder, f"{given.name} {given.source}", "signal")
    if clock.time_ps(0) is None:
        return {"taken": 0, "next": given.first}
    kept, is_new = run.signals.of(given.name, given.kind, given.source)
    if is_new:
        journal.add("info", f"signal {given.name}: {given.kind}, from {given.source}")
    skipped = max(0, kept.next_of.get(given.sender, given.first) - given.first)
    times_ps = [clock.time_ps(one) or 0 for one in given.wall_ns[skipped:]]
    taken = kept.add(times_ps, given.values[skipped:])
    if len(kept.next_of) >= MOST_SENDERS:
        kept.next_of.clear()
    kept.next_of[given.sender] = given.first + max(skipped, len(given.values))
    return {"taken": taken, "next": kept.next_of[given.sender]}


def _check_clock(given: Samples) -> None:
    now = time.monotonic_ns()
    if any(not -MOST_AHEAD_NS <= now - one <= OLDEST_NS for one in given.wall_ns):
        raise RunError(
            f"signal {given.name}: its times are not of this machine's clock, or older than "
            f"{OLDEST_NS // 10**9} s: record it on the daq's machine; over ZeroMQ or LSL it may "
            "come from others"
        )
