"""CPython as the judge: what becomes of the tasks that a piece of code creates?

Standard library only, so that any interpreter from 3.10 on can run it::

    python tests/oracle.py FILE...        # one verdict a line, as JSON

A judged file is an ordinary module that imports its ``worker`` from here. Each of its public
functions without parameters is a *case* (so is what it gives to ``asyncio.run``). The oracle calls
a case, lets everything run until only the workers wait, and collects garbage between any two
iterations of the loop. Then it lets the workers finish, one after the other: in the order in which
they began, and with every other call in the reverse order. It does so five times and says:

- ``lost``: a task vanished while its worker was still waiting;
- ``leaks``: with each call one more finished task is held;
- ``broken``: a callback raised, or was a coroutine function that nobody awaits;
- ``none``: no worker ever ran;
- ``kept``: none of this, the task lived as long as it had to and no longer.

Nothing depends on chance: the collector runs only when told to, time is virtual, and the loop
touches no socket. Tasks, futures and callbacks are asyncio's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import sys
import types
import warnings
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from typing_extensions import Self, TypeVar, TypeVarTuple, Unpack

    _T = TypeVar("_T")
    _Ts = TypeVarTuple("_Ts")

ROUNDS = 5
# How far code that never comes to rest is followed: iterations of the loop after a call, and after
# the end of a worker; and how many of its workers may finish.
_MAX_STEPS = 60
_STEPS_TO_FINISH = 12
_MAX_WORKERS = 20
_MODULE = "<module>"


@dataclass(frozen=True)
class Verdict:
    """What CPython did with the tasks of one case.

    ``workers`` is how many workers waited, over all calls, and ``lost`` how many of them vanished.
    ``errors`` is what the loop and the interpreter reported, each message once.
    """

    case: str
    verdict: str
    workers: int = 0
    lost: int = 0
    errors: tuple[str, ...] = ()


def judge_file(path: Path) -> list[Verdict]:
    """Judge every case of the module at ``path``; see ``judge_source``."""
    return judge_source(path.read_text(encoding="utf-8"), str(path))


def judge_source(source: str, name: str = "<fixture>") -> list[Verdict]:
    """Judge every case of the module ``source``, in the order of definition.

    Raises ``SyntaxError`` if it does not compile and ``CaseError`` if a case itself fails.
    """
    code = compile(source, name, "exec", dont_inherit=True)
    with _quiet_collector():
        with contextlib.closing(_Run(code)) as run:
            cases = [*run.cases()]
        return [_judge(code, case) for case in cases]


class CaseError(Exception):
    """A case raised, or there is none: the fixture is at fault, not the code it shows."""


# --- what a judged module imports -------------------------------------------------------------


async def worker(*_arguments: object) -> None:
    """Wait for something that nothing but this coroutine's own frame holds, then end."""
    await _park()


async def failing_worker(*_arguments: object) -> None:
    """Wait as ``worker`` does, then fail."""
    await _park()
    raise ConnectionError("the worker failed")


@dataclass
class _Watch:
    """One waiting worker, watched without holding it."""

    task: Callable[[], asyncio.Task[Any] | None]
    future: Callable[[], asyncio.Future[None] | None]
    ended: bool = False

    @property
    def lost(self) -> bool:
        return not self.ended and self.task() is None


@dataclass
class _Reports:
    """What the run has seen. Strings and weak references only: it must keep nothing alive."""

    watches: list[_Watch] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


_reports = _Reports()


async def _park() -> None:
    future = asyncio.get_running_loop().create_future()
    task = asyncio.current_task()
    assert task is not None
    watch = _Watch(ref(task), ref(future))
    del task
    _reports.watches.append(watch)
    try:
        await future
    except GeneratorExit:  # the collector's doing
        raise
    except BaseException:
        watch.ended = True
        raise
    watch.ended = True


# --- the loop ---------------------------------------------------------------------------------


