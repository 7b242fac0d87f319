"""Trial of the positron range alone: vectors from decays to annihilations in uniform matter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Phantom
from emulator.object.source_sampling import source_tables
from emulator.pet.decay_sampling import AT_ONCE, MODE, draw_decays, new_drawn
from emulator.physics.emission import emission_tables, load_source
from hw.physics.random_numbers import seed_stream


def ways_mm(
    nuclide: str, mu_per_mm: float, *, decays: int, seed: int, positron_range: bool = True
) -> npt.NDArray[np.float64]:
    """Return the way of each positron of about so many decays, (n, 3), drawn as in a run.

    Parameters
    ----------
    mu_per_mm : of the matter, at 511 keV
    decays : about so many; those without a positron give no row
    seed : of the random numbers
    positron_range : without it the ways are 0
    """
    ones = np.ones((1, 1, 1), np.float32)
    cube = Phantom("cube", ones, mu_per_mm * ones, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    emission = emission_tables(load_source(nuclide), positron_range=positron_range)
    state = np.zeros(2, np.uint64)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    tables, drawn, parts = source_tables(cube), new_drawn(), []
    for _ in range(max(1, decays // AT_ONCE)):
        draw_decays(state, tables, emission, np.ones(1), np.zeros(0), drawn)
        positrons = emission.positron[drawn.kinds[:, MODE]] >= 0
        parts.append((drawn.annihilations_mm - drawn.places[:, :3])[positrons])
    return np.concatenate(parts)
