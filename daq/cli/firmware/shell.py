"""A shell for one module, driven by the module's own dictionary.

help [NAME]            what there is, or what one thing does
read [REGISTER]        a register, or all
write REGISTER VALUE   set a register
COMMAND [VALUE ...]    any other command of the module, its fields in order or as name=value
faults                 the log of faults
exit                   leave
"""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from daq.link.serial.line_errors import CommandRefused, SerialLinkError
from daq.link.serial.session import ModuleSession
from hw.errors import TomoshibiError
from hw.wire.control import (
    COMMANDS,
    BiasState,
    Board,
    Lock,
    ResetCause,
    Slot,
    State,
    Status,
    fault_words,
)

_WORDS: dict[str, Callable[[int], str]] = {
    "board": lambda value: Board(value).name,
    "state": lambda value: State(value).name,
    "bias_state": lambda value: BiasState(value).name,
    "lock": lambda value: Lock(value).name,
    "slot": lambda value: Slot(value).name,
    "reset_cause": lambda value: ResetCause(value).name,
    "fault": lambda value: fault_words(value) or "none",
    "build": lambda value: f"{value:08x}",
    "schema": lambda value: f"{value:08x}",
    "dictionary_crc": lambda value: f"{value:08x}",
    "run_tag": lambda value: f"{value:08x}",
}
LEAVE = ("exit", "quit")
_HELP = {
    "help": "help [NAME]: what there is, or what one thing does",
    "read": "read [REGISTER ...]: registers, or all of them",
    "write": "write REGISTER VALUE: set a register",
    "baud": "baud BAUD: change the line's speed, here and in the module",
    "reset": "reset: switch the bias off, restart the module and wait for it",
    "faults": "faults: the log of faults, newest first",
    "exit": "exit: leave",
}
"""What the shell does itself, instead of the module's command of that name."""
_HIDDEN = ("dictionary",)
_FROZEN: dict[str, list[dict[str, Any]]] = {  # what takes a module whose dictionary is unreadable
    "commands": [{"name": s.name, "text": s.text} for s in COMMANDS.values() if s.frozen],
    "registers": [],
}
_TAILS = ("channels_write", "channels_read", "update_begin", "update_data")


class ShellError(TomoshibiError):
    """A line that cannot be executed; the message says why, and what can be."""


def record_words(record: np.void) -> dict[str, Any]:
    """Return a structure's fields as names and numbers."""
    words: dict[str, Any] = {}
    for name in record.dtype.names or ():
        if not name.startswith("reserved"):
            words[name] = _in_words(name, int(record[name]))
    return words


def _in_words(name: str, value: int) -> int | str:
    try:
        return _WORDS[name](value) if name in _WORDS else value
    except ValueError:
        return value  # of a newer firmware


