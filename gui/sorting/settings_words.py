"""The sorting settings in the console's words; docs/coincidence.md defines them."""

from __future__ import annotations

from dataclasses import dataclass

from gui.kit import theme
from gui.kit.words import mark, tr
from hw.messages.sort_settings import EnergyWindow, SortSettings

OWN = mark("Of a multiple (a connected cluster of more than one good pair)")
GATE = mark(
    "GATE's policy of this name, judging each opener's window by itself: the "
    "pairs of a single\nwith each later one of another module within τ, good "
    "(in the field of view) or not. Of these"
)


@dataclass(frozen=True)
class PolicyWords:
    """A policy in a few words, and in a sentence that says exactly what is kept."""

    short_name: str
    keeps: str
    of: str

    @property
    def short(self) -> str:
        """The policy in a few words of the language that is spoken."""
        return tr(self.short_name)

    @property
    def sentence(self) -> str:
        """What is kept, in the language that is spoken."""
        return tr(self.keeps, of=tr(self.of))


POLICY_WORDS: dict[str, PolicyWords] = {
    "all": PolicyWords(mark("all good pairs"), mark("{of}, every good pair is kept."), OWN),
    "discard": PolicyWords(mark("multiples discarded"), mark("{of}, nothing is kept."), OWN),
    "highest": PolicyWords(
        mark("highest energy of a multiple"),
        mark("{of}, the one pair with the largest E₁ + E₂ is kept; of equal ones the earliest."),
        OWN,
    ),
    "opener": PolicyWords(
        mark("opener's first pair"),
        mark(
            "{of}, the earliest good pair is kept: the earliest single that has a "
            "partner, with its first partner."
        ),
        OWN,
    ),
    "TakeAllGoods": PolicyWords(
        mark("GATE TakeAllGoods"), mark("{of}, every good pair is kept."), GATE
    ),
    "TakeWinnerOfGoods": PolicyWords(
        mark("GATE TakeWinnerOfGoods"),
        mark("{of}, the good pair with the largest E₁ + E₂ is kept."),
        GATE,
    ),
    "TakeIfOnlyOneGood": PolicyWords(
        mark("GATE TakeIfOnlyOneGood"),
        mark("{of}, the good pair is kept if there is exactly one, otherwise nothing."),
        GATE,
    ),
    "TakeWinnerIfIsGood": PolicyWords(
        mark("GATE TakeWinnerIfIsGood"),
        mark("{of}, the pair with the largest E₁ + E₂ is kept if it is good, otherwise nothing."),
        GATE,
    ),
    "TakeWinnerIfAllAreGoods": PolicyWords(
        mark("GATE TakeWinnerIfAllAreGoods"),
        mark(
            "{of}, the pair with the largest E₁ + E₂ is kept if all of them are "
            "good, otherwise nothing."
        ),
        GATE,
    ),
    "RemoveMultiples": PolicyWords(
        mark("GATE RemoveMultiples"),
        mark("{of}, the pair is kept if it is the only one and good, otherwise nothing."),
        GATE,
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
        return tr("off: no delayed windows")
    many = f"{settings.delay_windows} × " if settings.delay_windows > 1 else ""
    sides = tr("two-sided") if settings.delay_sides == "two" else tr("one-sided")
    return tr(
        "{many}D {ns}, {sides}, factor {delayed_factor}",
        many=many,
        ns=ns_text(settings.delay_ps),
        sides=sides,
        delayed_factor=settings.delayed_factor,
    )


def delayed_sentence(settings: SortSettings) -> str:
    """Return where the delayed windows lie and how often they count the randoms."""
    if not settings.delay_ps:
        return tr("D = 0: delayed windows are switched off, randoms are not measured by them.")
    places = ", ".join(
        f"{k * settings.delay_ps / 1000:g}" for k in range(1, settings.delay_windows + 1)
    )
    width = "|Δt − D| ≤ τ" if settings.delay_sides == "two" else "D ≤ Δt ≤ D + τ"
    return tr(
        "Delayed windows {width} at D = {places} ns. Together they count the "
        "randoms {delayed_factor} time{value}: estimates of the randoms are "
        "divided by this factor.",
        width=width,
        places=places,
        delayed_factor=settings.delayed_factor,
        value="s" if settings.delayed_factor > 1 else "",
    )


def field_of_view_text(settings: SortSettings) -> str:
    """Return which modules may pair."""
    least = settings.min_sector_difference
    return (
        tr("any two modules") if least == 0 else tr("sectors at least {least} apart", least=least)
    )


def modules_text(modules: tuple[int, ...]) -> str:
    """Return the modules to which a window applies."""
    if not modules:
        return tr("all modules")
    return tr(
        "module{value} {join}",
        value="s" if len(modules) > 1 else "",
        join=", ".join(map(str, modules)),
    )


def window_sentence(window: EnergyWindow) -> str:
    """Return the purpose of a further energy window."""
    edges = tr("{energy} keV, both inclusive", energy=energy_text(window.lld_keV, window.uld_keV))
    where = modules_text(window.modules)
    if window.kind == "coincidence":
        return tr(
            "{name}: replaces the run's own window on {where}: {edges}",
            name=window.name,
            where=where,
            edges=edges,
        )
    whose = tr(" of {nuclide}", nuclide=window.nuclide) if window.nuclide else ""
    serves = (
        tr(", for photopeak {photopeak}", photopeak=window.photopeak) if window.photopeak else ""
    )
    return tr(
        "{name}: {kind} window{whose}{serves}, {where}: {edges}",
        name=window.name,
        kind=theme.WINDOW_LOOKS[window.kind].word,
        whose=whose,
        serves=serves,
        where=where,
        edges=edges,
    )
