"""What the Monte Carlo of a SPECT scanner needs to know, made once: see ``camera_transport``."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.response import ResponseTables
from emulator.object.photon_tracking import ObjectTables
from emulator.object.source_sampling import SourceTables
from emulator.physics.atomic_scatter import BOUND_PER_A, KEV_ANGSTROM, ScatterTables
from emulator.physics.emission import Source, emitted_lines
from emulator.physics.materials import klein_nishina
from emulator.spect.aiming import ENERGY_STEP_KEV, AimTables, aim_tables
from emulator.spect.camera_head import HeadTables, head_tables
from emulator.spect.collimator import CollimatorTables, collimator_tables
from emulator.spect.septa_library import SEPTA_LEAST_KEV, SeptaTables, septa_tables
from hw.physics.constants import ELECTRON_REST_KEV
from hw.scanner.description import Scanner

DIRECT, SCATTERED = 0, 1
"""Photons seen without, and after one or more Compton scatters, are processes of their own."""

MOST_PER_DECAY = 0.01
"""Histories of a process per decay: where more directions must be tried, each history tries several
from every place, which spares flights. Less than one history in some ten is then seen at all."""

MOST_COHERENT = 2
"""Coherent scatters between the last Compton scatter and the exit; three are one in 10⁵."""

_PEAK_MARGIN = 1.01  # the peak of the scatter's density is found on a grid of angles
_ANGLES = 400


class Channels(NamedTuple):
    """The independent Poisson processes of photons that might be seen.

    One for each combination of line, with or without Compton scatter in the object, and number of
    coherent scatters after it; and the same again for photons that scatter in septa.

    nuclide : (n,) i8, index into the source's nuclides
    energy_keV : (n,) f8, of the line
    order : (n,) i8, DIRECT or SCATTERED; coherent : (n,) i8
    node : (n,) i8, of the line in the septa library; −1 for photons that do not scatter in septa
    tries : (n,) i8, directions tried from every place
    annihilation : (n,) bool
    whole_sr : (n,) f8, the process's rate is the line's times this: at least modules × the aim's
        (or the library's) integral × the greatest density of directions
    per_decay : (n,) f8, rate of histories over the nuclide's activity
    """

    nuclide: npt.NDArray[np.int64]
    energy_keV: npt.NDArray[np.float64]
    order: npt.NDArray[np.int64]
    coherent: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]
    tries: npt.NDArray[np.int64]
    annihilation: npt.NDArray[np.bool_]
    whole_sr: npt.NDArray[np.float64]
    per_decay: npt.NDArray[np.float64]


class SpectTables(NamedTuple):
    """All that the kernel needs to know, constant during a run.

    compton : (e,) f8, integral of Klein and Nishina's cross-section, at i keV
    mean_bound : (materials, e) f8, its mean scattering function
    most_coherent : greatest share of coherent scatter in collisions
    coherent_material : whose form factor is used for coherent scatter on the way to a camera
    cameras : number of cameras
    """

    source: SourceTables
    matter: ObjectTables
    response: ResponseTables
    collimator: CollimatorTables
    aim: AimTables
    septa: SeptaTables
    head: HeadTables
    channels: Channels
    compton: npt.NDArray[np.float64]
    mean_bound: npt.NDArray[np.float64]
    most_coherent: float
    coherent_material: int
    cameras: int


def spect_tables(
    scanner: Scanner,
    source: Source,
    *,
    places: SourceTables,
    matter: ObjectTables,
    response: ResponseTables,
) -> SpectTables:
    """Return the tables of a collimated scanner, for a source in an object.

    Parameters
    ----------
    source : nuclides and their lines
    places : where decays happen
    matter : what the photons cross
    response : of the detectors
    """
    lines = source_lines(source)
    most_keV = max(line.energy_keV for line in lines)
    collimator = collimator_tables(scanner)
    aim = aim_tables(collimator, most_keV=most_keV, least_keV=matter.cut_keV)
    energies = np.arange(math.ceil(most_keV) + 2, dtype=np.float64)
    compton = klein_nishina(np.maximum(energies, 1.0))
    mean_bound, peak = _bound_scatter(energies, compton, matter.scatter)
    first, last = math.ceil(matter.cut_keV), math.ceil(most_keV)
    fate = matter.fate.reshape(-1, matter.materials, 2)[first : last + 1]
    coherent = (fate[:, :, 1] - fate[:, :, 0]).max()
    septa = _septa(scanner, lines, matter)
    channels = _channels(scanner, lines, matter, aim, septa, peak, float(coherent))
    return SpectTables(
        source=places,
        matter=matter,
        response=response,
        collimator=collimator,
        aim=aim,
        septa=septa,
        head=head_tables(scanner),
        channels=channels,
        compton=compton,
        mean_bound=mean_bound,
        most_coherent=float(coherent),
        coherent_material=_main_material(matter),
        cameras=scanner.n_modules,
    )


class SourceLine(NamedTuple):
    """A line of one of a source's nuclides, with ``per_decay`` photons per decay."""

    nuclide: int
    energy_keV: float
    per_decay: float
    annihilation: bool


def source_lines(source: Source) -> list[SourceLine]:
    """Return all lines of a source, including annihilation photons."""
    lines = []
    for k, nuclide in enumerate(source.nuclides):
        lines += [SourceLine(k, x.energy_keV, x.intensity, False) for x in emitted_lines(nuclide)]
        if nuclide.beta_plus_fraction > 0:
            pairs = 2 * float(nuclide.beta_plus_fraction)
            lines.append(SourceLine(k, ELECTRON_REST_KEV, pairs, True))
    return lines


def is_empty(matter: ObjectTables) -> bool:
    """Return whether an object consists of air only."""
    return not bool((matter.majorant_per_mm > 0).any())


def _septa(scanner: Scanner, lines: list[SourceLine], matter: ObjectTables) -> SeptaTables:
    assert scanner.collimator is not None
    strengths = tuple((line.energy_keV, line.per_decay) for line in lines)
    least_keV = max(SEPTA_LEAST_KEV, matter.cut_keV)
    in_object = not is_empty(matter)
    return septa_tables(scanner.collimator, strengths, least_keV=least_keV, in_object=in_object)


def _main_material(matter: ObjectTables) -> int:
    """Return the material that attenuates most over all of the object's voxels."""
    weight = np.bincount(matter.kind.ravel(), minlength=len(matter.material)).astype(np.float64)
    weight *= matter.share[-len(weight) :]
    weight[0] = 0.0
    return int(matter.material[int(np.argmax(weight))])


def _bound_scatter(
    energies: npt.NDArray[np.float64], compton: npt.NDArray[np.float64], scatter: ScatterTables
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean scattering function (materials, e) and the peak density (e,), per sr."""
    cosine = np.cos(np.linspace(0.0, math.pi, _ANGLES))
    energy = np.maximum(energies, 1.0)[:, None]
    kept = 1.0 / (1.0 + energy / ELECTRON_REST_KEV * (1.0 - cosine))
    shape = 0.5 * kept**2 * (kept + 1.0 / kept - 1.0 + cosine**2)
    place = np.sqrt(0.5 * (1.0 - cosine)) * (energy / KEV_ANGSTROM) * BOUND_PER_A
    points = np.arange(scatter.bound.shape[1])
    bound = [shape * np.interp(place, points, row, right=1.0) for row in scatter.bound]
    mean = np.array([-np.trapezoid(s, cosine, axis=1) for s in bound]) / compton
    peak = [s.max(axis=1) / (2.0 * math.pi * compton * m) for s, m in zip(bound, mean, strict=True)]
    return mean, np.asarray(np.max(peak, axis=0) * _PEAK_MARGIN)


def _channels(
    scanner: Scanner,
    lines: list[SourceLine],
    matter: ObjectTables,
    aim: AimTables,
    septa: SeptaTables,
    peak: npt.NDArray[np.float64],
    coherent: float,
) -> Channels:
    empty = is_empty(matter)
    rows = []
    for line in lines:
        energies = np.arange(math.ceil(matter.cut_keV), math.ceil(line.energy_keV) + 1)
        seen = aim.whole_sr[(energies / ENERGY_STEP_KEV).astype(np.int64)]
        direct = float(aim.whole_sr[int(line.energy_keV / ENERGY_STEP_KEV)]) / (4.0 * math.pi)
        scattered = float((seen * peak[energies]).max())
        node = septa.node_of(line.energy_keV)
        followed = septa.node_keV[node] == line.energy_keV
        by_septa = float(septa.whole_sr[node]) / (4.0 * math.pi) if followed else 0.0
        after = [septa.scattered_sr(e) * peak[e] for e in energies[energies > septa.node_keV[0]]]
        ways = [(-1, DIRECT, direct), (-1, SCATTERED, scattered), (node, DIRECT, by_septa)]
        ways.append((node, SCATTERED, float(max(after, default=0.0)) if followed else 0.0))
        for node, order, sr in ways[::2] if empty else ways:
            whole = scanner.n_modules * sr
            if node >= 0 and not whole > 0.0:
                continue
            for n in range(1 if empty else MOST_COHERENT + 1):
                rate = line.per_decay * whole * coherent**n
                tries = math.ceil(rate / MOST_PER_DECAY)
                rows.append((line, order, n, whole, tries, rate / tries, node))
    return Channels(
        nuclide=np.array([row[0].nuclide for row in rows], np.int64),
        energy_keV=np.array([row[0].energy_keV for row in rows]),
        order=np.array([row[1] for row in rows], np.int64),
        coherent=np.array([row[2] for row in rows], np.int64),
        node=np.array([row[6] for row in rows], np.int64),
        tries=np.array([row[4] for row in rows], np.int64),
        annihilation=np.array([row[0].annihilation for row in rows]),
        whole_sr=np.array([row[3] for row in rows]),
        per_decay=np.array([row[5] for row in rows]),
    )
