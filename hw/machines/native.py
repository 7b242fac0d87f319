"""A module as a process on this host: the same core as the ARM image, on ``hal/posix``.

After a reset, a watchdog timeout or a power cut the program is executed anew, while its serial port
and window stay, as on a board. It ends with the process that started it, whatever ended that.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import ClassVar, Literal

from hw.machines.build import Image, build
from hw.machines.machine import Machine

RECEIVER = "127.0.0.1"


class Native(Machine):
    """The firmware as a process.

    Usage::

        with Native(module=3, folder=Path("run/machines")) as machine:
            port = serial.Serial(machine.serial_url, exclusive=True)

    Parameters
    ----------
    module : its number, which names its files
    folder : for window and log; a window there is used as it is
    image : what ``build("native")`` returned, None: build it
    serial : "pty" (a device file), or "tcp" (socket://, where ptys are not available)
    datagram_port : UDP port of this host that receives its datagrams, None: no Ethernet
    """

    kind: ClassVar[str] = "native"

    def __init__(
        self,
        *,
        module: int = 0,
        folder: Path,
        image: Image | None = None,
        serial: Literal["pty", "tcp"] = "pty",
        datagram_port: int | None = None,
    ) -> None:
        super().__init__(module=module, folder=folder, datagram_port=datagram_port)
        self.image = image if image is not None else build("native")
        self.serial = serial
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, within_s: float = 10.0) -> None:
        """Run the firmware; returns when its serial port can be opened."""
        if self.alive:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.serial_url = self._announced(time.monotonic() + within_s)

    def stop(self, *, within_s: float = 2.0) -> None:
        """Stop the process, killing it if it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5.0)
        if process.stdout is not None:
            process.stdout.close()

    def reset(self) -> None:
        """Press the reset button."""
        self._signal(signal.SIGHUP)

    def power(self, on: bool) -> None:
        """Cut or restore the supply; the port stays, silent meanwhile."""
        self._signal(signal.SIGUSR2 if on else signal.SIGUSR1)

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id, 0 if it is not running."""
        return self._process.pid if self._process is not None and self.alive else 0

    def _argv(self) -> list[str]:
        argv = [str(self.image.path), "--window", str(self.window.path)]
        argv += ["--serial", "pty" if self.serial == "pty" else "tcp:0"]
        argv += ["--leash", str(os.getpid())]
        if self.datagram_port is not None:
            argv += ["--udp", f"{RECEIVER}:{self.datagram_port}"]
        return argv

    def _announced(self, deadline: float) -> str:
        """Return the URL that the process prints when its port is ready."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        said = b""
        while not said.endswith(b"\n"):
            readable, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
            piece = os.read(process.stdout.fileno(), 256) if readable else b""
            if not piece:
                self.stop()
                why = "it ended at once" if readable else "it did not name its serial port in time"
                raise self.error(why, "remove the cause that the log names")
            said += piece
        return said.decode().strip()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.alive:
            raise self.error("it does not run", "start it first")
        self._process.send_signal(number)
