"""Messages: each comes back as it went; other versions and garbage are refused in words."""

from __future__ import annotations

import typing
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.messages import codec as m
from hw.messages import source, telemetry
from hw.messages.modules import LinkState, ModuleScan, ModuleState, ScanPoint
from hw.messages.sort_settings import EnergyWindow, SortSettings
from hw.messages.telemetry import JournalLine

SETTINGS = SortSettings(
    lld_keV=350,
    uld_keV=650,
    window_ps=5000,
    delay_ps=500_000,
    windows=(EnergyWindow(name="Tc", lld_keV=126.5, uld_keV=154.5, modules=(0, 7)),),
)
HISTOGRAM = np.arange(4, dtype="<u4").tobytes()
EXAMPLES: list[m.Message] = [
    m.Projections(
        run="r",
        sequence=3,
        windows=["peak"],
        modules=1,
        n_u=2,
        n_v=1,
        pitch_mm=(4.0, 3.0),
        counts=np.array([1, 2], "<u4").tobytes(),
        recent=bytes(8),
        detector_time_s=1.5,
        recent_s=1.0,
        angles_deg=[12.5, None],
        published_wall_ns=7,
    ),
    m.Hello(kind="emulator", scanner="caremibrain", modules=48, pid=7, software="0.1.0"),
    m.Hello(kind="emulator", scanner="bench2", modules=2, serial="bench2-0001"),
    m.Hello(
        kind="firmware", scanner="bench2", modules=2, not_ready="module 1: …", needs_detector=True
    ),
    m.Welcome(),
    source.Refused(reason="SourceReport: frames_sent is missing"),
    m.Start(run_tag=2**32 - 1, duration_s=1.5),
    m.OnDisk(run_tag=9, sequences=[5, -1], periods=[2**32 - 1, -1]),
    m.Resume(run_tag=9, sequences=[5, -1], periods=[7, -1]),
    m.SendAgain(run_tag=9, sequences=[[5, 2**32 - 1], []]),
    m.Stop(),
    m.Shutdown(),
    m.Heartbeat(detector_time_s=12.5, lag_s=0.1, running=True),
    m.FaultOrder(id=4, action="set", text="drop=0.01"),
    m.FaultAnswer(id=4, accepted=False, reason="no kind", faults=["1 drop:p=0.01"], kinds={}),
    m.SourceReport(
        run_tag=1,
        singles_emitted=[2**40, 0],
        frames_sent=[1, 2],
        dead_events=[0, 3],
        faults={"drop": 2},
        fault_log=[
            source.FaultDone(
                number=1,
                kind="drop",
                text="drop",
                modules=[3],
                begin_period=2,
                end_period=9,
                done=2,
            )
        ],
        truth={"decays": 1e9},
        hits_offered=[2**40, 1],
        hits_seen=[2**40, -1],
        failed="modules 3 take no hits",
    ),
    m.ModuleStates(
        modules=[
            ModuleState(
                module=3,
                machine="qemu",
                link=LinkState(url="socket://127.0.0.1:7000", connected=True, drift_ppm=-0.25),
                state="fault",
                fault="interlock",
                counters={"hits": 2**40},
                registers={"energy_threshold": 500},
            )
        ],
        scans=[ModuleScan(module=3, kind="bias", points=[ScanPoint(x=53_000, y=1.5)], steps=2)],
        log=[JournalLine("alarm", "module 3: the interlock is open")],
        wall_ns=7,
    ),
    m.ModuleOrder(id=9, action="write", modules=[3], values={"energy_threshold": 900}),
    m.ModuleAnswer(id=9, accepted=True, values={"3": {"energy_threshold": 900}}),
    m.Command(id=2**53 + 1, name="arm", args={"name": "µ", "nested": {"list": [1, 2.5, None]}}),
    m.Reply(id=3, status="failed", reason="no space left", result={"run": "x"}),
    m.RunBegin(run="r", folder="/runs/r", scanner_toml="[scanner]", settings=SETTINGS),
    m.CoincidenceBatch(
        run="r",
        sequence=4,
        prompts=5,
        delayeds=6,
        prompts_before=7,
        delayeds_before=8,
        watermark_ps=2**62,
        event_wall_ns=9,
    ),
    m.SinglesBatch(
        run="r",
        sequence=3,
        singles=2,
        angles=1,
        singles_before=9,
        watermark_ps=10**12,
        event_wall_ns=5,
    ),
    m.RunEnd(run="r", prompts=10, delayeds=11),
    m.EventBatch(
        run="r", kind="singles", sequence=4, records=5, before=2**40, watermark_ps=2**62, final=True
    ),
    m.ImagerReport(run="r", images=3, final=True, latency_p99_ms=0.25),
    m.ImageMessage(
        run="r",
        sequence=1,
        shape=(2, 1, 3),
        voxel_mm=(2.0, 2.0, 2.5),
        image=np.arange(6, dtype=np.float32).tobytes(),
        unit="Bq/mL",
        detector_time_s=1.0,
        event_wall_ns=1,
        published_wall_ns=2,
        prompts_used=3,
        delayeds_used=4,
        fraction_used=0.5,
        corrections={"attenuation": True},
    ),
    m.Telemetry(
        state="running",
        reason="",
        run="r",
        folder="/runs/r",
        scanner="caremibrain",
        scanner_title="CareMiBrain",
        source="emulator",
        elapsed_s=1.0,
        detector_time_s=0.9,
        duration_s=0.0,
        settings=SETTINGS,
        rates={"singles": 1e6},
        counters={"frames.lost": 0},
        spectrum=HISTOGRAM,
        spectrum_bin_keV=5.0,
        timing=HISTOGRAM,
        timing_delayed=HISTOGRAM,
        timing_bin_ps=100.0,
        module_rates=[1.0],
        module_states=["live"],
        rings=3,
        journal=[
            telemetry.JournalEntry(number=1, wall="2025-01-01T00:00:00Z", severity="info", text="…")
        ],
        wall_ns=1,
    ),
]
each_message = pytest.mark.parametrize("message", EXAMPLES, ids=lambda x: type(x).__name__)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def raw(message: m.Message, **changes: Any) -> bytes:
    """Encode a message with some keys changed, as another program might send it."""
    values = msgpack.unpackb(m.encode(message))
    return bytes(msgpack.packb(values | changes))


