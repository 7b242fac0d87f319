"""Requests to one module, one at a time: each is answered, or fails with the module's name."""

from __future__ import annotations

import threading
from collections.abc import Callable

from daq.link.serial.dictionary import status_text
from daq.link.serial.exchange import Answer, Exchange, Reply, command_spec, open_reply
from daq.link.serial.line_errors import (
    CommandRefused,
    FirmwareMismatch,
    LinkLost,
    NoAnswer,
    SerialLinkError,
    remedy_for,
)
from daq.link.serial.line_statistics import LinkStatistics
from hw.wire.control import Status


class Requests:
    """Asks a module over its line's exchange.

    alone : held while a request is under way, and by whoever needs the line for itself

    Parameters
    ----------
    exchange : of the line
    statistics : counts refusals
    where : returns the module's name in error messages
    in_callback : whether the caller runs in the poller's thread, which may not wait
    lose : is told that the line is lost
    dump : is told a refusal, to keep what was said before it
    """

    def __init__(
        self,
        exchange: Exchange,
        statistics: LinkStatistics,
        *,
        where: Callable[[], str],
        in_callback: Callable[[], bool],
        lose: Callable[[str], None],
        dump: Callable[[str], object],
    ) -> None:
        self.alone = threading.RLock()
        self._exchange, self._statistics = exchange, statistics
        self._where, self._in_callback = where, in_callback
        self._lose, self._dump = lose, dump

    def reply(self, name: str, payload: bytes, *, timeout_s: float, tries: int) -> Reply:
        """Send a command and return its reply.

        Raises
        ------
        CommandRefused, NoAnswer, LinkLost, FirmwareMismatch
        """
        spec = command_spec(name)
        answer = self.answer(spec.code, payload, timeout_s=timeout_s, tries=tries)
        status = int.from_bytes(answer.payload[:2], "little")
        detail = int.from_bytes(answer.payload[2:4], "little")
        if status != Status.ok:
            raise self._refusal(name, status, detail)
        took = (answer.received_ns - answer.sent_ns) * 1e-9 if answer.tries == 1 else 0.0
        return open_reply(spec, answer.payload, took)

    def answer(self, code: int, payload: bytes, *, timeout_s: float, tries: int) -> Answer:
        """Send a command and return the answer as it came; raises NoAnswer or LinkLost."""
        if self._in_callback():
            raise SerialLinkError(
                f"{self._where()}: a callback may not send commands; hand it over"
            )
        with self.alone:
            try:
                return self._exchange.ask(code, payload, timeout_s=timeout_s, tries=tries)
            except (NoAnswer, LinkLost) as error:
                if isinstance(error, LinkLost):
                    self._lose(str(error))
                raise type(error)(f"{self._where()}: {error}") from error

    def _refusal(self, name: str, status: int, detail: int) -> SerialLinkError:
        self._statistics.refusals += 1
        words = status_text(status)
        if status not in {int(known) for known in Status}:
            return FirmwareMismatch(f"{self._where()} answered {name} with {words}")
        remedy = remedy_for(status, detail)
        said = f"{words}; {remedy}" if remedy else words
        self._dump(f"refused {name}: {words}")
        return CommandRefused(self._where(), name, status, detail, said)
