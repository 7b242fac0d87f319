"""Copy a run to another disk, and read every byte of the copy back.

The copy counts once it is whole: until then it grows in DEST/.archiving, where nobody takes it for
a run. After Ctrl-C, a full disk or a power cut the same command goes on where it stopped. A copy
that is there already is brought up to date. The run notes where its copies are (archive.json),
which `tomoshibi retain` asks for; the copy lists its files with their digests (copy.json).

identity.json, which says whom the run is about, stays behind unless --with-identity is given. Links
are not followed; what is left out is told. A run that is being recorded, was cut off or is damaged
is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from daq.cli.common import add_json_option, add_runs_option, cleaning_up, find_run, finish, tell
from daq.cli.progress import ProgressLine

EXAMPLES = """\
examples:
  tomoshibi archive last /mnt/archive
  tomoshibi archive RUN /mnt/archive --with-identity
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("which", metavar="RUN", help='the run: a folder, a name, or "last"')
    parser.add_argument("destination", type=Path, metavar="DEST",
                        help="a folder on another disk; the copy is DEST/RUN")  # fmt: skip
    parser.add_argument("--with-identity", action="store_true",
                        help="copy identity.json, too: who it is about")  # fmt: skip
    add_runs_option(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Copy and verify."""
    import datetime as dt

    import msgspec

    from daq.archive.run_copy import archive

    folder = find_run(options.which, options.runs)
    line = ProgressLine(f"archiving {folder.name}")
    try:
        with cleaning_up():
            done = archive(
                folder, options.destination, with_identity=options.with_identity, progress=line,
                now=dt.datetime.now().astimezone(),
            )  # fmt: skip
    except KeyboardInterrupt:
        tell(f"{folder.name}: the copy is not whole yet; the same command goes on with it")
        raise
    finally:
        line.done()
    for words in done.left_out:
        tell(f"left out: {words}")
    for words in done.notes:
        tell(f"note: {words}")
    result = {"run": str(folder), "copy": msgspec.to_builtins(done.copy),
              "left_out": done.left_out, "notes": done.notes}  # fmt: skip
    finish(options, result, done.words())
    return 0
