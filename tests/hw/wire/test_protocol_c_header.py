"""The generated C header: clean under strict compilers, and of one mind with Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from hw.wire import protocol

ROOT = Path(__file__).resolve().parents[3]
HEADER = ROOT / "hw" / "firmware" / "include" / "tomoshibi_protocol.h"
ECHO = Path(__file__).with_name("protocol_echo.c")
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow")

pytestmark = pytest.mark.skipif(
    COMPILER is None, reason="no C compiler: apt-get install gcc libc6-dev"
)


def compile_c(source: Path, *options: str, output: Path) -> subprocess.CompletedProcess[str]:
    """Compile with every warning an error."""
    command = [str(COMPILER), *STRICT, *options, f"-I{HEADER.parent}", "-o", str(output)]
    return subprocess.run(
        [*command, str(source)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Lines that the C program prints about the sound golden frames."""
    program = tmp_path_factory.mktemp("echo") / "protocol_echo"
    built = compile_c(ECHO, "-std=c99", output=program)
    assert built.returncode == 0, built.stderr
    frames = sound_frames()
    ran = subprocess.run(
        [program, *(str(frame["length"]) for frame in frames)],
        input=b"".join(golden_bytes()[f["offset"] : f["offset"] + f["length"]] for f in frames),
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert ran.returncode == 0, "a word came back with other bytes"
    return ran.stdout.decode().splitlines()


def golden_bytes() -> bytes:
    """The binary file of golden frames."""
    return (ROOT / "hw" / "wire" / "golden" / "frames.bin").read_bytes()


def sound_frames() -> list[dict]:  # type: ignore[type-arg]
    """The golden frames whose bytes are sound."""
    table = json.loads(
        (ROOT / "hw" / "wire" / "golden" / "frames.json").read_text(encoding="utf-8")
    )
    return [frame for frame in table["frames"] if "header" in frame]


@pytest.mark.parametrize("standard", ["c99", "c11", "c17"])
def test_it_compiles_without_a_warning(standard: str, tmp_path: Path) -> None:
    built = compile_c(ECHO, f"-std={standard}", output=tmp_path / "echo")
    assert built.returncode == 0, built.stderr


@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_a_wrong_layout_stops_the_compiler(standard: str, tmp_path: Path) -> None:
    text = HEADER.read_text(encoding="utf-8")
    assert text.count("    uint16_t module;\n") == 1
    spoilt = tmp_path / "tomoshibi_protocol.h"
    spoilt.write_text(text.replace("    uint16_t module;\n", "    uint32_t module;\n"))
    source = tmp_path / "spoilt.c"
    source.write_text('#include "tomoshibi_protocol.h"\nint main(void) { return 0; }\n')
    built = compile_c(source, f"-std={standard}", output=tmp_path / "spoilt")
    assert built.returncode != 0
    assert "header_module_offset" in built.stderr


def test_it_may_be_included_twice_and_needs_no_libc(tmp_path: Path) -> None:
    source = tmp_path / "twice.c"
    include = '#include "tomoshibi_protocol.h"\n'
    source.write_text(2 * include + "int unused;\n")
    built = compile_c(source, "-std=c99", "-ffreestanding", "-c", output=tmp_path / "twice.o")
    assert built.returncode == 0, built.stderr


def test_c_reads_every_header_as_python_wrote_it(echo: list[str]) -> None:
    found = [[int(v) for v in line.split()[1:]] for line in echo if line.startswith("header")]
    assert found == [list(frame["header"].values()) for frame in sound_frames()]


def test_c_unpacks_every_word_and_packs_it_to_the_same_bytes(echo: list[str]) -> None:
    found = [[int(v) for v in line.split()[1:]] for line in echo if line.startswith("word")]
    assert found == [word for frame in sound_frames() for word in frame["words"]]
    assert len(found) > 20


def test_c_reads_angles_in_thousandths_of_a_degree(echo: list[str]) -> None:
    found = [int(line.split()[1]) for line in echo if line.startswith("angle")]
    assert found == [0, 90_000, 1, -1, 359_999, 2**25 - 1, -(2**25) + 1]


def test_c_cuts_a_field_to_its_bits(echo: list[str]) -> None:
    assert "cut 300000000000000" in echo


def test_c_saturates_energy(echo: list[str]) -> None:
    assert "energy 16382 16383 16383" in echo


def test_c_knows_the_same_schema(echo: list[str]) -> None:
    assert f"schema {protocol.SCHEMA_CRC}" in echo