class _VirtualClock:
    """Stands where a loop has its selector: waiting for events only lets the time go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        self.now += timeout or 0
        return []


class OracleLoop(asyncio.BaseEventLoop):
    """The stock event loop, but stepped by hand, without sockets, on virtual time."""

    # What the base class has, and its type stubs keep to themselves.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _run_once: Callable[[], None]
    _asyncgen_firstiter_hook: Callable[[Any], None]
    _asyncgen_finalizer_hook: Callable[[Any], None]

    def __init__(self) -> None:
        """Make a loop that reports failures as strings."""
        super().__init__()
        self._selector = _VirtualClock()
        self.programs: list[types.CoroutineType[Any, Any, Any]] = []
        self.set_exception_handler(self._report)

    @staticmethod
    def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # The context holds the task itself; keeping it would bring the task back to life.
        _reports.errors.append(f"{context['message']}: {context.get('exception')!r}")

    def time(self) -> float:
        return self._selector.now

    def step(self) -> bool:
        """Run one iteration. Return whether there was anything to run or to wait for."""
        busy = bool(self._ready or self._scheduled)
        if busy:
            self._run_once()
        return busy

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing: there are no sockets."""

    def _write_to_self(self) -> None:
        """Do nothing: nobody sleeps in a selector."""

    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[_Ts]], object], *args: Unpack[_Ts]
    ) -> None:
        """Let the signal arrive at once."""
        del sig
        self.call_soon(callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        del sig
        return True

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: Unpack[_Ts]
    ) -> asyncio.Future[_T]:
        """Call ``func`` in the next iteration instead of in a thread."""
        del executor
        future: asyncio.Future[_T] = self.create_future()

        def call() -> None:
            if not future.cancelled():
                future.set_result(func(*args))

        self.call_soon(call)
        return future

    def run_until_complete(self, future: Any) -> Any:
        """Note the program. The oracle runs it, step by step, once the module is loaded."""
        self.programs.append(future)

    def run_forever(self) -> None:
        """Return at once: the oracle itself steps the loop."""


class _Runner:
    """Stands in for ``asyncio.Runner``: hands each program over to the oracle's loop."""

    def __init__(self, loop: OracleLoop, **_options: Any) -> None:
        self.loop = loop

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def run(self, program: Any, **_options: Any) -> None:
        self.loop.programs.append(program)

    def get_loop(self) -> OracleLoop:
        return self.loop


# --- the trial --------------------------------------------------------------------------------


