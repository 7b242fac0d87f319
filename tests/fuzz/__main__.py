"""Hostile bytes for every decoder, for as long as asked: `python tests/fuzz --minutes 480 --json`.

Findings are printed as they are found, each once for each place, and with --json at the end with
the inputs that show them. The same seed gives the same inputs in the same order. With atheris
installed, --atheris lets it choose the inputs of one target, by what code they reach.
"""

from __future__ import annotations

import argparse
import itertools
import json
import secrets
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from daq.cli.marked_page import markdown_table, write_between_marks  # noqa: E402
from fuzz.runner import Fuzzer, memory_bounded  # noqa: E402
from fuzz.side_files import SIDE_FILES  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402

ALL = TARGETS | SIDE_FILES

AT_A_TIME = 100


def main() -> int:
    """Fuzz; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, metavar="M")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), metavar="N")
    parser.add_argument("--target", action="append", choices=list(ALL), help="default: all")
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, metavar="FILE", help="page with marks `fuzz`")
    options = parser.parse_args()
    names = options.target or list(ALL)
    if options.atheris:
        return _atheris(names[0])
    print(f"seed {options.seed}", file=sys.stderr)
    fuzzers = [Fuzzer(name, ALL[name], options.seed) for name in names]
    until = time.monotonic() + 60 * options.minutes
    with memory_bounded():
        for fuzzer in itertools.cycle(fuzzers):
            if time.monotonic() > until:
                break
            known = set(fuzzer.findings)
            fuzzer.feed(AT_A_TIME)
            for where in set(fuzzer.findings) - known:
                found = fuzzer.findings[where]
                print(f"{fuzzer.name}: {where}: {found.what}", file=sys.stderr, flush=True)
    findings = [found.as_json() for one in fuzzers for found in one.findings.values()]
    if options.json:
        counts = {one.name: {"inputs": one.inputs, "refused": one.refused} for one in fuzzers}
        print(json.dumps({"seed": options.seed, "targets": counts, "findings": findings}))
    else:
        for one in fuzzers:
            print(f"{one.name:<16} {one.inputs:>9} inputs, {one.refused:>9} refused")
        print(f"{len(findings)} findings")
    if options.write:
        told = f"Written by `python tests/fuzz --minutes {options.minutes:g} --write FILE`, seed "
        text = f"{told}{options.seed}.\n\n{_table(fuzzers)}"
        write_between_marks(options.write, "fuzz", text)
    return 1 if findings else 0


def _table(fuzzers: list[Fuzzer]) -> str:
    """Return what was fed to each decoder; a finding is a crash, a hang or an unclear error."""
    rows = [
        [one.name, f"{one.inputs:,}", f"{one.refused:,}", str(len(one.findings))] for one in fuzzers
    ]
    total = [sum(one.inputs for one in fuzzers), sum(one.refused for one in fuzzers)]
    found = sum(len(one.findings) for one in fuzzers)
    rows.append(["all", *(f"{number:,}" for number in total), str(found)])
    return markdown_table(["decoder", "inputs", "refused in words", "findings"], rows)


def _atheris(name: str) -> int:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install atheris, or leave --atheris out")
        return 2
    fuzzer = Fuzzer(name, ALL[name], 0)

    def once(data: bytes) -> None:
        fuzzer.once(data)
        for found in fuzzer.findings.values():
            raise AssertionError(f"{found.where}: {found.what}")

    atheris.Setup([sys.argv[0]], once)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
