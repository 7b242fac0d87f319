"""SUV by body weight: 1 where the activity is as if it were spread evenly over the body.

    SUV_bw = C(t) [Bq/mL] · weight [g] / (A_injected [Bq] · 2^(−(t − t_injected)/T))

in g/mL (QIBA, FDG-PET/CT Technical Committee, SUV as body weight, 2013); decay is corrected to time
t.
"""

from __future__ import annotations

UNIT = "SUV"


def suv_per_Bq_per_mL(weight_kg: float, injected_Bq: float, *, half_lives_since: float) -> float:
    """Return SUV per Bq/mL at a time so many half-lives after the injection."""
    left_Bq = injected_Bq * 2.0**-half_lives_since
    return weight_kg * 1000.0 / left_Bq
