"""Which kind a process's resident memory is: its main heap, arenas of threads, maps, files."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

_ARENA_BYTES = 64 * 2**20
"""glibc reserves an arena of a thread as one block of this size, on a multiple of it (HEAP_MAX)."""

_HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+\s*(.*)$")


def by_kind(pid: int) -> dict[str, float]:
    """Return resident MiB by kind, from the kernel's list of a process's maps. Raises OSError."""
    text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace")
    found: dict[str, float] = defaultdict(float)
    kind, arena_until = "", 0
    for line in text.splitlines():
        if head := _HEAD.match(line):
            start, end, name = int(head[1], 16), int(head[2], 16), head[3]
            if not name and start % _ARENA_BYTES == 0 and end - start <= _ARENA_BYTES:
                arena_until = start + _ARENA_BYTES
            kind = _kind(name, in_arena=end <= arena_until)
        elif line.startswith("Rss:"):
            found[kind] += int(line.split()[1]) / 1024
    return dict(found)


def _kind(name: str, *, in_arena: bool) -> str:
    if name == "[heap]":
        return "heap"
    if not name:
        return "arenas" if in_arena else "maps"
    return "shared" if name.startswith(("/dev/shm", "/memfd:", "/SYSV")) else "files"
