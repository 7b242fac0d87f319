"""Nuclides: the shipped table is ICRP 107's, and agrees with textbooks where those agree."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

import hw.physics.generate_nuclides as generator
import hw.physics.nuclides as nuclides
from hw.physics.nuclides import NuclideError, load_nuclide, nuclide_in, nuclide_names

needs_database = pytest.mark.skipif(
    importlib.util.find_spec("icrp107_database") is None,
    reason="icrp107-database (a development dependency) is not installed",
)


def intensity(name: str, *, near_keV: float) -> float:
    """Sum of the gamma lines within 0.5 keV."""
    lines = load_nuclide(name).lines
    return sum(
        line.intensity
        for line in lines
        if line.kind == "gamma" and abs(line.energy_keV - near_keV) <= 0.5
    )


# The table against textbooks. Tolerances: evaluations (ICRP 107, DDEP, ENSDF) differ by up to
# 0.5 % in half-lives of this list and by a few per cent in weak branches.


@pytest.mark.parametrize(
    ("name", "half_life_s"),
    [
        ("F-18", 109.77 * 60),
        ("C-11", 20.36 * 60),
        ("N-13", 9.965 * 60),
        ("O-15", 122.24),
        ("Ga-68", 67.7 * 60),
        ("Cu-64", 12.70 * 3600),
        ("Zr-89", 78.4 * 3600),
        ("Tc-99m", 6.007 * 3600),
        ("Lu-177", 6.647 * 86400),
        ("I-131", 8.02 * 86400),
        ("Na-22", 2.602 * 365.25 * 86400),
    ],
)
def test_half_life_is_the_textbooks(name: str, half_life_s: float) -> None:
    assert load_nuclide(name).half_life_s == pytest.approx(half_life_s, rel=0.005)


@pytest.mark.parametrize(
    ("name", "fraction"),
    [("F-18", 0.967), ("C-11", 0.998), ("O-15", 0.999), ("Ga-68", 0.889), ("Na-22", 0.899)],
)
def test_beta_plus_fraction_is_the_textbooks(name: str, fraction: float) -> None:
    assert load_nuclide(name).beta_plus_fraction == pytest.approx(fraction, abs=0.002)


@pytest.mark.parametrize(
    ("name", "energy_keV", "yielded"),
    [
        ("Tc-99m", 140.5, 0.89),
        ("I-131", 364.5, 0.817),
        ("Na-22", 1274.5, 0.9994),
        ("Zr-89", 909.1, 0.990),
        ("Lu-177", 208.4, 0.110),  # ICRP 107; DDEP has 0.1038
        ("Lu-177", 112.9, 0.064),  # ICRP 107; DDEP has 0.0620
    ],
)
def test_main_line_is_the_textbooks(name: str, energy_keV: float, yielded: float) -> None:
    assert intensity(name, near_keV=energy_keV) == pytest.approx(yielded, rel=0.005)


def test_decay_constant_halves_in_a_half_life() -> None:
    nuclide = load_nuclide("F-18")
    left = math.exp(-nuclide.decay_constant_per_s * nuclide.half_life_s)
    assert left == pytest.approx(0.5)


def test_single_photon_emitters_have_no_beta_plus() -> None:
    for name in ("Tc-99m", "Lu-177", "I-131", "At-211", "Ac-225"):
        assert load_nuclide(name).beta_plus_fraction == 0


def test_germanium_68_alone_has_no_beta_plus_but_its_daughter_has() -> None:
    assert load_nuclide("Ge-68").beta_plus_fraction == 0
    assert load_nuclide("Ga-68").beta_plus_fraction > 0.88


@pytest.mark.parametrize("name", nuclide_names())
def test_lines_are_in_order_within_the_cuts_and_without_annihilation(name: str) -> None:
    lines = load_nuclide(name).lines
    assert [line.energy_keV for line in lines] == sorted(line.energy_keV for line in lines)
    assert all(line.energy_keV >= 10 and 0.001 <= line.intensity <= 2 for line in lines)
    assert not any(line.energy_keV == 511 for line in lines)


def test_unknown_nuclide_is_answered_with_the_nearest_and_the_list() -> None:
    with pytest.raises(NuclideError, match=r"'F18': did you mean F-18\? the table has C-11, N-13"):
        load_nuclide("F18")


def test_broken_table_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "nuclides.json"
    broken.write_text("{", encoding="utf-8")
    monkeypatch.setattr(nuclides, "NUCLIDES_PATH", broken)
    nuclides._table.cache_clear()
    try:
        with pytest.raises(NuclideError, match=r"nuclides\.json: .*hw\.physics\.generate_nuclides"):
            load_nuclide("F-18")
    finally:
        nuclides._table.cache_clear()


# The table against the database


@needs_database
def test_shipped_table_is_what_the_generator_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


@needs_database
def test_stale_table_is_told_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nuclides.json"
    monkeypatch.setattr(generator, "NUCLIDES_PATH", file)
    assert generator.main(["--check"]) == 1
    assert "is stale: run python -m hw.physics.generate_nuclides" in capsys.readouterr().err
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    assert file.read_bytes() == nuclides.NUCLIDES_PATH.read_bytes()


def test_generator_without_the_database_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generator, "PACKAGE", "no-such-package-on-this-machine")
    assert generator.main(["--check"]) == 2
    assert "not installed: pip install" in capsys.readouterr().err


@needs_database
@pytest.mark.parametrize("name", nuclide_names())
def test_beta_plus_fraction_is_half_the_databases_annihilation_yield(name: str) -> None:
    emissions = generator.database_entry(name)["emissions"]
    photons = sum(line[1] for line in emissions.get("annihilation", ()))
    # The yield has 6 digits and leaves out branches weaker than about 1e-5.
    assert 2 * load_nuclide(name).beta_plus_fraction == pytest.approx(photons, abs=2e-5)


@needs_database
@pytest.mark.parametrize("name", nuclide_names())
def test_strong_lines_of_the_database_are_all_there(name: str) -> None:
    emissions = generator.database_entry(name)["emissions"]
    strong = [(e, i) for kind in ("gamma", "X") for e, i in emissions.get(kind, ())]
    strong = [(1000 * e, i) for e, i in strong if i >= 1e-3 and e >= 0.01]
    ours = [(line.energy_keV, line.intensity) for line in load_nuclide(name).lines]
    assert len(ours) == len(strong)
    assert np.allclose(sorted(ours), sorted(strong), rtol=1e-8)


def test_source_names_publication_and_package() -> None:
    table = json.loads(nuclides.NUCLIDES_PATH.read_text(encoding="utf-8"))
    assert table["source"].startswith("ICRP Publication 107 (2008), from icrp107-database ")


@pytest.mark.parametrize(
    ("tracer", "name"),
    [
        ("FDG F-18", "F-18"), ("[18F]FDG", "F-18"), ("Ga-68 PSMA", "Ga-68"), ("water O15", "O-15"),
        ("Lu-177 PSMA-617", "Lu-177"),
    ],
)  # fmt: skip
def test_the_nuclide_is_found_in_the_tracers_name(tracer: str, name: str) -> None:
    found = nuclide_in(tracer)
    assert found is not None and found.name == name


@pytest.mark.parametrize("tracer", ["FDG", "Xy-999", ""])
def test_a_name_without_a_nuclide_has_none(tracer: str) -> None:
    assert nuclide_in(tracer) is None
