"""Every field that the daq takes from a socket has a bound, and what breaks it is refused whole."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from hw.messages.base import MessageError
from hw.messages.bounds import MOST_TREE_DEPTH, MOST_TREE_VALUES, check_tree
from hw.messages.codec import decode, encode
from hw.messages.commands import Command
from hw.messages.imager import ImagerReport
from hw.messages.modules import ModuleAnswer, ModuleStates
from hw.messages.source import FaultAnswer, FaultDone, Heartbeat, Hello, SourceReport

TAKEN = (Hello, Heartbeat, SourceReport, FaultAnswer, ModuleAnswer, ModuleStates, ImagerReport)
REPORT: dict[str, Any] = {
    "type": "SourceReport",
    "run_tag": 7,
    "singles_emitted": [1, 2],
    "frames_sent": [3, 4],
    "dead_events": [0, 0],
}
FAULT: dict[str, Any] = {
    "number": 1, "kind": "drop", "text": "drop", "modules": [0], "begin_period": 0, "end_period": 9,
}  # fmt: skip


def unbounded(kind: inspect.Type, where: str) -> list[str]:
    """Return the places below a type that would let anything through."""
    if isinstance(kind, inspect.StructType):
        fields = [(f.type, f"{where}.{f.name}") for f in kind.fields if f.name != "version"]
        return [place for one, name in fields for place in unbounded(one, name)]
    if isinstance(kind, inspect.UnionType):
        return [place for one in kind.types for place in unbounded(one, where)]
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return [] if None not in (kind.ge, kind.le) else [where]
    if isinstance(kind, inspect.StrType):
        return [] if kind.max_length else [where]
    if isinstance(kind, inspect.ListType):
        inside = unbounded(kind.item_type, f"{where}[]")
        return inside if kind.max_length else [where, *inside]
    if isinstance(kind, inspect.DictType):
        inside = [*unbounded(kind.key_type, where), *unbounded(kind.value_type, f"{where}{{}}")]
        return inside if kind.max_length else [where, *inside]
    if isinstance(kind, inspect.TupleType):
        return [place for one in kind.item_types for place in unbounded(one, where)]
    bound = inspect.BoolType | inspect.NoneType | inspect.LiteralType
    return [] if isinstance(kind, bound) else [f"{where}: {kind}"]


@pytest.mark.parametrize("message", TAKEN)
def test_every_field_of_a_message_that_the_daq_takes_is_bounded(message: type) -> None:
    assert unbounded(inspect.type_info(message), message.__name__) == []


def test_an_unbounded_field_would_be_found() -> None:
    class Careless(msgspec.Struct):
        counts: list[int]

    places = unbounded(inspect.type_info(Careless), "Careless")
    assert places == ["Careless.counts", "Careless.counts[]"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"singles_emitted": [1, 2, 3]}, "singles_emitted is of 3 modules, frames_sent of 2"),
        ({"dead_events": []}, "dead_events is of 0 modules"),
        ({"hits_seen": [1]}, "hits_seen is of 1 modules"),
        ({"singles_emitted": [2**63, 0]}, r"singles_emitted\[0\]"),
        ({"frames_sent": [-1, 0]}, r"frames_sent\[0\]"),
        ({"hits_seen": [-2, 0]}, r"hits_seen\[0\]"),
        ({"truth": {"decays": float("nan")}}, r"truth\[...\]"),
        ({"max_lag_s": float("inf")}, "max_lag_s"),
        ({"faults": {"x" * 1001: 1}}, "faults"),
        ({"fault_log": [FAULT] * 10_001}, "fault_log"),
        ({"fault_log": [{**FAULT, "modules": [2**40]}]}, "modules"),
        ({"failed": "x" * 20_001}, "failed"),
        ({"frames_sent": None}, "frames_sent"),
    ],
)
def test_a_report_that_would_not_add_up_is_refused_with_the_field(
    changes: dict[str, Any], words: str
) -> None:
    data = msgpack.packb({**REPORT, **changes, "version": 3})
    with pytest.raises(MessageError, match=words):
        decode(data)
    assert decode(msgpack.packb({**REPORT, "version": 3})).run_tag == 7  # type: ignore[union-attr]


def test_a_report_of_what_really_happened_passes() -> None:
    report = SourceReport(
        run_tag=2**32 - 1,
        singles_emitted=[2**50] * 48,
        frames_sent=[2**32] * 48,
        dead_events=[0] * 48,
        hits_seen=[-1] * 48,
        fault_log=[FaultDone(**FAULT)] * 100,
        truth={"decays": 1e15},
    )
    assert decode(encode(report)) == report


@pytest.mark.parametrize(
    "args",
    [
        {"stall_s": float("nan")},
        {"labels": {"a": [float("-inf")]}},
        {"run_tag": 2**63},
        {"labels": {"a": b"bytes"}},
        {"a": msgpack.Timestamp(1, 2)},
        {"a": msgpack.ExtType(4, b"x")},
        {"a": list(range(MOST_TREE_VALUES))},
    ],
)
def test_a_command_whose_arguments_json_could_not_hold_is_refused(args: dict[str, Any]) -> None:
    command = {"type": "Command", "version": 3, "id": 1, "name": "arm"}
    data = msgpack.packb({**command, "args": args})
    with pytest.raises(MessageError):
        decode(data)


def test_a_tree_is_bounded_in_depth() -> None:
    deep: Any = 0
    for _ in range(MOST_TREE_DEPTH):
        deep = [deep]
    check_tree(deep[0])
    with pytest.raises(ValueError, match="nested"):
        check_tree(deep)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=9), PLAIN))
def test_plain_arguments_arrive_as_they_were(args: dict[str, Any]) -> None:
    command = Command(id=1, name="arm", args=args)
    assert decode(encode(command)) == command
