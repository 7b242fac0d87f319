"""The page of validation: acceptance's part stays where the rest is written anew."""

from __future__ import annotations

from daq.cli.acceptance.judgement_text import write_into
from daq.cli.validate.validation_table import write_report
from hw.scanner.judged_figure import Figure
from recon.acceptance.judged import Part


def test_acceptance_stays_when_validation_is_written_anew(tmp_path, capsys):
    page = tmp_path / "validation.md"
    page.write_text("# old\n", encoding="utf-8")
    part = Part("tof", "Time of flight", [Figure("FWHM", 250.0, "ps")], ["nothing"])
    write_into(page, "mine, NU 2", "tomoshibi acceptance nu2", [part])
    write_report(page, [], command="tomoshibi validate", seconds=1.0, quick=True, plots=[])
    text = page.read_text(encoding="utf-8")
    assert "# old" not in text
    assert text.startswith("# Validation of the emulator")
    assert "## Acceptance by NEMA" in text
    assert "| FWHM | 250 ps |  | information |" in text
    assert text.count("## Acceptance by NEMA") == 1
