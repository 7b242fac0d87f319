"""Performed steps, TLS and projections against a server in another process; DICOMweb."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from daq.cli import main
from recon.hospital.dicom_web import stow
from recon.hospital.peers import Hospital, HospitalError, Peer
from rigs.hospital.certificates import certificate
from rigs.runs.spect_run_folder import write_spect_run

pytest.importorskip("pynetdicom", reason="pynetdicom is missing: ./tomoshibi setup hospital")
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.processes,
    pytest.mark.timeout(90),
]
SERVER = Path(__file__).with_name("peer_process.py")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A SPECT run with an image, a summary and a worklist's patient."""
    folder = write_spect_run(tmp_path / "runs" / "spect")
    (folder / "images").mkdir()
    image = nib.Nifti1Image(np.arange(60, dtype=np.float32).reshape(5, 4, 3), np.eye(4) * 4)
    nib.save(image, folder / "images/a.nii.gz")
    about = '{"unit": "Bq/mL", "modality": "SPECT", "duration_s": 40.0}'
    (folder / "images" / "a.json").write_text(about)
    (folder / "summary.json").write_text('{"detector_time_s": 40.0}')
    (folder / "identity.json").write_text(json.dumps({
        "patient_id": "P-77", "name": "Yamada^Tarou", "accession_number": "ACC42",
        "study_uid": "1.2.3.4.5", "procedure_id": "R1", "step_id": "S1", "version": 1,
    }))  # fmt: skip
    return folder


def configured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, port: int, *, head: str = "", more: str = ""
) -> None:
    path = folder / "hospital.toml"
    peer = f'ae_title = "RIS"\nhost = "localhost"\nport = {port}\n{more}'
    path.write_text(f"{head}[peers.ris]\n{peer}identified = true\n[peers.other]\n{peer}")
    monkeypatch.setenv("TOMOSHIBI_HOSPITAL", str(path))


def asked(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, Any]:
    status = main(["hospital", *words, "--runs", str(folder.parent), "--json"])
    said = capsys.readouterr()
    return status, json.loads(said.out.splitlines()[-1]) if said.out else said.err


def noted(journal: Path) -> list[tuple[str, str, Dataset]]:
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [(one["what"], one["uid"], Dataset.from_json(one["content"])) for one in lines]


