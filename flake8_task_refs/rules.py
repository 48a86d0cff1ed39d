"""The catalogue: every rule once. Messages, ``--explain``, the README's table and tests read it.

Standard library only, so that flake8 can load it at no cost.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PREFIX: Final = "TSK"
# Fewer findings than these are no sample: they are all that the code which was read holds.
_ENOUGH_SITES: Final = 19

_ASYNCIO_DOCS = "https://docs.python.org/3/library/asyncio-task.html"


class Rule(NamedTuple):
    """One rule.

    ``message`` is the line flake8 prints, without the code; ``{running}`` marks where the
    coroutine's name goes; ``left_behind`` is that of a task which a wait leaves behind, if it is
    another. ``example`` is source that the rule flags, ``use_instead`` source that
    it does not flag. ``precision`` is the share of right findings among ``sites`` findings in
    real code judged by hand, ``None`` until that was measured. ``default`` tells whether the
    rule is on without being asked for by code. ``fix_safety`` begins with ``Safe:``, ``Unsafe:`` or
    ``Not fixed:``.
    """

    code: str
    name: str
    message: str
    what: str
    why: str
    example: str
    use_instead: str
    fix_safety: str
    references: tuple[str, ...] = ()
    precision: float | None = None
    sites: int = 0
    default: bool = True
    left_behind: str = ""

    def text(self, coroutine: str = "", *, left_behind: bool = False) -> str:
        """Return the message for ``coroutine`` (as written, ``"work()"``), ``""`` if unknown.

        ``left_behind`` tells that a wait for the task leaves it behind.
        """
        message = self.left_behind if left_behind and self.left_behind else self.message
        return message.format(running=f" running '{coroutine}'" if coroutine else "")


RULES: Final = (
    Rule(
        code="TSK001",
        name="discarded-task",
        message=(
            "task{running} is not referenced and may be garbage-collected; keep it in a registry"
        ),
        what=(
            "Finds calls that create a task and throw the handle away on the spot: as a statement, "
            "into `_`, as an argument of `print`, or by calling a method such as "
            "`add_done_callback` on it and nothing else."
        ),
        why=(
            "The event loop holds its tasks weakly. A task that nobody references can be collected "
            "while its coroutine waits: it then stops without a result, its done-callbacks never "
            "run, and its `finally` blocks stop at their first `await`. Nobody can cancel it at "
            "shutdown either, and nobody sees its exception."
        ),
        example="""\
import asyncio


async def handle(order: int) -> None:
    asyncio.create_task(send_receipt(order))


async def send_receipt(order: int) -> None:
    await asyncio.sleep(order)
""",
        use_instead="""\
import asyncio

_background_tasks: set[asyncio.Task[object]] = set()


async def handle(order: int) -> None:
    task = asyncio.create_task(send_receipt(order), name="send_receipt")
    _background_tasks.add(task)
    task.add_done_callback(_background_tasks.discard)


async def send_receipt(order: int) -> None:
    await asyncio.sleep(order)
""",
        fix_safety=(
            "Safe: the fixer keeps the coroutine, gives the task a name, a registry and a discard "
            "callback. In an application's lifespan or startup handler, and for the loops of a "
            "class that is closed, it also cancels and awaits the tasks at the end; where it "
            "cannot tell in which order to do that, it declines the site. Endless tasks of one "
            "call and of a context manager end with these, or are declined."
        ),
        references=(
            f"{_ASYNCIO_DOCS}#asyncio.create_task",
            "https://docs.astral.sh/ruff/rules/asyncio-dangling-task/",
        ),
        precision=1.0,
        sites=45,
    ),
    Rule(
        code="TSK002",
        name="unretained-task",
        message=(
            "task{running} is only referenced by locals and may be garbage-collected "
            "when the function ends; keep it in a registry"
        ),
        left_behind=(
            "task{running} is left behind by asyncio.wait() and may be garbage-collected when the "
            "function ends; cancel or await what is pending"
        ),
        what=(
            "Finds tasks whose handle reaches only local names, local containers or weak "
            "references of a function that can end while the task still runs; also after an "
            "`asyncio.wait` for the first that completes, or with a time limit, where nobody looks "
            "after what is still pending."
        ),
        why=(
            "A local name keeps a task for as long as the function runs, and no longer. A local "
            "set with a discard callback does not help: the set and the task then hold only each "
            "other, and the cyclic collector takes both. Weak containers hold nothing at all. "
            "What `asyncio.wait` leaves behind need not be lost: a `queue.get()` that is held by "
            "its queue takes the next item away, so cancel it rather than keep it."
        ),
        example="""\
