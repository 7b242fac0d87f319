"""A system's state as Prometheus reads it (text exposition format 0.0.4).

Nothing here names a run, a patient or a person: a monitoring system keeps what it gets for years.
Counters count from 0 in each run, which Prometheus takes as a restart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from hw.messages.telemetry import RunState, Telemetry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PRIORITIES = ("high", "medium", "low")

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def metrics_text(telemetry: Telemetry | None) -> str:
    """Return the metrics; None: the system does not answer, which is ``tomoshibi_up 0``."""
    found = [
        _family("up", "gauge", "Whether the acquisition answers.", [({}, telemetry is not None)])
    ]
    if telemetry is not None:
        found += [_family(*one) for one in _families(telemetry)]
    return "".join(found)


def _families(now: Telemetry) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    yield (
        "scanner_info", "gauge", "The scanner and what moves data into it.",
        [({"scanner": now.scanner, "source": now.source, "calibration": now.calibration}, 1)],
    )  # fmt: skip
    yield (
        "run_state", "gauge", "1 for the state of the run, 0 for the others.",
        [({"state": state}, state == now.state) for state in get_args(RunState)],
    )  # fmt: skip
    yield ("run_sound", "gauge", "Whether the run is good so far.", [({}, now.condition == "good")])
    seconds = {"elapsed": now.elapsed_s, "detector_time": now.detector_time_s,
               "source_lag": now.source_lag_s}  # fmt: skip
    for name, value in seconds.items():
        yield f"{name}_seconds", "gauge", f"{name.replace('_', ' ')} of the run.", [({}, value)]
    yield ("disk_free_bytes", "gauge", "Room for runs.", [({}, now.disk_free_GB * 1e9)])
    yield (
        "rate_per_second", "gauge", "Over the last second.",
        _named("kind", {**now.rates, **{f"window {k}": v for k, v in now.window_rates.items()}}),
    )  # fmt: skip
    yield "events_total", "counter", "Every named counter of the run.", _named("name", now.counters)
    yield (
        "module_singles_per_second", "gauge", "Singles of a module.",
        _numbered(now.module_rates),
    )  # fmt: skip
    yield (
        "module_live", "gauge", "Whether a module is heard.",
        _numbered([state == "live" for state in now.module_states]),
    )  # fmt: skip
    yield (
        "module_live_fraction", "gauge", "Live time of a module, 0 to 1.",
        _numbered(now.module_live),
    )  # fmt: skip
    yield "pair_live_fraction", "gauge", "Live time of the pairs, mean.", [({}, now.pair_live)]
    yield (
        "randoms", "gauge", "Both estimates of the randoms (1/s), their ratio and its error.",
        _named("estimate", now.randoms),
    )  # fmt: skip
    yield (
        "alarms", "gauge", "Alarms that nobody has acknowledged.",
        [({"priority": one}, sum(a.priority == one and not a.answered_by for a in now.alarms))
         for one in PRIORITIES],
    )  # fmt: skip
    yield (
        "silent_seconds", "gauge", "For how long something that should be heard is not.",
        _named("what", now.silent),
    )  # fmt: skip


def _named(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [({label: name}, value) for name, value in sorted(values.items())]


def _numbered(values: Iterable[float]) -> list[Sample]:
    return [({"module": str(number)}, value) for number, value in enumerate(values)]


def _family(name: str, kind: str, words: str, samples: Iterable[Sample]) -> str:
    """Return a metric's lines, none where it has no samples."""
    full = f"tomoshibi_{name}"
    lines = [f"{full}{_labels(labels)} {_number(value)}" for labels, value in samples]
    if not lines:
        return ""
    return "\n".join([f"# HELP {full} {words}", f"# TYPE {full} {kind}", *lines]) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    number = float(value)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else ("+Inf" if number > 0 else "-Inf")
