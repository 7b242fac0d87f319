"""A module that says what a test wants, above all wrong things: a scripted pty end."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable

import numpy as np
from cobs import cobs

from daq.link.serial.packets import COMMAND, REPLY, ControlMessage, encode_message, open_message
from hw.generate.dictionary import dictionary_json
from hw.wire.control import COMMANDS, SCHEMA_CRC, STRUCTS, VERSION
from hw.wire.protocol import VERSION as FRAME_VERSION


class ScriptedModule:
    """Answers hello, dictionary and beat like a module, and everything else with ``ok``.

    identity, dictionary : its answers; change them before a session opens it
    hear : called with each command; returns the bytes to send instead of its own answer, or None
    """

    def __init__(self, *, hear: Callable[[ControlMessage], bytes | None] | None = None) -> None:
        self.dictionary = dictionary_json()
        self.identity = np.zeros((), STRUCTS["identity"])
        self.identity["protocol_version"], self.identity["control_version"] = FRAME_VERSION, VERSION
        self.identity["schema"], self.identity["build"] = SCHEMA_CRC, 0xABCDEF01
        self.identity["resets"] = 1
        self.promise(self.dictionary)
        self.heard: list[ControlMessage] = []
        self._hear = hear
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.url = os.ttyname(self._slave)
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def promise(self, dictionary: bytes) -> None:
        """Make the identity announce this dictionary."""
        import crc32c

        self.identity["dictionary_bytes"] = len(dictionary)
        self.identity["dictionary_crc"] = crc32c.crc32c(dictionary)

    def reply(self, command: ControlMessage, body: bytes = b"", status: int = 0) -> bytes:
        payload = status.to_bytes(2, "little") + b"\0\0" + body
        return encode_message(REPLY, command.sequence, command.code, payload)

    def close(self) -> None:
        self._ending = True
        self._thread.join(2.0)
        os.close(self.master)
        os.close(self._slave)

    def __enter__(self) -> ScriptedModule:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        waiting = b""
        while not self._ending:
            if not select.select([self.master], [], [], 0.01)[0]:
                continue
            waiting += os.read(self.master, 4096)
            *whole, waiting = waiting.split(b"\0")
            for piece in filter(None, whole):
                message = open_message(cobs.decode(piece))
                if message is not None and message.kind == COMMAND:
                    self.heard.append(message)
                    os.write(self.master, self._answer(message))

    def _answer(self, command: ControlMessage) -> bytes:
        if self._hear is not None:
            instead = self._hear(command)
            if instead is not None:
                return instead
        if command.code == COMMANDS["hello"].code:
            return self.reply(command, self.identity.tobytes())
        if command.code == COMMANDS["dictionary"].code:
            offset, count = np.frombuffer(command.payload, "<u4").tolist()
            return self.reply(command, self.dictionary[offset : offset + count])
        if command.code == COMMANDS["beat"].code:
            return self.reply(command, command.payload + bytes(8))
        return self.reply(command, bytes(COMMANDS_BY_CODE[command.code]))


COMMANDS_BY_CODE = {spec.code: spec.reply.itemsize for spec in COMMANDS.values()}
