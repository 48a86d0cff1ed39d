"""Worker processes that share items, and are replaced where they die.

To load multiprocessing takes as long as to check a few files: ``processes`` does it when it pays.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import sys
import time
import warnings
from collections import deque
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from flake8_task_refs.elsewhere import ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from ctypes import Array

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# Bounds of a worker process: seconds for one item, and bytes of memory where the system sets them.
TIME_LIMIT: Final = 120.0
MEMORY_LIMIT: Final = 4 << 30
# Seconds: what takes longer is told at once, so that no news of it can be lost with its process.
_QUICK: Final = 0.02
# Seconds between two looks at what the workers are at.
_LOOK_EVERY: Final = 0.5
# Seconds without a look after which all were stopped meanwhile (Ctrl-Z), and no one was at work.
_STOPPED: Final = 5 * _LOOK_EVERY
_CHUNK: Final = 64
# Bytes, just below the most that glibc lets a block have that it keeps.
_LARGE: Final = 31 << 20
# When a worker looks for garbage, in Python's own terms, which are (700, 10, 10) of old: there
# should be none, and most items make less than this at once.
_COLLECT_EVERY: Final = (200_000, 10, 100)
# The outcome of most items: no result, and no reason why there is none.
_NOTHING: Final = (None, "")
# Where, in the memory that all share, the parent says that it is time to end.
_STOP: Final = 0


def knows_its_parent() -> bool:
    """Tell whether a worker has from the start what this process has loaded."""
    return multiprocessing.get_start_method() == "fork"


class _Worker:
    """A process, and the places in the list of the items that it has not told of yet."""

    def __init__(
        self,
        work: Callable[[Any], Any],
        progress: Array[Any],
        slot: int,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.progress = progress
        self.slot = slot
        progress[slot] = -1
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=_serve, args=(work, (self.pipe, theirs), progress, slot, prepare), daemon=True
        )
        self.pending: deque[int] = deque()
        self.seen = -1
        self.since = time.monotonic()
        self.only: int | None = None
        self.process.start()
        theirs.close()

    def give(self, indices: Iterable[int], items: Sequence[Any]) -> None:
        """Hand over some items. A dead worker is found out when it is listened to."""
        chosen = list(indices)
        if not self.pending:
            self.since = time.monotonic()
        self.pending.extend(chosen)
        with contextlib.suppress(OSError):
            self.pipe.send([(index, items[index]) for index in chosen])

    def news(self) -> dict[int, tuple[Any, str]]:
        """Return what it has done: indexes to (result, reason). Raises ``EOFError`` if dead."""
        try:
            # How many items it has done, in their order, and what there is to tell of them.
            count, told = self.pipe.recv()
        except OSError:
            raise EOFError from None
        done = dict.fromkeys([self.pending.popleft() for _ in range(count)], _NOTHING)
        done.update(told)
        return done

    @property
    def at(self) -> int:
        """The index of the item that it is at, or that it died of."""
        index: int = self.progress[self.slot]
        return index if index in self.pending or not self.pending else self.pending[0]

    def is_stuck(self) -> bool:
        """Tell whether it has been at one item for too long. Ask now and then."""
        now = time.monotonic()
        if self.seen != self.progress[self.slot]:
            self.seen, self.since = self.progress[self.slot], now
        return bool(self.pending) and now - self.since > TIME_LIMIT

    def end(self) -> str:
        """Kill it, if it is alive, and return how it ended."""
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.pipe.close()
        return ending(self.process.exitcode)


class Pool(Generic[_In, _Out]):
    """Workers that share items and are replaced where they die."""

    def __init__(
        self,
        work: Callable[[_In], _Out],
        jobs: int,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start ``jobs`` processes that do ``prepare`` and wait for items, which ``work`` is for.

        Raises ``OSError`` and its like if the system has no more of them, or this one is a daemon
        of multiprocessing's, which may have none.
        """
        if multiprocessing.current_process().daemon:
            raise NotImplementedError("a daemonic process has no children")
        self._work = work
        self._items: list[_In] = []
        self._begun: dict[_In, int] = {}  # items that are worked on before they are asked for
        self._waiting: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._results: dict[int, tuple[Any, str]] = {}
        self._progress = multiprocessing.RawArray("q", jobs + 1)
        self._workers: list[_Worker] = []
        try:
            for slot in range(1, jobs + 1):
                self._workers.append(_Worker(work, self._progress, slot, prepare))
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the workers, each after the item that it is at."""
        self._progress[_STOP] = 1
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        until = time.monotonic() + 5
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.end()

    def begin(self, items: Sequence[_In]) -> None:
        """Let the workers begin with ``items``; some of which ``outcomes`` will be asked for."""
        self._begun = {item: index for index, item in enumerate(items, len(self._items))}
        self._waiting.extend(self._begun.values())
        self._items += items
        for worker in self._workers:
            # Enough for as long as nobody listens to them.
            self._feed(worker, 4 * _CHUNK)

    def outcomes(self, items: Sequence[_In]) -> Iterator[tuple[Any, str]]:
        """Yield (result, "") or (None, reason) for each of ``items``, in order."""
        indices: list[int] = []
        for item in items:
            begun = self._begun.pop(item, None) if self._begun else None
            if begun is None:
                begun = len(self._items)
                self._items.append(item)
                self._waiting.append(begun)
            indices.append(begun)
        looked = time.monotonic()
        for index in indices:
            while index not in self._results:
                for worker in self._workers:
                    self._feed(worker)
                busy = {worker.pipe: worker for worker in self._workers if worker.pending}
                for pipe in connection.wait(list(busy), _LOOK_EVERY):
                    self._listen(busy[pipe])  # type: ignore[index]
                late = time.monotonic() - looked
                if late > _LOOK_EVERY:
                    looked = time.monotonic()
                    if late > _STOPPED:
                        for worker in self._workers:
                            worker.since = looked
                    for worker in [worker for worker in self._workers if worker.is_stuck()]:
                        self._kill(worker)
            yield self._results.pop(index)

    def _feed(self, worker: _Worker, most: int = _CHUNK) -> None:
        """Give ``worker`` up to ``most`` items more to do before it has nothing left."""
        if self._suspects and not worker.pending:
            worker.only = self._suspects.popleft()
            worker.give([worker.only], self._items)
        elif worker.only is None and self._waiting:
            # Less and less towards the end, so that none has much left when the others are done.
            count = max(1, min(most, len(self._waiting) // (len(self._workers) * 4)))
            if len(worker.pending) <= count // 2:
                worker.give([self._waiting.popleft() for _ in range(count)], self._items)

    def _listen(self, worker: _Worker) -> None:
        try:
            told = worker.news()
        except EOFError:
            self._bury(worker)
            return
        self._results.update(told)
        if not worker.pending:
            worker.only = None

    def _bury(self, worker: _Worker) -> None:
        """Replace a worker that died; what it was at is tried once more, alone."""
        index = worker.at
        how = worker.end()
        if worker.only is not None:
            reason = f"the process that worked on it {how}, and again when tried alone"
            self._results[index] = (None, reason)
        else:
            self._suspects.append(index)
        self._replace(worker, index)

    def _kill(self, worker: _Worker) -> None:
        """Kill a worker that takes too long, and give up what it is at."""
        index = worker.at
        worker.process.kill()
        worker.end()
        self._results[index] = (None, f"takes more than {TIME_LIMIT:g} seconds")
        self._replace(worker, index)

    def _replace(self, worker: _Worker, index: int) -> None:
        self._waiting.extendleft(reversed([at for at in worker.pending if at != index]))
        place = self._workers.index(worker)
        self._workers[place] = _Worker(self._work, self._progress, worker.slot)


def _serve(
    work: Callable[[Any], Any],
    ends: tuple[connection.Connection, connection.Connection],
    progress: Array[Any],
    slot: int,
    prepare: Callable[[], None] | None,
) -> None:
    """Do what comes through a pipe, of which these are the ``ends``: the life of a worker."""
    # As long as the parent's end is open anywhere, nobody learns that the parent was killed.
    parents, pipe = ends
    parents.close()
    # An interrupt is the parent's to handle; the workers end with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _bound_memory()
    # Warnings about what is read help nobody; said once, it need not be said for each item.
    warnings.simplefilter("ignore")
    _keep_memory()
    gc.disable()
    if prepare is not None:
        prepare()
    gc.enable()
    gc.set_threshold(*_COLLECT_EVERY)
    # What came with the process lives as long as it does; what an item makes is soon let go of.
    gc.freeze()
    count = 0
    told: dict[int, tuple[Any, str]] = {}  # most items have no result worth sending
    with contextlib.suppress(EOFError, OSError):
        while (batch := pipe.recv()) is not None:
            for index, item in batch:
                if progress[_STOP]:
                    return
                progress[slot] = index
                began = time.monotonic()
                count += 1
                try:
                    result = work(item)
                    if result is not None:
                        told[index] = (result, "")
                except Exception as error:  # noqa: BLE001 (the parent says which item it was)
                    told[index] = (None, f"{type(error).__name__} in a worker process")
                if time.monotonic() - began > _QUICK:
                    pipe.send((count, told))
                    count, told = 0, {}
            if count:
                pipe.send((count, told))
                count, told = 0, {}


def _keep_memory() -> None:
    """Have the C library keep what is let go of: the next item wants as much again.

    glibc gives large blocks back to the system, which has to clear their pages for each file anew,
    until it sees a larger one come and go (mallopt(3), M_MMAP_THRESHOLD). Elsewhere this does
    nothing. The block is reserved and never written to, so that it takes no memory.
    """
    with contextlib.suppress(MemoryError):
        bytes(_LARGE)


def _bound_memory() -> None:
    """Let this process have no more than ``MEMORY_LIMIT`` bytes: what wants more, fails."""
    if sys.platform != "linux":
        return  # elsewhere the system counts what a process only reserves, or nothing at all
    import resource  # noqa: PLC0415

    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or hard > MEMORY_LIMIT:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, hard))
