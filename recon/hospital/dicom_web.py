"""DICOMweb (PS3.18): objects to an archive by STOW-RS, one by one, in a bounded time."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from hw.bounded_files import FileRefused, json_in
from recon.hospital.peers import Hospital, HospitalError, Peer
from recon.hospital.tls import to_peers

TIMEOUT_S = 30.0
MOST_ANSWER_BYTES = 1 << 20
DUPLICATE = 0x0111
REFUSED, REASON, STORED = "00081198", "00081197", "00081199"
"""Failed SOP Sequence, Failure Reason, Referenced SOP Sequence, as DICOM's JSON names them."""


def reach(hospital: Hospital, peer: Peer) -> None:
    """Ask whether the service answers: for one study; raises HospitalError if not."""
    _answer(hospital, peer, _request(peer, "/studies?limit=1", None, {}))


def stow(hospital: Hospital, peer: Peer, dataset: Dataset) -> None:
    """Store an object; returns once the service has said that it has it."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    mark = uuid.uuid4().hex
    head = f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = head + buffer.getvalue() + f"\r\n--{mark}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={mark}'
    said = _answer(hospital, peer, _request(peer, "/studies", body, {"Content-Type": kind}))
    _judge(said, peer, str(dataset.SOPInstanceUID))


def _judge(said: bytes, peer: Peer, uid: str) -> None:
    """Raise HospitalError unless the answer names our object among those that it has."""
    try:
        found: dict[str, Any] = json_in(said)
        failed = found.get(REFUSED, {}).get("Value", [])
        kept = [one["00081155"]["Value"][0] for one in found.get(STORED, {}).get("Value", [])]
        reasons = [int(one[REASON]["Value"][0]) for one in failed]
    except (FileRefused, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise HospitalError(f"{peer.words} answers what is no DICOM JSON") from error
    if uid in kept or reasons == [DUPLICATE]:
        return
    why = f"with {reasons[0]:#06x}" if reasons else "and does not say that it has it"
    raise HospitalError(f"{peer.words} refuses the object {why}")


def _request(
    peer: Peer, place: str, body: bytes | None, more: dict[str, str]
) -> urllib.request.Request:
    headers = {"Accept": "application/dicom+json", **more}
    if peer.authorization:
        try:
            headers["Authorization"] = Path(peer.authorization).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise HospitalError(f"{peer.authorization} of hospital.toml: {error}") from error
    return urllib.request.Request(peer.url.rstrip("/") + place, body, headers)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Patients' data go where hospital.toml says, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _answer(hospital: Hospital, peer: Peer, request: urllib.request.Request) -> bytes:
    secure = urllib.request.HTTPSHandler(context=to_peers(hospital))
    opener = urllib.request.build_opener(secure, _NoRedirect(), urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read(MOST_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(MOST_ANSWER_BYTES)
        if error.code == 409:  # some objects failed: the answer says which and why
            return said
        raise HospitalError(f"{peer.words} answers {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise HospitalError(f"{peer.words} cannot be reached: {error}") from error
