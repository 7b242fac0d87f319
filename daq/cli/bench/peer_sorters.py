"""Other people's sorters on the reference workload: energy window, then pairs within τ.

Each function takes a :class:`PeerInput` and returns the work to be timed, which returns the number
of pairs found (None if it makes none). A peer's preparation, its table and import, is done before
the clock starts. All but GATE's count pairs and write no records, so that none is at a
disadvantage. A missing library raises ImportError, which ``daq.cli.bench.peer_speed`` reports.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

Work = Callable[[], int | None]
GATE_CHUNK = 100_000
"""opengate's own default of singles in a chunk (``coincidences_sorter``, ``chunk_size``)."""

_GATE_EXTRA = "opengate.contrib.root_helpers"


@dataclass(frozen=True)
class PeerInput:
    """The workload in plain arrays, one value a single, in order of time.

    times_ps : (n,) i8; energies_dkeV : (n,) u2, 0.1 keV; modules : (n,) i4
    window_ps : τ; energies are accepted in [lld_dkeV, uld_dkeV]
    disordered : (n,) {time, channel, energy}, the same singles as a digitizer may deliver them
    """

    times_ps: npt.NDArray[np.int64]
    energies_dkeV: npt.NDArray[np.uint16]
    modules: npt.NDArray[np.int32]
    window_ps: int
    lld_dkeV: int
    uld_dkeV: int
    disordered: npt.NDArray[np.void]

    def accepted(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return times and modules of the singles in the energy window."""
        good = (self.energies_dkeV >= self.lld_dkeV) & (self.energies_dkeV <= self.uld_dkeV)
        return self.times_ps[good], self.modules[good]


def numpy_searchsorted(given: PeerInput) -> Work:
    """Each single's window by binary search, then all pairs as index arrays."""

    def work() -> int:
        times, modules = given.accepted()
        index = np.arange(len(times))
        partners = np.searchsorted(times, times + given.window_ps, side="right") - index - 1
        first = np.repeat(index, partners)
        before = np.cumsum(partners) - partners
        second = first + 1 + np.arange(len(first)) - np.repeat(before, partners)
        return int(np.count_nonzero(modules[first] != modules[second]))

    return work


def numpy_shifted(given: PeerInput) -> Work:
    """Differences to the next single, the one after, … until none is within the window."""

    def work() -> int:
        times, modules = given.accepted()
        found, k = 0, 1
        while len(near := np.flatnonzero(times[k:] - times[:-k] <= given.window_ps)):
            found += int(np.count_nonzero(modules[near] != modules[near + k]))
            k += 1
        return found

    return work


def pandas_shifted(given: PeerInput) -> Work:
    """:func:`numpy_shifted` as it is written in pandas."""
    table = _table(importlib.import_module("pandas").DataFrame, given)

    def work() -> int:
        good = table[table["energy"].between(given.lld_dkeV, given.uld_dkeV)]
        time, module = good["time"], good["module"]
        found, k = 0, 1
        while (near := time.diff(k) <= given.window_ps).any():
            found += int((near & (module != module.shift(k))).sum())
            k += 1
        return found

    return work


def pandas_asof(given: PeerInput) -> Work:
    """As-of join: each single with its nearest earlier one. It finds no second partner."""
    pandas = importlib.import_module("pandas")
    table = _table(pandas.DataFrame, given)

    def work() -> int:
        good = table[table["energy"].between(given.lld_dkeV, given.uld_dkeV)]
        both = pandas.merge_asof(
            good, good, on="time", tolerance=given.window_ps, allow_exact_matches=False
        )
        found = both["module_y"].notna() & (both["module_x"] != both["module_y"])
        return int(found.sum())

    return work


def polars_asof(given: PeerInput) -> Work:
    """:func:`pandas_asof` in polars, on one thread."""
    polars = _polars()
    table = _table(polars.DataFrame, given).with_columns(polars.col("time").set_sorted())

    def work() -> int:
        window = polars.col("energy").is_between(given.lld_dkeV, given.uld_dkeV)
        good = table.filter(window).select("time", "module")
        both = good.join_asof(
            good, on="time", strategy="backward", tolerance=given.window_ps,
            allow_exact_matches=False,
        )  # fmt: skip
        return int((both["module"] != both["module_right"]).sum())

    return work


def polars_shifted(given: PeerInput) -> Work:
    """:func:`numpy_shifted` as it is written in polars, on one thread."""
    polars = _polars()
    table = _table(polars.DataFrame, given)

    def work() -> int:
        window = polars.col("energy").is_between(given.lld_dkeV, given.uld_dkeV)
        good = table.filter(window)
        time, module = good["time"], good["module"]
        found, k = 0, 1
        while (near := time.diff(k) <= given.window_ps).any():
            found += int((near & (module != module.shift(k))).sum())
            k += 1
        return found

    return work


def opengate(given: PeerInput) -> Work:
    """GATE 10's own sorter, TakeAllGoods, on tables with the columns that it requires.

    Chunk by chunk as ``coincidences_sorter`` runs it, from tables in memory: no ROOT file is read
    or written. Volumes have names, as in GATE's files.
    """
    return _opengate(given, _gate_columns(given))


def opengate_bare(given: PeerInput) -> Work:
    """:func:`opengate` with only the columns needed to find pairs, and numbers for names."""
    return _opengate(given, {"PreStepUniqueVolumeID": given.modules})


def _gate_columns(given: PeerInput) -> dict[str, Any]:
    names = np.array([f"block_{m}" for m in range(int(given.modules.max(initial=0)) + 1)])
    n = len(given.modules)
    positions = {f"PostPosition_{axis}": np.zeros(n) for axis in "XYZ"}
    return {
        "EventID": np.arange(n),
        "PreStepUniqueVolumeID": names[given.modules],
        "TotalEnergyDeposit": given.energies_dkeV * 1e-4,
        **positions,
    }


def _opengate(given: PeerInput, columns: dict[str, Any]) -> Work:
    gate = load_gate_sorter()
    pandas = importlib.import_module("pandas")
    times = given.times_ps.astype(np.float64)
    singles = pandas.DataFrame({"GlobalTime": times, **columns})

    def work() -> int:
        energies = given.energies_dkeV
        good = singles[(energies >= given.lld_dkeV) & (energies <= given.uld_dkeV)]
        queue: deque[Any] = deque()
        found = 0
        for at in range(0, len(good), GATE_CHUNK):
            chunk = good.iloc[at : at + GATE_CHUNK].reset_index(drop=True)
            chunk["SingleIndex"] = range(at, at + len(chunk))
            queue.append(chunk)
            if len(queue) > 1:
                found += _gate_chunk(gate, queue, given.window_ps)
                queue.popleft()
        return found + (_gate_chunk(gate, queue, given.window_ps) if queue else 0)

    return work


def _gate_chunk(gate: Any, queue: deque[Any], window_ps: int) -> int:
    coincidences = gate._process_chunk(queue, window_ps, False)
    return len(gate._take_all_goods(coincidences, None, None, None))


def strax_sort(given: PeerInput) -> Work:
    """The sort alone: time order of disordered singles, by time and then channel."""
    strax = importlib.import_module("strax")

    def work() -> None:
        strax.sort_by_time(given.disordered)

    return work


def load_gate_sorter() -> ModuleType:
    """Load ``opengate/actors/coincidences.py``, and nothing else of opengate.

    Importing the package loads Geant4 (``opengate_core``), which that file does not need. Of its
    imports only ``opengate.contrib.root_helpers`` would, to write ROOT files: an empty module
    replaces it while the file loads. Every line that finds or selects coincidences is GATE's.

    Raises
    ------
    ImportError
        opengate, or pandas, awkward or uproot, is not installed
    """
    spec = importlib.util.find_spec("opengate")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("opengate is not installed")
    file = Path(spec.submodule_search_locations[0]) / "actors" / "coincidences.py"
    name = "tomoshibi_gate_coincidences"
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None or not file.is_file():
        raise ImportError(f"{file} is missing: opengate keeps its sorter elsewhere now")
    module = importlib.util.module_from_spec(found)
    before = sys.modules.get(_GATE_EXTRA)
    sys.modules[_GATE_EXTRA], sys.modules[name] = ModuleType(_GATE_EXTRA), module
    try:
        found.loader.exec_module(module)
    finally:
        del sys.modules[_GATE_EXTRA], sys.modules[name]
        if before is not None:
            sys.modules[_GATE_EXTRA] = before
    return module


def _polars() -> Any:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when polars is imported
    return importlib.import_module("polars")


def _table(make: Callable[[dict[str, Any]], Any], given: PeerInput) -> Any:
    return make({"time": given.times_ps, "module": given.modules, "energy": given.energies_dkeV})
