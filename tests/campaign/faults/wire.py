"""Frames that are spoilt between a source and the daq, by nobody that either of them knows of."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from campaign.faults.kind import Inject, Kind
from campaign.scene import Scene

SHARE = 0.2
"""Of the frames that pass."""

OLD_PERIODS = 70
"""Further back than the daq waits for a frame that is late (64 periods)."""

Step = Callable[[bytes, Random], list[bytes]]


def _spoiled(make: Callable[[], Step]) -> Inject:
    """Every frame goes through a step, which may keep a state of its own."""

    @contextmanager
    def inject(scene: Scene, rng: Random) -> Iterator[None]:
        step, own = make(), Random(rng.random())  # the tap's threads must not draw from the rng
        scene.tap.spoil = lambda frame: step(frame, own)
        try:
            yield
        finally:
            scene.tap.spoil = None

    return inject


def _corrupt() -> Step:
    def step(frame: bytes, rng: Random) -> list[bytes]:
        if rng.random() > SHARE:
            return [frame]
        at = rng.randrange(len(frame))
        return [frame[:at] + bytes([frame[at] ^ 1 << rng.randrange(8)]) + frame[at + 1 :]]

    return step


def _cut() -> Step:
    def step(frame: bytes, rng: Random) -> list[bytes]:
        return [frame if rng.random() > SHARE else frame[: rng.randrange(64, len(frame) + 1)]]

    return step


def _drop() -> Step:
    return lambda frame, rng: [frame] if rng.random() > SHARE else []


def _repeat() -> Step:
    return lambda frame, rng: [frame] * (1 if rng.random() > SHARE else rng.randrange(2, 6))


def _reorder() -> Step:
    held: list[bytes] = []

    def step(frame: bytes, rng: Random) -> list[bytes]:
        """A frame waits for the next one of any module; what is held at the end is lost."""
        if not held and rng.random() < SHARE:
            held.append(frame)
            return []
        passing = [frame, *held]
        held.clear()
        return passing

    return step


def _old() -> Step:
    passed: deque[bytes] = deque(maxlen=4 * OLD_PERIODS)

    def step(frame: bytes, rng: Random) -> list[bytes]:
        passed.append(frame)
        return [frame, passed[0]] if rng.random() < SHARE else [frame]

    return step


@contextmanager
def _held(scene: Scene, rng: Random) -> Iterator[None]:
    """Nothing passes; then all that has gathered."""
    scene.tap.holding.set()
    try:
        yield
    finally:
        scene.tap.holding.clear()


@contextmanager
def _broken(scene: Scene, rng: Random) -> Iterator[None]:
    """What is on its way is gone, and no daq was restarted that could ask for it again."""
    scene.tap.break_connections(rng.choice(("data", "source")))
    yield


WIRE = (
    Kind("wire flips bits of frames", _spoiled(_corrupt)),
    Kind("wire cuts frames short", _spoiled(_cut)),
    Kind("wire loses frames", _spoiled(_drop)),
    Kind("wire repeats frames", _spoiled(_repeat)),
    Kind("wire swaps frames", _spoiled(_reorder)),
    Kind("wire brings old frames again", _spoiled(_old), lasts_s=(0.8, 1.6)),
    Kind("wire holds all frames", _held, lasts_s=(0.5, 3.0)),
    Kind("connections break", _broken),
)
