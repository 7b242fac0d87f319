"""The angle at which a single was seen: that of its module's last angle word before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.events import ANGLE_STEP_DEG


def angles_of_singles(
    singles: npt.NDArray[np.void],
    angles: npt.NDArray[np.void],
    module_of: npt.NDArray[np.uint16],
) -> npt.NDArray[np.float64]:
    """Return the angle of each single's module at its time, (n,) f8 in degrees.

    NaN where the module had not told any angle yet.

    Parameters
    ----------
    singles : (n,) SINGLE
    angles : (k,) ANGLE, those of a module in order of time (as the daq logs and publishes them)
    module_of : (n_crystals,) u2
    """
    found = np.full(len(singles), np.nan)
    modules = module_of[singles["crystal"]]
    for module in np.unique(modules):
        own = angles[angles["module"] == module]
        here = np.flatnonzero(modules == module)
        place = np.searchsorted(own["time_ps"], singles["time_ps"][here], side="right") - 1
        known = place >= 0
        found[here[known]] = own["steps"][place[known]] * ANGLE_STEP_DEG
    return found
