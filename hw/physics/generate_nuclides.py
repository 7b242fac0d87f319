"""Generate ``nuclides.json`` from ICRP Publication 107: ``python -m hw.physics.generate_nuclides``.

With ``--check`` nothing is written, and the exit status is 1 if the file is out of date. Needs the
PyPI package ``icrp107-database`` (a development dependency; at run time only the JSON is read). The
same version of that package always gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import metadata, resources
from typing import Any

from hw.physics.beta_spectrum import positron_endpoint_keV
from hw.physics.nuclides import NUCLIDES_PATH

NUCLIDES = (
    *("C-11", "N-13", "O-15", "F-18", "Na-22", "Cu-64", "Ge-68", "Ga-68", "Rb-82", "Y-86", "Zr-89"),
    *("Tc-99m", "I-124", "I-131", "Lu-177", "At-211", "Ac-225"),
)
PACKAGE = "icrp107-database"
LEAST_LINE_KEV = 10.0  # below, nothing leaves a patient or reaches a scintillator
LEAST_LINE_INTENSITY = 1e-3  # per decay; of β⁺ branches too

# A year of ICRP 107 is the tropical one, 365.2422 d (it matters to Na-22 alone).
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SECONDS["y"] = 365.2422 * SECONDS["d"]
LINE_KINDS = {"gamma": "gamma", "X": "x"}  # the database's word → ours
ATOMIC_NUMBERS = {
    "C": 6, "N": 7, "O": 8, "F": 9, "Na": 11, "Cu": 29, "Ge": 32, "Ga": 31, "Rb": 37, "Y": 39,
    "Zr": 40, "Tc": 43, "I": 53, "Lu": 71, "At": 85, "Ac": 89,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Write or check the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m hw.physics.generate_nuclides", description=__doc__
    )
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if the file is out of date"
    )
    check = parser.parse_args(arguments).check
    try:
        text = nuclides_json()
    except metadata.PackageNotFoundError:
        print(f"{PACKAGE} is not installed: pip install {PACKAGE}", file=sys.stderr)
        return 2
    if not check:
        NUCLIDES_PATH.write_text(text, encoding="utf-8")
        return 0
    if NUCLIDES_PATH.is_file() and NUCLIDES_PATH.read_text(encoding="utf-8") == text:
        return 0
    print(f"{NUCLIDES_PATH} is stale: run python -m hw.physics.generate_nuclides", file=sys.stderr)
    return 1


def nuclides_json() -> str:
    """Return the whole table as JSON text."""
    table = {
        "source": f"ICRP Publication 107 (2008), from {PACKAGE} {metadata.version(PACKAGE)}",
        "nuclides": [nuclide_entry(database_entry(name)) for name in NUCLIDES],
    }
    return json.dumps(table, indent=1) + "\n"


def database_entry(name: str) -> dict[str, Any]:
    """Return the database's record of a nuclide; energies in MeV, intensities per decay."""
    file = resources.files("icrp107_database") / "icrp107" / f"{name}.json"
    record: dict[str, Any] = json.loads(json.loads(file.read_text(encoding="utf-8")))
    return record


def nuclide_entry(record: dict[str, Any]) -> dict[str, Any]:
    """Return our entry for a database record: s, keV, and only lines that a scanner may see."""
    emissions = record["emissions"]
    atomic_number = ATOMIC_NUMBERS[record["name"].partition("-")[0]]
    return {
        "name": record["name"],
        "atomic_number": atomic_number,
        "half_life_s": _rounded(record["half_life"] * SECONDS[record["time_unit"]]),
        "beta_plus_fraction": _rounded(sum(line[1] for line in emissions.get("beta+", ()))),
        "positrons": _positrons(emissions, atomic_number),
        "lines": _lines(emissions),
    }


def _positrons(emissions: dict[str, Any], atomic_number: int) -> list[dict[str, Any]]:
    """Return the β⁺ branches; the database has mean energies, from which the endpoints follow.

    They agree with evaluated decay schemes within 0.7 %, except for the branch of I-124 to the
    ground state (2138 keV), which is not an allowed one: 1.4 %.
    """
    return [
        {
            "mean_keV": _rounded(1000 * mean_MeV),
            "endpoint_keV": round(positron_endpoint_keV(1000 * mean_MeV, atomic_number - 1), 1),
            "intensity": _rounded(intensity),
        }
        for mean_MeV, intensity in sorted(emissions.get("beta+", ()))
        if intensity >= LEAST_LINE_INTENSITY
    ]


def _lines(emissions: dict[str, Any]) -> list[dict[str, Any]]:
    lines = [
        {"kind": ours, "energy_keV": _rounded(1000 * energy_MeV), "intensity": _rounded(intensity)}
        for theirs, ours in LINE_KINDS.items()
        for energy_MeV, intensity in emissions.get(theirs, ())
        if 1000 * energy_MeV >= LEAST_LINE_KEV and intensity >= LEAST_LINE_INTENSITY
    ]
    return sorted(lines, key=lambda line: (line["energy_keV"], line["kind"], line["intensity"]))


def _rounded(value: float) -> float:
    """Remove the binary noise of unit conversion; the database has at most 6 digits."""
    return float(f"{value:.9g}")


if __name__ == "__main__":
    sys.exit(main())
