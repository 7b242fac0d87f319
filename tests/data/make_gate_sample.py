"""Cut ``gate_sample.npz`` from the GATE simulation made for this project.

    python tests/data/make_gate_sample.py FOLDER     # FOLDER/gate/*.npz, as in the reference data

The simulation (GATE 10.1.1, Geant4 11.4): a water cylinder of 20 cm diameter with 2 MBq in the
``caremibrain`` preset, 200 ms, and GATE's own coincidence sorter on its singles: no energy window,
Δt < 5 ns, TakeAllGoods, same block rejected; its delayeds in 500 ns ≤ Δt < 505 ns.

The sample holds all singles of the first 20 ms, in the order of the simulation's file (which is
not the order of time), and all of GATE's prompts and delayeds whose *later* single is among them.
A pair is determined by its two singles alone, so the cut neither makes nor hides one.

Arrays: ``t_fs`` i8, ``block`` u1, ``event`` i4 (truth: decay number) per single; ``prompts`` and
``delayeds`` (n, 2) i4: rows of the earlier and the later single. Times are rounded to 1 fs, far
finer than any difference in the data.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

CUT_FS = 20 * 10**12
NAME = "watercyl20cm_2MBq_200ms"


def to_fs(time_ns: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return times in whole femtoseconds."""
    return np.round(time_ns * 1e6).astype(np.int64)


def rows_of_pairs(
    pairs: dict[str, npt.NDArray[np.float64]],
    t_fs: npt.NDArray[np.int64],
    event: npt.NDArray[np.int64],
) -> npt.NDArray[np.int32]:
    """Return the singles (earlier, later) of GATE's coincidences that end before the cut.

    GATE names a single by its event and its time, which together are unique.
    """
    row = {key: i for i, key in enumerate(zip(event.tolist(), t_fs.tolist(), strict=True))}
    if len(row) != len(t_fs):
        raise ValueError("two singles share event and time: pairs cannot be told apart")
    ends = [
        list(
            zip(pairs[f"EventID{k}"].tolist(), to_fs(pairs[f"GlobalTime{k}"]).tolist(), strict=True)
        )
        for k in (1, 2)
    ]
    both = [sorted((a, b), key=lambda end: end[1]) for a, b in zip(*ends, strict=True)]
    kept = [(row[a], row[b]) for a, b in both if b[1] < CUT_FS]
    return np.array(sorted(kept), dtype=np.int32)


def main() -> None:
    """Read the simulation, write the sample beside this file."""
    folder = Path(sys.argv[1]) / "gate"
    singles = dict(np.load(folder / f"{NAME}_singles.npz"))
    t_fs = to_fs(singles["t_ns"])
    keep = t_fs < CUT_FS
    t_fs, event, block = t_fs[keep], singles["event"][keep], singles["block"][keep]
    prompts = rows_of_pairs(
        dict(np.load(folder / f"{NAME}_gate_coincidences_5ns.npz")), t_fs, event
    )
    delayeds = rows_of_pairs(dict(np.load(folder / f"{NAME}_gate_delayed_5ns.npz")), t_fs, event)
    np.savez_compressed(
        Path(__file__).with_name("gate_sample.npz"),
        t_fs=t_fs, block=block, event=event.astype(np.int32), prompts=prompts, delayeds=delayeds,
    )  # fmt: skip


if __name__ == "__main__":
    main()
