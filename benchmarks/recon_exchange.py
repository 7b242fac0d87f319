"""Speed of list-mode exchange, against the reference writer.

Its figures are in docs/reconstruction/exchange.md.

    python benchmarks/recon_exchange.py --scanner caremibrain --events 20000000

Makes coincidences between random crystals at 100 k/s, writes them as PETSIRD, CASToR and SAFIR,
reads the PETSIRD back, and does the same with the PyPI ``petsird`` for a thousandth of them. Prints
JSON: wall and CPU seconds, and resident memory before and after writing the long list in parts.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from coincidence.events import COINCIDENCE
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from recon.exchange.listmode.castor import CastorOptions, write_castor
from recon.exchange.listmode.safir import write_safir
from recon.exchange.petsird.header import Binning, header_of
from recon.exchange.petsird.reader import PetsirdFile
from recon.exchange.petsird.scanner_fit import fit_scanner
from recon.exchange.petsird.writer import write_petsird
from recon.exchange.scan_facts import ScanFacts

RATE_PER_S = 1e5
PART = 500_000


def records(scanner: Scanner, count: int, first_s: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.zeros(count, COINCIDENCE)
    span_s = count / RATE_PER_S
    made["time_ps"] = np.sort(((first_s + span_s * rng.random(count)) * 1e12).astype(np.int64))
    half = scanner.n_crystals // 2
    made["crystal_a"], made["crystal_b"] = rng.integers(0, half, (2, count))
    made["crystal_b"] += half
    window = scanner.acquisition.window_ps
    made["tof_ps"] = rng.integers(-window, window + 1, count)
    made["doi_a"], made["doi_b"] = rng.integers(0, scanner.module.doi_bins, (2, count))
    return made


def parts(scanner: Scanner, count: int) -> Iterator[tuple[bool, np.ndarray]]:
    """Yield the list as a log would: the same part repeatedly, later each time."""
    one = records(scanner, min(PART, count), 0.0, 1)
    span_ps = round(len(one) / RATE_PER_S * 1e12)
    for _ in range(-(-count // len(one))):
        yield False, one
        one = one.copy()
        one["time_ps"] += span_ps


def timed(work: Callable[[], Any], events: int) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall_s": round(wall, 3), "M_events_per_s": round(events / wall / 1e6, 2),
        "M_events_per_cpu_s": round(events / cpu / 1e6, 2),
    }  # fmt: skip


def peak_MB() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def reference(path: Path) -> dict[str, Any]:
    """Read and write a file with the PyPI package; say whether its bytes are ours."""
    import petsird

    kept: list[Any] = []
    out = io.BytesIO()

    def read() -> None:
        with petsird.BinaryPETSIRDReader(str(path)) as reader:
            kept.append(reader.read_header())
            kept.append(list(reader.read_time_blocks()))

    def write() -> None:
        with petsird.BinaryPETSIRDWriter(out) as writer:
            writer.write_header(kept[0])
            writer.write_time_blocks(block for block in kept[1])

    with PetsirdFile(path) as file:
        events = sum(len(r) for _, r in file.parts(fit_scanner(file.header).bins))
    return {
        "version": importlib.metadata.version("petsird"),
        "events": events,
        "read": timed(read, events),
        "write": timed(write, events),
        "bytes_equal": out.getvalue() == path.read_bytes(),
    }


def measured(scanner: Scanner, count: int, folder: Path) -> dict[str, Any]:
    geometry = build_geometry(scanner)
    acquisition = scanner.acquisition
    binning = Binning.of(scanner, window_ps=acquisition.window_ps, lld_keV=acquisition.lld_keV,
                         uld_keV=acquisition.uld_keV)  # fmt: skip
    facts = ScanFacts.of({"run": "benchmark"})
    header = header_of(scanner, geometry, binning, facts)
    doi = scanner.module.doi_bins

    def petsird(path: Path, n: int) -> None:
        write_petsird(path, parts(scanner, n), header, binning, doi_bins=doi)

    def read() -> None:
        with PetsirdFile(folder / "a.petsird") as file:
            for _ in file.parts(fit_scanner(file.header).bins):
                pass

    petsird(folder / "warm.petsird", PART)
    before = peak_MB()
    options = CastorOptions(duration_s=count / RATE_PER_S, tof=acquisition.tof, window_ps=2000)
    result = {
        "petsird_write": timed(lambda: petsird(folder / "a.petsird", count), count),
        "memory_MB_before": before,
        "memory_MB_after": peak_MB(),
        "petsird_bytes_per_event": (folder / "a.petsird").stat().st_size / count,
        "petsird_read": timed(read, count),
        "castor_write": timed(
            lambda: write_castor(
                folder / "a.Cdh", parts(scanner, count), scanner, geometry, options, facts
            ),
            count,
        ),
        "safir_write": timed(
            lambda: write_safir(folder / "a.safir", parts(scanner, count), scanner, geometry), count
        ),
    }
    petsird(folder / "few.petsird", max(1000, count // 1000))
    return {**result, "reference_package": reference(folder / "few.petsird")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scanner", default="caremibrain")
    parser.add_argument("--events", type=int, default=20_000_000)
    options = parser.parse_args()
    scanner = load_scanner(options.scanner)
    with tempfile.TemporaryDirectory() as scratch:
        found = measured(scanner, options.events, Path(scratch))
    print(json.dumps({"scanner": scanner.name, "events": options.events, **found}, indent=1))


if __name__ == "__main__":
    main()
