"""Cross-sections against published tables, scatter against the formulas integrated directly."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from emulator.object.matter_classes import MOST_KINDS, attenuation, kinds_of
from emulator.object.phantom import Phantom
from emulator.object.photon_tracking import object_tables, track_object
from emulator.physics.atomic_scatter import scatter_bound, scatter_coherent, scatter_tables
from emulator.physics.compositions import DENSITY_G_PER_CM3
from emulator.physics.generate_cross_sections import mass_fractions
from emulator.physics.materials import (
    MaterialError,
    cross_sections,
    mu_per_mm,
    scattering_functions,
)
from emulator.physics.photons import DX, DZ, ENERGY, PHOTON_SIZE, SCATTERS, X
from hw.physics.compton import MOST_KEV, density, sample_compton
from oracles.emulation import random_state

REST_KEV = 510.99895
PER_ANGSTROM = 1 / 12.39842  # of a photon's energy in keV

# total mass attenuation with coherent scatter in cm²/g: J. H. Hubbell, S. M. Seltzer, NISTIR 5632,
# tables 3 and 4
NIST = {
    ("water", 60): 0.2059, ("water", 100): 0.1707, ("water", 150): 0.1505, ("water", 500): 0.09687,
    ("cortical_bone", 60): 0.3148, ("cortical_bone", 150): 0.1480, ("cortical_bone", 500): 0.09022,
    ("PMMA", 150): 0.1456, ("polyethylene", 500): 0.09947,
    ("lead", 150): 2.014, ("lead", 500): 0.1614, ("tungsten", 200): 0.7844,
    ("aluminium", 60): 0.2778, ("air", 100): 0.1541, ("soft_tissue", 150): 0.1492,
    ("adipose", 100): 0.1688, ("lung", 100): 0.1695, ("brain", 100): 0.1701,
}  # fmt: skip


@pytest.mark.parametrize(("material", "energy_keV"), NIST)
def test_attenuation_is_that_of_nist(material, energy_keV):
    tables = cross_sections(material)
    total = tables.mu_per_mm[energy_keV] + tables.coherent_per_mm[energy_keV]
    per_mass = total * 10 / DENSITY_G_PER_CM3[material]
    assert per_mass == pytest.approx(NIST[material, energy_keV], rel=0.012)


def test_water_attenuates_511_and_140_keV_as_the_books_say():
    """NIST XCOM: 0.09598 and 0.1538 cm²/g with coherent scatter."""
    water = cross_sections("water")
    total = water.mu_per_mm + water.coherent_per_mm
    assert total[511] == pytest.approx(0.009598, rel=0.001)
    at_140_5 = (total[140] + total[141]) / 2
    assert at_140_5 == pytest.approx(0.01538, rel=0.003)
    assert water.coherent_per_mm[511] / total[511] == pytest.approx(0.0022, abs=0.0002)


def test_edges_stand_where_they_are():
    for material, below_keV, above_keV in (
        ("lead", 87, 89), ("tungsten", 69, 71), ("LYSO", 63, 65), ("NaI", 33, 34)
    ):  # fmt: skip
        tables = cross_sections(material)
        photo = tables.mu_per_mm * tables.photo_fraction
        assert photo[above_keV] / photo[below_keV] > 2.0
        assert photo[above_keV + 1] < photo[above_keV]


def test_tables_are_those_of_xraydb_and_xraylib():
    """Where the two packages can be imported; both after Elam et al."""
    xraydb, xraylib = (pytest.importorskip(name) for name in ("xraydb", "xraylib"))
    for energy_keV in (60, 141, 511):
        parts = mass_fractions(importlib.import_module("xraydb"), "water").items()
        ours = cross_sections("water")
        total = 10 * (ours.mu_per_mm[energy_keV] + ours.coherent_per_mm[energy_keV])
        by_db = sum(w * float(xraydb.mu_elam(e, energy_keV * 1e3)) for e, w in parts)
        by_lib = sum(
            w * xraylib.CS_Total(xraylib.SymbolToAtomicNumber(e), energy_keV) for e, w in parts
        )
        assert total == pytest.approx(by_db, rel=0.001)
        assert total == pytest.approx(by_lib, rel=0.001)


def test_element_may_be_called_by_its_symbol_and_a_misspelling_is_guessed():
    assert cross_sections("Pb").mu_per_mm[140] == cross_sections("lead").mu_per_mm[140]
    with pytest.raises(MaterialError, match="did you mean 'water'"):
        cross_sections("watr")


def test_steps_of_the_compton_table_lie_above_the_density_everywhere():
    """Else the rejection would not be exact: looked at between the table's own points."""
    from hw.physics import compton

    edges = compton._EDGE.reshape(-1, compton._STEPS + 1).astype(np.float64)
    part = np.linspace(0, 1, 13)
    for row in range(0, len(edges), 3):
        width = np.diff(edges[row])[:, None]
        place = edges[row, :-1, None] + width * part
        for energy_keV in np.linspace(max(8 * row, 1), min(8 * row + 8, MOST_KEV), 7):
            assert (density(place, energy_keV) * width).max() * compton._PER_MOST[row] <= 1.0


