"""A run goes only if a copy has all of it at that moment; in doubt it stays, with the reason."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daq.archive import retention
from daq.archive.retention import OUTBOX_NAME, TO_SEND_NAME, Fate, Rule, fates
from daq.archive.run_copy import archive
from daq.archive.run_deletion import GOING, LOG_NAME
from daq.cli import main
from daq.errors import RunError
from daq.folder.identity.identity_file import IDENTITY_NAME
from daq.folder.identity.review_file import change_review
from daq.folder.listing.archive_record import ARCHIVE_NAME
from daq.folder.one_at_a_time import alone
from daq.folder.raw_log import FILE_NAME as RAW_NAME
from daq.service.run import Run

NOW = dt.datetime.now(dt.UTC) + dt.timedelta(days=60)
OLD = Rule(older_than_days=30)


def judged(root: Path, rule: Rule = OLD, *, delete: bool = False, free: int = 0) -> dict[str, Fate]:
    found = fates(root, rule, now=NOW, free=free, delete=delete, progress=lambda done, total: None)
    return {fate.name: fate for fate in found}


def fate_of(folder: Path, *, delete: bool = False) -> Fate:
    return judged(folder.parent, delete=delete)[folder.name]


@pytest.fixture
def copied(folder: Path, disk: Path) -> Path:
    """A run with a good copy on ``disk``."""
    archive(folder, disk, now=NOW)
    return folder


def test_an_old_run_with_a_whole_copy_may_go_and_goes_only_if_told_to(
    copied: Path, disk: Path
) -> None:
    fate = fate_of(copied)
    assert (fate.goes, fate.done, fate.copy) == (True, False, str(disk / "ours"))
    assert copied.is_dir() and not (copied.parent / LOG_NAME).exists()
    assert fate_of(copied, delete=True).done
    assert not copied.exists()
    assert (disk / "ours" / RAW_NAME).is_file()
    line = json.loads((copied.parent / LOG_NAME).read_text(encoding="utf-8"))
    assert (line["run"], line["copy"]) == ("ours", str(disk / "ours"))
    assert not (copied.parent / GOING).exists()


def spoil_copy(folder: Path, disk: Path) -> None:
    path = disk / "ours" / RAW_NAME
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def mark_keep(folder: Path, disk: Path) -> None:
    change_review(folder, {"verdict": "keep"}, now=NOW)


def unmount(folder: Path, disk: Path) -> None:
    disk.rename(disk.with_name("elsewhere"))


def new_image(folder: Path, disk: Path) -> None:
    (folder / "images" / "new.nii.gz").write_bytes(b"made after the copy")


def changed_log(folder: Path, disk: Path) -> None:
    (folder / "logs" / "daq.log").write_bytes(b"x")


def copy_is_the_run(folder: Path, disk: Path) -> None:
    shutil.rmtree(disk / "ours")
    (disk / "ours").symlink_to(folder)
    (folder / "copy.json").write_text("{}", encoding="utf-8")


def hard_linked(folder: Path, disk: Path) -> None:
    (disk / "ours" / "run.json").unlink()
    os.link(folder / "run.json", disk / "ours" / "run.json")


def unclosed(folder: Path, disk: Path) -> None:
    (folder / "summary.json").unlink()


def damaged(folder: Path, disk: Path) -> None:
    (folder / "scanner.toml").unlink()


def no_config(folder: Path, disk: Path) -> None:
    (folder / "run.json").write_text("{", encoding="utf-8")


def no_record(folder: Path, disk: Path) -> None:
    (folder / ARCHIVE_NAME).unlink()


def odd_record(folder: Path, disk: Path) -> None:
    (folder / ARCHIVE_NAME).write_text('{"copies": [{"place": 3}]}', encoding="utf-8")


def odd_review(folder: Path, disk: Path) -> None:
    (folder / "review.json").write_text("{", encoding="utf-8")


def with_identity(folder: Path, disk: Path) -> None:
    (folder / IDENTITY_NAME).write_text('{"name": "Tanaka"}', encoding="utf-8")


def to_send(folder: Path, disk: Path) -> None:
    (folder / TO_SEND_NAME).write_text("[]", encoding="utf-8")


def in_the_outbox(folder: Path, state: str) -> None:
    outbox = folder.parent / OUTBOX_NAME
    outbox.mkdir()
    (outbox / "1.2.3@pacs.dcm").write_bytes(b"an object")
    (outbox / "1.2.3@pacs.json").write_text(state, encoding="utf-8")


def waiting(folder: Path, disk: Path) -> None:
    in_the_outbox(folder, f'{{"run": "{folder.name}", "state": "waiting"}}')


def stored_without_commitment(folder: Path, disk: Path) -> None:
    in_the_outbox(folder, f'{{"run": "{folder.name}", "state": "stored"}}')


def nobody_knows_what_waits(folder: Path, disk: Path) -> None:
    in_the_outbox(folder, '{"run": "')


def a_link(folder: Path, disk: Path) -> None:
    (folder / "away").symlink_to(disk)


KEPT = {
    mark_keep: "it is marked keep",
    unmount: "is its disk mounted?",
    new_image: "images/new.nii.gz is not in",
    changed_log: "logs/daq.log differs from",
    copy_is_the_run: "is the run itself by another name",
    hard_linked: "is the run itself by another name",
    unclosed: "needs recovery (it was never closed)",
    damaged: "is damaged: scanner.toml is missing",
    no_config: "is not a run configuration",
    no_record: "there is no copy: `tomoshibi archive ours DEST` makes one",
    odd_record: "is no record of copies",
    odd_review: "review.json",
    with_identity: "is in no copy: archive it --with-identity, or pseudonymise",
    to_send: "what of it has been sent is not known",
    waiting: "1.2.3@pacs.dcm of it is not yet in its archive",
    stored_without_commitment: "of it is not yet in its archive for good",
    nobody_knows_what_waits: "of some run is not yet in its archive",
    a_link: "no copy has all of it: away",
}


@pytest.mark.parametrize("state", ['{"run": "RUN", "state": "done"}', '{"run": "another"}'])
def test_what_has_gone_and_what_is_of_another_run_keeps_none(copied: Path, state: str) -> None:
    in_the_outbox(copied, state.replace("RUN", copied.name))
    assert fate_of(copied, delete=False).goes


@pytest.mark.parametrize("spoil", KEPT, ids=lambda spoil: spoil.__name__)
def test_in_doubt_a_run_is_kept_and_the_reason_told(
    copied: Path, disk: Path, spoil: Callable[[Path, Path], None]
) -> None:
    spoil(copied, disk)
    before = sorted(path.name for path in copied.iterdir())
    for delete in (False, True):
        fate = fate_of(copied, delete=delete)
        assert not fate.goes and not fate.done
        assert KEPT[spoil] in fate.why
    assert sorted(path.name for path in copied.iterdir()) == before


def test_one_changed_bit_in_the_copy_is_found_at_the_moment_of_deleting(
    copied: Path, disk: Path
) -> None:
    spoil_copy(copied, disk)
    assert fate_of(copied).goes  # by names and sizes
    fate = fate_of(copied, delete=True)
    assert fate.failed and not fate.goes and "raw.tmraw differs from" in fate.why
    assert copied.is_dir()


def test_of_several_copies_one_that_is_there_is_enough(
    copied: Path, disk: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    archive(copied, other, now=NOW)
    shutil.rmtree(other)
    assert fate_of(copied, delete=True).copy == str(disk / "ours")


def test_a_young_run_and_one_that_is_recorded_stay(copied: Path, make_config) -> None:
    going_on = Run(make_config(name="now"), copied.parent)
    found = judged(copied.parent, Rule(older_than_days=90))
    going_on.finish()
    assert found["ours"].why == "it is 60.0 days old, 90 are wanted"
    assert "is being recorded" in found["now"].why


def test_the_oldest_go_first_and_only_as_many_as_are_needed(
    store: Callable[[str], Path], disk: Path
) -> None:
    folders = [store(name) for name in ("c", "a", "b")]
    for day, folder in enumerate(folders):
        config = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        config["created"] = f"2026-10-0{3 - day}T10:00:00+00:00"
        (folder / "run.json").write_text(json.dumps(config), encoding="utf-8")
        (folder / "manifest.json").unlink()
        archive(folder, disk, now=NOW)
    size = judged(folders[0].parent)["c"].bytes
    rule = Rule(wanted_free=1000 + size + size // 2)
    found = judged(folders[0].parent, rule, free=1000)
    assert [name for name, fate in found.items() if fate.goes] == ["b", "a"]
    assert "as much as is wanted" in found["c"].why


def test_a_run_that_changes_while_it_is_compared_is_kept(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = retention.differs

    def slow(folder: Path, *rest: object) -> str:
        words = compare(folder, *rest)  # type: ignore[arg-type]
        (folder / "images" / "meanwhile.nii.gz").write_bytes(b"new")
        return words

    monkeypatch.setattr(retention, "differs", slow)
    fate = fate_of(copied, delete=True)
    assert fate.why == "ours was changed meanwhile: it is kept"
    assert (copied / "images" / "meanwhile.nii.gz").is_file()
    assert not (copied.parent / GOING).exists()


def test_a_deletion_that_was_broken_off_is_completed_by_the_next(
    copied: Path, store: Callable[[str], Path]
) -> None:
    left = copied.parent / GOING / "half"
    left.mkdir(parents=True)
    (left / "run.json").write_text("{}", encoding="utf-8")
    assert fate_of(copied, delete=True).done
    assert not left.exists()


def test_a_disk_that_refuses_is_told_and_the_run_stays(copied: Path) -> None:
    (copied.parent / LOG_NAME).mkdir()  # so that nothing can be said there
    fate = fate_of(copied, delete=True)
    assert fate.failed and not fate.done and "cannot delete" in fate.why
    assert (copied / RAW_NAME).is_file()


def test_nothing_is_deleted_while_another_process_deletes_or_archives(
    copied: Path, disk: Path
) -> None:
    with alone(copied.parent, busy=""), pytest.raises(RunError, match="is deleting runs in"):
        fate_of(copied, delete=True)
    for held in (copied, disk / "ours"):
        with alone(held, busy=""):
            assert "by another process" in fate_of(copied, delete=True).why
    assert copied.is_dir()
    assert fate_of(copied, delete=True).done


def test_one_damaged_folder_concerns_itself_alone(
    copied: Path, store: Callable[[str], Path]
) -> None:
    root = copied.parent
    for name, content in {"odd": "{", "deep": "[" * 90_000, "none": ""}.items():
        (root / name).mkdir()
        (root / name / "run.json").write_text(content, encoding="utf-8")
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "run.json")
    (root / "link").symlink_to(copied)
    found = judged(root, delete=True)
    assert {name for name, fate in found.items() if fate.done} == {"ours"}
    assert found.keys() == {"ours", "odd", "deep", "none", "pipe", "link"}


def test_the_command_changes_nothing_without_delete(copied: Path, disk: Path, capsys) -> None:
    runs = ["--runs", str(copied.parent)]
    assert main(["retain", *runs]) == 1
    assert "give a rule" in capsys.readouterr().err
    assert main(["retain", "--free-GB", "1e6", *runs]) == 0
    out = capsys.readouterr().out
    assert "ours" in out and "would go" in out and "--delete deletes them" in out
    assert copied.is_dir()
    spoil_copy(copied, disk)
    assert main(["retain", "--free-GB", "1e6", "--delete", *runs]) == 1
    assert "kept     raw.tmraw differs from" in capsys.readouterr().out
    archive(copied, disk, now=NOW)
    assert main(["retain", "--free-GB", "1e6", "--delete", "--json", *runs]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["deleted"] == 1
    assert not copied.exists()
