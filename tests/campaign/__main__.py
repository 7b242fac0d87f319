"""Faults at random moments of real runs, for an hour: `python tests/campaign --minutes 60`.

Findings are told as they come, and the folder of their run is kept. The same seed draws the same
faults in the same order; what the processes do in between is their own.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from campaign.faults import KINDS  # noqa: E402
from campaign.report import as_object, as_table  # noqa: E402
from campaign.runner import Campaign  # noqa: E402
from daq.cli.marked_page import write_between_marks  # noqa: E402


def main() -> int:
    """Run the campaign; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python tests/campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, metavar="M")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), metavar="N")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="default: all")
    parser.add_argument("--most-faults", type=int, default=3, metavar="N", help="in one run")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="DOC", help="put the table into a document")
    parser.add_argument("--mark", default="campaign", help="of the table in that document")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the scene's processes, too
    began = time.monotonic()
    campaign = Campaign(options.seed, kinds=options.kind or (), most_faults=options.most_faults)
    try:
        campaign.run_for(60 * options.minutes)
    finally:
        campaign.end_scene()
    found = as_object(campaign, (time.monotonic() - began) / 60)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(as_table(found))
    if options.write:
        write_between_marks(options.write, options.mark, as_table(found))
    return 1 if found["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