import asyncio


async def start() -> None:
    poller = asyncio.create_task(poll())
    poller.add_done_callback(print)


async def poll() -> None:
    while True:
        await asyncio.sleep(1)
""",
        use_instead="""\
import asyncio

_background_tasks: set[asyncio.Task[object]] = set()


async def start() -> None:
    poller = asyncio.create_task(poll(), name="poll")
    _background_tasks.add(poller)
    poller.add_done_callback(_background_tasks.discard)
    poller.add_done_callback(print)


async def poll() -> None:
    while True:
        await asyncio.sleep(1)
""",
        fix_safety=(
            "Safe: the fixer adds the task to a registry and keeps its name. What only waits, and "
            "is left behind by `asyncio.wait` (for the first that completes, or with a time "
            "limit), is cancelled instead; work that loses a race, with `--unsafe-fixes` only. A "
            "heartbeat that serves one call is cancelled when the function is through with its "
            "connection, an endless task of a context manager when what that lends is given back; "
            "other endless tasks of one call are declined."
        ),
        references=(f"{_ASYNCIO_DOCS}#asyncio.create_task",),
        precision=1.0,
        sites=19,
    ),
    Rule(
        code="TSK003",
        name="discarded-aggregate",
        message=(
            "awaitable{running} is dropped without await, so its tasks may be garbage-collected "
            "and their exceptions lost; await it or keep it"
        ),
        what=(
            "Finds calls of `asyncio.gather`, `shield`, `run_coroutine_threadsafe`, `wait` and "
            "`wait_for` whose awaitable is thrown away."
        ),
        why=(
            "`gather` and `shield` start tasks, and the awaitable they return is the only thing "
            "that holds them; they vanish without even the 'Task was destroyed but it is pending' "
            "message. The future of `run_coroutine_threadsafe` is the only place where the "
            "coroutine's exception shows. A `wait` without `await` does nothing."
        ),
        example="""\
import asyncio


async def refresh() -> None:
    asyncio.gather(load("users"), load("orders"))


async def load(table: str) -> None:
    await asyncio.sleep(len(table))
""",
        use_instead="""\
import asyncio


async def refresh() -> None:
    await asyncio.gather(load("users"), load("orders"))


async def load(table: str) -> None:
    await asyncio.sleep(len(table))
""",
        fix_safety=(
            "Safe: the fixer keeps the aggregate in a registry; what a lifespan gathers becomes "
            "tasks that end with it, and what fails for another thread is logged. Awaiting it "
            "instead changes when the code after it runs, and is done with `--unsafe-fixes` only."
        ),
        references=(f"{_ASYNCIO_DOCS}#asyncio.gather",),
        precision=1.0,
        sites=25,
    ),
    Rule(
        code="TSK101",
        name="missing-discard",
        message=(
            "task{running} is stored for ever, as nothing takes it out again; "
            "add a discard callback"
        ),
        what=(
            "Finds tasks that are stored in a container which outlives the call, where nothing "
            "takes a task out again and the storing code can run any number of times."
        ),
        why=(
            "The container grows for as long as the program runs. Every task in it keeps its "
            "coroutine's result or its exception, with the traceback and all that the frames "
            "hold, and the exception is never reported."
        ),
        example="""\
import asyncio

_tasks: set[asyncio.Task[None]] = set()


