"""Many items of work, in one process or in several, in order."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# Seconds of work after which a second process, with its own start and imports, pays.
_ALONE_FOR: Final = 0.1


def each(work: Callable[[_In], _Out], items: Sequence[_In], jobs: int = 1) -> Iterator[_Out]:
    """Yield ``work(item)`` for each item, in order, in up to ``jobs`` processes once it pays.

    ``work`` and what it takes and returns must be picklable, and ``work`` must not raise.
    """
    start = time.monotonic()
    done = 0
    while done < len(items) and (jobs < 2 or time.monotonic() - start < _ALONE_FOR):
        yield work(items[done])
        done += 1
    rest = items[done:]
    if not rest:
        return
    try:
        # An interrupt is the parent's to handle; the workers end with it.
        pool = ProcessPoolExecutor(
            min(jobs, len(rest)),
            initializer=signal.signal,
            initargs=(signal.SIGINT, signal.SIG_IGN),
        )
    except (ImportError, NotImplementedError, OSError):
        # No semaphores on this system.
        yield from map(work, rest)
        return
    try:
        yield from pool.map(work, rest, chunksize=max(1, min(64, len(rest) // (jobs * 4))))
    finally:
        pool.shutdown(cancel_futures=True)
