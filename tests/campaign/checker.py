"""Judges what a run left behind, from the documents alone: no code of the product is used here but
its commands, started as processes.

Each finding is a line of words. What a run lost is a finding only where it is not accounted for:
frames that the summary does not count as lost, a loss without an alarm, a taint without a line in
the journal.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from campaign.acknowledged import acknowledged, check_acknowledged, frames_there
from campaign.block_file import Frame, frames_in, hash_of_pairs, read_blocks, true_frames
from campaign.tap import Mark, Passed

LOST = "lost: "
"""So begins a finding about data; any other is about what was told, or left behind."""

_MISSING = re.compile(r"(\d+) entries are missing")
GONE_S = 15.0
"""For a process that was killed to be gone: at low priority it needs the processor for that."""

RECOVERED_S = 60.0
"""For the acquisition to have recovered a run that it is at."""

_NUMBER = re.compile(r"[0-9][0-9,.]*")


def check_run(
    folder: Path, truths: list[Path], *, passed: Passed | None = None, faults: int = 0
) -> list[str]:
    """Return what is wrong with a closed run.

    truths : what its sources say they sent
    passed : what the tap noted between them and the daq
    faults : how many things were done to it: each may be alarmed once by each process
    """
    summary = object_in(folder / "summary.json")
    if not summary:
        return ["there is no readable summary.json"]
    found = check_journal(folder / "journal.jsonl", summary, faults)
    tag = object_in(folder / "run.json").get("run_tag", 0)
    handed_on, marks = (passed or Passed()).of(tag)
    lacks = check_raw(folder, summary, truths, marks)
    lacks += check_acknowledged(folder, handed_on, marks)
    lacks += check_handed_on(folder, summary, handed_on) if not truths else []
    found += [f"{LOST}{words}" for words in lacks]
    found += check_reports(
        summary, [r for r in (passed or Passed()).reports if r["run_tag"] == tag]
    )
    return found + check_listmode(folder, summary)


def check_raw(
    folder: Path, summary: dict[str, Any], truths: list[Path], marks: dict[int, set[Mark]]
) -> list[str]:
    """Compare the raw log with the summary's sums and with what was sent."""
    try:
        log = read_blocks(folder / "raw.tmraw")
    except OSError as error:
        return [f"no raw log: {error}"]
    frames = frames_in(log)
    found = [f"raw log: {log.torn_bytes} bytes are torn"] if log.torn_bytes else []
    found += [] if log.end is not None else ["raw log: not closed"]
    if bad := sum(not frame.sound for frame in frames):
        found.append(f"raw log: {bad} frames are damaged")
    counts = summary["frames"]
    if counts["received"] != len(frames):
        found.append(f"summary: {counts['received']} frames received, {len(frames)} in the raw log")
    if summary["conserved"] and counts["sent"] != counts["received"] + counts["lost"]:
        found.append(f"summary: frames do not close: {counts}")
    found += _gaps_in_numbers(frames, summary)
    return found + _against_truth(frames, summary, truths, marks)


def check_handed_on(folder: Path, summary: dict[str, Any], handed_on: list[Frame]) -> list[str]:
    """Modules keep no truth: what passed the tap is in the raw log, or told as lost. Where a
    source or the run was cut off, only what was acknowledged can be asked for.
    """
    if _cut_off(summary):
        return []
    missing = len(set(handed_on) - frames_there(folder))
    lost = summary["frames"]["lost"]
    return [f"{missing} frames were handed on and are not there; {lost} told"] * (missing > lost)


def check_reports(summary: dict[str, Any], reports: list[dict[str, Any]]) -> list[str]:
    """Where the books close, they are those of the sources' last words, as they passed the tap:
    frames and events that modules counted, hits that they took in and that they were offered.
    """
    if not summary["conserved"]:
        return []
    told = {
        "frames sent": summary["frames"]["sent"],
        "events sent": summary["singles"]["emitted"] + summary["singles"]["other_words"],
        "hits seen": summary.get("hits", {}).get("seen"),
        "hits offered": summary.get("hits", {}).get("offered"),
    }
    names = ("frames_sent", "singles_emitted", "hits_seen", "hits_offered")
    found = []
    for (what, value), name in zip(told.items(), names, strict=True):
        words = {tuple(report[name]) for report in reports if any(report.get(name) or ())}
        counted = sum(max(0, number) for one in words for number in one)
        if len(words) == 1 and value is not None and value != counted:
            found.append(f"{LOST}summary: {value} {what}; the source counted {counted}")
    return found


