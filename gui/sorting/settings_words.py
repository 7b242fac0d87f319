"""The sorting settings in the console's words; docs/coincidence.md defines them."""

from __future__ import annotations

from dataclasses import dataclass

from hw.messages.sort_settings import EnergyWindow, SortSettings

OWN = "Of a multiple (a connected cluster of more than one good pair)"
GATE = (
    "GATE's policy of this name, judging each opener's window by itself: the pairs of a single\n"
    "with each later one of another module within τ, good (in the field of view) or not. Of these"
)


@dataclass(frozen=True)
class PolicyWords:
    """A policy in a few words, and in a sentence that says exactly what is kept."""

    short: str
    sentence: str


POLICY_WORDS: dict[str, PolicyWords] = {
    "all": PolicyWords("all good pairs", f"{OWN}, every good pair is kept."),
    "discard": PolicyWords("multiples discarded", f"{OWN}, nothing is kept."),
    "highest": PolicyWords(
        "highest energy of a multiple",
        f"{OWN}, the one pair with the largest E₁ + E₂ is kept; of equal ones the earliest.",
    ),
    "opener": PolicyWords(
        "opener's first pair",
        f"{OWN}, the earliest good pair is kept: the earliest single that has a partner, "
        "with its first partner.",
    ),
    "TakeAllGoods": PolicyWords("GATE TakeAllGoods", f"{GATE}, every good pair is kept."),
    "TakeWinnerOfGoods": PolicyWords(
        "GATE TakeWinnerOfGoods",
        f"{GATE}, the good pair with the largest E₁ + E₂ is kept.",
    ),
    "TakeIfOnlyOneGood": PolicyWords(
        "GATE TakeIfOnlyOneGood",
        f"{GATE}, the good pair is kept if there is exactly one, otherwise nothing.",
    ),
    "TakeWinnerIfIsGood": PolicyWords(
        "GATE TakeWinnerIfIsGood",
        f"{GATE}, the pair with the largest E₁ + E₂ is kept if it is good, otherwise nothing.",
    ),
    "TakeWinnerIfAllAreGoods": PolicyWords(
        "GATE TakeWinnerIfAllAreGoods",
        f"{GATE}, the pair with the largest E₁ + E₂ is kept if all of them are good, "
        "otherwise nothing.",
    ),
    "RemoveMultiples": PolicyWords(
        "GATE RemoveMultiples",
        f"{GATE}, the pair is kept if it is the only one and good, otherwise nothing.",
    ),
}


def ns_text(time_ps: float) -> str:
    """Return a time in ns with its unit, without needless digits."""
    return f"{time_ps / 1000:g} ns"


def energy_text(lld_keV: float, uld_keV: float) -> str:
    """Return a window's edges in keV, without the unit."""
    return f"{lld_keV:g}–{uld_keV:g}"


def coincidence_text(settings: SortSettings) -> str:
    """Return the coincidence window as ±τ."""
    return f"±{ns_text(settings.window_ps)}  (|Δt| ≤ τ)"


def delayed_text(settings: SortSettings) -> str:
    """Return number, place, sides and factor of the delayed windows."""
    if not settings.delay_ps:
        return "off: no delayed windows"
    many = f"{settings.delay_windows} × " if settings.delay_windows > 1 else ""
    sides = "two-sided" if settings.delay_sides == "two" else "one-sided"
    return f"{many}D {ns_text(settings.delay_ps)}, {sides}, factor {settings.delayed_factor}"


def delayed_sentence(settings: SortSettings) -> str:
    """Return where the delayed windows lie and how often they count the randoms."""
    if not settings.delay_ps:
        return "D = 0: delayed windows are switched off, randoms are not measured by them."
    places = ", ".join(
        f"{k * settings.delay_ps / 1000:g}" for k in range(1, settings.delay_windows + 1)
    )
    width = "|Δt − D| ≤ τ" if settings.delay_sides == "two" else "D ≤ Δt ≤ D + τ"
    return (
        f"Delayed windows {width} at D = {places} ns. Together they count the randoms "
        f"{settings.delayed_factor} time{'s' if settings.delayed_factor > 1 else ''}: "
        "estimates of the randoms are divided by this factor."
    )


def field_of_view_text(settings: SortSettings) -> str:
    """Return which modules may pair."""
    least = settings.min_sector_difference
    return "any two modules" if least == 0 else f"sectors at least {least} apart"


def modules_text(modules: tuple[int, ...]) -> str:
    """Return the modules to which a window applies."""
    if not modules:
        return "all modules"
    return f"module{'s' if len(modules) > 1 else ''} {', '.join(map(str, modules))}"


def window_sentence(window: EnergyWindow) -> str:
    """Return the purpose of a further energy window."""
    edges = f"{energy_text(window.lld_keV, window.uld_keV)} keV, both inclusive"
    where = modules_text(window.modules)
    if window.kind == "coincidence":
        return f"{window.name}: replaces the run's own window on {where}: {edges}"
    whose = f" of {window.nuclide}" if window.nuclide else ""
    serves = f", for photopeak {window.photopeak}" if window.photopeak else ""
    return f"{window.name}: {window.kind} window{whose}{serves}, {where}: {edges}"
