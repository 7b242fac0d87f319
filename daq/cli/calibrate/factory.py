"""Calibrate an emulated scanner completely, as its factory would, from runs emulated for this.

Three sources are measured: a rod in air (energies, from an event library, for they need most
counts; skews and walks, from the full Monte Carlo), a thin hollow cylinder in air (normalisation)
and a water cylinder of known activity (Bq/mL). The calibrations are those of `tomoshibi calibrate`,
one after the other. The result is SERIAL.npz and, beside it,
SERIAL.activity.json; `tomoshibi demo --serial SERIAL --calibration SERIAL.npz` uses both. The sets
that come with the package were made this way. The emulator knows the true values: the deviation of
each quantity from them is printed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.common import (
    CommandError,
    add_json_option,
    add_preset_option,
    add_threads_option,
    finish,
    make_folder,
    positive,
    tell,
)
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.folder.calibration_set import CalibrationSet
    from emulator.detector.miscalibration import Truth
    from hw.scanner.description import Scanner

EXAMPLES = """\
examples:
  tomoshibi calibrate factory --preset caremibrain --serial caremibrain-0002 --output calibrations
  tomoshibi calibrate factory --preset bench2 --counts 0.1 --output /tmp/quick
"""

SEED = 4021
NUCLIDE = "F-18"
MODULE_BQ = 60e3
"""Activity for each module: dead time and pile-up stay below a percent of the triggers."""

LEAST_MODULES = 48
"""A scanner of few modules sees little of a source: it measures as one of so many does."""

SURROUNDED = 0.5
"""Share of the circle that modules must cover to see all of a wide source."""

LIBRARY_DECAYS, FLOOD_DECAYS, LEAST_LIBRARY = 400, 6000, 2_000_000
"""Of the energies' run, a crystal: those emulated, each of which is played so often."""

MOST_COINCIDENCES = 4e6
"""For skews and walks: bounds time and memory where there are 49 152 crystals."""

ROUND_TO = {
    "gain": 1 / 4096, "skew_ps": 2, "curvature": 1 / 4096, "walk_ps": 0.5, "efficiency": 1 / 2048,
    "block_profile": 1 / 4096, "geometric": 1 / 4096,
}  # fmt: skip
"""Steps of the values that are kept, far below their errors: the file is a fifth of the size."""


@dataclass(frozen=True)
class FactorySource:
    """A cylinder along z, centred. decays : of 48 modules' run.

    library : decays of the event library that is played, 0 for the full Monte Carlo
    """

    name: str
    radius_mm: float
    length_mm: float
    decays: float
    material: str = "air"
    library: int = 0

    def toml(self, voxel_mm: float) -> str:
        """Return the phantom's file."""
        wide, long = 2 * self.radius_mm + 4 * voxel_mm, self.length_mm + 4 * voxel_mm
        return (
            f'name = "{self.name}"\n[grid]\nvoxel_mm = {voxel_mm}\n'
            f"extent_mm = [{wide}, {wide}, {long}]\n"
            f'[[shape]]\nkind = "cylinder"\nradius_mm = {self.radius_mm}\n'
            f'length_mm = {self.length_mm}\nmaterial = "{self.material}"\nactivity = 1.0\n'
        )


def sources_for(scanner: Scanner) -> dict[str, FactorySource]:
    """Return flood, rod, drum and body.

    The drum, for normalisation, is wide, full and without matter: its trues change slowly from line
    to line, so that the blur of their ends moves few from one place to another. Where modules do
    not surround it, it is as wide as they are, for they see nothing of what lies beside them.
    """
    axial_mm = scanner.axial_mm
    width_mm = scanner.image.shape[0] * scanner.image.voxel_mm[0]
    rod = FactorySource(
        "rod", round(0.16 * scanner.ring.inradius_mm, 1), round(0.8 * axial_mm, 1), 4e7
    )
    wide_mm = 0.85 * scanner.ring.inradius_mm
    around_mm = scanner.ring.modules_per_ring * scanner.module.width_mm
    if around_mm < SURROUNDED * 2 * math.pi * scanner.ring.inradius_mm:
        wide_mm = min(wide_mm, scanner.module.width_mm / 2)
    drum = FactorySource("drum", round(wide_mm, 1), round(0.97 * axial_mm, 1), 1e8)
    body = FactorySource("body", round(0.32 * width_mm, 1), round(0.7 * axial_mm, 1), 3e7, "water")
    library = max(LIBRARY_DECAYS * scanner.n_crystals, LEAST_LIBRARY)
    played = max(FLOOD_DECAYS * scanner.n_crystals, 10 * LEAST_LIBRARY)
    flood = replace(rod, name="flood", decays=played * 48 / _modules(scanner), library=library)
    return {"flood": flood, "rod": rod, "drum": drum, "body": body}


