"""The protocol's documentation, made from ``protocol.toml``, the golden frames and ``messages``.

``docs/protocol.md`` has what anyone needs to build a compatible digitizer or receiver; every number
in it is taken from the definition or computed here, never typed.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from string import Template

from hw.generate.control_doc import control_tables
from hw.generate.golden_frames import RECEIVER, GoldenFrame
from hw.generate.golden_messages import GoldenMessage
from hw.generate.message_tables import message_tables
from hw.messages.base import MESSAGE_VERSION
from hw.wire import protocol as p
from hw.wire.angle_words import pack_angle_words

_EXAMPLE = {"frame_id": 1000, "time": 123_456_789}

_TEMPLATE = Path(__file__).with_name("protocol_doc.md.in")


def protocol_doc(frames: list[GoldenFrame], control: list[GoldenMessage]) -> str:
    """Return the text of ``docs/protocol.md``."""
    heartbeat = next(frame for frame in frames if frame.name == "heartbeat")
    right_angle = p.unpack_words(pack_angle_words(time_ticks=[0], angle_deg=[90.0]))
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        _numbers() | control_tables(control),
        header_table="\n".join(_header_rows()),
        frame_flags="\n".join(_flag_rows("frame_flag")),
        word_flags="\n".join(_flag_rows("word_flag")),
        kinds="\n".join(
            f"| {entry['value']} | `{entry['name']}` | {entry['text']} |"
            for entry in p.DEFINITION["word_kind"]
        ),
        angle_steps=p.DEFINITION["angle"]["steps_per_degree"],
        angle_crystal=int(right_angle["crystal"][0]),
        angle_energy=int(right_angle["energy"][0]),
        drawing=word_drawing(),
        word_table="\n".join(_word_rows()),
        golden_table="\n".join(
            f"| `{f.name}` | {len(f.data)} | `{f.verdict}` | {f.text} |" for f in frames
        ),
        dump=hex_dump(heartbeat.data),
        messages=message_tables(),
        message_version=MESSAGE_VERSION,
    )


def _numbers() -> dict[str, object]:
    tick_ps = Fraction(p.TICK_PS_NUM, 2**p.TICK_PS_SHIFT)
    ticks = _EXAMPLE["frame_id"] * p.FRAME_PERIOD_TICKS + _EXAMPLE["time"]
    time_ps = int(p.ticks_to_ps(ticks))
    return {
        "version": p.VERSION,
        "magic": f"0x{p.MAGIC:08X}",
        "schema_crc": f"0x{p.SCHEMA_CRC:08X}",
        "header_bytes": p.HEADER_BYTES,
        "max_events": p.MAX_EVENTS,
        "max_bytes": p.HEADER_BYTES + p.WORD_BYTES * p.MAX_EVENTS,
        "crc_last": p.CRC_OFFSET - 1,
        "period_log2": p.FRAME_PERIOD_LOG2,
        "period_ticks": p.FRAME_PERIOD_TICKS,
        "period_ms": f"{p.FRAME_PERIOD_PS / 1e9:g}",
        "tick_num": p.TICK_PS_NUM,
        "tick_shift": p.TICK_PS_SHIFT,
        "tick_den": 2**p.TICK_PS_SHIFT,
        "tick_rest": 2**p.TICK_PS_SHIFT - 1,
        "tick_ps": f"{float(tick_ps):.7g}",
        "ex_frame": _EXAMPLE["frame_id"],
        "ex_time": _EXAMPLE["time"],
        "ex_ticks": ticks,
        "ex_exact": f"{time_ps}{float(ticks * tick_ps - time_ps):.5f}".replace("0.", ".", 1),
        "ex_ps": time_ps,
        "ex_ms": f"{time_ps / 1e9:.9f}",
        "id_days": _days((2**32) * p.FRAME_PERIOD_PS),
        "ps_days": _days(2**63),
        "run_days": _days(2**62),
        "time_bits": p.WORD_FIELDS["time"].bits,
        "ahead": 2 ** (p.WORD_FIELDS["time"].bits - p.FRAME_PERIOD_LOG2) - 1,
        "energy_last": p.ENERGY_SATURATED - 1,
        "energy_last_keV": (p.ENERGY_SATURATED - 1) / 10,
        "energy_max": p.ENERGY_SATURATED,
        "golden_tag": f"0x{RECEIVER['run_tag']:08X}",
        "golden_modules": RECEIVER["modules"],
    }


def _days(time_ps: int) -> int:
    return int(time_ps // (86_400 * 10**12))


def _header_rows() -> list[str]:
    rows = []
    for entry in p.DEFINITION["header"]:
        offset = p.HEADER_DTYPE.fields[entry["name"]][1]  # type: ignore[index]
        kind = _type_words(entry["type"])
        rows.append(f"| {offset} | {kind} | `{entry['name']}` | {entry['text']} |")
    return rows


def _type_words(code: str) -> str:
    return f"{'signed' if code[0] == 'i' else 'unsigned'} {8 * int(code[1:])}"


def _flag_rows(table: str) -> list[str]:
    return [
        f"| {entry['bit']} | {1 << entry['bit']} | `{entry['name']}` | {entry['text']} |"
        for entry in p.DEFINITION[table]
    ]


def _word_rows() -> list[str]:
    texts = {entry["name"]: entry["text"] for entry in p.DEFINITION["word"]}
    return [
        f"| {field.shift + field.bits - 1}..{field.shift} | `{field.name}` | {field.bits} "
        f"| {field.mask} | {texts[field.name]} |"
        for field in p.WORD_FIELDS.values()
    ]


def word_drawing() -> str:
    """Return the event word drawn in ASCII, most significant bit at the left, not to scale."""
    cells = [(field, max(len(field.name) + 2, field.bits)) for field in p.WORD_FIELDS.values()]
    edge = "+" + "+".join("-" * width for _, width in cells) + "+"
    names = "|" + "|".join(f"{field.name:^{width}}" for field, width in cells) + "|"
    widths = "|" + "|".join(f"{field.bits:^{width}}" for field, width in cells) + "|"
    tops = " ".join(f"{field.shift + field.bits - 1:<{width}}" for field, width in cells)
    return f" {tops.rstrip()}\n{edge}\n{names}\n{widths} bits\n{edge}"


def hex_dump(data: bytes) -> str:
    """Return the bytes as lines of an offset and sixteen pairs of digits."""
    return "\n".join(
        f"{start:04x}  {data[start : start + 16].hex(' ')}" for start in range(0, len(data), 16)
    )
