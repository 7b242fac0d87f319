"""Protocols on the shelf: versions are kept, files are this user's alone, damage breaks no list."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from daq.folder.protocols.shelf import Shelf, protocols_folder
from hw.messages.scan_protocol import RunUntil, ScanProtocol
from hw.scanner.protocol_text import ProtocolError, protocol_text, shipped_protocols

OURS = ScanProtocol(name="ours", modality="PET", nuclide="F-18", until=RunUntil(counts=1000))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Shelf()


def test_without_a_folder_there_are_those_of_the_package(shelf: Shelf) -> None:
    assert [one.protocol for one in shelf.all()] == shipped_protocols()
    assert shelf.faults == []
    assert not shelf.folder.exists()


def test_saving_again_makes_the_next_version_and_keeps_the_old(shelf: Shelf) -> None:
    first = shelf.save(OURS).protocol
    second = shelf.save(msgspec.structs.replace(OURS, title="later")).protocol
    assert (first.version, second.version) == (1, 2)
    assert shelf.find("ours") == second
    assert shelf.find("ours@1") == first
    assert [one.protocol.version for one in shelf.all() if one.protocol.name == "ours"] == [2, 1]


def test_a_name_of_the_package_goes_on_from_there(shelf: Shelf) -> None:
    shipped = shelf.find("fdg-brain")
    mine = shelf.save(msgspec.structs.replace(shipped, title="mine")).protocol
    assert mine.version == shipped.version + 1
    assert shelf.find("fdg-brain") == mine
    assert shelf.find(f"fdg-brain@{shipped.version}") == shipped
    assert [one.path is None for one in shelf.newest() if one.protocol.name == "fdg-brain"] == [
        False
    ]


def test_folder_and_files_are_for_this_user_alone(shelf: Shelf) -> None:
    path = shelf.save(OURS).path
    assert path is not None and path.parent == protocols_folder() == shelf.folder
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_may_enter_is_not_believed(shelf: Shelf) -> None:
    shelf.save(OURS)
    shelf.folder.chmod(0o755)
    assert "ours" not in [one.protocol.name for one in shelf.all()]
    assert "open to other users" in shelf.faults[0]
    with pytest.raises(ProtocolError, match="chmod 700"):
        shelf.save(OURS)


def test_a_deleted_version_is_set_aside_and_its_number_not_given_again(shelf: Shelf) -> None:
    shelf.save(OURS)
    shelf.save(OURS)
    assert [one.version for one in shelf.delete("ours@2")] == [2]
    assert shelf.find("ours").version == 1
    assert shelf.save(OURS).protocol.version == 3
    assert [one.version for one in shelf.delete("ours")] == [3, 1]
    assert (shelf.folder / "ours@2.deleted").exists()
    with pytest.raises(ProtocolError, match=r"no protocol 'ours' of yours; yours are none"):
        shelf.delete("ours")


def test_what_came_with_the_program_is_not_deleted(shelf: Shelf) -> None:
    with pytest.raises(ProtocolError, match="it came with the program"):
        shelf.delete("fdg-brain")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("broken@1.toml", "name = ", "broken@1.toml: not valid TOML"),
        ("other@2.toml", protocol_text(OURS), "it says that it is ours@1: name the file"),
        (
            "x@1.toml",
            "name = 'x'\nmodality = 'PET'\nnuclide = 'Xy-9'",
            "protocol x: nuclide: .*Xy-9",
        ),
    ],
)
def test_a_damaged_file_is_told_and_breaks_no_list(
    shelf: Shelf, name: str, text: str, words: str
) -> None:
    shelf.save(OURS)
    (shelf.folder / name).write_text(text, encoding="utf-8")
    assert "ours" in [one.protocol.name for one in shelf.all()]
    with pytest.raises(ProtocolError, match=words):
        raise ProtocolError(shelf.faults[0])
    with pytest.raises(ProtocolError, match=rf"there is no protocol .*; there are .*ours.*{name}"):
        shelf.find(name.partition("@")[0])


def test_a_nuclide_that_nobody_knows_is_not_saved(shelf: Shelf) -> None:
    with pytest.raises(ProtocolError, match="Xy-9"):
        shelf.save(msgspec.structs.replace(OURS, nuclide="Xy-9"))
