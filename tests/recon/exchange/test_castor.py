"""CASToR: files as its documentation describes them, read by a reader of the tests' own."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.scanner.geometry import build_geometry, crystal_position_mm
from hw.scanner.preset_file import load_scanner
from recon.exchange.listmode.castor import CastorOptions, write_castor
from recon.exchange.scan_facts import ScanFacts
from rigs.exchange_data import made_records

BENCH = load_scanner("bench2")
GEOMETRY = build_geometry(BENCH)
PROMPTS = made_records(BENCH, 200, 0.5)
DELAYEDS = made_records(BENCH, 20, 0.5, seed=4, delayed=True)
FACTS = ScanFacts.of({"nuclide": "F-18"})


def header_of(path: Path) -> dict[str, str]:
    lines = (line.split("#")[0].partition(":") for line in path.read_text().splitlines())
    return {key.strip(): value.strip() for key, _, value in lines if value}


def events_of(path: Path) -> list[dict[str, float]]:
    """Read events field by field, in the order of CASToR's documentation."""
    header = header_of(path)
    raw = (path.parent / header["Data filename"]).read_bytes()
    fields = ["<I:time"]
    for key, name in (
        ("Attenuation", "attenuation"), ("Scatter", "scatter"), ("Random", "randoms"),
        ("Normalization", "normalisation"),
    ):  # fmt: skip
        if header[f"{key} correction flag"] == "1":
            fields.append(f"<f:{name}")
    if header["TOF information flag"] == "1":
        fields.append("<f:tof")
    fields += ["<I:first", "<I:second"]
    events, at = [], 0
    while at < len(raw):
        event = {}
        for field in fields:
            kind, _, name = field.partition(":")
            (event[name],) = struct.unpack_from(kind, raw, at)
            at += 4
        events.append(event)
    assert at == len(raw) and len(events) == int(header["Number of events"])
    return events


def lut_of(path: Path, header: dict[str, str]) -> list[tuple[float, ...]]:
    raw = path.read_bytes()
    assert len(raw) == 24 * int(header["number of elements"])
    return list(struct.iter_unpack("<6f", raw))


def write(path: Path, **more: Any) -> list[Path]:
    options = CastorOptions(duration_s=0.5, tof=True, window_ps=4000, **more)
    parts = [(False, PROMPTS[:90]), (True, DELAYEDS), (False, PROMPTS[90:])]
    return write_castor(path, parts, BENCH, GEOMETRY, options, FACTS)


def test_every_event_has_its_time_crystals_and_tof(tmp_path: Path) -> None:
    header, data, hscan, lut = write(tmp_path / "a.Cdh")
    assert data.stat().st_size == 16 * len(PROMPTS)
    elements = lut_of(lut, header_of(hscan))
    for event, ours in zip(events_of(header), PROMPTS, strict=True):
        assert event["time"] == ours["time_ps"] // 10**9
        for end, name in (("a", "first"), ("b", "second")):
            place = crystal_position_mm(GEOMETRY, ours[f"crystal_{end}"], ours[f"doi_{end}"])
            assert elements[int(event[name])][:3] == pytest.approx(place, abs=1e-4)
        # CASToR: the event lies at L/2 + TOF·c/2 from the first crystal; ours is nearer to a
        # (the first) where tof_ps > 0
        assert event["tof"] == -ours["tof_ps"]


def test_orientations_point_outwards_and_the_scanner_is_described(tmp_path: Path) -> None:
    _, _, hscan, lut = write(tmp_path / "a.Cdh")
    about = header_of(hscan)
    assert about["modality"] == "PET" and about["number of layers"] == "2"
    assert about["number of crystals in layer(s)"] == "128, 128"
    assert float(about["crystals size axial"].split(",")[0]) == pytest.approx(3.2)
    assert about["mean depth of interaction"] == "-1, -1"
    for x, _, _, u, v, w in lut_of(lut, about):
        assert (np.sign(x), 0.0, 0.0) == pytest.approx((u, v, w), abs=1e-6)


def test_header_names_all_that_castor_asks_for(tmp_path: Path) -> None:
    header = header_of(write(tmp_path / "a.Cdh")[0])
    assert header["Data mode"] == "list-mode" and header["Data type"] == "PET"
    assert header["Scanner name"] == "PET_TOMOSHIBI_bench2" and header["Isotope"] == "F-18"
    assert header["Duration (s)"] == "0.5" and header["TOF resolution (ps)"] == "400"
    assert header["List TOF measurement range (ps)"] == "8000"


def test_corrections_stand_with_their_events_in_castor_s_order(tmp_path: Path) -> None:
    def of_time(factor: float) -> Any:
        return lambda records: (records["time_ps"] * factor).astype(np.float32)

    corrections = {"attenuation": of_time(1e-12), "randoms": of_time(1e-9),
                   "normalisation": of_time(2e-12)}  # fmt: skip
    events = events_of(write(tmp_path / "a.Cdh", corrections=corrections)[0])
    for event, ours in zip(events, PROMPTS, strict=True):
        assert event["attenuation"] == np.float32(ours["time_ps"] * 1e-12)
        assert event["randoms"] == np.float32(ours["time_ps"] * 1e-9)
        assert event["normalisation"] == np.float32(ours["time_ps"] * 2e-12)


def test_interrupt_leaves_no_datafile(tmp_path: Path) -> None:
    def parts() -> Any:
        yield False, PROMPTS
        raise KeyboardInterrupt

    options = CastorOptions(duration_s=1.0, tof=False, window_ps=4000)
    with pytest.raises(KeyboardInterrupt):
        write_castor(tmp_path / "a.Cdh", parts(), BENCH, GEOMETRY, options, FACTS)
    assert list(tmp_path.iterdir()) == []
