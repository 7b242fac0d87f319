"""Watches on a run that journal what goes wrong: silence, losses, stalls, randoms that disagree.

New losses are reported at most once a second, with their number: an alarm must be seen, not fill
the journal.

Changes that modules report in their headers (SYNC lost and found, bias below that at the run's
begin, epochs) are entered by module, many modules at once in one entry.

A module that triggers far more often than the others suggest (noise, interference) is an alarm.
Each module's singles since the last look are compared with its own before, relative to those of all
modules: a bolus raises all of them and is no alarm. This is not done for SPECT, where a rotating
detector comes near the source and goes away again, nor for fewer than three modules.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from daq.path.link_state import LOW_BIAS_10_MV
from daq.path.takers.statistics import LONGEST_SPAN_PS
from daq.service.run import Run
from hw.messages.counters import ALARMING
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice
from hw.wire.protocol import FLAG_SYNC_LOST

MOST_NAMED = 6


EPOCH_CC = 10
"""The least band of temperature (``epoch_band_cC``), in 0.01 °C: an epoch after a smaller change
has another cause.
"""
UNKNOWN_CC = 1 << 20
BIAS_OFF_10_MV = 100


class ModuleWatch:
    """Reports changes of SYNC, bias and epoch on the links of one run.

    causes : what of it taints the run, in words
    """

    def __init__(self) -> None:
        self._unsynchronised: frozenset[int] = frozenset()
        self._without_sync: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._epochs: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._epoch_cC: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._low: frozenset[int] = frozenset()
        self._off: frozenset[int] = frozenset()
        self.causes: list[str] = []

    def look(self, links: npt.NDArray[np.void]) -> list[JournalLine]:
        """Return the entries due now; ``links``: (modules,) LINK of the frame checker."""
        return [*self._sync(links), *self._bias(links), *self._epoch(links)]

    def _bias(self, links: npt.NDArray[np.void]) -> list[JournalLine]:
        """Compare the bias with that of the run's begin, and tell again once it is off."""
        if links["low_bias"].any():
            self._taint("a module's bias was below what was asked")
        lacking = links["bias"].astype(np.int64) + LOW_BIAS_10_MV < links["bias_asked"]
        low = frozenset(np.flatnonzero(lacking).tolist())
        off = low & frozenset(np.flatnonzero(links["bias"] < BIAS_OFF_10_MV).tolist())
        worse, back = (low - self._low) | (off - self._off), self._low - low
        self._low, self._off = low, off
        entries: list[JournalLine] = []
        if worse:
            least = min(worse, key=lambda m: int(links["bias"][m]))
            bias_V, asked_V = links["bias"][least] / 100, links["bias_asked"][least] / 100
            values = {"bias_V": f"{bias_V:.1f}", "asked_V": f"{asked_V:.1f}"}
            entries.append(notice("bias.low", modules=named(worse), **values))
        if back:
            name = "bias.found" if low else "bias.complete"
            entries.append(notice(name, modules=named(back)))
        return entries

    def _taint(self, cause: str) -> None:
        if cause not in self.causes:
            self.causes.append(cause)

    def _sync(self, links: npt.NDArray[np.void]) -> list[JournalLine]:
        """Compare the counts too: SYNC may have been lost and found again between two looks."""
        if len(self._without_sync) != len(links):
            self._without_sync = np.zeros(len(links), np.int64)
        seen = frozenset(np.flatnonzero(links["sync_lost"] > self._without_sync).tolist())
        self._without_sync = links["sync_lost"].astype(np.int64)
        now = frozenset(np.flatnonzero(links["flags"] & FLAG_SYNC_LOST).tolist())
        lost, found = seen - self._unsynchronised, (seen | self._unsynchronised) - now
        self._unsynchronised = now
        entries: list[JournalLine] = []
        if lost:
            entries.append(notice("sync.lost", modules=named(lost)))
        if found:
            entries.append(notice("sync.found" if now else "sync.complete", modules=named(found)))
        return entries

    def _epoch(self, links: npt.NDArray[np.void]) -> list[JournalLine]:
        now_cC = links["temperature"].astype(np.int64)
        if len(self._epochs) != len(links):
            self._epochs = np.zeros(len(links), np.int64)
            self._epoch_cC = np.full(len(links), UNKNOWN_CC)
        unknown = (links["heard"] > 0) & (self._epoch_cC == UNKNOWN_CC)
        self._epoch_cC[unknown] = now_cC[unknown]
        changed = np.flatnonzero(links["epochs"] > self._epochs)
        self._epochs = links["epochs"].astype(np.int64)
        if not len(changed):
            return []
        by_temperature = np.abs(now_cC - self._epoch_cC)[changed] >= EPOCH_CC
        self._epoch_cC[changed] = now_cC[changed]
        if by_temperature.any():
            self._taint("a module's temperature left its band")
        if not by_temperature.all():
            self._taint("a module's bias or settings were changed")
        degrees = links["temperature"][changed] / 100
        span = f"{degrees.min():.1f} °C"
        if degrees.max() - degrees.min() >= 0.1:
            span = f"{degrees.min():.1f} to {degrees.max():.1f} °C"
        return [notice("module.epoch", span=span, modules=named(changed.tolist()))]