async def on_message(text: str) -> None:
    _tasks.add(asyncio.create_task(store(text)))


async def store(text: str) -> None:
    await asyncio.sleep(len(text))
""",
        use_instead="""\
import asyncio

_tasks: set[asyncio.Task[None]] = set()


async def on_message(text: str) -> None:
    task = asyncio.create_task(store(text))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def store(text: str) -> None:
    await asyncio.sleep(len(text))
""",
        fix_safety=(
            "Safe: the fixer adds the discard callback beside the place that stores. An entry of "
            "a dictionary is only taken out if it still is the task's own."
        ),
        references=(f"{_ASYNCIO_DOCS}#asyncio.create_task",),
        precision=1.0,
        sites=2,
    ),
    Rule(
        code="TSK102",
        name="broken-done-callback",
        message=(
            "done-callback of the task{running} cannot work; pass a plain function of one "
            "parameter, such as the discard method of the task's own container"
        ),
        what=(
            "Finds done-callbacks that fail when they run or do nothing: the discard method "
            "called instead of passed, a lambda without a parameter, an `async def`, the discard "
            "of another container than the task is in, `task.result()` before the discard."
        ),
        why=(
            "`task.add_done_callback(tasks.discard(task))` takes the task out at once, so nothing "
            "holds it, and registers `None`. An `async def` callback is called but never awaited. "
            "The discard of another container leaves the task in its own for ever. Rare in "
            "code that is in use: none in 15 packages and 200 public projects, and no false alarm."
        ),
        example="""\
import asyncio

_tasks: set[asyncio.Task[None]] = set()


async def on_message(text: str) -> None:
    task = asyncio.create_task(store(text))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard(task))


async def store(text: str) -> None:
    await asyncio.sleep(len(text))
""",
        use_instead="""\
import asyncio

_tasks: set[asyncio.Task[None]] = set()


async def on_message(text: str) -> None:
    task = asyncio.create_task(store(text))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def store(text: str) -> None:
    await asyncio.sleep(len(text))
""",
        fix_safety=(
            "Unsafe: a callback that never ran begins to run. The fixer passes the method "
            "instead of calling it, with `--unsafe-fixes` only."
        ),
        references=(
            "https://docs.python.org/3/library/asyncio-task.html#asyncio.Task.add_done_callback",
        ),
    ),
    Rule(
        code="TSK201",
        name="task-not-cancelled",
        message=(
            "endless task{running} is neither cancelled nor awaited when the application stops; "
            "cancel and await it at shutdown"
        ),
        what=(
            "Finds endless tasks that a lifespan, a startup handler, an aiohttp `cleanup_ctx` or "
            "Quart's `while_serving` starts and keeps, and that nothing cancels or awaits when the "
            "application stops. A coroutine of another file counts as endless by its name (`run`, "
            "`receive_messages`, `..._loop`). Silent where the end may tell the task to stop: by a "
            "flag of its loop, a sentinel, or by closing what it reads from."
        ),
        why=(
            "Under a SIGTERM the task gets no `CancelledError`, so its `finally` blocks never run, "
            "or it is cancelled only after the pools that it uses are closed."
        ),
        example="""\
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.poller = asyncio.create_task(poll())
    yield


async def poll() -> None:
    while True:
        await asyncio.sleep(60)
""",
        use_instead="""\
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.poller = asyncio.create_task(poll())
    try:
        yield
    finally:
        app.state.poller.cancel()
        await asyncio.wait([app.state.poller], timeout=10)


async def poll() -> None:
    while True:
        await asyncio.sleep(60)
