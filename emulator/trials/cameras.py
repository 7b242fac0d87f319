"""Trials of SPECT cameras: sensitivity, resolution and scatter, measured as published values are.

All use cameras without crystal errors, so that the results are pure physics. Along u, positions are
read out in bins much finer than the crystals: what the crystals' size adds is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt

from emulator.config import EmulatorConfig
from emulator.detector.miscalibration import EFFICIENCY, GAIN
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import prepare
from emulator.engines.spect_engine import SpectEngine
from emulator.object.phantom import Phantom
from emulator.physics.materials import mu_per_mm
from emulator.slices import PERIOD_S
from emulator.spect.camera_tables import source_lines
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner

FINE_BINS = (1024, 4)
"""Along u and v: a quarter of a millimetre in a head of 256 mm; they fill the word's field."""

SQUARE_BINS = (64, 64)


@dataclass(frozen=True)
class CameraEvents:
    """What the cameras saw of a source; (n,) f8 each.

    energy_keV, u_mm, v_mm : as read out; u and v from the middle of the camera
    scatters : number of scatters in the object
    how : bits of ``sight_of_camera``: PENETRATED, BACKSCATTERED
    emitted_keV : energy with which the photon was emitted
    module : the camera that saw it
    decays : number of decays, in ``seconds``
    photons : γ and X photons that the source emitted, including annihilation photons
    """

    energy_keV: npt.NDArray[np.float64]
    u_mm: npt.NDArray[np.float64]
    v_mm: npt.NDArray[np.float64]
    scatters: npt.NDArray[np.int64]
    how: npt.NDArray[np.int64]
    emitted_keV: npt.NDArray[np.float64]
    module: npt.NDArray[np.int64]
    decays: float
    photons: float
    seconds: float

    def within(self, low_keV: float, high_keV: float) -> npt.NDArray[np.bool_]:
        """Return which events have an energy within a window."""
        return np.asarray((self.energy_keV >= low_keV) & (self.energy_keV <= high_keV))


def fine_scanner(scanner: Scanner, bins: tuple[int, int]) -> Scanner:
    """Return the scanner with other bins along u and v; a pixelated crystal keeps its pixels."""
    if not scanner.module.monolithic:
        return scanner
    module = msgspec.structs.replace(scanner.module, n_u=bins[0], n_v=bins[1])
    return msgspec.structs.replace(scanner, module=module)


def ideal_camera(
    preset: str,
    nuclide: str,
    phantom: Phantom,
    *,
    trigger_keV: float = 30.0,
    bins: tuple[int, int] = FINE_BINS,
) -> Instrument:
    """Return an instrument without crystal errors, for any collimator and nuclide.

    Parameters
    ----------
    preset : of the scanner, by name
    nuclide : by name; any collimator is allowed
    phantom : activity and matter
    trigger_keV : hits below are not read out
    bins : of the crystals' picture along u and v, finer than the preset's
    """
    config = EmulatorConfig(
        scanner=preset, nuclide=nuclide, trigger_keV=trigger_keV, any_collimator=True,
        gantry="" if load_scanner(preset).motion is None else "fixed:0",
    )  # fmt: skip
    instrument = prepare(config, phantom=phantom, scanner=fine_scanner(load_scanner(preset), bins))
    crystals = np.zeros_like(instrument.response.crystals)
    crystals[:, [GAIN, EFFICIENCY]] = 1.0
    perfect = instrument.response._replace(crystals=crystals)
    assert instrument.spect is not None
    return replace(
        instrument,
        tables=instrument.tables._replace(response=perfect),
        spect=instrument.spect._replace(response=perfect),
    )


def source_before(
    preset: str, distance_mm: float, *, extent_mm: tuple[float, float, float] = (0.1, 0.1, 0.1)
) -> Phantom:
    """Return a source in air, ``distance_mm`` in front of module 0's collimator, off the lattice.

    It is shifted by some hundredths of a millimetre, away from any point of symmetry.
    """
    ones = np.ones((1, 1, 1), np.float32)
    face_mm = load_scanner(preset).bore_mm
    return Phantom("source", ones, 0 * ones, extent_mm, (face_mm - distance_mm, 0.07, 0.13))


