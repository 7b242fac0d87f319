"""A service below a folder of a test: real units, real versions, a real daq, a small systemctl.

A version is a wheel of a few lines, whose command hands over to this checkout's command line: what
pip installs and what starts are real, and take a second instead of a minute.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import zipfile
from pathlib import Path

from daq.cli.appliance import daq_asked
from daq.cli.appliance.installation import put_in_place
from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import ServiceSettings, keep
from daq.cli.appliance.switching import Switcher
from daq.cli.appliance.systemd import Systemd
from daq.cli.appliance.unit_files import processes
from daq.cli.appliance.version_build import Given, build
from daq.cli.appliance.versions import Versions
from hw.private_place import cache_root
from rigs.appliance import small_systemctl

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """\
import os
import sys
import time

def main():
    words = sys.argv[1:]
    if words[:1] == ["warm"]:
        return 0
    if words[:1] == ["acquire"] and "{acquire}" == "ends":
        sys.exit("this version does not work")
    if words[:1] == ["acquire"] and "{acquire}" == "hangs":
        time.sleep(600)
    os.environ["PYTHONPATH"] = "{root}"
    os.execv("{python}", ["{python}", "-m", "daq.cli", *words])
"""


def small_wheel(folder: Path, version: str, *, acquire: str = "works") -> Path:
    """Write a version's wheel into a folder of its own; ``acquire`` works, ends or hangs."""
    folder.mkdir(parents=True)
    info = f"tomoshibi-{version}.dist-info"
    files = {
        "small_tomoshibi.py": PROGRAM.format(root=ROOT, python=sys.executable, acquire=acquire),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tomoshibi\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntomoshibi = small_tomoshibi:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"tomoshibi-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return folder


class TrialService:
    """A service whose files lie below ``folder``; only the daq runs."""

    def __init__(self, folder: Path) -> None:
        user = pwd.getpwuid(os.getuid()).pw_name
        self.folder, self.places = folder, Places(folder / "root")
        self.settings = ServiceSettings(
            user=user, acquire=["--preset", "bench2"], with_imager=False
        )
        self.versions = Versions(self.places.versions)
        self.state = folder / "systemd"
        self.state.mkdir(parents=True, exist_ok=True)
        self.said: list[str] = []

    @property
    def systemd(self) -> Systemd:
        """The small systemctl of this service."""
        return Systemd([sys.executable, small_systemctl.__file__, str(self.state),
                        str(self.places.units)])  # fmt: skip

    @property
    def switcher(self) -> Switcher:
        """What changes its version, less patient than in earnest."""
        return Switcher(self.places, self.settings, self.versions, self.systemd, self.said.append,
                        comes_up_s=40.0, stays_s=0.5)  # fmt: skip

    def wheels(self, version: str, *, acquire: str = "works") -> Given:
        """Return what a version is made of."""
        return Given(small_wheel(self.folder / f"wheels-{version}", version, acquire=acquire))

    def install(self, version: str) -> str:
        """Install a version and start it; return its name."""
        given = self.wheels(version)
        name = build(given, self.versions, self.settings, self.places, say=self.said.append)
        self.versions.put_in_force(name, previous="")
        put_in_place(self.settings, self.places)
        keep(self.settings, self.places)
        with self.places.environment.open("a") as file:  # compiled once for all tests
            file.write(f'TOMOSHIBI_CACHE="{cache_root()}"\n')
        self.systemd.start("tomoshibi-daq.service")
        assert not self.switcher._why_not_well(""), self.log()
        return name

    def ask(self) -> str:
        """Return the daq's state, as the version in force hears it."""
        program = self.versions.program(self.versions.current)
        return daq_asked.ask(program, self.settings, self.places)

    def log(self) -> str:
        """Return what the daq wrote."""
        return (self.state / "tomoshibi-daq.service.log").read_text(errors="replace")

    def end(self) -> None:
        """Stop all that runs, and remove the folder."""
        for process in processes(self.settings):
            small_systemctl.stop(self.state, process.unit)
        shutil.rmtree(self.folder, ignore_errors=True)
