"""What stays the same from run to run: scanner, phantom, source and their tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from emulator.detector.miscalibration import Truth
from emulator.detector.noise import NoiseTables
from emulator.detector.response import ResponseTables
from emulator.library.kernel_tables import LibraryTables
from emulator.object.kinetics import Kinetics
from emulator.object.motion import ObjectMotion
from emulator.object.phantom import Phantom
from emulator.pet.lutetium import LutetiumTables
from emulator.pet.pair_transport import TransportTables
from emulator.physics.emission import Source
from emulator.spect.camera_tables import SpectTables
from emulator.spect.gantry_motion import SpectMotion, load_spect_motion
from hw.scanner.description import Scanner


@dataclass(frozen=True)
class Instrument:
    """What stays the same from run to run, and takes a second to prepare.

    serial : number of the instrument, which decides the errors of its crystals
    """

    scanner: Scanner
    phantom: Phantom
    source: Source
    tables: TransportTables
    truth: Truth
    serial: str
    lutetium: LutetiumTables | None = None
    noise: NoiseTables | None = None
    library: LibraryTables | None = None
    kinetics: Kinetics | None = None
    motion: ObjectMotion | None = None
    spect: SpectTables | None = None
    spect_motion: SpectMotion | None = None

    @property
    def response(self) -> ResponseTables:
        """The response as the kernels use it; ``truth`` holds what a calibration has to find."""
        return self.tables.response


def moving(instrument: Instrument, orbit: str) -> Instrument:
    """Return the instrument on a run's orbit, "" for its own; raises EmulationError."""
    if not orbit:
        return instrument
    return replace(instrument, spect_motion=load_spect_motion(orbit, instrument.scanner))
