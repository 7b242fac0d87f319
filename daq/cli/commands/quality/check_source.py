"""Listen to a source (a digitizer) instead of the daq, and say what is wrong with it.

Start it where `tomoshibi acquire` would run; it welcomes the source, starts it for --seconds of
detector time, and says for each frame that is refused the verdict and the first field that offends.
At the end: rates, the modules' offsets in time from their coincidences, and all that later steps of
a run would refuse or count as lost. Nothing is written. Status 0 if a run would be good.
"""

from __future__ import annotations

import argparse
import signal
from typing import TYPE_CHECKING, Any

from daq.cli.common import (
    add_endpoint_option,
    add_json_option,
    add_preset_option,
    finish,
    positive,
    tell,
)

if TYPE_CHECKING:
    from daq.service.source_check.source_check import SourceCheck

EXAMPLES = """\
examples:
  tomoshibi check-source --preset bench2               then start the source
  tomoshibi check-source --preset ring.toml --seconds 1 --frames
"""

MOST_LINES = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_preset_option(parser)
    parser.add_argument("--seconds", type=positive, default=5.0, metavar="S",
                        help="detector time that the source is started for (default: "
                             "%(default)g)")  # fmt: skip
    parser.add_argument("--wait-s", type=positive, default=60.0, metavar="S",
                        help="how long to wait for a source (default: %(default)g)")  # fmt: skip
    parser.add_argument("--frames", action="store_true", help="say the verdict on every frame")
    add_endpoint_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Listen, and tell."""
    from daq.cli.launch.kernels import is_warm
    from daq.folder.run_config import default_settings
    from daq.service.source_check.listener import Bounds, listen
    from daq.service.warm_up import warm_kernels
    from hw.messages.endpoints import Endpoints
    from hw.scanner.preset_file import load_scanner

    scanner = load_scanner(options.preset)
    if not is_warm("acquire"):
        tell("first start of this build: kernels are compiled once")
        warm_kernels()
    ends: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ends.append(1))
    tell(f"listening at {options.endpoint} for {scanner.name}, {scanner.n_modules} modules")
    check, refusals = listen(
        Endpoints(options.endpoint), scanner, default_settings(scanner),
        Bounds(options.wait_s, options.seconds), say=tell, each_frame=options.frames,
        stopped=lambda: bool(ends),
    )  # fmt: skip
    result = {**check.summary(), "refused_messages": refusals}
    findings = [*refusals, *result["findings"]]
    finish(options, result, "\n".join([*_figures(check, result), *_outcome(findings)]))
    return 1 if findings else 0


def _figures(check: SourceCheck, result: dict[str, Any]) -> list[str]:
    accepted = result["verdicts"]["ACCEPTED"]
    shares = f"{100 * result['in_window'] / max(1, result['singles']):.0f} % in the energy window"
    time_s, singles = result["detector_time_s"], result["singles"]
    lines = [
        f"{accepted} frames accepted, {time_s:.3f} s of detector time, {singles} singles, {shares}"
    ]
    for one in result["modules"][:MOST_LINES]:
        offset = one["offset_ps"]
        said = "" if offset is None else f", {offset / 1000:+.2f} ns against the others"
        lines.append(
            f"module {one['module']}: {one['frames']} frames, {one['lost']} lost, "
            f"{one['singles_per_s']:.0f} singles/s, {one['state']}{said}"
        )
    if len(result["modules"]) > MOST_LINES:
        rates = check.rates()
        lines.append(f"… {len(rates)} modules, {rates.min():.0f} to {rates.max():.0f} singles/s")
    return lines


def _outcome(findings: list[str]) -> list[str]:
    if not findings:
        return ["nothing is wrong: a run of this source would be good"]
    return ["wrong:", *(f"  {words}" for words in findings)]
