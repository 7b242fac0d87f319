"""The memory that a module shares with its detector and the host, as a file (``control.toml``).

Several processes may map one window at once: one produces hits, one takes frames out, any may read
or set the world page. Only one machine may run on it (``claim``). Both rings have one producer and
one consumer; on any processor, a count is published only after what it counts.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hw.arrays import U8
from hw.errors import TomoshibiError
from hw.wire.control import DEFINITION, RING, WINDOW, WORLD, WORLD_DEFAULTS
from hw.wire.protocol import HEADER_BYTES, MAX_EVENTS, WORD_BYTES

SKIP = 0xFFFFFFFF
"""Length of a frame record that says: go on at the ring's start."""
RECORD_BYTES = 8
_MAX_FRAME_BYTES = HEADER_BYTES + MAX_EVENTS * WORD_BYTES
_COUNTS = 0xFFFFFFFF
_SIGNED = frozenset(e["name"] for e in DEFINITION["world"] if "signed" in e["text"])


class WindowError(TomoshibiError, RuntimeError):
    """A window file cannot be used, or its contents are damaged."""


class World(MutableMapping[str, int]):
    """The world page by name: what tests and emulators set, and what the board shows."""

    def __init__(self, page: npt.NDArray[np.uint32]) -> None:
        self._page = page

    def __getitem__(self, name: str) -> int:
        value = int(self._page[WORLD[name] // 4])
        return value - (1 << 32) if name in _SIGNED and value >> 31 else value

    def __setitem__(self, name: str, value: int) -> None:
        self._page[WORLD[name] // 4] = value & _COUNTS

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"world page: {name!r} cannot be deleted, set it to its default")

    def __iter__(self) -> Iterator[str]:
        return iter(WORLD)

    def __len__(self) -> int:
        return len(WORLD)


class Window:
    """A mapped window.

    world : the world page
    path : its file, None for memory in a test
    """

    def __init__(self, memory: Any, path: Path | None = None) -> None:
        """Lay a window over ``memory``, a writable buffer of ``WINDOW["bytes"]`` bytes."""
        self.path = path
        self._memory = memory
        self._claim: int | None = None
        self._barrier = threading.Lock()
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
        self.world = World(self._part(WINDOW["world"], 4096, np.uint32))
        self._hits = self._part(WINDOW["hit_ring"], 4096, np.uint32)
        self._frames = self._part(WINDOW["frame_ring"], 4096, np.uint32)
        self._hit_words: U8 = self._part(WINDOW["hit_data"], 8 * WINDOW["hit_words"], np.uint64)
        self._frame_bytes = self._part(WINDOW["frame_data"], WINDOW["frame_bytes"], np.uint8)
        self._frame_lengths = self._frame_bytes.view(np.uint32)
        self._taken_to = 0

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new window file (16 MiB, sparse) with fair weather and erased memories."""
        with path.open("wb") as file:
            file.truncate(WINDOW["bytes"])
        window = cls(_map(path), path)
        window.set_up()
        return window

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map an existing window file.

        Raises
        ------
        WindowError : there is none, it has the wrong size, or it has not been set up
        """
        if not path.is_file():
            raise WindowError(f"window {path}: no such file; Window.create makes one")
        size = path.stat().st_size
        if size != WINDOW["bytes"]:
            raise WindowError(
                f"window {path}: {size} bytes, not {WINDOW['bytes']}: truncated or another file; "
                "remove it, and a new one is made"
            )
        window = cls(_map(path), path)
        magic = window.world["magic"]
        if magic != WORLD_DEFAULTS["magic"]:
            window.close()
            raise WindowError(
                f"window {path}: its world page begins with {magic:#010x}, not "
                f"{WORLD_DEFAULTS['magic']:#010x}: not set up or damaged; remove it"
            )
        return window

    def set_up(self) -> None:
        """Set fair weather, empty rings, erased non-volatile memory and slots."""
        for part in (self._hits, self._frames):
            part[:] = 0
        self.bytes[WINDOW["nv"] : WINDOW["nv"] + WINDOW["nv_bytes"]] = 0xFF
        for slot in ("slot_a", "slot_b"):
            self.bytes[WINDOW[slot] : WINDOW[slot] + 4096] = 0xFF
        self.world.update(WORLD_DEFAULTS)

    def claim(self) -> None:
        """Claim the window for a machine; released by ``close`` or when this process ends.

        Raises
        ------
        WindowError : another machine runs on it
        """
        if self.path is None or self._claim is not None:
            return
        claim = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(claim)
            raise WindowError(
                f"window {self.path}: another machine runs on it; stop that one first"
            ) from None
        self._claim = claim

    def release(self) -> None:
        """Release the window after ``claim``."""
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    # --- hits: the detector's side ---------------------------------------------------------

    def put(self, words: U8) -> int:
        """Queue event words for the module; return how many (the first ones) fitted."""
        head, size = int(self._hits[RING["head"] // 4]), WINDOW["hit_words"]
        count = min(words.size, self.hit_room)
        at = head % size
        first = min(count, size - at)
        self._hit_words[at : at + first] = words[:first]
        self._hit_words[: count - first] = words[first:count]
        self._publish(self._hits, "head", head + count)
        return count

    @property
    def hit_room(self) -> int:
        """Number of words that ``put`` has room for now."""
        return int(WINDOW["hit_words"]) - self.hits_waiting

    @property
    def hits_waiting(self) -> int:
        """Number of words that the module has not yet taken."""
        head, tail = self._hits[RING["head"] // 4], self._hits[RING["tail"] // 4]
        return (int(head) - int(tail)) & _COUNTS

    def count_lost(self, hits: int) -> None:
        """Count hits for which the detector had no room."""
        at = RING["lost"] // 4
        self._hits[at] = (int(self._hits[at]) + hits) & _COUNTS

    @property
    def hits_lost(self) -> int:
        """Total hits for which the detector had no room (wraps)."""
        return int(self._hits[RING["lost"] // 4])

    @property
    def hits_discarded(self) -> int:
        """Total words that the module threw away while it accepted none (wraps)."""
        return int(self._hits[RING["discarded"] // 4])

    @property
    def gate(self) -> int:
        """Tag of the run for which the module accepts hits, 0: it accepts none."""
        return int(self._hits[RING["gate"] // 4])

    # --- frames: the host's side -----------------------------------------------------------

    def take(self) -> list[bytes]:
        """Take all frames waiting in the ring.

        Raises
        ------
        WindowError : the ring is damaged; it was emptied
        """
        frames = [frame.tobytes() for frame in self.peek()]
        self.taken()
        return frames

    def peek(self) -> list[npt.NDArray[np.uint8]]:
        """Return views of all waiting frames; they are valid until ``taken``."""
        head, tail = (int(self._frames[RING[name] // 4]) for name in ("head", "tail"))
        with self._barrier:  # a memory barrier: the count was read before the data
            frames: list[npt.NDArray[np.uint8]] = []
        while tail != head:
            length = self._record(tail, (head - tail) & _COUNTS)
            at = tail % WINDOW["frame_bytes"]
            if length == SKIP:
                tail = (tail + WINDOW["frame_bytes"] - at) & _COUNTS
                continue
            frames.append(self._frame_bytes[at + RECORD_BYTES : at + RECORD_BYTES + length])
            tail = (tail + RECORD_BYTES + length) & _COUNTS
        self._taken_to = tail
        return frames

    def taken(self) -> None:
        """Return the space of all frames from ``peek`` to the module."""
        self._publish(self._frames, "tail", self._taken_to)

    @property
    def frame_bytes_waiting(self) -> int:
        """Bytes in the frame ring that the host has not yet taken."""
        head, tail = self._frames[RING["head"] // 4], self._frames[RING["tail"] // 4]
        return (int(head) - int(tail)) & _COUNTS

    def _record(self, tail: int, waiting: int) -> int:
        """Return the length at ``tail`` after checking that such a record fits there."""
        size = WINDOW["frame_bytes"]
        at = tail % size
        length = int(self._frame_lengths[at // 4]) if at % 8 == 0 else -1
        needed = size - at if length == SKIP else RECORD_BYTES + length
        fits = length == SKIP or (HEADER_BYTES <= length <= _MAX_FRAME_BYTES and length % 8 == 0)
        if not fits or needed > min(waiting, size - at):
            self._taken_to = (tail + waiting) & _COUNTS
            self.taken()
            raise WindowError(
                f"window {self.path}: frame ring is damaged at byte {at}: a record of {length} "
                f"bytes with {waiting} waiting; {waiting} bytes were thrown away"
            )
        return length

    # --- memory ----------------------------------------------------------------------------

    def close(self) -> None:
        """Release the mapping and the claim; the file stays."""
        self.release()
        empty = np.empty(0, np.uint32)
        self.bytes = self._frame_bytes = np.empty(0, np.uint8)
        self._hits = self._frames = self._frame_lengths = empty
        self._hit_words = np.empty(0, np.uint64)
        self.world = World(empty)
        self._memory = None

    def _part(self, offset: int, count: int, dtype: Any) -> npt.NDArray[Any]:
        return self.bytes[offset : offset + count].view(dtype)

    def _publish(self, ring: npt.NDArray[np.uint32], name: str, count: int) -> None:
        with self._barrier:  # a memory barrier: the data is seen before the count
            pass
        ring[RING[name] // 4] = count & _COUNTS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _map(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), WINDOW["bytes"], mmap.MAP_SHARED)
