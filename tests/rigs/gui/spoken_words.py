"""What the console can say: every text that its code shows through ``tr``, or marks for it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from gui.rates.loss_counters import caption_of
from hw.messages.corrections import CORRECTIONS, label_of
from hw.messages.counters import COUNTERS, harm_of

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def texts_in_code() -> dict[str, str]:
    """Return every marked text with a place that it stands at."""
    found = texts_made()
    for path in sorted((ROOT / "gui").rglob("*.py")):
        for text, line in texts_of(path.read_text(encoding="utf-8")):
            found.setdefault(text, f"{path.relative_to(ROOT)}:{line}")
    return found


def texts_made() -> dict[str, str]:
    """Return texts that the console makes of closed sets of names."""
    labels = {label_of(one.name): "hw/messages/corrections.py" for one in CORRECTIONS}
    counted = [name for name in COUNTERS if harm_of(name) != "none"]
    groups = ("frames" if name.startswith("frames.") else "singles" for name in counted)
    captions = map(caption_of, counted, groups)
    return labels | dict.fromkeys(captions, "gui/rates/loss_counters.py")


def texts_of(code: str) -> Iterator[tuple[str, int]]:
    """Yield the texts in one file and their lines."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and _called(node) in ("tr", "mark") and node.args:
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield text.value, node.lineno


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