def named(modules: Iterable[int]) -> str:
    """Return modules in words, the first few of many."""
    numbers = sorted(modules)
    few = ", ".join(map(str, numbers[:MOST_NAMED]))
    more = len(numbers) - MOST_NAMED
    return f"module{'s' if len(numbers) > 1 else ''} {few}" + (
        f" and {more} more" if more > 0 else ""
    )


LEAST_S = 0.5
LEAST_COUNTS = 100
LEAST_MODULES = 3
RATIO, SIGMAS = 2.0, 6.0
"""A module's rate, relative to the median module's, is an alarm if it exceeds its former one RATIO
times and by more than SIGMAS of counting statistics; the alarm ends below √RATIO.
"""

Counts = npt.NDArray[np.int64]


class RateWatch:
    """Watches the modules' rates in one run."""

    def __init__(self) -> None:
        self._last: Counts | None = None
        self._last_ps = 0
        self._usual: Counts = np.zeros(0, np.int64)
        self._told: frozenset[int] = frozenset()

    def look(self, singles: Counts, newest_ps: int) -> list[JournalLine]:
        """Return the entries due now.

        singles : (modules,) i8, of the run up to ``newest_ps``
        """
        if len(singles) < LEAST_MODULES or newest_ps < self._last_ps + LEAST_S * 1e12:
            return []
        if self._last is None:
            self._last, self._last_ps = singles.copy(), newest_ps
            self._usual = singles.copy()
            return []
        new = singles - self._last
        self._last, self._last_ps = singles.copy(), newest_ps
        ratio, sigma = _against_before(new, self._usual)
        loud = (ratio > RATIO) & (np.log(ratio) > SIGMAS * sigma)
        calm = ratio < np.sqrt(RATIO)
        now = frozenset(np.flatnonzero(loud).tolist())
        now |= {m for m in self._told if not calm[m]}
        if not now:
            self._usual += new
        return self._tell(now, ratio)

    def _tell(self, now: frozenset[int], ratio: npt.NDArray[np.float64]) -> list[JournalLine]:
        risen, fallen = now - self._told, self._told - now
        self._told = now
        entries: list[JournalLine] = []
        if risen:
            most = max(float(ratio[m]) for m in risen)
            entries.append(notice("module.loud", modules=named(risen), times=f"{most:.1f}"))
        if fallen:
            entries.append(notice("module.calmer" if now else "module.calm", modules=named(fallen)))
        return entries


