"""Targets of what lies beside the logs, of the event stream and of a machine's own settings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from coincidence.events import COINCIDENCE
from daq.cli.acceptance.asked_runs import runs_of_file
from daq.cli.appliance import settings as appliance
from daq.cli.appliance.places import Places
from daq.client.event_reader import EventReader
from daq.folder.refused_log import REFUSED, RefusedFrames, RefusedReader
from daq.path.frame_check import Refused, Verdict
from emulator.library.event_library import DEPOSIT, read_library
from fuzz import corpus
from fuzz.targets import BENCH2, SCRATCH, Target, _npz, blocks, of_file
from hw.messages.codec import encode
from hw.messages.endpoints import Endpoints
from hw.messages.keys import KeyRing
from hw.messages.telemetry import EventBatch
from recon.core.noise_file import read_parts
from recon.offline.run_reader import _statistics

STANDARD = "nu2"
SHAPE = (3, 2, 4)


def arrays(**held: Any) -> list[bytes]:
    """Return an npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **held)
    return [buffer.getvalue()]


def refused_log() -> list[bytes]:
    """Return a log of frames that were refused."""
    path = Path(SCRATCH.name) / "made.tmraw"
    path.unlink(missing_ok=True)
    frames = corpus.frames()
    log = RefusedFrames(path, {"run": "r"})
    some = [Refused(frame, Verdict.OUT_OF_STEP, n, n) for n, frame in enumerate(frames[:3])]
    log.keep(some, 7)
    log.close()
    assert REFUSED.itemsize and log.kept == 3
    return [path.read_bytes()]


def noise() -> list[bytes]:
    """Return the parts of an image."""
    levels = np.arange(2 * 24, dtype=np.int16).reshape(2, *SHAPE)
    return arrays(frame_0=levels, scale_0=np.float64(0.1), fraction_0=np.float64(0.5))


def library() -> list[bytes]:
    """Return two decays of one nuclide."""
    return arrays(
        key=np.array("k"),
        deposits=np.zeros(3, DEPOSIT),
        start=np.array([0, 1, 3], np.uint32),
        first=np.array([0, 2], np.int64),
        emulated=np.array([9], np.int64),
    )


def read_decays(path: Path) -> None:
    """Read a library, and all that the emulation looks up in it."""
    found = read_library(path, "k", named=True)
    assert found is not None
    np.diff(found.start)
    for nuclide, begin in enumerate(found.first[:-1]):
        for decay in range(int(begin), int(found.first[nuclide + 1])):
            found.deposits[found.start[decay] : found.start[decay + 1]]["crystal"].astype(np.int64)
    assert np.isfinite(found.detected_fraction).all()


def ring(path: Path) -> None:
    """Look up a key in a folder of keys."""
    path.chmod(0o600)
    ring_of = KeyRing(path.parent)
    assert ring_of.for_others is not None
    ring_of.known("x" * 40)


def pair(path: Path) -> None:
    """Read a system's own pair of keys, beside a client's."""
    for name in (path, path.with_name("own.json")):
        name.touch()
        name.chmod(0o600)
    KeyRing(path.parent).pair()


def service(path: Path) -> None:
    """Read how a service was set up."""
    appliance.kept(Places(path.parents[2]))


def asked(path: Path) -> None:
    """Read what runs an acceptance test was given."""
    runs = path.parent / "runs"
    (runs / "monday").mkdir(parents=True, exist_ok=True)
    (runs / "monday" / "run.json").write_bytes(corpus.kept("run.json")[0])
    runs_of_file(STANDARD, path, runs)


READERS: list[EventReader] = []


def batches() -> list[bytes]:
    """Return a message of the event stream: the length of its head, the head, the records."""
    records = np.zeros(3, COINCIDENCE)
    found = []
    for number, final in enumerate((False, True)):
        head = encode(
            EventBatch(
                run="r", kind="prompts", sequence=number, records=3, before=3 * number,
                watermark_ps=9, final=final,
            )
        )  # fmt: skip
        found.append(len(head).to_bytes(2, "little") + head + records.tobytes())
    return found


def batch(data: bytes) -> None:
    """Take a message as a subscriber does, into its tally."""
    if not READERS:
        READERS.append(EventReader(Endpoints(f"ipc://{SCRATCH.name}/nobody"), "prompts"))
    length = int.from_bytes(data[:2], "little")
    READERS[0].take([b"prompts", data[2 : 2 + length], data[2 + length :]])


SIDE_FILES: dict[str, Target] = {
    "randoms npz": Target(
        lambda: corpus.kept("randoms.npz"),
        of_file("rd/randoms.npz", lambda path: _statistics(path.parent, BENCH2)),
        300,
        mend=_npz,
    ),
    "refused log": Target(
        refused_log, of_file("f.tmraw", lambda path: list(RefusedReader(path))), 300, mend=blocks
    ),
    "noise npz": Target(
        noise,
        of_file("i.noise.npz", lambda path: read_parts(path.with_name("i.nii.gz"), SHAPE)),
        300,
        mend=_npz,
    ),
    "event library": Target(library, of_file("lib.npz", read_decays), 200, mend=_npz),
    "clients' keys": Target(
        lambda: [
            b'{"clients": [{"name": "x", "role": "observe", "public": "%s", "made": "2026-11-24", '
            b'"revoked": ""}], "version": 1}' % (b"a" * 40)
        ],
        of_file("kc/clients.json", ring),
        500,
    ),
    "system's keys": Target(
        lambda: [b'{"public": "%s", "secret": "%s"}' % (b"a" * 40, b"b" * 40)],
        of_file("ks/system.json", pair),
        300,
    ),
    "asked runs": Target(
        lambda: [
            b'[[run]]\nparts = ["sensitivity"]\nrun = "monday"\nnuclide = "F-18"\nx_mm = 5.3\n'
        ],
        of_file("a/asked.toml", asked),
        200,
    ),
    "service settings": Target(
        lambda: [
            b'{"user": "tomoshibi", "acquire": ["--preset", "bench2"], "source": ["emulate"]}',
            b'{"user": "t", "with_imager": true, "runs": "/srv/runs", "usb": ["0403:6001"]}',
        ],
        of_file("sv/etc/tomoshibi/service.json", service),
        300,
    ),
    "event batch": Target(batches, batch, 700),
}
