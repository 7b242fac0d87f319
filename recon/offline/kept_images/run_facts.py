"""What a run's folder says of its images' identity: for those that are not made from its log.

An image of :func:`recon.offline.reconstruction.reconstruct` has these facts from what it read.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from daq.folder.identity.study_file import Study
from daq.folder.run_config import RunConfig
from daq.folder.run_folder import CONFIG_NAME, MU_MAP_NAME, run_config, started_at
from daq.folder.run_identity import RunIdentity
from hw.physics.nuclides import Nuclide, nuclide_of
from recon.core.mu_map import frame_of_reference
from recon.core.quantification import Patient


def run_facts(folder: Path) -> dict[str, Any]:
    """Return UIDs, times, nuclide, position and patient of a run, as metadata of its images.

    Empty for a folder that holds no run.

    Raises
    ------
    LogError, MuMapError
        if one of the run's files cannot be read.
    """
    if not (folder / CONFIG_NAME).exists():
        return {}
    config, start = run_config(folder), started_at(folder)
    identity = RunIdentity.of(folder).with_changes(
        frame_of_reference_uid=frame_of_reference(folder / MU_MAP_NAME), patient_position=""
    )
    nuclide, _ = nuclide_of(config.labels)
    patient = patient_of(identity.study, start, nuclide)
    return {
        "run": folder.resolve().name,
        **identity.as_metadata(),
        "created": start.isoformat() if start else "",
        "nuclide": str(config.labels.get("nuclide", "")),
        **({} if patient is None else patient.as_metadata(start)),
        **_of_pairs(config, nuclide),
    }


def _of_pairs(config: RunConfig, nuclide: Nuclide | None) -> dict[str, Any]:
    """Return the window and decay of a PET run; of single photons the image says them itself."""
    if not config.settings.sorts_coincidences:
        return {}
    return {
        "energy_window_keV": [config.settings.lld_keV, config.settings.uld_keV],
        "window_ps": config.settings.window_ps,
        "half_life_s": nuclide.half_life_s if nuclide else None,
        "positron_fraction": nuclide.beta_plus_fraction if nuclide else None,
    }


def patient_of(
    study: Study | None, start: dt.datetime | None, nuclide: Nuclide | None
) -> Patient | None:
    """Return net activity, and weight if known, of a run's study; None where it has no activity."""
    if study is None or start is None or nuclide is None:
        return None
    net_Bq, injected_s = study.net_injected_Bq(nuclide.half_life_s), study.injected_s(start)
    if net_Bq is None or net_Bq <= 0 or injected_s is None:
        return None
    return Patient(weight_kg=study.weight_kg, injected_Bq=net_Bq, injected_s=injected_s)