""",
        fix_safety=(
            "Safe: the fixer cancels the task in a `finally` around the `yield`, or in the "
            "shutdown handler, and waits for it, for 10 seconds at the most "
            "(`--shutdown-timeout`). That comes before what the worker needs is closed, and after "
            "whoever asks for its result. A task in a container of your own is left to you."
        ),
        references=("https://fastapi.tiangolo.com/advanced/events/",),
        precision=1.0,
        sites=6,
    ),
    Rule(
        code="TSK202",
        name="cancel-not-awaited",
        message=(
            "task{running} is cancelled but nobody awaits it, so its clean-up may never run; await "
            "it after the cancel"
        ),
        what=(
            "Finds `cancel()` calls in close methods and after the `yield` of a lifespan, where "
            "nothing afterwards awaits the task."
        ),
        why=(
            "`cancel()` only asks. The task runs its `finally` blocks when the loop comes round to "
            "it; if the program ends first, they stop at their first `await`."
        ),
        example="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def close(self) -> None:
        self.task.cancel()

    async def poll(self) -> None:
        await asyncio.sleep(1)
""",
        use_instead="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=10)

    async def poll(self) -> None:
        await asyncio.sleep(1)
""",
        fix_safety=(
            "Safe: the fixer waits for what was cancelled, for 10 seconds at the most "
            "(`--shutdown-timeout`)."
        ),
        references=("https://docs.python.org/3/library/asyncio-task.html#task-cancellation",),
        precision=0.91,
        sites=57,
        default=False,
    ),
    Rule(
        code="TSK203",
        name="swallowed-cancellation",
        message=(
            "cancellation of the task{running} is caught in its loop, which goes on; re-raise it "
            "or leave the loop"
        ),
        what=(
            "Finds loops of a coroutine that runs as a task, where `CancelledError` is caught (by "
            "name, by `BaseException`, a bare `except` or `suppress`) and the loop goes on."
        ),
        why="Such a task cannot be ended: `asyncio.run` waits for it for ever.",
        example="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def poll(self) -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except BaseException:
                continue
""",
        use_instead="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def poll(self) -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except Exception:
                continue
""",
        fix_safety="Not fixed: what the handler is for cannot be told from here.",
        references=("https://docs.python.org/3/library/asyncio-task.html#task-cancellation",),
        precision=1.0,
        sites=3,
        default=False,
    ),
    Rule(
        code="TSK204",
        name="owner-never-stops",
        message=(
            "endless task{running} is neither cancelled nor awaited by its object's close method; "
            "cancel and await it there"
        ),
        what=(
            "Finds endless tasks that an object with an `async` close method (or a module with "
            "`start_x` and `stop_x`) starts and keeps, that nothing in the file cancels or awaits "
            "and that the close method tells in no other way to end: no flag, no sentinel, no "
            "closed source. What a restart cancels is the task before."
        ),
        why="The object is closed, and its task works on with closed connections.",
        example="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def close(self) -> None:
        await asyncio.sleep(0)

    async def poll(self) -> None:
        while True:
            await asyncio.sleep(1)
""",
        use_instead="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=10)

    async def poll(self) -> None:
        while True:
            await asyncio.sleep(1)
""",
        fix_safety="Not fixed: how a task that has an owner is to end is the owner's matter.",
        precision=1.0,
        sites=2,
        default=False,
    ),
    Rule(
        code="TSK205",
        name="closed-before-stopped",
        message=(
            "closed while the endless task{running} still uses it, which is stopped only "
            "afterwards; cancel and await the task first"
        ),
        what=(
            "Finds clean-up code that closes a client, pool or session before it cancels the "
            "endless task whose loop, in the same file, calls it. What the loop reads from is "
            "left alone: closing that is a way to end it."
        ),
        why=(
            "The task runs on until it is cancelled. In between it calls a closed connection, and "
            "its clean-up has nothing left to work with: the errors of an orderly shutdown."
        ),
        example="""\
import asyncio


class Poller:
    def __init__(self, client: Client) -> None:
        self.client = client

    def start(self) -> None:
        self.task = asyncio.create_task(self.run())

    async def close(self) -> None:
        await self.client.close()
        self.task.cancel()
        await asyncio.wait([self.task], timeout=10)

    async def run(self) -> None:
        while True:
            await self.client.send("ping")
            await asyncio.sleep(1)


