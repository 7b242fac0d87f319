"""Tier 3: the linked ARM program: no floating point, no C library, a stack that cannot overflow."""

from __future__ import annotations

import re
import subprocess

import pytest

from hw.machines.image_figures import (
    CROSS,
    Function,
    StackUnbounded,
    disassembly,
    image_figures,
    stack_bound,
)
from hw.wire.control import IMAGE
from rigs.firmware.arm_modules import arm_image, needs_qemu
from rigs.firmware.source_graph import called, circle_in, unit_of

pytestmark = needs_qemu

FLOAT_INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\t(v[a-z0-9.]+|f[ls]dm[a-z]+)\t", re.MULTILINE)
FLOAT_CALL = re.compile(
    r"__aeabi_(?:[fd]\w+|(?:u?i|u?l)2[fd])|__\w*[sd]f\w*|\b(?:sqrt|pow|exp)f?\b"
)
OF_THE_COMPILER = {
    "__aeabi_uldivmod",
    "__aeabi_ldivmod",
    "__aeabi_ldiv0",
    "__aeabi_idiv0",
    "__udivmoddi4",
    "__divmoddi4",
}
"""Whole-number division of 64 bits, from libgcc; nothing else may come from outside."""
FROM_THE_LINKER_SCRIPT = re.compile(
    r"mps2_(is_factory|record_start|handler_stack_end|code_start|data_load|"
    r"(data|bss|stack|exec)_(start|end))"
)


def names_in(*paths):
    """Return everything that programs or objects define."""
    argv = [CROSS + "nm", "--defined-only", *map(str, paths)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return {row[2] for row in rows if len(row) == 3} - {"$t", "$d", "$a"}


def float_instructions(program):
    return FLOAT_INSTRUCTION.findall(disassembly(program))


@pytest.fixture(scope="module")
def with_floats(tmp_path_factory):
    """An object that does everything that the firmware must not."""
    folder = tmp_path_factory.mktemp("floats")
    source = folder / "floats.c"
    source.write_text("float twice(float x) { return x * 2.0f; }\nint cut(float x) { return x; }\n")
    for abi in ("soft", "hard"):
        fpu = ["-mfpu=fpv4-sp-d16"] if abi == "hard" else []
        argv = [CROSS + "gcc", "-mcpu=cortex-m4", "-mthumb", f"-mfloat-abi={abi}", *fpu, "-O2"]
        argv += ["-c", str(source), "-o", str(folder / f"{abi}.o")]
        subprocess.run(argv, check=True)
    return folder


def test_no_floating_point_instruction():
    assert float_instructions(arm_image().path) == []


def test_no_call_of_floating_point_software():
    assert not [name for name in names_in(arm_image().path) if FLOAT_CALL.fullmatch(name)]


def test_the_two_tests_above_would_find_floats(with_floats):
    assert float_instructions(with_floats / "hard.o")
    undefined = subprocess.run(
        [CROSS + "nm", "-u", str(with_floats / "soft.o")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert [name for name in undefined if FLOAT_CALL.fullmatch(name)]


@pytest.mark.parametrize("program", ["tomoshibi-mps2.elf", "tomoshibi-mps2-update.elf"])
def test_every_function_is_ours_or_the_compilers_division(program):
    folder = arm_image().folder
    foreign = names_in(folder / program) - names_in(*folder.rglob("*.o"))
    foreign = {name for name in foreign if not FROM_THE_LINKER_SCRIPT.fullmatch(name)}
    assert foreign <= OF_THE_COMPILER


def test_image_fits_its_slot_and_begins_with_its_vectors():
    image = arm_image()
    body = image.slot_image[32:]
    assert 4096 < len(body) <= IMAGE["max_bytes"]
    stack, entry = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4))
    assert 0x20000000 < stack <= 0x20200000
    assert 0x20200000 <= entry < 0x20200000 + len(body)
    assert entry & 1


def test_deepest_stack_leaves_half_of_it_free():
    figures = image_figures(arm_image())
    assert 0 < figures.stack <= figures.stack_size // 2
    assert 0 < figures.handler_stack <= figures.handler_stack_size // 2


def test_no_circle_of_calls_between_files():
    folder = arm_image().folder
    graph = called(((unit_of(o, folder), o) for o in folder.rglob("*.o")), nm=CROSS + "nm")
    assert "core/safety/faults" in graph["core/safety/bias"]
    assert circle_in(graph) == []


def test_recursion_has_no_bound():
    graph = {
        "a": Function(8, frozenset({"b"}), through_pointer=False),
        "b": Function(8, frozenset({"a"}), through_pointer=False),
    }
    with pytest.raises(StackUnbounded, match="a > b > a"):
        stack_bound(graph, "a", frozenset())


def test_call_through_a_pointer_counts_the_deepest_of_its_table():
    graph = {
        "top": Function(8, frozenset({"near"}), through_pointer=True),
        "near": Function(24, frozenset(), through_pointer=False),
        "far": Function(40, frozenset(), through_pointer=False),
    }
    assert stack_bound(graph, "top", frozenset({"far"})) == 48
    assert stack_bound(graph, "top", frozenset()) == 32
