"""Updating a module's firmware: sent, verified, started, and kept only if it answers.

The image is checked here before a byte is sent, by the module when it has all of it, and by its
boot program at each start. It gets two starts; unless it is then confirmed, the module returns to
the old one, so a firmware that cannot talk to this program never stays, unless that was requested.

All this uses only frozen commands (``hw/wire/control.toml``), so it works from any schema to any
other in a session opened with ``any_schema``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import crc32c
import numpy as np

from daq.link.serial.dictionary import board_name
from daq.link.serial.exchange import Reply, read_record
from daq.link.serial.line_errors import (
    CommandRefused,
    ImageRefused,
    NoAnswer,
    SerialLinkError,
    slot_name,
)
from daq.link.serial.session import ModuleSession
from hw.bounded_files import FileRefused, read_bytes
from hw.notices.catalogue import notice
from hw.wire.control import IMAGE, MAX_PAYLOAD, SCHEMA_CRC, STRUCTS, VERSION, State

_HEADER = STRUCTS["image"]
HEADER_BYTES = _HEADER.itemsize
PIECE_BYTES = (MAX_PAYLOAD - 4) // 32 * 32
_VERIFY_S = 2.0
RESTART_S = 10.0
Progress = Callable[[int, int], None]


def read_image(image: bytes | Path) -> tuple[np.void, bytes]:
    """Read and check an image; return its header and its bytes.

    Raises
    ------
    ImageRefused
        it is not an image, or is truncated, damaged or too long.
    """
    name = str(image) if isinstance(image, Path) else "the image"
    try:
        data = read_bytes(image) if isinstance(image, Path) else image
    except FileRefused as error:
        raise ImageRefused(f"{name}: cannot be read ({error})") from error
    if len(data) < HEADER_BYTES or int.from_bytes(data[:4], "little") != IMAGE["magic"]:
        raise ImageRefused(f"{name}: not a firmware image; `tomoshibi firmware build` makes one")
    header, body = read_record(_HEADER, data), data[HEADER_BYTES:]
    if crc32c.crc32c(data[: HEADER_BYTES - 4]) != int(header["header_crc"]):
        raise ImageRefused(f"{name}: its header is damaged; build it again")
    if len(body) != int(header["length"]):
        raise ImageRefused(
            f"{name}: {'truncated' if len(body) < int(header['length']) else 'too long'}: "
            f"{len(body)} bytes behind the header, {int(header['length'])} belong there; copy or "
            "build it anew"
        )
    if len(body) > IMAGE["max_bytes"]:
        raise ImageRefused(f"{name}: {len(body)} bytes, a slot holds {IMAGE['max_bytes']}")
    if crc32c.crc32c(body) != int(header["crc"]):
        raise ImageRefused(f"{name}: its bytes are damaged (CRC); copy or build it anew")
    return header, body


def update_firmware(
    session: ModuleSession,
    image: bytes | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    confirm: bool = True,
    restart_s: float = RESTART_S,
    any_schema: bool = False,
) -> np.void:
    """Write a firmware to a module's free slot, start and confirm it; return its identity.

    Parameters
    ----------
    session : with the module, connected
    image : the file, or its bytes
    progress : is told bytes done and all of them
    confirm : whether to confirm the new firmware; otherwise the module falls back at its next start
    restart_s : how long the module may take to start
    any_schema : accept an image of another schema, with which this program cannot work afterwards.
        It is confirmed because it answers with its build id; no more can be checked from here

    Raises
    ------
    ImageRefused
        by this program or the module, with the reason; or it did not start, or was rolled back.
    CommandRefused, NoAnswer, LinkLost
        the module's state forbids it, or the line failed; the old firmware goes on running.
    """
    header, body = read_image(image)
    _check_fits(session, header, any_schema=any_schema)
    _make_ready(session)
    transfer_image(session, header, body, progress=progress)
    starts = session.starts
    session.command("reset")
    identity = _wait_new_start(session, starts, header, restart_s)
    if confirm:
        session.command("update_confirm", timeout_s=_VERIFY_S)
        identity = session.refresh_identity()
    return identity


def transfer_image(
    session: ModuleSession, header: np.void, body: bytes, *, progress: Progress | None = None
) -> int:
    """Send an image and let the module verify it; return its slot.

    If this fails, the module is idle again.
    """
    fields = {name: int(header[name]) for name in header.dtype.names or ()}
    slot = _said_of_image(session, "update_begin", b"", **fields)["slot"]
    try:
        sent = 0
        while sent < len(body):
            piece = body[sent : sent + PIECE_BYTES]
            reply = _said_of_image(session, "update_data", piece, offset=sent)
            sent += len(piece)
            if reply["next"] != sent:
                raise ImageRefused(
                    f"{session.where}: has {reply['next']} bytes of the image, {sent} were sent"
                )
            if progress is not None:
                progress(sent, len(body))
        _said_of_image(session, "update_end")
    except BaseException:
        abort_update(session)
        raise
    session.connection.news.say(f"image in slot {slot_name(slot)} is verified")
    return slot


def abort_update(session: ModuleSession) -> None:
    """Make the module discard an incomplete image; harmless if there is none."""
    if not session.connected:
        return
    try:
        if session.refresh_identity()["state"] == State.updating:
            session.command("update_abort")
    except (CommandRefused, NoAnswer) as error:
        session.connection.news.tell(
            notice("module.update_not_aborted", module=session.where, why=error)
        )


def _check_fits(session: ModuleSession, header: np.void, *, any_schema: bool) -> None:
    board, own = int(header["board"]), int(session.identity["board"])
    if board != own:
        raise ImageRefused(
            f"{session.where} is a {board_name(own)}, the image is for {board_name(board)}: take "
            "the image that was built for this board"
        )
    if int(header["control_version"]) != VERSION:
        raise ImageRefused(
            f"{session.where} has control version {VERSION}, the image "
            f"{int(header['control_version'])}: no update goes from one to the other; it needs a "
            "new factory image, by a programmer"
        )
    if is_foreign(header) and not any_schema:
        raise ImageRefused(
            f"{session.where}: the image has schema {int(header['schema']):08x}, this program "
            f"{SCHEMA_CRC:08x}: after the update they could not speak; take the image of this "
            "release, or say --any-schema where another release shall go on with the module"
        )
    if is_foreign(header) and not session.connection.any_schema:
        raise SerialLinkError(
            f"{session.where}: for an image of another schema the session must be opened with "
            "any_schema"
        )


def is_foreign(record: np.void) -> bool:
    """Return whether an image's header, or an identity, has another schema than ours."""
    return int(record["schema"]) != SCHEMA_CRC


