"""Generate what is derived from ``protocol.toml``, ``control.toml`` and the message catalogue.

Run as ``python -m hw.generate``. The results are the C headers for firmware, the golden vectors
that every implementation must agree with, and the protocol's documentation. With ``--check``
nothing is written; files that are out of date are named, and the exit status is then 1. The same
definition always gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hw.generate.alarm_doc import alarm_doc
from hw.generate.c_header import c_header, crc_header
from hw.generate.control_header import control_header
from hw.generate.dictionary import dictionary_header
from hw.generate.golden_frames import golden_frames, golden_json
from hw.generate.golden_messages import golden_control_json, golden_messages
from hw.generate.protocol_doc import protocol_doc

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m hw.generate"


def generated_files() -> dict[str, bytes]:
    """Return the content of every generated file, by path relative to the repository."""
    frames = golden_frames()
    messages = golden_messages()
    return {
        "hw/firmware/include/tomoshibi_protocol.h": c_header().encode(),
        "hw/firmware/include/tomoshibi_control.h": control_header().encode(),
        "hw/firmware/core/base/crc32c_data.h": crc_header().encode(),
        "hw/firmware/core/base/dictionary_data.h": dictionary_header().encode(),
        "hw/wire/golden/frames.json": golden_json(frames).encode(),
        "hw/wire/golden/frames.bin": b"".join(frame.data for frame in frames),
        "hw/wire/golden/control.json": golden_control_json(messages).encode(),
        "hw/wire/golden/control.bin": b"".join(golden.line for golden in messages),
        "docs/alarms.md": alarm_doc().encode(),
        "docs/protocol.md": protocol_doc(frames, messages).encode(),
    }


def stale_files(root: Path) -> list[str]:
    """Return the paths of generated files under ``root`` that are missing or out of date."""
    return [
        path
        for path, content in generated_files().items()
        if not (root / path).is_file() or (root / path).read_bytes() != content
    ]


def write_files(root: Path) -> None:
    """Write every generated file under ``root``, leaving current ones untouched."""
    stale = set(stale_files(root))
    for path, content in generated_files().items():
        if path in stale:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            print(f"wrote {path}")


def main(arguments: list[str] | None = None) -> int:
    """Write or check the generated files; return the exit status."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a file is out of date")
    parser.add_argument("--root", type=Path, default=ROOT, help="repository (%(default)s)")
    options = parser.parse_args(arguments)
    if not options.check:
        write_files(options.root)
        return 0
    stale = stale_files(options.root)
    for path in stale:
        print(f"{path} is stale: run {COMMAND}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