def _against_before(
    new: Counts, usual: Counts
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each module's rate over its usual one, relative to the median module's, and the
    standard deviation of its logarithm; 1 if there are too few counts.
    """
    enough = (usual >= LEAST_COUNTS) & (new > 0)
    ratio, sigma = np.ones(len(new)), np.ones(len(new))
    if enough.sum() < LEAST_MODULES:
        return ratio, sigma
    share = new[enough] / usual[enough]
    ratio[enough] = share / np.median(share)
    sigma[enough] = np.sqrt(1 / new[enough] + 1 / usual[enough])
    return ratio, sigma


SILENT_S = 2.0
GIVE_UP_S = 120.0
"""So long a run of fixed duration waits for data: a source, or a cable, may come back."""

LAG_S = 0.5
_EVERY_S = 1.0
RANDOMS_SIGMAS, RANDOMS_OFF = 5.0, 0.10
"""The two estimates of the randoms disagree if their ratio over the last 10 s differs from 1 by
more than both; they agree again within half of either.
"""


class RunWatch:
    """Watches one run; ``last_data_s`` is when its last data frame came (monotonic)."""

    def __init__(self) -> None:
        self.last_data_s = 0.0
        self._told: dict[str, int] = {}
        self._next_s = 0.0
        self._silent = False
        self._peaks_told: set[str] = set()
        self._lags = False
        self._states = ModuleWatch()
        self._rates = RateWatch()

    def data_came(self, now: float) -> None:
        """Record that data frames came."""
        self.last_data_s = now

    def look(self, run: Run, now: float, *, lag_s: float = 0.0) -> list[JournalLine]:
        """Return the entries due now; ``lag_s``: how far the sources say they are behind."""
        entries: list[JournalLine] = []
        silent = now - self.last_data_s > SILENT_S
        if silent and not self._silent:
            entries.append(notice("data.none", silent_s=f"{SILENT_S:g}"))
        elif self._silent and not silent:
            entries.append(notice("data.again"))
        self._silent = silent
        if now >= self._next_s:
            self._next_s = now + _EVERY_S
            entries += self._losses(run)
            entries += self._randoms(run)
            entries += self._peaks(run)
            entries += self._lag(lag_s)
            entries += self._module_rates(run)
            entries += self._states.look(run.pipeline.links)
            for cause in self._states.causes:
                run.taint(cause)
        return entries

    def _losses(self, run: Run) -> list[JournalLine]:
        entries = []
        counts = run.counters()
        for name, what in ALARMING.items():
            more = counts.get(name, 0) - self._told.get(name, 0)
            if more > 0:
                self._told[name] = counts[name]
                entries.append(notice("data.harmed", count=more, what=what, total=counts[name]))
                run.taint(what)
        return entries

    def _randoms(self, run: Run) -> list[JournalLine]:
        """Compare the two estimates of the randoms; report once that they disagree, and once that
        they agree again.
        """
        recent = run.takers.statistics.recent_randoms(LONGEST_SPAN_PS)
        if recent is None or not recent.counts.known:
            return []
        off = abs(recent.counts.ratio - 1)
        strength = min(off / RANDOMS_OFF, recent.counts.off_sigmas / RANDOMS_SIGMAS)
        told = f"{recent.counts.ratio:.3f} ± {recent.counts.sigma:.3f}"
        if strength > 1 and not run.randoms_alarm:
            run.randoms_alarm = True
            run.taint("the two estimates of the randoms disagreed")
            return [notice("randoms.disagree", ratio=told)]
        if strength <= 0.5 and run.randoms_alarm:
            run.randoms_alarm = False
            return [notice("randoms.agree", ratio=told)]
        return []

    def _peaks(self, run: Run) -> list[JournalLine]:
        """Report once each module whose coincidences have no peak at Δt = 0, and each pair of
        modules without any.
        """
        if not run.config.settings.sorts_coincidences or run.unsorted:
            return []
        timing = run.takers.timing
        lines = {words: notice("peak.missing", what=words) for words in timing.judge()}
        lines |= {words: notice("pair.none", what=words) for words in timing.judge_pairs()}
        news = {words: line for words, line in lines.items() if words not in self._peaks_told}
        self._peaks_told.update(news)
        for words in news:
            run.taint(words)
        return list(news.values())

    def _module_rates(self, run: Run) -> list[JournalLine]:
        if run.scanner.modality != "PET":
            return []
        return self._rates.look(run.pipeline.module_singles, run.pipeline.newest_ps)

    def _lag(self, lag_s: float) -> list[JournalLine]:
        """Report once that an emulated source does not keep up, and once that it does again."""
        if lag_s > LAG_S and not self._lags:
            self._lags = True
            return [notice("source.behind", lag_s=f"{lag_s:.1f}")]
        if lag_s < LAG_S / 4 and self._lags and not self._silent:  # the lag of nobody is 0
            self._lags = False
            return [notice("source.in_time")]
        return []

    def last_words(self, run: Run) -> list[str]:
        """Return losses and disagreements not reported yet, at the end of a run."""
        randoms = [line for line in self._randoms(run) if line.severity == "alarm"]
        states, peaks = self._states.look(run.pipeline.links), self._peaks(run)
        return [line.text for line in self._losses(run) + randoms + states + peaks]

    def given_up(self, run: Run, now: float) -> bool:
        """Whether a run of fixed duration has been without data too long to go on waiting."""
        return run.config.duration_s > 0 and now - self.last_data_s > GIVE_UP_S
