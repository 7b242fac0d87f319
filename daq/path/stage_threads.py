"""Stages in a row, each fed with the results of the one before, on one core or several.

With two threads, the source and the first stage run in a thread of their own and all further stages
in the caller's; with three, the second stage has its own as well, and so on. Short bounded queues
join them, with one hand-over per item and thread, because waking a thread takes a tenth of a
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
"""Results that may wait between two threads."""

_LOOK_S = 0.05

Stage = Callable[[Any], Any]


@dataclass(frozen=True)
class _Failed:
    error: BaseException


_END = object()


def run_stages(
    source: Iterable[Any], stages: Sequence[Stage], *, threads: int = 1
) -> Iterator[Any]:
    """Pass each item of ``source`` through all stages; yield the results in order.

    threads : 1 uses only the caller's thread. An exception in the source or a stage is raised here,
        after the results before it; leaving the loop early stops the threads.
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
    """Put the result of each item, then _END or the exception that ended it."""
    try:
        for item in items:
            if not _put(out, stage(item), stop):
                return
    except BaseException as error:  # noqa: BLE001  (it is raised again where the results are taken)
        _put(out, _Failed(error), stop)
        return
    _put(out, _END, stop)


def _taken(source: queue.Queue[Any], stop: threading.Event) -> Iterator[Any]:
    """Yield the items of a queue until its end; raise the exception if one ended it."""
    while (item := _take(source, stop)) is not _END:
        if isinstance(item, _Failed):
            raise item.error
        yield item


def _put(out: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Put an item; return False if nobody wants it any more."""
    while not stop.is_set():
        try:
            out.put(item, timeout=_LOOK_S)
            return True
        except queue.Full:
            continue
    return False


def _take(source: queue.Queue[Any], stop: threading.Event) -> Any:
    """Take an item; return _END if everything was stopped."""
    while True:
        try:
            return source.get(timeout=_LOOK_S)
        except queue.Empty:
            if stop.is_set():
                return _END