def _cut_off(summary: dict[str, Any]) -> bool:
    """Whether nobody knows all that was sent: a source, or the run, did not come to its end."""
    died = any("source was restarted" in words for words in summary["conditions"])
    return died or summary["condition"] == "incomplete"


def _gaps_in_numbers(frames: list[Frame], summary: dict[str, Any]) -> list[str]:
    """Frames of a module are numbered from 0 by each source: what is missing is told as lost."""
    series: dict[int, list[set[int]]] = {}
    for frame in frames:
        of_module = series.setdefault(frame.module, [])
        if frame.sequence == 0 or not of_module:  # a module, or a source, that began again
            of_module.append(set())
        _nearest(of_module, frame.sequence).add(frame.sequence)
    missing = sum(max(one) + 1 - len(one) for of_module in series.values() for one in of_module)
    lost = summary["frames"]["lost"]
    return [f"{missing} numbers of frames are missing; {lost} are told"] if missing > lost else []


def _nearest(series: list[set[int]], number: int) -> set[int]:
    """Return the series that a number goes on with: of frames from before a restart some come
    after it.
    """
    return min(reversed(series), key=lambda one: abs(number - max(one, default=-1) - 1))


def _against_truth(
    frames: list[Frame],
    summary: dict[str, Any],
    truths: list[Path],
    marks: dict[int, set[Mark]],
) -> list[str]:
    """Of a run that was cut off, what its sources sent up to the last frame acknowledged."""
    sent, due = Counter[_Key](), Counter[_Key]()
    for path in truths:
        of_source = true_frames(path)
        sent.update(map(_key, of_source))
        due.update(map(_key, acknowledged(of_source, marks)))
    kept = Counter(map(_key, frames))
    died = _cut_off(summary)
    missing = sum(((due if died else sent) - kept).values())
    lost = summary["frames"]["lost"]
    found = []
    if missing > lost:
        what = "acknowledged" if died else "sent"
        found.append(f"{missing} frames that were {what} are not in the raw log; {lost} are told")
    if summary["condition"] == "good" and missing:
        found.append(f"the run is called good, and lacks {missing} frames")
    if summary["conserved"] and len(truths) == 1:
        words = sum(frame.words for frame in frames)
        singles = summary["singles"]
        told = singles["received"] + singles["other_words"]
        if words != told:
            found.append(f"summary: {told} words received, {words} in the raw log")
        emitted = sum(key[2] * count for key, count in sent.items())
        if emitted != singles["emitted"] + singles["other_words"]:
            found.append(f"summary: {singles['emitted']} singles emitted; truth: {emitted} words")
    return found


_Key = tuple[int, int, int]


def _key(frame: Frame) -> _Key:
    return frame.module, frame.sequence, frame.words


def check_journal(path: Path, summary: dict[str, Any], faults: int = 0) -> list[str]:
    """Every line is whole, none is missing untold, every taint is told, every loss alarmed."""
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        return [f"journal: {error}"]
    return [*_gaps(entries), *_untold(entries, summary), *_alarmed_often(entries, faults)]


def _gaps(entries: list[dict[str, Any]]) -> list[str]:
    told = sum(int(found[1]) for e in entries for found in _MISSING.finditer(e["text"]))
    gaps = 0
    for before, after in pairwise(entries):
        if after["number"] > before["number"]:  # else: another process goes on, from its own 1
            gaps += after["number"] - before["number"] - 1
    found = [f"journal: {gaps} entries are missing, {told} are told"] if gaps > told + 1 else []
    if gaps and not told:
        found = [f"journal: {gaps} entries are missing"]
    return found if gaps else []


def _untold(entries: list[dict[str, Any]], summary: dict[str, Any]) -> list[str]:
    bad = [entry["text"] for entry in entries if entry["severity"] != "info"]
    found = []
    by_number = any(_MISSING.search(text) for text in bad)  # the disk took no entries for a while
    named = any("data frames" in text for text in bad)
    named = named or (by_number and any("lost" in words for words in summary["conditions"]))
    if summary["frames"]["lost"] and not named:
        found.append(f"{summary['frames']['lost']} frames lost, and no alarm says so")
    if summary["condition"] != "good" and not bad:
        found.append(f"{summary['condition']} ({summary['conditions']}), and no alarm at all")
    return found


