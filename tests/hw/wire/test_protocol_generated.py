"""Generated files: all up to date, and the check says which is not and what to do."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from hw.generate import __main__ as generate
from hw.generate.message_tables import message_tables
from hw.generate.protocol_doc import word_drawing
from hw.messages.codec import AnyMessage
from hw.wire import protocol

DOC = (generate.ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_the_files_in_the_repository_are_up_to_date() -> None:
    assert generate.stale_files(generate.ROOT) == [], "run python -m hw.generate"


def test_generating_twice_gives_the_same_bytes() -> None:
    assert generate.generated_files() == generate.generated_files()


def test_what_was_written_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--root", str(tmp_path)]) == 0
    assert generate.main(["--root", str(tmp_path), "--check"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("path", generate.generated_files())
def test_the_check_names_a_stale_file_and_the_remedy(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.write_files(tmp_path)
    (tmp_path / path).write_bytes((tmp_path / path).read_bytes() + b" ")
    assert generate.main(["--root", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == f"{path} is stale: run python -m hw.generate\n"


def test_the_check_names_every_absent_file_and_writes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--root", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[0] for line in told] == list(generate.generated_files())
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_current_stay_untouched(tmp_path: Path) -> None:
    generate.write_files(tmp_path)
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in generate.generated_files()}
    generate.write_files(tmp_path)
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in before} == before


def test_the_header_is_laid_out_as_a_c_compiler_would() -> None:
    codes = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i2": "h"}
    kinds = "".join(codes[field["type"]] for field in protocol.DEFINITION["header"])
    assert struct.calcsize("@" + kinds) == struct.calcsize("<" + kinds) == 64


def test_rewording_the_definition_keeps_the_schema_crc(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol.canonical_definition()
    monkeypatch.setitem(protocol.DEFINITION["header"][0], "text", "other words")
    assert protocol.canonical_definition() == before


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [("header", "type", "u2"), ("word", "bits", 4), ("word_kind", "value", 7)],
)
def test_changing_the_layout_changes_the_schema(
    table: str, key: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = protocol.canonical_definition()
    monkeypatch.setitem(protocol.DEFINITION[table][0], key, value)
    assert protocol.canonical_definition() != before


def test_the_schema_crc_stands_in_header_vectors_and_documentation() -> None:
    files = generate.generated_files()
    text = f"0x{protocol.SCHEMA_CRC:08X}"
    assert text in files["hw/firmware/include/tomoshibi_protocol.h"].decode()
    assert text in files["docs/protocol.md"].decode()
    assert f'"schema_crc": {protocol.SCHEMA_CRC},' in files["hw/wire/golden/frames.json"].decode()


def test_the_documentation_explains_every_name_of_the_definition() -> None:
    for table in ("header", "frame_flag", "word", "word_flag", "word_kind"):
        for entry in protocol.DEFINITION[table]:
            assert f"`{entry['name']}`" in DOC
            assert entry["text"] in DOC


def test_the_documentation_leaves_no_placeholder() -> None:
    assert "$" not in DOC


def test_the_documentation_has_every_message() -> None:
    for kind in AnyMessage.__args__:
        assert f"### `{kind.__name__}`" in message_tables()


def test_the_drawing_of_the_word_is_as_wide_as_its_frame() -> None:
    numbers, edge, names, widths, _ = word_drawing().splitlines()
    assert len(names) == len(edge)
    assert [int(n) for n in numbers.split()] == [63, 60, 57, 55, 43, 29]
    assert sum(int(n) for n in widths.removesuffix(" bits").replace("|", " ").split()) == 64