def example(kind: type[m.Message]) -> m.Message:
    """Return the example of a kind of message."""
    return next(message for message in EXAMPLES if type(message) is kind)


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message in EXAMPLES} == set(typing.get_args(m.AnyMessage))


@each_message
def test_a_message_comes_back_as_it_went(message: m.Message) -> None:
    assert m.decode(m.encode(message)) == message
    assert m.decode_as(type(message), memoryview(m.encode(message))) == message


@each_message
def test_a_message_names_its_type_and_version_on_the_wire(message: m.Message) -> None:
    values = msgpack.unpackb(m.encode(message))
    assert values["type"] == type(message).__name__
    assert values["version"] == m.MESSAGE_VERSION


@each_message
def test_another_version_is_refused_naming_both_and_the_remedy(message: m.Message) -> None:
    expected = (
        f"{type(message).__name__} has message version 99, this program speaks "
        f"{m.MESSAGE_VERSION}: start all processes from the same installation"
    )
    with pytest.raises(m.MessageError, match=expected):
        m.decode(raw(message, version=99))


def test_another_version_is_named_even_where_its_fields_are_not_ours() -> None:
    with pytest.raises(m.MessageError, match="Hello has message version 1, this program speaks"):
        m.decode(msgpack.packb({"type": "Hello", "version": 1, "modules": "forty-eight"}))


def test_a_message_type_of_another_version_is_refused_as_such() -> None:
    with pytest.raises(m.MessageError, match="Novelty has message version 1"):
        m.decode(msgpack.packb({"type": "Novelty", "version": 1}))


def test_unknown_fields_are_ignored() -> None:
    assert m.decode(raw(m.Stop(), novelty=1)) == m.Stop()


def test_a_missing_field_is_named() -> None:
    with pytest.raises(m.MessageError, match="missing required field `run_tag`"):
        m.decode(msgpack.packb({"type": "Start"}))


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(m.MessageError, match=r"Expected `int`, got `str` - at `\$.modules`"):
        m.decode(raw(example(m.Hello), modules="48"))


def test_settings_that_contradict_themselves_are_refused_on_arrival() -> None:
    settings = {"lld_keV": 650.0, "uld_keV": 350.0, "window_ps": 5000, "delay_ps": 0}
    with pytest.raises(m.MessageError, match="energy window 650:350 keV is empty"):
        m.decode(raw(example(m.RunBegin), settings=settings))


def test_a_message_of_another_kind_than_expected_is_refused() -> None:
    with pytest.raises(m.MessageError, match="expected Command, got Stop"):
        m.decode_as(m.Command, m.encode(m.Stop()))


def refuse(data: bytes) -> None:
    """Decode; anything but a message or a MessageError fails the test."""
    try:
        m.decode(data)
    except m.MessageError as error:
        assert str(error)


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_a_message_error(data: bytes) -> None:
    refuse(data)


@given(json_values)
def test_any_msgpack_value_raises_nothing_but_a_message_error(value: Any) -> None:
    refuse(msgpack.packb(value))


@given(
    st.sampled_from(EXAMPLES),
    st.dictionaries(st.sampled_from(["id", "args", "settings", "shape", "version"]), json_values),
)
def test_any_value_in_any_field_raises_nothing_but_a_message_error(
    message: m.Message, changes: dict[str, Any]
) -> None:
    refuse(raw(message, **changes))


@given(st.sampled_from(EXAMPLES), st.data())
def test_a_damaged_message_raises_nothing_but_a_message_error(
    message: m.Message, data: st.DataObject
) -> None:
    damaged = bytearray(m.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    refuse(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@pytest.mark.parametrize(
    "tail",
    [
        b"\x91" * 100_000 + b"\x00",
        b"\xa2\xff\xfe",
        b"\x81\x81\x01\x01\x01",
        b"\xdf\xff\xff\xff\xff",
    ],
    ids=["nested too deep", "not UTF-8", "a map as a key", "four billion entries"],
)
def test_a_malicious_command_is_a_message_error(tail: bytes) -> None:
    head = b"\x84\xa4type\xa7Command\xa2id\x01\xa4name\xa4ping\xa4args\x81\xa1x"
    with pytest.raises(m.MessageError, match="not a message of this protocol"):
        m.decode(head + tail)


def test_an_image_is_the_array_it_was_made_of() -> None:
    image = next(message for message in EXAMPLES if isinstance(message, m.ImageMessage))
    expected = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    np.testing.assert_array_equal(image.array(), expected)