def cosines_of(scatter, material: str, energy_keV: float, count: int) -> np.ndarray:
    """Scatter photons that fly along z; return the cosines of the scattering angles."""
    tables, state, photon = scatter_tables((material,)), random_state(8), np.zeros(PHOTON_SIZE)
    cosines = np.empty(count)
    for i in range(count):
        photon[DX : DZ + 1], photon[ENERGY] = (0, 0, 1), energy_keV
        scatter(state, photon, tables, 0)
        cosines[i] = photon[DZ]
        if scatter is scatter_coherent:
            assert photon[ENERGY] == energy_keV
    return cosines


def expected_shares(weight, edges: np.ndarray) -> np.ndarray:
    """Integrate a density of the cosine over bins by Simpson's rule."""
    shares = []
    for a, b in itertools.pairwise(edges):
        cosines = np.linspace(a, b, 2001)
        shares.append(integrate.simpson([weight(c) for c in cosines], x=cosines))
    return np.array(shares) / sum(shares)


@pytest.mark.parametrize(
    ("material", "energy_keV"), [("water", 60.0), ("water", 140.5), ("cortical_bone", 140.5)]
)
def test_coherent_scatter_has_thomsons_angles_times_the_form_factor(material, energy_keV):
    functions = scattering_functions(material)

    def weight(cosine: float) -> float:
        transfer = np.sqrt((1 - cosine) / 2) * energy_keV * PER_ANGSTROM
        form = np.interp(transfer, functions.transfer_per_A, functions.form)
        return (1 + cosine**2) * form

    cosines = cosines_of(scatter_coherent, material, energy_keV, 30_000)
    edges = np.cos(np.radians([180, 90, 60, 45, 35, 30, 25, 20, 16, 12, 9, 6, 3, 0]))
    counts, _ = np.histogram(cosines, edges)
    expected = expected_shares(weight, edges) * len(cosines)
    assert stats.chisquare(counts, expected).pvalue > 0.001


@pytest.mark.parametrize(("material", "energy_keV"), [("water", 60.0), ("cortical_bone", 140.5)])
def test_compton_scatter_by_bound_electrons_is_klein_nishina_times_s(material, energy_keV):
    functions = scattering_functions(material)

    def weight(cosine: float) -> float:
        kept = 1 / (1 + energy_keV / REST_KEV * (1 - cosine))
        transfer = np.sqrt((1 - cosine) / 2) * energy_keV * PER_ANGSTROM
        bound = np.interp(transfer, functions.transfer_per_A, functions.bound)
        return kept**2 * (kept + 1 / kept - (1 - cosine**2)) * bound

    cosines = cosines_of(scatter_bound, material, energy_keV, 40_000)
    edges = np.cos(np.radians([180, 150, 120, 100, 80, 60, 45, 35, 25, 15, 8, 0]))
    counts, _ = np.histogram(cosines, edges)
    expected = expected_shares(weight, edges) * len(cosines)
    assert stats.chisquare(counts, expected).pvalue > 0.001


