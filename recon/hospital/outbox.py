"""Objects on their way to peers: a folder that survives a power loss, and knows each object once.

An object is ``UID@PEER.dcm`` and beside it ``UID@PEER.json``, which says how far it is. The object
is written first, both whole (renamed when they are on the disk), so that after a power loss there
is an object with its state, or one whose state is *waiting*. The same object for the same peer is
kept once. Files are their owner's alone: they may name a patient.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Literal

import msgspec
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from hw.bounded_files import FileRefused, read_bytes
from hw.private_place import PlaceError, locked_folder, private_folder
from hw.whole_file import whole_file
from recon.hospital.peers import HospitalError

State = Literal["waiting", "stored", "done"]
"""Not there yet; there, not committed to; there for good."""

MOST_STATE_BYTES = 1 << 16
FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 3600.0
_NAME = re.compile(r"([0-9.]{1,64})@([a-z0-9_-]{1,32})")


class Progress(msgspec.Struct, kw_only=True):
    """How far an object is. Times are ISO 8601, UTC."""

    run: str = ""
    state: State = "waiting"
    tries: int = 0
    next_at: str = ""
    why: str = ""
    stored_at: str = ""
    done_at: str = ""


class Parcel(msgspec.Struct, frozen=True):
    """An object for a peer."""

    uid: str
    peer: str
    progress: Progress


class Outbox:
    """The folder; raises HospitalError where it cannot be used."""

    def __init__(self, folder: Path) -> None:
        try:
            self.folder = private_folder(folder)
        except (PlaceError, OSError) as error:
            raise HospitalError(f"{folder} cannot hold what is to be sent: {error}") from error

    def add(self, path: Path, peer: str, run: str) -> bool:
        """Take a DICOM file in for a peer; return False if it is there already."""
        dataset = _read(path)
        name = f"{dataset.SOPInstanceUID}@{peer}"
        if not _NAME.fullmatch(name):
            raise HospitalError(f"{path}: {dataset.SOPInstanceUID} is no SOP instance UID")
        with locked_folder(self.folder):
            if (self.folder / f"{name}.dcm").exists():
                return False
            with whole_file(self.folder / f"{name}.dcm", mode=0o600) as file:
                file.write(path.read_bytes())
            self.keep(Parcel(str(dataset.SOPInstanceUID), peer, Progress(run=run)))
        return True

    def parcels(self) -> list[Parcel]:
        """Return all objects in order of UID and peer; one without a sound state is waiting."""
        found = []
        for path in sorted(self.folder.glob("*@*.dcm")):
            name = _NAME.fullmatch(path.stem)
            if name is None:
                continue
            try:
                text = read_bytes(path.with_suffix(".json"), most_bytes=MOST_STATE_BYTES)
                progress = msgspec.json.decode(text, type=Progress)
            except (FileRefused, msgspec.MsgspecError, OSError, UnicodeDecodeError):
                progress = Progress()
            found.append(Parcel(name[1], name[2], progress))
        return found

    def dataset(self, parcel: Parcel) -> Dataset:
        """Return an object."""
        return _read(self.folder / f"{parcel.uid}@{parcel.peer}.dcm")

    def objects_of(self, run: str, peer: str) -> list[Dataset]:
        """Return what of a run went or goes to a peer, but for reports, which are no objects."""
        mine = [one for one in self.parcels() if (one.progress.run, one.peer) == (run, peer)]
        found = [self.dataset(one) for one in mine]
        return [one for one in found if "SeriesInstanceUID" in one]

    def keep(self, parcel: Parcel) -> None:
        """Write an object's state."""
        path = self.folder / f"{parcel.uid}@{parcel.peer}.json"
        with whole_file(path, mode=0o600) as file:
            file.write(msgspec.json.encode(parcel.progress))

    def forget_done(self) -> int:
        """Remove objects that are there for good; return how many."""
        done = [one for one in self.parcels() if one.progress.state == "done"]
        for one in done:
            for suffix in (".dcm", ".json"):  # an object without a state would be sent again
                (self.folder / f"{one.uid}@{one.peer}{suffix}").unlink(missing_ok=True)
        return len(done)


def put_off(progress: Progress, why: str, now: dt.datetime) -> Progress:
    """Return the state after a try that failed: the next after 10 s, twice as long each, to 1 h."""
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(progress.tries, 20))
    later = (now + dt.timedelta(seconds=wait_s)).isoformat()
    return msgspec.structs.replace(progress, tries=progress.tries + 1, next_at=later, why=why)


def is_due(progress: Progress, now: dt.datetime) -> bool:
    """Return whether an object is to be tried now."""
    if progress.state not in ("waiting", "stored"):
        return False
    try:
        return not progress.next_at or dt.datetime.fromisoformat(progress.next_at) <= now
    except (ValueError, TypeError):
        return True


def _read(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except (InvalidDicomError, OSError, KeyError, EOFError) as error:
        raise HospitalError(f"{path} is no DICOM object: {error}") from error
