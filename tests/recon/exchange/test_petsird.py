"""PETSIRD: our bytes are the reference writer's, and what is read back is what was written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import petsird
import pytest
from petsird.helpers.geometry import get_detecting_box
from petsird.protocols import PETSIRDWriterBase

from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner, parse_scanner
from oracles.crystal_corners import crystal_corners_mm
from recon.core.tof import HALF_C_MM_PER_PS
from recon.exchange.errors import ExchangeError
from recon.exchange.petsird.header import Binning, header_of
from recon.exchange.petsird.reader import PetsirdFile
from recon.exchange.petsird.scanner_fit import fit_scanner
from recon.exchange.petsird.versions import SCHEMA_PATH
from recon.exchange.petsird.writer import write_petsird
from recon.exchange.petsird.yardl import Schema, YardlError
from recon.exchange.scan_facts import ScanFacts
from rigs.exchange_data import made_records

BENCH = load_scanner("bench2")
FACTS = ScanFacts.of(
    {"run": "x", "hash": "1-2", "created": "2026-11-21T10:00:00Z", "nuclide": "F-18"}
)
DURATION_S = 0.02
PROMPTS = made_records(BENCH, 900, DURATION_S)
DELAYEDS = made_records(BENCH, 150, DURATION_S, seed=2, delayed=True)


def bins_of(scanner: Scanner, energy_bins: int = 1) -> Binning:
    acquisition = scanner.acquisition
    return Binning.of(
        scanner,
        window_ps=acquisition.window_ps,
        lld_keV=acquisition.lld_keV,
        uld_keV=acquisition.uld_keV,
        energy_bins=energy_bins,
    )


def written(
    path: Path, scanner: Scanner = BENCH, parts: Any = None, energy_bins: int = 1, **options: Any
) -> bytes:
    binning = bins_of(scanner, energy_bins)
    header = header_of(scanner, build_geometry(scanner), binning, FACTS)
    parts = [(False, PROMPTS), (True, DELAYEDS)] if parts is None else parts
    write_petsird(path, parts, header, binning, doi_bins=scanner.module.doi_bins, **options)
    return path.read_bytes()


def reference_events(records: np.ndarray, begin_ms: int, binning: Binning) -> list[Any]:
    """The events of a ms, bin by bin, as somebody would write them with the reference package."""
    events = []
    for r in records[records["time_ps"] // 10**9 == begin_ms]:
        bins = []
        for end in "ba":
            element = int(r[f"crystal_{end}"]) * BENCH.module.doi_bins + int(r[f"doi_{end}"])
            energy = int((r[f"energy_{end}"] / 10 - 400.0) // (250.0 / binning.energy_bins))
            bins.append(element * binning.energy_bins + min(energy, binning.energy_bins - 1))
        tof_mm = float(r["tof_ps"]) * HALF_C_MM_PER_PS
        edges = binning.tof_edges_mm.astype(float)
        place = int(np.searchsorted(edges - 1e-4, tof_mm, side="right")) - 1  # edges are float32
        place = min(max(place, 0), binning.tof_bins - 1)
        events.append(petsird.CoincidenceEvent(detection_bins=bins, tof_idx=place))
    return events


def test_schema_is_the_reference_package_s() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == PETSIRDWriterBase.schema


@pytest.mark.parametrize("energy_bins", [1, 5])
def test_file_is_the_reference_writer_s_to_the_byte(tmp_path: Path, energy_bins: int) -> None:
    ours = written(tmp_path / "a.petsird", energy_bins=energy_bins)
    with petsird.BinaryPETSIRDReader(io.BytesIO(ours)) as reader:
        header = reader.read_header()
        assert len(list(reader.read_time_blocks())) == 20
    binning = bins_of(BENCH, energy_bins)
    blocks = (
        petsird.TimeBlock.EventTimeBlock(
            petsird.EventTimeBlock(
                time_interval=petsird.TimeInterval(start=ms, stop=ms + 1),
                prompt_events=[[reference_events(PROMPTS, ms, binning)]],
                delayed_events=[[reference_events(DELAYEDS, ms, binning)]],
            )
        )
        for ms in range(20)
    )
    theirs = io.BytesIO()
    with petsird.BinaryPETSIRDWriter(theirs) as writer:
        writer.write_header(header)
        writer.write_time_blocks(blocks)
    assert ours == theirs.getvalue()


def test_crystals_stand_where_the_reference_helpers_find_them(tmp_path: Path) -> None:
    raw = written(tmp_path / "a.petsird", parts=[])
    with petsird.BinaryPETSIRDReader(io.BytesIO(raw), skip_completed_check=True) as reader:
        scanner = reader.read_header().scanner
    geometry = build_geometry(BENCH)
    for crystal, doi in ((0, 0), (37, 1), (127, 0)):
        module, place = divmod(crystal, 64)
        bin_ = petsird.ExpandedDetectionBin(
            module_index=module, element_index=place * 2 + doi, energy_index=0
        )
        box = get_detecting_box(scanner, 0, bin_)
        found = np.array([corner.c for corner in box.corners])
        whole = crystal_corners_mm(BENCH, geometry, crystal)[0]
        depth = (doi * 7.5, doi * 7.5 + 7.5)
        w = geometry.crystal_normal[crystal]
        for corner in found:
            inward = float((corner - whole[0]) @ w)
            assert min(abs(inward - d) for d in depth) < 1e-3
            assert np.abs(corner - inward * w - whole[:4]).sum(axis=1).min() < 1e-3


@pytest.mark.parametrize("name", ["bench2", "tof_brain", "caremibrain"])
def test_what_is_read_back_is_what_was_written(tmp_path: Path, name: str) -> None:
    scanner = load_scanner(name)
    prompts = made_records(scanner, 3000, 0.03)
    delayeds = made_records(scanner, 500, 0.03, seed=9, delayed=True)
    written(tmp_path / "a.petsird", scanner, [(False, prompts), (True, delayeds)])
    with PetsirdFile(tmp_path / "a.petsird") as file:
        fitted = fit_scanner(file.header)
        parts = list(file.parts(fitted.bins))
        assert file.until_ms == 30 and not file.skipped.counts
    made = fitted.scanner
    assert (made.ring.n_rings, made.ring.modules_per_ring) == (
        scanner.ring.n_rings, scanner.ring.modules_per_ring,
    )  # fmt: skip
    ours, fitting = build_geometry(scanner), build_geometry(made)
    assert np.allclose(fitting.crystal_front_mm, ours.crystal_front_mm, atol=1e-3)
    assert np.array_equal(fitting.allowed_pairs, ours.allowed_pairs)
    for delayed, records in ((False, prompts), (True, delayeds)):
        found = np.concatenate([r for d, r in parts if d == delayed])
        for field in ("crystal_a", "crystal_b", "doi_a", "doi_b", "flags"):
            assert np.array_equal(found[field], records[field]), field
        # a TOF bin is 25 ps wide, the window one bin where there is no TOF; a block is a ms long
        width_ps = 12.5 if scanner.acquisition.tof else scanner.acquisition.window_ps
        assert np.abs(found["tof_ps"] - records["tof_ps"]).max() <= np.ceil(width_ps)
        assert np.array_equal(found["time_ps"] // 10**9, records["time_ps"] // 10**9)
        assert np.all(np.diff(found["time_ps"]) >= 0)


def test_source_near_a_is_near_a_in_petsird_s_words(tmp_path: Path) -> None:
    """ "Negative numbers indicate that the first detector detected first": our first is b."""
    near_a = PROMPTS[:1].copy()
    near_a["tof_ps"] = 300  # t_b − t_a > 0: the photon reached a first
    raw = written(tmp_path / "a.petsird", parts=[(False, near_a)])
    with petsird.BinaryPETSIRDReader(io.BytesIO(raw)) as reader:
        edges = reader.read_header().scanner.tof_bin_edges[0][0].edges
        events = [e for b in reader.read_time_blocks() for e in b.value.prompt_events[0][0]]
    assert edges[events[0].tof_idx] > 0  # so the first, b, detected later
    assert events[0].detection_bins[0] // 2 == near_a["crystal_b"][0]


def test_list_is_cut_into_blocks_however_it_comes(tmp_path: Path) -> None:
    """Parts of any size, delayeds long after their prompts, give the same file."""
    whole = written(tmp_path / "a.petsird")
    pieces = [(False, piece) for piece in np.array_split(PROMPTS, 7)]
    pieces += [(True, piece) for piece in np.array_split(DELAYEDS, 3)]
    assert written(tmp_path / "b.petsird", parts=pieces) == whole


def test_long_blocks_and_empty_time(tmp_path: Path) -> None:
    written(tmp_path / "a.petsird", block_ms=5, duration_s=0.052)
    with PetsirdFile(tmp_path / "a.petsird") as file:
        records = [r for d, r in file.parts(fit_scanner(file.header).bins) if not d]
        assert file.until_ms == 55
    assert sum(map(len, records)) == len(PROMPTS)


def test_turned_ring_is_turned_back(tmp_path: Path) -> None:
    path = tmp_path / "a.petsird"
    scanner = load_scanner("tof_brain")
    binning = bins_of(scanner)
    header = header_of(scanner, build_geometry(scanner), binning, FACTS)
    angle = np.radians(7.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0],
                     [0, 0, 1]])  # fmt: skip
    for place in header["scanner"]["scannerGeometry"]["replicatedModules"][0]["transforms"]:
        place["matrix"] = turn @ place["matrix"]
    write_petsird(path, [(False, made_records(scanner, 9, 0.002))], header, binning, doi_bins=1)
    with PetsirdFile(path) as file:
        assert fit_scanner(file.header).turned_deg == pytest.approx(7.0, abs=1e-4)


def test_scanner_that_is_no_ring_of_blocks_is_refused(tmp_path: Path) -> None:
    for spoil, words in (
        (lambda m: m["transforms"].pop(), "not rings of equal sectors"),
        (lambda m: m["transforms"][1]["matrix"].__setitem__((0, 3), -53.0), "misses an element"),
        (lambda m: m["object"]["detectingElements"]["transforms"].pop(), "do not fill a grid"),
    ):
        header = header_of(BENCH, build_geometry(BENCH), bins_of(BENCH), FACTS)
        modules = header["scanner"]["scannerGeometry"]["replicatedModules"]
        spoil(modules[0])
        with pytest.raises(ExchangeError, match=words):
            fit_scanner(header)
        header["scanner"]["scannerGeometry"]["replicatedModules"] = modules * 2
        with pytest.raises(ExchangeError, match="2 types of modules"):
            fit_scanner(header)


def test_triples_and_signals_are_left_out_and_counted(tmp_path: Path) -> None:
    raw = written(tmp_path / "a.petsird")
    with petsird.BinaryPETSIRDReader(io.BytesIO(raw)) as reader:
        header = reader.read_header()
        blocks = list(reader.read_time_blocks())
    blocks[3].value.triple_events = [[[[petsird.TripleEvent()]]]]
    signal = petsird.ExternalSignalTimeBlock(signal_values=[1.0, 2.0])
    blocks.insert(5, petsird.TimeBlock.ExternalSignalTimeBlock(signal))
    with petsird.BinaryPETSIRDWriter(str(tmp_path / "b.petsird")) as writer:
        writer.write_header(header)
        writer.write_time_blocks(blocks)
    with PetsirdFile(tmp_path / "b.petsird") as file:
        records = [r for d, r in file.parts(fit_scanner(file.header).bins) if not d]
        assert sum(file.skipped.counts.values()) == 2
    assert np.array_equal(np.concatenate(records)["crystal_a"], PROMPTS["crystal_a"])


def test_moving_scanner_is_refused(tmp_path: Path) -> None:
    raw = written(tmp_path / "a.petsird")
    with petsird.BinaryPETSIRDReader(io.BytesIO(raw)) as reader:
        header = reader.read_header()
        blocks = list(reader.read_time_blocks())
    blocks.append(petsird.TimeBlock.BedMovementTimeBlock(petsird.BedMovementTimeBlock()))
    with petsird.BinaryPETSIRDWriter(str(tmp_path / "b.petsird")) as writer:
        writer.write_header(header)
        writer.write_time_blocks(blocks)
    with (
        PetsirdFile(tmp_path / "b.petsird") as file,
        pytest.raises(ExchangeError, match="bed move"),
    ):
        list(file.parts(fit_scanner(file.header).bins))


def test_bins_that_do_not_exist_are_counted(tmp_path: Path) -> None:
    wrong = PROMPTS.copy()
    wrong["crystal_b"][:4] = 99_999
    written(tmp_path / "a.petsird", parts=[(False, wrong)])
    with PetsirdFile(tmp_path / "a.petsird") as file:
        records = [r for _, r in file.parts(fit_scanner(file.header).bins)]
        assert list(file.skipped.counts.values()) == [4]
    assert sum(map(len, records)) == len(PROMPTS) - 4


def test_cut_file_is_refused(tmp_path: Path) -> None:
    raw = written(tmp_path / "a.petsird")
    for bytes_left, words in (
        (len(raw) - 100, "damaged, at byte"),
        (3000, "too early"),
        (3, "yardl"),
    ):
        (tmp_path / "b.petsird").write_bytes(raw[:bytes_left])
        with pytest.raises(ExchangeError, match=words), PetsirdFile(tmp_path / "b.petsird") as file:
            list(file.parts(fit_scanner(file.header).bins))


@pytest.mark.parametrize("content", [b"", b"yardl", b"PNG and more bytes", b"yardl\2\0\0\0" + b"0"])
def test_files_that_are_no_petsird_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.petsird").write_bytes(content)
    with pytest.raises(ExchangeError, match=r"a\.petsird"):
        PetsirdFile(tmp_path / "a.petsird")


def test_schemas_that_are_not_known_are_refused() -> None:
    with pytest.raises(YardlError, match="no yardl schema"):
        Schema("{}")
    with pytest.raises(YardlError, match="not known"):
        Schema('{"protocol": {}, "types": []}').codec("PETSIRD.Header")


def test_interrupt_leaves_no_half_file(tmp_path: Path) -> None:
    def parts() -> Any:
        yield False, PROMPTS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "a.petsird", parts=parts())
    assert list(tmp_path.iterdir()) == []


def test_preset_of_an_imported_scanner_is_a_preset(tmp_path: Path) -> None:
    written(tmp_path / "a.petsird")
    with PetsirdFile(tmp_path / "a.petsird") as file:
        fitted = fit_scanner(file.header)
    again = parse_scanner(fitted.toml)
    assert again.acquisition.tof and again.acquisition.window_ps == BENCH.acquisition.window_ps
    assert again.response.ctr_fwhm_ps == pytest.approx(BENCH.response.ctr_fwhm_ps, rel=1e-5)


def test_the_header_says_how_the_patient_lay_or_nothing() -> None:
    for position, meanings in (
        ("unknown", ["", "", ""]),
        ("FFDL", ["recumbent", "left lateral decubitus", "feet-first"]),
    ):
        facts = ScanFacts.of({"run": "x", "study_uid": "2.25.7", "patient_position": position})
        exam = header_of(BENCH, build_geometry(BENCH), bins_of(BENCH), facts)["exam"]
        assert [one["codeMeaning"] for one in exam["patientOrientation"].values()] == meanings
        assert exam["studyInstanceUID"] == "2.25.7"
