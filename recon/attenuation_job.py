"""Computes the attenuated sensitivity in the background while images already appear without it."""

from __future__ import annotations

import threading
from pathlib import Path

from recon.grid import Image, ReconError
from recon.mu_map import load_mu_map
from recon.sensitivity import SensitivityStopped
from recon.sensitivity_cache import cached_sensitivity
from recon.system import ReconSystem


class AttenuationJob:
    """One µ map's job in a thread of its own.

    :meth:`take` hands out (µ map, sensitivity) once; ``error`` says why there will be none.
    """

    def __init__(self, system: ReconSystem, path: Path) -> None:
        self.error = ""
        self._system = system
        self._path = path
        self._made: tuple[Image, Image] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="attenuation", daemon=True)
        self._thread.start()

    def take(self) -> tuple[Image, Image] | None:
        """Return the result if it is there and was not taken yet."""
        made, self._made = self._made, None
        return made

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of the job, at most so long."""
        self._thread.join(timeout_s)

    def stop(self) -> None:
        """Give up; returns within about the time of one chunk of lines."""
        self._stop.set()
        self._thread.join(0.4)

    def _work(self) -> None:
        system = self._system
        try:
            mu = load_mu_map(self._path, system.grid)
            sensitivity = cached_sensitivity(
                system.scanner,
                system.geometry,
                system.allowed,
                system.grid,
                mu_per_mm=mu,
                stopped=self._stop.is_set,
            )
        except ReconError as error:
            self.error = str(error)
        except SensitivityStopped:
            self.error = "stopped"
        else:
            self._made = (mu, sensitivity)
