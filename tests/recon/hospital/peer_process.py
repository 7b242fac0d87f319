"""A hospital's server made with pynetdicom, in a process of its own: steps (MPPS), objects, echo.

    python tests/recon/hospital/peer_process.py PORT JOURNAL [CA CERTIFICATE KEY]

Each message that it takes becomes a line of JSON in the journal. A step that is over takes no more
(0x0110, error A710). With certificates it speaks TLS, and asks for the other side's.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

import pynetdicom
from pydicom.dataset import Dataset

MPPS, NM = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.5.1.4.1.1.20"


class Peer:
    """Keeps steps by their UID."""

    def __init__(self, journal: Path) -> None:
        self._journal, self._steps = journal, dict[str, Dataset]()

    def _note(self, what: str, uid: str, content: Dataset) -> None:
        line = json.dumps({"what": what, "uid": uid, "content": content.to_json_dict()})
        with self._journal.open("a") as file:
            file.write(line + "\n")

    def create(self, event: Any) -> tuple[int, Dataset]:
        uid, content = str(event.request.AffectedSOPInstanceUID), event.attribute_list
        if uid in self._steps:
            return 0x0111, content
        self._steps[uid] = content
        self._note("create", uid, content)
        return 0, content

    def set(self, event: Any) -> tuple[Any, Dataset]:
        uid, content = str(event.request.RequestedSOPInstanceUID), event.modification_list
        if uid not in self._steps:
            return 0x0112, content
        if self._steps[uid].PerformedProcedureStepStatus != "IN PROGRESS":
            refused = Dataset()
            refused.Status, refused.ErrorID = 0x0110, 0xA710
            return refused, content
        self._steps[uid].update(content)
        self._note("set", uid, content)
        return 0, content

    def store(self, event: Any) -> int:
        content = event.dataset
        del content.PixelData
        self._note("store", str(content.SOPInstanceUID), content)
        return 0


def main() -> None:
    port, journal, *tls = sys.argv[1:]
    peer, evt = Peer(Path(journal)), pynetdicom.evt
    entity = pynetdicom.AE(ae_title="RIS")
    for context in (MPPS, NM, "1.2.840.10008.1.1"):
        entity.add_supported_context(context)
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls[0])
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(tls[1], tls[2])
    handlers = [(evt.EVT_N_CREATE, peer.create), (evt.EVT_N_SET, peer.set),
                (evt.EVT_C_STORE, peer.store), (evt.EVT_C_ECHO, lambda event: 0)]  # fmt: skip
    entity.start_server(("127.0.0.1", int(port)), block=False, evt_handlers=handlers,
                        ssl_context=context)  # fmt: skip
    threading.Event().wait(120)


if __name__ == "__main__":
    main()
