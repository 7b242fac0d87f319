"""Small SPECT presets for tests: a head on a gantry, and columns on an arc that swivel."""

from __future__ import annotations

import json
from typing import Any

_RESPONSE: dict[str, Any] = {
    "energy_fwhm_511": 0.055,
    "ctr_fwhm_ps": 3000.0,
    "position_fwhm_mm": 3.6,
    "doi_fwhm_mm": 0.0,
    "integration_ns": 400.0,
    "dead_time_ns": 1000.0,
    "dead_time_model": "paralysable",
    "gain_spread": 0.0,
    "skew_spread_ps": 0.0,
}

HEAD: dict[str, Any] = {
    "name": "test_head",
    "title": "A gamma-camera head",
    "status": "design",
    "ring": {"n_rings": 1, "modules_per_ring": 1, "inradius_mm": 150.0, "ring_pitch_mm": 200.0},
    "module": {
        "width_mm": 256.0, "height_mm": 192.0, "thickness_mm": 9.5, "material": "NaI",
        "monolithic": True, "n_u": 64, "n_v": 48, "doi_bins": 1,
    },
    "response": _RESPONSE,
    "acquisition": {"lld_keV": 60.0, "uld_keV": 400.0},
    "image": {"shape": [64, 64, 48], "voxel_mm": [4.0, 4.0, 4.0]},
    "collimator": {
        "name": "LEHR", "hole": "hexagonal", "hole_mm": 1.11, "septum_mm": 0.16,
        "length_mm": 24.05, "gap_mm": 1.0, "material": "Pb", "least_keV": 70.0, "most_keV": 160.0,
    },
    "backing": {"material": "glass", "thickness_mm": 60.0},
    "motion": {"kind": "gantry", "most_deg_per_s": 6.0, "least_deg": 0.0, "most_deg": 360.0},
}  # fmt: skip

COLUMNS: dict[str, Any] = {
    "name": "test_columns",
    "title": "Nine columns around the heart",
    "status": "design",
    "ring": {
        "n_rings": 1, "modules_per_ring": 9, "inradius_mm": 300.0, "ring_pitch_mm": 160.0,
        "arc_deg": 90.0,
    },
    "module": {
        "width_mm": 39.36, "height_mm": 157.44, "thickness_mm": 5.0, "material": "CZT",
        "monolithic": False, "n_u": 16, "n_v": 64, "doi_bins": 1,
    },
    "response": _RESPONSE | {"position_fwhm_mm": 0.0},
    "acquisition": {"lld_keV": 40.0, "uld_keV": 200.0},
    "image": {"shape": [60, 60, 40], "voxel_mm": [4.0, 4.0, 4.0]},
    "collimator": {
        "name": "square", "hole": "square", "hole_mm": 2.26, "septum_mm": 0.2, "length_mm": 21.7,
        "gap_mm": 0.5, "material": "W", "least_keV": 70.0, "most_keV": 160.0,
    },
    "motion": {"kind": "swivel", "most_deg_per_s": 40.0, "least_deg": -55.0, "most_deg": 55.0},
}  # fmt: skip


def as_toml(document: dict[str, Any]) -> str:
    """Write the subset of TOML that presets use; JSON's strings, lists and booleans are TOML."""
    top, tables = [], []
    for key, value in document.items():
        if isinstance(value, dict):
            tables += [f"[{key}]", *(f"{k} = {_value(v)}" for k, v in value.items())]
        else:
            top.append(f"{key} = {json.dumps(value)}")
    return "\n".join(top + tables) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):  # a table within a table
        return f"{{{', '.join(f'{k} = {json.dumps(v)}' for k, v in value.items())}}}"
    return json.dumps(value)
