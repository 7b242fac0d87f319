"""identity.json: for its owner's eyes, and nothing of it anywhere else."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from daq.errors import LogError, RunError
from daq.folder.identity.identity_file import (
    IDENTITY_NAME,
    Identity,
    identity_of,
    read_identity,
    refuse_identifying,
    write_identity,
)

ANNA = Identity(patient_id="4711-X", name="Müller^Anna", birth_date="1970-12-31", sex="F")


def test_an_identity_comes_back_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    assert read_identity(tmp_path) is None
    path = write_identity(tmp_path, ANNA)
    assert path.name == IDENTITY_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_identity(tmp_path) == ANNA


@pytest.mark.parametrize(
    "values",
    [{"name": "Anna" * 100}, {"sex": "Anna"}, {"birth_date": "31.12.1970 Anna"},
     {"Anna": "x"}, {"name": ["Anna"]}, {"version": 2, "name": "Anna"}],
)  # fmt: skip
def test_a_wrong_identity_is_refused_without_telling_it(values: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="is not as it must be") as refusal:
        identity_of(values)
    assert "Anna" not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("content", ["", "[" * 9999, '{"name": 3}', "\xff"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / IDENTITY_NAME).write_text(content, encoding="latin-1")
    with pytest.raises(LogError, match="is no identity"):
        read_identity(tmp_path)


@pytest.mark.parametrize("label", ["patient", "Patient-ID", "birth date", "NAME"])
def test_labels_that_identify_are_refused(label: str) -> None:
    with pytest.raises(RunError, match=r"identifies a person.*identity\.json"):
        refuse_identifying("run", {label: "x"}, None)
    refuse_identifying("run", {"nuclide": "F-18", "phantom": "point", "operator": "x"}, None)


def test_neither_name_nor_labels_of_a_run_may_say_who_it_is() -> None:
    for name, labels in (("anna-1", {}), ("x", {"remark": "for 4711-x"}), ("19701231", {})):
        with pytest.raises(RunError, match="contains the") as refusal:
            refuse_identifying(name, labels, ANNA)
        assert "4711" not in str(refusal.value)
    refuse_identifying("run-1", {"remark": "F, supine"}, ANNA)
