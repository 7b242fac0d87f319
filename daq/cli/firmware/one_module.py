"""`tomoshibi firmware flash|info|shell|trace`: one module behind a port."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Any

from daq.cli.common import CommandError, finish, tell
from daq.cli.firmware.shell import LEAVE, Shell, record_words
from daq.cli.progress import ProgressLine
from daq.link.serial.line_errors import SerialLinkError
from daq.link.serial.session import ModuleSession
from daq.link.serial.transcript import Tell
from hw.messages.telemetry import JournalLine
from hw.wire.control import REGISTERS, SCHEMA_CRC

NEWS_S = 0.05
PROMPT = "module> "


def flash(options: argparse.Namespace) -> int:
    """Flash an image of any schema to a module, start it and confirm it."""
    from daq.link.serial.update import abort_update, check_image_file, is_foreign, update_firmware

    check_image_file(options.image)
    line = ProgressLine("flashing")
    with _open(options, journal=lambda line: None, any_schema=True) as session:
        before = f"{int(session.identity['build']):08x}"
        abort_update(session)  # of a host that was killed: the port is ours alone
        identity = update_firmware(
            session,
            options.image,
            progress=lambda done, total: line(done, total),
            confirm=options.confirm,
            any_schema=options.any_schema,
        )
        line.done()
    words = record_words(identity)
    text = f"build {before} → {words['build']}, slot {words['slot']}"
    if not options.confirm:
        text += "; not confirmed: `firmware shell --command update_confirm` keeps it"
    if is_foreign(identity):
        text += f"; schema {words['schema']} is not this program's: " + (
            "confirmed because it names its image's build id; nothing else of it was tried"
            if options.confirm
            else "the program of its release should try it before"
        )
    finish(options, {"before": before, **words, "foreign": is_foreign(identity)}, text)
    return 0


def ports(options: argparse.Namespace) -> int:
    """List the serial ports and the modules behind them."""
    from daq.link.serial.session import discover

    found = discover(also=options.urls)
    rows = [
        {
            "url": one.url,
            "description": one.description,
            "identity": None if one.identity is None else record_words(one.identity),
            "problem": one.problem,
        }
        for one in found
    ]
    lines = [f"{row['url']}: {_who(row)}" for row in rows] or ["no serial port on this machine"]
    finish(options, {"ports": rows}, "\n".join(lines))
    return 0


def _who(row: dict[str, Any]) -> str:
    who = row["identity"]
    if who is None:
        return str(row["problem"])
    return f"module {who['module']}, {who['board']}, build {who['build']}, {who['state']}"


def info(options: argparse.Namespace) -> int:
    """Show a module's identity, state, dictionary and registers, or as much as a foreign one
    allows.
    """
    with _open(options, any_schema=True) as session:
        result: dict[str, Any] = {"identity": record_words(session.identity)}
        if not session.foreign:
            result["telemetry"] = record_words(session.ask_telemetry())
        tables = ("commands", "registers", "faults")
        result["dictionary"] = {table: len(session.dictionary.names(table)) for table in tables}
        if not session.foreign:
            result["registers"] = {name: session.read(name) for name in REGISTERS}
        remark = _foreign_words(session) if session.foreign else ""
    lines = _info_lines(result)
    finish(options, {**result, "foreign": bool(remark)}, "\n".join([*lines, *remark.splitlines()]))
    return 0


def _foreign_words(session: ModuleSession) -> str:
    """Describe what can be done with a module of another schema, and how it differs."""
    words = (
        f"its firmware has another schema than this program ({SCHEMA_CRC:08x}): `firmware flash` "
        "can update it, and the shell reset and confirm it; for all else use the program of its "
        "release"
    )
    if not session.dictionary.content:
        return f"{words}\nits dictionary cannot be read"
    return "\n".join([words, *session.dictionary.differences()])


def _info_lines(result: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for title, values in result.items():
        lines.append(f"{title}:")
        for name, value in values.items():
            unit = f" {REGISTERS[name].unit}" if title == "registers" else ""
            lines.append(f"  {name:<24} {value}{unit}".rstrip())
    return lines


def shell(options: argparse.Namespace) -> int:
    """Execute the lines given, or those of the terminal or stdin; return 1 if one failed."""
    with _open(options, any_schema=True) as session:
        if session.foreign:
            tell(_foreign_words(session))
        shell = Shell(session)
        try:
            return _do_lines(shell, session, options.lines)
        finally:
            _tell_of_bias(session)


def _do_lines(shell: Shell, session: ModuleSession, given: list[str]) -> int:
    if given:
        return shell.do_all(given)
    if sys.stdin is None:
        raise CommandError("shell: stdin is closed; give --command LINE")
    if not sys.stdin.isatty():
        return shell.do_all(line for line in sys.stdin)
    _edit_lines(shell)
    tell(f"{session.where}; help lists what there is, Ctrl-D leaves")
    while True:
        try:
            line = input(PROMPT)
        except EOFError:
            print()
            return 0
        if line.strip() in LEAVE:
            return 0
        shell.do(line)


def _tell_of_bias(session: ModuleSession) -> None:
    """Say what happens to a bias that is left on."""
    if not session.bias_asked_mV or not session.connected:
        return
    with contextlib.suppress(SerialLinkError):
        if session.ask_telemetry()["target_mV"]:
            tell(
                "the bias is left on: without a host the module switches it off after "
                f"{session.read('host_timeout_ms') / 1000:g} s, with the fault host_lost"
            )


def _edit_lines(shell: Shell) -> None:
    """Enable line editing and completion of names, if the terminal can."""
    try:
        import readline
    except ImportError:
        return
    names = shell.names()

    def complete(text: str, state: int) -> str | None:
        matches = [name for name in names if name.startswith(text)]
        return matches[state] if state < len(matches) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


def trace(options: argparse.Namespace) -> int:
    """Show messages as they come, including a module's beats and telemetry."""
    began = time.monotonic()
    with _open(options) as session:
        shown = 0
        while options.seconds is None or time.monotonic() - began < options.seconds:
            news, shown = session.connection.news.transcript.since(shown)
            for at_s, way, words in news:
                print(f"{at_s - began:10.6f} {way} {words}", flush=True)
            time.sleep(NEWS_S)
    return 0


def _complain(line: JournalLine) -> None:
    """Print the session's warnings and alarms, not plain news."""
    if line.severity != "info":
        tell(f"{line.severity}: {line.text}")


def _open(
    options: argparse.Namespace,
    *,
    journal: Tell = _complain,
    any_schema: bool = False,
) -> ModuleSession:
    return ModuleSession.open(
        options.port, baud=options.baud, journal=journal, any_schema=any_schema
    )
