"""From coincidence records to lines: endpoints, depth, TOF sign, gain."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.scanner.geometry import crystal_position_mm
from hw.scanner.preset_file import load_scanner
from recon.core.scanner_tables import ReconSystem
from recon.lines.model import LineModel

BRAIN = ReconSystem.of(load_scanner("caremibrain"))
TOF_BRAIN = ReconSystem.of(load_scanner("tof_brain"))


def records_between(system: ReconSystem, a: int, b: int, *, tof_ps: int = 0, doi: int = 0):
    record = np.zeros(1, dtype=COINCIDENCE)
    record["crystal_a"], record["crystal_b"] = a, b
    record["tof_ps"], record["doi_a"], record["doi_b"] = tof_ps, doi, doi
    return record


def facing_crystals(system: ReconSystem) -> tuple[int, int]:
    """The middle crystals of two modules of the middle ring that face each other."""
    ring, each = system.scanner.ring, system.scanner.crystals_per_module
    first = (ring.n_rings // 2) * ring.modules_per_ring
    module = system.scanner.module
    middle = module.n_u // 2 + module.n_u * (module.n_v // 2)
    return first * each + middle, (first + ring.modules_per_ring // 2) * each + middle


@pytest.mark.parametrize("doi", [0, 7])
def test_ends_lie_at_the_depth_of_the_doi_bin(doi: int) -> None:
    a, b = facing_crystals(BRAIN)
    lors = LineModel(BRAIN).events(records_between(BRAIN, a, b, doi=doi)).lors
    assert np.allclose(lors.start[0], crystal_position_mm(BRAIN.geometry, a, doi), atol=1e-4)
    assert np.allclose(lors.end[0], crystal_position_mm(BRAIN.geometry, b, doi), atol=1e-4)


def test_photon_detected_first_at_a_means_source_nearer_to_a() -> None:
    """tof = t_b - t_a > 0: the source lies towards a, at -c·tof/2 when counted towards b."""
    a, b = facing_crystals(TOF_BRAIN)
    lors = LineModel(TOF_BRAIN).events(records_between(TOF_BRAIN, a, b, tof_ps=400)).lors
    assert lors.offset_mm[0] == pytest.approx(-0.299792458 * 200)
    middle = (lors.start[0] + lors.end[0]) / 2
    along = (lors.end[0] - lors.start[0]) / np.linalg.norm(lors.end[0] - lors.start[0])
    source = middle + lors.offset_mm[0] * along
    assert np.linalg.norm(source - lors.start[0]) < np.linalg.norm(source - lors.end[0])


def test_scanner_without_tof_has_no_offsets() -> None:
    a, b = facing_crystals(BRAIN)
    assert not LineModel(BRAIN).events(records_between(BRAIN, a, b, tof_ps=400)).lors.has_tof


def test_gain_is_solid_angle_times_stopping_power() -> None:
    a, b = facing_crystals(BRAIN)
    located = BRAIN.detection.locate(records_between(BRAIN, a, b), voxel_volume_mm3=8.0)
    start, end = (crystal_position_mm(BRAIN.geometry, k, 0).astype(float) for k in (a, b))
    distance = np.linalg.norm(end - start)
    cos = abs((end - start) @ BRAIN.geometry.crystal_normal[a]) / distance
    area = 1.5625**2
    stopped = 1 - np.exp(-0.0774 * 15 / cos)
    expected = (area * cos * stopped) ** 2 / (2 * np.pi * distance**2 * 8.0)
    assert located.gain[0] == pytest.approx(expected, rel=1e-4)


def test_unknown_crystals_become_a_line_that_meets_nothing() -> None:
    events = LineModel(BRAIN).events(records_between(BRAIN, 5, 4_000_000_000))
    assert np.array_equal(events.lors.start, events.lors.end)
    assert np.isfinite(events.addend).all()


def test_read_only_records_are_taken_as_they_come_from_a_socket() -> None:
    a, b = facing_crystals(BRAIN)
    received = np.frombuffer(records_between(BRAIN, a, b).tobytes(), dtype=COINCIDENCE)
    assert len(LineModel(BRAIN).events(received)) == 1


def test_tof_bins_share_the_coincidence_window() -> None:
    window_mm = 2 * TOF_BRAIN.window_ps * 0.299792458 / 2
    assert TOF_BRAIN.tof is not None
    assert TOF_BRAIN.tof_share == pytest.approx(TOF_BRAIN.tof.bin_mm / window_mm)
    assert BRAIN.tof_share == 1.0
