"""A minute of hostile bytes, the same on every machine; a night is `python tests/fuzz`."""

from __future__ import annotations

import pytest

from fuzz.runner import Fuzzer, memory_bounded
from fuzz.targets import TARGETS

SEED = 20261123


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_bytes_are_refused_in_words(name: str) -> None:
    target = TARGETS[name]
    fuzzer = Fuzzer(name, target, SEED)
    fuzzer.sound()
    with memory_bounded():
        fuzzer.feed(target.inputs)
    assert fuzzer.inputs == target.inputs
    assert {where: found.what for where, found in fuzzer.findings.items()} == {}
