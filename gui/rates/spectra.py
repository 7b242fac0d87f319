"""The energy spectrum of all singles, and the time differences of prompts and delayeds.

Both are counts of the whole run, with the windows that decide what is accepted.

SPECT windows are bands behind the energy spectrum: a photopeak is filled and labelled with its
energy, scatter is hatched. The bands are drawn in pixels over a fixed range, so that the hatching
does not change with the scale.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.panels import Panel
from gui.kit.plots import CalmPlot, pen
from gui.kit.words import tr
from hw.messages.sort_settings import EnergyWindow, SortSettings
from hw.messages.telemetry import Telemetry

LEAST_PX = 4.0  # a window narrower than this is drawn this wide, or it could not be seen
_LABEL_PX = 12
LEAST_PLOT_PX = 79
"""Of height: two of them and the rates are a screen of 768 lines, in Japanese as well."""


class EnergyBands(QtWidgets.QGraphicsItem):
    """Bands of windows in a plot whose x range is 0..``shown_keV``."""

    def __init__(self, view: pg.ViewBox, *, shown_keV: float) -> None:
        super().__init__(view)
        self._view = view
        self.shown_keV = shown_keV
        self.windows: tuple[EnergyWindow, ...] = ()
        self.setZValue(-5)
        view.sigResized.connect(self._fit)

    def show_windows(self, windows: tuple[EnergyWindow, ...]) -> None:
        """Draw these windows; does nothing if they are the same."""
        if windows != self.windows:
            self.windows = windows
            self.update()

    def set_range(self, shown_keV: float) -> None:
        """Set the upper end of the x range."""
        if shown_keV != self.shown_keV:
            self.shown_keV = shown_keV
            self.update()

    def _fit(self) -> None:
        self.prepareGeometryChange()

    def boundingRect(self) -> QtCore.QRectF:
        """Return the whole plot area."""
        return QtCore.QRectF(self._view.rect())

    def band(self, window: EnergyWindow) -> QtCore.QRectF:
        """Return a window's rectangle in px."""
        area = self.boundingRect()
        scale = area.width() / self.shown_keV
        low, high = scale * window.lld_keV, scale * min(window.uld_keV, self.shown_keV)
        thin = 0.5 * max(0.0, LEAST_PX - (high - low))
        top = area.top() + _LABEL_PX
        return QtCore.QRectF(
            area.left() + low - thin, top, high - low + 2 * thin, area.bottom() - top
        )

    def paint(self, painter: QtGui.QPainter, *_: object) -> None:
        """Draw the bands, scatter first."""
        painter.setFont(theme.font(10))
        for window in sorted(self.windows, key=lambda window: window.kind == "photopeak"):
            if window.lld_keV < self.shown_keV:
                self._paint_band(painter, window)

    def _paint_band(self, painter: QtGui.QPainter, window: EnergyWindow) -> None:
        band = self.band(window)
        colour = QtGui.QColor(theme.WINDOW_LOOKS[window.kind].colour)
        if window.kind == "scatter":
            painter.fillRect(band, QtGui.QBrush(colour, QtCore.Qt.BrushStyle.BDiagPattern))
            return
        fill = QtGui.QColor(colour)
        fill.setAlpha(70)
        painter.fillRect(band, fill)
        painter.fillRect(QtCore.QRectF(band.left(), band.top(), band.width(), 2), colour)
        painter.setPen(colour)
        words = QtCore.QRectF(band.center().x() - 30, band.top() - _LABEL_PX, 60, _LABEL_PX)
        painter.drawText(words, QtCore.Qt.AlignmentFlag.AlignCenter, label(window))


def label(window: EnergyWindow) -> str:
    """Return the label of a photopeak's band: the energy of its centre in keV."""
    return f"{0.5 * (window.lld_keV + window.uld_keV):.0f}"


ENERGY_SHOWN_KEV = 800.0
SINGLE_PHOTONS_SHOWN_KEV = 240.0
"""The lowest end of the spectrum of single photons; windows of higher lines extend it."""

