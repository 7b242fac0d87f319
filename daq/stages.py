"""Stages in a row: each takes what the one before it made, in order; on several cores if wanted.

With threads every stage works in one of its own, joined by short bounded queues. Order and results
are those of calling the stages one after another: any number of threads gives the same bits.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

QUEUED = 1
"""Results that wait between two stages."""

_LOOK_S = 0.05


@dataclass(frozen=True)
class _Failed:
    error: BaseException


_END = object()


def run_stages(
    source: Iterable[Any], stages: Sequence[Callable[[Any], Any]], *, threads: int = 1
) -> Iterator[Any]:
    """Yield what becomes of each item of ``source`` after all stages, in order.

    threads : 1 works in the caller's thread, more gives each stage a thread. An exception in the
        source or a stage comes out here, after the results before it; leaving the loop early stops
        the threads.
    """
    if threads <= 1:
        for item in source:
            for stage in stages:
                item = stage(item)
            yield item
        return
    stop = threading.Event()
    queues: list[queue.Queue[Any]] = [queue.Queue(QUEUED) for _ in range(len(stages) + 1)]
    workers = [threading.Thread(target=_feed, args=(source, queues[0], stop), daemon=True)]
    workers += [
        threading.Thread(target=_work, args=(stage, *queues[k : k + 2], stop), daemon=True)
        for k, stage in enumerate(stages)
    ]
    for worker in workers:
        worker.start()
    try:
        while (item := _take(queues[-1], stop)) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def _feed(source: Iterable[Any], out: queue.Queue[Any], stop: threading.Event) -> None:
    try:
        for item in source:
            if not _put(out, item, stop):
                return
    except BaseException as error:  # noqa: BLE001  (it is raised again where the results are taken)
        _put(out, _Failed(error), stop)
        return
    _put(out, _END, stop)


def _work(
    stage: Callable[[Any], Any],
    source: queue.Queue[Any],
    out: queue.Queue[Any],
    stop: threading.Event,
) -> None:
    while True:
        item = _take(source, stop)
        if item is _END or isinstance(item, _Failed):
            _put(out, item, stop)
            return
        try:
            item = stage(item)
        except BaseException as error:  # noqa: BLE001  (raised again where the results are taken)
            _put(out, _Failed(error), stop)
            return
        if not _put(out, item, stop):
            return


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
