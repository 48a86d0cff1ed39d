"""Many items of work, in one process or in several, in order, whatever becomes of a process."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from flake8_task_refs.elsewhere import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flake8_task_refs.pool import Pool

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# Seconds of work after which a second process, with its own start and imports, pays.
_ALONE_FOR: Final = 0.1
# What is raised where a system has no processes, or no more of them.
_NO_PROCESSES: Final = (ImportError, NotImplementedError, OSError)


def each(
    work: Callable[[_In], _Out],
    items: Sequence[_In],
    jobs: int = 1,
    *,
    lost: Callable[[_In, str], _Out] | None = None,
) -> Iterator[_Out]:
    """Yield ``work(item)`` for each item, in order, in up to ``jobs`` processes once it pays.

    See ``Crew``. Without ``lost``, raises ``WorkerLostError`` where it would be called.
    """
    with Crew(work, jobs, lost=lost) as crew:
        yield from crew.each(items)


class Crew(Generic[_In, _Out]):
    """Does ``work`` on many items in up to ``jobs`` processes, which it ends as a context manager.

    ``work`` and what it takes and returns must be picklable and small (a batch of items fits into
    a pipe), and ``work`` must not raise.

    Where a process dies (the system may kill it for want of memory), the item that it was at is
    tried once more, alone, and all others go on. If that process dies, too, or an item takes more
    than ``pool.TIME_LIMIT`` seconds, the result is ``lost(item, reason)``; ``reason`` is one line.
    In one process, there are no such bounds.
    """

    def __init__(
        self,
        work: Callable[[_In], _Out],
        jobs: int,
        *,
        lost: Callable[[_In, str], _Out] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start nothing yet. ``prepare`` is done before the processes start, or in each of them."""
        self._work = work
        self._jobs = jobs
        self._lost = lost
        self._prepare = prepare
        self._pool: Pool[_In, _Out] | None = None

    def __enter__(self) -> Crew[_In, _Out]:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes, each after the item that it is at."""
        if self._pool is not None:
            self._pool.end()
            self._pool = None

    def start(self, first: Sequence[_In] = ()) -> None:
        """Let the processes start and prepare already: there will be many items.

        The ``first`` items, which are hashable, are worked on at once: most of them will be among
        those of ``each``.
        """
        if self._jobs > 1 and self._pool is None:
            # Without processes on this system, or no more of them, `each` does without as well.
            with contextlib.suppress(*_NO_PROCESSES):
                # Imported here: most runs that are not over a directory need no processes.
                from flake8_task_refs.pool import Pool, knows_its_parent  # noqa: PLC0415

                prepare = self._prepare
                if prepare is not None and knows_its_parent():
                    # Once is enough: what is forked from here has it.
                    prepare()
                    prepare = None
                self._pool = Pool(self._work, self._jobs, prepare)
                self._pool.begin(first)

    def each(self, items: Sequence[_In]) -> Iterator[_Out]:
        """Yield the result for each item, in order. Raises ``WorkerLostError`` without ``lost``."""
        done = 0
        if self._pool is None:
            start = time.monotonic()
            while done < len(items) and (self._jobs < 2 or time.monotonic() - start < _ALONE_FOR):
                yield self._work(items[done])
                done += 1
            rest = items[done:]
            if not rest:
                return
            try:
                from flake8_task_refs.pool import Pool  # noqa: PLC0415

                self._pool = Pool(self._work, min(self._jobs, len(rest)))
            except _NO_PROCESSES:
                yield from map(self._work, rest)
                return
        rest = items[done:]
        for item, (result, reason) in zip(rest, self._pool.outcomes(rest), strict=True):
            if not reason:
                yield result
            elif self._lost is not None:
                yield self._lost(item, reason)
            else:
                raise WorkerLostError(reason)
