"""Builds are kept, safe against a second builder, and fail in the compiler's own words."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import crc32c
import numpy as np
import pytest

from hw.machines import build as building
from hw.machines import toolchain
from hw.machines.build import BuildError, build, slot_image
from hw.machines.toolchain import APT_LINE, missing
from hw.wire.control import IMAGE, SCHEMA_CRC, STRUCTS, Board

SMALL_MAKEFILE = """
native native-asan test:
	echo built >> $(BUILD)/../../log
	cat value.c > $(BUILD)/tomoshibi-native
	cp value.c $(BUILD)/tomoshibi-native-update.bin
	$(CC) -Werror -Wall -fsyntax-only $(DEFINES) value.c
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A firmware of one file, so that a build takes no time."""
    if missing("native"):
        pytest.skip(missing("native"))
    folder = tmp_path / "firmware"
    folder.mkdir()
    (folder / "Makefile").write_text(SMALL_MAKEFILE)
    (folder / "value.c").write_text("int value = VALUE + 1;\n")
    monkeypatch.setattr(building, "SOURCES", folder)
    return folder


def builds(out: Path) -> int:
    log = out / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def small_build(out: Path, value: int = 1) -> building.Image:
    return build("native", out, defines=[f"VALUE={value}"])


pytestmark = pytest.mark.firmware


def test_what_was_built_is_taken_from_the_cache(sources, tmp_path):
    first = small_build(tmp_path / "out")
    assert small_build(tmp_path / "out") == first
    assert builds(tmp_path / "out") == 1


@pytest.mark.parametrize("edit", ["value.c", "Makefile", "new.h"])
def test_any_edit_is_another_build_with_another_id(sources, tmp_path, edit):
    first = small_build(tmp_path / "out")
    path = sources / edit
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    second = small_build(tmp_path / "out")
    assert second.build_id != first.build_id
    assert second.folder != first.folder


def test_a_renamed_file_is_another_build(sources, tmp_path):
    (sources / "a.h").write_text("")
    first = small_build(tmp_path / "out")
    (sources / "a.h").rename(sources / "b.h")
    assert small_build(tmp_path / "out").build_id != first.build_id


def test_a_variant_has_an_id_of_its_own(sources, tmp_path):
    ids = {small_build(tmp_path / "out", value).build_id for value in (1, 2, 3)}
    assert len(ids) == 3


def test_two_builders_at_once_build_once(sources, tmp_path):
    images: list[building.Image] = []
    threads = [
        threading.Thread(target=lambda: images.append(small_build(tmp_path / "out")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert len(images) == 4
    assert len(set(images)) == 1
    assert builds(tmp_path / "out") == 1


def test_an_error_has_the_compilers_words_and_leaves_nothing(sources, tmp_path):
    (sources / "value.c").write_text("int value = forty_two;\n")
    with pytest.raises(BuildError, match=r"native does not build:\n(.|\n)*forty_two.* undeclared"):
        small_build(tmp_path / "out")
    left = [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert left == []


def test_sources_that_are_edited_while_they_build_are_not_kept(sources, tmp_path):
    makefile = (sources / "Makefile").read_text()
    (sources / "Makefile").write_text(makefile + "\techo >> value.c\n")
    with pytest.raises(BuildError, match="keep changing; build again"):
        small_build(tmp_path / "out")


def test_builds_that_nobody_asks_for_are_forgotten(sources, tmp_path):
    old = small_build(tmp_path / "out", 1)
    long_ago = time.time() - 15 * 86400
    os.utime(old.folder, (long_ago, long_ago))
    new = small_build(tmp_path / "out", 2)
    assert not old.folder.exists()
    assert new.folder.exists()


def test_a_missing_tool_is_told_with_the_line_that_installs_it(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    assert missing("native").startswith("native firmware needs gcc, make, not found on PATH")
    assert missing("qemu").startswith(
        "qemu firmware needs arm-none-eabi-gcc, make, qemu-system-arm"
    )
    for target in ("native", "mps2"):
        with pytest.raises(BuildError) as refused:
            build(target, tmp_path / "out")
        assert APT_LINE in str(refused.value)


@pytest.mark.parametrize("name", ["mit Leerzeichen und Ümläuten", "a#b$c"])
def test_the_cache_may_lie_in_a_folder_of_any_name(sources, tmp_path, name):
    image = small_build(tmp_path / name)
    assert image.path.is_file()
    assert image.folder.parent == tmp_path / name


def test_a_cache_folder_that_is_given_from_here_is_made_here(sources, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert small_build(Path("cache")).path.is_file()
    assert not (sources / "cache").exists()


def test_a_cache_that_cannot_be_written_names_the_variable_that_moves_it(sources, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match=r"Not a directory.*TOMOSHIBI_CACHE"):
        small_build(tmp_path / "file" / "cache")


def test_a_cache_that_can_only_be_read_serves_what_it_has(sources, tmp_path, monkeypatch):
    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    first = small_build(tmp_path / "out")
    monkeypatch.setattr(building.os, "utime", refuse)
    assert small_build(tmp_path / "out") == first


def test_nothing_is_missing_where_all_is_there(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert missing("native") == missing("qemu") == ""


def test_a_slot_image_has_a_header_that_covers_its_bytes():
    image = slot_image(b"program!", board=Board.posix, build_id=0x1234)
    header = np.frombuffer(image, STRUCTS["image"], 1)[0]
    assert header["magic"] == IMAGE["magic"]
    assert (header["board"], header["schema"]) == (Board.posix, SCHEMA_CRC)
    assert (header["build"], header["length"]) == (0x1234, 8)
    assert header["crc"] == crc32c.crc32c(b"program!")
    assert header["header_crc"] == crc32c.crc32c(image[:28])
    assert image[32:] == b"program!"


def test_the_native_image_fits_a_slot_with_room_to_grow(native_image):
    assert 32 < len(native_image.slot_image) < IMAGE["max_bytes"] // 2
