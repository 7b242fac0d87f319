"""One slice of time in a SPECT scanner: only photons that might be seen are tracked.

About one in ten thousand photons passes a collimator, so decays are not followed one by one. The
detected photons of independent decays are a Poisson process, and so are the emulator's:

1. A history of one channel (line, direct or scattered, coherent scatters) begins at the line's rate
   times

       M · max(p) · ∫ bound dΩ / tries,

   where M is the number of cameras, p the density of directions per sr (1/4π for emission,
   Klein-Nishina for scatter) and bound the greatest transmission of a collimator (``aiming``).
2. It is tracked like any photon. From its emission (direct) or at every Compton scatter
   (scattered), a camera is drawn ``tries`` times, and a direction to it by the bound; it is kept
   with probability p(direction)/max(p), and lost if it collides before it leaves the object.
3. What meets the collimator's face is kept with transmission/bound, both exact for its line.
4. Crystal and backing follow, then the response: events come out unweighted.

Photons that scatter in septa are separate processes, which differ in 2 and 3 only: direction and
fate are a record of ``septa_library``, drawn with the density of what emerges from the back.

The product of the rates and probabilities is that of the whole process, so every number of scatters
is right in expectation. Direct and scattered photons have separate histories, and at most a few in
100 histories are seen, so that hits are hardly correlated: about one hit in 100 shares its history
with another. Such a hit gets its own time in the slice, since in reality it comes from another
decay.

Coherent scatter after the last Compton scatter turns the photon by a few degrees, more than a hole
accepts. Its density is steep, so it cannot be bounded as in 2; instead the last direction is drawn
first, and the one before by scattering back from it (the density is symmetric). The collision on
the way is forced and kept with its share of coherent scatter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.object.photon_flight import ABSORBED_THERE, COHERENT_THERE, draw_fate, next_collision
from emulator.object.source_sampling import place_decays
from emulator.physics.atomic_scatter import scatter_bound, scatter_coherent
from emulator.physics.photons import ENERGY, PATH, SCATTERS, X, Y, Z, aim_isotropic
from emulator.slices import OVERFLOWED
from emulator.spect.camera_tables import DIRECT, SpectTables
from emulator.spect.sight_of_camera import SpectScratch, look
from emulator.truth_labels import begin_photon, decay_number
from hw.jit import bare_kernel
from hw.physics.random_numbers import exponential, seed_stream, uniform
from hw.wire.truth_layout import ANNIHILATION, LINE


@bare_kernel
def emulate_spect_slice(
    tables: SpectTables,
    poses: npt.NDArray[np.float64],
    rate_Hz: float,
    share: npt.NDArray[np.float64],
    region_share: npt.NDArray[np.float64],
    slice_ps: float,
    seed: int,
    slice_index: int,
    scratch: SpectScratch,
    hits: npt.NDArray[np.void],
    missed: npt.NDArray[np.int64],
    tally: npt.NDArray[np.int64],
) -> int:
    """Emulate what the cameras see in one slice of time.

    Parameters
    ----------
    poses : (cameras, 12) f8, in the object's frame: centre of the crystal's front face in mm, then
        the axes u, v, w
    rate_Hz : histories per second, of all channels
    share : (channels,) f8, cumulative shares of the channels in them, the last one 1
    region_share : (regions,) f8, cumulative shares of the regions; empty: all alike
    scratch : the thread's own working space
    hits : (capacity,) HIT, filled in the order of the histories' times
    missed : (modules, MISSED) i8; tally : i8, see ``emulate_slice``: deposits are added, and
        OVERFLOWED is set if the capacity was insufficient

    Returns
    -------
    number of hits
    """
    state, photon, places = scratch.state, scratch.photon, scratch.places
    seed_stream(state, np.uint64(seed), np.uint64(slice_index))
    channels, matter = tables.channels, tables.matter
    placed, number = len(places), 0
    mean_gap_ps = 1e12 / rate_Hz
    time_ps, n_hits = 0.0, 0
    while True:
        time_ps += exponential(state) * mean_gap_ps
        if time_ps >= slice_ps:
            return n_hits
        chosen = uniform(state)
        low, high = 0, len(share) - 1
        while low < high:
            middle = (low + high) >> 1
            if share[middle] > chosen:
                high = middle
            else:
                low = middle + 1
        channel = low
        if placed == len(places):
            place_decays(state, tables.source, region_share, places)
            placed = 0
        for axis in range(3):
            photon[X + axis] = places[placed, axis]
        placed += 1
        number += 1
        photon[ENERGY] = channels.energy_keV[channel]
        photon[PATH] = photon[SCATTERS] = 0.0
        if len(scratch.labels) > 0:
            origin = scratch.emitted[0]
            origin.decay = decay_number(slice_index, number - 1)
            origin.kind = ANNIHILATION if channels.annihilation[channel] else LINE
            origin.photon = 2
            begin_photon(origin, time_ps, photon[X], photon[Y], photon[Z], photon[ENERGY])
        scattered = channels.order[channel] != DIRECT
        if scattered:
            aim_isotropic(state, photon)
        seen_ps, material = time_ps, -1
        while True:
            if scattered:
                material = next_collision(state, photon, matter)
                if material < 0:
                    break
                fate = draw_fate(state, photon[ENERGY], material, matter)
                if fate == ABSORBED_THERE:
                    break
                photon[SCATTERS] += 1.0
                if fate == COHERENT_THERE:
                    scatter_coherent(state, photon, matter.scatter, material)
                    continue
            for _ in range(channels.tries[channel]):
                before = n_hits
                n_hits = look(
                    state, photon, material, channel, seen_ps, poses, tables, scratch,
                    hits, n_hits, missed, tally,
                )  # fmt: skip
                if n_hits > before:
                    seen_ps = uniform(state) * slice_ps
                    if n_hits == len(hits):
                        tally[OVERFLOWED] = 1
                        return n_hits
            if not scattered:
                break
            scatter_bound(state, photon, matter.scatter, material)
            if photon[ENERGY] < matter.cut_keV:
                break