class _Run:
    """One execution of a module in a fresh loop, to judge one of its cases."""

    def __init__(self, code: types.CodeType) -> None:
        global _reports  # noqa: PLW0603 (a worker knows only where to report)
        _reports = self.reports = _Reports()
        self.code = code
        self.loop = OracleLoop()
        self.module = types.ModuleType("__main__")
        self.programs: dict[str, types.CoroutineType[Any, Any, Any]] = {}
        try:
            with self.running():
                exec(code, self.module.__dict__)  # noqa: S102
        except Exception as error:  # noqa: BLE001
            self.close()
            raise CaseError(f"{code.co_filename}: {error!r}") from None
        self.programs = {program.__name__: program for program in self.loop.programs}
        self.loop.programs.clear()

    def cases(self) -> Iterator[str]:
        """Yield the names of the cases: module body, programs, functions without parameters."""
        with self.running():
            self.settle()
        if self.reports.watches:
            yield _MODULE
        functions = [
            name
            for name, value in vars(self.module).items()
            if isinstance(value, types.FunctionType) and self.is_case(name, value)
        ]
        yield from functions
        yield from (name for name in self.programs if name not in functions)
        if not (self.reports.watches or functions or self.programs):
            raise CaseError(f"{self.code.co_filename}: no public function without parameters")

    def is_case(self, name: str, function: types.FunctionType) -> bool:
        code = function.__code__
        own = code.co_filename == self.code.co_filename
        takes = code.co_argcount + code.co_kwonlyargcount
        other = (
            inspect.CO_VARARGS
            | inspect.CO_VARKEYWORDS
            | inspect.CO_GENERATOR
            | inspect.CO_ASYNC_GENERATOR
        )
        return own and not takes and not code.co_flags & other and not name.startswith("_")

    def rounds(self, case: str) -> list[int]:
        """Call ``case`` five times. Return how many finished tasks were held after each call.

        A program runs but once, and a module is loaded but once.
        """
        held: list[int] = []
        once = case in self.programs or case == _MODULE
        if case != _MODULE:
            self.reports.watches.clear()
        for number in range(1 if once else ROUNDS):
            with self.running():
                self.round(case, backwards=number % 2 == 1)
                gc.collect()
            tasks = [watch.task() for watch in self.reports.watches]
            held.append(sum(task is not None and task.done() for task in tasks))
            del tasks
        return held

    def round(self, case: str, *, backwards: bool) -> None:
        """Call the case, let its workers wait, let them finish, and let go of the case."""
        result = None if case == _MODULE else self.call(case)
        is_program = case in self.programs or bool(self.loop.programs)
        if self.loop.programs:
            result = self.loop.programs.pop()
        main: asyncio.Task[Any] | None = None
        if isinstance(result, types.CoroutineType):
            # Made here and not by the loop's task factory, which is the module's business.
            main = asyncio.Task(result, loop=self.loop)
        program = main if is_program else None
        self.settle(program)
        for _ in range(_MAX_WORKERS):
            if not self.release(backwards=backwards):
                break
            self.settle(program, steps=_STEPS_TO_FINISH)
        if main is not None:
            self.end(main, case)
        del main, program, result

    def call(self, case: str) -> Any:
        """Call the case as a caller that keeps what it gets back."""
        if case in self.programs:
            return self.programs[case]
        try:
            return vars(self.module)[case]()
        except Exception as error:  # noqa: BLE001
            message = f"{self.code.co_filename}: {case} raised {error!r}"
        raise CaseError(message)

    def settle(self, program: asyncio.Task[Any] | None = None, *, steps: int = _MAX_STEPS) -> None:
        """Run until nothing is ready and no timer is left, collecting between iterations.

        When ``program`` ends, everything else is cancelled, as ``asyncio.run`` does.
        """
        gc.collect()
        for _ in range(steps):
            if not self.loop.step():
                break
            if program is not None and program.done():
                for task in asyncio.all_tasks(self.loop):
                    task.cancel()
                    del task
                program = None
            gc.collect()

    def release(self, *, backwards: bool) -> bool:
        """Let the first (or last) waiting worker finish. Return whether there was one."""
        watches = self.reports.watches
        for watch in reversed(watches) if backwards else watches:
            future = watch.future()
            if future is not None and not future.done():
                future.set_result(None)
                return True
        return False

    def end(self, main: asyncio.Task[Any], case: str) -> None:
        """End the case itself if it still runs; a failure of its own is an error."""
        if not main.done():
            main.cancel()
            self.settle()
        if main.done() and not main.cancelled():
            error = main.exception()
            # Failures that come from the worker or from a time limit are the case's story.
            if error is not None and not isinstance(
                error, (ConnectionError, asyncio.TimeoutError, TimeoutError)
            ):
                raise CaseError(f"{self.code.co_filename}: {case} raised {error!r}")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Make the oracle's loop the running one, and asyncio's runners hand over to it."""
        loop = self.loop

        stand_ins: dict[str, Any] = {
            "run": lambda program, **_options: loop.programs.append(program),
            "new_event_loop": lambda: loop,
            "Runner": partial(_Runner, loop),
        }
        real = {name: getattr(asyncio, name) for name in stand_ins if hasattr(asyncio, name)}
        hooks = sys.get_asyncgen_hooks()
        unraisable = sys.unraisablehook
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            # Neither may keep what it was told about: a warning carries its coroutine.
            warnings.showwarning = lambda message, *_rest: _reports.errors.append(str(message))
            sys.unraisablehook = lambda report: _reports.errors.append(repr(report.exc_value))
            sys.set_asyncgen_hooks(loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook)
            asyncio._set_running_loop(loop)
            for name in real:
                setattr(asyncio, name, stand_ins[name])
            try:
                yield
            finally:
                for name, value in real.items():
                    setattr(asyncio, name, value)
                asyncio._set_running_loop(None)
                sys.set_asyncgen_hooks(*hooks)
                sys.unraisablehook = unraisable

    def close(self) -> None:
        """Throw the module and its loop away, so that the next run starts clean."""
        with self.running():
            for program in self.programs.values():
                program.close()
            self.programs.clear()
            vars(self.module).clear()
            self.loop.close()
            gc.collect()


def _judge(code: types.CodeType, case: str) -> Verdict:
    """Judge ``case`` in a fresh execution of its module."""
    with contextlib.closing(_Run(code)) as run:
        held = run.rounds(case)
        workers = len(run.reports.watches)
        lost = sum(watch.lost for watch in run.reports.watches)
    errors = tuple(dict.fromkeys(run.reports.errors))
    if not workers:
        verdict = "none"
    elif lost:
        verdict = "lost"
    elif len(held) > 1 and all(one < next_one for one, next_one in pairwise(held)):
        verdict = "leaks"
    elif any("Exception in callback" in error or "never awaited" in error for error in errors):
        verdict = "broken"
    else:
        verdict = "kept"
    return Verdict(case, verdict, workers, lost, errors)


@contextlib.contextmanager
def _quiet_collector() -> Iterator[None]:
    """Collect only when told to, and look only at what is made from here on."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()  # without a collection before it, which would take longer than the trial
    known = sys.modules.get("oracle")
    sys.modules["oracle"] = sys.modules[__name__]
    try:
        yield
    finally:
        if known is None:
            del sys.modules["oracle"]
        else:
            sys.modules["oracle"] = known
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def main(arguments: list[str]) -> int:
    """Print the verdicts on the files named by ``arguments``; 2 if a file cannot be judged."""
    judged = [_report(name) for name in arguments]
    return 0 if all(judged) else 2


def _report(name: str) -> bool:
    """Print the verdicts on one file. Return whether it could be judged."""
    try:
        verdicts = judge_file(Path(name))
    except (CaseError, SyntaxError) as error:
        print(json.dumps({"file": name, "error": str(error)}))  # noqa: T201
        return False
    for verdict in verdicts:
        print(json.dumps({"file": name, **vars(verdict)}))  # noqa: T201
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
