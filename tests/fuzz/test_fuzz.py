"""A little of hostile bytes, the same on every machine; a night is `python tests/fuzz`."""

from __future__ import annotations

import pytest

from fuzz.runner import Fuzzer, memory_bounded
from fuzz.side_files import SIDE_FILES
from fuzz.targets import TARGETS

SEED = 20261123
ALL = TARGETS | SIDE_FILES


@pytest.mark.parametrize("name", ALL)
def test_damaged_bytes_are_refused_in_words(name: str) -> None:
    target = ALL[name]
    fuzzer = Fuzzer(name, target, SEED)
    fuzzer.sound()
    with memory_bounded():
        fuzzer.feed(target.inputs)
    assert fuzzer.inputs == target.inputs
    assert {where: found.what for where, found in fuzzer.findings.items()} == {}
