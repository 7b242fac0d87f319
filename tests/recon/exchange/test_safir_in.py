"""`tomoshibi import safir`: lines of STIR's own files and of ours, and files that are neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daq.cli import main
from hw.scanner.geometry import build_geometry, crystal_position_mm
from hw.scanner.preset_file import load_scanner
from oracles.safir_reader import read_crystal_map, read_safir
from recon.exchange.listmode.safir import write_safir
from rigs.exchange_data import made_records

BENCH = load_scanner("bench2")
GEOMETRY = build_geometry(BENCH)
PROMPTS = made_records(BENCH, 300, 0.05)
DELAYEDS = made_records(BENCH, 40, 0.05, seed=6, delayed=True)


def imported(capsys: pytest.CaptureFixture[str], path: Path, *more: object) -> dict[str, Any]:
    folder = path.parent / "out"
    words = ["import", "safir", str(path), "--output", str(folder), *map(str, more), "--json"]
    assert main(words) == 0, capsys.readouterr().err
    said = dict(json.loads(capsys.readouterr().out.splitlines()[-1]))
    with np.load(folder / "lines.npz") as file:
        return {**said, **dict(file)}


def test_our_own_export_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [(False, PROMPTS), (True, DELAYEDS)]
    (path, *_) = write_safir(tmp_path / "a.clm.safir", parts, BENCH, GEOMETRY)
    read = imported(capsys, path)
    assert (read["prompts"], read["delayeds"]) == (300, 40)
    own = ~read["delayed"]
    assert np.array_equal(read["time_ms"][own], PROMPTS["time_ps"] // 10**9)
    for end, name in (("start", "a"), ("end", "b")):
        place = crystal_position_mm(GEOMETRY, PROMPTS[f"crystal_{name}"], PROMPTS[f"doi_{name}"])
        assert np.allclose(read[end][own], place, atol=1e-3)


@pytest.mark.reference_data
def test_stir_s_own_file_is_read_as_another_reader_does(
    reference_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = reference_data / "safir"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    path, map_path = tmp_path / "p.clm.safir", folder / "crystal_map_front.txt"
    path.write_bytes((folder / "point_5.clm.safir").read_bytes())
    read = imported(capsys, path, "--map", map_path)
    events, places = read_safir(path), read_crystal_map(map_path)
    assert len(read["start"]) == 35887 and np.array_equal(read["time_ms"], events.time_ms)
    for at in (0, 17, 35886):
        index = (int(one[at, 1]) for one in (events.ring, events.detector, events.layer))
        x, y, z = places[tuple(index)]  # type: ignore[index]
        assert read["end"][at] == pytest.approx((-x, -y, z), abs=1e-3)


@pytest.mark.parametrize(
    ("content", "crystals", "said"),
    [
        (b"MUPET", "0 0 0 1 2 3", "no SAFIR list mode"),
        (b"MUPET CListModeData".ljust(35, b"\0"), "0 0 0 1 2 3", "within a record"),
        (b"MUPET CListModeData".ljust(40, b"\0"), "0 1 0 1 2 3", "not in a_crystals.txt"),
        (b"MUPET CListModeData".ljust(40, b"\0"), "0 0 1 2", "a_crystals.txt:1"),
        (b"MUPET CListModeData".ljust(40, b"\0"), "0 9999999 0 1 2 3", "a_crystals.txt:1"),
        (b"MUPET CListModeData".ljust(40, b"\0"), "0 0 0 1 2 nan", "a_crystals.txt:1"),
        (b"MUPET CListModeData".ljust(40, b"\0"), "", "no crystal map"),
    ],
)
def test_what_is_no_list_or_no_map_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    crystals: str,
    said: str,
) -> None:
    (tmp_path / "a.clm.safir").write_bytes(content)
    (tmp_path / "a_crystals.txt").write_text(crystals)
    out = tmp_path / "out"
    assert main(["import", "safir", str(tmp_path / "a.clm.safir"), "--output", str(out)]) == 1
    assert said in capsys.readouterr().err and not out.exists()
