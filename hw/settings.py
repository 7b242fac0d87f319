"""How a run is sorted: the settings that every room must agree on, checked where they enter.

They are part of a run's provenance and travel in messages, so they live beside the protocol.
The meaning of each value is defined in docs/coincidence.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Policy = Literal["all", "discard", "highest", "opener"]
POLICIES: tuple[Policy, ...] = ("all", "discard", "highest", "opener")

PositivePs = Annotated[int, msgspec.Meta(gt=0, le=1_000_000_000)]
EnergyKeV = Annotated[float, msgspec.Meta(ge=0, le=6553.5)]


class SettingsError(ValueError):
    """Sorting settings that contradict each other or lie out of bounds."""


class SortSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Energy window, coincidence window, delayed window, multiples policy and field of view.

    lld_keV, uld_keV : a single is accepted where lld ≤ energy ≤ uld (inclusive)
    window_ps : τ; a prompt has |Δt| ≤ τ (inclusive)
    delay_ps : D; a delayed has D ≤ Δt ≤ D + τ, one-sided, so that its expected number is that of
        the randoms among the prompts. 0 switches the delayed window off.
    policy : what becomes of multiples
    min_sector_difference : least cyclic difference of the modules' sectors in a pair
    """

    lld_keV: EnergyKeV
    uld_keV: EnergyKeV
    window_ps: PositivePs
    delay_ps: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000_000)]
    policy: Policy = "all"
    min_sector_difference: Annotated[int, msgspec.Meta(ge=0)] = 1

    def __post_init__(self) -> None:
        if self.lld_keV >= self.uld_keV:
            raise SettingsError(
                f"energy window {self.lld_keV:g}:{self.uld_keV:g} keV is empty: "
                "the lower level (LLD) must be below the upper (ULD)"
            )
        if 0 < self.delay_ps <= 2 * self.window_ps:
            raise SettingsError(
                f"delay_ps = {self.delay_ps} must be above 2 × window_ps = {2 * self.window_ps}, "
                "or delayeds would contain true coincidences; 0 switches them off"
            )