def test_binding_hardly_matters_at_511_keV():
    free = np.array([1 - sample_compton(random_state(k), REST_KEV)[1] for k in range(3000)])
    bound = cosines_of(scatter_bound, "water", REST_KEV, 20_000)
    assert bound.mean() == pytest.approx(free.mean(), abs=0.03)


def layers(materials: list[str], thickness_mm: list[float]) -> Phantom:
    """Return slabs along x, one voxel of 1 mm in y and z wide enough for a pencil beam."""
    names = tuple(dict.fromkeys(materials))
    label = np.repeat([names.index(m) for m in materials], [round(t) for t in thickness_mm])
    mu = np.array([mu_per_mm(name) for name in names])[label]
    grid = np.broadcast_to(mu[:, None, None], (len(mu), 3, 3)).astype(np.float32)
    material = np.broadcast_to(label[:, None, None], grid.shape).astype(np.uint8)
    return Phantom(
        "layers", np.ones_like(grid), grid, (1.0, 200.0, 200.0), (0.5, -200.0, -200.0),
        material=material, materials=names,
    )  # fmt: skip


@pytest.mark.parametrize("energy_keV", [60.0, 140.0, 511.0])
@pytest.mark.parametrize("coherent", [False, True])
def test_narrow_beam_through_two_materials_is_the_product(energy_keV, coherent):
    """Bone, water and lung: each has the energy dependence of its own."""
    materials, thickness_mm = ["cortical_bone", "water", "lung"], [10.0, 30.0, 60.0]
    tables = object_tables(layers(materials, thickness_mm), coherent=coherent, trigger_keV=50.0)
    state, photon, count = random_state(77), np.zeros(PHOTON_SIZE), 20_000
    through = 0
    for _ in range(count):
        photon[:] = 0
        photon[X], photon[DX], photon[ENERGY] = -5.0, 1.0, energy_keV
        through += track_object(state, photon, tables) and photon[SCATTERS] == 0
    each = [cross_sections(m) for m in materials]
    at = int(energy_keV)
    mu = [t.mu_per_mm[at] + coherent * t.coherent_per_mm[at] for t in each]
    expected = np.exp(-np.dot(mu, thickness_mm))
    error = np.sqrt(expected * (1 - expected) / count)
    assert through / count == pytest.approx(expected, abs=3.5 * error)


def test_photon_counts_its_scatters():
    tables = object_tables(layers(["water"], [200.0]))
    state, photon = random_state(78), np.zeros(PHOTON_SIZE)
    for _ in range(500):
        photon[:] = 0
        photon[X], photon[DX], photon[ENERGY] = 1.0, 1.0, 511.0
        track_object(state, photon, tables)
        assert photon[SCATTERS] >= (photon[ENERGY] < 510.9)
        assert photon[SCATTERS] == int(photon[SCATTERS])


def test_kinds_of_matter_fit_a_byte_and_lose_no_mu():
    random = np.random.default_rng(3)
    mu = random.uniform(0, 0.02, (12, 13, 14)).astype(np.float32)
    mu[:, :, :3] = 0
    material = random.integers(0, 6, mu.shape).astype(np.uint8)
    names = ("water", "lung", "brain", "skull", "muscle", "PMMA")
    phantom = Phantom("many", mu, mu, (1.0,) * 3, (0.0,) * 3, material=material, materials=names)
    kinds = kinds_of(phantom)
    assert len(kinds.mu_511_per_mm) <= MOST_KINDS + 1
    assert kinds.mu_511_per_mm[0] == 0
    assert (kinds.material[kinds.voxel][mu > 0] == material[mu > 0]).all()
    mapped = kinds.mu_511_per_mm[kinds.voxel]
    assert mapped.sum() == pytest.approx(mu.sum(dtype=np.float64))
    assert np.abs(mapped - mu).max() < 0.02 / 30


def test_one_material_needs_one_row_for_all_energies():
    mu = np.full((4, 4, 4), 0.0096, np.float32)
    one = Phantom("one", mu, mu, (1.0,) * 3, (0.0,) * 3)
    assert len(attenuation(kinds_of(one)).share) == 1
