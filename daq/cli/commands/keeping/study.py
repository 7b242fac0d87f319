"""Show or change what is known of a run's study: weight, tracer, injected activity, notes.

It is kept in the run (study.json) and may be changed after the run. `reconstruct --suv` and DICOM
files take weight and activity from it. It names nobody; who the patient is stands in identity.json
alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import add_json_option, add_runs_option, find_run, finish

if TYPE_CHECKING:
    from daq.folder.identity.study_file import Study

EXAMPLES = """\
examples:
  tomoshibi study last                     what is known
  tomoshibi study RUN --tracer FDG --weight-kg 70 --height-cm 172 \\
      --injected-MBq 250 --injected-at 2026-11-23T09:30+01:00
  tomoshibi study RUN --residual-MBq 6 --residual-at 2026-11-23T09:33+01:00
  tomoshibi study RUN --notes ""           take something out
"""
_WORDS = {"tracer": "NAME", "operator": "WHO", "notes": "TEXT"}
_TIMES = ("injected_at", "residual_at")
_NUMBERS = {
    "age_years": "AGE", "weight_kg": "KG", "height_cm": "CM", "injected_MBq": "MBq",
    "residual_MBq": "MBq",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("which", metavar="RUN", help='the run: a folder, a name, or "last"')
    group = parser.add_argument_group("what changes")
    for name, what in _NUMBERS.items():
        group.add_argument(_flag(name), type=float, dest=name, metavar=what)
    for name in _TIMES:
        group.add_argument(_flag(name), dest=name, metavar="TIME",
                           help="date with time and offset, 2026-11-23T09:30+01:00")  # fmt: skip
    for name, what in _WORDS.items():
        group.add_argument(_flag(name), dest=name, metavar=what)
    add_runs_option(parser)
    add_json_option(parser)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run(options: argparse.Namespace) -> int:
    """Show or change a study."""
    import msgspec

    from daq.folder.identity.study_file import Study, change_study, read_study

    folder = find_run(options.which, options.runs)
    fields = (*_NUMBERS, *_TIMES, *_WORDS)
    changes = {name: value for name in fields if (value := getattr(options, name)) is not None}
    changed: list[str] = []
    if changes:
        study, changed = change_study(folder, changes)
    else:
        study = read_study(folder) or Study()
    doubts, net_Bq = _judged(folder, study)
    values: dict[str, Any] = msgspec.to_builtins(study)
    lines = [f"  {name:14} {value}" for name, value in values.items()] or ["  nothing is known"]
    lines += [f"  injected less residual: {net_Bq / 1e6:.4g} MBq"] if net_Bq is not None else []
    lines += [f"  doubtful: {words}" for words in doubts]
    head = f"{folder}: changed {', '.join(changed)}" if changed else f"{folder}:"
    told = {"study": values, "changed": changed, "doubts": doubts, "net_injected_Bq": net_Bq}
    finish(options, told, "\n".join([head, *lines]))
    return 0


def _judged(folder: Path, study: Study) -> tuple[list[str], float | None]:
    """Return what is doubtful, and the activity that went in, if the nuclide is known."""
    from daq.folder.run_folder import run_config, started_at
    from hw.physics.nuclides import nuclide_of

    nuclide, _ = nuclide_of(run_config(folder).labels)
    half_life_s = None if nuclide is None else nuclide.half_life_s
    started = started_at(folder)
    doubts = [] if started is None else [line.text for line in study.doubts(started, half_life_s)]
    return doubts, None if half_life_s is None else study.net_injected_Bq(half_life_s)
