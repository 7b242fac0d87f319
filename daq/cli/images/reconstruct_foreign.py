"""Options of the other modality: refused, for an image without them would not be what was asked."""

from __future__ import annotations

import argparse
from typing import Any

from daq.cli.common import CommandError

SPECT_ONLY: dict[str, Any] = {
    "peaks": (),
    "spect_scatter": "auto",
    "no_collimator_response": False,
    "sensitivity_cps_per_MBq": None,
    "view_deg": 3.0,
    "list_mode": False,
}
PET_ONLY: dict[str, Any] = {
    "algorithm": "osem",
    "subsets_by": "time",
    "prior": "none",
    "beta": 0.01,
    "psf": "0.0",
    "stop": "",
    "no_tof": False,
    "memory_MB": 2000.0,
    "contour_beyond_mm": 0.0,
    "normalisation_set": None,
    "no_randoms": False,
    "no_block_efficiency": False,
    "no_normalisation": False,
    "no_calibration": False,
    "frames": "",
    "gates": 0,
    "gate_signal": None,
    "poses": None,
    "pose_reference": None,
    "decay_reference": "0",
    "calibration": None,
    "nuclide": None,
    "weight_kg": None,
    "injected_MBq": None,
    "injected_at": "0",
    "suv": False,
    "parametric": "",
    "input": None,
    "patlak_from": 0.0,
}
"""What only one modality knows, with the value where it was not given."""

_NAMES = {"spect_scatter": "--scatter-windows"}


def refuse_foreign(options: argparse.Namespace, modality: str) -> None:
    """Raise CommandError for an option that a run of this modality does not know."""
    if modality == "SPECT" and options.attenuation not in ("map", "none"):
        raise CommandError(f"--attenuation {options.attenuation} is for PET runs: map or none here")
    if modality == "SPECT" and options.scatter == "energy":
        raise CommandError("--scatter energy is for PET runs: use --scatter-windows here")
    known, other = (PET_ONLY, "PET") if modality == "SPECT" else (SPECT_ONLY, "SPECT")
    for name, default in known.items():
        if getattr(options, name) != default:
            option = _NAMES.get(name, f"--{name.replace('_', '-')}")
            raise CommandError(
                f"{option} is for {other} runs, this is a {modality} run: leave it out"
            )
