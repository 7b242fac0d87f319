"""``tomoshibi analyse`` on files: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from daq.cli import main
from recon.core.grid import ImageGrid
from recon.exchange.images.nifti import write_nifti

GRID = ImageGrid((40, 40, 30), (2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A bright blob in a warm cylinder."""
    x, y, z = GRID.axes_mm()
    warm = (x**2 + y**2 <= 35**2) & (np.abs(z) < 25)
    blob = 500 * np.exp(-((x - 10) ** 2 + y**2 + z**2) / 2 / 3.0**2)
    path = tmp_path_factory.mktemp("analyse") / "image.nii.gz"
    about = {"unit": "Bq/mL", "corrections": {"decay": True, "scatter": {"applied": False}}}
    write_nifti(path, (warm + blob).astype(np.float32), GRID, about)
    return path


def analysed(capsys, *arguments) -> dict:
    assert main(["analyse", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_every_measure_in_one_go(image, capsys):
    result = analysed(
        capsys, image, "--point", "--warm", "0,0,0:70,50", "--profile", "x:10,0,0:6",
        "--roi", "hot:sphere:10,0,0:8", "--roi", "warm:cylinder:-15,0,0:20,20",
    )  # fmt: skip
    assert result["unit"] == "Bq/mL"
    assert result["point"]["place_mm"] == pytest.approx((10, 0, 0), abs=0.3)
    assert [region["name"] for region in result["regions"]] == ["hot", "warm"]
    assert result["regions"][1]["mean"] == pytest.approx(1.0, abs=0.01)
    assert len(result["profiles"][0]["value"]) == 40
    assert result["uniformity"]["mean"] > 1


@pytest.mark.parametrize(("name", "magic"), [("r.pdf", b"%PDF-"), ("r.html", b"<!doctype html>")])
def test_a_report_is_written(image, tmp_path, capsys, name, magic):
    analysed(capsys, image, "--point", "--roi", "hot:sphere:10,0,0:8", "--report", tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(magic)
    assert len(content) > 10_000  # its pictures are in it
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_the_text_says_what_is_not_corrected(image, capsys):
    assert main(["analyse", str(image)]) == 0
    text = capsys.readouterr().out
    assert ["not", "corrected", "scatter"] in [line.split() for line in text.splitlines()]
    assert "Bq/mL" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frame", "3"], "no frame 3"),
        (["--roi", "hot"], "NAME:KIND"),
        (["--warm", "0,0:5"], "--warm"),
        (["--profile", "q:0,0,0"], "AXIS"),
        (["--profile", "x:nan,0,0"], "x,y,z"),
        (["--phantom", "nobody"], "file of shapes"),
        (["--report", "/nowhere/at/all.doc"], "ends in .pdf or .html"),
        (["--report", "/proc/at/all.pdf"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_said(image, capsys, arguments, words):
    assert main(["analyse", str(image), *arguments]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x1f\x8b broken"])
def test_a_file_that_is_no_image_is_refused(tmp_path, capsys, content):
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(content)
    assert main(["analyse", str(path)]) == 1
    assert "cannot be read" in capsys.readouterr().err