class Client:
    async def send(self, text: str) -> None: ...

    async def close(self) -> None: ...
""",
        use_instead="""\
import asyncio


class Poller:
    def __init__(self, client: Client) -> None:
        self.client = client

    def start(self) -> None:
        self.task = asyncio.create_task(self.run())

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=10)
        await self.client.close()

    async def run(self) -> None:
        while True:
            await self.client.send("ping")
            await asyncio.sleep(1)


class Client:
    async def send(self, text: str) -> None: ...

    async def close(self) -> None: ...
""",
        fix_safety="Not fixed: the order of a shutdown is the owner's matter.",
        default=False,
    ),
    Rule(
        code="TSK301",
        name="unobserved-exception",
        message=(
            "task{running} is held for ever and nobody asks for its exception; await it or log "
            "its failure in a done-callback"
        ),
        what=(
            "Finds tasks on an attribute that nothing in the file ever awaits or asks for a "
            "result, and whose coroutine, in the same file, may fail. Of 59 such findings seven "
            "were of objects that do not live long, or whose handle is soon overwritten."
        ),
        why=(
            "Python reports an exception that nobody retrieved when the task is collected. A task "
            "that is held for ever never is: it fails in silence."
        ),
        example="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def poll(self) -> None:
        await self.fetch()

    async def fetch(self) -> None:
        raise ConnectionError
""",
        use_instead="""\
import asyncio
import logging


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())
        self.task.add_done_callback(self.log_failure)

    def log_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception():
            logging.error("poller failed", exc_info=task.exception())

    async def poll(self) -> None:
        await self.fetch()

    async def fetch(self) -> None:
        raise ConnectionError
""",
        fix_safety="Not fixed: where failures are to be heard is a matter of design.",
        references=("https://docs.python.org/3/library/asyncio-dev.html",),
        precision=0.88,
        sites=59,
        default=False,
    ),
    Rule(
        code="TSK302",
        name="callback-raises-on-cancel",
        message=(
            "done-callback of the task{running} asks for its result even if it was cancelled, and "
            "raises CancelledError; look at cancelled() first"
        ),
        what=(
            "Finds done-callbacks of tasks that call `result()` or `exception()` without a look "
            "at `cancelled()` and without a handler for `CancelledError`."
        ),
        why=(
            "`result()` and `exception()` of a cancelled task raise `CancelledError`, which "
            "`except Exception` does not catch: the loop logs an error at every clean shutdown."
        ),
        example="""\
import asyncio


class Poller:
    def start(self) -> None:
        task = asyncio.create_task(self.poll())
        task.add_done_callback(self.finished)
        self.task = task

    def finished(self, task: asyncio.Task[None]) -> None:
        task.result()

    async def poll(self) -> None:
        await asyncio.sleep(1)
""",
        use_instead="""\
import asyncio


class Poller:
    def start(self) -> None:
        task = asyncio.create_task(self.poll())
        task.add_done_callback(self.finished)
        self.task = task

    def finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.result()

    async def poll(self) -> None:
        await asyncio.sleep(1)
""",
        fix_safety=(
            "Safe: the fixer lets the callback return where it would raise, which changes nothing "
            "else, but that what takes a failed task out takes out a cancelled one, too. Where "
            "more would change, as in a `with` or a `finally`, behind a condition, or in a "
            "callback that is called elsewhere too, the callback is left alone."
        ),
        references=("https://docs.python.org/3/library/asyncio-task.html#asyncio.Task.result",),
        precision=1.0,
        sites=31,
    ),
    Rule(
        code="TSK303",
        name="unnamed-task",
        message="task{running} has no name; give it one for logs and debuggers with name=",
        what="Finds `create_task` calls without `name=`.",
        why="`Task-17 failed` in a log says nothing; `invoice-poller failed` does.",
        example="""\
import asyncio


async def main() -> None:
    await asyncio.create_task(poll())


async def poll() -> None:
    await asyncio.sleep(1)
""",
        use_instead="""\
import asyncio


async def main() -> None:
    await asyncio.create_task(poll(), name="poll")


async def poll() -> None:
    await asyncio.sleep(1)
""",
        fix_safety=(
            "Safe: the fixer names the task after the coroutine function that it runs, and "
            "declines where only a variable says what that is."
        ),
        references=("https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task",),
        precision=1.0,
        sites=25,
        default=False,
    ),
    Rule(
        code="TSK304",
        name="unregistered-task",
        message=(
            "task{running} is neither awaited here nor kept in a container with a discard "
            "callback; keep it in a registry"
        ),
        what=(
            "The strict house rule, for teams that want one pattern everywhere: finds every task "
            "that is neither awaited in its function nor added to a container with a discard "
            "callback, a task on an attribute (`self.task = ...`) too."
        ),
        why=(
            "A task on an attribute is kept, but a second call overwrites the first task, and "
            "every owner ends its tasks in its own way. With registries alone, one loop at "
            "shutdown ends them all."
        ),
        example="""\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def poll(self) -> None:
        await asyncio.sleep(1)
""",
        use_instead="""\
import asyncio


class Poller:
    def __init__(self) -> None:
        self._background_tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        task = asyncio.create_task(self.poll())
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    async def poll(self) -> None:
        await asyncio.sleep(1)
""",
        fix_safety="Not fixed: which registry a stored task belongs to is a matter of design.",
        default=False,
    ),
)

