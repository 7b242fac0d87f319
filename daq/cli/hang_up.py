"""Recording goes on when its terminal is closed."""

from __future__ import annotations

import os
import signal

STREAMS = (0, 1, 2)


def outlive_the_terminal() -> None:
    """From now on let a hang-up close the terminal's streams, and nothing more.

    Writing to a terminal that is gone is an error, so what was one leads nowhere afterwards; files
    and pipes stay as they are. Under nohup nothing changes: there SIGHUP is ignored already.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return
    terminals = [number for number in STREAMS if _is_terminal(number)]
    signal.signal(signal.SIGHUP, lambda *_: _lead_nowhere(terminals))


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def _lead_nowhere(streams: list[int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in streams:
        os.dup2(nowhere, number)
    os.close(nowhere)


def records(command: str) -> bool:
    """Whether a command takes part in recording, and so outlives its terminal."""
    return command in ("demo", "acquire", "emulate", "link", "imager", "replay", "replay-source")
