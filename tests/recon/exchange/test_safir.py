"""STIR's SAFIR list mode: ours has the layout of STIR's own files, which our reader reads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hw.scanner.geometry import build_geometry, crystal_position_mm
from hw.scanner.preset_file import load_scanner
from oracles.safir_reader import read_crystal_map, read_safir
from recon.exchange.errors import ExchangeError
from recon.exchange.listmode.safir import safir_index, write_safir
from rigs.exchange_data import made_records

BENCH = load_scanner("bench2")
GEOMETRY = build_geometry(BENCH)
PROMPTS = made_records(BENCH, 300, 0.05)
DELAYEDS = made_records(BENCH, 40, 0.05, seed=6, delayed=True)


def written(folder: Path) -> list[Path]:
    parts = [(False, PROMPTS), (True, DELAYEDS)]
    return write_safir(folder / "a.clm.safir", parts, BENCH, GEOMETRY)


def test_words_are_bit_fields_of_the_format(tmp_path: Path) -> None:
    """One event taken apart by hand, as STIR's C++ bit fields lie in memory."""
    one = PROMPTS[:1].copy()
    one["time_ps"], one["crystal_a"], one["crystal_b"] = 7 * 10**9 + 5, 19, 101
    one["doi_a"], one["doi_b"] = 1, 0
    (path, *_) = write_safir(tmp_path / "a.clm.safir", [(False, one)], BENCH, GEOMETRY)
    raw = path.read_bytes()
    assert raw[:19] == b"MUPET CListModeData" and len(raw) == 32 + 2 * 8
    assert raw[32:40] == (7).to_bytes(6, "little") + b"\0\x80"
    # crystal 19 = iv 2, iu 3 of module 0; 101 − 64 = 37 = iv 4, iu 5 of module 1 (sector 1)
    assert list(raw[40:48]) == [2, 4, 3, 0, 8 + 5, 0, 0x01, 0x00]


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    path, crystal_map, *_ = written(tmp_path)
    events, places = read_safir(path), read_crystal_map(crystal_map)
    assert len(places) == BENCH.n_crystals * BENCH.module.doi_bins
    prompts = ~events.delayed
    assert prompts.sum() == len(PROMPTS) and events.delayed.sum() == len(DELAYEDS)
    assert np.array_equal(events.time_ms[prompts], PROMPTS["time_ps"] // 10**9)
    ring, detector, layer = events.ring[prompts], events.detector[prompts], events.layer[prompts]
    for end, name in enumerate("ab"):
        expected = crystal_position_mm(GEOMETRY, PROMPTS[f"crystal_{name}"], PROMPTS[f"doi_{name}"])
        index = zip(ring[:, end], detector[:, end], layer[:, end], strict=True)
        found = np.array([places[tuple(map(int, one))] for one in index])
        assert np.allclose(found * [-1, -1, 1], expected, atol=1e-4)  # turned about z: STIR's LPS


def test_detectors_run_around_and_rings_along_z() -> None:
    ring, detector = safir_index(BENCH, np.arange(BENCH.n_crystals))
    z = GEOMETRY.crystal_front_mm[:, 2]
    for k in range(7):
        assert z[ring == k].max() < z[ring == k + 1].min()
    first = [int(np.flatnonzero((ring == 0) & (detector == d))[0]) for d in range(16)]
    angle = np.unwrap(np.arctan2(*GEOMETRY.crystal_front_mm[first, 1::-1].T))
    assert np.all(np.diff(angle) > 0)


def test_all_that_the_texts_name_lies_beside_them(tmp_path: Path) -> None:
    """STIR opens the template's data file, though it reads nothing of it: in its own example
    (SAFIR_genericScanner/muppet.s) that is empty."""
    path, crystal_map, template, empty, par, job = written(tmp_path)
    text = template.read_text()
    assert f"Name of crystal map := {crystal_map.name}" in text
    assert "Number of rings := 8" in text and "Number of detectors per ring := 16" in text
    assert "Generic" in text and text.startswith("!INTERFILE")
    named = {
        name
        for one in (template, par, job)
        for name in re.findall(r"(?:file\w*|map|template_projdata) ?:= ?(\S+)", one.read_text())
    }
    assert named == {one.name for one in (path, crystal_map, template, empty, par)}
    assert all((tmp_path / name).is_file() for name in named)
    (prefix,) = re.findall(r"output filename prefix := (\S+)", job.read_text())
    assert not list(tmp_path.glob(f"{prefix}*"))  # what STIR makes overwrites nothing of ours


def test_too_many_rings_are_refused(tmp_path: Path) -> None:
    import msgspec

    wide = msgspec.structs.replace(BENCH, module=msgspec.structs.replace(BENCH.module, n_v=300))
    with pytest.raises(ExchangeError, match="300 axial crystals"):
        write_safir(tmp_path / "a.clm.safir", [], wide, GEOMETRY)


@pytest.mark.parametrize("content", [b"", b"MUPET", b"MUPET CListModeData".ljust(35, b"\0")])
def test_files_that_are_no_list_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safir").write_bytes(content)
    with pytest.raises(ExchangeError, match=r"a\.safir"):
        read_safir(tmp_path / "a.safir")


@pytest.mark.reference_data
@pytest.mark.parametrize(
    ("name", "crystal_map"),
    [
        ("point_5.clm.safir", "crystal_map_front.txt"),
        ("coincidencesLM.clm.safir", "DualRingPrototype_crystal_map.txt"),
    ],
)
def test_stir_s_own_files_are_read(reference_data: Path, name: str, crystal_map: str) -> None:
    """Every crystal of STIR's example files is in the map beside them, and the lines of their point
    sources meet: a wrong bit would scatter them over the ring."""
    folder = reference_data / "safir"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    events, places = read_safir(folder / name), read_crystal_map(folder / crystal_map)
    ends = [
        np.array([
            places[int(r), int(d), int(layer)]
            for r, d, layer in zip(
                events.ring[:, e], events.detector[:, e], events.layer[:, e], strict=True
            )
        ])
        for e in (0, 1)
    ]  # fmt: skip
    assert len(ends[0]) == (1408 if "LM" in name else 35887)
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0], axis=1, keepdims=True)
    across = np.eye(3) - along[:, :, None] * along[:, None, :]
    near = np.ones(len(along), bool)
    for _ in range(4):  # randoms and scatter aside
        projected = np.einsum("nij,nj->i", across[near], ends[0][near])
        point = np.linalg.solve(across[near].sum(0), projected)
        offset = np.linalg.norm(np.einsum("nij,nj->ni", across, ends[0] - point), axis=1)
        near = offset < 2 * np.median(offset)
    assert np.median(offset) < 1.5  # crystals of 2.2 mm
    x = 0.0 if "LM" in name else 5.0  # as the file's name says; the depth of interaction is ignored
    assert point == pytest.approx([x, 0.0, 0.0], abs=0.6)
