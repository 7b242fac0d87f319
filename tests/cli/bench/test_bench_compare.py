"""`bench compare`: what counts as slower, what a base must bring, what is left behind (nothing)."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daq.cli import build_parser, main
from daq.cli.bench import base_checkout, comparison
from daq.cli.bench.base_checkout import ROOMS, ROOT, commit_of, named_slower
from daq.cli.bench.build_worker import BuildWorker, CannotCompare
from daq.cli.bench.compare import LIMIT_PERCENT, SITTINGS
from daq.cli.bench.comparison import as_text, judged
from daq.cli.bench.ratio_interval import ratio_interval
from daq.cli.bench.speed_history import FILE, append_line, newest_commit
from daq.cli.bench.turns import MeasuredFigure
from daq.cli.bench.warm_figures import FIGURES
from daq.cli.common import CommandError

NOISE = 0.10
"""Scale of a sitting's logarithm: `benchmarks/equal_builds.py` gave 0.04 to 0.16 on two cores with
six times as much to do as they can."""

# --- the statistics -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "critical"), [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (20, 52)])
def test_interval_leaves_out_what_the_signed_rank_table_says(n: int, critical: int) -> None:
    logs = np.random.default_rng(n).normal(0, 0.1, n)
    walsh = sorted((logs[i] + logs[j]) / 2 for i in range(n) for j in range(i, n))
    found = ratio_interval(logs)
    assert found.low == pytest.approx(math.exp(walsh[critical]))
    assert found.high == pytest.approx(math.exp(walsh[-1 - critical]))
    assert found.ratio == pytest.approx(math.exp(np.median(walsh)))


def test_five_sittings_are_too_few_for_an_interval() -> None:
    with pytest.raises(ValueError, match="5 sittings are too few"):
        ratio_interval([0.0] * 5)


def test_one_stalled_sitting_in_eight_does_not_move_the_estimate_much() -> None:
    logs = [0.01, -0.01, 0.02, -0.02, 0.0, 0.01, -0.01]
    assert ratio_interval([*logs, 3.0]).ratio == pytest.approx(1.0, abs=0.02)


def noisy(rng: np.random.Generator, slowdown: float) -> float:
    """Return the lower bound in % of a comparison with heavy-tailed noise (Student, 2)."""
    logs = math.log(slowdown) + NOISE * rng.standard_t(2, SITTINGS)
    return 100 * (ratio_interval(logs).low - 1)


def test_equal_builds_raise_an_alarm_in_less_than_one_of_a_hundred_comparisons() -> None:
    rng, comparisons = np.random.default_rng(1), 2000
    alarms = sum(any(noisy(rng, 1.0) > LIMIT_PERCENT for _ in FIGURES) for _ in range(comparisons))
    assert alarms < 0.01 * comparisons


def test_twice_the_time_is_found_in_nine_of_ten_comparisons_even_so() -> None:
    rng = np.random.default_rng(2)
    assert sum(noisy(rng, 2.0) > LIMIT_PERCENT for _ in range(500)) > 450


# --- the verdict ----------------------------------------------------------------------------------


def measured(slowdown: float) -> MeasuredFigure:
    base = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01, 0.99]
    here = [slowdown * one for one in reversed(base)]
    return MeasuredFigure("ms", 3, base, here)


def test_a_rate_that_falls_to_half_takes_twice_the_time_whatever_a_pass_holds() -> None:
    rates = MeasuredFigure("M lines/s", 3, [4.0] * 8, [2.0] * 8)
    assert rates.interval().ratio == pytest.approx(2.0)
    assert (rates.base, rates.here) == (4.0, 2.0)


def test_slower_is_what_lies_beyond_the_limit_with_its_whole_interval() -> None:
    verdicts = judged({"a": measured(1.2), "b": measured(1.08), "c": measured(0.5)}, 8.0, {})
    assert [one["slower"] for one in verdicts.values()] == [True, False, False]
    text = as_text({"figures": verdicts, "limit_percent": 8.0})
    assert "slower by more than 8 %: a." in text and "Slower: a: why" in text


def test_a_slower_figure_that_a_commit_names_passes_and_is_told_with_its_reason() -> None:
    verdicts = judged({"event path": measured(1.2)}, 8.0, {"event path": "checks more"})
    assert not verdicts["event path"]["slower"]
    text = as_text({"figures": verdicts, "limit_percent": 8.0})
    assert "slower, as said: checks more" in text and "nothing is slower" in text


def test_a_reason_for_a_figure_that_is_not_slower_is_not_told_of_it() -> None:
    assert "reason" not in judged({"a": measured(1.0)}, 8.0, {"a": "why"})["a"]


def test_a_commit_that_names_no_known_figure_is_pointed_out(capsys) -> None:
    judged({"a": measured(1.0)}, 8.0, {"evnt path": "a slip"})
    assert "`Slower: evnt path`, which is none of the figures" in capsys.readouterr().err


# --- the history ----------------------------------------------------------------------------------


def test_history_gives_back_the_commit_of_its_newest_line(tmp_path: Path) -> None:
    assert newest_commit(tmp_path) is None
    for commit in ("older", "newer"):
        append_line(tmp_path, {"commit": commit})
    assert newest_commit(tmp_path) == "newer"
    assert all("date" in json.loads(line) for line in (tmp_path / FILE).read_text().splitlines())


def test_a_damaged_line_of_the_history_is_named(tmp_path: Path) -> None:
    path = append_line(tmp_path, {"commit": "one"})
    path.write_text(path.read_text() + "{half\n")
    with pytest.raises(CommandError, match=r"warm_figures.jsonl, line 2: not a line"):
        newest_commit(tmp_path)


def test_our_history_can_be_read() -> None:
    newest = newest_commit(ROOT)
    assert newest is None or re.fullmatch("[0-9a-f]{40}", newest)


# --- the base -------------------------------------------------------------------------------------


def git(where: Path, *arguments: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(where), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository of our code: ``old`` is without a worker, ``base`` as we are."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    place = tmp_path_factory.mktemp("repository")
    for room in ROOMS:
        shutil.copytree(ROOT / room, place / room, ignore=shutil.ignore_patterns("__pycache__"))
    git(place, "init", "--quiet")
    (place / ".gitignore").write_text("__pycache__\n")
    bench = place / "daq/cli/commands/bench.py"
    ours = bench.read_text(encoding="utf-8")
    bench.write_text(ours.replace('actions.add_parser("worker"', 'actions.add_parser("other"'))
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=Old")
    git(place, "tag", "old")
    bench.write_text(ours, encoding="utf-8")
    git(place, "commit", "--quiet", "--all", "--message=Base")
    git(place, "tag", "base")
    yield place
    shutil.rmtree(place)


@pytest.fixture
def in_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(base_checkout, "ROOT", repository)
    monkeypatch.setattr(comparison, "ROOT", repository)
    return repository


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "daq.cli", "bench", "compare", *arguments]


def environment(repository: Path, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return kept | {
        "PYTHONPATH": str(repository),
        "TOMOSHIBI_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path),
    }


def left_behind(repository: Path, tmp_path: Path) -> list[object]:
    folders: list[object] = list(tmp_path.glob("tomoshibi-compare-*"))
    return folders + git(repository, "worktree", "list").splitlines()[1:]


def test_a_commit_that_this_clone_has_not_cannot_be_compared_with(in_repository, capsys) -> None:
    assert main(["bench", "compare", "0" * 40]) == 2
    assert "is not in this clone, perhaps `git fetch --all`" in capsys.readouterr().err


def test_a_shallow_clone_is_told_how_to_become_whole(
    in_repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = git(in_repository, "rev-parse", "old")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{in_repository}", "shallow")
    monkeypatch.setattr(base_checkout, "ROOT", tmp_path / "shallow")
    with pytest.raises(CannotCompare, match=r"git fetch --unshallow.*fetch-depth: 0"):
        commit_of(old)


def test_without_git_history_comparing_says_what_it_needs(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(base_checkout, "ROOT", tmp_path)
    assert main(["bench", "compare", "HEAD"]) == 2
    assert "needs a clone of the repository" in capsys.readouterr().err


def test_without_base_and_history_the_way_to_the_first_line_is_told(in_repository, capsys) -> None:
    assert main(["bench", "compare"]) == 2
    assert "`tomoshibi bench compare HEAD --record`" in capsys.readouterr().err


def test_recording_asks_for_a_committed_build_and_all_figures(in_repository, capsys) -> None:
    assert main(["bench", "compare", "base", "--record", "--figure", "projector"]) == 1
    assert "leave --figure out" in capsys.readouterr().err
    changed = in_repository / "daq" / "new.py"
    changed.write_text("")
    assert main(["bench", "compare", "base", "--record"]) == 1
    changed.unlink()
    assert "daq/new.py is not committed" in capsys.readouterr().err


def test_reasons_are_read_from_the_commits_since_the_base(in_repository: Path) -> None:
    for message in (
        "Order by depth\n\nSlower: event path: singles carry depth: 18 bytes\nmore words",
        "slower: in the middle of nothing: not at a line's start is no reason",
        "One more\n\nSlower: Live-Latency: a finer grid\nSlower: projector:",
    ):
        git(in_repository, "commit", "--quiet", "--allow-empty", f"--message={message}")
    try:
        assert named_slower("base") == {
            "event path": "singles carry depth: 18 bytes",
            "live latency": "a finer grid",
        }
        assert named_slower("HEAD") == {}
    finally:
        git(in_repository, "reset", "--quiet", "--soft", "base")


@pytest.mark.processes
def test_a_base_without_a_worker_cannot_be_compared_with(
    in_repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "compare", "old"]) == 2
    said = capsys.readouterr().err
    assert "cannot be compared: it has no `tomoshibi bench worker`" in said
    assert git(in_repository, "worktree", "list").count("\n") == 0


@pytest.mark.processes
def test_a_worker_of_another_protocol_cannot_be_compared_with(
    repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository / "daq", tmp_path / "daq")
    for room in ROOMS:
        if room != "daq":
            (tmp_path / room).symlink_to(repository / room)
    worker = tmp_path / "daq/cli/bench/worker.py"
    worker.write_text(worker.read_text().replace("PROTOCOL = 1", "PROTOCOL = 99"))
    with pytest.raises(CannotCompare, match="uses protocol 99"):
        BuildWorker(tmp_path, "base")


@pytest.mark.processes
def test_a_worker_that_breaks_is_an_error_with_its_words(repository: Path, tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / room).symlink_to(repository / room)
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('no numpy here')\n")
    with pytest.raises(CommandError, match="no numpy here") as refused:
        BuildWorker(tmp_path, "base")
    assert not isinstance(refused.value, CannotCompare)


@pytest.mark.processes
def test_ctrl_c_leaves_no_checkout_and_no_process(repository: Path, tmp_path: Path) -> None:
    env = environment(repository, tmp_path)
    with subprocess.Popen(
        argv("base"), cwd=repository, env=env, stderr=subprocess.PIPE, text=True
    ) as comparing:
        assert comparing.stderr is not None
        while "compiling both builds" not in comparing.stderr.readline():
            assert comparing.poll() is None
        children = workers_of(comparing.pid)
        comparing.send_signal(signal.SIGINT)
        rest = comparing.stderr.read()
        assert comparing.wait(30) == 130
    assert rest.splitlines()[-1] == "interrupted"
    assert len(children) == 2
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert left_behind(repository, tmp_path) == []


def workers_of(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


PLANTED = """

