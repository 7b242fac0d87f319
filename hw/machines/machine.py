"""One interface for everything that runs a module's firmware.

A machine is a context manager. Every wait is bounded, the error for a machine that does not start
ends with the tail of its log, and no machine outlives the process that started it, however that
ended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from hw.errors import TomoshibiError
from hw.machines.memory_window import Window

LOG_LINES = 8


class MachineError(TomoshibiError, RuntimeError):
    """A machine did not do what it was asked; the message ends with the tail of its log."""


class Started(ABC):
    """Something that a ``with`` starts, and closes however it ends, even if starting failed."""

    @abstractmethod
    def start(self) -> None:
        """Start it."""

    @abstractmethod
    def close(self) -> None:
        """Stop it; harmless if not started."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Machine(Started):
    """Runs one module's firmware.

    kind : "native" or "qemu"
    module : module index (used in file names; the firmware's own is its register ``module``)
    window : memory shared with the firmware; it outlives stops, resets and power cuts
    serial_url : the URL that pyserial opens; known after ``start``
    datagram_port : UDP port of this host to which the firmware sends, None: no Ethernet
    log : file with everything that the machine printed
    """

    kind: ClassVar[str]

    def __init__(self, *, module: int, folder: Path, datagram_port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.module = module
        self.folder = folder
        self.datagram_port = datagram_port
        self.log = folder / f"module-{module:03d}.log"
        self.serial_url = ""
        path = folder / f"module-{module:03d}.window"
        self.window = Window.open(path) if path.exists() else Window.create(path)

    @abstractmethod
    def start(self, *, within_s: float = 10.0) -> None:
        """Run the firmware; returns when its serial port can be opened.

        Raises
        ------
        MachineError : it did not start
        """

    @abstractmethod
    def stop(self, *, within_s: float = 2.0) -> None:
        """Stop the machine, killing it if it takes too long; harmless if it is not running."""

    @abstractmethod
    def reset(self) -> None:
        """Press the reset button: the firmware restarts; the port and the window stay."""

    @abstractmethod
    def power(self, on: bool) -> None:
        """Cut or restore the supply, at once and without warning the firmware."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the machine is running (true also while its supply is cut)."""

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """Return the last lines of the log, "" if there is none."""
        if not self.log.is_file():
            return ""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def error(self, what: str, remedy: str) -> MachineError:
        """Return an error that names this machine and ends with the tail of its log."""
        tail = self.log_tail() or "(empty)"
        where = f"{self.kind} machine of module {self.module} ({self.folder})"
        return MachineError(f"{where}: {what}; {remedy}. Its log ends with:\n{tail}")

    def close(self) -> None:
        """Stop the machine and release its window (the file stays)."""
        try:
            self.stop()
        finally:
            self.window.close()
