"""What can be done with the selected run: buttons, the job that does it, and its messages.

All work is done by our own commands in other processes (:mod:`gui.stored.job`), one at a time; a
replay, which is a whole system with a console of its own, is another process beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import ElidedLabel
from gui.kit.words import mark, tr
from gui.stored.export_formats import EXPORTS
from gui.stored.job import Job
from gui.stored.sign_dialog import SignDialog

TALL_PX = 36
IN_A_ROW = 5
REPLAY_ENDS_MS = 15_000
"""For a replay to close its run and end all its processes."""

SPEEDS = ("1", "0.5", "2", "5", "20", mark("as fast as it goes"))
SCAN_WORDS = mark(
    "✗ a scan is under way on this daq: replay when it is closed, so that nothing is taken from it"
)
NO_REPORT_WORDS = mark("report: no image is shown; Reconstruct makes one")
END_REPLAY, REPLAY = mark("End replay"), mark("Replay…")
MADE = ("report", "image", "files", "copy")
"""Where a command's result says what it made."""


class RunDesk(QtWidgets.QWidget):
    """Buttons and messages of the page.

    changed : emitted when a run may have changed compare : emitted when the image that is shown
    should be compared
    """

    changed = QtCore.Signal()
    compare = QtCore.Signal()

    def __init__(self, root: Callable[[], Path], shown: Callable[[], Path | None]) -> None:
        """Make it; ``root`` tells the runs' folder, ``shown`` the file of the image shown."""
        super().__init__()
        self._root, self._shown, self._run, self._scanning = root, shown, "", False
        self.worker, self.player = Job(self), Job(self, kill_ms=REPLAY_ENDS_MS)
        self.words = ElidedLabel(size_px=theme.BASE_PX, bold=True)
        self.buttons = {name: self._button(name, act) for name, act in self._acts().items()}
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(4)
        for place, button in enumerate(self.buttons.values()):
            grid.addWidget(button, place // IN_A_ROW, place % IN_A_ROW)
        column.addLayout(grid)
        self._follow(self.worker, mark("{name}: cancelled"))
        self._follow(self.player, mark("{name}: ended"))
        self._enable()

    def _follow(self, job: Job, if_cancelled: str) -> None:
        job.told.connect(lambda words: self.say(f"{job.name}: {words}"))
        job.done.connect(lambda found: self._finish(f"✓ {job.name}: {_made(found)}", theme.GOOD))
        job.failed.connect(lambda words: self._finish(f"✗ {words}", theme.ALARM))
        job.cancelled.connect(
            lambda name: self._finish(f"■ {tr(if_cancelled, name=name)}", theme.DIM)
        )

    def _acts(self) -> dict[str, Callable[[], object]]:
        return {
            mark("Keep"): lambda: self._review("--keep"),
            mark("Test"): lambda: self._review("--test"),
            mark("Discard…"): self._discard,
            mark("Sign…"): self._sign,
            mark("Report…"): self._report,
            mark("Compare"): self.compare.emit,
            REPLAY: self._replay,
            mark("Reconstruct"): lambda: self.work(tr("reconstruction"), "reconstruct", self._run),
            mark("Export…"): self._export,
            mark("Protocol…"): self._save_protocol,
            mark("Archive…"): self._archive,
            mark("Verify"): lambda: self.work(tr("verification"), "runs", "--verify", self._run),
            mark("Cancel"): self.worker.cancel,
        }

    def _button(self, name: str, act: Callable[[], object]) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(tr(name))
        button.setMinimumHeight(TALL_PX)
        button.clicked.connect(lambda: act())
        return button

    # --- what is chosen -----------------------------------------------------------------------

    def choose(self, run: str) -> None:
        """Act on this run from now on, "" for none."""
        self._run = run
        self._enable()

    def note_scan(self, *, scanning: bool) -> None:
        """Note whether a scan is under way on the daq that the console watches."""
        self._scanning = scanning

    def _enable(self) -> None:
        chosen, busy = bool(self._run), self.worker.busy
        for name, button in self.buttons.items():
            button.setEnabled(busy if name == "Cancel" else chosen and not busy)
        self.buttons["Compare"].setEnabled(chosen)
        self.buttons[REPLAY].setEnabled(chosen or self.player.busy)
        self.buttons[REPLAY].setText(tr(END_REPLAY if self.player.busy else REPLAY))

    def say(self, words: str, colour: str = "") -> None:
        """Show a message below the list, in faint colour by default."""
        self.words.show_text(words, colour or theme.DIM)

    # --- what can be done ---------------------------------------------------------------------

    def work(self, called: str, *words: str) -> None:
        """Run one of our commands on the run, in another process."""
        called = tr("{called} of {run}", called=called, run=self._run)
        if self.worker.start(called, *words, "--runs", str(self._root())):
            self.say(f"{called} …")
        self._enable()

    def _review(self, *words: str) -> None:
        self.work(tr("review"), "review", self._run, *words)

    def _discard(self) -> None:
        reason = self.ask(
            tr("Discard"), tr("Why is {run} discarded? It is not deleted.", run=self._run)
        )
        if reason:
            self._review("--discard", reason)

    def _sign(self) -> None:
        who, note = self.ask_signature(tr("Who signs the review of {run}?", run=self._run))
        if who:
            self._review("--by", who, *(("--note", note) if note else ()))

    def _report(self) -> None:
        image = self._shown()
        if image is None:
            self.say(tr(NO_REPORT_WORDS), theme.WARNING)
            return
        if place := self.ask_file(f"{self._run}.pdf"):
            words = ("analyse", str(image), "--regions", "--report", place)
            self.work(tr("report"), *words)

    def _export(self) -> None:
        what = self.ask_which(
            tr("Export"),
            tr("What is {run} to be written as?", run=self._run),
            [tr(one) for one in EXPORTS],
        )
        called = {tr(one): how for one, how in EXPORTS.items()}
        if what in called:
            command, *named = called[what]
            self.work(tr("export"), command, self._run, *named)

    def _save_protocol(self) -> None:
        question = tr("Name of a protocol with the settings of {run}:", run=self._run)
        if name := self.ask(tr("Protocol"), question):
            self.work(tr("protocol"), "protocols", "save", name, "--from", self._run)

    def _archive(self) -> None:
        question = tr(
            "Folder on another disk for a copy of {run}, without its identity.json", run=self._run
        )
        if place := self.ask_folder(question):
            self.work(tr("archive"), "archive", self._run, place)

    def _replay(self) -> None:
        if self.player.busy:
            self.player.cancel()
            return
        if self._scanning:
            self.say(tr(SCAN_WORDS), theme.WARNING)
            return
        question = tr(
            "How fast is {run} to be replayed? Seconds of the run a second:", run=self._run
        )
        speed = self.ask_which(tr("Replay"), question, [tr(one) for one in SPEEDS], editable=True)
        if not speed:
            return
        words = ["--fast"] if speed == tr(SPEEDS[-1]) else ["--speed", speed]
        called = tr("replay of {run}", run=self._run)
        runs = ["--runs", str(self._root())]
        if self.player.start(called, "replay", self._run, *words, *runs):
            self.say(tr("{called} … its console opens beside this one", called=called))
        self._enable()

    def ask(self, title: str, question: str) -> str:
        """Ask a person for a line; "" for none."""
        text, given = QtWidgets.QInputDialog.getText(self, title, question)
        return text.strip() if given else ""

    def ask_which(
        self, title: str, question: str, items: Sequence[str], *, editable: bool = False
    ) -> str:
        """Ask a person to choose, or with ``editable`` to type another; "" for nothing."""
        text, given = QtWidgets.QInputDialog.getItem(
            self, title, question, list(items), 0, editable
        )
        return text.strip() if given else ""

    def ask_signature(self, question: str) -> tuple[str, str]:
        """Ask a person who signs, and for a note; "" where nobody does."""
        return SignDialog(question, self).answer()

    def ask_file(self, name: str) -> str:
        """Ask a person where a PDF is to go; "" for nowhere."""
        place, kind = str(Path.home() / name), tr("PDF (*.pdf)")
        chosen, _ = QtWidgets.QFileDialog.getSaveFileName(self, tr("Report as PDF"), place, kind)
        return f"{chosen}.pdf" if chosen and not chosen.lower().endswith(".pdf") else chosen

    def ask_folder(self, question: str) -> str:
        """Ask a person for a folder; "" for none."""
        return str(QtWidgets.QFileDialog.getExistingDirectory(self, question))

    def _finish(self, words: str, colour: str) -> None:
        self.say(words, colour)
        self._enable()
        self.changed.emit()

    def end(self) -> None:
        """End running work, for a window that closes; a replay may close its run."""
        self.worker.end()
        self.player.end(gently=True)


def _made(found: Any) -> str:
    """Return what a command made, "done" where it does not say."""
    for key in MADE:
        made = found.get(key) if isinstance(found, dict) else None
        made = made[0] if isinstance(made, list) and made else made
        made = made.get("place") if isinstance(made, dict) else made
        if isinstance(made, str):
            return made
    return tr("done")
