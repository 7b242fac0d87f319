"""Each version of PETSIRD has readers that take no other; ours takes all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from daq.cli.commands.export import PETSIRD_VERSIONS
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from recon.exchange.petsird.header import Binning, header_of
from recon.exchange.petsird.reader import PetsirdFile
from recon.exchange.petsird.scanner_fit import fit_scanner
from recon.exchange.petsird.versions import NEWEST, VERSIONS, header_as, schema_of
from recon.exchange.petsird.writer import write_petsird
from recon.exchange.scan_facts import ScanFacts
from rigs.exchange_data import made_records

BENCH = load_scanner("bench2")
FACTS = ScanFacts.of({"run": "x", "created": "2026-11-21T10:00:00Z", "nuclide": "F-18"})
DURATION_S = 0.01
PROMPTS = made_records(BENCH, 300, DURATION_S)
DELAYEDS = made_records(BENCH, 50, DURATION_S, seed=2, delayed=True)
for made in (PROMPTS, DELAYEDS):  # between the two modules, as the scanner would pair them
    made["crystal_a"] %= 64
    made["crystal_b"] = made["crystal_b"] % 64 + 64
RELEASES = {"0.9": "0.9.1", "0.10": "0.10.0", "0.11": "0.11.1"}

THEIR_READER = """
import json, sys
import petsird
from petsird.helpers import expand_detection_bin, get_detection_efficiency
from petsird.helpers.geometry import get_detecting_box
found = {"prompts": [], "delayeds": 0, "middles": []}
with petsird.BinaryPETSIRDReader(sys.argv[1]) as reader:
    scanner = reader.read_header().scanner
    edges = scanner.tof_bin_edges[0][0].edges
    found["edges"] = [float(one) for one in edges]
    for block in reader.read_time_blocks():
        for event in block.value.prompt_events[0][0]:
            bins = [int(one) for one in event.detection_bins]
            found["prompts"].append([*bins, int(event.tof_idx)])
        found["delayeds"] += len(block.value.delayed_events[0][0])
    for one in found["prompts"][0][:2]:
        try:
            place = expand_detection_bin(scanner, 0, one)
        except TypeError:
            place = expand_detection_bin(scanner, one, 0)
        box = get_detecting_box(scanner, 0, place)
        found["middles"].append([float(sum(c.c[k] for c in box.corners)) / 8 for k in range(3)])
    event = petsird.CoincidenceEvent(detection_bins=found["prompts"][0][:2], tof_idx=0)
    found["efficiency"] = float(get_detection_efficiency(scanner, (0, 0), event))
print(json.dumps(found))
"""


def bins_of() -> Binning:
    acquisition = BENCH.acquisition
    return Binning.of(
        BENCH,
        window_ps=acquisition.window_ps,
        lld_keV=acquisition.lld_keV,
        uld_keV=acquisition.uld_keV,
    )


def written(path: Path, version: str) -> Path:
    binning = bins_of()
    header = header_of(BENCH, build_geometry(BENCH), binning, FACTS)
    parts = [(False, PROMPTS), (True, DELAYEDS)]
    write_petsird(path, parts, header, binning, doi_bins=2, version=version)
    return path


def test_the_command_offers_every_version_and_the_newest_first() -> None:
    assert PETSIRD_VERSIONS == VERSIONS and VERSIONS[0] == NEWEST


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_comes_back(tmp_path: Path, version: str) -> None:
    with PetsirdFile(written(tmp_path / "a.petsird", version)) as file:
        assert file.schema.text == schema_of(version).text
        fitted = fit_scanner(file.header)
        parts = list(file.parts(fitted.bins))
    assert np.array_equal(build_geometry(fitted.scanner).allowed_pairs,
                          build_geometry(BENCH).allowed_pairs)  # fmt: skip
    for delayed, records in ((False, PROMPTS), (True, DELAYEDS)):
        found = np.concatenate([r for d, r in parts if d == delayed])
        for name in ("crystal_a", "crystal_b", "doi_a", "doi_b"):
            assert np.array_equal(found[name], records[name]), name


@pytest.mark.parametrize("version", RELEASES)
def test_the_version_s_own_package_reads_it(tmp_path: Path, version: str) -> None:
    release = RELEASES[version]
    folder = Path(os.environ.get("TOMOSHIBI_PETSIRD_READERS", "/nowhere")) / release
    if not (folder / "petsird").is_dir():
        pytest.skip(
            f"no petsird {release}: pip install --no-deps --target READERS/{release} "
            f"petsird=={release}, and TOMOSHIBI_PETSIRD_READERS=READERS"
        )
    path = written(tmp_path / "a.petsird", version)
    done = subprocess.run(
        [sys.executable, "-c", THEIR_READER, str(path)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["delayeds"] == len(DELAYEDS) and read["efficiency"] == 1.0
    ours = [[int(r[f"crystal_{e}"]) * 2 + int(r[f"doi_{e}"]) for e in "ba"] for r in PROMPTS]
    assert [one[:2] for one in read["prompts"]] == ours
    edges = np.array(read["edges"])
    assert np.allclose(edges, -edges[::-1])
    geometry = build_geometry(BENCH)
    for end, middle in zip("ba", read["middles"], strict=True):
        front = geometry.crystal_front_mm[PROMPTS[0][f"crystal_{end}"]]
        assert (
            np.linalg.norm(middle - front) < 12
        )  # the middle of one of its two halves, 15 mm together


@pytest.mark.parametrize("tof_bin_ps", [25, 24, 100, 7999, 8001])
def test_tof_bins_are_odd_equal_and_symmetric(tof_bin_ps: int) -> None:
    """STIR numbers bins from the middle one, which is that of no time difference."""
    acquisition = BENCH.acquisition
    binning = Binning.of(BENCH, window_ps=acquisition.window_ps, lld_keV=400.0, uld_keV=650.0,
                         tof_bin_ps=tof_bin_ps)  # fmt: skip
    edges = binning.tof_edges_mm.astype(float)
    assert len(edges) == binning.tof_bins + 1 and binning.tof_bins % 2 == 1
    assert np.allclose(edges, -edges[::-1]) and np.ptp(np.diff(edges)) < 1e-4


def test_a_header_says_in_0_9_what_is_stored() -> None:
    header = header_of(BENCH, build_geometry(BENCH), bins_of(), FACTS, delayeds=False)
    scanner = header_as(header, "0.9")["scanner"]
    assert scanner["promptEventsAreStored"] and not scanner["delayedEventsAreStored"]
    assert scanner["promptEventPolicy"] == header["scanner"]["promptEventPolicy"] - 1
    table = scanner["detectionEfficiencies"]["modulePairSGIDLUT"][0][0]
    assert table.tolist() == [[-1, 0], [0, -1]]
