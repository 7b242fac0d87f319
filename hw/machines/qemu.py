"""A module's ARM image in QEMU: board ``mps2-an386``, one process, its window in shared memory.

The guest waits for its first host: it boots when the serial port is opened, so that HELLO is never
missed. The process dies with the thread that started it, however that ends.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, Any, ClassVar

from hw.machines.build import Image, build
from hw.machines.machine import Machine, MachineError
from hw.machines.toolchain import missing
from hw.parent_death import die_with_parent

PROGRAM = "qemu-system-arm"
ICOUNT = "shift=7,sleep=off,align=off"
"""128 ns of guest time an instruction, none spent asleep: time does not depend on the host."""
DATAGRAM_HEADERS_BYTES = 14 + 20 + 8
"""Ethernet, IPv4 and UDP in front of what arrives at ``datagram_port``."""
TRANSLATION_MIB = 16
"""QEMU's cache of translated code; its default of many times that is for larger guests."""
_ANSWER_S = 2.0


class Qemu(Machine):
    """One module's ARM image in a QEMU process.

    Start it from a thread that lives at least as long as the machine is needed.

    >>> with Qemu(module=3, folder=Path("ring")) as machine:  # doctest: +SKIP
    ...     session = ModuleSession.open(machine.serial_url)
    """

    kind: ClassVar[str] = "qemu"

    def __init__(
        self,
        *,
        module: int = 0,
        folder: Path,
        image: Image | None = None,
        datagram_port: int | None = None,
        icount: bool = False,
    ) -> None:
        """Prepare a machine; ``start`` runs it.

        Parameters
        ----------
        module : used in the names of its files
        folder : for window and log; an existing window there is used as it is
        image : what to boot, None: build it
        datagram_port : UDP port of 127.0.0.1 where its Ethernet frames go, None: nowhere
        icount : count instructions instead of host time; guest time then runs as fast as the
            processor allows, and never waits for the host's
        """
        super().__init__(module=module, folder=folder, datagram_port=datagram_port)
        self.image = image
        self.icount = icount
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: _Monitor | None = None
        self._port = 0
        self._log_start = 0

    # --- life -------------------------------------------------------------------------------

    def start(self, *, within_s: float = 10.0) -> None:
        """Run QEMU; returns when its serial port can be opened.

        Raises
        ------
        MachineError : QEMU is missing or did not start
        WindowError : another machine runs on the window
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.window.claim()
        try:
            lacking = missing("qemu")
            if lacking:
                raise MachineError(lacking)
            self._spawn()
            self._wait_for_port(within_s)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, within_s: float = 2.0) -> None:
        """Kill QEMU: it has nothing to save, as the window is a shared mapping."""
        self._end(within_s)
        self._port = 0
        self.window.release()

    def reset(self) -> None:
        """Press the reset button; RAM, port and window stay.

        Raises
        ------
        MachineError : not running, or QEMU does not answer (no host has opened the port yet)
        """
        self._ask("system_reset")

    def pause(self, on: bool) -> None:
        """Stop or continue guest and guest time, as a debugger does."""
        self._ask("stop" if on else "cont")

    def power(self, on: bool) -> None:
        """Cut or restore the supply: without it there is no port; RAM is lost, the window stays.

        The port number is kept if possible; ``serial_url`` is always the current one.
        """
        if on == (self._process is not None):
            return
        if not on:
            self._end(2.0)
            return
        self._spawn()
        self._wait_for_port(10.0)

    @property
    def alive(self) -> bool:
        """Whether QEMU is running, or would be if its supply were on."""
        if self._process is None:
            return self._port != 0
        return self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of QEMU, None while it is not running."""
        return self._process.pid if self._process is not None else None

    # --- process ----------------------------------------------------------------------------

    def _spawn(self) -> None:
        """Start QEMU on listening sockets made here, so that no other process can take the port."""
        image = self.image = self.image or build("mps2")
        if not image.path.is_file():
            raise self.error(f"no image {image.path}", "build it: tomoshibi firmware build")
        listener, (ours, theirs) = _listen(self._port), socket.socketpair()
        self._port = listener.getsockname()[1]
        self.serial_url = f"socket://127.0.0.1:{self._port}"
        with listener, theirs, self.log.open("ab") as log:
            self._log_start = log.tell()
            handed = (listener.fileno(), theirs.fileno())
            argv = self._arguments(image, *handed)
            self._process = _run(argv, log, handed)
        self._monitor = _Monitor(ours)

    def _arguments(self, image: Image, serial: int, monitor: int) -> list[str]:
        place = str(self.window.path).replace(",", ",,")  # as QEMU wants commas written
        memory = f"memory-backend-file,id=psram,size=16M,mem-path={place},share=on"
        argv = [PROGRAM, "-M", "mps2-an386,memory-backend=psram", "-object", memory]
        argv += ["-accel", f"tcg,thread=single,tb-size={TRANSLATION_MIB}"]
        argv += ["-kernel", str(image.path), "-nodefaults", "-display", "none"]
        # without nodelay: a byte is a system call as it is, it need not be a segment too
        argv += ["-chardev", f"socket,id=line,fd={serial},server=on,wait=on"]
        argv += ["-serial", "chardev:line"]
        argv += ["-chardev", f"socket,id=monitor,fd={monitor}"]
        argv += ["-mon", "chardev=monitor,mode=control"]
        argv += self._network_arguments()
        return argv + (["-icount", ICOUNT] if self.icount else [])

    def _network_arguments(self) -> list[str]:
        if self.datagram_port is None:
            return ["-net", "none"]
        ends = f"udp=127.0.0.1:{self.datagram_port},localaddr=127.0.0.1:0"
        return ["-netdev", f"socket,id=net,{ends}", "-net", "nic,netdev=net"]

    def _wait_for_port(self, within_s: float) -> None:
        """Wait until QEMU says that it listens: until then it may still refuse its arguments."""
        until = time.monotonic() + within_s
        while b"QEMU waiting for connection" not in self._said():
            if self._process is None or self._process.poll() is not None:
                raise self.error("QEMU ended at its start", "read its log")
            if time.monotonic() > until:
                raise self.error(f"no serial port within {within_s:g} s", "is the host overloaded?")
            time.sleep(0.005)

    def _said(self) -> bytes:
        """Return what this process (not an earlier one) has written to the log."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read(65536)

    def _end(self, within_s: float) -> None:
        process, self._process = self._process, None
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.close()
        if process is None:
            return
        process.kill()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise self.error(
                f"QEMU (process {process.pid}) outlived a kill by {within_s:g} s", "see the host"
            ) from None

    def _ask(self, command: str) -> None:
        if self._process is None or self._monitor is None or self._process.poll() is not None:
            raise self.error(f"{command}: QEMU does not run", "start it, or give it power")
        try:
            self._monitor.ask(command)
        except (OSError, ValueError) as problem:
            raise self.error(
                f"{command}: no answer ({problem})", "has a host opened the serial port?"
            ) from problem


class _Monitor:
    """QEMU's control socket (QMP): lines of JSON."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.settimeout(_ANSWER_S)
        self._reader = line.makefile("rb")
        self._greeted = False

    def ask(self, command: str) -> Any:
        """Return a command's result; raises OSError or ValueError if none comes."""
        if not self._greeted:
            self._read("QMP")
            self._greeted = True
            self._execute("qmp_capabilities")
        return self._execute(command)

    def close(self) -> None:
        self._reader.close()
        self._line.close()

    def _execute(self, command: str) -> Any:
        self._line.sendall(json.dumps({"execute": command}).encode() + b"\n")
        return self._read("return")

    def _read(self, wanted: str) -> Any:
        """Return the value of the next answer, skipping events in between."""
        while line := self._reader.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise ValueError(f"QEMU: {answer['error']['desc']}")
            if wanted in answer:
                return answer[wanted]
        raise ConnectionError("QEMU closed its monitor")


def _listen(port: int) -> socket.socket:
    """Return a socket listening on 127.0.0.1, on ``port`` if free, else on any port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    return listener


def _run(argv: list[str], log: IO[bytes], handed: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=handed,
        start_new_session=True,  # Ctrl-C is for the host: it switches the bias off first
        preexec_fn=die_with_parent,  # one prctl: no allocation, no lock
    )
