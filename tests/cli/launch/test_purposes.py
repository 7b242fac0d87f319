"""What is compiled for a purpose is all that its processes use: afterwards none compiles anything.

Real processes of whole chains: daq, emulator and imager, each with only the kernels warmed that its
command loads, or that ``tomoshibi warm --for`` compiles for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from daq.cli.launch.kernels import PURPOSES, tasks_of
from daq.client.client import ClientError, ControlClient, DisplayClient
from hw.messages.endpoints import Endpoints
from hw.scanner.preset_file import load_scanner
from recon.imager.service import LOAD
from rigs.acquisition_process import wait_until
from rigs.watched_kernels import Watched

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

WAIT_S = 200.0
"""Of a machine whose cache has nothing yet."""

BENCH, CAMERA = ("--preset", "bench2"), ("--preset", "gamma_head_lehr")
PET = ("--phantom", "point", "--activity-MBq", "0.3", "--lutetium")
SPECT = ("--phantom", "point", "--nuclide", "Tc-99m")
CHAINS = {
    "PET": ("demo", BENCH, PET, ()),
    "SPECT": ("spect", CAMERA, SPECT, ("--spect", "Tc-99m")),
}
"""Purpose, preset, options of the emulator and of the daq."""


class Chain:
    """Watched commands that share an endpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.endpoints = Endpoints(f"ipc://{folder}/ipc")
        self.first_start = False
        self.running: list[Watched] = []

    def start(self, tasks: Sequence[str], command: str, *options: str) -> Watched:
        """Start a command after some tasks."""
        argv = [command, "--endpoint", self.endpoints.base, *options]
        self.running.append(Watched(self._folder, tasks, *argv, first_start=self.first_start))
        return self.running[-1]

    def wait_for_imager(self) -> None:
        """Wait until the daq has heard of the imager."""
        with ControlClient(self.endpoints) as control:
            wait_until(lambda: self._has_imager(control), "the imager", timeout_s=WAIT_S)

    def stop_after_an_image(self, *, corrected: str) -> None:
        """Stop the run once an image has come with this correction."""
        with closing(DisplayClient(self.endpoints)) as display:

            def has_come() -> bool:
                image = display.image()
                return image is not None and bool(image.corrections.get(corrected))

            wait_until(has_come, f"an image with {corrected}", timeout_s=WAIT_S)
        with ControlClient(self.endpoints) as control:
            control.send("stop")

    def _has_imager(self, control: ControlClient) -> bool:
        assert all(one.process.poll() is None for one in self.running), self.running[-1].log
        try:
            return bool(control.call("status", timeout_s=0.5)["imager"])
        except ClientError:
            return False


@pytest.fixture
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain of which nothing outlives the test."""
    made = Chain(tmp_path_factory.mktemp("q"))
    yield made
    for one in made.running:
        one.kill()


def loaded_by_imager(modality: str) -> list[str]:
    """Return the tasks that ``imager --modality`` runs."""
    return [f"{task.__module__}:{task.__name__}" for task in LOAD[modality]]


def mu_map(preset: str, path: Path) -> Path:
    """Write a µ map of thin water, for attenuation; return its path."""
    image = load_scanner(preset).image
    mu_per_mm = np.full(image.shape, 0.001, np.float32)
    np.savez(path, mu_per_mm=mu_per_mm, voxel_mm=np.asarray(image.voxel_mm))
    return path


@pytest.mark.parametrize(
    ("kind", "modality"),
    [
        ("PET", "own"),
        *(pytest.param(*one, marks=pytest.mark.evidence)
          for one in (("SPECT", "own"), ("PET", "all"), ("SPECT", "all"))),
    ],
)  # fmt: skip
def test_after_warming_a_whole_run_compiles_nothing(
    chain: Chain, tmp_path: Path, kind: str, modality: str
) -> None:
    purpose, preset, source, sorting = CHAINS[kind]
    chain.first_start = modality == "own"
    chosen = ["--modality", kind] if modality == "own" else []
    tasks = loaded_by_imager(kind if modality == "own" else "")
    imager = chain.start(tasks, "imager", *chosen)
    daq = chain.start(
        PURPOSES["acquire"], "acquire", *preset, *sorting, "--auto", "--runs", str(tmp_path),
        "--mu-map", str(mu_map(preset[1], tmp_path / "mu.npz")),
    )  # fmt: skip
    chain.wait_for_imager()
    emulator = chain.start(tasks_of(purpose), "emulate", *preset, *source)
    chain.stop_after_an_image(corrected="attenuation" if kind == "PET" else "sensitivity")
    assert daq.surprises(within_s=WAIT_S) == []
    assert emulator.surprises(within_s=30) == []
    imager.process.send_signal(signal.SIGTERM)
    assert imager.surprises(within_s=30) == []
