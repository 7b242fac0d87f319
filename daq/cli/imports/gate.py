"""GATE 10 / opengate singles as a run: a raw log that replays through the same chain.

The singles (npz: t_ns, E_keV, xyz_mm, block) are packed into data frames as a scanner would send
them, logged and sorted like a live run.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from daq.cli.common import add_json_option, add_runs_option, finish, make_folder, positive, tell
from daq.cli.options.sorting import add_window_options, describe, window_changes
from daq.cli.progress import ProgressLine

EXAMPLES = """\
examples:
  tomoshibi import gate singles.npz --scanner caremibrain
  tomoshibi import gate point.npz --scanner caremibrain --decays-per-s 1e6 --blur
  tomoshibi sort last --window-ns 5 --energy-keV 0:2000 --policy all --delay-ns 500
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the data")
    parser.add_argument("--scanner", default="caremibrain", metavar="SCANNER",
                        help="the preset that was simulated (default: %(default)s)")  # fmt: skip
    parser.add_argument("--decays-per-s", type=positive, metavar="N",
                        help="decays per second, if times are relative to each decay")  # fmt: skip
    parser.add_argument("--blur", action="store_true",
                        help="add the preset's resolution of energy and position; GATE's "
                        "deposits are exact unless its digitizer blurred them")  # fmt: skip
    parser.add_argument("--gap", type=positive, default=60.0, metavar="S",
                        help="longest time without singles; each module sends empty frames "
                        "then (default: %(default)g s)")  # fmt: skip
    parser.add_argument("--name", default="", help="name of the run's folder (must not exist)")
    add_window_options(parser)
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Import and sort."""
    from daq.folder.run_config import NO_SERIAL, RunConfig, default_settings
    from daq.importers.gate_singles import check_length, frames_of, read_gate_singles
    from daq.service.run import Run
    from hw.messages.source import SourceReport
    from hw.scanner.geometry import build_geometry
    from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

    scanner = load_scanner(options.scanner)
    changes = window_changes(options)
    if changes["min_sector_difference"] is None:
        changes["min_sector_difference"] = 0  # as GATE pairs: only the same block is refused
    singles = read_gate_singles(
        options.file,
        scanner,
        build_geometry(scanner),
        decays_per_s=options.decays_per_s,
        blurred=options.blur,
    )
    make_folder(options.runs)
    free = shutil.disk_usage(options.runs).free
    check_length(singles, scanner, gap_s=options.gap, free=free)
    if singles.exact:
        tell("the energies are exact, as no detector reads them: images will be corrected for "
             f"scatter as if they had {scanner.name}'s resolution; --blur adds it")  # fmt: skip
    config = RunConfig(
        scanner_toml=scanner_to_toml_text(options.scanner),
        settings=default_settings(scanner, **changes),
        name=options.name,
        uncalibrated=NO_SERIAL,
        labels={"scanner": scanner.name, "imported": options.file.name, "format": "gate"},
    )
    opened = Run(config, options.runs)
    progress = ProgressLine("importing")
    sent = [0] * scanner.n_modules
    for number, frames in enumerate(frames_of(singles, scanner, run_tag=opened.run_tag), 1):
        opened.process(frames)
        progress.say(f"importing: {number} periods")
        sent = [n + 1 for n in sent]
    progress.done()
    emitted = [int((singles.module == m).sum()) for m in range(scanner.n_modules)]
    opened.reports.append(
        SourceReport(
            run_tag=opened.run_tag,
            singles_emitted=emitted,
            frames_sent=sent,
            dead_events=[0] * scanner.n_modules,
        )
    )
    opened.finish()
    summary = opened.write_summary()
    finish(
        options,
        summary,
        f"{summary['run']}: {len(singles)} singles; {describe(config.settings)}: "
        f"{summary['prompts']} prompts, {summary['delayeds']} delayeds",
    )
    return 0
