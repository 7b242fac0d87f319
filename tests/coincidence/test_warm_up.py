"""After warming, sorting with live types compiles nothing."""

from __future__ import annotations

import numpy as np

from coincidence import delayeds, order, pairs, select
from coincidence import events as records
from coincidence import sorter as timing
from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.order import TimeOrder
from coincidence.sorter import CoincidenceSorter
from coincidence.warm_up import warm_kernels
from hw.messages.sort_settings import SortSettings


def signatures() -> dict[str, int]:
    """Return how many specialisations each kernel of the room has."""
    return {
        f"{module.__name__}.{name}": len(thing.signatures)
        for module in (delayeds, order, pairs, records, select, timing)
        for name, thing in vars(module).items()
        if hasattr(thing, "signatures")
    }


def test_sorting_after_warming_compiles_nothing_more() -> None:
    warm_kernels()
    warm = signatures()
    assert warm["coincidence.pairs.pair_prompts"] == 1
    singles = np.zeros(9, dtype=SINGLE)
    singles["time_ps"] = [5, 3, 1, 1, 10**9, 7, 40_000, 2 * 10**9, 300_000]
    singles["crystal"] = [0, 1, 2, 3, 0, 1, 2, 3, 3]
    time_order = TimeOrder()
    for policy in ("all", "highest"):
        sorter = CoincidenceSorter(
            SortSettings(lld_keV=0, uld_keV=1, window_ps=10, delay_ps=100, policy=policy),
            module_of=np.arange(4, dtype=np.uint16),
            allowed_pairs=~np.eye(4, dtype=np.bool_),
        )
        for horizon in (6, 50_000, int(END_OF_TIME_PS)):
            sorter.push(time_order.release(singles, horizon), horizon)
        sorter.finish()
    assert signatures() == warm
