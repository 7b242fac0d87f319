"""Sort a run's raw log again, with other windows, policy, field of view or calibration.

Options not given are as in the run. The run itself is never changed; with --output FILE.tmlm
coincidences are written to a new list-mode log, and windowed singles to FILE.tmws.

With --readmit, frames that were refused live because their module's clock or numbers were in doubt
are judged anew, now that the whole run is known, and those that were right are sorted, too; it is
said how many of which module, and what that changes.

A damaged raw log is sorted as far as it can be read; it is said what is lost, and the exit status
is 1.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    add_json_option,
    add_runs_option,
    add_threads_option,
    find_run,
    finish,
)
from daq.cli.options.sorting import add_window_options, describe, window_changes
from daq.cli.progress import ProgressLine
from daq.cli.sorting_outcome import describe_outcome

if TYPE_CHECKING:
    from daq.replay.readmission import Readmission
    from daq.replay.sort_again import Resorted

EXAMPLES = """\
examples:
  tomoshibi sort last --window-ns 3
  tomoshibi sort RUN --energy-keV 400:650 --policy discard --json
  tomoshibi sort RUN --window-ns 5 --delay-ns 500 --output other.tmlm
  tomoshibi sort RUN --calibration calibrations/today.npz
  tomoshibi sort RUN --readmit --output readmitted.tmlm
  tomoshibi sort RUN --spect Lu-177 --delay-windows 4 --triples --output both.tmlm
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a list-mode log")
    parser.add_argument("--calibration", type=Path, metavar="FILE",
                        help="calibration set to apply (default: the run's own)")  # fmt: skip
    parser.add_argument("--readmit", action="store_true",
                        help="sort refused frames that turn out to be right")  # fmt: skip
    add_window_options(parser)
    add_threads_option(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Sort and print the outcome."""
    from daq.folder.calibration_set import load_set
    from daq.folder.run_folder import run_config
    from daq.replay.readmission import Readmission
    from daq.replay.sort_again import changed_settings, resort

    folder = find_run(options.run_folder, options.runs)
    settings = changed_settings(run_config(folder).settings, window_changes(options))
    progress = ProgressLine("sorting")
    given = load_set(options.calibration) if options.calibration else None
    found = resort(
        folder,
        settings,
        calibration=given,
        output=options.output,
        progress=progress,
        threads=options.threads,
        readmission=(readmission := Readmission(folder) if options.readmit else None),
    )
    progress.done()
    result = {
        "run": str(folder),
        "calibration": found.calibration,
        **asdict(found.counts),
        "delayed_factor": settings.delayed_factor,
        **found.summary,
        "singles": found.singles,
        "frames": found.frames,
        "hash": found.hash,
        "torn_bytes": found.torn_bytes,
        "damage": asdict(found.damage),
        "notes": notes_of(found),
    }
    singles = found.singles
    kept = "accepted" if settings.sorts_coincidences else "windowed"
    what = "accepted for coincidences" if settings.sorts_coincidences else "in windows"
    text = (
        f"{describe(settings)}\ncalibration {found.calibration}\n"
        f"{singles[kept]} of {singles['received']} singles {what}\n"
        f"{describe_outcome(result, settings)}"
    )
    if readmission is not None:
        before = resort(folder, settings, calibration=given, threads=options.threads).counts
        result |= _changes(readmission, before.prompts)
        text += f"\n{_changes_in_words(readmission, before.prompts, found.counts.prompts)}"
    finish(options, result, "\n".join([text, *(f"note: {one}" for one in result["notes"])]))
    return 1 if found.damage else 0


def _changes(readmission: Readmission, prompts_before: int) -> dict[str, Any]:
    count = {str(module): n for module, n in sorted(readmission.count.items())}
    return {"readmitted": count, "prompts_without_them": prompts_before}


def _changes_in_words(readmission: Readmission, before: int, after: int) -> str:
    if not readmission.count:
        return "no refused frame turned out to be right: nothing is changed"
    modules = ", ".join(f"{n} of module {m}" for m, n in sorted(readmission.count.items()))
    return f"{readmission.count.total()} frames readmitted ({modules}): {before} → {after} prompts"


def notes_of(found: Resorted) -> list[str]:
    """Return in words what of the raw log was not sorted."""
    torn = f"{found.torn_bytes} bytes at the raw log's end are no whole block: it was cut off"
    return [*([found.trouble] if found.trouble else []), *([torn] if found.torn_bytes else [])]