def see(
    instrument: Instrument, *, events: int, seed: int = 1, activity_Bq: float = 3e8
) -> CameraEvents:
    """Emulate a source until cameras have seen ``events`` photons, without decay or dead time."""
    engine = SpectEngine(instrument, activity_Bq=activity_Bq, seed=seed, labelled=True)
    hits, labels = [], []
    seen, index = 0, 0
    decays = 0
    while seen < events:
        made = engine.make_slice(index)
        hits.append(made.hits)
        labels.append(made.labels)
        decays += int(engine.activities_Bq(index).sum() * PERIOD_S)
        seen += len(made.hits)
        index += 1
    if engine.exceeded:
        raise AssertionError(f"{engine.exceeded} probabilities above 1: a bound did not hold")
    hit, label = np.concatenate(hits), np.concatenate(labels)
    per_decay = sum(line.per_decay for line in source_lines(instrument.source))
    module = instrument.scanner.module
    iv, iu = np.divmod(hit["crystal"].astype(np.int64), module.n_u)
    return CameraEvents(
        energy_keV=hit["energy"] / 10.0,
        u_mm=(iu + 0.5) * module.pitch_u_mm - module.width_mm / 2,
        v_mm=(iv + 0.5) * module.pitch_v_mm - module.height_mm / 2,
        scatters=label["scatters"].astype(np.int64),
        how=label["modules_before"].astype(np.int64),
        emitted_keV=label["emitted_keV"].astype(np.float64),
        module=hit["module"].astype(np.int64),
        decays=float(decays),
        photons=decays * per_decay,
        seconds=index * PERIOD_S,
    )


def window_about(energy_keV: float, width: float) -> tuple[float, float]:
    """Return the window of a relative full width about an energy."""
    return energy_keV * (1 - width / 2), energy_keV * (1 + width / 2)


def counts_per_photon(
    preset: str,
    nuclide: str,
    energy_keV: float,
    *,
    distance_mm: float = 100.0,
    width: float = 0.2,
    events: int = 100_000,
    seed: int = 1,
) -> tuple[float, float]:
    """Return counts in the window about a line per photon of that line, and their σ.

    For a point source in air at ``distance_mm`` from the collimator, seen by one camera (module 0).

    Parameters
    ----------
    energy_keV : of the line
    distance_mm : from the source to the collimator
    width : full width of the window over the energy
    events : photons to be seen by all cameras together
    """
    instrument = ideal_camera(preset, nuclide, source_before(preset, distance_mm))
    seen = see(instrument, events=events, seed=seed)
    count = int((seen.within(*window_about(energy_keV, width)) & (seen.module == 0)).sum())
    lines = source_lines(instrument.source)
    of_line = sum(x.per_decay for x in lines if abs(x.energy_keV - energy_keV) < 1.0)
    photons = seen.decays * of_line
    return count / photons, math.sqrt(count) / photons


def line_spread_mm(
    preset: str,
    nuclide: str,
    energy_keV: float,
    *,
    distance_mm: float = 100.0,
    width: float = 0.2,
    events: int = 300_000,
    seed: int = 1,
) -> npt.NDArray[np.float64]:
    """Return the positions (n,) mm along u at which a camera sees a line source along v, in air.

    Parameters
    ----------
    energy_keV : of the line
    distance_mm : from the source to the collimator
    width : full width of the window over the energy
    events : photons to be seen
    """
    phantom = source_before(preset, distance_mm, extent_mm=(0.1, 0.1, 60.0))
    seen = see(ideal_camera(preset, nuclide, phantom), events=events, seed=seed)
    return seen.u_mm[seen.within(*window_about(energy_keV, width))]


