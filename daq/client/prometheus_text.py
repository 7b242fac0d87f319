"""A system's state as Prometheus reads it, written by prometheus-client (text format 0.0.4).

Nothing here names a run, a patient or a person: a monitoring system keeps what it gets for years.
Counters count from 0 in each run, which Prometheus takes as a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from hw.messages.telemetry import RunState, Telemetry

__all__ = ["CONTENT_TYPE", "metrics_text"]

PRIORITIES = ("high", "medium", "low")
KINDS = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def metrics_text(telemetry: Telemetry | None) -> str:
    """Return the metrics; None: the system does not answer, which is ``tomoshibi_up 0``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Now(telemetry))
    return generate_latest(registry).decode()


class _Now(Collector):
    def __init__(self, telemetry: Telemetry | None) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[Metric]:
        up = self._telemetry is not None
        yield _family("up", "gauge", "Whether the acquisition answers.", [({}, up)])
        if self._telemetry is not None:
            for one in _families(self._telemetry):
                yield _family(*one)


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


def _family(name: str, kind: str, words: str, samples: Iterable[Sample]) -> Metric:
    found = list(samples)
    labels = list(found[0][0]) if found else ["name"]
    family = KINDS[kind](f"tomoshibi_{name}", words, labels=labels)
    for of, value in found:
        family.add_metric(list(of.values()), float(value))
    return family
