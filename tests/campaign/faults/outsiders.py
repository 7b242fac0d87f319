"""Others at the daq's sockets: strangers, crowds, floods, clients that never read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from random import Random

import zmq

from campaign.block_file import FRAMES, read_blocks
from campaign.faults.kind import Inject, Kind
from campaign.scene import Scene
from daq.client.client import ClientError
from rigs.flooder import HEAVY, WHAT, Flooder


def _flood(what: str) -> Inject:
    @contextmanager
    def inject(scene: Scene, rng: Random) -> Iterator[None]:
        with Flooder(scene.endpoints, what):
            yield

    return inject


@contextmanager
def _junk_on_data(scene: Scene, rng: Random) -> Iterator[None]:
    """Data frames that are none, some with the right first bytes."""
    pushed: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
    pushed.setsockopt(zmq.LINGER, 0)
    pushed.connect(scene.endpoints.of("data"))
    with pushed:
        for number in range(200):
            with suppress(zmq.Again):
                head = b"TMSB\x01" if number % 2 else b""
                pushed.send(head + rng.randbytes(rng.randrange(200)), zmq.NOBLOCK)
        yield


@contextmanager
def _old_frames(scene: Scene, rng: Random) -> Iterator[None]:
    """The last frames that the log has, sent once more, by somebody else."""
    pushed: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
    pushed.setsockopt(zmq.LINGER, 1000)
    pushed.connect(scene.endpoints.of("data"))
    with pushed:
        for frame in _last_frames(scene, 10):
            with suppress(zmq.Again):
                pushed.send(frame, zmq.NOBLOCK)
        yield


def _last_frames(scene: Scene, n_blocks: int) -> list[bytes]:
    """Return the first frame of each of the raw log's last blocks."""
    blocks = [b for b in read_blocks(scene.run / "raw.tmraw").blocks if b.kind == FRAMES]
    lengths = [64 + 8 * int.from_bytes(b.payload[20:24], "little") for b in blocks]
    pairs = list(zip(blocks, lengths, strict=True))[-n_blocks:]
    return [block.payload[:length] for block, length in pairs]


@contextmanager
def _flood_of_repeats(scene: Scene, rng: Random) -> Iterator[None]:
    """The run's own last frames, as fast as the daq takes them, while it lasts."""
    over = threading.Event()
    frames = _last_frames(scene, 20)

    def flood() -> None:
        pushed: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        with pushed:
            pushed.setsockopt(zmq.LINGER, 0)
            pushed.connect(scene.endpoints.of("data"))
            while not over.is_set():
                for frame in frames:
                    with suppress(zmq.Again):
                        pushed.send(frame, zmq.NOBLOCK)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)


@contextmanager
def _subscriber_that_does_not_read(scene: Scene, rng: Random) -> Iterator[None]:
    with ExitStack() as stack:
        for plane in ("events", "telemetry"):
            one: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
            stack.enter_context(one)
            one.setsockopt(zmq.RCVHWM, 1)
            one.setsockopt(zmq.SUBSCRIBE, b"")
            one.connect(scene.endpoints.of(plane))
        yield


@contextmanager
def _crowd(scene: Scene, rng: Random) -> Iterator[None]:
    """Connections that say nothing."""
    with ExitStack() as stack:
        for plane in ("control", "source", "events"):
            for _ in range(60):
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.settimeout(1.0)
                with suppress(OSError):
                    one.connect(scene.endpoints.of(plane).removeprefix("ipc://"))
        yield


@contextmanager
def _raw_junk(scene: Scene, rng: Random) -> Iterator[None]:
    """Bytes that are no ZeroMQ."""
    with ExitStack() as stack:
        for plane in ("data", "control", "source", "reports"):
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            with suppress(OSError):
                one.settimeout(1.0)
                one.connect(scene.endpoints.of(plane).removeprefix("ipc://"))
                one.sendall(rng.randbytes(3000))
        yield


@contextmanager
def _refused_orders(scene: Scene, rng: Random) -> Iterator[None]:
    for name, arguments in (("arm", {}), ("start", {}), ("reset", {}), ("no such", {"a": 1})):
        with suppress(ClientError):
            scene.call(name, **arguments)
            raise AssertionError(f"{name} was not refused in mid-run")
    yield


@contextmanager
def _sockets_deleted(scene: Scene, rng: Random) -> Iterator[None]:
    """Who is connected stays connected; nobody new can come."""
    folder = scene.endpoints.folder
    kept = {path: path.with_suffix(".away") for path in folder.iterdir() if path.is_socket()}
    for path, away in kept.items():
        path.rename(away)
    try:
        yield
    finally:
        for path, away in kept.items():
            if away.exists():
                away.rename(path)


OUTSIDERS = (
    *(Kind(f"flood of {what}", _flood(what), lasts_s=(0.5, 1.5)) for what in (*WHAT, *HEAVY)),
    Kind("junk among the data", _junk_on_data),
    Kind("old frames sent again", _old_frames),
    Kind("flood of repeated frames", _flood_of_repeats, lasts_s=(0.5, 2.0)),
    Kind("subscriber that does not read", _subscriber_that_does_not_read),
    Kind("crowd of silent connections", _crowd),
    Kind("bytes that are no messages", _raw_junk),
    Kind("orders that must be refused", _refused_orders),
    Kind("sockets moved away, and back", _sockets_deleted),
)
