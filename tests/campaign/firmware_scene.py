"""Two modules with their real firmware, on serial lines with plugs, in front of the same daq."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from campaign.scene import Scene, wait_until
from daq.client.client import ClientError
from daq.link.modules.own_machines import MachineRing
from hw.machines.build import build
from hw.machines.machine import Machine
from rigs.line_proxy import LineProxy

MODULES = 2
BIAS_MV = 56_500


class FirmwareScene(Scene):
    """One system whose source is a link process with two modules; hits come from an emulator."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._windows = folder / "machines"
        self.ring = MachineRing(
            self._windows, modules=MODULES, arm=0, data_path="serial", say=lambda words: None
        ).__enter__()
        self.plugs = [LineProxy(machine.serial_url) for machine in self.machines]
        self.link: subprocess.Popen[bytes] | None = None
        super().__init__(folder, seed=seed)

    @property
    def machines(self) -> list[Machine]:
        """The modules' processes."""
        return self.ring.machines

    def start_source(self) -> subprocess.Popen[bytes]:
        """Start the emulator of hits, and the link process where none runs."""
        if self.link is None or self.link.poll() is not None:
            self.start_link()
        self.source = self._start(
            "emulate", "--preset", "bench2", "--phantom", "point", "--activity-MBq", "0.2",
            "--seed", str(self.seed), "--hits", str(self._windows),
            at=self.tap.base,
        )  # fmt: skip
        return self.source

    def start_link(self) -> None:
        """Start a link process on the lines."""
        ports = [
            word for m, plug in enumerate(self.plugs) for word in ("--port", f"{m}={plug.url}")
        ]
        where = ["--baud", "3000000", "--folder", str(self.folder / "link")]
        self.link = self._start("link", "--preset", "bench2", *ports, *where, at=self.tap.base)

    def settle(self) -> None:
        """Besides: modules ready, their faults cleared and their bias on."""
        super().settle()
        if self.link is None or self.link.poll() is not None:
            self.start_link()
        wait_until(self._ready, "readiness of the modules")

    def has_its_sources(self) -> bool:
        """Whether the daq hears the link process and the source of hits."""
        return len(self.status().get("sources", ())) == 2

    def start_run(self) -> None:
        """Start the armed run; a module that has just come back is asked for its bias again."""
        wait_until(self._started, "a start with all modules ready")

    def _started(self) -> bool:
        try:
            super().start_run()
        except ClientError as error:
            if "not ready" not in str(error):
                raise
            self._ask_for_bias()
            return False
        return True

    def _ready(self) -> bool:
        status = self.status()
        if self.has_its_sources() and not status.get("not_ready"):
            return True
        if status.get("sources"):
            self._ask_for_bias()
        return False

    def _ask_for_bias(self) -> None:
        for module in range(MODULES):
            for action, values in (
                ("clear_fault", {}),
                ("write", {"bias_slew": 100_000}),
                ("bias", {"target_mV": BIAS_MV}),
            ):
                try:
                    self.call("module", action=action, modules=[module], values=values)
                except ClientError:
                    continue  # asked for again

    def update_in_background(self, module: int) -> threading.Thread:
        """Order an update of a module's firmware; what is answered does not matter."""
        path = self.folder / "update.tmim"
        path.write_bytes(build("native").slot_image)

        def order() -> None:
            try:
                self.call(
                    "module", action="update", modules=[module],
                    values={"path": str(path)}, timeout_s=30,
                )  # fmt: skip
            except ClientError:
                return  # it was cut

        thread = threading.Thread(target=order)
        thread.start()
        return thread

    def truths(self) -> list[Path]:
        """Modules keep no truth of their frames: the tap has what was handed on, and they count."""
        return []

    def close(self) -> None:
        """End the modules, too."""
        super().close()
        for plug in self.plugs:
            plug.close()
        self.ring.close()
