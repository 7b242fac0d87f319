"""Stands between the sources and the daq: what passes is noted, and frames can be spoilt.

The sources meet at an address of their own, whose sockets pass every byte on to the daq's. So the
checker knows, from neither of the two, which frames were handed on, what the sources reported, and
what the daq told them to be on the disk (`OnDisk`), which is what they act on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from campaign.block_file import Frame, frames_of
from campaign.zmtp import Piece, Stream, as_message

Spoil = Callable[[bytes], list[bytes]]
"""What becomes of a data frame on its way: the messages that are handed on in its place."""

Mark = tuple[int, int]
"""Number and period of a frame."""

NOTED = ("data", "source", "reports")
PASSED = ("modules", "control", "telemetry", "events")
_CHUNK = 1 << 16


@dataclass
class Passed:
    """What passed since the run began.

    frames : whole and of the version that the daq takes, in the order in which they were handed on
    marks : by module, what the daq told some source to be on the disk
    reports : the sources' last words
    """

    frames: list[tuple[int, Frame]] = field(default_factory=list)
    marks: dict[int, dict[int, set[Mark]]] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)

    def of(self, run_tag: int) -> tuple[list[Frame], dict[int, set[Mark]]]:
        """Return the frames and marks of a run."""
        return [f for tag, f in self.frames if tag == run_tag], self.marks.get(run_tag, {})


class Tap:
    """A place for sources: give them ``base`` as their endpoint."""

    def __init__(self, folder: Path, daq: Path) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self.base = f"ipc://{folder}"
        self.passed = Passed()
        self.spoil: Spoil | None = None
        self.holding = threading.Event()  # while set, no frame passes
        self._daq, self._lock = daq, threading.Lock()
        self._closing = threading.Event()
        self._open: dict[socket.socket, str] = {}
        self._threads: list[threading.Thread] = []
        self._listeners: list[socket.socket] = []
        for plane in PASSED:
            (folder / plane).symlink_to(daq / plane)
        for plane in NOTED:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(folder / plane))
            listener.listen(64)
            self._listeners.append(listener)
            self._start(self._serve, listener, plane)

    def forget(self) -> None:
        """Note from here on."""
        with self._lock:
            self.passed = Passed()

    def break_connections(self, plane: str = "data") -> None:
        """Cut every connection of a plane, wherever it is in a message; the sources come again."""
        with self._lock:
            ends = [end for end, of in self._open.items() if of == plane]
        _shut(ends)

    def _serve(self, listener: socket.socket, plane: str) -> None:
        while not self._closing.is_set():
            try:
                source, _ = listener.accept()
            except OSError:
                return
            daq = socket.socket(socket.AF_UNIX)
            try:
                daq.connect(str(self._daq / plane))
            except OSError:  # no daq is there: the source tries again
                daq.close()
                source.close()
                continue
            with self._lock:
                self._open |= {source: plane, daq: plane}
            self._start(self._join, source, daq, plane)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(threading.Thread(target=run, args=arguments, daemon=True))
            self._threads[-1].start()

    def _join(self, source: socket.socket, daq: socket.socket, plane: str) -> None:
        """Pass both ways until one side is gone, then close both."""
        note = self._hand_on if plane == "data" else self._note
        back = threading.Thread(target=self._pass, args=(daq, source, self._note), daemon=True)
        back.start()
        self._pass(source, daq, note)
        back.join()
        with self._lock:
            for end in (source, daq):
                del self._open[end]
                end.close()

    def _pass(
        self, here: socket.socket, there: socket.socket, take: Callable[[Piece], list[bytes]]
    ) -> None:
        stream = Stream()
        with contextlib.suppress(OSError):
            while data := here.recv(_CHUNK):
                for piece in stream.take(data):
                    for raw in take(piece):
                        there.sendall(raw)
        _shut([here, there])

    def _note(self, piece: Piece) -> list[bytes]:
        """Note the messages that matter; every other is none of ours."""
        if piece.payload and (b"OnDisk" in piece.payload or b"SourceReport" in piece.payload):
            with contextlib.suppress(msgspec.MsgspecError, KeyError):
                self._keep(msgspec.msgpack.decode(piece.payload))
        return [piece.raw]

    def _keep(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message["type"] == "SourceReport":
                self.passed.reports.append(message)
            elif message["type"] == "OnDisk":
                marks = self.passed.marks.setdefault(message["run_tag"], {})
                pairs = zip(message["sequences"], message["periods"], strict=True)
                for module, mark in enumerate(pairs):
                    if mark[0] >= 0:
                        marks.setdefault(module, set()).add(mark)

    def _hand_on(self, piece: Piece) -> list[bytes]:
        if piece.payload is None or len(piece.payload) < 64:
            return [piece.raw]
        while self.holding.is_set() and not self._closing.is_set():
            self._closing.wait(0.02)
        with self._lock:
            messages = self.spoil(piece.payload) if self.spoil else [piece.payload]
            for message in messages:
                tag = int.from_bytes(message[16:20], "little")
                self.passed.frames += [
                    (tag, frame)
                    for frame in frames_of(message)
                    if frame.sound and message[4] == 1 and len(message) == 64 + 8 * frame.words
                ]
        return [as_message(message) for message in messages]

    def close(self) -> None:
        """Close everything."""
        self._closing.set()
        _shut(self._listeners)
        with self._lock:
            _shut(list(self._open))
        for thread in list(self._threads):
            thread.join(5)
        for listener in self._listeners:
            listener.close()
        for plane in NOTED:
            (self._folder / plane).unlink(missing_ok=True)


def _shut(ends: list[socket.socket]) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
