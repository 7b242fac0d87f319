"""The counters that the telemetry carries: what each one means for the run's record.

The daq counts (``daq/path/books.py``), its watch and the console only read here how bad a counter
is and in which words. One that is not here counts as a loss: what a newer daq has added is shown
rather than overlooked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Harm = Literal["none", "mended", "loss"]


@dataclass(frozen=True)
class Counter:
    """harm : "none" says how much there was, "mended" is worth a mark though the record lost
    nothing, "loss" is a loss; words : what the journal's alarm calls them, "" for no alarm"""

    harm: Harm
    words: str = ""


_FLOW, _LOSS = Counter("none"), Counter("loss")
COUNTERS: dict[str, Counter] = {
    "frames.sent": _FLOW,
    "frames.received": _FLOW,
    "frames.lost": Counter("loss", "data frames lost"),
    "frames.corrupt": Counter("loss", "data frames corrupt"),
    "frames.late": Counter("loss", "data frames late"),
    "frames.duplicate": Counter("mended", "data frames twice"),
    "frames.reordered": Counter("mended", "data frames out of order"),
    "frames.wrong_version": Counter("loss", "data frames of another protocol version"),
    "frames.other_run": Counter("mended", "data frames of another run"),
    "frames.unknown_module": Counter("loss", "data frames of an unknown module"),
    "frames.out_of_step": Counter(
        "loss", "data frames whose time leapt away from their number: a module's clock?"
    ),
    "frames.slips": Counter("loss", "slips of a module's time against its frame numbers"),
    "frames.sync_lost": Counter(
        "loss", "data frames without SYNC: coincidences of those modules are off in time"
    ),
    "singles.lost_in_module": Counter("loss", "events lost in modules' queues"),
    "frames.module_resets": Counter("mended", "module resets"),
    "frames.module_stalls": Counter("mended", "module stalls"),
    "frames.epochs": Counter("mended"),
    "singles.emitted": _FLOW,
    "singles.received": _FLOW,
    "singles.accepted": _FLOW,
    "singles.windowed": _FLOW,
    "singles.out_of_window": _FLOW,
    "singles.masked": _FLOW,
    "singles.late": _LOSS,
    "singles.invalid": _LOSS,
    "singles.lost": _LOSS,
    "singles.dead": _FLOW,
    "singles.other_words": _FLOW,
    "angles.words": _FLOW,
    "angles.implausible": Counter("loss", "angles implausible: beyond the range or too fast"),
    "angles.late": Counter("mended"),
    "angles.unknown_frames": Counter(
        "loss", "data frames of modules that did not tell their angle"
    ),
    "crowded": Counter(
        "loss", "singles crowded beyond measure: a clock that stands still, or noise?"
    ),
    "crowded_windows": _LOSS,
    "prompts": _FLOW,
    "delayeds": _FLOW,
    "multiples": _FLOW,
    "triples": _FLOW,
    "bytes": _FLOW,
    "stray_frames": Counter("mended"),
    "invalid_messages": Counter("mended"),
    "imager.undelivered": Counter("mended"),
    "journal_write_errors": _LOSS,
}
ALARMING = {name: counter.words for name, counter in COUNTERS.items() if counter.words}
"""Counters whose rise is an alarm, with its words, in the order in which they are told."""


def harm_of(name: str) -> Harm:
    """Return how bad it is that a counter is not 0."""
    return COUNTERS.get(name, _LOSS).harm
