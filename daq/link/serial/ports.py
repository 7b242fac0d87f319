"""Serial ports: found, opened for one program only, read and written without ever waiting.

Every address that pyserial opens: ``/dev/tty…`` and a pty's path, ``socket://host:port``,
``rfc2217://host:port``, ``hwgrep://VID:PID``. A device is locked by pyserial (``flock``); without a
device node, a lock file in the machine's temporary folder takes its place, so that two programs on
one machine never share a line. Reads and writes use the port's file descriptor if it has one,
because pyserial's own wait: ``read`` in ``select`` for each byte, ``write`` until all is taken, and
with a ``write_timeout`` of 0 it spins on a full buffer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import socket
import warnings
from pathlib import Path
from typing import IO, Any

import serial

from daq.link.serial.line_errors import LinkLost, PortBusy, PortError
from hw.private_place import PlaceError, open_private, private_folder, runtime_folder
from hw.wire.control import DEFINITION

BAUD_DEFAULT: int = DEFINITION["control"]["baud_default"]
READ_BYTES = 1 << 16
_MOST_READS = 64
_PTY_BYTES = 2048  # a pty gives 4095 at most at a time; less than this: it is empty


class Port:
    """One open port. ``read`` and ``write`` return at once; if the port went away they raise
    LinkLost.
    """

    def __init__(self, url: str, line: Any, lock: IO[str] | None) -> None:
        self.url = url
        self._line = line
        self._lock = lock
        self._fd = _descriptor(line)
        self._terminal = self._fd is not None and os.isatty(self._fd)
        self._connection: socket.socket | None = getattr(line, "_socket", None)
        self._acknowledge()

    @property
    def descriptor(self) -> int | None:
        """What a selector can wait for; None if the port must be polled."""
        return self._fd

    @property
    def baud(self) -> int:
        return int(self._line.baudrate)

    @baud.setter
    def baud(self, baud: int) -> None:
        try:
            self._line.baudrate = baud
        except (OSError, ValueError) as error:
            raise PortError(f"{self.url}: does not do {baud} baud ({error})") from error

    def read(self, *, hung_up: bool = False) -> bytes:
        """Return all bytes available, b"" for none.

        hung_up : the selector reported a hang-up; a terminal then reads b"", as it does when
            nothing is there
        """
        try:
            if self._fd is None:
                return self._read_line()
            data = self._read_descriptor(self._fd, hung_up or not self._terminal)
            self._acknowledge()
            return data
        except (OSError, TypeError) as error:  # TypeError: pyserial's port closed under us
            raise LinkLost(f"{self.url}: the port went away while reading ({error})") from error

    def write(self, data: bytes) -> int:
        """Write bytes to the port; return how many it took."""
        try:
            if self._fd is None:
                return int(self._line.write(data))
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except (OSError, TypeError) as error:
            raise LinkLost(f"{self.url}: the port went away while writing ({error})") from error

    def close(self) -> None:
        """Close the port and release it for others. May be called twice."""
        with contextlib.suppress(OSError, AttributeError):
            self._line.close()
        if self._connection is not None:
            self._connection.close()  # pyserial leaves it open where shutting down failed
        if self._lock is not None:
            _unlock_address(self._lock)
            self._lock = None

    def _acknowledge(self) -> None:
        """Acknowledge what came over TCP at once.

        QEMU hands each byte of a UART to TCP separately, and TCP joins them (Nagle): the second is
        sent when the first has been acknowledged, which Linux delays by 40 ms unless told
        otherwise, and only for a while (tcp(7), TCP_QUICKACK). Without joining, each byte is a
        segment of its own and the line has half the speed.
        """
        if self._connection is not None and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _read_descriptor(self, descriptor: int, nothing_is_the_end: bool) -> bytes:
        pieces: list[bytes] = []
        for _ in range(_MOST_READS):
            try:
                piece = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                break
            if not piece:
                if nothing_is_the_end and not pieces:
                    raise OSError("the other end is gone")
                break
            pieces.append(piece)
            if len(piece) < _PTY_BYTES:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_line(self) -> bytes:
        waiting = self._line.in_waiting
        data = bytes(self._line.read(waiting)) if waiting else b""
        if waiting and not data:
            raise OSError("the other end is gone")
        return data


_UNUSABLE = (
    serial.SerialException, OSError, ValueError, AttributeError, TypeError, OverflowError, re.error,
)  # fmt: skip
"""Exceptions of pyserial for addresses and speeds that it cannot use."""


def open_port(url: str, *, baud: int = BAUD_DEFAULT) -> Port:
    """Open a port for this program only.

    Raises
    ------
    PortBusy
        another program has it; the message says which, if the system does.
    PortError
        it does not exist, may not be opened, or the address is not a port's.
    """
    device = "://" not in url or url.startswith("hwgrep://")
    with contextlib.ExitStack() as undo:
        lock = None if device else _lock_address(url)
        if lock is not None:
            undo.callback(_unlock_address, lock)
        try:
            line = _open_line(url, baud)
        except _UNUSABLE as error:
            raise _port_error(url, error) from error
        undo.pop_all()
    return Port(url, line, lock)


def _open_line(url: str, baud: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyserial 3.5's rfc2217: setDaemon
        line = serial.serial_for_url(url, do_not_open=True, baudrate=baud)
        if not url.startswith("rfc2217://"):  # there 0 means one byte a call
            line.timeout = 0
        line.exclusive = True
        line.open()
    return line


def _descriptor(line: Any) -> int | None:
    try:
        return int(line.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def _lock_address(url: str) -> IO[str]:
    """Lock an address without a device node among this machine's programs."""
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    path = runtime_folder() / f"port-{name}.lock"
    while True:
        try:
            private_folder(path.parent)
            file = open_private(path)
        except (OSError, PlaceError) as error:
            raise PortError(
                f"{url}: cannot be locked: {error}. XDG_RUNTIME_DIR names another folder"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise PortBusy(_busy_words(url, str(path))) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # its last holder removed it while we waited: take the new one


def _unlock_address(lock: IO[str]) -> None:
    Path(lock.name).unlink(missing_ok=True)  # before another can lock it
    lock.close()


def _port_error(url: str, error: Exception) -> PortError:
    text = str(error)
    if "exclusively lock" in text or "Resource temporarily unavailable" in text:
        return PortBusy(_busy_words(url, url))
    if "ermission denied" in text:
        return PortError(
            f"{url}: this user may not open it; add the user to the group that owns the device "
            "(on Debian: adduser NAME dialout) and log in anew"
        )
    if not isinstance(error, OSError) or re.search(r"'<=' not|'debug\|", text):
        # pyserial's words for these mislead
        return PortError(
            f"{url}: address or speed cannot be used; write /dev/ttyUSB0, "
            "socket://HOST:PORT, rfc2217://HOST:PORT or hwgrep://VID:PID, and a baud rate that the "
            f"port does. {_known_ports()}"
        )
    return PortError(f"{url}: cannot be opened ({text}). {_known_ports()}")


def _known_ports() -> str:
    from serial.tools import list_ports

    names = [port.device for port in list_ports.comports()]
    return f"Ports of this machine: {', '.join(names) or 'none'}"


def _busy_words(url: str, path: str) -> str:
    holder = lock_holder(path)
    who = holder or "a program that the system does not name (look with: fuser -v " + path + ")"
    return f"{url}: {who} has this port open; end it first, one line serves one host"


def lock_holder(path: str) -> str:
    """Return "program (process N)" that holds a lock on a file, "" if the system names none."""
    try:
        status = Path(path).stat()
        wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        if "->" not in fields and wanted in fields:
            return _process_words(int(fields[4]))
    return ""


def _process_words(process: int) -> str:
    try:
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    own = " this program itself," if process == os.getpid() else ""
    return f"{name} ({own.strip()}{' ' if own else ''}process {process})"
