"""How a run is sorted: the settings on which every room must agree, checked on entry.

They are part of a run's provenance and travel in messages, so they live beside the protocol. The
meaning of each value is defined in docs/coincidence.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from hw.errors import TomoshibiError

Policy = Literal[
    "all", "discard", "highest", "opener",
    "TakeAllGoods", "TakeWinnerOfGoods", "TakeIfOnlyOneGood",
    "TakeWinnerIfIsGood", "TakeWinnerIfAllAreGoods", "RemoveMultiples",
]  # fmt: skip
"""Ours act on connected clusters of good pairs, GATE's (capitals) on each opener's window."""

POLICIES: tuple[Policy, ...] = Policy.__args__  # type: ignore[attr-defined]
WindowKind = Literal["coincidence", "photopeak", "scatter"]
Sides = Literal["one", "two"]

MOST_WINDOWS = 63
"""Photopeak and scatter windows of one module: six bits of a windowed single's flags."""

MOST_DELAY_WINDOWS = 16
WindowPs = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
EnergyKeV = Annotated[float, msgspec.Meta(ge=0, le=6553.5)]


class SettingsError(TomoshibiError, ValueError):
    """Sorting settings that contradict each other or are out of bounds."""


class EnergyWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One energy window, lld ≤ energy ≤ uld (inclusive).

    kind : "coincidence" replaces the run's own window for coincidences on the modules named;
        "photopeak" and "scatter" select windowed singles (SPECT)
    nuclide : nuclide of the line, for names and tables only
    photopeak : for a scatter window, the name of the photopeak whose scatter it estimates
    modules : the modules it applies to; () for all
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,39}$")]
    lld_keV: EnergyKeV
    uld_keV: EnergyKeV
    kind: WindowKind = "photopeak"
    nuclide: str = ""
    photopeak: str = ""
    modules: tuple[Annotated[int, msgspec.Meta(ge=0, le=65534)], ...] = ()

    def __post_init__(self) -> None:
        if self.lld_keV >= self.uld_keV:
            raise SettingsError(
                f"energy window {self.name} = {self.lld_keV:g}:{self.uld_keV:g} keV is empty: "
                "the lower level (LLD) must be below the upper (ULD)"
            )


class SortSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Energy windows, coincidence window, delayed windows, multiples policy and field of view.

    lld_keV, uld_keV : a single is accepted for coincidences if lld ≤ energy ≤ uld (inclusive)
    window_ps : τ; a prompt has |Δt| ≤ τ (inclusive). 0: no coincidences are sorted and no single is
        accepted for them (SPECT)
    delay_ps : D; a delayed has D ≤ Δt ≤ D + τ (one-sided). 0 switches the delayed windows off.
    delay_windows : number of delayed windows, at D, 2D, 3D …
    delay_sides : "two" for the symmetric window |Δt − D| ≤ τ, which counts the randoms twice
    policy : what becomes of multiples
    min_sector_difference : least cyclic difference of the modules' sectors in a pair
    windows : further energy windows (SPECT photopeaks and scatter, different windows for some
        modules)
    triples : whether triples are stored
    """

    lld_keV: EnergyKeV
    uld_keV: EnergyKeV
    window_ps: WindowPs
    delay_ps: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000_000)]
    policy: Policy = "all"
    min_sector_difference: Annotated[int, msgspec.Meta(ge=0)] = 1
    delay_windows: Annotated[int, msgspec.Meta(ge=1, le=MOST_DELAY_WINDOWS)] = 1
    delay_sides: Sides = "one"
    windows: tuple[EnergyWindow, ...] = ()
    triples: bool = False

    def __post_init__(self) -> None:
        if self.lld_keV >= self.uld_keV:
            raise SettingsError(
                f"energy window {self.lld_keV:g}:{self.uld_keV:g} keV is empty: "
                "the lower level (LLD) must be below the upper (ULD)"
            )
        if self.window_ps == 0:
            _check_no_coincidences(self)
        if 0 < self.delay_ps <= 2 * self.window_ps:
            raise SettingsError(
                f"delay_ps = {self.delay_ps} must be above 2 × window_ps = {2 * self.window_ps}, "
                "or delayeds would contain true coincidences; 0 switches them off"
            )
        _check_windows(self.windows)

    @property
    def sorts_coincidences(self) -> bool:
        """Whether singles are paired at all; if not, windowed singles are recorded."""
        return self.window_ps > 0

    @property
    def delayed_factor(self) -> int:
        """How often the delayed windows together count the randoms: delayeds / expected randoms."""
        return self.delay_windows * (2 if self.delay_sides == "two" else 1)

    @property
    def singles_windows(self) -> tuple[EnergyWindow, ...]:
        """The windows for windowed singles; the records number them from 1."""
        return tuple(window for window in self.windows if window.kind != "coincidence")

    @property
    def reach_ps(self) -> int:
        """The longest time after a single at which another can pair with it, prompt or delayed."""
        return self.delay_windows * self.delay_ps + self.window_ps


def _check_no_coincidences(settings: SortSettings) -> None:
    """Refuse settings that are meaningless if no coincidences are sorted."""
    beside = [window.name for window in settings.windows if window.kind == "coincidence"]
    for what, given in (
        (f"delay_ps = {settings.delay_ps}", settings.delay_ps),
        ("triples = true", settings.triples),
        (f"coincidence window {beside[0] if beside else ''}", beside),
    ):
        if given:
            raise SettingsError(
                f"{what}: window_ps = 0 sorts no coincidences (SPECT); leave it out, or give a "
                "coincidence window"
            )


def _check_windows(windows: tuple[EnergyWindow, ...]) -> None:
    names = [window.name for window in windows]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"energy window {name} is given twice: give each its own name")
    singles = [window for window in windows if window.kind != "coincidence"]
    if len(singles) > MOST_WINDOWS:
        raise SettingsError(
            f"{len(singles)} windows for singles: at most {MOST_WINDOWS} fit a record"
        )
    peaks = {window.name for window in windows if window.kind == "photopeak"}
    for window in windows:
        if window.photopeak and window.photopeak not in peaks:
            raise SettingsError(
                f"scatter window {window.name} belongs to photopeak {window.photopeak!r}, which is "
                f"not among the windows ({', '.join(sorted(peaks)) or 'there is none'})"
            )
        if window.kind == "coincidence" and not window.modules:
            raise SettingsError(
                f"coincidence window {window.name} names no modules: for all modules set "
                "lld_keV and uld_keV instead"
            )
    for k, window in enumerate(windows):
        for other in windows[:k]:
            _check_apart(other, window)


def _check_apart(a: EnergyWindow, b: EnergyWindow) -> None:
    """Refuse two windows that would both claim a single; they may share an edge, which belongs to
    the upper one. Coincidence windows and windows for singles are independent of each other."""
    if (a.kind == "coincidence") != (b.kind == "coincidence"):
        return
    if a.modules and b.modules and not set(a.modules) & set(b.modules):
        return
    same_modules = "" if not (a.modules or b.modules) else " on the same modules"
    if a.kind == "coincidence" or (a.lld_keV < b.uld_keV and b.lld_keV < a.uld_keV):
        raise SettingsError(
            f"energy windows {a.name} ({a.lld_keV:g}:{a.uld_keV:g} keV) and {b.name} "
            f"({b.lld_keV:g}:{b.uld_keV:g} keV) overlap{same_modules}: a single belongs to one "
            "window; narrow one of them, or record two runs"
        )
