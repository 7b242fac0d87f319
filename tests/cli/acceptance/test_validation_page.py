"""The page of validation: acceptance's part stays where the rest is written anew."""

from __future__ import annotations

from daq.cli.acceptance.judgement_text import sections, write_into
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


def test_a_part_without_runs_stays_as_the_page_has_it_with_its_command(tmp_path):
    page = tmp_path / "validation.md"
    page.write_text("# old\n", encoding="utf-8")
    none = {"reason": "no run was given", "runs_given": False}
    tof = Part("tof", "Time of flight", [Figure("FWHM", 250.0, "ps")], ["nothing"])
    figure = Figure("NECR", 50.0, "kcps", limit_key="least_x", limit=60.0)
    rates = Part("count-rates", "Rates", [figure])
    parts = [tof, Part("count-rates", "Rates", **none)]
    assert [one.title for one in sections("nu2", "mine", parts)] == ["Summary", tof.title]
    write_into(page, "mine", "first", parts)
    assert "1 information, 1 not measured." in page.read_text(encoding="utf-8")
    write_into(page, "mine", "second", [Part("tof", "TOF", **none), rates])
    text = page.read_text(encoding="utf-8")
    assert text.index("`first`") < text.index("| FWHM |") < text.index("`second`")
    assert text.index("`second`") < text.index("| NECR |")
    assert "1 information, 1 FAIL." in text and "not measured:" not in text
    write_into(page, "mine", "third", [Part("tof", "TOF", reason="damaged"), rates])
    text = page.read_text(encoding="utf-8")
    assert "not measured: damaged" in text and "FWHM" not in text