BY_CODE: Final = {rule.code: rule for rule in RULES}
OFF_CODES: Final = frozenset(rule.code for rule in RULES if not rule.default)


def codes_named(prefixes: tuple[str, ...] | list[str]) -> frozenset[str]:
    """Return the off-by-default codes that ``prefixes`` of ``--select`` ask for by name.

    A prefix of fewer than four characters (``TSK``, ``T``) asks for the plugin as it comes, not
    for rules that are off.
    """
    long_enough = tuple(prefix for prefix in prefixes if len(prefix) > len(PREFIX))
    return frozenset(code for code in OFF_CODES if code.startswith(long_enough))


def explain(rule: Rule) -> str:
    """Return the rule's documentation in Markdown, as ``--explain`` prints it."""
    state = (
        "on" if rule.default else f"off; name it to switch it on (`--extend-select {rule.code}`)"
    )
    measured = (
        "not measured, for want of findings in real code"
        if rule.precision is None
        else f"{rule.precision:.2f} of {rule.sites} findings in real code were right"
        + (" (these are all that were found)" if rule.sites < _ENOUGH_SITES else "")
    )
    parts = [
        f"# {rule.name} ({rule.code})",
        "\n\n".join(f"`{rule.code} {text}`" for text in _messages(rule)),
        f"Default: {state}. Precision: {measured}.",
        f"## What it does\n{rule.what}",
        f"## Why is this bad?\n{rule.why}",
        f"## Example\n```python\n{rule.example}```",
        f"## Use instead\n```python\n{rule.use_instead}```",
        f"## Fix safety\n{rule.fix_safety}",
    ]
    if rule.references:
        parts.append("## References\n" + "\n".join(f"- {address}" for address in rule.references))
    return "\n\n".join(parts) + "\n"


def _messages(rule: Rule) -> list[str]:
    """Return what ``rule`` prints of a coroutine that it does not know."""
    return [rule.text(), rule.text(left_behind=True)][: 1 + bool(rule.left_behind)]


def table() -> str:
    """Return the README's table of all rules, in Markdown, without a final newline."""
    lines = ["| code | name | what flake8 prints | fix | default |", "|---|---|---|---|---|"]
    lines += [
        f"| {rule.code} | {rule.name} | {rule.text('work()')} "
        f"| {rule.fix_safety.partition(':')[0].lower()} | {'on' if rule.default else 'off'} |"
        for rule in RULES
    ]
    return "\n".join(lines)