def _alarmed_often(entries: list[dict[str, Any]], faults: int) -> list[str]:
    """An alarm comes once for a fault, whatever numbers it names, and once more for what it
    leaves behind (at the run's end, or from a daq that was restarted)."""
    alarms = Counter(
        _NUMBER.sub("#", entry["text"]) for entry in entries if entry["severity"] == "alarm"
    )
    return [f"journal: told {n} times: {text}" for text, n in alarms.items() if n > faults + 1]


def check_listmode(folder: Path, summary: dict[str, Any]) -> list[str]:
    """The hash that the summary tells is that of the list-mode log, computed here."""
    try:
        log = read_blocks(folder / "listmode.tmlm")
    except OSError as error:
        return [f"no list-mode log: {error}"]
    found = [] if log.end is not None and not log.torn_bytes else ["list-mode log: not closed"]
    if hash_of_pairs(log) != summary["hash"]:
        found.append("list-mode log: its hash is not that of the summary")
    return found


def recover_where_told(folder: Path) -> list[str]:
    """Run `tomoshibi recover` where `tomoshibi runs` says that it is needed, and not otherwise."""
    argv = [sys.executable, "-m", "daq.cli", "runs", "--runs", str(folder.parent), "--json"]
    listed = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if listed.returncode:
        return [f"runs: {listed.stderr[-300:]}"]
    if folder.name not in json.loads(listed.stdout.splitlines()[-1])["need_recovery"]:
        return []
    argv = [sys.executable, "-m", "daq.cli", "recover", str(folder), "--no-image"]
    until_s = time.monotonic() + RECOVERED_S
    while True:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if "being recovered by another process" not in done.stderr or time.monotonic() > until_s:
            break
        time.sleep(0.2)
    by_the_daq = "there is nothing to recover" in done.stderr  # it does so by itself, meanwhile
    return [f"recover: {done.stderr[-300:]}"] if done.returncode and not by_the_daq else []


def check_replay(folder: Path) -> list[str]:
    """Sorting the raw log again gives the same bits (`tomoshibi replay --verify`)."""
    argv = [sys.executable, "-m", "daq.cli", "replay", str(folder), "--verify"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    words = (done.stdout + done.stderr).strip()
    return [] if done.returncode == 0 else [f"replay: {words[-300:]}"]


def check_catalogue(runs: Path) -> list[str]:
    """After `tomoshibi runs`, the catalogue has every run, as its summary has it."""
    argv = [sys.executable, "-m", "daq.cli", "runs", "--runs", str(runs), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        return [f"catalogue: {done.stderr[-300:]}"]
    with closing(sqlite3.connect(runs / "runs.sqlite")) as database:
        rows = database.execute("SELECT name, condition, prompts FROM runs").fetchall()
    listed = {name: (condition, prompts) for name, condition, prompts in rows}
    found = []
    for path in sorted(runs.glob("*/run.json")):
        summary = object_in(path.parent / "summary.json")
        own = (summary.get("condition", "open"), summary.get("prompts", 0))
        if listed.get(path.parent.name) != own:
            found.append(f"catalogue: {path.parent.name} is {listed.get(path.parent.name)}, {own}")
    return found


def check_commands(runs: Path) -> list[str]:
    """Every line of the journal of commands is whole."""
    found = []
    for number, line in enumerate((runs / "commands.jsonl").read_bytes().splitlines(), 1):
        try:
            json.loads(line)
        except ValueError as error:
            found.append(f"commands.jsonl, line {number}: {error}")
    return found


def check_left_over(folder: Path, *, gone_s: float = GONE_S) -> list[str]:
    """Processes that still name the folder, sockets in it, and files that somebody holds locked."""
    deadline = time.monotonic() + gone_s
    while processes_naming(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    found = [f"process {pid} is left: {line}" for pid, line in processes_naming(folder)]
    found += [f"left: {path}" for path in folder.rglob("*") if path.is_socket()]
    locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    locked = {line.split()[-3].lower() for line in locks}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return found + [f"locked: {path}" for path in files if _in_locks(path) in locked]


def _in_locks(path: Path) -> str:
    """Return a file as /proc/locks names it: an inode's number alone is not unique."""
    here = path.stat()
    return f"{os.major(here.st_dev):02x}:{os.minor(here.st_dev):02x}:{here.st_ino}"


def processes_naming(folder: Path) -> list[tuple[int, str]]:
    """Return the processes whose command line names a folder, but for this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and int(path.parent.name) != os.getpid():
            found.append((int(path.parent.name), line.strip()))
    return found


def object_in(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, {} where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
