"""Disks that are full, slow, broken or read-only, and files that somebody takes away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EINTR, EIO, ENOSPC, EROFS
from pathlib import Path
from random import Random

from campaign.faults.kind import Inject, Kind
from campaign.scene import Scene


def shim(*, only: str = "", **numbers: int) -> Inject:
    @contextmanager
    def inject(scene: Scene, rng: Random) -> Iterator[None]:
        scene.shim.set(only=only, **numbers)
        try:
            yield
        finally:
            scene.shim.set()

    return inject


@contextmanager
def _full(scene: Scene, rng: Random) -> Iterator[None]:
    ballast = scene.runs / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(2**20))
            except OSError:
                break
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def _little_room(scene: Scene, rng: Random) -> Iterator[None]:
    """Below 16 MiB only the raw log is written."""
    ballast = scene.runs / "ballast"
    room = os.statvfs(scene.runs)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - 8 * 2**20)
    try:
        yield
    finally:
        ballast.unlink()


def _done_to(what: Callable[[Scene, Random], None]) -> Inject:
    @contextmanager
    def inject(scene: Scene, rng: Random) -> Iterator[None]:
        what(scene, rng)
        yield

    return inject


def _delete(name: str) -> Callable[[Scene, Random], None]:
    return lambda scene, rng: (scene.run / name).unlink(missing_ok=True)


def _delete_folder(scene: Scene, rng: Random) -> None:
    shutil.rmtree(scene.run, ignore_errors=True)


def _cut_list_mode(scene: Scene, rng: Random) -> None:
    os.truncate(scene.run / "listmode.tmlm", 100)


def _move_raw(scene: Scene, rng: Random) -> None:
    (scene.run / "raw.tmraw").replace(scene.run / "moved-raw.tmraw")


def _damage_calibration(scene: Scene, rng: Random) -> None:
    """The run's own copy, which says how its list-mode log was made."""
    path = scene.run / "calibration.npz"
    data, place = path.read_bytes(), rng.randrange(2000, 4000)
    path.chmod(0o600)
    path.write_bytes(data[:place] + rng.randbytes(100) + data[place + 100 :])


def _spoil_catalogue(scene: Scene, rng: Random) -> None:
    Path(scene.runs / "runs.sqlite").write_bytes(rng.randbytes(5000))


DISK = (
    Kind("disk full, and back", _full, lasts_s=(0.5, 3.0), needs="mount"),
    Kind("little room on the disk, and back", _little_room, lasts_s=(0.5, 3.0), needs="mount"),
    Kind("writes refused: no space", shim(write=ENOSPC), needs="gcc"),
    Kind("writes fail: I/O error", shim(write=EIO), ends_run=True, needs="gcc"),
    Kind("writes of the raw log fail", shim(write=EIO, only=".tmraw"), ends_run=True, needs="gcc"),
    Kind("writes of the list-mode log fail", shim(write=EIO, only=".tmlm"), needs="gcc"),
    Kind("writes of the journal fail", shim(write=EIO, only=".jsonl"), needs="gcc"),
    Kind("writes are interrupted", shim(write=EINTR), ends_run=True, needs="gcc"),
    Kind("writes are cut short", shim(most_bytes=50), needs="gcc"),
    Kind("slow disk", shim(write_us=30_000), needs="gcc"),
    Kind("very slow disk", shim(write_us=400_000), lasts_s=(2.0, 3.0), needs="gcc"),
    Kind("slow sync", shim(sync_us=2_000_000), lasts_s=(1.0, 3.0), needs="gcc"),
    Kind("sync fails: I/O error", shim(sync=EIO), lasts_s=(1.0, 2.0), needs="gcc"),
    Kind("read-only folder", shim(open=EROFS), lasts_s=(0.5, 2.0), needs="gcc"),
    Kind("raw log deleted", _done_to(_delete("raw.tmraw")), lasts_s=(1.0, 2.0)),
    Kind("raw log moved", _done_to(_move_raw), lasts_s=(1.0, 2.0)),
    Kind("list-mode log deleted", _done_to(_delete("listmode.tmlm")), lasts_s=(1.0, 2.0)),
    Kind("list-mode log cut", _done_to(_cut_list_mode), lasts_s=(1.0, 2.0)),
    Kind("journal deleted", _done_to(_delete("journal.jsonl")), lasts_s=(1.0, 2.0)),
    Kind("run.json deleted", _done_to(_delete("run.json")), lasts_s=(1.0, 2.0)),
    Kind("run's folder deleted", _done_to(_delete_folder), lasts_s=(1.0, 2.0)),
    Kind("calibration deleted", _done_to(_delete("calibration.npz"))),
    Kind("calibration damaged", _done_to(_damage_calibration)),
    Kind("catalogue spoilt", _done_to(_spoil_catalogue)),
)
