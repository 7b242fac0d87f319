"""How often does `tomoshibi bench compare` raise an alarm for equal builds?

    python benchmarks/equal_builds.py --comparisons 20 --keep sittings.jsonl

Compares this checkout with itself as often as requested (some 2 minutes each on an idle machine),
and prints one JSON object: the alarms, the widest lower bound, and for each figure the spread over
sittings of the logarithm of the ratio of times (1.48 times the median of its absolute values, and
the largest). Resampling all sittings with random signs (the builds are equal), it estimates the
probability that a comparison of all figures raises an alarm, and that a slow-down of 15, 25 or 50 %
in one figure is found. ``--keep`` appends each sitting to a file; those of an earlier campaign
there are included.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from daq.cli.bench.base_checkout import ROOT
from daq.cli.bench.compare import LIMIT_PERCENT, SITTINGS
from daq.cli.bench.ratio_interval import ratio_interval
from daq.cli.bench.turns import Build, compile_both, measure_in_turns
from daq.cli.common import tell

RESAMPLED = 4000
SLOWER_PERCENT = (15, 25, 50)


def main() -> None:
    """Compare, resample, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--comparisons", type=int, default=20)
    parser.add_argument("--keep", type=Path, default=Path("sittings.jsonl"))
    options = parser.parse_args()
    for number in range(options.comparisons):
        tell(f"comparison {number + 1}/{options.comparisons}")
        compared(options.keep)
    lines = [json.loads(line) for line in options.keep.read_text().splitlines()]
    logs = {name: np.array([line[name] for line in lines]) for name in lines[0]}
    print(json.dumps(found(logs) | {"figures": {name: spread(x) for name, x in logs.items()}}))


def compared(keep: Path) -> None:
    """Add the sittings of one comparison to ``keep``, each as soon as it is over."""
    one, other = Build(ROOT, "one"), Build(ROOT, "other")
    figures = compile_both(one, other, (), tell)
    for sitting in range(SITTINGS):
        tell(f"sitting {sitting + 1}/{SITTINGS}")
        measure_in_turns(one, other, figures, sittings=1, tell=lambda words: None)
        line = {name: measured.logs()[-1] for name, measured in figures.items()}
        with keep.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def found(logs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the alarms of the comparisons made, and the probabilities by resampling."""
    whole = len(next(iter(logs.values()))) // SITTINGS * SITTINGS
    lows = [
        [low_percent(part) for part in values[:whole].reshape(-1, SITTINGS)]
        for values in logs.values()
    ]
    rng = np.random.default_rng(1)
    return {
        "sittings": len(next(iter(logs.values()))),
        "comparisons": whole // SITTINGS,
        "alarms": int((np.array(lows) > LIMIT_PERCENT).any(axis=0).sum()),
        "largest_low_percent": round(float(np.max(lows, initial=-math.inf)), 2),
        "alarm_probability": share_of_alarms(rng, list(logs.values()), 0.0),
        **{
            f"found_{percent}_percent": {
                name: share_of_alarms(rng, [values], math.log1p(percent / 100))
                for name, values in logs.items()
            }
            for percent in SLOWER_PERCENT
        },
    }


def share_of_alarms(
    rng: np.random.Generator, figures: list[np.ndarray], slower_by_log: float
) -> float:
    """Return the share of resampled comparisons with any figure beyond the limit."""
    alarms = sum(
        any(low_percent(drawn(rng, values) + slower_by_log) > LIMIT_PERCENT for values in figures)
        for _ in range(RESAMPLED)
    )
    return alarms / RESAMPLED


def drawn(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Return a comparison's logarithms, drawn from those measured with random signs."""
    return rng.choice(values, SITTINGS) * rng.choice((-1.0, 1.0), SITTINGS)


def low_percent(logs: np.ndarray) -> float:
    """Return the interval's lower bound as percent of extra time."""
    return 100 * (ratio_interval(logs.tolist()).low - 1)


def spread(logs: np.ndarray) -> dict[str, float]:
    """Return the robust spread of the sittings' logarithms, and the largest, in %."""
    return {
        "scale_percent": round(148 * float(np.median(np.abs(logs))), 2),
        "largest_percent": round(100 * float(np.abs(logs).max()), 2),
    }


if __name__ == "__main__":
    main()
