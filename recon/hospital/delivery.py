"""Delivers what is in the outbox: stores, asks for commitment, and writes down what came of it.

An object is *done* once the peer has it, or, where its peer commits, once the peer has said that it
keeps it. Storing again what a peer has already is harmless: it is the same object by its UID.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import msgspec
from pydicom.dataset import Dataset

from recon.hospital.association import Committed, ask_commitment, report_step, store
from recon.hospital.outbox import Outbox, Parcel, Progress, is_due, put_off
from recon.hospital.peers import Hospital, HospitalError, Peer
from recon.hospital.performed_step import SOP_CLASS as PERFORMED_STEP
from recon.hospital.performed_step import step_uid

Said = Callable[[str], None]
COMMIT_AGAIN_S = 60.0


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def deliver(
    outbox: Outbox,
    hospital: Hospital,
    heard: Committed,
    *,
    say: Said,
    now: Callable[[], dt.datetime] = _now,
) -> int:
    """Try every object that is due, once; return how many are still on their way.

    Parameters
    ----------
    outbox : what is to go out
    hospital : who we are, and the peers
    heard : what peers have said of commitment
    say : is told in words what failed, and what is kept
    now : the time, UTC
    """
    note_answers(outbox, heard, say, now())
    for parcel in outbox.parcels():
        if not is_due(parcel.progress, now()):
            continue
        try:
            peer = hospital.peer(parcel.peer)
            progress = _sent(outbox, hospital, peer, parcel, heard, now())
        except HospitalError as error:
            progress = put_off(parcel.progress, str(error), now())
            say(f"{parcel.uid} to {parcel.peer}: {error}; again at {progress.next_at}")
        outbox.keep(Parcel(parcel.uid, parcel.peer, progress))
    note_answers(outbox, heard, say, now())
    return sum(one.progress.state in ("waiting", "stored") for one in outbox.parcels())


def _sent(
    outbox: Outbox, hospital: Hospital, peer: Peer, parcel: Parcel, heard: Committed,
    now: dt.datetime,
) -> Progress:  # fmt: skip
    dataset, progress = outbox.dataset(parcel), parcel.progress
    if dataset.SOPClassUID == PERFORMED_STEP:
        return _told(outbox, hospital, peer, parcel, dataset, now)
    if progress.state == "waiting":
        store(hospital, peer, dataset)
        state = "stored" if peer.commitment else "done"
        at = now.isoformat()
        progress = msgspec.structs.replace(
            progress, state=state, stored_at=at, why="", tries=0, next_at="",
            done_at="" if peer.commitment else at,
        )  # fmt: skip
        outbox.keep(Parcel(parcel.uid, parcel.peer, progress))
    if progress.state == "stored":
        ask_commitment(hospital, peer, [(dataset.SOPClassUID, parcel.uid)], heard)
        later = (now + dt.timedelta(seconds=COMMIT_AGAIN_S)).isoformat()
        progress = msgspec.structs.replace(progress, next_at=later, tries=progress.tries + 1)
    return progress


def _told(
    outbox: Outbox, hospital: Hospital, peer: Peer, parcel: Parcel, step: Dataset, now: dt.datetime
) -> Progress:
    """Report a step; its end only once the peer has been told of its beginning."""
    before = {(f"{step_uid(step)}.1", parcel.peer)} - {(parcel.uid, parcel.peer)}
    for one in outbox.parcels():
        if (one.uid, one.peer) in before and one.progress.state != "done":
            raise HospitalError("the peer has not been told yet that it began")
    report_step(hospital, peer, step)
    at = now.isoformat()
    return msgspec.structs.replace(
        parcel.progress, state="done", stored_at=at, done_at=at, why="", next_at=""
    )


def note_answers(outbox: Outbox, heard: Committed, say: Said, now: dt.datetime) -> None:
    """Write down what peers have said of commitment: kept, or, if not, to be stored again."""
    for parcel in outbox.parcels():
        if parcel.progress.state != "stored":
            continue
        if parcel.uid in heard.kept:
            progress = msgspec.structs.replace(
                parcel.progress, state="done", done_at=now.isoformat(), why=""
            )
            say(f"{parcel.uid}: {parcel.peer} keeps it")
        elif parcel.uid in heard.refused:
            why = f"{parcel.peer} does not commit to it ({heard.refused.pop(parcel.uid):#06x})"
            progress = put_off(msgspec.structs.replace(parcel.progress, state="waiting"), why, now)
            say(f"{parcel.uid}: {why}; stored again at {progress.next_at}")
        else:
            continue
        outbox.keep(Parcel(parcel.uid, parcel.peer, progress))
