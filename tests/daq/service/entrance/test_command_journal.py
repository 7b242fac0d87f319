"""Who ordered what is appended, line after whole line, over power cuts, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daq.service.entrance.command_journal import FAULT_WORDS, NAME, UNTOLD, CommandJournal
from emulator.fault_kinds import KINDS
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


def written(folder: Path, *commands: Command) -> list[dict]:
    journal = CommandJournal(folder)
    for command in commands:
        journal.add({"client": "test"}, command)
    journal.close()
    return [json.loads(line) for line in (folder / NAME).read_text("utf-8").splitlines()]


def test_what_a_person_may_have_typed_is_not_written(tmp_path: Path) -> None:
    person = "Taro Tanaka, born 1950-01-02"
    commands = [
        Command(id=1, name="fault", args={"action": "set", "text": person}, client=person),
        Command(id=2, name="fault", args={"action": person, "text": "drop: Tanaka"}),
        Command(id=3, name="module", args={"modules": [person], "values": {person: person}}),
        Command(id=4, name="fault", args={"action": "set", "text": "1950-01-02"}),
        Command(id=5, name="module", args={person: 1, "values": person, "modules": person}),
    ]
    lines = written(tmp_path, *commands)
    text = (tmp_path / NAME).read_text("utf-8")
    assert "Tanaka" not in text and "1950" not in text
    assert lines[0]["told"] == {"action": "set", "text": UNTOLD}
    assert lines[4]["args"] == ["modules", "values", UNTOLD]


def test_faults_and_values_of_modules_are_written(tmp_path: Path) -> None:
    texts = ["module_reset@0.3s:module=0+1,off=100ms,for=1e-3s", "drop=0.01", "7", "all"]
    orders = [Command(id=1, name="fault", args={"action": "set", "text": text}) for text in texts]
    values = {"modules": [0, 3], "action": "bias", "values": {"target_mV": 0}}
    lines = written(tmp_path, *orders, Command(id=2, name="module", args=values))
    assert [line["told"]["text"] for line in lines[:-1]] == texts
    assert lines[-1]["told"] == values


def test_a_client_is_told_from_another_without_its_name(tmp_path: Path) -> None:
    clients = ["Tanaka's desk", "the second", "Tanaka's desk"]
    lines = written(tmp_path, *(Command(id=1, name="stop", client=name) for name in clients))
    first, second, again = (line["as"] for line in lines)
    assert first == again != second
    assert "Tanaka" not in first


def test_every_word_of_the_emulators_faults_is_known() -> None:
    kinds = set(KINDS) | {name for kind in KINDS.values() for name in kind.amounts}
    assert kinds | {"module", "for", "p", "all"} == FAULT_WORDS
