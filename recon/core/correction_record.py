"""Which corrections an image has had, in words that travel with it.

Every image states for each correction whether and how it was applied, or why not. A correction that
was wanted but not possible is *missing*: commands print it, and ``--require`` makes it an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hw.messages.corrections import PET_NAMES
from recon.core.grid import ReconError


class CorrectionError(ReconError):
    """A required correction cannot be applied; the message says why and what is needed."""


@dataclass(frozen=True)
class Correction:
    """One correction of an image.

    wanted : requested; if wanted but not applied it was not possible, and ``how`` says why
    figures : numbers about it, such as the scatter fraction
    """

    applied: bool
    how: str
    wanted: bool = True
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class Corrections:
    """The corrections of an image, filled in while it is made; any not named was not applied."""

    done: dict[str, Correction] = field(default_factory=dict)

    def apply(self, name: str, how: str, **figures: Any) -> None:
        """Record that a correction is applied, and how."""
        self._set(name, Correction(True, how, figures=figures))

    def leave(self, name: str, why: str) -> None:
        """Record that a correction was not requested."""
        self._set(name, Correction(False, why, wanted=False))

    def miss(self, name: str, why: str) -> None:
        """Record that a correction was wanted but is not possible."""
        self._set(name, Correction(False, why))

    def _set(self, name: str, correction: Correction) -> None:
        if name not in PET_NAMES:
            raise KeyError(f"{name} is not a correction: choose from {', '.join(PET_NAMES)}")
        self.done[name] = correction

    def of(self, name: str) -> Correction:
        """Return the record of a correction."""
        return self.done.get(name, Correction(False, "not asked for", wanted=False))

    def ordered(self) -> dict[str, Correction]:
        """Return the recorded corrections in their standard order."""
        return {name: self.done[name] for name in PET_NAMES if name in self.done}

    def applied(self) -> dict[str, bool]:
        """Return every correction's name and whether it is applied."""
        return {name: self.of(name).applied for name in PET_NAMES}

    def missing(self) -> dict[str, str]:
        """Return the corrections that were wanted but not possible, and why."""
        found = {name: self.of(name) for name in PET_NAMES}
        return {name: one.how for name, one in found.items() if one.wanted and not one.applied}

    def require(self, names: tuple[str, ...]) -> None:
        """Raise :class:`CorrectionError` for the first of ``names`` that is not applied."""
        for name in names:
            found = self.of(name)
            if not found.applied:
                raise CorrectionError(f"correction {name} is required and not applied: {found.how}")

    def as_metadata(self) -> dict[str, dict[str, Any]]:
        """Return plain values for an image's metadata, in the order of ``PET_NAMES``."""
        return {
            name: {"applied": one.applied, "how": one.how, **one.figures}
            for name in PET_NAMES
            for one in (self.of(name),)
        }
