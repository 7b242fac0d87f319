"""The console as a process: open the window, refresh it, exit when told.

SIGTERM and SIGINT end it within a frame or two (50 ms each). Killed and reopened during a run, it
shows the run again: the console keeps nothing that the daq does not.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from daq.client.display import why_no_window
from gui.app.saved_layout import SavedLayout, layout_file
from gui.app.screenshots import EVENTS, Photographer, Shot
from gui.app.window import PAGES, ConsoleWindow
from gui.kit import theme, words
from gui.kit.palettes import PALETTES
from hw.errors import TomoshibiError
from hw.messages.endpoints import Endpoints
from hw.notices.language import LANGUAGES

SIZE_PX = (1280, 800)
MODULES_FILE = "modules.png"
TITLE_BAR_PX, FRAME_PX = 40, 8
"""What a window manager puts above and below the window, and at its sides."""

LEAST_PX = (1008, 728)
"""A screen of 1024 × 768 with a window's frame: what the pages are laid out for, at the least."""

SCALES = (0.75, 3.0)
USE_INSTEAD = "Use --offscreen with --screenshots FOLDER, or `ssh -X`"
NO_DISPLAY = f"no display: neither DISPLAY nor WAYLAND_DISPLAY is set. {USE_INSTEAD}"


class ConsoleError(TomoshibiError):
    """A console that cannot open; the message says why and what to do."""


def has_display() -> bool:
    """Whether there is a display for a window (or a Qt platform was already chosen)."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return any(os.environ.get(name) for name in names)


def application(*, headless: bool = False) -> QtWidgets.QApplication:
    """Return the process's Qt application with the console's look, made if there is none.

    Raises
    ------
    ConsoleError
        if there is no display, unless ``headless``; if there is no font.
    """
    existing = QtWidgets.QApplication.instance()
    if existing is not None:
        return existing
    if headless:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        QtCore.qInstallMessageHandler(_tell_qt_message)
    elif not has_display():
        raise ConsoleError(NO_DISPLAY)
    elif not os.environ.get("QT_QPA_PLATFORM") and (why := why_no_window()):
        raise ConsoleError(f"no display: {why}. {USE_INSTEAD}")
    os.environ.setdefault("QT_LOGGING_RULES", "qt.qpa.fonts=false")
    app = QtWidgets.QApplication(["tomoshibi"])
    if not theme.has_fonts():
        raise ConsoleError("no font is installed: apt-get install fonts-dejavu-core")
    theme.apply_theme(app)
    return app


def _tell_qt_message(_kind: object, _context: object, text: str) -> None:
    """Pass Qt's messages on to stderr, except the one that every offscreen window causes."""
    if "propagateSizeHints" not in text:
        print(f"Qt: {text}", file=sys.stderr)


def run_console(
    endpoints: Endpoints,
    *,
    headless: bool = False,
    size: tuple[int, int] | None = None,
    screenshot_dir: Path | None = None,
    screenshot_every_s: float = 5.0,
    screenshots: Sequence[Shot] = (),
    exit_when_closed: bool = False,
    modules: bool = False,
    page: str = "",
    scale: float = 1.0,
    sound: bool = False,
    language: str = "",
    colours: str = "",
) -> dict[str, Any]:
    """Show the console until it is closed or the process is told to end.

    Parameters
    ----------
    endpoints : addresses of the daq; it need not be there yet
    headless : draw offscreen, without a display
    size : width and height of the window in px; by default as it was last, or ``SIZE_PX``
    screenshot_dir : keep a screenshot ``console.png`` there, renewed every ``screenshot_every_s``,
        and a last time when the run has closed and its final image has come
    screenshots : further screenshots, each taken once
    exit_when_closed : exit after that last screenshot
    modules : keep a screenshot ``modules.png`` of the modules page, too
    page : the page to begin with; by default the one that was shown last
    scale : of all letters, buttons and lines, ``SCALES``
    sound : whether alarms that nobody has answered are heard, too
    language, colours : of all that is shown; by default what was chosen last, or this machine's
        language, and dark

    Returns
    -------
    dict
        frames, mean_Hz, p50_frame_ms, p95_frame_ms, cpu_fraction, images_painted,
        p50_screen_latency_ms, p99_screen_latency_ms, telemetries, images, screenshots (paths),
        failure ("" or why a screenshot is missing)

    Raises
    ------
    ConsoleError
        if no window can be opened, or it would not fit the screen at this scale.
    """
    _set_scale(scale)
    app = application(headless=headless)
    if not headless:
        _refuse_what_does_not_fit(app, scale)
    layout = None if headless else SavedLayout(layout_file())
    _choose_looks(app, layout, language, colours)
    window = ConsoleWindow(endpoints, layout, sound=app.beep if sound else None)
    window.pages.show_page(page)
    photographer = Photographer(
        window, folder=screenshot_dir, every_s=screenshot_every_s, shots=screenshots
    )
    photographers = [photographer]
    if modules:
        photographers.append(
            Photographer(
                window,
                folder=screenshot_dir,
                every_s=screenshot_every_s,
                file_name=MODULES_FILE,
                page="Modules",
            )
        )
    _fit(window, size or (layout and layout.size) or SIZE_PX, headless=headless)
    _leave_on_signals(window)

    def after_frame() -> None:
        for one in photographers:
            one.consider(window.link)
        if exit_when_closed and photographer.finished:
            window.leaving = True
        if window.leaving:
            for one in photographers:
                one.last(window.link)
            window.close()

    window.timer.timeout.connect(after_frame)
    window.show()
    window.timer.start()
    app.exec()
    return (
        window.meter.report()
        | window.latency.report()
        | {
            "telemetries": window.link.telemetries,
            "images": window.link.images,
            "screenshots": [path for one in photographers for path in one.taken],
            "failure": "; ".join(one.failure for one in photographers if one.failure),
        }
    )


