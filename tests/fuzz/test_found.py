"""What fuzzing found once, so that it is found at once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from daq.cli.common import CommandError, find_run
from daq.errors import LogError
from daq.folder.listing.manifest import sizes_wrong
from daq.folder.run_identity import RunIdentity
from emulator.fault_kinds import FaultError, parse_fault
from hw.bounded_files import read_bytes
from recon.exchange.errors import ExchangeError
from recon.exchange.petsird.scanner_fit import fit_scanner
from recon.exchange.petsird.yardl import Schema, YardlError


def test_a_module_of_endless_digits_is_no_module() -> None:
    with pytest.raises(FaultError, match="give a number"):
        parse_fault("drop:module=" + "9" * 5000)


@pytest.mark.parametrize("header", [{}, {"scanner": {}}, {"scanner": {"scannerGeometry": None}}])
def test_a_petsird_header_without_a_scanner_is_damaged(header: dict[str, object]) -> None:
    with pytest.raises(ExchangeError, match="scanner is damaged"):
        fit_scanner(header)


@pytest.mark.parametrize(
    "data", [b"\xc2\x02" + bytes(322), b"\x02\x00" + b"\xff" * 9 + b"\x01", b"\x21" + bytes(33)]
)
def test_a_petsird_array_of_impossible_shape_is_damaged(data: bytes) -> None:
    schema = Schema('{"protocol": {}, "types": []}')
    with pytest.raises(YardlError, match="damaged"):
        schema.codec({"array": {"items": "float32"}}).read(data, 0)


def test_a_bound_of_a_file_is_not_what_reading_it_takes(tmp_path: Path) -> None:
    (tmp_path / "few").write_bytes(b"1234")
    tracemalloc.start()
    try:
        assert read_bytes(tmp_path / "few", most_bytes=1 << 40) == b"1234"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_uids_that_nest_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "uids.json").write_text("[" * 100_000)
    with pytest.raises(LogError, match="UIDs"):
        RunIdentity.of(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "é" * 130, "a\\u0000b"])
def test_a_manifest_with_a_name_that_no_file_has_is_refused(tmp_path: Path, name: str) -> None:
    entry = f'{{"files": {{"{name}": {{"bytes": 1, "digest": "00"}}}}}}'
    (tmp_path / "manifest.json").write_text(entry, encoding="utf-8")
    with pytest.raises(LogError, match="no manifest"):
        sizes_wrong(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_run_with_a_name_that_no_file_has_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match="is not a run"):
        find_run(name, tmp_path)
