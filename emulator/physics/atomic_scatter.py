"""Scatter by atoms: coherent (Rayleigh) scatter, and Compton scatter by bound electrons.

Both depend on the momentum transfer x = sin(θ/2)/λ. Coherent scatter has Thomson's angular
distribution times the squared form factor,

    dσ/dΩ ∝ (1 + cos²θ) · F(x)²,

sampled exactly: x² is drawn from the cumulated F² up to the largest x² that the energy allows, then
accepted with probability (1 + cos²θ)/2 (J. F. Williamson, R. L. Morin, Phys. Med. Biol. 28 (1983)
57). Compton scatter is Klein and Nishina's times the incoherent scattering function S(x), by
rejection; beyond x² = FREE_TRANSFER2 electrons count as free, which spares nearly all of that work
at 511 keV. The electrons' motion (Doppler broadening) is left out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.physics.materials import ScatteringFunctions, scattering_functions
from emulator.physics.photons import ENERGY, Photon, State, turn_anyhow
from hw.jit import bare_kernel
from hw.physics.compton import sample_compton
from hw.physics.random_numbers import uniform

KEV_ANGSTROM = 12.398420  # h·c, CODATA 2018
FREE_TRANSFER2 = 64.0
"""Squared momentum transfer (1/Å²) from which S counts as 1: it is above 0.998 in cortical bone."""

_POINTS = 512
BOUND_PER_A = 32.0  # points of S per 1/Å
_PER_KEV2 = 1.0 / (KEV_ANGSTROM * KEV_ANGSTROM)


class ScatterTables(NamedTuple):
    """The scattering functions as the kernels see them; linear between the points.

    transfer2 : (n,) f8, x² in 1/Å², ascending from 0
    form_area : (materials, n) f8, F² cumulated over x², 1 at the end
    bound : (materials, m) f8, S per electron at x = 0, 1/32, 2/32, ... 1/Å
    """

    transfer2: npt.NDArray[np.float64]
    form_area: npt.NDArray[np.float64]
    bound: npt.NDArray[np.float64]


def scatter_tables(materials: tuple[str, ...]) -> ScatterTables:
    """Return the tables of materials, in their order."""
    functions = [scattering_functions(material) for material in materials]
    known = functions[0].transfer_per_A
    transfer = np.concatenate([[0.0], np.geomspace(known[0], known[-1], _POINTS)])
    return ScatterTables(
        transfer2=transfer**2,
        form_area=np.array([_form_area(f, transfer) for f in functions]),
        bound=np.array([_bound(f) for f in functions]),
    )


def _form_area(
    functions: ScatteringFunctions, transfer: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    form = np.ones_like(transfer)
    form[1:] = _log_log(transfer[1:], functions.transfer_per_A, functions.form)
    pieces = np.diff(transfer**2) * (form[1:] + form[:-1]) / 2
    return np.concatenate([[0.0], np.cumsum(pieces)]) / pieces.sum()


def _bound(functions: ScatteringFunctions) -> npt.NDArray[np.float64]:
    transfer = np.arange(0.0, np.sqrt(FREE_TRANSFER2) * BOUND_PER_A + 2) / BOUND_PER_A
    bound = np.zeros_like(transfer)
    bound[1:] = _log_log(transfer[1:], functions.transfer_per_A, functions.bound)
    return np.minimum(bound, 1.0)


def _log_log(
    at: npt.NDArray[np.float64], known: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.exp(np.interp(np.log(at), np.log(known), np.log(values)))


@bare_kernel
def bin_below(values: npt.NDArray[np.float64], row: int, value: float) -> int:
    """Return i with values[row, i] ≤ value < values[row, i + 1], by bisection; ends are clipped."""
    low, high = 0, values.shape[1] - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if values[row, middle] <= value:
            low = middle
        else:
            high = middle
    return low


@bare_kernel
def transfer_bin(transfer2: npt.NDArray[np.float64], value: float) -> int:
    """Return i with transfer2[i] ≤ value < transfer2[i + 1], by bisection; ends are clipped."""
    low, high = 0, len(transfer2) - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if transfer2[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@bare_kernel
def scatter_coherent(state: State, photon: Photon, tables: ScatterTables, material: int) -> None:
    """Scatter the photon coherently on an atom of the material: new direction, same energy."""
    transfer2, area = tables.transfer2, tables.form_area
    most2 = photon[ENERGY] * photon[ENERGY] * _PER_KEV2
    i = transfer_bin(transfer2, most2)
    slope = (area[material, i + 1] - area[material, i]) / (transfer2[i + 1] - transfer2[i])
    reach = area[material, i] + slope * (most2 - transfer2[i])
    while True:
        drawn = uniform(state) * reach
        i = bin_below(area, material, drawn)
        part = (drawn - area[material, i]) / (area[material, i + 1] - area[material, i])
        at2 = transfer2[i] + part * (transfer2[i + 1] - transfer2[i])
        cos_theta = max(1.0 - 2.0 * at2 / most2, -1.0)
        if uniform(state) < 0.5 * (1.0 + cos_theta * cos_theta):
            break
    turn_anyhow(state, photon, cos_theta)


@bare_kernel
def scatter_bound(state: State, photon: Photon, tables: ScatterTables, material: int) -> None:
    """Scatter the photon on the material's bound electrons: new energy and direction."""
    energy = photon[ENERGY]
    while True:
        ratio, versine = sample_compton(state, energy)
        at2 = 0.5 * versine * energy * energy * _PER_KEV2  # sin²(θ/2) = (1 − cos θ)/2
        if at2 >= FREE_TRANSFER2:
            break
        place = math.sqrt(at2) * BOUND_PER_A
        i = int(place)
        part = place - i
        bound = tables.bound[material, i] * (1.0 - part) + tables.bound[material, i + 1] * part
        if uniform(state) < bound:
            break
    turn_anyhow(state, photon, 1.0 - versine)
    photon[ENERGY] = energy / ratio