PET_TICKS = [(0, "0"), (200, "200"), (400, "400"), (511, "511"), (650, "650"), (800, "keV")]


def counts(data: bytes) -> npt.NDArray[np.uint32]:
    """Return a telemetry histogram, little-endian u4, as an array."""
    return np.frombuffer(data, dtype="<u4")


class SpectrumPanel(Panel):
    """Energy of all singles, before the energy window, with the window's edges."""

    def __init__(self) -> None:
        super().__init__(
            tr("ENERGY of all singles"),
            teaches=tr(
                "Energy of every single. The photopeak of annihilation photons is at 511 "
                "keV;\nbelow it are photons that lost energy by Compton scatter.\nSingles "
                "between LLD and ULD (lower, upper level discriminator) are accepted.\n"
                "SPECT windows: photopeaks are filled and show their energy, scatter is "
                "hatched."
            ),
        )
        self.plot = CalmPlot(x_range=(0, ENERGY_SHOWN_KEV))
        self.plot.setAccessibleName(tr("ENERGY of all singles"))
        self.plot.setMinimumHeight(LEAST_PLOT_PX)
        self.plot.getAxis("bottom").setTicks([PET_TICKS])
        self._outside = self.plot.add_histogram(theme.FAINT)
        self._inside = self.plot.add_histogram(theme.SINGLES)
        self._lld = self.plot.add_marker(theme.TEXT, "LLD", side=1.0)
        self._uld = self.plot.add_marker(theme.TEXT, "ULD")
        self.bands = EnergyBands(self.plot.getPlotItem().vb, shown_keV=ENERGY_SHOWN_KEV)
        self.body.addWidget(self.plot)
        self._window_keV = (0.0, 0.0)
        self._placed: SortSettings | None = None

    def refresh(self, telemetry: Telemetry) -> None:
        """Draw the run's spectrum."""
        spectrum = counts(telemetry.spectrum)
        self._place_window(telemetry)
        if not spectrum.size:
            self.plot.clear_histograms()
            return
        shown_keV = self.bands.shown_keV
        edges_keV = np.arange(spectrum.size + 1) * telemetry.spectrum_bin_keV
        centres_keV = edges_keV[:-1] + 0.5 * telemetry.spectrum_bin_keV
        low_keV, high_keV = self._window_keV
        first, last = np.searchsorted(centres_keV, (low_keV, high_keV))
        shown = spectrum[: int(np.searchsorted(edges_keV, shown_keV))]
        self.plot.follow(float(shown.max()) if shown.size else 0.0)
        self._outside.setData(edges_keV, spectrum)
        if last > first:
            self._inside.setData(edges_keV[first : last + 1], spectrum[first:last])

    def _place_window(self, telemetry: Telemetry) -> None:
        settings = telemetry.settings
        self.bands.show_windows(settings.singles_windows if settings else ())
        if settings is None or settings == self._placed:
            return
        self._placed = settings
        for line in (self._lld, self._uld):
            line.setVisible(settings.sorts_coincidences)
        if not settings.sorts_coincidences:
            self._place_single_photons(settings)
            return
        self._show_up_to(ENERGY_SHOWN_KEV, PET_TICKS)
        self._window_keV = (settings.lld_keV, settings.uld_keV)
        self._lld.setPos(settings.lld_keV)
        self._uld.setPos(settings.uld_keV)
        self.note.show_text(
            tr(
                "window {lld_keV:g} – {uld_keV:g} keV",
                lld_keV=settings.lld_keV,
                uld_keV=settings.uld_keV,
            )
        )

    def _place_single_photons(self, settings: SortSettings) -> None:
        """Show the energies around the windows; the bands show which singles count."""
        highest_keV = max((w.uld_keV for w in settings.singles_windows), default=0.0)
        shown_keV = 40.0 * math.ceil(max(SINGLE_PHOTONS_SHOWN_KEV, 1.3 * highest_keV) / 40)
        step = 40 if shown_keV <= 280 else 100
        last_keV = int(0.9 * shown_keV)  # further right its label would run into the unit
        ticks = [(keV, f"{keV}") for keV in range(0, last_keV, step)]
        self._show_up_to(shown_keV, [*ticks, (int(shown_keV), "keV")])
        self._window_keV = (0.0, 0.0)
        self._inside.setData([0, 1], [0])
        windows = len(settings.singles_windows)
        self.note.show_text(
            tr("{windows} window{value}", windows=windows, value="s" if windows != 1 else "")
        )

    def _show_up_to(self, shown_keV: float, ticks: list[tuple[int, str]]) -> None:
        self.bands.set_range(shown_keV)
        self.plot.set_x(0, shown_keV)
        self.plot.getAxis("bottom").setTicks([ticks])


