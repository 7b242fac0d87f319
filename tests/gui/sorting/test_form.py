"""The set-up form, read without a window: nonsense is refused at its field, sense is sent."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui.sorting.form import nuclides_text, read_form
from hw.messages.sort_settings import POLICIES, SortSettings
from rigs.gui.feeder import SETTINGS, SPECT

# τ and D in ns, as a person writes them.
SOUND = {
    "policy": "discard",
    "window_ps": "4.5",
    "lld_keV": "425",
    "uld_keV": "650.5",
    "delay_ps": "200",
    "delay_windows": "3",
    "delay_sides": "two",
    "min_sector_difference": "4",
    "triples": "yes",
    "windows": "",
}


def test_what_is_written_is_what_is_sent_in_the_units_of_the_settings() -> None:
    reading = read_form(SOUND, base=None, sectors=16)
    assert reading.faults == {}
    assert reading.changes == {
        "policy": "discard",
        "window_ps": 4500,
        "lld_keV": 425.0,
        "uld_keV": 650.5,
        "delay_ps": 200_000,
        "delay_windows": 3,
        "delay_sides": "two",
        "min_sector_difference": 4,
        "triples": True,
    }


def test_a_field_left_empty_is_left_to_the_daq() -> None:
    assert read_form(dict.fromkeys(SOUND, ""), base=None).changes == {}
    assert read_form({"policy": "opener"}, base=None).changes == {"policy": "opener"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("window_ps", "five", "“five” is not a number; write for instance 4.5"),
        ("window_ps", "nan", "“nan” is not a finite number"),
        ("window_ps", "inf", "“inf” is not a finite number"),
        ("window_ps", "−3", "must be at least 0 ns"),
        ("window_ps", "2e6", "must be at most 1e+06 ns"),
        ("lld_keV", "-1", "must be at least 0 keV"),
        ("lld_keV", "7000", "must be at most 6553.5 keV"),
        ("lld_keV", "650.5", None),
        ("uld_keV", "425", "must be above LLD = 425 keV"),
        ("delay_ps", "9", "must be above 2τ = 9 ns, or 0 for off: delayeds would contain"),
        ("delay_windows", "0", "must be at least 1"),
        ("delay_windows", "17", "must be at most 16"),
        ("delay_windows", "1.5", "1.5 is not a whole number"),
        ("min_sector_difference", "9", "no pair would be left: two of 16 sectors are at most 8"),
        ("windows", "Lu-178", "unknown nuclide 'Lu-178': did you mean Lu-177?"),
        ("windows", "F-18", "F-18 has no photon line of its own"),
        ("windows", "Lu-177@blue", "Lu-177@blue: “blue” is not an energy in keV"),
        ("windows", "Lu-177, Lu-177", "is given twice"),
        ("windows", "Tc-99m@140, Tc-99m@141", "overlap"),
    ],
)
def test_nonsense_is_refused_in_words_at_its_field(name: str, text: str, words: str | None) -> None:
    faults = read_form(SOUND | {name: text}, base=None, sectors=16).faults
    if words is None:  # an empty window is told at its upper level
        assert set(faults) == {"uld_keV"}
    else:
        assert set(faults) == {name}
        assert words in faults[name]


def test_without_coincidences_there_must_be_windows_for_singles() -> None:
    assert set(read_form(SOUND | {"window_ps": "0"}, base=None).faults) == {"windows"}


def test_several_faults_are_told_at_once() -> None:
    wrong = SOUND | {"lld_keV": "x", "delay_windows": "99", "windows": "Xx-1"}
    assert set(read_form(wrong, base=None).faults) == {"lld_keV", "delay_windows", "windows"}


def test_a_nuclide_becomes_its_windows() -> None:
    reading = read_form({"windows": "Lu-177, Tc-99m"}, base=None)
    peaks = [w for w in reading.changes["windows"] if w["kind"] == "photopeak"]
    assert [window["name"] for window in peaks] == ["Lu-177_113", "Lu-177_208", "Tc-99m_141"]
    assert (peaks[1]["lld_keV"], peaks[1]["uld_keV"]) == (187.5, 229.2)  # 208.4 keV ± 10 %
    one = read_form({"windows": "Lu-177@208.4"}, base=None)
    assert [window.kind for window in one.windows] == ["scatter", "photopeak", "scatter"]


def test_windows_that_stood_there_are_kept_until_the_nuclides_change() -> None:
    text = nuclides_text(SPECT.windows)
    assert text == "Lu-177"
    kept = read_form({"windows": text}, base=SPECT, windows=SPECT.windows)
    assert kept.windows == SPECT.windows
    other = read_form({"windows": "Tc-99m"}, base=SPECT, windows=SPECT.windows)
    assert [w.name for w in other.windows if w.kind == "coincidence"] == ["front"]
    assert "Lu-177" not in {window.nuclide for window in other.windows}
    none = read_form({"windows": ""}, base=SPECT, windows=SPECT.windows)
    assert [window.name for window in none.windows] == ["front"]


NUMBERS = st.sampled_from(["", "0", "1", "4.5", "16", "17", "100", "650", "1e9", "-1", "x", "nan"])


@given(
    st.fixed_dictionaries(
        {name: NUMBERS for name in SOUND if name.endswith(("keV", "ps", "ows", "difference"))}
        | {"policy": st.sampled_from(POLICIES), "windows": st.sampled_from(["", "Lu-177", "I-131"])}
    )
)
def test_what_has_no_fault_is_accepted_by_the_settings(texts: dict[str, str]) -> None:
    reading = read_form(texts, base=SETTINGS)
    if not reading.faults:
        merged = msgspec.to_builtins(SETTINGS) | reading.changes
        assert msgspec.convert(merged, SortSettings).policy == texts["policy"]
