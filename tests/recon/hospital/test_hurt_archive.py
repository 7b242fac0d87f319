"""An archive that is killed in the middle, and our own port with TLS."""

from __future__ import annotations

import datetime as dt
import gc
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid
from recon.exchange.images.dicom_pet import write_dicom_pet
from recon.hospital.association import Committed, listening
from recon.hospital.delivery import deliver
from recon.hospital.outbox import Outbox
from recon.hospital.peers import Hospital, HospitalError, Peer
from rigs.hospital.certificates import certificate
from rigs.hospital.orthanc import Orthanc, free_port

pynetdicom = pytest.importorskip(
    "pynetdicom", reason="pynetdicom is missing: ./tomoshibi setup hospital"
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.processes, pytest.mark.timeout(180),
]  # fmt: skip
PLANES, AT_LEAST = 40, 4
PUSH_MODEL = "1.2.840.10008.1.20.1"


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """pynetdicom leaves sockets whose TLS it refuses to the collector: here, not in other tests."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def filled(outbox: Outbox, folder: Path) -> dict[str, bytes]:
    """Put an image of many planes into an outbox; return the pixels of each object."""
    grid = ImageGrid((64, 64, PLANES), (4.0, 4.0, 4.0))
    image = np.random.default_rng(3).random(grid.shape).astype(np.float32)
    meta = {"run": "r", "hash": "1", "created": "2026-11-25T10:00:00Z", "unit": "Bq/mL"}
    made = {}
    for path in write_dicom_pet(folder / "image", image, grid, [FrameTime(0.0, 60.0)], meta):
        assert outbox.add(path, "pacs", "r")
        one = dcmread(path)
        made[str(one.SOPInstanceUID)] = one.PixelData
    return made


def there(orthanc: Orthanc) -> list[str]:
    """Return the UIDs of what an archive has."""
    return [orthanc.ask(f"instances/{one}")["MainDicomTags"]["SOPInstanceUID"]
            for one in orthanc.ask("instances")]  # fmt: skip


def test_killed_in_mid_transfer_nothing_is_lost_and_nothing_doubled(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    peer = Peer(ae_title="ORTHANC", host="127.0.0.1", port=orthanc.dicom)
    hospital, outbox = Hospital(peers={"pacs": peer}), Outbox(tmp_path / "out")
    pixels = filled(outbox, tmp_path)
    said: list[str] = []
    sender = threading.Thread(
        target=lambda: deliver(outbox, hospital, Committed(), say=said.append)
    )
    sender.start()
    until = time.monotonic() + 60
    while len(orthanc.ask("instances")) < AT_LEAST:
        assert time.monotonic() < until
    orthanc.kill()
    sender.join(120)
    states = {one.uid: one.progress.state for one in outbox.parcels()}
    done = {uid for uid, state in states.items() if state == "done"}
    assert AT_LEAST <= len(done) < PLANES, "killed too early or too late to show anything"
    assert set(states) == set(pixels) and "cannot be reached" in " ".join(said)
    orthanc.start()
    assert done <= set(there(orthanc))  # what it said it has it has
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    again = Outbox(tmp_path / "out")  # another process
    assert deliver(again, hospital, Committed(), say=said.append, now=lambda: later) == 0
    assert sorted(there(orthanc)) == sorted(pixels)
    assert int(orthanc.ask("statistics")["CountInstances"]) == PLANES
    for number, one in enumerate(orthanc.ask("instances")):
        path = tmp_path / f"back{number}.dcm"
        path.write_bytes(orthanc.file(f"instances/{one}/file"))
        back = dcmread(path)
        assert back.PixelData == pixels[str(back.SOPInstanceUID)]


def said_by_peer(port: int, context: ssl.SSLContext | None) -> bool:
    """Tell our port, as a peer, that an object is kept; return whether we listened."""
    entity = pynetdicom.AE(ae_title="PACS")
    entity.connection_timeout = entity.acse_timeout = 5
    entity.add_requested_context(PUSH_MODEL)
    role = pynetdicom.build_role(PUSH_MODEL, scp_role=True, scu_role=True)
    more: dict[str, Any] = {"tls_args": (context, "localhost")} if context else {}
    made = entity.associate("localhost", port, ext_neg=[role], **more)
    if not made.is_established:
        made.abort()
        return False
    report, item = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.20", "1.9"
    report.TransactionUID, report.ReferencedSOPSequence = "1.2.3", [item]
    made.send_n_event_report(report, 1, PUSH_MODEL, f"{PUSH_MODEL}.1")
    made.release()
    return True


def test_our_port_with_tls_hears_peers_that_show_a_certificate_and_nobody_else(
    tmp_path: Path,
) -> None:
    (theirs, their_key), (ours, our_key) = (certificate(tmp_path, n) for n in ("them", "us"))
    hospital = Hospital(port=free_port(), port_tls=True, ca=str(theirs), certificate=str(ours),
                        key=str(our_key))  # fmt: skip
    known = ssl.create_default_context(cafile=str(ours))
    known.load_cert_chain(theirs, their_key)
    nameless = ssl.create_default_context(cafile=str(ours))
    stranger = ssl.create_default_context(cafile=str(ours))
    stranger.load_cert_chain(*certificate(tmp_path, "stranger"))
    for context in (None, nameless, stranger):
        heard = Committed()
        with listening(hospital, heard):
            said_by_peer(hospital.port, context)
        assert not heard.kept
    heard = Committed()
    with listening(hospital, heard):
        assert said_by_peer(hospital.port, known)
    assert heard.kept == {"1.9"}


def test_tls_at_our_port_needs_certificate_and_authority(tmp_path: Path) -> None:
    hospital = Hospital(port=free_port(), port_tls=True)
    with (
        pytest.raises(HospitalError, match="needs ca, certificate and key"),
        listening(hospital, Committed()),
    ):
        pass