class TimingPanel(Panel):
    """Δt of prompts with the delayeds overlaid, and the coincidence window."""

    def __init__(self) -> None:
        super().__init__(
            tr("TIMING Δt"),
            teaches=tr(
                "Δt = t_b − t_a of the two singles of each prompt (solid).\nDelayeds "
                "(dotted) are pairs shifted apart by a delay: they can only be randoms,\n"
                "and show the floor on which the peak of trues stands (divided by their "
                "factor)."
            ),
        )
        self.plot = CalmPlot(x_range=(-10, 10))
        self.plot.setAccessibleName(tr("TIMING Δt"))
        self.plot.setMinimumHeight(LEAST_PLOT_PX)
        self._delayeds = self.plot.add_histogram(theme.RANDOMS, style="dot")
        self._prompts = self.plot.add_histogram(theme.PROMPTS)
        self._low = self.plot.add_marker(theme.TEXT, "−τ", side=1.0)
        self._high = self.plot.add_marker(theme.TEXT, "+τ")
        self.add_legend(tr("prompts"), pen(theme.PROMPTS, width=2))
        self.add_legend(tr("delayeds"), pen(theme.RANDOMS, style="dot", width=2))
        self.body.addWidget(self.plot)
        self._scale: tuple[float, int, int] = (0.0, 0, 0)
        self._edges_ns: npt.NDArray[np.float64] = np.zeros(1)

    def refresh(self, telemetry: Telemetry) -> None:
        """Draw the run's time differences."""
        prompts, delayeds = counts(telemetry.timing), counts(telemetry.timing_delayed)
        self._place_scale(telemetry, prompts.size)
        if not prompts.size:
            self.plot.clear_histograms()
        else:
            self.plot.follow(float(prompts.max()))
            self._prompts.setData(self._edges_ns, prompts)
        if delayeds.size == prompts.size and delayeds.size:
            factor = telemetry.settings.delayed_factor if telemetry.settings else 1
            self._delayeds.setData(self._edges_ns, delayeds / factor)

    def _place_scale(self, telemetry: Telemetry, bins: int) -> None:
        window_ps = telemetry.settings.window_ps if telemetry.settings else 0
        scale = (telemetry.timing_bin_ps, bins, window_ps)
        if scale == self._scale or not bins:
            return
        self._scale = scale
        half_ns = 0.5 * bins * telemetry.timing_bin_ps / 1000.0
        self._edges_ns = np.linspace(-half_ns, half_ns, bins + 1)
        window_ns = window_ps / 1000.0
        shown_ns = min(half_ns, 1.35 * window_ns) if window_ns else half_ns
        self.plot.set_x(-shown_ns, shown_ns)
        self._low.setPos(-window_ns)
        self._high.setPos(window_ns)
        self.plot.getAxis("bottom").setTicks([_time_ticks(shown_ns)])
        self.note.show_text(f"τ {window_ns:g} ns" if window_ns else "")


def _time_ticks(shown_ns: float) -> list[tuple[float, str]]:
    step_ns = next(
        (step for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0) if shown_ns / step <= 4.5), 20.0
    )
    steps = int(0.9 * shown_ns / step_ns)  # the end is the unit's place
    places = [step_ns * number for number in range(-steps, steps + 1)]
    return [(place, f"{place:g}".replace("-", "−")) for place in places] + [(shown_ns, "ns")]
