"""The page of modules with our firmware: a table, one module's facts, orders, scans.

It shows what the daq last published, with its age, and sends orders through the console's command
desk; their outcome is shown at the bottom.
"""

from __future__ import annotations

from typing import Any

from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.panels import CalmLabel, ElidedLabel, Panel, scrolling
from gui.kit.wording import age_text
from gui.kit.words import mark, tr
from gui.link.command_desk import CommandDesk
from gui.link.daq_view import Link
from gui.modules.bias_off import OLD_AFTER_S
from gui.modules.condition_words import bias_words, condition, facts
from gui.modules.order_form import OrderForm
from gui.modules.scan_plot import ScanForm, ScanPlot
from gui.modules.table import ModuleTable
from hw.messages.modules import LinkState, ModuleScan, ModuleState, ModuleStates

NONE_WORDS = mark(
    "no modules with firmware: start `tomoshibi link`, or `tomoshibi demo --firmware native`"
)


class ModulePage(QtWidgets.QWidget):
    """The page; :meth:`refresh` is called with every frame of the console."""

    def __init__(self, desk: CommandDesk) -> None:
        super().__init__()
        self._desk = desk
        self._states: list[ModuleState] = []
        self._scans: list[ModuleScan] = []
        self._drawn: ModuleStates | None = None
        self.table = ModuleTable()
        self.table.chosen.connect(self._aim)
        self.orders = OrderForm(self._send, self.ask)
        self.scan_form, self.scan_plot = ScanForm(), ScanPlot()
        self.scan_form.start.clicked.connect(self._scan)
        self.scan_form.halt.clicked.connect(lambda: self._send("scan_stop", [], {}))
        self.scan_form.kind.currentIndexChanged.connect(self._show_scan)
        self.headline = CalmLabel(tr(NONE_WORDS), size_px=15, bold=True)
        self.headline.setWordWrap(True)
        self.notice = ElidedLabel(size_px=theme.BASE_PX, bold=True)
        self._build()
        self._aim()

    def _build(self) -> None:
        modules = Panel(
            tr("MODULES"), teaches=tr("One row per module; choose one or more for orders.")
        )
        modules.body.addWidget(self.headline)
        modules.body.addWidget(self.table, 1)
        self._age = modules.note
        right = QtWidgets.QVBoxLayout()
        right.setSpacing(6)
        for panel, share in (
            (self._facts_panel(), 0), (self._orders_panel(), 0), (self._scan_panel(), 1),
        ):  # fmt: skip
            right.addWidget(panel, share)
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(modules, 62)
        row.addLayout(right, 38)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row, 1)
        column.addWidget(self.notice)

    def _facts_panel(self) -> Panel:
        panel = Panel(tr("MODULE"), teaches=tr("The first of the chosen modules."))
        self._facts_note = panel.note
        content = QtWidgets.QWidget()
        grid = QtWidgets.QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(0)
        grid.setColumnStretch(1, 1)
        self.facts: dict[str, ElidedLabel] = {}
        blank = ModuleState(module=0, machine="", link=LinkState(url="", connected=False))
        for place, (caption, _) in enumerate(facts(blank)):
            label = CalmLabel(tr(caption))
            label.setObjectName("dim")
            self.facts[caption] = ElidedLabel()
            self.facts[caption].show_text("–")
            grid.addWidget(label, place, 0)
            grid.addWidget(self.facts[caption], place, 1)
        area = scrolling(content)
        policies = QtWidgets.QSizePolicy.Policy
        area.setSizePolicy(policies.Preferred, policies.Maximum)
        panel.body.addWidget(area)
        return panel

    def _orders_panel(self) -> Panel:
        panel = Panel(
            tr("ORDERS"), teaches=tr("Sent to the chosen modules, or to all if none is chosen.")
        )
        panel.body.addWidget(self.orders)
        return panel

    def _scan_panel(self) -> Panel:
        panel = Panel(
            tr("SCAN"), teaches=tr("Of the first of the chosen modules; not during a run.")
        )
        panel.body.addLayout(self.scan_form)
        panel.body.addWidget(self.scan_plot, 1)
        return panel

    # --- what is shown ------------------------------------------------------------------------

    def refresh(self, link: Link) -> None:
        """Show what is new, if the page is visible."""
        if not self.isVisible():
            return
        self.notice.show_text(self._desk.notice.text,
                              theme.SEVERITY_LOOKS[self._desk.notice.severity].colour)  # fmt: skip
        states = link.modules
        if states is None:
            return
        age_s = link.modules_age_s
        old = age_s > OLD_AFTER_S
        self._age.show_text(
            tr("⚠ {age} old: the link process is silent", age=age_text(age_s))
            if old
            else tr("live"),
            theme.ALARM if old else theme.GOOD,
        )
        if states is not self._drawn:
            self._drawn = states
            self._states, self._scans = states.modules, states.scans
            self._show()

    def _show(self) -> None:
        fresh = self.table.rowCount() != len(self._states)
        self.table.show_modules(self._states)
        if fresh:
            self._aim()
        looks = [condition(state) for state in self._states]
        lacking = [state for state in self._states if state.link.connected and state.lacks_bias]
        wrong = sum(look.colour in (theme.ALARM, theme.WARNING) for look in looks)
        if not self._states:
            self.headline.show_text(tr(NONE_WORDS), theme.DIM)
        elif lacking:
            first = lacking[0]
            more = tr(", and {value} more", value=len(lacking) - 1) if len(lacking) > 1 else ""
            words = tr(
                "✗ module {module}: bias {bias_words}{more}",
                module=first.module,
                bias_words=bias_words(first),
                more=more,
            )
            self.headline.show_text(words, theme.ALARM)
        elif wrong:
            words = tr("⚠ {wrong} of {len} modules need a look", wrong=wrong, len=len(looks))
            self.headline.show_text(words, theme.WARNING)
        else:
            self.headline.show_text(tr("✓ all {len} modules are well", len=len(looks)), theme.GOOD)
        self._show_facts()
        self._show_scan()

    def _show_facts(self) -> None:
        state = self.looked_at
        if state is None:
            return
        look = condition(state)
        self._facts_note.show_text(
            tr("module {module}: {text}", module=state.module, text=look.text), look.colour
        )
        for caption, words in facts(state):
            marked = theme.ALARM if caption == "Fault" and state.fault_text else ""
            self.facts[caption].show_text(words, marked)

    @property
    def looked_at(self) -> ModuleState | None:
        """The first of the selected modules; without a selection, the first of all."""
        chosen = self.table.chosen_modules()
        number = chosen[0] if chosen else None
        found = [state for state in self._states if state.module == number]
        return (found or self._states or [None])[0]  # type: ignore[list-item]

    def _show_scan(self) -> None:
        state, kind = self.looked_at, self.scan_form.chosen_kind
        found = [s for s in self._scans if state and s.module == state.module and s.kind == kind]
        self.scan_plot.show_scan(found[-1] if found else None)
        busy = any(not scan.done for scan in self._scans)
        self.scan_form.start.setEnabled(bool(self._states) and not busy)
        self.scan_form.halt.setEnabled(busy)

    # --- orders -------------------------------------------------------------------------------

    def _aim(self) -> None:
        self.orders.aim(self.table.chosen_modules(), self._states)
        self._show_facts()
        self._show_scan()

    def _send(self, action: str, modules: list[int], values: dict[str, Any]) -> None:
        self._desk.order(action, modules=modules, values=values)

    def _scan(self) -> None:
        values, state = self.scan_form.values(), self.looked_at
        if isinstance(values, str):
            self.scan_plot.words.show_text(f"✗ {values}", theme.ALARM)
        elif state is not None:
            self._send(f"scan_{self.scan_form.chosen_kind}", [state.module], values)

    def ask(self, question: str) -> bool:
        """Ask a person; True for yes."""
        buttons = QtWidgets.QMessageBox.StandardButton
        answer = QtWidgets.QMessageBox.question(
            self, tr("Modules"), question, buttons.Yes | buttons.No, buttons.No
        )
        return bool(answer == buttons.Yes)
