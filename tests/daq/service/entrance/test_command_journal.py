"""Who ordered what is appended, line after whole line, over power cuts, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daq.service.entrance.command_journal import NAME, CommandJournal
from hw.messages.commands import Command


def order(folder: Path, name: str) -> None:
    journal = CommandJournal(folder)
    journal.add({"client": "test"}, Command(id=1, name=name, args={}))
    journal.close()
    assert journal.trouble == ""


@pytest.mark.parametrize("torn", [b"", bytes(300), b'{"when": "20', b'{"when": 1}' + bytes(40)])
def test_what_a_power_cut_tore_off_spoils_no_other_line(tmp_path: Path, torn: bytes) -> None:
    order(tmp_path, "arm")
    with (tmp_path / NAME).open("ab") as file:
        file.write(torn)
    order(tmp_path, "start")
    lines = (tmp_path / NAME).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["command"] for line in lines] == ["arm", "start"]
