"""Protocols as text: those shipped are what they say, broken ones are refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.messages.live_settings import LiveSettings
from hw.messages.scan_protocol import RunUntil, ScanProtocol, SortChanges
from hw.messages.sort_settings import EnergyWindow
from hw.scanner.preset_file import load_scanner, scanner_names
from hw.scanner.protocol_text import (
    PROTOCOL_FOLDER,
    ProtocolError,
    parse_protocol,
    protocol_of,
    protocol_text,
    read_protocol,
    shipped_protocols,
    why_not_for,
)

LEAST = "name = 'a'\nmodality = 'PET'\n"
WINDOW = "[[sorting.windows]]\nname = 'w'\nlld_keV = 100.0\n"


def test_a_shipped_protocol_is_named_as_its_file_and_says_where_it_is_from() -> None:
    for path in PROTOCOL_FOLDER.glob("*.toml"):
        assert read_protocol(path).name == path.stem
        assert path.read_text(encoding="utf-8").startswith("# ")


def test_every_preset_but_none_without_a_protocol() -> None:
    shipped = shipped_protocols()
    for name in scanner_names():
        scanner = load_scanner(name)
        assert [one.name for one in shipped if not why_not_for(one, scanner)], name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modality = 'PET'", "m.toml: name is missing"),
        (LEAST + "durations = 3", "durations is not a key of protocols; known here are"),
        (
            LEAST + "[until]\ncount = 3",
            "until.count is not a key of protocols; did you mean counts",
        ),
        (LEAST + "[until]\ncounts = -1", "until.counts = -1: expected int >= 0; correct"),
        (LEAST + "[until]\nnoise_percent = 101", "until.noise_percent = 101: expected .* <= 100"),
        (LEAST + "[until]\nduration_s = nan", "until.duration_s = nan"),
        (LEAST + "[live]\nwindow = 'all'", "live window 'all': write grow"),
        (LEAST + "[live]\noff = ['magic']", "off: no correction 'magic'"),
        (LEAST + "[live]\nactivity = '/x'", "live.activity = '/x' belongs to an instrument"),
        (LEAST + "[sorting]\npolicy = 'most'", "sorting.policy = 'most': expected one of 'all'"),
        (LEAST + WINDOW + "uld_keV = 90.0", "energy window w = 100:90 keV is empty"),
        (LEAST + WINDOW + "uld_keV = 110.0\nkind = 'x'", r"windows\[0\].kind = 'x': expected one"),
        (LEAST + 'title = "a\\u0007b"', "title = "),
        ("name = '../a'\nmodality = 'PET'", "name = '../a'"),
        ("name = 'a'\nmodality = 'CT'", "modality = 'CT': expected one of 'PET', 'SPECT'"),
        ("name = 'a'\nmodality = 'SPECT'\n[until]\nnoise_percent = 5", "tells no noise"),
        ("name = ", "m.toml: not valid TOML"),
    ],
)
def test_what_is_wrong_is_told_with_key_value_and_remedy(text: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        parse_protocol(text, source="m.toml")


@pytest.mark.parametrize("values", [None, 3, "fdg-brain", [1]])
def test_what_is_no_table_is_refused(values: object) -> None:
    with pytest.raises(ProtocolError, match="a table of a protocol's keys is needed"):
        protocol_of(values)


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
windows = st.just((EnergyWindow(name="peak", lld_keV=126.5, uld_keV=154.6, modules=(0, 2)),))
changes = st.builds(
    SortChanges,
    lld_keV=st.none() | st.floats(0, 6553.5),
    policy=st.none() | st.sampled_from(["discard", "RemoveMultiples"]),
    triples=st.none() | st.booleans(),
    windows=st.none() | st.just(()) | windows,
)
protocols = st.builds(
    ScanProtocol,
    name=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z"),
    version=st.integers(1, 10**6),
    title=plain,
    modality=st.just("PET"),
    scanners=st.lists(plain, max_size=3).map(tuple),
    nuclide=plain,
    tracer=plain,
    until=st.builds(
        RunUntil,
        duration_s=st.floats(0, 864_000),
        counts=st.integers(0, 10**15),
        noise_percent=st.floats(0, 100),
    ),
    sorting=changes,
    live=st.builds(
        LiveSettings, frame_s=st.just(0.0) | st.floats(1, 3600), off=st.just(("decay",))
    ),
)


@given(protocols)
def test_what_is_written_is_read_again(protocol: ScanProtocol) -> None:
    assert parse_protocol(protocol_text(protocol)) == protocol
