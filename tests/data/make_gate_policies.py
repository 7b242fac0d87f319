"""Make ``gate_policies.npz``: what GATE's own sorter makes of hostile streams, policy by policy.

    pip install --no-deps opengate==10.1.1 && pip install pandas awkward uproot
    python tests/data/make_gate_policies.py

GATE's public function ``coincidences_sorter`` reads each stream from a ROOT file, as its users have
it, for all six policies, every single opening a window (``allDigiOpenCoincGate=True``).

The streams are dense: windows hold several singles, gaps lie on and beside τ, sums of energies tie.
Times are whole picoseconds, so nothing is rounded, and no two are equal, because GATE leaves the
order of equal times to an unstable sort. GATE calls a pair of different volumes *good* by its
distances; singles lie in the middle of their modules, so that the distances allow module pairs.

Arrays, for each stream S: ``S_time_ps`` i8, ``S_module`` u1, ``S_energy`` u2 (0.1 keV) per single,
in order of time; ``S_allowed`` (modules, modules) bool, GATE's good; ``S_window_ps`` (inclusive);
``S_<policy>`` (n, 2) u2: GATE's pairs as rows of singles (earlier, later), in GATE's order.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from daq.cli.bench.peer_sorters import load_gate_sorter
from hw.messages.sort_settings import POLICIES

SINGLES = 2000
WINDOW_PS = 4000
GATE_POLICIES = [policy for policy in POLICIES if policy[0].isupper()]


@dataclass(frozen=True)
class Stream:
    """Modules in rings; ``sectors`` apart at least and ``rings`` apart at most is good."""

    name: str
    n_sectors: int
    n_rings: int
    sectors: int
    rings: int
    mean_gap_ps: int
    seed: int

    def centres_mm(self) -> np.ndarray:
        """Return (modules, 3) positions: sector k at 2πk/N on a radius of 100 mm, rings along z."""
        module = np.arange(self.n_sectors * self.n_rings)
        angle = 2 * np.pi * (module % self.n_sectors) / self.n_sectors
        z = 50.0 * (module // self.n_sectors)
        return np.stack((100 * np.cos(angle), 100 * np.sin(angle), z), axis=1)

    def min_transaxial_mm(self) -> float:
        """Return a distance between those of sectors too near and of sectors far enough apart."""
        return 200 * np.sin(np.pi * (self.sectors - 0.5) / self.n_sectors)

    def max_axial_mm(self) -> float:
        """Return a distance between those of rings near enough and of rings too far apart."""
        return 50.0 * self.rings + 25.0

    def allowed(self) -> np.ndarray:
        """Return the good module pairs by counting sectors and rings: no distance is used."""
        module = np.arange(self.n_sectors * self.n_rings)
        ring, sector = np.divmod(module, self.n_sectors)
        apart = np.abs(sector[:, None] - sector)
        apart = np.minimum(apart, self.n_sectors - apart)
        return (apart >= self.sectors) & (np.abs(ring[:, None] - ring) <= self.rings)


STREAMS = (
    Stream("any", n_sectors=5, n_rings=1, sectors=1, rings=0, mean_gap_ps=2500, seed=1),
    Stream("view", n_sectors=8, n_rings=1, sectors=3, rings=0, mean_gap_ps=2000, seed=2),
    Stream("rings", n_sectors=4, n_rings=3, sectors=1, rings=1, mean_gap_ps=1500, seed=3),
)


def singles_of(stream: Stream) -> dict[str, np.ndarray]:
    """Return times (distinct, in order), modules and energies."""
    rng = np.random.default_rng(stream.seed)
    gaps = 1 + rng.exponential(stream.mean_gap_ps, SINGLES).astype(np.int64)
    edges = np.array([1, WINDOW_PS - 1, WINDOW_PS, WINDOW_PS + 1, WINDOW_PS // 2])
    on_edge = rng.random(SINGLES) < 0.25
    gaps[on_edge] = rng.choice(edges, int(on_edge.sum()))
    return {
        "time_ps": np.cumsum(gaps),
        "module": rng.integers(0, stream.n_sectors * stream.n_rings, SINGLES).astype(np.uint8),
        "energy": rng.choice([4000, 4500, 5000, 5110, 5220], SINGLES).astype(np.uint16),
    }


def gate_pairs(gate: Any, file: Path, stream: Stream, policy: str) -> np.ndarray:
    """Return GATE's coincidences as rows of singles (earlier, later)."""
    with uproot.open(file) as root:
        found = gate.coincidences_sorter(
            root["Singles"], WINDOW_PS, policy, stream.min_transaxial_mm(), "xy",
            stream.max_axial_mm(), chunk_size=10 * SINGLES, return_type="pd",
            allDigiOpenCoincGate=True,
        )  # fmt: skip
    return found[["EventID1", "EventID2"]].to_numpy().astype(np.uint16)


def main() -> None:
    """Run GATE's sorter and write the pairs beside this file."""
    gate = load_gate_sorter()
    arrays: dict[str, np.ndarray] = {}
    for stream in STREAMS:
        singles = singles_of(stream)
        place = stream.centres_mm()[singles["module"]]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "singles.root"
            with uproot.recreate(file) as root:
                root["Singles"] = {
                    "EventID": np.arange(SINGLES),
                    "GlobalTime": singles["time_ps"].astype(np.float64),
                    "PreStepUniqueVolumeID": [f"block_{m}" for m in singles["module"]],
                    "TotalEnergyDeposit": singles["energy"].astype(np.float64),
                    **{f"PostPosition_{axis}": place[:, k] for k, axis in enumerate("XYZ")},
                }
            for policy in GATE_POLICIES:
                arrays[f"{stream.name}_{policy}"] = gate_pairs(gate, file, stream, policy)
        arrays |= {f"{stream.name}_{key}": values for key, values in singles.items()}
        arrays[f"{stream.name}_allowed"] = stream.allowed()
        arrays[f"{stream.name}_window_ps"] = np.int64(WINDOW_PS)
    np.savez_compressed(Path(__file__).with_name("gate_policies.npz"), **arrays)


if __name__ == "__main__":
    main()
