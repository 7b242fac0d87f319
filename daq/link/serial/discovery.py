"""Which serial ports this machine has, and which of them have a module behind."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from serial.tools import list_ports

from daq.link.serial.line_errors import SerialLinkError
from daq.link.serial.poller import Poller
from daq.link.serial.session import ModuleSession

_AT_ONCE = 16


@dataclass(frozen=True)
class Found:
    """A port. description : the system's words; identity : of the module that answered, or None;
    problem : why there is none, "" where there is or nobody was asked
    """

    url: str
    description: str
    identity: np.void | None
    problem: str


def discover(*, also: Iterable[str] = (), ask: bool = True, hello_s: float = 1.0) -> list[Found]:
    """List the machine's serial ports and those in ``also`` (URLs that no system lists).

    ask : say HELLO on each; what is no module gets a few bytes that it may not understand
    hello_s : how long to wait for each; they are asked at the same time, 16 at once
    """
    listed = {port.device: port.description or "" for port in list_ports.comports()}
    words = {**listed, **{url: "" for url in also if url not in listed}}
    if not ask:
        return [Found(url, text, None, "") for url, text in words.items()]
    with Poller() as poller, ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(
            threads.map(lambda item: _ask(item[0], item[1], poller, hello_s), words.items())
        )


def _ask(url: str, description: str, poller: Poller, hello_s: float) -> Found:
    try:
        with ModuleSession.open(url, poller=poller, hello_s=hello_s) as session:
            return Found(url, description, session.identity, "")
    except SerialLinkError as error:
        return Found(url, description, None, str(error))
