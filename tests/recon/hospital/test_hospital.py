"""`tomoshibi hospital` against other programs: a peer made with pynetdicom, and a real Orthanc."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from daq.cli import main
from daq.folder.identity.identity_file import read_identity
from daq.folder.identity.study_file import read_study
from recon.hospital.association import Committed
from recon.hospital.delivery import deliver
from recon.hospital.outbox import Outbox, Progress, is_due, put_off
from recon.hospital.peers import Hospital, HospitalError, Peer, read_hospital
from rigs.hospital.orthanc import Orthanc, free_port
from rigs.runs.spect_run_folder import write_spect_run

pynetdicom = pytest.importorskip(
    "pynetdicom", reason="pynetdicom is missing: ./tomoshibi setup hospital"
)
# pynetdicom leaves the closing of a socket that nobody answered to the collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
NM = "1.2.840.10008.5.1.4.1.1.20"
PUSH_MODEL = "1.2.840.10008.1.20.1"


class Archive:
    """A peer: answers C-ECHO, has a worklist of one, stores, commits on an association of its own.

    refuse : so many C-STOREs fail at first
    keeps : whether it commits to what it has
    """

    def __init__(self, our_port: int) -> None:
        self.port, self.our_port = free_port(), our_port
        self.stored: list[Dataset] = []
        self.refuse, self.keeps = 0, True
        entity = pynetdicom.AE(ae_title="PACS")
        for context in ("1.2.840.10008.1.1", NM, "1.2.840.10008.5.1.4.31"):
            entity.add_supported_context(context)
        entity.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        evt = pynetdicom.evt
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[
            (evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_ACTION, self._commit), (evt.EVT_C_ECHO, lambda event: 0),
        ])  # fmt: skip

    def close(self) -> None:
        self._server.shutdown()

    def _store(self, event: Any) -> int:
        if self.refuse:
            self.refuse -= 1
            return 0xA700
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.stored.append(dataset)
        return 0

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        item, step = Dataset(), Dataset()
        item.PatientName, item.PatientID = "Yamada^Tarou", "P-77"
        item.PatientBirthDate, item.PatientSex = "19700131", "M"
        item.AccessionNumber, item.StudyInstanceUID = "ACC42", "1.2.3.4.5"
        item.PatientWeight, item.PatientSize = "61.5", "1.72"
        step.ScheduledProcedureStepStartDate = "20261125"
        step.ScheduledProcedureStepStartTime = "0930"
        step.ScheduledProcedureStepDescription = "brain SPECT"
        item.ScheduledProcedureStepSequence = [step]
        if event.identifier.AccessionNumber in ("", "ACC42"):
            yield 0xFF00, item
        yield 0, None

    def _commit(self, event: Any) -> tuple[int, None]:
        report = Dataset()
        report.TransactionUID = event.action_information.TransactionUID
        asked = event.action_information.ReferencedSOPSequence
        if not self.keeps:
            for item in asked:
                item.FailureReason = 0x0112
        setattr(report, "ReferencedSOPSequence" if self.keeps else "FailedSOPSequence", asked)
        entity = pynetdicom.AE(ae_title="PACS")
        entity.add_requested_context(PUSH_MODEL)
        role = pynetdicom.build_role(PUSH_MODEL, scp_role=True, scu_role=True)
        back = entity.associate("127.0.0.1", self.our_port, ext_neg=[role])
        assert back.is_established
        back.send_n_event_report(report, 1 if self.keeps else 2, PUSH_MODEL, f"{PUSH_MODEL}.1")
        back.release()
        return 0, None


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    one = Archive(free_port())
    configure(tmp_path, monkeypatch, one.port, one.our_port)
    yield one
    one.close()


def configure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, port: int, our_port: int, title: str = "PACS"
) -> None:
    peer = f'ae_title = "{title}"\nhost = "127.0.0.1"\nport = {port}\n'
    path = folder / "hospital.toml"
    path.write_text(
        f"port = {our_port}\n[peers.pacs]\n{peer}identified = true\ncommitment = true\n"
        f"[peers.teaching]\n{peer}"
    )
    monkeypatch.setenv("TOMOSHIBI_HOSPITAL", str(path))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A SPECT run with an image that nobody need reconstruct."""
    folder = write_spect_run(tmp_path / "runs" / "spect")
    (folder / "images").mkdir()
    values = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
    nib.save(nib.Nifti1Image(values, np.diag([4.0, 4.0, 4.0, 1.0])), folder / "images/a.nii.gz")
    (folder / "images" / "a.json").write_text(
        '{"unit": "Bq/mL", "modality": "SPECT", "duration_s": 40.0}'
    )
    return folder


