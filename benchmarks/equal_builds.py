"""How often does `tomoshibi bench compare` raise an alarm where the builds are equal?

    python benchmarks/equal_builds.py --comparisons 20 --keep sittings.jsonl

Compares this checkout with itself, as often as asked (some 2 minutes each where nothing else runs),
and prints one JSON object: the alarms, the widest lower bound, and of each figure the spread of a
sitting's logarithm of the ratio of times (1.48 times the median of its absolute values, and the
largest). From all sittings, resampled with their signs at random (the builds are equal), it tells
the probability that a comparison of all figures raises an alarm, and that a slow-down of 15, 25
and 50 % of one figure is found. ``--keep`` adds each sitting to a file; what an earlier campaign
has left there counts, too.
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
    """Return the alarms of the comparisons as made, and the probabilities by resampling."""
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
    """Return in how many resampled comparisons any of the figures is beyond the limit."""
    alarms = sum(
        any(low_percent(drawn(rng, values) + slower_by_log) > LIMIT_PERCENT for values in figures)
        for _ in range(RESAMPLED)
    )
    return alarms / RESAMPLED


def drawn(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Return a comparison's logarithms, from those measured, each with a sign by chance."""
    return rng.choice(values, SITTINGS) * rng.choice((-1.0, 1.0), SITTINGS)


def low_percent(logs: np.ndarray) -> float:
    """Return the interval's lower bound as a percentage of more time."""
    return 100 * (ratio_interval(logs.tolist()).low - 1)


def spread(logs: np.ndarray) -> dict[str, float]:
    """Return the robust scale of a sitting's logarithm and the largest, in %."""
    return {
        "scale_percent": round(148 * float(np.median(np.abs(logs))), 2),
        "largest_percent": round(100 * float(np.abs(logs).max()), 2),
    }


if __name__ == "__main__":
    main()
