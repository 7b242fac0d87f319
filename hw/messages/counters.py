"""The counters carried by the telemetry: what each one means for the run's record.

The daq does the counting (``daq/path/books.py``); its watch and the console look up here how bad a
counter is and what to call it. One that is not listed counts as a loss, so that what a newer daq
has added is shown rather than overlooked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Harm = Literal["none", "mended", "loss"]


@dataclass(frozen=True)
class Counter:
    """What a counter means.

    harm : "none" if it only says how much there was, "mended" if worth a mark though nothing was
        lost, "loss" if something was lost
    words : what the journal's alarm calls it, "" for no alarm
    """

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
    "frames.miscounted": Counter(
        "loss", "data frames whose counter of events disagrees with their number"
    ),
    "frames.slips": Counter("loss", "slips of a module's time against its frame numbers"),
    "frames.sync_lost": Counter(
        "loss", "data frames without SYNC: coincidences of those modules are off in time"
    ),
    "singles.lost_in_module": Counter("loss", "events lost in modules' queues"),
    "frames.module_resets": Counter("mended", "module resets"),
    "frames.module_stalls": Counter("mended", "module stalls"),
    "frames.epochs": Counter("mended"),
    "frames.low_bias": _LOSS,  # the watch names the modules
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
    "crowded": Counter("loss", "singles too crowded to pair: a clock that stands still, or noise?"),
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
"""Counters whose rise is an alarm, with the alarm's words, in the order of reporting."""


def harm_of(name: str) -> Harm:
    """Return how bad it is if a counter is not 0."""
    return COUNTERS.get(name, _LOSS).harm