def asked(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, Any]:
    status = main(["hospital", *words, "--runs", str(folder.parent), "--json"])
    said = capsys.readouterr()
    sys.stderr.write(said.err)
    return status, json.loads(said.out.splitlines()[-1]) if said.out else said.err


def test_from_the_worklist_to_the_archive_nothing_is_typed_twice(
    archive: Archive, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, run_folder, "echo")[0] == 0
    status, found = asked(
        capsys, run_folder, "worklist", "pacs", "--accession", "ACC42", "--take", "1",
        "--into", "spect",
    )  # fmt: skip
    assert (status, len(found["items"])) == (0, 1)
    identity, study = read_identity(run_folder), read_study(run_folder)
    assert identity is not None and study is not None
    assert (identity.name, identity.birth_date) == ("Yamada^Tarou", "1970-01-31")
    assert (study.weight_kg, study.height_cm) == (61.5, 172.0)
    status, sent = asked(capsys, run_folder, "send", "spect", "--image", "a", "--to", "pacs")
    assert (status, sent["left"], sent["states"]) == (0, 0, {"done": 1})
    (there,) = archive.stored
    assert (there.PatientID, there.AccessionNumber) == ("P-77", "ACC42")
    assert there.StudyInstanceUID == "1.2.3.4.5"
    # nobody is named to the other peer, and its study is the run's own
    assert asked(capsys, run_folder, "send", "spect", "--image", "a", "--to", "teaching")[0] == 0
    other = archive.stored[-1]
    assert (other.PatientID, other.PatientName) == ("spect", "RESEARCH^TOMOSHIBI")
    assert other.StudyInstanceUID != "1.2.3.4.5"


def test_another_patient_is_not_written_over(
    archive: Archive, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder / "identity.json").write_text('{"patient_id": "P-1", "version": 1}')
    words = ("worklist", "pacs", "--take", "1", "--into", "spect")
    status, said = asked(capsys, run_folder, *words)
    assert status == 1 and "another patient_id" in said
    assert "Yamada" not in said and "P-77" not in said


def object_file(folder: Path, uid: str = "1.2.3.9") -> Path:
    path = folder / "one.dcm"
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = NM, uid
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = NM
    made.file_meta.MediaStorageSOPInstanceUID = uid
    made.save_as(path, enforce_file_format=True)
    return path


NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)


def test_what_is_refused_at_first_is_tried_again_and_is_there_once(
    archive: Archive, tmp_path: Path
) -> None:
    hospital, outbox = read_hospital(), Outbox(tmp_path / "out")
    assert hospital is not None
    archive.refuse = 1
    assert outbox.add(object_file(tmp_path), "teaching", "r")
    said: list[str] = []
    assert deliver(outbox, hospital, Committed(), say=said.append, now=lambda: NOW) == 1
    assert "refuses the object with 0xa700" in said[0]
    soon, later = NOW + dt.timedelta(seconds=5), NOW + dt.timedelta(seconds=11)
    assert deliver(outbox, hospital, Committed(), say=said.append, now=lambda: soon) == 1
    assert not archive.stored  # it was not due
    again = Outbox(tmp_path / "out")  # another process, after a power loss
    assert not again.add(object_file(tmp_path), "teaching", "r")
    assert deliver(again, hospital, Committed(), say=said.append, now=lambda: later) == 0
    assert [str(one.SOPInstanceUID) for one in archive.stored] == ["1.2.3.9"]
    assert again.forget_done() == 1 and again.parcels() == []


