"""Lists of fields and examples in docstrings, as such on the site.

The house style names fields, arguments and returned arrays as lines of ``name : what it is``, often
without a heading. Markdown would run them together; here each becomes an item, and lines behind
``>>>`` become code.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

ITEM = re.compile(r"(?P<names>[A-Za-z_`][\w`, .*]*?) : (?P<words>\S.*)")
ROLE = re.compile(r":\w+:`[~.]?([^`]+)`")
UNDERLINE = re.compile(r"^-{3,}$", re.M)


def as_items(paragraph: str) -> str:
    """Return a list of fields as a list, an example as code, another paragraph as it is."""
    lines = paragraph.splitlines()
    if lines and lines[0].startswith(">>> "):
        code = [line[4:].split("  # doctest:")[0] for line in lines]
        return "\n".join(["```python", *code, "```"])
    if not lines or not ITEM.fullmatch(lines[0]) or UNDERLINE.search(paragraph):
        return paragraph
    items = []
    for line in lines:
        found = None if line.startswith(" ") else ITEM.fullmatch(line)
        if found:
            names = ", ".join(f"`{name.strip('` ')}`" for name in found["names"].split(","))
            items.append(f"- {names}: {found['words']}")
        else:
            items.append(f"  {line.strip()}")
    return "\n".join(items)


class FieldLists(Extension):
    """Rewrites every docstring before it is rendered."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Make lists of the paragraphs that are lists."""
        if obj.docstring:
            parts = ROLE.sub(r"`\1`", obj.docstring.value).split("\n\n")
            obj.docstring.value = "\n\n".join(as_items(part) for part in parts)