class Shell:
    """Executes lines. Output goes to ``say``, errors to ``complain``."""

    def __init__(
        self,
        session: ModuleSession,
        *,
        say: Callable[[str], None] = print,
        complain: Callable[[str], None] = lambda words: print(words, file=sys.stderr),
    ) -> None:
        self._session = session
        self._say, self._complain = say, complain
        content = session.dictionary.content or _FROZEN
        self._commands = {entry["name"]: entry for entry in content["commands"]}
        self._registers = {entry["name"]: entry for entry in content["registers"]}
        self._own: dict[str, Callable[[list[str]], None]] = {
            "help": self._help,
            "read": self._read,
            "write": self._write,
            "faults": self._faults,
            "baud": self._baud,
            "reset": self._reset,
        }

    def names(self) -> list[str]:
        """Return every word with which a line may begin or continue."""
        return sorted({*self._own, *self._commands, *self._registers})

    def do_all(self, lines: Iterable[str]) -> int:
        """Execute lines until one fails or exits; return the exit status. # begins a comment."""
        wanted = itertools.takewhile(lambda line: line.strip() not in LEAVE, lines)
        return 0 if all(self.do(line) for line in wanted) else 1

    def do(self, line: str) -> bool:
        """Execute one line; return whether it succeeded."""
        try:
            words = shlex.split(line, comments=True)
            if words:
                self._do(words[0], words[1:])
        except (ShellError, SerialLinkError, ValueError) as error:
            self._complain(f"{line.strip()}: {error}")
            return False
        return True

    def _do(self, name: str, arguments: list[str]) -> None:
        if name in self._own:
            self._own[name](arguments)
        elif name in self._commands and name not in (*_HIDDEN, *_TAILS):
            self._order(name, arguments)
        else:
            raise ShellError("the module knows no such command; help lists those that there are")

    # --- lines --------------------------------------------------------------------------------

    def _help(self, arguments: list[str]) -> None:
        if arguments:
            self._explain(arguments[0])
            return
        self._say("help [NAME], faults, exit; commands of this module:")
        for name, entry in self._commands.items():
            if name not in (*_HIDDEN, *_TAILS):
                self._say(f"  {name:<16} {entry['text']}")
        self._say("registers (read and write):")
        for name, entry in self._registers.items():
            self._say(f"  {name:<24} {_bounds(entry)}  {entry['text']}")

    def _explain(self, name: str) -> None:
        if name in _HELP:
            self._say(_HELP[name])
        elif name in self._registers:
            entry = self._registers[name]
            self._say(f"{name}: {entry['text']}\n  {_bounds(entry)}")
        elif name in self._commands:
            entry = self._commands[name]
            fields = " ".join(field.upper() for field in self._fields(name))
            self._say(f"{name} {fields}\n  {entry['text']}")
            if entry.get("states"):
                self._say(f"  allowed in the states {', '.join(entry['states'])}")
        else:
            raise ShellError("the module has no such command or register")

    def _read(self, arguments: list[str]) -> None:
        for name in arguments or self._registers:
            self._say(f"{name} = {self._session.read(name)} {self._unit(name)}".rstrip())

    def _write(self, arguments: list[str]) -> None:
        if len(arguments) != 2:
            raise ShellError("give a register and a value, such as: write energy_threshold 1000")
        name, value = arguments[0], _number(*arguments)
        self._check_bounds(name, value)
        written = self._session.write(name, value)
        self._say(f"{name} = {written} {self._unit(name)}".rstrip())

    def _check_bounds(self, name: str, value: int) -> None:
        entry = self._registers.get(name)
        if entry is None or entry.get("read_only"):
            return  # the session and the module say so
        if not entry["min"] <= value <= entry["max"]:
            raise ShellError(f"{name} is {value}, allowed is {_bounds(entry)}")

    def _baud(self, arguments: list[str]) -> None:
        if len(arguments) != 1:
            raise ShellError("give a speed, such as: baud 921600")
        self._session.set_baud(_number("baud", arguments[0]))
        self._say("done")

    def _reset(self, arguments: list[str]) -> None:
        if arguments:
            raise ShellError("takes nothing")
        self._session.reset()
        self._say("done")

    def _faults(self, arguments: list[str]) -> None:
        index, count = 0, 1
        while index < count:
            try:
                reply = self._session.command("fault_log", index=index)
            except CommandRefused as error:
                if error.status != Status.bad_value:
                    raise
                self._say("the log ends here" if index else "no fault in the log")
                return
            count = reply.detail
            entry = record_words(reply.fields)
            self._say(
                f"{entry['number']}: {entry['fault']} (measured {entry['value']}, allowed "
                f"{entry['limit']}, start {entry['resets']})"
            )
            index += 1

    def _order(self, name: str, arguments: list[str]) -> None:
        values = self._values(self._fields(name), arguments)
        reply = self._session.command(name, b"", **values)
        for field, word in record_words(reply.fields).items():
            self._say(f"{field} = {word}")
        if not reply.fields.dtype.names:
            self._say("done")

    @staticmethod
    def _values(fields: list[str], arguments: list[str]) -> dict[str, int]:
        """Return a command's fields, each once; ShellError says which there are."""
        values: dict[str, int] = {}
        for place, argument in enumerate(arguments):
            field, given, value = argument.partition("=")
            if not given:
                field, value = "".join(fields[place : place + 1]), argument
            if field not in fields or field in values:
                break
            values[field] = _number(field, value)
        if len(values) != len(fields) or len(arguments) != len(fields):
            raise ShellError(f"takes {', '.join(fields) or 'nothing'}")
        return values

    def _fields(self, name: str) -> list[str]:
        names = COMMANDS[name].request.names if name in COMMANDS else ()
        return [field for field in names or () if not field.startswith("reserved")]

    def _unit(self, name: str) -> str:
        return str(self._registers.get(name, {}).get("unit", ""))


def _bounds(entry: dict[str, Any]) -> str:
    unit = f" {entry['unit']}" if entry.get("unit") else ""
    if entry.get("read_only"):
        return "read only"
    return f"{entry['min']} to {entry['max']}{unit}, default {entry['default']}"


def _number(name: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ShellError(f"{name} is {text!r}; give a whole number") from None