def half_maximum_mm(place_mm: npt.NDArray[np.float64]) -> float:
    """Return the full width at half maximum of a line-spread function, by interpolation.

    As in NEMA NU 1: the maximum from a parabola through the top, the half heights by linear
    interpolation, with bins of 0.5 mm. A collimator's function is blunter than a Gaussian.
    """
    count, edge = np.histogram(place_mm, bins=np.arange(-40.0, 40.25, 0.5))
    middle, height = (edge[1:] + edge[:-1]) / 2, count.astype(np.float64)
    centre = middle[int(np.argmax(np.convolve(height, np.ones(9), "same")))]
    top = np.abs(middle - centre) < 2.5
    a, b, c = np.polyfit(middle[top] - centre, height[top], 2)
    half = (c - b * b / (4 * a)) / 2
    smooth = np.convolve(height, np.ones(3) / 3, "same")
    above = np.flatnonzero(smooth > half)
    low = np.interp(half, smooth[above[0] - 1 : above[0] + 1], middle[above[0] - 1 : above[0] + 1])
    fall = slice(above[-1] + 1, above[-1] - 1, -1)
    return float(np.interp(half, smooth[fall], middle[fall]) - low)


def gaussian_fwhm_mm(place_mm: npt.NDArray[np.float64], *, half_range_mm: float = 30.0) -> float:
    """Return the FWHM of the Gaussian that fits a line-spread function by least squares."""
    from scipy.optimize import curve_fit

    count, edge = np.histogram(place_mm, bins=np.arange(-half_range_mm, half_range_mm + 0.5))
    middle = (edge[1:] + edge[:-1]) / 2

    def shape(
        x: npt.NDArray[np.float64], height: float, centre: float, sigma: float
    ) -> npt.NDArray[np.float64]:
        return np.asarray(height * np.exp(-0.5 * ((x - centre) / sigma) ** 2))

    found, _ = curve_fit(shape, middle, count, p0=[count.max(), 0.0, 4.0])
    return abs(float(found[2])) * FWHM_PER_SIGMA


def in_water(preset: str, *, depth_mm: float, half_mm: float = 100.0) -> Phantom:
    """Return a point source in a cube of water, ``depth_mm`` below the face towards the camera.

    The cube's face is 50 mm from the collimator of module 0.
    """
    voxel = 2.0
    n = round(2 * half_mm / voxel)
    shape = (n + 1, n + 1, n + 1)
    mu = np.full(shape, mu_per_mm("water"), np.float32)
    activity = np.zeros(shape, np.float32)
    edge_mm = load_scanner(preset).bore_mm - 50.0
    at = round((2 * half_mm - depth_mm) / voxel)
    activity[at, n // 2, n // 2] = 1.0
    origin = (edge_mm - 2 * half_mm, -half_mm, -half_mm)
    return Phantom("water cube", activity, mu, (voxel,) * 3, origin)


def triple_window(
    preset: str = "gamma_head_melp",
    nuclide: str = "Lu-177",
    energy_keV: float = 208.366,
    *,
    depth_mm: float = 50.0,
    side: float = 0.06,
    events: int = 200_000,
    seed: int = 1,
) -> tuple[float, float]:
    """Return the ratio of TEW-estimated to true primary counts, and its σ.

    Triple energy window (K. Ogawa et al., IEEE Trans. Med. Imaging 10 (1991) 408): a main window of
    20 %, and a window of relative width ``side`` at each of its edges; scatter in the main window
    is a trapezium. Counts are those within the smallest circle about the source that holds 99 % of
    the primaries, that is, events in the main window not scattered in the object.

    Parameters
    ----------
    energy_keV : of the line
    depth_mm : depth of the source in water
    side : width of each scatter window over the energy
    events : photons to be seen
    """
    phantom = in_water(preset, depth_mm=depth_mm)
    seen = see(ideal_camera(preset, nuclide, phantom, bins=SQUARE_BINS), events=events, seed=seed)
    low, high = window_about(energy_keV, 0.2)
    in_main = seen.within(low, high)
    from_source_mm = np.hypot(seen.u_mm, seen.v_mm)
    primaries = in_main & (seen.scatters == 0)
    near = from_source_mm <= np.quantile(from_source_mm[primaries], 0.99)
    edge = side * energy_keV
    sides = seen.within(low - edge, low) | seen.within(high, high + edge)
    scale = (high - low) / (2 * edge)
    main, beside = int((near & in_main).sum()), int((near & sides).sum())
    true = int((near & primaries).sum())
    return (main - scale * beside) / true, math.sqrt(main + beside * scale**2) / true
