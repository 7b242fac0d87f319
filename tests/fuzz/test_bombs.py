"""A small file that would become gigabytes is refused by every reader, in its own words."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from daq.cli.bench.projector_workload import WorkloadError, read_workload
from daq.errors import ImportDataError
from daq.folder.calibration_set import CalibrationSetError, load_set
from daq.importers.gate_singles import read_gate_singles
from emulator.config import EmulationError
from emulator.library.event_library import read_library
from emulator.object.phantom import PhantomError
from emulator.object.phantom_file import load_phantom
from hw.bounded_files import MIB
from hw.errors import TomoshibiError
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from recon.analysis.picture import AnalysisError, read_picture
from recon.core.grid import ImageGrid
from recon.core.mu_map import MuMapError, load_mu_map

NUMBERS = 170 * MIB
"""Of 8 bytes: 1.33 GiB, in 1.4 MB."""

MOST_BYTES = 32 * MIB
BENCH2 = load_scanner("bench2")
GRID = ImageGrid((80, 80, 40), (2.0, 2.0, 2.0))

READERS: dict[str, tuple[str, type[TomoshibiError], Callable[[Path], object]]] = {
    "calibration": ("gain", CalibrationSetError, load_set),
    "µ map": ("mu_per_mm", MuMapError, lambda path: load_mu_map(path, GRID)),
    "GATE": (
        "t_ns",
        ImportDataError,
        lambda path: read_gate_singles(path, BENCH2, build_geometry(BENCH2)),
    ),
    "phantom": ("activity", PhantomError, load_phantom),
    "workload": ("start", WorkloadError, read_workload),
    "library": ("key", EmulationError, lambda path: read_library(path, "key", named=True)),
}


@pytest.fixture(scope="module")
def zeros() -> tuple[bytes, int, int]:
    """An array of zeros as numpy writes it: deflated, its CRC, and how many bytes it becomes."""
    head = io.BytesIO()
    facts = {"descr": "<f8", "fortran_order": False, "shape": (NUMBERS,)}
    np.lib.format.write_array_header_1_0(head, facts)
    packer, block = zlib.compressobj(1, wbits=-15), bytes(MIB)
    parts, crc = [packer.compress(head.getvalue())], zlib.crc32(head.getvalue())
    for _ in range(NUMBERS // MIB * 8):
        parts.append(packer.compress(block))
        crc = zlib.crc32(block, crc)
    parts.append(packer.flush())
    return b"".join(parts), crc, len(head.getvalue()) + 8 * NUMBERS


def npz(path: Path, name: str, zeros: tuple[bytes, int, int]) -> Path:
    """Write an archive of one member that is compressed already."""
    packed, crc, size = zeros
    member = f"{name}.npy".encode()
    about = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(packed), size, len(member), 0)
    local = b"PK\x03\x04" + about + member + packed
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + about + bytes(14) + member
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + end)
    return path


def refused_cheaply(read: Callable[[Path], object], path: Path) -> TomoshibiError:
    """Return the error with which a reader refuses a file, having allocated next to nothing."""
    tracemalloc.start()
    try:
        with pytest.raises(TomoshibiError) as refusal:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert str(path) in str(refusal.value)
    return refusal.value


@pytest.mark.parametrize("reader", READERS)
def test_an_npz_bomb_is_refused(tmp_path: Path, reader: str, zeros: tuple[bytes, int, int]) -> None:
    name, kind, read = READERS[reader]
    path = npz(tmp_path / "bomb.npz", name, zeros)
    assert path.stat().st_size < 10 * MIB
    assert isinstance(refused_cheaply(read, path), kind)


@pytest.mark.parametrize("kind", [MuMapError, AnalysisError])
def test_a_nifti_bomb_is_refused(tmp_path: Path, kind: type[TomoshibiError]) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((900, 900, 900))
    header.set_data_dtype(np.float32)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(bytes(header.binaryblock) + bytes(4) + bytes(64 * MIB))
    read = read_picture if kind is AnalysisError else lambda path: load_mu_map(path, GRID)
    refusal = refused_cheaply(read, path)
    assert isinstance(refusal, kind)
    assert "as no measured data do" in str(refusal)
