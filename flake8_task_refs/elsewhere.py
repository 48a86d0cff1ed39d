"""Another process that goes through what is found one by one, while this one does its own work.

It is a plain fork: multiprocessing, which ``pool`` needs, takes longer to load than all of this.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_Thing = TypeVar("_Thing")

# What comes from the process: an item, or what it ended with.
_ITEM: Final = 0
_END: Final = 1


class WorkerLostError(RuntimeError):
    """A process was killed, or took too long. The text is one line; it names no item."""


class Elsewhere(Generic[_Thing]):
    """Another process that goes through ``items``; as an iterator, it yields each as it comes.

    What they raise is raised here. Raises ``WorkerLostError`` if the process is killed.
    """

    def __init__(self, items: Iterator[_Thing]) -> None:
        """Start. Raises ``OSError`` if no further process can be made."""
        theirs, ours = os.pipe()
        try:
            self._process = os.fork()
        except BaseException:
            os.close(theirs)
            os.close(ours)
            raise
        if self._process == 0:
            os.close(theirs)
            _send_all(items, ours)
        os.close(ours)
        self._pipe = open(theirs, "rb")  # noqa: PTH123, SIM115 (a descriptor; `close` closes it)

    def __iter__(self) -> Elsewhere[_Thing]:
        """Return itself."""
        return self

    def __next__(self) -> _Thing:
        """Wait for the next item, and return it."""
        try:
            kind, value = pickle.load(self._pipe)  # noqa: S301 (it is our own)
        except (EOFError, pickle.UnpicklingError):
            # Its end of the pipe is closed: it has ended, perhaps in the middle of an item.
            how = self._end()
            raise WorkerLostError(f"the process that looks for files {how}") from None
        except BaseException:
            self.close()
            raise
        if kind == _ITEM:
            item: _Thing = value
            return item
        self.close()
        raise value

    def has_begun(self) -> bool:
        """Tell whether the first ``next`` would not have to wait."""
        return bool(select.select([self._pipe], [], [], 0)[0])

    def close(self) -> None:
        """End the process, whatever it is at. Twice does no harm."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            self._end()

    def _end(self) -> str:
        """Wait until the process has ended, and return how."""
        self._pipe.close()
        status = 0
        # A program that wants to know nothing of its children is told nothing.
        with contextlib.suppress(ChildProcessError):
            _, status = os.waitpid(self._process, 0)
        self._process = 0
        return ending(os.waitstatus_to_exitcode(status))


def can_work_elsewhere() -> bool:
    """Tell whether ``Elsewhere`` works here, and saves time.

    That needs a system on which a process can go on as two, a processor for the other, and no
    other threads, whose locks it would find locked for ever. Who says that multiprocessing shall
    not fork, has a reason.
    """
    chosen = sys.modules.get("multiprocessing")
    return (
        sys.platform == "linux"
        and _processors() > 1
        and threading.active_count() == 1
        and (chosen is None or chosen.get_start_method(allow_none=True) in {None, "fork"})
    )


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _send_all(items: Iterator[object], pipe: int) -> NoReturn:
    """Send all ``items``, and what ends them, through ``pipe``: the life of the process."""
    try:
        # An interrupt is the parent's to handle.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with open(pipe, "wb") as file:
            kind = _ITEM
            while kind == _ITEM:
                told: object
                try:
                    told = next(items)
                except BaseException as error:  # noqa: BLE001 (the parent raises it)
                    kind, told = _END, _portable(error)
                pickle.dump((kind, told), file)
                file.flush()
        sys.stderr.flush()
    finally:
        # Whatever happens, nothing of what the parent was about to do is done twice. Nobody is
        # there to hear an error: if the pipe is closed, the parent is gone.
        os._exit(0)


def _portable(error: BaseException) -> BaseException:
    """Return ``error``, or what can be told of it, as something that goes through a pipe."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (it is our own)
    except Exception:  # noqa: BLE001
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def ending(code: int | None) -> str:
    """Return how a process ended that ended with ``code``."""
    code = code or 0
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}"
    return f"ended with status {code}"