def _fit(window: ConsoleWindow, size: tuple[int, int], *, headless: bool) -> None:
    """Give the window its size or, where the screen is smaller, all of the screen but its frame."""
    if headless:
        window.resize(*size)
        return
    room = window.screen().availableGeometry()
    width = min(size[0], room.width() - FRAME_PX)
    height = min(size[1], room.height() - TITLE_BAR_PX)
    window.resize(width, height)
    if (width, height) != size:
        window.move(room.topLeft())


def _set_scale(scale: float) -> None:
    """Enlarge everything; Qt reads it as the application is made."""
    low, high = SCALES
    if not low <= scale <= high:
        raise ConsoleError(f"--scale {scale:g}: must lie in {low:g} … {high:g}")
    if scale != 1.0:
        os.environ["QT_SCALE_FACTOR"] = f"{scale:g}"


def _choose_looks(
    app: QtWidgets.QApplication, layout: SavedLayout | None, language: str, colours: str
) -> None:
    if not theme.can_write(language):
        raise ConsoleError(
            f"--language {language}: no font here has its letters: apt-get install fonts-noto-cjk"
        )
    chosen = layout.chosen if layout else lambda _name, _of: ""
    language = language or chosen("language", LANGUAGES) or _language_here(headless=layout is None)
    words.speak(language if theme.can_write(language) else "en")
    theme.apply_theme(app, colours or chosen("theme", PALETTES) or "dark")


def _language_here(*, headless: bool) -> str:
    """Return this machine's language where it is one of ours; pictures are English unless asked."""
    here = next((os.environ[n] for n in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(n)), "")
    return here[:2] if here[:2] in LANGUAGES and not headless else "en"


def _refuse_what_does_not_fit(app: QtWidgets.QApplication, scale: float) -> None:
    room = app.primaryScreen().availableGeometry()
    least = LEAST_PX
    if scale > 1.0 and (room.width() < least[0] or room.height() < least[1]):
        most = scale * min(room.width() / least[0], room.height() / least[1])
        raise ConsoleError(
            f"--scale {scale:g}: the pages would not fit this screen; at most {most:.2f} does"
        )


def _leave_on_signals(window: ConsoleWindow) -> None:
    """On a signal, let the next frame close the window; Python runs the handler when the timer
    wakes it.
    """

    def leave(_signal: int, _frame: object) -> None:
        window.leaving = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console's options (without ``--endpoint`` and ``--json``, which others share)."""
    add = parser.add_argument
    add("--offscreen", action="store_true", help="draw without a display, for screenshots")
    add(
        "--size",
        help=f"window size in px (default: as it was last, or {SIZE_PX[0]}x{SIZE_PX[1]})",
    )
    add(
        "--screenshots",
        type=Path,
        metavar="FOLDER",
        help="keep a screenshot console.png there; the last one shows the closed run",
    )
    add("--screenshot-every-s", type=float, default=5.0, help="how often (default: %(default)s)")
    add(
        "--shot",
        action="append",
        default=[],
        metavar="WHEN[@PAGE]=PATH",
        help=f"one more screenshot, at seconds or an event ({', '.join(EVENTS)}), of a page",
    )
    add(
        "--page",
        type=_page,
        default="",
        choices=PAGES,
        metavar="PAGE",
        help=f"begin with this page: {', '.join(PAGES).lower()} (default: the one shown last)",
    )
    add(
        "--scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="size of letters, buttons and lines, e.g. 1.5 on a large screen (default: 1)",
    )
    add(
        "--language",
        default="",
        choices=LANGUAGES,
        help="default: as chosen last, or of this machine",
    )
    add("--theme", default="", choices=PALETTES, help="default: as chosen last, or dark")
    add("--sound", action="store_true", help="alarms are heard too (default: seen only)")
    add("--modules", action="store_true", help="keep a screenshot modules.png, too")
    add("--exit-when-closed", action="store_true", help="exit when the run has closed")


def run_with(options: argparse.Namespace) -> dict[str, Any]:
    """Run the console with parsed options; returns :func:`run_console`'s report.

    Raises
    ------
    ConsoleError, EndpointError
        if it cannot open, or an option is wrong.
    """
    return run_console(
        Endpoints(options.endpoint),
        headless=options.offscreen,
        size=_size(options.size) if options.size else None,
        screenshot_dir=options.screenshots,
        screenshot_every_s=options.screenshot_every_s,
        screenshots=[_shot(text) for text in options.shot],
        exit_when_closed=options.exit_when_closed,
        modules=options.modules,
        page=options.page,
        scale=options.scale,
        sound=options.sound,
        language=options.language,
        colours=options.theme,
    )


def _shot(text: str) -> Shot:
    """Return the screenshot of WHEN[@PAGE]=PATH."""
    when, _, path = text.partition("=")
    when, _, page = when.partition("@")
    page = _page(page)
    if page and page not in PAGES:
        raise ConsoleError(f"--shot {text!r}: PAGE must be one of {', '.join(PAGES).lower()}")
    for event in EVENTS:
        if when == event:
            return Shot(event, Path(path), page)
    try:
        return Shot(float(when), Path(path), page)
    except ValueError:
        raise ConsoleError(
            f"--shot {text!r}: WHEN must be seconds or one of {', '.join(EVENTS)}"
        ) from None


def _page(text: str) -> str:
    """Return a page's name in whatever case it was written; as it is where there is none."""
    return next((name for name in PAGES if name.casefold() == text.casefold()), text)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise ConsoleError(f"--size {text!r}: write WIDTHxHEIGHT, e.g. 1280x800") from None
    return width, height
