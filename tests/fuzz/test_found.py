"""What fuzzing found once, so that it is found at once."""

from __future__ import annotations

import pytest

from emulator.fault_kinds import FaultError, parse_fault
from recon.exchange.errors import ExchangeError
from recon.exchange.petsird.scanner_fit import fit_scanner


def test_a_module_of_endless_digits_is_no_module() -> None:
    with pytest.raises(FaultError, match="give a number"):
        parse_fault("drop:module=" + "9" * 5000)


@pytest.mark.parametrize("header", [{}, {"scanner": {}}, {"scanner": {"scannerGeometry": None}}])
def test_a_petsird_header_without_a_scanner_is_damaged(header: dict[str, object]) -> None:
    with pytest.raises(ExchangeError, match="scanner is damaged"):
        fit_scanner(header)
