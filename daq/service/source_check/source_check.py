"""What a source's frames and report are worth: each verdict, and what later steps would refuse.

Frames go through the daq's own checker and decoder, so that what is said here is what a run would
do with them. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import SINGLE
from daq.path.decode import STATE_NAMES, Decoder
from daq.path.frame_check import CheckedFrames, FrameChecker, Refused, Verdict
from daq.service.source_check.offence import offence
from daq.service.source_check.time_offsets import Offset, time_offsets
from hw.messages.sort_settings import SortSettings
from hw.messages.source import SourceReport
from hw.scanner.description import Scanner
from hw.scanner.geometry import allowed_module_pairs
from hw.wire.protocol import FLAG_FIRST, FRAME_PERIOD_TICKS

MOST_SINGLES = 2_000_000
"""Of which times are kept for the offsets."""

NEAR_PS = 1_000
"""Offsets below this are left to the calibration of skew."""

KNOWN_KINDS = range(1, 7)


@dataclass
class SourceCheck:
    """Takes a source's frames and reports; knows what is wrong with them."""

    scanner: Scanner
    settings: SortSettings
    run_tag: int
    reports: list[SourceReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        modules = self.scanner.n_modules
        self.checker = FrameChecker(n_modules=modules, run_tag=self.run_tag)
        self._decoder = Decoder(
            n_modules=modules, crystals_per_module=self.scanner.crystals_per_module
        )
        self.first_period = np.full(modules, -1, np.int64)
        self._no_first = np.zeros(modules, np.int64)
        self._odd_words: dict[int, int] = {}
        self._reserved = self._ahead = self._singles = self._in_window = self._saturated = 0
        self._kept: list[npt.NDArray[np.void]] = []
        self._n_kept = 0

    def take(self, frames: Sequence[bytes]) -> tuple[CheckedFrames, list[tuple[Refused, str]]]:
        """Take frames as they came; return those accepted, and the others with what offends."""
        links = self.checker.links.copy()
        checked = self.checker.check(frames)
        refused = [
            (one, offence(one.frame, one.verdict, run_tag=self.run_tag, links=links))
            for one in checked.refused
        ]
        if len(checked):
            self._look_at_headers(checked.headers)
            self._look_at_words(checked)
        return checked, refused

    def _look_at_headers(self, headers: npt.NDArray[np.void]) -> None:
        for h in headers:
            module, is_first = int(h["module"]), self.first_period[h["module"]] < 0
            if is_first:
                self.first_period[module] = int(h["frame_id"])
            self._no_first[module] += is_first and not h["flags"] & FLAG_FIRST
        for name in ("reserved", "reserved_2", "reserved_3"):
            self._reserved += int((headers[name] != 0).sum())

    def _look_at_words(self, checked: CheckedFrames) -> None:
        words = np.concatenate(
            [np.frombuffer(checked.payload, "<u8")[start : start + count] for start, count in
             zip(checked.word_starts, checked.headers["event_count"].astype(int), strict=True)]
        )  # fmt: skip
        kinds, counts = np.unique(words >> np.uint64(61), return_counts=True)
        for kind, count in zip(kinds, counts, strict=True):
            if int(kind) not in KNOWN_KINDS:
                self._odd_words[int(kind)] = self._odd_words.get(int(kind), 0) + int(count)
        ticks = words & np.uint64(0x3FFFFFFF)
        self._ahead += int((ticks >= FRAME_PERIOD_TICKS).sum())
        out = np.empty(len(words), SINGLE)
        singles = out[: self._decoder.decode(checked, out)]
        low, high = (round(10 * e) for e in (self.settings.lld_keV, self.settings.uld_keV))
        wanted = (singles["energy"] >= low) & (singles["energy"] <= high)
        self._singles += len(singles)
        self._in_window += int(wanted.sum())
        self._saturated += int((singles["energy"] == 16383).sum())
        if self._n_kept < MOST_SINGLES:
            self._kept.append(singles[wanted].copy())
            self._n_kept += len(self._kept[-1])

    @property
    def detector_s(self) -> float:
        """How far the newest module's frames have come."""
        return self._decoder.newest_ps * 1e-12

    @property
    def all_ended(self) -> bool:
        """Whether every module has sent its LAST frame."""
        return self._decoder.all_ended

    def rates(self) -> npt.NDArray[np.float64]:
        """Return each module's singles per second of its own detector time."""
        line = self._decoder.line
        return np.asarray(line["singles"] / np.maximum(line["end_ps"] * 1e-12, 1e-9))

    def offsets(self) -> list[Offset]:
        """Return the modules' offsets in time, from the coincidences among the singles kept."""
        if not self._kept or not self.settings.sorts_coincidences:
            return []
        singles = np.concatenate(self._kept)
        singles = singles[np.argsort(singles["time_ps"], kind="stable")]
        module = singles["crystal"] // self.scanner.crystals_per_module
        return time_offsets(
            np.ascontiguousarray(singles["time_ps"]), module, allowed_module_pairs(self.scanner)
        )

    def findings(self) -> list[str]:
        """Return what is wrong, in words; [] for a source with which a run would be good."""
        return [
            *self._of_verdicts(), *self._of_links(), *self._of_words(), *self._of_reports(),
            *self._of_offsets(),
        ]  # fmt: skip

    def _of_verdicts(self) -> list[str]:
        counts = self.checker.verdicts
        return [f"{counts[v]} frames refused as {v.name}" for v in Verdict if v and counts[v]]

    def _of_links(self) -> list[str]:
        links, line = self.checker.links, self._decoder.line
        heard = links["received"] > 0
        ended = links["ended"].astype(bool)
        late = self.first_period > 0
        return [
            *_named("sent no frame at all", ~heard),
            *_named("sent a first frame without the flag FIRST", self._no_first > 0),
            *_named("did not begin at period 0, where Start puts them", late),
            *_named("sent no frame with the flag LAST", heard & ~ended),
            *_named("have frames that lack by their sequence numbers", links["lost"], "frames"),
            *_named("say an events_before that does not fit the words sent", links["miscounts"],
                    "frames"),
            *_named("changed their period against their sequence numbers", links["slips"], "times"),
            *_named("began anew in mid-run", links["resets"], "times"),
            *_named("were without SYNC", links["sync_lost"], "frames"),
            *_named("lost events in their own queues", links["lost_in_module"], "events"),
            *_named("fell more than 1 s behind the newest", line["stalls"], "times"),
            *_named("sent frames wholly before the watermark", line["late_frames"], "frames"),
        ]  # fmt: skip

    def _of_words(self) -> list[str]:
        line, crystals = self._decoder.line, self.scanner.crystals_per_module
        found = [
            *_named(f"name crystals beyond 0 to {crystals - 1}", line["invalid"], "singles"),
            *_named("sent singles after they had promised to send none so early", line["late"],
                    "singles"),
        ]  # fmt: skip
        found += [
            f"{count} words of kind {kind}, which does not exist"
            for kind, count in sorted(self._odd_words.items())
        ]
        if self._reserved:
            found.append(f"{self._reserved} reserved header fields are not 0")
        if self._singles and not self._in_window and self.settings.sorts_coincidences:
            found.append(
                f"none of {self._singles} singles is within {self.settings.lld_keV:g} to "
                f"{self.settings.uld_keV:g} keV: is the energy in units of 0.1 keV?"
            )
        return found

    def _of_reports(self) -> list[str]:
        if not self.reports:
            return ["no SourceReport came: a run's sums could not be closed"]
        n, links = self.scanner.n_modules, self.checker.links
        if any(len(r.frames_sent) != n for r in self.reports):
            return [f"the SourceReport's lists are not of {n} modules, those of the whole scanner"]
        frames = np.sum([r.frames_sent for r in self.reports], axis=0)
        words = np.sum([r.singles_emitted for r in self.reports], axis=0)
        return [
            *_named("report other numbers of frames than came",
                    frames - links["received"] - links["lost"], "more frames"),
            *_named("report other numbers of words than came",
                    words - links["words_received"] - links["words_lost"], "more words"),
            *[f"the source says that it failed: {r.failed}" for r in self.reports if r.failed],
        ]  # fmt: skip

    def _of_offsets(self) -> list[str]:
        window_ps, found = self.settings.window_ps, []
        for one in self.offsets():
            if one.periods:
                found.append(
                    f"module {one.module} is {one.periods:+d} period(s) of 5.24288 ms against the "
                    "others: it took its period 0 from another SYNC pulse"
                )
            elif abs(one.rest_ps) > window_ps:
                found.append(
                    f"module {one.module} is {one.rest_ps / 1000:+.1f} ns against the others, "
                    f"outside of the coincidence window of ±{window_ps / 1000:g} ns"
                )
        return found

    def summary(self) -> dict[str, Any]:
        """Return what was found, for --json."""
        line, links = self._decoder.line, self.checker.links
        offsets = {one.module: one for one in self.offsets()}
        return {
            "detector_time_s": self.detector_s,
            "verdicts": {v.name: int(self.checker.verdicts[v]) for v in Verdict},
            "singles": self._singles,
            "in_window": self._in_window,
            "energy_overflow": self._saturated,
            "words_ahead_of_their_period": self._ahead,
            "modules": [
                {
                    "module": m,
                    "frames": int(links["received"][m]),
                    "lost": int(links["lost"][m]),
                    "state": STATE_NAMES[line["state"][m]],
                    "first_period": int(self.first_period[m]),
                    "end_s": int(line["end_ps"][m]) * 1e-12,
                    "singles_per_s": round(float(self.rates()[m]), 1),
                    **_offset_words(offsets.get(m)),
                }
                for m in range(self.scanner.n_modules)
            ],
            "findings": self.findings(),
        }


def _offset_words(offset: Offset | None) -> dict[str, Any]:
    if offset is None or not offset.pairs:
        return {"offset_ps": None}
    return {"offset_ps": round(offset.total_ps, 1), "offset_pairs": offset.pairs}


def _named(words: str, amount: npt.NDArray[Any], unit: str = "") -> list[str]:
    """Return a finding that names the modules with an amount other than 0."""
    modules = np.flatnonzero(amount)
    if not len(modules):
        return []
    named = ", ".join(map(str, modules[:8])) + (" …" if len(modules) > 8 else "")
    many = f" ({int(np.sum(amount[modules]))} {unit})" if unit else ""
    return [f"module{'s' if len(modules) > 1 else ''} {named}: {words}{many}"]
