"""What a running run is watched for: silence, losses, stalls, randoms that disagree. Each becomes
a journal entry.

New losses are told at most once a second, with how many came since: an alarm must be seen, not
fill the journal.
"""

from __future__ import annotations

from daq.path.takers.statistics import LONGEST_SPAN_PS
from daq.service.module_watch import ModuleWatch
from daq.service.rate_watch import RateWatch
from daq.service.run import Run
from hw.messages.codec import Severity

SILENT_S = 2.0
GIVE_UP_S = 10.0
LAG_S = 0.5
_EVERY_S = 1.0

RANDOMS_SIGMAS, RANDOMS_OFF = 5.0, 0.10
"""The two estimates of the randoms disagree where their ratio over the last 10 s is off 1 by more
than both; they agree again within half of either."""

_CAUSES = "a delay within the dead time, a source that pulses, noise that repeats? docs/randoms.md"

WATCHED = {
    "lost": "data frames lost",
    "corrupt": "data frames corrupt",
    "late": "data frames late",
    "duplicate": "data frames twice",
    "reordered": "data frames out of order",
    "wrong_version": "data frames of another protocol version",
    "other_run": "data frames of another run",
    "unknown_module": "data frames of an unknown module",
    "out_of_step": "data frames whose time leapt away from their number: a module's clock?",
    "slips": "slips of a module's time against its frame numbers",
    "sync_lost": "data frames without SYNC: coincidences of those modules are off in time",
    "lost_in_module": "events lost in modules' queues",
    "module_resets": "module resets",
    "module_stalls": "module stalls",
    "implausible": "angles implausible: beyond the range or too fast",
    "unknown_frames": "data frames of modules that did not tell their angle",
    "crowded": "singles crowded beyond measure: a clock that stands still, or noise?",
}


class RunWatch:
    """Watches one run; ``last_data_s`` is when its last data frame came (monotonic)."""

    def __init__(self) -> None:
        self.last_data_s = 0.0
        self._told: dict[str, int] = {}
        self._next_s = 0.0
        self._silent = False
        self._lags = False
        self._states = ModuleWatch()
        self._rates = RateWatch()

    def data_came(self, now: float) -> None:
        """Note that data frames came."""
        self.last_data_s = now

    def look(self, run: Run, now: float, *, lag_s: float = 0.0) -> list[tuple[Severity, str]]:
        """Return what should be told now; ``lag_s``: how far the sources say they are behind."""
        entries: list[tuple[Severity, str]] = []
        silent = now - self.last_data_s > SILENT_S
        if silent and not self._silent:
            entries.append(("alarm", f"no data for {SILENT_S:g} s: is the source alive?"))
        elif self._silent and not silent:
            entries.append(("info", "data again"))
        self._silent = silent
        if now >= self._next_s:
            self._next_s = now + _EVERY_S
            entries += [("alarm", words) for words in self._losses(run)]
            entries += self._randoms(run)
            entries += self._lag(lag_s)
            entries += self._module_rates(run)
            entries += self._states.look(run.pipeline.checker.links)
            if run.books().frames()["epochs"]:
                run.taint("a module's temperature left its band")
        return entries

    def _losses(self, run: Run) -> list[str]:
        words = []
        books = run.books()
        counts = books.angles() | books.frames() | {"crowded": run.coincidences()["crowded"]}
        counts["lost_in_module"] = books.singles()["lost_in_module"]
        for name, what in WATCHED.items():
            more = counts[name] - self._told.get(name, 0)
            if more > 0:
                self._told[name] = counts[name]
                words.append(f"{more} {what} ({counts[name]} in this run)")
                run.taint(what)
        return words

    def _randoms(self, run: Run) -> list[tuple[Severity, str]]:
        """Compare the two estimates of the randoms; tell once that they disagree, once the end."""
        recent = run.statistics.recent_randoms(LONGEST_SPAN_PS)
        if recent is None or not recent.counts.known:
            return []
        off = abs(recent.counts.ratio - 1)
        strength = min(off / RANDOMS_OFF, off / (RANDOMS_SIGMAS * recent.counts.sigma))
        told = f"{recent.counts.ratio:.3f} ± {recent.counts.sigma:.3f}"
        if strength > 1 and not run.randoms_alarm:
            run.randoms_alarm = True
            run.taint("the two estimates of the randoms disagreed")
            words = f"randoms by delayeds over randoms by singles: {told}, not 1: {_CAUSES}"
            return [("alarm", words)]
        if strength <= 0.5 and run.randoms_alarm:
            run.randoms_alarm = False
            return [("info", f"the two estimates of the randoms agree again: {told}")]
        return []

    def _module_rates(self, run: Run) -> list[tuple[Severity, str]]:
        if run.scanner.modality != "PET":
            return []
        decoder = run.pipeline.decoder
        return self._rates.look(decoder.line["singles"], decoder.newest_ps)

    def _lag(self, lag_s: float) -> list[tuple[Severity, str]]:
        """Tell once that an emulated source does not keep up, and once that it does again."""
        if lag_s > LAG_S and not self._lags:
            self._lags = True
            words = f"the source is {lag_s:.1f} s behind real time: its time runs slower"
            return [("warning", f"{words}, the rates per detector second stay right")]
        if lag_s < LAG_S / 4 and self._lags:
            self._lags = False
            return [("info", "the source keeps real time again")]
        return []

    def last_words(self, run: Run) -> list[str]:
        """Return losses and disagreements that were not told yet, at the end of a run."""
        randoms = [words for severity, words in self._randoms(run) if severity == "alarm"]
        states = [words for _, words in self._states.look(run.pipeline.checker.links)]
        return self._losses(run) + randoms + states

    def given_up(self, run: Run, now: float) -> bool:
        """Whether a run of fixed duration has been without data for too long to wait on."""
        return run.config.duration_s > 0 and now - self.last_data_s > GIVE_UP_S
