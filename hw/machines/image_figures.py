"""What an ARM image needs: code, memory, and the deepest stack that its call graph allows.

Read from the linked program with binutils and from the compiler's ``-fstack-usage`` files. The
stack bound covers all paths through the call graph, taken or not; a call through a pointer is taken
to reach the function of its table that needs most.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hw.machines.build import Image

CROSS = "arm-none-eabi-"
EXCEPTION_BYTES = 36
"""What the processor pushes for an interrupt: eight words, and one to align."""
ENTRY = "mps2_start_program"
HANDLERS = ("mps2_on_tick", "mps2_on_serial_in", "mps2_on_serial_out")
LAST_HANDLERS = ("mps2_on_fault", "mps2_on_watchdog")
"""They interrupt the others, and each other."""
POINTER_CALLS = {"command_do": "do_*", "module_turn": "*_poll", "hal_boot_image": ""}
"""Names in the tables of those that call through pointers; hal_boot_image's jump never returns.
Whatever else comes to call through a pointer is taken to call any function that is stored."""

_FUNCTION = re.compile(r"^[0-9a-f]{8} <([^>]+)>:$")
_DIRECT = re.compile(r"\tb(?:l|lx|\.w|\.n|)\t[0-9a-f]+ <([^>+]+)>")
_POINTER = re.compile(r"\tbl?x\t(r\d+|ip)")
_PUSH = re.compile(r"\t(?:push|stmdb\tsp!,|stmfd\tsp!,)\s*\{([^}]*)\}")
_SUBTRACT = re.compile(r"\tsub(?:\.w|w)?\tsp, (?:sp, )?#(\d+)")


class StackUnbounded(RuntimeError):
    """The call graph has a cycle, so the stack has no bound."""


@dataclass(frozen=True)
class ImageFigures:
    """Sizes of an image in bytes.

    code : instructions and constants; data : initialised variables (also in the image)
    zeroed : variables that start as 0, without the stacks
    stack, stack_size : deepest path of the program, and the space for it
    handler_stack, handler_stack_size : the same for interrupt and fault handlers
    """

    code: int
    data: int
    zeroed: int
    stack: int
    stack_size: int
    handler_stack: int
    handler_stack_size: int

    @property
    def ram(self) -> int:
        """Total RAM while it runs."""
        return self.data + self.zeroed + self.stack_size + self.handler_stack_size


@dataclass(frozen=True)
class Function:
    """A function in the call graph: its frame in bytes, and the names of those it calls."""

    frame: int
    calls: frozenset[str]
    through_pointer: bool


def image_figures(image: Image) -> ImageFigures:
    """Measure a built ARM image."""
    sections = _sections(image.path)
    graph = _call_graph(image)
    stored = stored_functions(image.path)
    program = stack_bound(graph, ENTRY, stored)
    handlers = max(stack_bound(graph, name, stored) for name in HANDLERS if name in graph)
    last = sum(stack_bound(graph, name, stored) + EXCEPTION_BYTES for name in LAST_HANDLERS)
    return ImageFigures(
        code=sections[".text"] + sections.get(".ARM.exidx", 0),
        data=sections.get(".data", 0),
        zeroed=sections.get(".bss", 0),
        stack=program + EXCEPTION_BYTES,
        stack_size=sections[".stack"],
        handler_stack=handlers + last,
        handler_stack_size=sections[".handler_stack"],
    )


def stack_bound(graph: Mapping[str, Function], entry: str, stored: frozenset[str]) -> int:
    """Return the stack bytes of the deepest path from ``entry``.

    Raises
    ------
    StackUnbounded : a function can end up calling itself
    """
    known: dict[str, int] = {}

    def deepest(name: str, path: tuple[str, ...]) -> int:
        if name in known:
            return known[name]
        if name in path:
            raise StackUnbounded(f"call graph: {' > '.join((*path, name))} is a cycle")
        function = graph[name]
        callees = function.calls | (_in_table(name, stored) if function.through_pointer else set())
        below = [deepest(callee, (*path, name)) for callee in sorted(callees) if callee in graph]
        known[name] = function.frame + max(below, default=0)
        return known[name]

    return deepest(entry, ())


def _in_table(caller: str, stored: frozenset[str]) -> set[str]:
    return set(fnmatch.filter(stored, POINTER_CALLS.get(caller, "*")))


def stored_functions(program: Path) -> frozenset[str]:
    """Return the functions whose addresses are in constants or variables, except in vectors."""
    addresses = {address: name for name, address in _function_addresses(program).items()}
    words = _run("objdump", "-s", "-j", ".text", "-j", ".data", str(program))
    found = set()
    for line in words.splitlines():
        for word in line[1:45].split()[1:5] if re.match(r"^ [0-9a-f]{4,8} ", line) else ():
            if len(word) == 8:
                value = int.from_bytes(bytes.fromhex(word), "little")
                found.add(addresses.get(value & ~1, "") if value & 1 else "")
    return frozenset(found - {"", "main", "mps2_on_reset", *HANDLERS, *LAST_HANDLERS})


def disassembly(program: Path) -> str:
    """Return the program's disassembly as text."""
    return _run("objdump", "-d", "--no-show-raw-insn", str(program))


def _function_addresses(program: Path) -> dict[str, int]:
    found = {}
    for line in _run("nm", str(program)).splitlines():
        value, kind, name = line.rsplit(maxsplit=2)
        if kind in "tTW" and not name.startswith("$"):
            found[name] = int(value, 16) & ~1
    return found


def _call_graph(image: Image) -> dict[str, Function]:
    declared = _declared_frames(image.folder)
    graph: dict[str, Function] = {}
    for block in disassembly(image.path).split("\n\n"):
        lines = [line for line in block.splitlines() if line]
        named = [m[1] for line in lines if (m := _FUNCTION.match(line))]
        if not named:
            continue
        name, body = named[0], "\n".join(lines)
        calls = frozenset(callee for callee in _DIRECT.findall(body) if callee != name)
        own = frozenset({name} if f"bl\t{name}" in body else ())
        frame = declared.get(name.split(".")[0], _frame_of(body))
        graph[name] = Function(frame, calls | own, bool(_POINTER.search(body)))
    return graph


def _declared_frames(folder: Path) -> dict[str, int]:
    """Return the frames that the compiler reported; the largest if a name occurs twice."""
    frames: dict[str, int] = {}
    for path in folder.rglob("*.su"):
        for line in path.read_text(encoding="utf-8").splitlines():
            place, size, _ = line.split("\t")
            name = place.rsplit(":", 1)[1].split(".")[0]
            frames[name] = max(frames.get(name, 0), int(size))
    return frames


def _frame_of(body: str) -> int:
    """Return a frame as derived from instructions: for libgcc, which has no reports."""
    pushed = sum(4 * _registers(names) for names in _PUSH.findall(body))
    return pushed + sum(int(count) for count in _SUBTRACT.findall(body))


def _registers(names: str) -> int:
    count = 0
    for part in names.split(","):
        first, _, last = part.strip().partition("-")
        count += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return count


def _sections(program: Path) -> dict[str, int]:
    rows = (line.split() for line in _run("size", "-A", str(program)).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}


def _run(tool: str, *arguments: str) -> str:
    return subprocess.run(
        [CROSS + tool, *arguments], capture_output=True, text=True, check=True, timeout=30
    ).stdout
