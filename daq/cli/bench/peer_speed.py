"""Other people's sorters on the same singles, in the same process, on the same core.

A peer that cannot run here is still in the report, with the reason, how to install it, and its
speed measured elsewhere. The number of pairs that each peer found is given beside ours, for a fast
sorter that misses pairs is no peer. The peers are not dependencies of the project.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from coincidence.events import END_OF_TIME_PS
from coincidence.select import window_dkeV
from daq.cli.bench import peer_sorters as sorters
from daq.cli.bench.measuring import median_seconds
from daq.cli.bench.peer_sorters import PeerInput, Work
from daq.cli.bench.sorting_workload import Workload, disordered

SLOW_PEER_SINGLES = 1_000_000
ELSEWHERE = "measured elsewhere on a comparable machine (2 cores, EPYC, November 2026)"


@dataclass(frozen=True)
class Peer:
    """A sorter to compare with.

    distribution : its name in package indexes, whose version is reported
    install : what to install if it is absent
    elsewhere : its speed in M singles/s measured elsewhere, if it was
    slow : measured on the first million singles only
    """

    name: str
    prepare: Callable[[PeerInput], Work]
    distribution: str
    install: str
    elsewhere: str = ""
    slow: bool = False
    remark: str = ""


_MISSES = "joins each single with its nearest earlier one only: pairs are missed"
_GATE = "--no-deps opengate && pip install pandas awkward uproot"

PEERS = (
    Peer("numpy_searchsorted", sorters.numpy_searchsorted, "numpy", "numpy", "52"),
    Peer("numpy_shifted", sorters.numpy_shifted, "numpy", "numpy", "115"),
    Peer("pandas_shifted", sorters.pandas_shifted, "pandas", "pandas", "16"),
    Peer("pandas_asof", sorters.pandas_asof, "pandas", "pandas", "45", remark=_MISSES),
    Peer("polars_shifted", sorters.polars_shifted, "polars", "polars"),
    Peer("polars_asof", sorters.polars_asof, "polars", "polars", remark=_MISSES),
    Peer("opengate", sorters.opengate, "opengate", _GATE, "4.4-6.0", slow=True,
         remark="GATE 10's sorter, TakeAllGoods, from tables in memory with its required columns"),
    Peer("opengate_bare", sorters.opengate_bare, "opengate", _GATE, slow=True,
         remark="the same on two columns: what finding pairs needs at least"),
    Peer("strax_sort", sorters.strax_sort, "strax", "strax", "10-16", slow=True,
         remark="time order alone: singles disordered by up to 10 µs, no window, no pairs"),
)  # fmt: skip

QUOTED = {
    f"PETsys sw_daq_tofpet2 (C++, a whole raw file to pairs), Msps, {ELSEWHERE}": (
        "12-13; 24 on two cores"
    ),
}


def measure_peers(
    workload: Workload, *, passes: int, peers: tuple[Peer, ...] = PEERS
) -> dict[str, Any]:
    """Return each peer's results on the workload.

    Returns
    -------
    dict
        for every peer that runs ``<peer>_Msps`` (M singles/s offered, energy window included),
        ``<peer>_singles``, ``<peer>_pairs_found``, ``<peer>_pairs_ours`` (on the same singles,
        policy *all*; both absent if the peer makes no pairs), ``<peer>_version`` and, if something
        must be known, ``<peer>_remark``; for every other peer ``<peer>`` with the reason; the
        figures of those that only exist elsewhere under ``quoted``
    """
    report: dict[str, Any] = {}
    inputs: dict[int, PeerInput] = {}
    ours: dict[int, int] = {}
    for peer in peers:
        n = min(len(workload.singles), SLOW_PEER_SINGLES if peer.slow else len(workload.singles))
        if n not in inputs:
            inputs[n], ours[n] = peer_input(workload, n), our_pairs(workload, n)
        try:
            work = peer.prepare(inputs[n])
        except ImportError as error:
            report[peer.name] = _absent(peer, error)
            continue
        found = work()
        report[f"{peer.name}_Msps"] = n / median_seconds(work, passes=passes) / 1e6
        report[f"{peer.name}_singles"] = n
        if found is not None:
            report[f"{peer.name}_pairs_found"], report[f"{peer.name}_pairs_ours"] = found, ours[n]
        report[f"{peer.name}_version"] = importlib.metadata.version(peer.distribution)
        if peer.remark:
            report[f"{peer.name}_remark"] = peer.remark
    report["quoted"] = QUOTED
    return report


def _absent(peer: Peer, error: ImportError) -> str:
    reason = f"not installed: pip install {peer.install} ({error})"
    return f"{reason}; {ELSEWHERE}: {peer.elsewhere} Msps" if peer.elsewhere else reason


def peer_input(workload: Workload, n: int) -> PeerInput:
    """Return the workload's first n singles in the form that the peers take."""
    singles = workload.singles[:n]
    crystals = singles["crystal"].astype(np.int32)
    lld, uld = window_dkeV(workload.settings.lld_keV, workload.settings.uld_keV)
    mixed = disordered(singles)
    channels = np.zeros(n, [("time", "<i8"), ("channel", "<i4"), ("energy", "<i4")])
    channels["time"], channels["channel"] = mixed["time_ps"], mixed["crystal"]
    channels["energy"] = mixed["energy"]
    return PeerInput(
        times_ps=singles["time_ps"].copy(),
        energies_dkeV=singles["energy"].copy(),
        modules=crystals // workload.scanner.crystals_per_module,
        window_ps=workload.settings.window_ps,
        lld_dkeV=lld,
        uld_dkeV=uld,
        disordered=channels,
    )


def our_pairs(workload: Workload, n: int) -> int:
    """Return the number of prompts that our sorter finds in the workload's first n singles."""
    singles = workload.singles[:n]
    lld, uld = window_dkeV(workload.settings.lld_keV, workload.settings.uld_keV)
    accepted = singles[(singles["energy"] >= lld) & (singles["energy"] <= uld)]
    everything = msgspec.structs.replace(workload.settings, policy="all")
    sorter = dataclasses.replace(workload, settings=everything).sorter()
    sorter.push(accepted, int(END_OF_TIME_PS))
    return sorter.counts.prompts
