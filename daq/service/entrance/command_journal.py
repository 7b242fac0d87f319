"""Who ordered what, and when: ``commands.jsonl`` in the folder of the runs.

Append-only, 0600, on disk within moments: a thread of its own waits for the disk, the daq does not.
It names keys, roles and processes, never a patient: what people may have typed is not written. Of
arguments there are the names; of orders to modules and of faults the values that are numbers or
words of the machine; of who a client says it is, a number that is the same while this daq lives.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_args

from hw.messages.commands import Command
from hw.messages.modules import ModuleAction
from hw.private_place import PlaceError, open_private

NAME = "commands.jsonl"
UNTOLD = "…"
FAULT_WORDS = frozenset(
    (
        "corrupt", "drop", "duplicate", "reorder", "wrong_version", "truncate", "unknown_module",
        "stalled_link", "vanished_link", "clock_drift", "clock_leap", "counter_wrap",
        "dead_crystal", "noisy_crystal", "temperature_drift", "temperature_sine", "module_reset",
        "burst", "p", "ppm", "periods", "before", "crystal", "Hz", "K_per_s", "K", "period",
        "percent_per_K", "band", "off", "times", "module", "for", "all",
    )
)  # fmt: skip
"""What stands in the description of a fault; any with another word is not written."""

ACTIONS = frozenset((*get_args(ModuleAction), "set", "clear", "list"))
_AMOUNT = re.compile(r"\d{1,9}(e\d*)?(m?s)?")
_FAULT_NUMBER = re.compile(r"\d{1,6}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")

MOST_BYTES = 4096
"""Of a line."""


class CommandJournal:
    """The journal of one daq. ``trouble`` says why it cannot be written, "" if it can.

    Raises nothing: a daq whose disk takes no journal says so, and can still be stopped.
    """

    def __init__(self, folder: Path) -> None:
        self.trouble = ""
        self._path = folder / NAME
        self._salt = os.urandom(16)
        self._number: int | None = None
        self._news, self._leave = threading.Event(), False
        self._thread = threading.Thread(target=self._sync, name="command journal", daemon=True)

    def add(self, who: dict[str, Any], command: Command, refused: str = "") -> None:
        """Write a line."""
        told = _told(command.args)
        line = {
            "when": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            **who,
            "id": command.id,
            "command": command.name,
            **({"as": self._alias(command.client)} if command.client else {}),
            "args": sorted({_name(key) for key in command.args}),
            **({"told": told} if told and command.name in ("module", "fault") else {}),
            **({"refused": refused} if refused else {}),
        }
        try:
            text = json.dumps(line, ensure_ascii=False, default=str).encode()
            if len(text) > MOST_BYTES:
                line.pop("told", None)
                line["args"] = ["…"]
                text = json.dumps(line, ensure_ascii=False, default=str).encode()[:MOST_BYTES]
            os.write(self._opened(), text + b"\n")
        except (OSError, PlaceError) as error:
            self.trouble = f"{self._path} cannot be written: {error}"
            return
        self.trouble = ""
        self._news.set()

    def _alias(self, client: str) -> str:
        """Return what stands for the name that a client gives itself, which may be a person's."""
        digest = blake2b(client.encode("utf-8", "replace"), key=self._salt, digest_size=4)
        return f"client {digest.hexdigest()}"

    def close(self) -> None:
        """Wait until all is on disk, and close."""
        if self._number is not None:
            self._leave = True
            self._news.set()
            self._thread.join(10.0)
            os.close(self._number)
            self._number = None

    def _opened(self) -> int:
        if self._number is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open_private(self._path) as file:
                self._number = os.dup(file.fileno())
            _cut_off_torn(self._number)
            self._thread.start()
        return self._number

    def _sync(self) -> None:
        while not self._leave:
            self._news.wait()
            self._news.clear()
            number = self._number
            if number is not None:
                try:
                    os.fdatasync(number)
                except OSError as error:
                    self.trouble = f"{self._path} is not on disk: {error.strerror}"


def _told(args: dict[str, Any]) -> dict[str, Any]:
    """Return what may be written of the values of an order to modules, or of one about faults."""
    told: dict[str, Any] = {}
    if (action := args.get("action")) is not None:
        told["action"] = action if action in ACTIONS else UNTOLD
    if (modules := args.get("modules")) is not None:
        told["modules"] = [_number(one) for one in modules] if isinstance(modules, list) else UNTOLD
    if (text := args.get("text")) is not None:
        told["text"] = text if _describes_fault(text) else UNTOLD
    if (values := args.get("values")) is not None:
        told["values"] = UNTOLD
        if isinstance(values, dict):
            told["values"] = {_name(key): _number(value) for key, value in values.items()}
    return told


def _describes_fault(text: object) -> bool:
    """Whether a text has no words but those of faults."""
    if not isinstance(text, str) or len(text) > MOST_BYTES:
        return False
    tokens = re.findall(r"\w+", text)
    words = [token for token in tokens if not _AMOUNT.fullmatch(token)]
    return set(words) <= FAULT_WORDS and (bool(words) or _FAULT_NUMBER.fullmatch(text) is not None)


def _name(key: object) -> str:
    return key if isinstance(key, str) and _NAME.fullmatch(key) else UNTOLD


def _number(value: object) -> int | float | str:
    return value if isinstance(value, int | float) else UNTOLD


def _cut_off_torn(number: int) -> None:
    """Cut off half a line at the end, or zeros, as a power cut leaves them."""
    size = os.fstat(number).st_size
    last = os.pread(number, 2 * MOST_BYTES, max(size - 2 * MOST_BYTES, 0))
    if last and not last.endswith(b"\n"):
        os.ftruncate(number, size - len(last) + last.rfind(b"\n") + 1)