def _modules(scanner: Scanner) -> int:
    return max(scanner.n_modules, LEAST_MODULES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_preset_option(parser)
    parser.add_argument("--serial", default="", metavar="NUMBER",
                        help="of the instrument (default: PRESET-0001)")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER",
                        help="for SERIAL.npz and SERIAL.activity.json")  # fmt: skip
    parser.add_argument("--counts", type=positive, default=1.0, metavar="X",
                        help="measure X times as many decays (default: %(default)g)")  # fmt: skip
    parser.add_argument("--keep-runs", type=Path, metavar="FOLDER",
                        help="keep runs and sets here (some GB); what lies there already "
                             "is taken again")  # fmt: skip
    add_threads_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Emulate, calibrate and write the set."""
    from hw.scanner.preset_file import load_scanner
    from hw.scanner.serial import ACTIVITY_SUFFIX, serial_of

    scanner = load_scanner(options.preset)
    if scanner.modality == "SPECT":
        raise CommandError(f"{scanner.name} has collimators: factory calibrations are for PET yet")
    serial = serial_of(options.serial, scanner)
    made = options.output / f"{serial}.npz", options.output / f"{serial}{ACTIVITY_SUFFIX}"
    for path in made:
        if path.exists():
            raise CommandError(f"{path} exists already and is never written over: move it away")
    make_folder(options.output)
    with contextlib.ExitStack() as stack:
        folder = options.keep_runs or stack.enter_context(tempfile.TemporaryDirectory())
        factory = Factory(options, scanner, serial, make_folder(Path(folder)))
        found = factory.calibrate(*made)
    figures = {key: round(value, 5) for key, value in _errors(found, factory.truth).items()}
    result = {"calibration": str(made[0]), "activity_calibration": str(made[1]),
              "identity": found.identity, "serial": serial, **figures}  # fmt: skip
    words = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in figures.items())
    finish(options, result, f"{made[0]} and {made[1]}: {words}")
    return 0


def _emulator_config(options: argparse.Namespace, phantom: str, activity_Bq: float = 1e6) -> Any:
    from emulator.config import make_config

    return make_config({
        "scanner": options.preset, "phantom": phantom, "nuclide": NUCLIDE, "serial": options.serial,
        "activity_Bq": activity_Bq, "seed": SEED, "threads": options.threads, "pace": "fast",
    })  # fmt: skip


class Factory:
    """Emulates the runs and calls the calibrations; ``truth`` is what they have to find."""

    truth: Truth

    def __init__(
        self, options: argparse.Namespace, scanner: Scanner, serial: str, folder: Path
    ) -> None:
        self._options, self._scanner, self._serial = options, scanner, serial
        self._folder = folder
        self._sources = sources_for(scanner)
        self._activity_Bq = MODULE_BQ * scanner.n_modules

    def calibrate(self, set_path: Path, activity_path: Path) -> CalibrationSet:
        """Make both files; return the set."""
        from daq.folder.calibration_set import save_set

        rod, drum, body = (self._sources[name] for name in ("rod", "drum", "body"))
        most = ["--coincidences", str(MOST_COINCIDENCES)]
        energy = self._step("energy", self._measured(self._sources["flood"]), None)
        run = self._measured(rod)
        skew = self._step("skew", run, energy, "--source", "cylinder", *most)
        walk = self._step("walk", run, skew, "--source", "cylinder", *most)
        run = self._measured(drum)
        size = ["--radius-mm", str(drum.radius_mm), "--length-mm", str(drum.length_mm)]
        size += ["--no-geometric"]  # the emulated blocks are as modelled
        found = self._packed(self._step("normalisation", run, walk, *size))
        save_set(found, set_path)
        run = self._measured(body, set_path)
        region = f"{0.75 * body.radius_mm:.1f},{0.7 * body.length_mm:.1f}"
        self._command(
            "activity", str(run), "--output", str(activity_path), "--region", region,
            "--radius-mm", str(body.radius_mm), "--length-mm", str(body.length_mm),
            "--activity-MBq", str(self._activity_Bq / 1e6),
        )  # fmt: skip
        return found

    def _measured(self, source: FactorySource, calibration: Path | None = None) -> Path:
        """Emulate a run of the source; return its folder.

        A kept run without calibration is used again: its raw log would come out the same.
        """
        import numpy as np

        from daq.folder.run_config import RunConfig, default_settings
        from daq.service.run import Run
        from emulator.engines.emulation import frames_of_run
        from emulator.engines.library_build import obtain_library
        from emulator.engines.prepare import prepare
        from emulator.library.kernel_tables import library_tables
        from emulator.object.catalogue import mu_map_on_grid
        from emulator.slices import PERIOD_S
        from hw.scanner.preset_file import scanner_to_toml_text

        options, scanner = self._options, self._scanner
        phantom, mu_map = self._folder / f"{source.name}.toml", self._folder / "mu_map.npz"
        phantom.write_text(source.toml(scanner.image.voxel_mm[0]), encoding="utf-8")
        config = _emulator_config(options, str(phantom), self._activity_Bq)
        instrument = prepare(config)
        self.truth, grid = instrument.truth, scanner.image
        if calibration is None and (self._folder / source.name / "summary.json").is_file():
            return self._folder / source.name
        progress = ProgressLine(f"emulating the {source.name}")
        if source.library:
            library = obtain_library(
                instrument, str(self._folder / "library.npz"), threads=options.threads,
                decays=round(source.library * min(options.counts, 1.0)),
                progress=lambda share: progress(share, 1.0),
            )  # fmt: skip
            tables = library_tables(library, instrument.response, scanner)
            instrument = replace(instrument, library=tables)
        mu_per_mm = mu_map_on_grid(instrument.phantom, grid.shape, grid.voxel_mm)
        np.savez_compressed(mu_map, mu_per_mm=mu_per_mm, voxel_mm=np.asarray(grid.voxel_mm))
        labels: dict[str, Any] = {"source": "emulator", "phantom": source.name, "seed": SEED}
        labels |= {"nuclide": NUCLIDE, "activity_MBq": self._activity_Bq / 1e6}
        run = Run(
            RunConfig(
                scanner_toml=scanner_to_toml_text(options.preset),
                settings=default_settings(scanner),
                name=source.name,
                serial=self._serial,
                calibration=str(calibration.resolve()) if calibration else "",
                mu_map=str(mu_map),
                labels={"scanner": scanner.name, **labels},
            ),
            self._folder,
        )
        decays = source.decays * options.counts * _modules(scanner) / 48
        periods = max(round(decays / self._activity_Bq / PERIOD_S), 2)
        run.start()
        frames = frames_of_run(instrument, config, periods=periods, run_tag=run.run_tag)
        for period, one in enumerate(frames):
            run.process(one)
            progress(period + 1, periods)
        run.finish()
        run.write_summary()
        progress.done()
        return run.folder

    def _step(self, quantity: str, run: Path, base: Path | None, *more: str) -> Path:
        """Calibrate one quantity; return the set, which holds those before it too."""
        output = self._folder / f"{quantity}.npz"
        if output.is_file():
            return output
        start = ["--calibration", str(base)] if base else []
        self._command(quantity, str(run), "--output", str(output), *start, *more)
        return output

    def _command(self, quantity: str, *arguments: str) -> None:
        from daq.cli.launch.processes import run_to_end

        tell(f"tomoshibi calibrate {quantity} {' '.join(arguments)}")
        if run_to_end(["calibrate", quantity, *arguments]):
            raise CommandError(f"calibrate {quantity} failed, see above; nothing is calibrated")

    def _packed(self, path: Path) -> CalibrationSet:
        """Return the set under the serial's name, its values rounded."""
        import numpy as np

        from daq.folder.calibration_set import Status, arrays_of, load_set_for, new_set

        full = load_set_for(path, self._scanner)
        arrays = arrays_of(full)
        statuses = {}
        if self._scanner.module.monolithic:  # bins of one block: what differs is the counts' noise
            each = arrays["efficiency"].reshape(self._scanner.n_modules, -1)
            arrays["efficiency"] = each.mean(axis=1).repeat(each.shape[1])
            statuses["efficiency"] = np.full(self._scanner.n_crystals, Status.MODULE)
        values = {key: step * np.rint(arrays[key] / step) for key, step in ROUND_TO.items()}
        return new_set(self._serial, self._scanner, sources=full.about.sources, values=values,
                       statuses=statuses, base=full, serial=self._serial)  # fmt: skip


