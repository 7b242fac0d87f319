"""Measures one build for `tomoshibi bench compare`: JSON lines in on stdin and out on stdout.

Each build is measured by its own code, so this protocol is all that two builds must have in common.
``PROTOCOL`` is increased when it changes, and then the two cannot be compared.

- first the worker says ``{"protocol": 1, "root": FOLDER, "figures": {NAME: UNIT, …}}``;
- asked ``{"figure": NAME, "passes": N}`` it repeats that figure's work and answers
  ``{"seconds": [N numbers], "values": [N numbers]}``, or ``{"error": WORDS}``; before the first
  answer it prepares the workload and runs it ``IDLE_PASSES`` times, which compiles and warms up;
- when stdin ends, it ends.

A pass's time is wall time minus the time for which its threads were ready but waited for a
processor that others had (from Linux). On two busy cores that halves the spread; sleeping and
waiting for locks or the disk are still included.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from daq.cli.bench.warm_figures import FIGURES, Work
from daq.cli.common import cleaning_up

PROTOCOL = 1
IDLE_PASSES = 2


def serve() -> None:
    """Answer until stdin ends; anything else printed goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    figures = {name: figure.unit for name, figure in FIGURES.items()}
    root = str(Path(__file__).resolve().parents[3])
    _say(answers, {"protocol": PROTOCOL, "root": root, "figures": figures})
    ready: dict[str, Work] = {}
    with cleaning_up():  # a work may hold a temporary folder
        for line in sys.stdin:
            _say(answers, _answer(json.loads(line), ready))


def _answer(asked: dict[str, Any], ready: dict[str, Work]) -> dict[str, Any]:
    try:
        return _measured(asked["figure"], asked["passes"], ready)
    except Exception as error:  # noqa: BLE001  (its words are the answer)
        return {"error": f"{type(error).__name__}: {error}"}


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _measured(name: str, passes: int, ready: dict[str, Work]) -> dict[str, Any]:
    figure = FIGURES[name]
    if name not in ready:
        ready[name] = figure.prepare()
        for _ in range(IDLE_PASSES):
            ready[name]()
    gc.collect()
    seconds = [_seconds(ready[name]) for _ in range(passes)]
    return {"seconds": seconds, "values": [figure.of_seconds(one) for one in seconds]}


def _seconds(work: Work) -> float:
    waited, used, began = _waited_s(), time.process_time(), time.perf_counter()
    work()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return max(seconds - (_waited_s() - waited), min(used, seconds))  # some waits go side by side


def _waited_s() -> float:
    """Return for how long in all this process's threads were ready without a processor; 0 if the
    kernel does not tell (Documentation/scheduler/sched-stats.rst, second figure).
    """
    waited_ns = 0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # the thread has ended
            waited_ns += int(thread.read_text(encoding="ascii").split()[1])
    return waited_ns * 1e-9