def test_a_run_is_reported_in_progress_and_completed_with_what_was_sent(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    port, journal = free_port(), tmp_path / "journal"
    configured(tmp_path, monkeypatch, port)
    # nobody listens yet: both reports wait, and their order is kept
    assert asked(capsys, run_folder, "begin", "spect", "--to", "ris")[0] == 1
    with running([sys.executable, str(SERVER), str(port), str(journal)], port):
        for state in (run_folder.parent / "hospital").glob("*.json"):
            state.write_text("{}")  # due at once
        status, said = asked(capsys, run_folder, "send", "spect", "--projections", "--to", "ris")
        assert (status, said["states"]) == (0, {"done": 2}), said
        complete = ("complete", "spect", "--to", "ris", "--sent-to", "ris")
        assert asked(capsys, run_folder, *complete)[0] == 0
        assert asked(capsys, run_folder, *complete)[1]["states"] == {"done": 3}  # told once
        assert asked(capsys, run_folder, "begin", "spect", "--to", "other")[0] == 0
    created, stored, over, anonymous = noted(journal)
    assert [one[0] for one in (created, stored, over, anonymous)] == [
        "create", "store", "set", "create",
    ]  # fmt: skip
    step, scheduled = created[2], created[2].ScheduledStepAttributesSequence[0]
    assert (step.PerformedProcedureStepStatus, step.Modality) == ("IN PROGRESS", "NM")
    assert (step.PatientID, str(step.PatientName)) == ("P-77", "Yamada^Tarou")
    assert (scheduled.AccessionNumber, scheduled.StudyInstanceUID) == ("ACC42", "1.2.3.4.5")
    assert (scheduled.RequestedProcedureID, scheduled.ScheduledProcedureStepID) == ("R1", "S1")
    assert step.PerformedProcedureStepStartDate == "20261121"
    assert list(stored[2].ImageType)[2] == "TOMO" and stored[2].PatientID == "P-77"
    assert over[1] == created[1] and over[2].PerformedProcedureStepStatus == "COMPLETED"
    assert over[2].PerformedProcedureStepEndTime == "100040"
    (series,) = over[2].PerformedSeriesSequence
    assert series.SeriesInstanceUID == stored[2].SeriesInstanceUID
    assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == stored[1]
    nobody = anonymous[2]
    assert anonymous[1] != created[1] and nobody.PatientID == "spect"
    assert nobody.ScheduledStepAttributesSequence[0].StudyInstanceUID != "1.2.3.4.5"
    assert "Yamada" not in str(nobody) and "ACC42" not in str(nobody)


def test_the_end_waits_for_the_beginning_and_a_lost_answer_is_no_error(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    port, journal = free_port(), tmp_path / "journal"
    configured(tmp_path, monkeypatch, port)
    asked(capsys, run_folder, "begin", "spect", "--to", "ris")
    words = ("complete", "spect", "--to", "ris", "--discontinued")
    assert asked(capsys, run_folder, *words)[0] == 1
    outbox = run_folder.parent / "hospital"
    (end,) = outbox.glob("*.2@ris.json")
    assert "cannot be reached" in end.read_text() or "not been told" in end.read_text()
    with running([sys.executable, str(SERVER), str(port), str(journal)], port):
        for _ in range(2):  # the second time as after a power loss: no state was kept
            for state in outbox.glob("*.json"):
                state.write_text("{}")
            assert asked(capsys, run_folder, "deliver")[1]["states"] == {"done": 2}
    assert [one[0] for one in noted(journal)] == ["create", "set"]
    assert noted(journal)[1][2].PerformedProcedureStepStatus == "DISCONTINUED"


# --- TLS --------------------------------------------------------------------------------------


def test_tls_reaches_a_peer_that_is_trusted_and_nobody_else(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    port, journal = free_port(), tmp_path / "journal"
    (theirs, their_key), (ours, our_key) = (certificate(tmp_path, n) for n in ("them", "us"))
    head = f'ca = "{theirs}"\ncertificate = "{ours}"\nkey = "{our_key}"\n'
    server = [sys.executable, str(SERVER), str(port), str(journal), str(ours), str(theirs),
              str(their_key)]  # fmt: skip
    with running(server, port):
        configured(tmp_path, monkeypatch, port, head=head, more="tls = true\n")
        assert asked(capsys, run_folder, "echo", "ris")[0] == 0
        assert asked(capsys, run_folder, "send", "spect", "--image", "a", "--to", "ris")[0] == 0
        configured(tmp_path, monkeypatch, port)  # in the clear
        assert asked(capsys, run_folder, "echo", "ris")[0] == 1
        wrong = head.replace(str(theirs), str(ours))  # an authority that does not know them
        configured(tmp_path, monkeypatch, port, head=wrong, more="tls = true\n")
        status, said = asked(capsys, run_folder, "echo", "ris")
        assert status == 1 and "not trusted" in said["peers"]["ris"]
        configured(tmp_path, monkeypatch, port, head='ca = "/nowhere"\n', more="tls = true\n")
        assert "hospital.toml" in asked(capsys, run_folder, "echo", "ris")[1]["peers"]["ris"]
    assert [one[0] for one in noted(journal)] == ["store"]


# --- DICOMweb ---------------------------------------------------------------------------------


class Web(BaseHTTPRequestHandler):
    """Answers STOW-RS as it is told to."""

    answer: ClassVar[tuple[int, bytes]] = (200, b"{}")
    heard: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append((dict(self.headers), body))
        status, said = self.answer
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def web() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Web.heard.clear()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def one_object(uid: str) -> Dataset:
    made = Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.20"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = uid
    return made


def stored(uid: str) -> bytes:
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    return json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode()


def failed(reason: int) -> bytes:
    item = {"00081197": {"vr": "US", "Value": [reason]}}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, stored("1.2.9")), ""),
        ((409, failed(0x0111)), ""),  # it has it already
        ((409, failed(0xA700)), "refuses the object with 0xa700"),
        ((200, stored("1.2.8")), "does not say that it has it"),
        ((200, b"<html>"), "no DICOM JSON"),
        ((200, b"[1, 2]"), "no DICOM JSON"),
        ((401, b""), "answers 401"),
        ((302, b""), "answers 302"),  # nothing goes where the configuration does not say
    ],
)
def test_stow_takes_only_an_answer_that_names_the_object(
    web: int, answer: tuple[int, bytes], words: str, tmp_path: Path
) -> None:
    Web.answer = answer
    (tmp_path / "secret").write_text("Basic abc\n")
    peer = Peer(url=f"http://127.0.0.1:{web}/dicom-web/", authorization=str(tmp_path / "secret"))
    with pytest.raises(HospitalError, match=words) if words else contextlib.nullcontext():
        stow(Hospital(), peer, one_object("1.2.9"))
    ((headers, body),) = Web.heard
    assert headers["Authorization"] == "Basic abc"
    mark = headers["Content-Type"].split("boundary=")[1]
    part = body.split(f"--{mark}".encode())[1].split(b"\r\n\r\n", 1)[1]
    (tmp_path / "got.dcm").write_bytes(part.removesuffix(b"\r\n"))
    assert pydicom.dcmread(tmp_path / "got.dcm").SOPInstanceUID == "1.2.9"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"url": "http://10.0.0.5/dicom-web"}, "only https"),
        ({"url": "https://a/b", "port": 104}, "no ae_title"),
        ({"ae_title": "A", "host": "h"}, "port is missing"),
        ({}, "ae_title is missing"),
    ],
)
def test_a_peer_is_an_entity_or_an_address(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Peer(**more)


def test_orthanc_takes_objects_by_stow_and_has_the_same_pixels(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc with DICOMweb is not installed: apt-get install orthanc-dicomweb")
    dicom, http = free_port(), free_port()
    (tmp_path / "orthanc.json").write_text(json.dumps({
        "StorageDirectory": str(tmp_path / "db"), "IndexDirectory": str(tmp_path / "db"),
        "DicomPort": dicom, "HttpPort": http, "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True},
    }))  # fmt: skip
    path = tmp_path / "hospital.toml"
    path.write_text(f'[peers.web]\nurl = "http://127.0.0.1:{http}/dicom-web"\nidentified = true\n')
    monkeypatch.setenv("TOMOSHIBI_HOSPITAL", str(path))
    with running([program, str(tmp_path / "orthanc.json")], http):
        assert asked(capsys, run_folder, "echo")[0] == 0
        for _ in range(2):  # twice is once
            done = asked(capsys, run_folder, "send", "spect", "--image", "a", "--to", "web")
            assert (done[0], done[1]["states"]) == (0, {"done": 1}), done
        place = f"http://127.0.0.1:{http}/instances"
        with urllib.request.urlopen(place, timeout=10) as answer:
            (instance,) = json.load(answer)
        with urllib.request.urlopen(f"{place}/{instance}/file", timeout=10) as answer:
            back = answer.read()
        assert asked(capsys, run_folder, "worklist", "web")[0] == 1
    (tmp_path / "back.dcm").write_bytes(back)
    (kept,) = (run_folder.parent / "hospital").glob("*@web.dcm")
    there, here = pydicom.dcmread(tmp_path / "back.dcm"), pydicom.dcmread(kept)
    assert there.PixelData == here.PixelData and there.PatientID == "P-77"
