"""A real archive and a real worklist: Orthanc's own pixels, dcmtk's worklist server."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from interop.phantom import ABOUT, FRAMES, GRID, image, in_patient
from interop.row import Check, Row, debian, module, program, said, share

from recon.exchange.images.dicom_nm import write_dicom_nm
from recon.exchange.images.dicom_pet import write_dicom_pet
from recon.hospital.association import store, worklist
from recon.hospital.peers import Hospital, Peer
from recon.hospital.worklist_item import item_of, question

START_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    """Run a server until its port answers, and end it afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{command[0]} does not start") from None
                time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait(10)


def _numpy(url: str) -> np.ndarray:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return np.asarray(np.load(io.BytesIO(answer.read())), float)


def _orthanc(folder: Path, files: list[Path]) -> list[tuple[pydicom.Dataset, np.ndarray]]:
    """Store objects in an Orthanc; return each object's tags and the pixels that it decodes."""
    module("pynetdicom")
    dicom, http = free_port(), free_port()
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps({
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "DicomAet": "ORTHANC", "DicomPort": dicom, "HttpPort": http, "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "Plugins": [],
    }))  # fmt: skip
    peer, found = Peer(ae_title="ORTHANC", host="127.0.0.1", port=dicom), []
    with _running([program("Orthanc", "orthanc"), str(configuration)], http):
        for path in files:
            store(Hospital(), peer, pydicom.dcmread(path))
        place = f"http://127.0.0.1:{http}/instances"
        with urllib.request.urlopen(place, timeout=10) as answer:
            names = json.load(answer)
        for name in names:
            with urllib.request.urlopen(f"{place}/{name}/file", timeout=10) as answer:
                tags = pydicom.dcmread(io.BytesIO(answer.read()), stop_before_pixels=True)
            levels = _numpy(f"{place}/{name}/numpy?rescale=false")
            found.append((tags, levels * float(tags.RescaleSlope) + float(tags.RescaleIntercept)))
    return found


def _off(found: list[tuple[pydicom.Dataset, np.ndarray]], position: str) -> float:
    """Return the greatest difference of the archive's pixels at their place in the patient, as a
    share of the greatest; infinite where a voxel lies elsewhere or is missing."""
    truth = image()[..., 0]
    places = {tuple(np.rint(p * 100).astype(int)): v for p, v in zip(
        in_patient(position).reshape(-1, 3) * [-1, -1, 1], truth.reshape(-1), strict=True
    )}  # fmt: skip
    worst = 0.0
    for tags, pixels in found:
        where = tags if "ImagePositionPatient" in tags else tags.DetectorInformationSequence[0]
        along = np.array(where.ImageOrientationPatient, float).reshape(2, 3)
        corner = np.array(where.ImagePositionPatient, float)
        up = np.cross(*along) * GRID.voxel_mm[2]
        values = pixels.reshape(-1, tags.Rows, tags.Columns)
        for (plane, row, column), value in np.ndenumerate(values):
            place = corner + plane * up
            place = place + along[0] * column * GRID.voxel_mm[0] + along[1] * row * GRID.voxel_mm[1]
            ours = places.pop(tuple(np.rint(place * 100).astype(int)), np.inf)
            worst = max(worst, abs(value - ours) / float(truth.max()))
    return float("inf") if places else worst


def _archived(folder: Path, kind: str) -> Row:
    worst, objects = 0.0, 0
    for position in ("HFS", "FFDR"):
        place = folder / position
        place.mkdir()
        about = {**ABOUT, "hash": position, "patient_position": position}
        if kind == "PET":
            files = write_dicom_pet(place / "made", image(), GRID, FRAMES[:1], about)
        else:
            files = write_dicom_nm(place / "a.dcm", image(), GRID, FRAMES[:1], about)
        found = _orthanc(place, files)
        objects += len(found)
        worst = max(worst, _off(found, position))
    return Row(f"DICOM {kind}, stored by C-STORE (HFS, FFDR)", debian("orthanc"),
               f"{objects} objects, pixels as it decodes them", share(worst),
               worst < 1 / 131070 + 1e-6)  # fmt: skip


def orthanc_pet(folder: Path) -> Row:
    return _archived(folder, "PET")


def orthanc_nm(folder: Path) -> Row:
    return _archived(folder, "NM")


ITEM = """\
(0008,0005) CS [ISO_IR 192]
(0008,0050) SH [A42]
(0010,0010) PN [Yamada^Tarou]
(0010,0020) LO [P-77]
(0010,0030) DA [19700131]
(0010,0040) CS [M]
(0010,1030) DS [61.5]
(0020,000d) UI [1.2.3.4.5]
(0032,1032) PN [Suzuki]
(0032,1060) LO [brain SPECT]
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [NM]
(0040,0001) AE [TOMOSHIBI]
(0040,0002) DA [20261125]
(0040,0003) TM [093000]
(0040,0006) PN [Sato]
(0040,0007) LO [brain SPECT]
(0040,0009) SH [S1]
(0040,0010) SH [CAMERA]
(fffe,e00d) na
(fffe,e0dd) na
(0040,1001) SH [R1]
(0040,1003) SH [LOW]
"""


def dcmtk_worklist(folder: Path) -> Row:
    module("pynetdicom")
    place, port = folder / "RIS", free_port()
    place.mkdir()
    (place / "lockfile").touch()
    (folder / "item.dump").write_text(ITEM)
    said([program("dump2dcm", "dcmtk"), str(folder / "item.dump"), str(place / "item.wl")])
    with _running([program("wlmscpfs", "dcmtk"), "-dfp", str(folder), str(port)], port):
        peer = Peer(ae_title="RIS", host="127.0.0.1", port=port)
        wanted = question(date="20261125", modality="NM")
        items = [item_of(one) for one in worklist(Hospital(), peer, wanted)]
        none = worklist(Hospital(), peer, question(date="20261126", modality="NM"))
    wanted_words = {"patient_id": "P-77", "name": "Yamada^Tarou", "birth_date": "1970-01-31",
                    "sex": "M", "accession_number": "A42"}  # fmt: skip
    wrong = [key for key, value in wanted_words.items() if items[0].identity.get(key) != value]
    good = len(items) == 1 and not wrong and not none and items[0].study == {"weight_kg": 61.5}
    return Row("Worklist (C-FIND)", debian("dcmtk"), "1 item of that day, none of the next",
               f"{len(wrong)} fields otherwise than in its file", good)  # fmt: skip


CHECKS: dict[str, Check] = {
    "DICOM PET × Orthanc": orthanc_pet,
    "DICOM NM × Orthanc": orthanc_nm,
    "Worklist × dcmtk": dcmtk_worklist,
}
