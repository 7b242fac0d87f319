"""Stages in a row: each takes what the one before it made, in order; on several cores if wanted.

With two threads the source and the first stage work in one of their own, all further stages in the
caller's; with three the second stage has its own as well, and so on. They are joined by short
bounded queues: one hand-over for each item and thread, for waking a thread costs a tenth of a
millisecond. Order and results are those of calling the stages one after another: any number of
threads gives the same bits.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

QUEUED = 2
"""Results that wait between two threads."""

_LOOK_S = 0.05

Stage = Callable[[Any], Any]


@dataclass(frozen=True)
class _Failed:
    error: BaseException


_END = object()


def run_stages(
    source: Iterable[Any], stages: Sequence[Stage], *, threads: int = 1
) -> Iterator[Any]:
    """Yield what becomes of each item of ``source`` after all stages, in order.

    threads : 1 works in the caller's thread alone. An exception in the source or a stage comes out
        here, after the results before it; leaving the loop early stops the threads.
    """
    others = min(threads - 1, len(stages) - 1)
    stop = threading.Event()
    workers: list[threading.Thread] = []
    items = source
    for stage in stages[: max(others, 0)]:
        out: queue.Queue[Any] = queue.Queue(QUEUED)
        workers.append(threading.Thread(target=_work, args=(items, stage, out, stop), daemon=True))
        items = _taken(out, stop)
    for worker in workers:
        worker.start()
    try:
        for item in items:
            for stage in stages[max(others, 0) :]:
                item = stage(item)
            yield item
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def _work(items: Iterable[Any], stage: Stage, out: queue.Queue[Any], stop: threading.Event) -> None:
    """Put what becomes of each item; in the end _END, or what failed."""
    try:
        for item in items:
            if not _put(out, stage(item), stop):
                return
    except BaseException as error:  # noqa: BLE001  (it is raised again where the results are taken)
        _put(out, _Failed(error), stop)
        return
    _put(out, _END, stop)


def _taken(source: queue.Queue[Any], stop: threading.Event) -> Iterator[Any]:
    """Yield the items of a queue until its end; raise what failed before it."""
    while (item := _take(source, stop)) is not _END:
        if isinstance(item, _Failed):
            raise item.error
        yield item


def _put(out: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Put an item; return False where nobody wants it any more."""
    while not stop.is_set():
        try:
            out.put(item, timeout=_LOOK_S)
            return True
        except queue.Full:
            continue
    return False


def _take(source: queue.Queue[Any], stop: threading.Event) -> Any:
    """Take an item; _END where everything was stopped."""
    while True:
        try:
            return source.get(timeout=_LOOK_S)
        except queue.Empty:
            if stop.is_set():
                return _END
