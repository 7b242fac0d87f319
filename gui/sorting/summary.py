"""How the run is sorted now, read-only and in words; settings for the next run are only announced.

Everything shown is what the daq reports, never what the console requested.
"""

from __future__ import annotations

from pyqtgraph.Qt import QtGui, QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel, Panel
from gui.kit.words import mark, tr
from gui.link.command_desk import ALLOWED, CommandDesk
from gui.sorting.dialog import SortingDialog
from gui.sorting.settings_words import (
    POLICY_WORDS,
    coincidence_text,
    delayed_sentence,
    delayed_text,
    energy_text,
    field_of_view_text,
)
from gui.sorting.window_table import WindowTable
from hw.messages.sort_settings import SortSettings
from hw.messages.telemetry import Telemetry

ROWS = (
    mark("Policy"),
    mark("Window"),
    mark("Energy"),
    mark("Delayeds"),
    mark("Field of view"),
    mark("Calibration"),
)
KEY = "F4"


class SortingPanel(Panel):
    """Policy, windows, field of view, calibration, and the button to set up the next run."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__(tr("SORTING"), teaches=tr("How singles become coincidences in this run."))
        self._desk = desk
        self._telemetry: Telemetry | None = None
        self._shown: tuple[SortSettings | None, tuple[str, str]] | None = None
        self.dialog: SortingDialog | None = None
        self.button = QtWidgets.QPushButton(tr("Next run…"))
        self.button.setObjectName("small")
        self.button.setFont(theme.font(theme.SMALL_PX))
        self.button.setEnabled(False)
        self.button.setToolTip(_button_words(allowed=False))
        self.button.clicked.connect(self.open_dialog)
        QtGui.QShortcut(QtGui.QKeySequence(KEY), self, self.button.click)
        self._head.addWidget(self.button)
        self.body.addLayout(self._grid())
        self.table = WindowTable()
        self.body.addWidget(self.table)
        self.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Maximum
        )

    def _grid(self) -> QtWidgets.QLayout:
        grid = QtWidgets.QGridLayout()
        grid.setVerticalSpacing(0)
        grid.setHorizontalSpacing(8)
        grid.setColumnStretch(1, 1)
        self.values: dict[str, ElidedLabel] = {}
        self._captions: dict[str, CalmLabel] = {}
        for row, name in enumerate(ROWS):
            caption, value = CalmLabel(tr(name)), ElidedLabel()
            caption.setObjectName("dim")
            value.show_text("–")
            grid.addWidget(caption, row, 0)
            grid.addWidget(value, row, 1)
            self._captions[name], self.values[name] = caption, value
        return grid

    def refresh(self, telemetry: Telemetry) -> None:
        """Show changed settings, and the windows' rates."""
        self._telemetry = telemetry
        settings = telemetry.settings
        calibration = telemetry.calibration, telemetry.uncalibrated
        shown = (settings, calibration)
        if shown != self._shown:
            self._shown = shown
            self._show_settings(settings, calibration)
        self.table.show_rates(telemetry.window_rates)

    def refresh_commands(self, telemetry: Telemetry | None) -> None:
        """Enable the button if a run can be armed (None: the daq is silent); cheap."""
        allowed = telemetry is not None and "arm" in ALLOWED[telemetry.state]
        if self.button.isEnabled() != allowed:
            self.button.setEnabled(allowed)
            self.button.setToolTip(_button_words(allowed=allowed))
        changes = self._desk.sorting
        self.note.show_text(tr("next run set here") if changes else "", theme.NOTICE)
        if self.dialog is not None:
            self.dialog.allow(allowed=allowed)

    def open_dialog(self) -> None:
        """Open the set-up of the next run, without blocking."""
        if self.dialog is not None:
            self.dialog.raise_()
            return
        telemetry = self._telemetry
        self.dialog = SortingDialog(
            self._desk,
            base=telemetry.settings if telemetry else None,
            sectors=sectors(telemetry) if telemetry else 0,
            parent=self,
        )
        self.dialog.finished.connect(self._forget_dialog)
        self.dialog.open()

    def _forget_dialog(self, _result: int) -> None:
        if self.dialog is not None:
            self.dialog.deleteLater()
            self.dialog = None

    def _show_settings(self, settings: SortSettings | None, calibration: tuple[str, str]) -> None:
        self.table.show_windows(settings.windows if settings else ())
        self._say("Calibration", *_calibration(*calibration, run=settings is not None))
        if settings is None:
            for name in ROWS[:-1]:
                self._say(name, "–", tr("No run: no settings are in force."))
            return
        if not settings.sorts_coincidences:
            self._show_single_photons(settings)
            return
        policy = POLICY_WORDS[settings.policy]
        self._say("Policy", policy.short, policy.sentence)
        self._say(
            "Window",
            coincidence_text(settings),
            tr(
                "Coincidence window: a prompt is two singles of modules that may pair "
                "with |Δt| ≤ τ, both edges inclusive. The full width is 2τ = {value:g} "
                "ns.",
                value=2 * settings.window_ps / 1000,
            ),
        )
        self._say("Energy", *_energy(settings))
        self._say("Delayeds", delayed_text(settings), delayed_sentence(settings))
        self._say(
            "Field of view",
            field_of_view_text(settings) + (tr(" · triples") if settings.triples else ""),
            tr(
                "Two modules may pair if their sectors' cyclic difference is at least {least}; "
                "a module never pairs with itself.",
                least=settings.min_sector_difference,
            )
            + "\n"
            + (tr("Triples are stored.") if settings.triples else tr("Triples are not stored.")),
        )

    def _show_single_photons(self, settings: SortSettings) -> None:
        """Show that nothing is paired; the table below has the windows."""
        for name in ("Window", "Delayeds", "Field of view"):
            self._say(
                name, "–", tr("Single photons behind collimators: no coincidences are sorted.")
            )
        self._say(
            "Policy", tr("single photons, no coincidences"), tr("Each single in a window is kept.")
        )
        many = len(settings.singles_windows)
        words = tr(
            "{many} window{value} for singles, below", many=many, value="s" if many != 1 else ""
        )
        self._say("Energy", words, tr("A single is kept if it is in one of the energy windows."))

    def _say(self, name: str, text: str, teaches: str) -> None:
        self.values[name].show_text(text)
        for label in (self._captions[name], self.values[name]):
            label.setToolTip(f"{text}\n{teaches}" if text != "–" else teaches)


