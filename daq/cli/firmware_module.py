"""`tomoshibi firmware flash|info|shell|trace`: one module behind a port."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from daq.cli.common import finish, tell
from daq.cli.firmware_shell import Shell, record_words
from daq.cli.progress import ProgressLine
from daq.serial_link.session import ModuleSession
from hw.control import REGISTERS

NEWS_S = 0.05
PROMPT = "module> "


def flash(options: argparse.Namespace) -> int:
    """Put an image onto a module, start it and confirm it."""
    from daq.serial_link.update import update_firmware

    line = ProgressLine("flashing")
    with _open(options, journal=lambda line: None) as session:
        before = f"{int(session.identity['build']):08x}"
        identity = update_firmware(
            session,
            options.image,
            progress=lambda done, total: line(done, total),
            confirm=options.confirm,
        )
        line.done()
    words = record_words(identity)
    text = f"build {before} → {words['build']}, slot {words['slot']}"
    if not options.confirm:
        text += "; not confirmed: `firmware shell --command update_confirm` keeps it"
    finish(options, {"before": before, **words}, text)
    return 0


def ports(options: argparse.Namespace) -> int:
    """List the serial ports and who is behind them."""
    from daq.serial_link.discovery import discover

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
    """Tell a module's identity, state, dictionary and registers."""
    with _open(options) as session:
        identity, telemetry = record_words(session.identity), record_words(session.ask_telemetry())
        registers = {name: session.read(name) for name in REGISTERS}
        tables = ("commands", "registers", "faults")
        known = {table: len(session.dictionary.names(table)) for table in tables}
    result = {
        "identity": identity,
        "telemetry": telemetry,
        "dictionary": known,
        "registers": registers,
    }
    finish(options, result, "\n".join(_info_lines(result)))
    return 0


def _info_lines(result: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for title, values in result.items():
        lines.append(f"{title}:")
        for name, value in values.items():
            unit = f" {REGISTERS[name].unit}" if title == "registers" else ""
            lines.append(f"  {name:<24} {value}{unit}".rstrip())
    return lines


def shell(options: argparse.Namespace) -> int:
    """Do the lines given, or those of the terminal or stdin; 1 where one failed."""
    with _open(options) as session:
        shell = Shell(session)
        if options.lines:
            return shell.do_all(options.lines)
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
            if line.strip() in ("exit", "quit"):
                return 0
            shell.do(line)


def _edit_lines(shell: Shell) -> None:
    """Let the terminal edit lines and complete names, where it can."""
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
    """Show messages as they come; a module's beats and telemetry are among them."""
    began = time.monotonic()
    with _open(options) as session:
        shown = 0
        while options.seconds is None or time.monotonic() - began < options.seconds:
            news, shown = session.transcript.since(shown)
            for at_s, way, words in news:
                print(f"{at_s - began:10.6f} {way} {words}", flush=True)
            time.sleep(NEWS_S)
    return 0


def _complain(line: str) -> None:
    """Tell what the session has to say, but for plain news."""
    if not line.startswith("info: "):
        tell(line)


def _open(
    options: argparse.Namespace, *, journal: Callable[[str], None] = _complain
) -> ModuleSession:
    return ModuleSession.open(options.port, baud=options.baud, journal=journal)
