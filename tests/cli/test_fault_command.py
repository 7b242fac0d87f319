"""The fault command and option refuse what cannot be done, before anything is started."""

from __future__ import annotations

import pytest

from daq.cli import main


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["set"], "fault set: say which, such as `tomoshibi fault set drop=0.01`"),
        (["clear"], "such as `tomoshibi fault clear 2` or `clear all`"),
        (["list", "drop"], "fault list: takes no fault"),
    ],
)
def test_an_order_that_is_none_is_refused_with_an_example(words, complaint, capsys):
    assert main(["fault", *words]) == 1
    assert complaint in capsys.readouterr().err


def test_a_fault_that_does_not_exist_is_refused_by_the_option(capsys):
    with pytest.raises(SystemExit):
        main(["emulate", "--fault", "explode=1"])
    assert "no kind 'explode'; there are corrupt" in capsys.readouterr().err