def sectors(telemetry: Telemetry) -> int:
    """Return the number of the scanner's sectors, 0 if not known."""
    return len(telemetry.module_states) // telemetry.rings if telemetry.rings else 0


def _button_words(*, allowed: bool) -> str:
    if allowed:
        return tr("Set policy and windows of the next run.\nKey: {key}", key=KEY)
    return tr("Set-up of the next run: possible if no run is armed or running")


def _energy(settings: SortSettings) -> tuple[str, str]:
    many = len(settings.windows)
    more = tr(" + {many} window{value}", many=many, value="s" if many > 1 else "") if many else ""
    sentence = tr(
        "A single is accepted for coincidences if LLD ≤ energy ≤ ULD, both "
        "inclusive.\nWindows of modules replace it there; SPECT windows select "
        "singles beside it."
    )
    return f"{energy_text(settings.lld_keV, settings.uld_keV)} keV{more}", sentence


def _calibration(name: str, why: str = "", *, run: bool) -> tuple[str, str]:
    if not run:
        return "–", tr("No run: no calibration set is in force.")
    if name in ("", "none"):
        sentence = tr("No calibration set is applied to this run") + (f": {why}" if why else "")
        return tr("none: raw energies and times"), f"{sentence}."
    return name, tr("The calibration set applied to every single of this run, by name and content.")
