"""List the runs in the runs folder, newest first.

The list is an index (runs.sqlite) that is updated each time; the run folders are the record, and
folders deleted or copied in are noticed. Runs of which a file is missing, or has another size than
when the run was closed, are told; what the files hold is read by --verify alone. Runs without a
manifest to compare with are named as not verified.

--show RUN tells what is known of one run: its protocol, what ended it, interruptions, and the
markers that were set in it.

--search WORDS lists those that have all the words in name, date, scanner, protocol, nuclide, review
or conditions.

--verify reads every file of the runs (all, or those named) and compares it with the manifest made
when the run was closed; the exit status is 1 if anything is missing, changed or damaged.
"""

from __future__ import annotations

import argparse
import base64
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import add_json_option, add_runs_option, find_run, finish, whole
from daq.cli.progress import ProgressLine
from daq.errors import LogError

if TYPE_CHECKING:
    from daq.folder.listing.catalogue import RunRow
    from daq.folder.listing.manifest import Verification
    from daq.folder.listing.thumbnail_cache import Thumbnail

EXAMPLES = """\
examples:
  tomoshibi runs
  tomoshibi runs --runs /data/runs --json
  tomoshibi runs --search "F-18 tainted"
  tomoshibi runs --show last
  tomoshibi runs --verify
  tomoshibi runs --verify last RUN
"""


