"""The catalogue of messages is whole: all that is told is in it, and all in it is told."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from daq.service.load import BACK
from hw.messages.codec import decode, encode
from hw.messages.telemetry import RunCondition
from hw.notices.catalogue import catalogue, notice, words_of
from hw.notices.language import LANGUAGES

ROOT = Path(__file__).parents[3]
ROOMS = ("hw", "daq", "emulator", "coincidence", "recon")
TELLERS = ("notice", "_of_its_own")
"""What makes a line of a message; the second is the journal's, of what it has to say itself."""


@cache
def calls() -> list[tuple[Path, ast.Call]]:
    """Return every call in the rooms' code, with its file."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    trees = [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in files]
    return [(p, node) for p, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    """Return the name of what is called, without its object."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def literals(node: ast.AST) -> set[str]:
    """Return the texts that an argument may be, of both sides of a condition."""
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and "." in str(n.value)}


def test_every_message_that_is_told_is_in_the_catalogue_and_no_other() -> None:
    told = {"defect"}
    for _, call in calls():
        if name_of(call) in TELLERS and call.args:
            said = call.args[0]
            if isinstance(said, ast.Constant):
                told.add(str(said.value))
            elif isinstance(said, ast.IfExp):
                told |= literals(said.body) | literals(said.orelse)
    variable = {"bias.found", "bias.complete", "sync.found", "sync.complete"}
    variable |= {"module.calmer", "module.calm"}
    variable |= {f"condition.{one}" for one in get_args(RunCondition)} | set(BACK)
    assert told | variable == set(catalogue())


def test_what_is_more_than_an_event_has_an_id() -> None:
    """A line of a severity beyond info is made by `notice`, or handed on by those who made it."""
    bare = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, call in calls()
        if name_of(call) == "JournalLine"
        and any(
            isinstance(a, ast.Constant) and a.value in ("alarm", "warning")
            for a in [*call.args, *(k.value for k in call.keywords)]
        )
    ]
    assert bare == []


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_message_is_complete(name: str) -> None:
    entry = catalogue()[name]
    assert set(entry.ends) <= set(catalogue())
    assert all(catalogue()[ended].lasts for ended in entry.ends if ended != "journal.unkept")
    assert set(entry.about) <= entry.values
    if entry.lasts:
        assert entry.severity == "alarm"
        assert any(name in other.ends for other in catalogue().values()), "nothing ends it"
    if entry.severity == "alarm":
        assert entry.means or entry.do, "what is somebody to do?"


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_the_same_messages_with_the_same_values(language: str) -> None:
    other = catalogue(language)
    assert other.keys() == catalogue().keys()
    assert {n: e.values for n, e in other.items()} == {n: e.values for n, e in catalogue().items()}


def test_a_message_within_a_message_is_said_in_the_language_too() -> None:
    why = notice("end.counts", wanted=100, found=101)
    line = notice("run.stopping", why=why)
    assert line.text == "stopping: 100 counts are reached: 101"
    assert words_of(line.id, line.values) == line.text
    said = catalogue("ja")["end.counts"].says.format(wanted=100, found=101)
    whole = words_of(line.id, line.values, "ja")
    assert said in whole and "reached" not in whole and "stopping" not in whole
    deeper = notice("run.unstarted", run="a", why=line)
    assert said in words_of(deeper.id, deeper.values, "ja")
    plain = notice("run.stopping", why="{why}")
    assert words_of(plain.id, plain.values, "ja").endswith("{why}")


def test_a_message_says_its_values_and_crosses_the_wire() -> None:
    line = notice("source.lost", kind="{emulator}")
    assert line.text == "source lost: {emulator} has fallen silent"
    assert words_of(line.id, line.values) == line.text
    assert words_of("source.lost", {}) == words_of("not.known", {}) == ""
    with pytest.raises(KeyError):
        notice("source.lost")
    with pytest.raises(KeyError):
        notice("source.found")
    from hw.messages.modules import ModuleStates

    states = ModuleStates(modules=[], scans=[], log=[line], wall_ns=1)
    back = decode(encode(states))
    assert isinstance(back, ModuleStates)
    assert back.log == [line]