def _slower(release=TimeOrder.release):
    def twice(self, *arguments):
        sum(range(400_000))
        return release(self, *arguments)
    return twice


TimeOrder.release = _slower()
"""


@pytest.mark.evidence
@pytest.mark.processes
@pytest.mark.timeout(600)
def test_a_planted_slow_down_of_the_event_path_is_found(repository: Path, tmp_path: Path) -> None:
    path = repository / "coincidence" / "order.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(before + PLANTED, encoding="utf-8")
    try:
        done = subprocess.run(
            argv("base", "--figure", "event path", "--sittings", "6", "--json"),
            cwd=repository, env=environment(repository, tmp_path),
            capture_output=True, text=True, check=False, timeout=500,
        )  # fmt: skip
    finally:
        path.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["figures"]["event path"]
    assert found["slower"] and found["low_percent"] > LIMIT_PERCENT
    assert found["here"] < found["base"]
    assert left_behind(repository, tmp_path) == []


# --- the check of each change ---------------------------------------------------------------------


def test_what_ci_calls_is_understood_and_status_2_means_what_it_takes_it_for() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    called = re.findall(r'"\$bin/tomoshibi" (bench compare[^|&\n]*)', text)
    assert len(called) == 1
    parsed = build_parser("bench").parse_args(called[0].split())
    assert parsed.base is None and not parsed.record
    assert comparison.CANNOT_COMPARE == 2 and "$status -ne 2" in text


@pytest.mark.processes
def test_a_worker_that_is_ended_in_a_pass_leaves_no_logs_in_memory(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(repository, tmp_path).items():
        monkeypatch.setenv(name, value)
    path = repository / "daq/cli/bench/warm_figures.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace('Path("/dev/shm")', f"Path({str(tmp_path)!r})"))
    try:
        worker = BuildWorker(repository, "base", cache=tmp_path / "cache")
        worker.ask("full chain", 1)
        until = time.monotonic() + 60
        while not list(tmp_path.glob("tomoshibi-bench-*")) and time.monotonic() < until:
            time.sleep(0.02)
        assert list(tmp_path.glob("tomoshibi-bench-*"))
        worker.close()
    finally:
        path.write_text(before, encoding="utf-8")
    assert not list(tmp_path.glob("tomoshibi-bench-*"))