HEADING = (
    f"{'run':<34} {'condition':<10} {'time/s':>8} {'singles':>11} {'prompts':>10} "
    f"{'delayeds':>9} {'images':>6} {'MB':>7} books review"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--search", default="", metavar="WORDS", help="only runs that have them")
    parser.add_argument("--thumbnails", type=whole, metavar="N",
                        help="make small pictures of the newest N runs and, with --json, print "
                        "each as a line of its own: for consoles")  # fmt: skip
    parser.add_argument("--show", metavar="RUN", help="what is known of one run, with its markers")
    parser.add_argument("--verify", nargs="*", metavar="RUN",
                        help="compare all files with the run's manifest")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list, or what is wrong with runs."""
    if options.show is not None:
        return _show(options)
    if options.thumbnails is not None:
        return _make_thumbnails(options)
    return _list(options) if options.verify is None else _verify(options)


def _show(options: argparse.Namespace) -> int:
    """Print what is known of one run."""
    import msgspec

    from daq.cli.sorting_outcome import describe_end
    from daq.folder.interruptions import read_interruptions
    from daq.folder.listing.archive_record import read_copies
    from daq.folder.markers import read_markers
    from daq.folder.protocols.planned_config import in_words
    from daq.folder.run_folder import SUMMARY_NAME, run_config
    from hw.bounded_files import read_object

    folder = find_run(options.show, options.runs)
    config, markers, copies = run_config(folder), read_markers(folder), read_copies(folder)
    summary = read_object(folder / SUMMARY_NAME) if (folder / SUMMARY_NAME).exists() else {}
    plan, ended_by = in_words(config), str(summary.get("ended_by", ""))
    lines = [describe_end(summary) if summary else f"{folder}: no summary, still open or cut off"]
    lines += [f"  {words}" for words in (plan, f"ended: {ended_by}" if ended_by else "") if words]
    lines += [f"  copy, whole at {copy.at}: {copy.place}" for copy in copies]
    gaps = read_interruptions(folder)
    lines += [f"  {gap.at_s:10.3f} s  no data for {gap.away_s:.1f} s: {gap.why}" for gap in gaps]
    lines += [f"  {marker.at_s:10.3f} s  {marker.text}" for marker in markers]
    result = {
        "run": str(folder),
        "condition": summary.get("condition", "open"),
        "ended_by": ended_by,
        "protocol": msgspec.to_builtins(config.protocol),
        "interruptions": msgspec.to_builtins(gaps),
        "copies": msgspec.to_builtins(copies),
        "markers": msgspec.to_builtins(markers),
    }
    finish(options, result, "\n".join(lines))
    return 0


def _verify(options: argparse.Namespace) -> int:
    """Verify runs against their manifests."""
    from daq.folder.listing.catalogue import Catalogue

    names = options.verify or [row.name for row in Catalogue(options.runs).rows()]
    found = {name: _verified(find_run(name, options.runs)) for name in names}
    lines = [f"{name:<34} {one.words()}" for name, one in found.items()]
    wrong = sum(bool(one.wrong) for one in found.values())
    lines.append(f"{len(found)} runs, {wrong} of them damaged")
    result = {name: {**asdict(one), "words": one.words()} for name, one in found.items()}
    finish(options, {"runs": result, "damaged": wrong}, "\n".join(lines))
    return 1 if wrong else 0


def _verified(folder: Path) -> Verification:
    from daq.folder.listing.manifest import Verification, verify

    line = ProgressLine(folder.name)
    try:
        return verify(folder, progress=line)
    except LogError as error:
        return Verification(known=True, wrong=[str(error)])
    finally:
        line.done()


def _sizes_wrong(folder: Path) -> list[str]:
    from daq.folder.listing.manifest import sizes_wrong

    with suppress(LogError, OSError):
        return sizes_wrong(folder)
    return ["its manifest cannot be read"]


def _list(options: argparse.Namespace) -> int:
    from daq.folder.listing.catalogue import Catalogue, is_found
    from daq.folder.listing.manifest import has_manifest
    from daq.folder.listing.sent_objects import sent_objects
    from daq.replay.run_recovery import unfinished

    rows = [row for row in Catalogue(options.runs).rows() if is_found(asdict(row), options.search)]
    lines = [HEADING]
    lines += [_line(row) for row in rows]
    unfinished_runs = [folder.name for folder in unfinished(options.runs)]
    if unfinished_runs:
        lines.append(f"need recovery (`tomoshibi recover --all`): {', '.join(unfinished_runs)}")
    damaged = {r.name: wrong for r in rows if (wrong := _sizes_wrong(options.runs / r.name))}
    lines += [f"DAMAGED {name}: {'; '.join(wrong)}" for name, wrong in damaged.items()]
    unknown = [r.name for r in rows if not has_manifest(options.runs / r.name)]
    unknown = [name for name in unknown if name not in unfinished_runs]
    if unknown:
        lines.append(f"not verified, for they have no manifest: {', '.join(unknown)}")
    if len(unknown) + len(unfinished_runs) < len(rows):
        lines.append("sizes alone were compared: `tomoshibi runs --verify` reads what they hold")
    none = f"no runs in {options.runs}: `tomoshibi demo` makes one"
    if options.search:
        none = f"no run in {options.runs} has {options.search!r}"
    text = "\n".join(lines) if rows else none
    result: dict[str, Any] = {
        "runs": [asdict(row) for row in rows],
        "sent": sent_objects(options.runs),
        "need_recovery": unfinished_runs,
        "damaged": damaged,
        "no_manifest": unknown,
    }
    finish(options, result, text)
    return 0


def _make_thumbnails(options: argparse.Namespace) -> int:
    """Print the thumbnails of runs as they are found or made."""
    from daq.folder.listing.catalogue import Catalogue

    made = 0
    for row in Catalogue(options.runs).rows()[: options.thumbnails]:
        found = _thumbnail(options.runs, row.name)
        if found is None:
            continue
        made += 1
        if options.json:
            levels = base64.b64encode(found.levels).decode()
            told = {"run": row.name, "width": found.width, "height": found.height, "levels": levels}
            print(json.dumps({"thumbnail": told}), flush=True)
    finish(options, {"thumbnails": made}, f"{made} thumbnails")
    return 0


def _thumbnail(root: Path, name: str) -> Thumbnail | None:
    from daq.folder.listing.run_images import images_of
    from daq.folder.listing.thumbnail_cache import Thumbnail, ThumbnailCache, stamp_of

    cache = ThumbnailCache(root)
    with suppress(OSError):
        for image in images_of(root / name)[:1]:
            stamp = stamp_of(image)
            if (found := cache.find(name, stamp)) is not None:
                return found
            from recon.analysis.thumbnail import thumbnail_in

            if (levels := thumbnail_in(image)) is not None:
                made = Thumbnail(levels.shape[1], levels.shape[0], levels.tobytes())
                cache.keep(name, stamp, made)
                return made
    return None


def _line(row: RunRow) -> str:
    line = (
        f"{row.name:<34} {row.condition:<10} {row.detector_time_s:8.1f} {row.singles:11d} "
        f"{row.prompts:10d} {row.delayeds:9d} {row.images:6d} {row.bytes / 1e6:7.1f} "
        f"{'close' if row.conserved else '–':<5} {row.review}"
    )
    return line.rstrip()