def _make_ready(session: ModuleSession) -> None:
    """Make a foreign module idle, as far as frozen commands can."""
    if not session.foreign:
        return
    state = session.refresh_identity()["state"]
    if state in (State.running, State.stopping):
        raise ImageRefused(
            f"{session.where} is in a run, which this program cannot end, as its firmware has "
            "another schema: end it with the program of that release, or switch its supply off "
            "and on"
        )
    if state in (State.fault, State.updating):
        session.reset()


def _said_of_image(session: ModuleSession, name: str, tail: bytes = b"", **fields: int) -> Reply:
    """Send a command of the transfer; raise ImageRefused if the module objects to the image."""
    about_image = {"bad_image", "wrong_board", "wrong_schema", "storage", "bad_value"}
    try:
        return session.command(name, tail, timeout_s=_VERIFY_S, **fields)
    except CommandRefused as error:
        if error.status.name in about_image:
            raise ImageRefused(str(error)) from error
        raise


def _wait_new_start(
    session: ModuleSession, starts: int, header: np.void, restart_s: float
) -> np.void:
    build, schema = int(header["build"]), int(header["schema"])
    try:
        identity = session.wait_restart(starts, within_s=restart_s)
    except NoAnswer as error:
        raise ImageRefused(
            f"{session.where}: nothing answers after the update; the module goes back to its old "
            f"firmware by itself after its watchdog's resets ({error})"
        ) from error
    if int(identity["build"]) != build:
        raise ImageRefused(
            f"{session.where}: runs build {int(identity['build']):08x} from slot "
            f"{slot_name(int(identity['slot']))}, not the new {build:08x}: it did not start or was "
            "rolled back; see the fault log"
        )
    if int(identity["schema"]) != schema:
        raise ImageRefused(
            f"{session.where}: the new firmware says schema {int(identity['schema']):08x}, its "
            f"image {schema:08x}: it is not confirmed and goes back at its third start; build it "
            "anew"
        )
    return identity


MOST_BYTES: int = IMAGE["max_bytes"] + STRUCTS["image"].itemsize


def check_image_file(path: Path) -> None:
    """Refuse what cannot be an image: a folder, a device, a missing file or one that is too long.

    Raises
    ------
    ImageRefused
        with the reason; ``read_image`` checks the content.
    """
    remedy = "give an image for updates (*.tmim), of `tomoshibi firmware build`"
    if not path.exists():
        raise ImageRefused(f"{path}: there is no such file; {remedy}")
    if not path.is_file():
        raise ImageRefused(f"{path}: a folder or device, not a file; {remedy}")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ImageRefused(f"{path}: {size} bytes, an image has {MOST_BYTES} at most; {remedy}")