def _errors(found: CalibrationSet, truth: Truth) -> dict[str, float]:
    """Return how far the set is from the truth, rms over the crystals; skews have a mean of 0."""
    import numpy as np

    each = len(found.block_profile) or 1
    shape = (len(found.gain) // each, each)
    skew_ps = found.skew_ps - (truth.skew_ps - truth.skew_ps.mean())
    ratio = found.efficiency / truth.relative_efficiency
    ratio = (ratio.reshape(shape) / ratio.reshape(shape).mean(axis=0)).ravel()
    return {
        "gain_rms_error": float(np.sqrt(np.mean((found.gain * truth.gain - 1) ** 2))),
        "skew_rms_error_ps": float(np.sqrt(np.mean((skew_ps - skew_ps.mean()) ** 2))),
        "walk_mean_error_ps": float(np.mean(found.walk_ps - truth.walk_ps)),
        "walk_rms_error_ps": float(np.sqrt(np.mean((found.walk_ps - truth.walk_ps) ** 2))),
        "efficiency_rms_error": float(np.sqrt(np.mean((ratio - 1) ** 2))),
    }


KIND = CalibrationKind(
    name="factory",
    words="all of it for an emulated scanner's serial number, from runs emulated for it",
    teaches=__doc__,
    examples=EXAMPLES,
    order=9,
    add_arguments=add_arguments,
    run=run,
)
