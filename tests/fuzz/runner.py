"""Runs a target on damaged bytes: memory bounded, hangs ended, findings kept."""

from __future__ import annotations

import base64
import contextlib
import gc
import logging
import random
import resource
import signal
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.mutation import mutated
from fuzz.targets import Target
from hw.errors import TomoshibiError

HANG_S = 20.0
MORE_MEMORY = 3 << 30
"""Address space that decoding may take beside what the process has."""


class Hang(BaseException):
    """A decoder gave no answer in time."""


@dataclass
class Finding:
    """An input whose decoder failed in no words of ours."""

    target: str
    what: str
    where: str
    data: bytes
    times: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return it for a report; the input as base64."""
        shown = base64.b64encode(self.data).decode()
        return {"target": self.target, "what": self.what, "where": self.where,
                "times": self.times, "input": shown}  # fmt: skip


@dataclass
class Fuzzer:
    """Feeds one target; ``findings`` by where they come from."""

    name: str
    target: Target
    seed: int
    inputs: int = 0
    refused: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"{self.name} {self.seed}")
        self._corpus = self.target.corpus()

    def sound(self) -> None:
        """Decode the corpus itself, which no decoder may refuse."""
        for data in self._corpus:
            self.target.run(data)

    def feed(self, number: int) -> None:
        """Decode so many damaged inputs."""
        logging.disable()  # nibabel tells of each
        try:
            for _ in range(number):
                self.once(self._damaged())
        finally:
            logging.disable(logging.NOTSET)

    def _damaged(self) -> bytes:
        mend = self.target.mend
        if mend is None or self._rng.random() < 0.5:
            return mutated(self._rng, self._corpus)
        sound = self._rng.random() < 0.5
        data = self._rng.choice(self._corpus) if sound else mutated(self._rng, self._corpus)
        return mend(self._rng, data)

    def once(self, data: bytes) -> None:
        """Decode one input."""
        self.inputs += 1
        try:
            with hang_ends(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.target.run(data)
        except TomoshibiError:
            self.refused += 1
        except (Exception, Hang) as error:  # noqa: BLE001  (what is looked for)
            self._keep(error, data)

    def _keep(self, error: BaseException, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        foreign = ("/tests/", "site-packages", "/lib/python", "<frozen")
        ours = [f for f in frames if not any(word in f.filename for word in foreign)]
        last = ours[-1] if ours else frames[-1]
        where = f"{last.filename.rsplit('/', 2)[-1]}:{last.lineno} {type(error).__name__}"
        if where in self.findings:
            self.findings[where].times += 1
        else:
            words = f"{type(error).__name__}: {error}"[:300]
            self.findings[where] = Finding(self.name, words, where, data)


@contextlib.contextmanager
def hang_ends() -> Iterator[None]:
    """Raise Hang within it after ``HANG_S`` (in the main thread)."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no answer within {HANG_S:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def memory_bounded() -> Iterator[None]:
    """Within it, this process gets ``MORE_MEMORY`` of address space and no more."""
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