def test_what_a_peer_does_not_commit_to_is_stored_again(tmp_path: Path) -> None:
    outbox, said = Outbox(tmp_path / "out"), list[str]()
    outbox.add(object_file(tmp_path), "pacs", "r")
    (parcel,) = outbox.parcels()
    outbox.keep(type(parcel)(parcel.uid, "pacs", Progress(state="stored", next_at="2999-01-01")))
    heard = Committed(refused={parcel.uid: 0x112})
    assert deliver(outbox, Hospital(), heard, say=said.append, now=lambda: NOW) == 1
    (parcel,) = outbox.parcels()
    assert parcel.progress.state == "waiting" and "0x0112" in parcel.progress.why


def test_an_unreachable_peer_and_a_lost_state_lose_nothing(tmp_path: Path) -> None:
    outbox, said = Outbox(tmp_path / "out"), list[str]()
    outbox.add(object_file(tmp_path), "pacs", "r")
    (tmp_path / "out" / "1.2.3.9@pacs.json").write_bytes(b"{torn")
    hospital = Hospital(peers={"pacs": Peer(ae_title="X", host="127.0.0.1", port=free_port())})
    assert deliver(outbox, hospital, Committed(), say=said.append, now=lambda: NOW) == 1
    assert "cannot be reached" in said[0]
    (parcel,) = outbox.parcels()
    assert parcel.progress.tries == 1 and not is_due(parcel.progress, NOW)
    waits = [Progress()]
    for _ in range(12):
        waits.append(put_off(waits[-1], "", NOW))
    assert waits[2].next_at == "2026-11-25T00:00:20+00:00"
    assert waits[-1].next_at == "2026-11-25T01:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 70000", "port"),
        ('[peers.pacs]\nae_title = "A"\nhost = "h"', "port"),
        ('[peers.pacs]\nae_title = "A_TITLE_OF_MORE_THAN_16"\nhost = "h"\nport = 1', "ae_title"),
        ('[peers."a b"]\nae_title = "A"\nhost = "h"\nport = 1', "small letters"),
        ("[peers.pacs\n", "hospital.toml"),
        ("spelt = 1", "spelt"),
    ],
)
def test_an_unsound_configuration_is_refused(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hospital.toml"
    path.write_text(text)
    monkeypatch.setenv("TOMOSHIBI_HOSPITAL", str(path))
    with pytest.raises(HospitalError, match=words):
        read_hospital()


# --- a real archive ---------------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.timeout(90)
def test_orthanc_has_the_same_pixels_and_commits_to_them(
    orthanc: Orthanc, run_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    configure(tmp_path, monkeypatch, orthanc.dicom, orthanc.ours, title="ORTHANC")
    (run_folder / "identity.json").write_text('{"patient_id": "P-1", "version": 1}')
    assert asked(capsys, run_folder, "echo", "pacs")[0] == 0
    status, sent = asked(capsys, run_folder, "send", "spect", "--image", "a", "--to", "pacs")
    assert (status, sent["states"]) == (0, {"done": 1})
    (instance,) = orthanc.ask("instances")
    (tmp_path / "back.dcm").write_bytes(orthanc.file(f"instances/{instance}/file"))
    (kept,) = (run_folder.parent / "hospital").glob("*@pacs.dcm")
    there, here = pydicom.dcmread(tmp_path / "back.dcm"), pydicom.dcmread(kept)
    assert there.PixelData == here.PixelData and there.PatientID == "P-1"
    assert there.SOPInstanceUID == here.SOPInstanceUID
