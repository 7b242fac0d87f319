"""Show what the prompts of an emulated run really were: true, scattered, random or other.

Needs the truth file that the emulator writes with --truth. The raw log is sorted again as the run
was, and each prompt is matched exactly with the truth of its two event words. Results go into the
run's folder: truth.npz (every prompt) and truth.csv (fractions by energy window).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, add_json_option, add_runs_option, find_run, finish
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.replay.truth_join import Joined

EXAMPLES = """\
examples:
  tomoshibi demo --headless --duration 20 --truth      then
  tomoshibi truth last
  tomoshibi truth RUN --energy-keV 400:650 --energy-keV 435:585 --json
  tomoshibi truth RUN --truth-file /data/truth/0000002a.tmtruth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run_folder", metavar="RUN", help='a run: folder, name, or "last"')
    parser.add_argument("--truth-file", type=Path, metavar="FILE",
                        help="the truth file (default: the one in the run's folder)")  # fmt: skip
    parser.add_argument("--energy-keV", type=_window, action="append", default=[],
                        metavar="LLD:ULD",
                        help="also count prompts with both energies in this window")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help="where to write the results (default: the run's folder)")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def _window(text: str) -> tuple[float, float]:
    try:
        lld, uld = (float(part) for part in text.split(":"))
    except ValueError:
        lld, uld = 1.0, 0.0
    if not 0 <= lld < uld:
        raise argparse.ArgumentTypeError(f"{text}: an energy window in keV such as 400:650")
    return lld, uld


def run(options: argparse.Namespace) -> int:
    """Join and print; the exit status is 1 if any word has no truth."""
    from daq.replay.truth_join import join

    folder = find_run(options.run_folder, options.runs)
    progress = ProgressLine("joining")
    joined = join(folder, options.truth_file, progress=progress)
    progress.done()
    settings = joined.settings
    windows = [(settings.lld_keV, settings.uld_keV), *options.energy_keV]
    rows = [(window, joined.counts(*window)) for window in windows]
    _write(options.output or folder, joined, rows)
    result = {
        "run": str(folder),
        "words": joined.words,
        "unknown_words": joined.unknown,
        "prompts": len(joined.prompts),
        "randoms_by_delayeds": joined.randoms_by_delayeds,
        "energy_windows": [
            {"lld_keV": lld, "uld_keV": uld, "counts": counts, "fractions": fractions(counts)}
            for (lld, uld), counts in rows
        ],
        "singles_windows": joined.windows,
    }
    finish(options, result, _text(folder, joined, rows))
    return 1 if joined.unknown else 0


def fractions(counts: dict[str, int]) -> dict[str, float]:
    """Return each class's share of the prompts, and the NEMA scatter fraction S/(T + S)."""
    total = max(sum(counts.values()), 1)
    pairs = max(counts["true"] + counts["scattered"], 1)
    shares = {name: n / total for name, n in counts.items()}
    return {**shares, "scatter_fraction": counts["scattered"] / pairs}


Rows = list[tuple[tuple[float, float], dict[str, int]]]


def _text(folder: Path, joined: Joined, rows: Rows) -> str:
    lines = [f"{folder.name}: {len(joined.prompts)} prompts, {joined.words} event words"]
    if joined.unknown:
        lines.append(f"  {joined.unknown} words have no truth: is it this run's truth file?")
    for (lld, uld), counts in rows:
        share = fractions(counts)
        lines.append(
            f"  {lld:g}-{uld:g} keV: "
            + ", ".join(f"{name} {n} ({share[name]:.1%})" for name, n in counts.items() if n)
            + f"; scatter fraction {share['scatter_fraction']:.3f}"
        )
    if joined.settings.delay_ps:
        lines.append(f"  randoms by delayeds: {joined.randoms_by_delayeds:.1f}")
    for name, counts in joined.windows.items():
        told = ", ".join(f"{kind} {n}" for kind, n in counts.items() if n)
        lines.append(f"  window {name}: {told or 'no singles'}")
    return "\n".join(lines)


def _write(folder: Path, joined: Joined, rows: Rows) -> None:
    import numpy as np

    from daq.replay.truth_join import CLASSES

    columns: dict[str, Any] = {
        str(name): joined.prompts[name] for name in joined.prompts.dtype.names or ()
    }
    head = "lld_keV,uld_keV," + ",".join(CLASSES) + ",scatter_fraction"
    lines = [
        f"{lld:g},{uld:g},"
        + ",".join(str(counts[name]) for name in CLASSES)
        + f",{fractions(counts)['scatter_fraction']:.6g}"
        for (lld, uld), counts in rows
    ]
    try:
        np.savez(folder / "truth.npz", classes=np.array(CLASSES), **columns)
        (folder / "truth.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"cannot write the truth to {folder}: {error.strerror}; name another folder with "
            "--output"
        ) from error
