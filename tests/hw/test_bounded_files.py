"""What a file costs is known before it is decoded; every way of being wrong is one error."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.bounded_files import (
    MIB,
    MOST_DEPTH,
    FileRefused,
    check_size,
    json_in,
    read_bytes,
    read_json,
    read_npz,
    read_object,
    read_text,
    read_toml,
    toml_in,
)


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    facts = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()


def archive(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def bomb(path: Path, mebibytes: int) -> Path:
    """Write an npz whose one array of zeros is about a thousand times as large."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as one:
        one.write(npy_header((mebibytes * MIB // 8,)))
        for _ in range(mebibytes):
            one.write(bytes(MIB))
    return path


def test_arrays_come_back_as_they_were_saved(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yy"]), "c": np.uint8(3)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "s.npz", **arrays)  # type: ignore[arg-type]
        found = read_npz(tmp_path / "s.npz", most_bytes=MIB)
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == np.asarray(array).dtype
            assert np.array_equal(found[name], array)
    assert set(read_npz(tmp_path / "s.npz", most_bytes=MIB, only={"b", "none"})) == {"b"}


def test_a_bomb_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.npz", 64)
    assert path.stat().st_size < MIB
    tracemalloc.start()
    try:
        with pytest.raises(FileRefused, match="its data have 64 MiB, at most 32 MiB fit"):
            read_npz(path, most_bytes=32 * MIB)
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
        assert read_npz(path, most_bytes=32 * MIB, only={"other"}) == {}
    finally:
        tracemalloc.stop()


def test_many_data_from_few_bytes_are_suspicious() -> None:
    check_size(200 * MIB, 1, most_bytes=1024 * MIB)
    check_size(600 * MIB, 3 * MIB, most_bytes=1024 * MIB)
    with pytest.raises(FileRefused, match="3 MiB of it would become 1000 MiB"):
        check_size(1000 * MIB, 3 * MIB, most_bytes=1024 * MIB)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no archive": (lambda p: p.write_bytes(b"PK nothing"), "not an npz"),
    "empty": (lambda p: p.write_bytes(b""), "not an npz"),
    "a plain npy": (lambda p: p.write_bytes(npy(np.arange(3))), "not an npz"),
    "objects": (
        lambda p: archive(p, {"a.npy": npy(np.array([{}, []], dtype=object))}),
        "a holds Python objects",
    ),
    "a shape larger than its data": (
        lambda p: archive(p, {"a.npy": npy_header((2**31, 2**20)) + bytes(64)}),
        "a has not as many bytes as its shape",
    ),
    "a negative shape": (
        lambda p: archive(p, {"a.npy": npy_header((-8,)) + bytes(64)}), "a has the shape"
    ),
    "a header of code": (
        lambda p: archive(p, {"a.npy": b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')"}),
        "not an npz",
    ),
    "a later numpy format": (
        lambda p: archive(p, {"a.npy": b"\x93NUMPY\x07\x00" + bytes(60)}), "version 7.0"
    ),
    "one name twice": (
        lambda p: archive(p, {"a.npy": npy(np.arange(3)), "a": npy(np.arange(3))}), "a twice"
    ),
    "another compression": (
        lambda p: archive(p, {"a.npy": npy(np.arange(3))}, zipfile.ZIP_LZMA), "a is compressed"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_npz_of_plain_arrays_is_refused(tmp_path: Path, kind: str) -> None:
    make, words = WRONG[kind]
    make(tmp_path / "w.npz")
    with pytest.raises(FileRefused, match=words):
        read_npz(tmp_path / "w.npz", most_bytes=MIB)


def test_an_archive_that_declares_less_than_it_holds_gives_no_more_than_declared(
    tmp_path: Path,
) -> None:
    path = bomb(tmp_path / "b.npz", 8)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, place + 24, 4096)  # file_size in the directory
    path.write_bytes(content)
    with pytest.raises(FileRefused):
        read_npz(path, most_bytes=MIB)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_damage_is_refused_or_harmless(damage: bytes, place: int) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(4), b=np.ones((2, 2)))
    content = bytearray(buffer.getvalue())
    content[place : place + len(damage)] = damage
    path = Path(f"/proc/self/fd/{os.memfd_create('damaged')}")
    try:
        path.write_bytes(content)
        read_npz(path, most_bytes=MIB)
    except FileRefused:
        pass
    finally:
        os.close(int(path.name))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    for read in (read_bytes, read_json, read_toml, lambda p: read_npz(p, most_bytes=MIB)):
        with pytest.raises(FileRefused, match="regular file"):
            read(tmp_path / "x")
    with pytest.raises(FileRefused, match="No such file"):
        read_bytes(tmp_path / "none")
    with pytest.raises(FileRefused, match=r"null (byte|character)"):
        read_bytes(tmp_path / "a\0b")


def test_a_text_has_a_bound(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"x" * 11)
    assert read_text(tmp_path / "t", most_bytes=11) == "x" * 11
    with pytest.raises(FileRefused, match="more than 10 bytes"):
        read_text(tmp_path / "t", most_bytes=10)
    assert read_text(tmp_path / "t", most_bytes=1 << 50) == "x" * 11
    (tmp_path / "t").write_bytes(b"\xff")
    with pytest.raises(FileRefused, match="not UTF-8"):
        read_text(tmp_path / "t")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, f"nested deeper than {MOST_DEPTH}"),
        ('{"a":' * 100_000, f"nested deeper than {MOST_DEPTH}"),
        ("[" * 65 + "]" * 65, f"nested deeper than {MOST_DEPTH}"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -1e999}', "-1e999 is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("1" * 5000, "not JSON"),
        ("", "not JSON"),
        ("{} {}", "not JSON"),
    ],
)
def test_json_that_would_do_harm_is_refused(text: str, words: str) -> None:
    with pytest.raises(FileRefused, match=words):
        json_in(text)


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text(json.dumps({"a": [1, 2.5, None, "ü"]}))
    assert read_object(tmp_path / "o.json") == {"a": [1, 2.5, None, "ü"]}
    (tmp_path / "o.json").write_text("[]")
    with pytest.raises(FileRefused, match="no JSON object"):
        read_object(tmp_path / "o.json")
    json_in("[" * 64 + "]" * 64)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 10_000, ".".join(["a"] * 5000) + " = 1", "a = " + "1" * 5000, "a = "]
)
def test_toml_that_would_do_harm_is_refused(text: str) -> None:
    with pytest.raises(FileRefused, match=r"nested deeper|not valid TOML"):
        toml_in(text)
