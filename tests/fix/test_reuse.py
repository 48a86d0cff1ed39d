"""What the fixer may reuse, and that a refusal stands."""

from __future__ import annotations

import pytest
from transform import check_declined, fix

LIFESPAN = """\
import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI

{module}

@asynccontextmanager
async def lifespan(app: FastAPI):
    {before}
    yield
    {after}


async def poll():
    {poll}


async def once():
    await asyncio.sleep(1)
"""


def lifespan(
    before: str, *, after: str = "", module: str = "", poll: str = "await asyncio.sleep(1)"
) -> str:
    return LIFESPAN.format(before=before, after=after, module=module, poll=poll)


def test_a_site_after_the_yield_is_refused_beside_one_before_it() -> None:
    source = lifespan("asyncio.create_task(poll())", after="asyncio.create_task(once())")
    result = fix(source)
    assert [finding.coroutine for finding in result.fixed] == ["poll()"]
    assert [refusal.finding.coroutine for refusal in result.declined] == ["once()"]
    assert "    asyncio.create_task(once())\n" in result.text


def test_a_worker_that_swallows_cancellation_is_refused_beside_one_that_does_not() -> None:
    swallow = (
        "while True:\n        try:\n            await asyncio.sleep(1)\n"
        "        except BaseException:\n            continue"
    )
    both = "asyncio.create_task(poll())\n    asyncio.create_task(once())"
    result = fix(lifespan(both, poll=swallow))
    assert [finding.coroutine for finding in result.fixed] == ["once()"]
    assert [refusal.finding.coroutine for refusal in result.declined] == ["poll()"]
    assert "    asyncio.create_task(poll())\n" in result.text


@pytest.mark.parametrize(
    "module",
    [
        "_jobs: set[asyncio.Task[None]] = set()\n",
        (
            "_jobs: set[asyncio.Task[None]] = set()\n\n\ndef keep(task):\n    _jobs.add(task)\n"
            "    task.add_done_callback(_jobs.discard)\n"
        ),
        (
            "_jobs: set[asyncio.Task[None]] = set()\n\n\nasync def handler():\n"
            "    task = asyncio.create_task(once())\n    _jobs.add(task)\n"
            "    task.add_done_callback(_jobs.discard)\n"
        ),
    ],
    ids=["empty set", "helper", "handler's registry"],
)
def test_a_lifespan_ends_its_tasks_whatever_else_keeps_tasks(module: str) -> None:
    result = fix(lifespan("asyncio.create_task(poll())", module=module))
    assert len(result.fixed) == 1
    after_yield = result.text.partition("    yield")[2]
    assert ".cancel()" in after_yield
    assert "asyncio.wait(" in after_yield


REGISTRY = "import asyncio\n\n_tasks: set[asyncio.Task[None]] = set()\n\n\n"
SPAWN = (
    "def spawn(coroutine):\n    task = asyncio.create_task(coroutine)\n    _tasks.add(task)\n"
    "    task.add_done_callback(_tasks.discard)\n\n\n"
)
KEEP = "def keep(task):\n    _tasks.add(task)\n    task.add_done_callback(_tasks.discard)\n\n\n"
WORK = "\n\nasync def work():\n    await asyncio.sleep(1)\n"


def test_a_helper_that_returns_nothing_is_not_chained() -> None:
    site = "async def start():\n    asyncio.create_task(work()).add_done_callback(print)\n"
    result = fix(REGISTRY + SPAWN + site + WORK)
    assert len(result.fixed) == 1
    assert "spawn(work())" not in result.text
    assert "    task.add_done_callback(print)\n" in result.text


def test_a_helper_is_called_where_its_name_is_its_own() -> None:
    result = fix(REGISTRY + KEEP + "async def start():\n    asyncio.create_task(work())\n" + WORK)
    assert "    keep(asyncio.create_task(work()" in result.text


def test_a_parameter_hides_a_helper() -> None:
    result = fix(
        REGISTRY + KEEP + "async def start(keep):\n    asyncio.create_task(work())\n" + WORK
    )
    assert len(result.fixed) == 1
    assert "    keep(" not in result.text


def test_a_set_that_is_made_later_is_not_used() -> None:
    source = (
        "import asyncio\n\n\nasync def start():\n    asyncio.create_task(work())\n"
        + WORK
        + "\n\nasyncio.run(start())\n_jobs: set[asyncio.Task[None]] = set()\n"
    )
    result = fix(source)
    assert len(result.fixed) == 1
    assert "_jobs.add(" not in result.text
    exec(compile(result.text, "repaired.py", "exec"), {})  # noqa: S102 (our own program)


def test_a_set_of_futures_is_no_registry_of_tasks() -> None:
    source = (
        "import asyncio\n\nwaiting = set()\n\n\nasync def other(future):\n    waiting.add(future)\n"
        "    future.add_done_callback(waiting.discard)\n\n\nasync def start():\n"
        "    asyncio.create_task(work())\n" + WORK
    )
    result = fix(source)
    assert len(result.fixed) == 1
    assert "waiting.add(task)" not in result.text


def test_a_synchronous_route_is_refused() -> None:
    check_declined(
        "import asyncio\n\nfrom fastapi import FastAPI\n\napp = FastAPI()\n\n\n"
        '@app.get("/")\ndef index():\n    asyncio.create_task(work())\n' + WORK,
        "worker thread",
    )


TWO_WORKERS = WORK + "\n\nasync def beat():\n    while True:\n        await asyncio.sleep(1)\n"
START = "async def start():\n    asyncio.create_task({})\n\n\n"


def kept_by_helper(helper: str, callback: str = "") -> bool:
    """Tell whether the fixer has ``helper`` keep a task; either way, it must be kept."""
    result = fix(f"{REGISTRY}{helper}\n\n{callback}{START.format('work()')}{TWO_WORKERS}")
    assert [finding.coroutine for finding in result.fixed] == ["work()"]
    start = result.text.partition("async def start")[2]
    return "spawn(work())" in start or "keep(asyncio.create_task(" in start


REGISTERS = "    _tasks.add(task)\n    task.add_done_callback(_tasks.discard)\n"
MAKES = "def spawn(coroutine):\n    task = asyncio.create_task(coroutine)\n"


@pytest.mark.parametrize(
    "helper",
    [
        f"def keep(task):\n    task.add_done_callback(stop)\n{REGISTERS}",
        (
            "def keep(task, timeout=5):\n    loop = asyncio.get_running_loop()\n"
            f"    loop.call_later(timeout, task.cancel)\n{REGISTERS}"
        ),
        f"{MAKES}    if closing:\n        return\n{REGISTERS}",
        f"{MAKES}    assert len(free) > 0\n{REGISTERS}",
        f"{MAKES}{REGISTERS}    task.add_done_callback(lambda t: t.cancelled() or t.exception())\n",
        f"{MAKES}{REGISTERS}    task.add_done_callback(free.append)\n",
        f"{MAKES}{REGISTERS}    count['tasks'] += 1\n",
        f"{MAKES}{REGISTERS}    count['tasks'] = True\n",
        f"{MAKES}{REGISTERS}    print('spawned')\n",
        f"def keep(task, log=print):\n    log('keeping')\n{REGISTERS}",
        f"{MAKES}{REGISTERS}    free.append(task)\n",
        f"{MAKES}{REGISTERS}    return asyncio.shield(task)\n",
        (
            "def spawn(coroutine):\n    task = asyncio.create_task(coroutine, context=Context())\n"
            f"{REGISTERS}"
        ),
        (
            "def spawn(coroutine):\n    task = asyncio.create_task(coroutine, name=next(names))\n"
            f"{REGISTERS}"
        ),
    ],
)
def test_a_helper_that_does_more_than_register_is_not_called(helper: str) -> None:
    assert not kept_by_helper(helper)


@pytest.mark.parametrize(
    "helper",
    [
        f'def keep(task):\n    """Keep it."""\n{REGISTERS}',
        f"{MAKES}{REGISTERS}    return task\n",
        f"def keep(task: asyncio.Task[None]) -> None:\n    global _tasks\n{REGISTERS}",
        (
            "def spawn(coroutine, name=None):\n"
            f"    task = asyncio.create_task(coroutine, name=name)\n{REGISTERS}"
        ),
        f"def keep(task):\n{REGISTERS}    task.set_name(f'{{task.get_coro!r}}')\n",
    ],
)
def test_a_helper_that_only_registers_is_called(helper: str) -> None:
    assert kept_by_helper(helper)


@pytest.mark.parametrize(
    ("other", "called"),
    [
        ("class Counting(Service):\n    def _keep(self, task):\n        print('kept')\n", False),
        ("class Board:\n    def _keep(self, task):\n        print('kept')\n", True),
    ],
)
def test_a_helper_of_which_a_subclass_makes_another_is_not_called(other: str, called: bool) -> None:
    source = (
        "import asyncio\n\n\nclass Service:\n    def __init__(self):\n        self._own = set()\n\n"
        "    def _keep(self, task):\n        self._own.add(task)\n"
        "        task.add_done_callback(self._own.discard)\n\n"
        f"    async def start(self):\n        asyncio.create_task(work())\n\n\n{other}{WORK}"
    )
    assert ("self._keep(asyncio" in fix(source).text) is called


LOGS = f"def keep(task):\n{REGISTERS}    task.add_done_callback(log_failed)\n"
LOGGER = "logger = logging.getLogger(__name__)\n\n\n"


@pytest.mark.parametrize(
    ("body", "called"),
    [
        (
            (
                "    try:\n        task.result()\n    except asyncio.CancelledError:\n"
                "        pass\n    except Exception:\n        logger.exception('failed')\n"
            ),
            True,
        ),
        (
            (
                "    if not task.cancelled() and (error := task.exception()):\n"
                "        logger.error('%s failed', task.get_name(), exc_info=error)\n"
            ),
            True,
        ),
        (
            (
                "    error = None if task.cancelled() else task.exception()\n"
                "    if error is not None:\n        logger.opt(exception=error).error('failed')\n"
            ),
            True,
        ),
        ("    with suppress(asyncio.CancelledError):\n        log.error(task.exception())\n", True),
        ("    jobs.opt(exception=task.exception()).error('failed')\n", False),
        ("    logger.opt(exception=task.exception())\n", False),
        ("    with suppress(Exception):\n        log.error(task.result())\n", False),
        ("    if not task.cancelled():\n        task.exception()\n", False),
        ("    if not task.cancelled():\n        logger.debug(task.exception())\n", False),
        (
            (
                "    try:\n        task.result()\n    except asyncio.CancelledError:\n"
                "        logger.warning('cancelled')\n    except Exception:\n        pass\n"
            ),
            False,
        ),
        ("    if task.exception():\n        logger.error('failed')\n        stop()\n", False),
        ("    global failed\n    failed = task.exception()\n    logger.error(failed)\n", False),
        ("    stats.failed = task.exception()\n    logger.error(stats)\n", False),
        ("    logger.error('over')\n    raise SystemExit\n", False),
    ],
)
def test_a_done_callback_of_a_helper_may_only_log(body: str, called: bool) -> None:
    callback = f"{LOGGER}def log_failed(task):\n{body}\n\n"
    assert kept_by_helper(LOGS, callback) is called


SERVICE = """\
import asyncio
from elsewhere import heartbeat, client


class Service:
    def __init__(self, jobs):
        self._jobs = jobs
        self._stopping = asyncio.Event()
        self._tasks = set()

    async def start(self):
        asyncio.create_task({site})

    async def serve(self):
        task = asyncio.create_task(self._poll())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _poll(self):
        while True:
            await asyncio.sleep(1)

    async def _wait(self):
        while not self._stopping.is_set():
            await asyncio.sleep(1)

    async def _work_off(self):
        while self._jobs:
            await self._jobs.pop()

    async def _work(self):
        await asyncio.sleep(1)

    async def _later(self):
        'Speak, but not now.'
        try:
            await asyncio.sleep(1)
            print("now")
        finally:
            print("never")

    async def async_later(self):
        await asyncio.sleep(1)
        print("now")

    async def save_later(self):
        await asyncio.sleep(1)
        print("now")

    async def _soon(self):
        await asyncio.sleep(0)
        print("now")

{end}
"""
CANCEL = "        for task in list(self._tasks):\n            task.cancel()\n"
GATHER = "        await asyncio.gather(*self._tasks, return_exceptions=True)\n"


def joins(end: str, site: str = "self._poll()", after: str = "") -> bool:
    """Tell whether the task of ``site`` joins a container with which ``end`` does something."""
    result = fix(SERVICE.format(site=site, end=end) + after)
    assert len(result.fixed) == 1
    return result.text.count("self._tasks.add(task)") == 2


@pytest.mark.parametrize(
    ("site", "joined"),
    [
        ("self._poll()", True),
        ("self._wait()", True),
        ("heartbeat()", True),
        ("self._later()", True),
        ("self.async_later()", True),
        ("self.save_later()", False),
        ("self._soon()", False),
        ("self._work()", False),
        ("self._work_off()", False),
        ("self._jobs.pop()", False),
        ("client.run()", False),
        ("client.send()", False),
    ],
)
def test_a_close_cuts_short_only_what_is_endless(site: str, joined: bool) -> None:
    assert joins(f"    async def close(self):\n{CANCEL}{GATHER}", site) is joined


def test_a_container_without_an_end_takes_any_task() -> None:
    assert joins("", "self._work()")


@pytest.mark.parametrize(
    ("name", "joined"),
    [
        ("close", True),
        ("aclose", True),
        ("__aexit__", True),
        ("async_shutdown", True),
        ("shut_down", True),
        ("stop_all_tasks", True),
        ("_cancel_background_tasks", True),
        ("join_channel", False),
        ("end_turn", False),
        ("close_room", False),
        ("wait", False),
        ("refresh", False),
    ],
)
def test_what_is_cancelled_at_the_end_is_told_by_name(name: str, joined: bool) -> None:
    assert joins(f"    async def {name}(self):\n{CANCEL}") is joined


def test_an_end_in_between_is_none() -> None:
    close = f"    async def close(self):\n{CANCEL}\n"
    assert joins(close + "    async def shutdown(self):\n        await self.close()\n")
    assert not joins(close + "    async def reload(self):\n        await self.close()\n")


def test_a_stop_ends_what_is_started() -> None:
    stop = f"    async def stop(self):\n{CANCEL}"
    assert joins(stop)
    source = SERVICE.format(site="self._poll()", end=stop).replace("start(self", "watch(self")
    assert fix(source.replace("serve(self", "play(self")).text.count("self._tasks.add(task)") == 1


@pytest.mark.parametrize(
    ("body", "joined"),
    [
        (GATHER, False),
        (GATHER + CANCEL, False),
        ("        await asyncio.wait(self._tasks, timeout=5)\n" + CANCEL, False),
        (
            "        pending = set(self._tasks)\n        await asyncio.wait(pending)\n" + CANCEL,
            False,
        ),
        ("        self._stopping.set()\n        self._jobs.cancel()\n" + GATHER, False),
        (CANCEL + GATHER, True),
        (CANCEL + "        if self._tasks:\n            await asyncio.wait(self._tasks)\n", True),
        ("        [task.cancel() for task in self._tasks]\n" + GATHER, True),
        ("        await cancel_and_wait(self._tasks)\n", True),
        (
            (
                "        tasks, self._tasks = self._tasks, set()\n        for task in tasks:\n"
                "            task.cancel()\n        await asyncio.gather(*tasks)\n"
            ),
            True,
        ),
        ("        self._tasks.clear()\n", False),
    ],
)
def test_a_container_is_only_waited_for_when_all_of_it_is_cancelled(
    body: str, joined: bool
) -> None:
    assert joins(f"    async def close(self):\n{body}") is joined


def test_a_main_function_that_waits_takes_no_stranger() -> None:
    main = "    pass\n\n\nasync def main():\n    service = Service([])\n    await {}\n"
    for wait in ("asyncio.gather(*service._tasks)", "asyncio.wait(service._tasks)"):
        assert not joins("", "self._work()", main.format(wait).replace("    pass", ""))


@pytest.mark.parametrize(
    ("end", "joined"),
    [
        ("    def load(self):\n        return len(self._tasks)\n", False),
        ("    def show(self):\n        print(len(self._tasks))\n", False),
        ("    def show(self):\n        logger.info(len(self._tasks))\n", False),
        ("    def is_idle(self):\n        return not self._tasks\n", False),
        ("    def tasks(self):\n        return self._tasks\n", False),
        (f"    async def close(self):\n{CANCEL}        return len(self._tasks)\n", False),
        (f"    async def close(self):\n{CANCEL}        self.n = len(self._tasks)\n", False),
        (
            f"    async def close(self):\n{CANCEL}        self.client.info(len(self._tasks))\n",
            False,
        ),
        (f"    async def close(self):\n        logger.info(len(self._tasks))\n{CANCEL}", True),
        (
            (
                "    async def close(self):\n        if not self._tasks:\n            return\n"
                f"{CANCEL}"
            ),
            True,
        ),
    ],
)
def test_a_container_that_is_counted_or_given_out_takes_no_stranger(end: str, joined: bool) -> None:
    assert joins(end) is joined


def test_the_same_attribute_of_another_class_does_not_count() -> None:
    other = "\n\nclass Board:\n    def size(self):\n        return len(self._tasks)\n"
    assert joins("", after=other)
    assert not joins("", after=other.replace("Board", "Board(Service)"))


@pytest.mark.parametrize(
    ("declaration", "taken"),
    [
        ("_jobs: set[asyncio.Task[None]] = set()", True),
        ("_jobs: set[asyncio.Task] = set()", True),
        ("_jobs: set[Task[None]] = set()", True),
        ('_jobs: "set[asyncio.Task[None]]" = set()', True),
        ("jobs: set[asyncio.Task[None]] = set()", False),
        ("_jobs: set[TaskId] = set()", False),
        ("_jobs: set[Item.Task] = set()", False),
        ("_jobs: set[asyncio.Task[None]] = set(old)", False),
        ("_jobs: set[asyncio.Task[None]] = set()\nprint(_jobs)", False),
    ],
)
def test_an_empty_set_is_taken_if_it_is_for_tasks_of_this_file(
    declaration: str, taken: bool
) -> None:
    imports = "import asyncio\nfrom asyncio import Task\n\nTaskId = int\nold = []\n\n"
    result = fix(f"{imports}{declaration}\n\n\n{START.format('work()')}{WORK}")
    assert len(result.fixed) == 1
    assert ("jobs.add(task)" in result.text) is taken


def test_a_set_of_another_kind_of_tasks_is_not_taken() -> None:
    source = (
        "import asyncio\n\n\nclass Task:\n    title = ''\n\n\n_open: set[Task] = set()\n\n\n"
        f"{START.format('work()')}{WORK}"
    )
    assert "_open.add(" not in fix(source).text


@pytest.mark.parametrize(
    ("after", "taken"),
    [
        ("for task in own:\n        task.cancel()\n    await asyncio.gather(*own)", True),
        ("await asyncio.gather(*own)", False),
        ("print(len(own))", False),
    ],
)
def test_a_lifespans_own_container_is_only_cancelled(after: str, taken: bool) -> None:
    before = (
        "own = set()\n    task = asyncio.create_task(once())\n    own.add(task)\n"
        "    task.add_done_callback(own.discard)\n    asyncio.create_task(poll())"
    )
    result = fix(lifespan(before, after=after))
    assert [finding.coroutine for finding in result.fixed] == ["poll()"]
    assert (result.text.count("own.add(") == 2) is taken


@pytest.mark.parametrize(
    ("decorator", "reused"),
    [
        ("@override", True),
        ("@retry(times=3)", True),
        ("@staticmethod", False),
        ("@classmethod", False),
        ("@tools.classmethod", False),
    ],
)
@pytest.mark.parametrize("helper", [False, True])
def test_a_decorated_method_has_the_registry_of_its_instance(
    decorator: str, reused: bool, helper: bool
) -> None:
    keep = "_keep(self, task)" if helper else "begin(self)"
    make = "" if helper else "        task = asyncio.create_task(work())\n"
    source = (
        "import asyncio\n\n\nclass Service:\n    def __init__(self):\n        self._own = set()\n\n"
        f"    def {keep}:\n{make}        self._own.add(task)\n"
        "        task.add_done_callback(self._own.discard)\n\n"
        f"    {decorator}\n    async def start(self):\n        print(self.name)\n"
        f"        asyncio.create_task(work())\n{WORK}"
    )
    start = fix(source).text.partition("async def start")[2]
    assert ("self._" in start) is reused


FUTURES = """import asyncio
from asyncio import Future
from typing import Any, Optional

{registry}
async def work() -> None:
    await asyncio.sleep(1)


async def one() -> None:
    first: Future[None] = asyncio.ensure_future(work())
    print(first)


async def two() -> None:
    second: "Optional[asyncio.Future[Any]]"
    second = asyncio.ensure_future(work())
    print(second)


async def three() -> None:
    third = asyncio.ensure_future(work())
    print(third)
"""
HELPER = (
    "_jobs: set[asyncio.Task[None]] = set()\n\n\ndef keep(task: asyncio.Task[None]) -> None:\n"
    "    _jobs.add(task)\n    task.add_done_callback(_jobs.discard)\n\n"
)


@pytest.mark.parametrize(
    ("registry", "third"),
    [
        ("", "_background_tasks.add(third)"),
        (HELPER, "_jobs.add(third)"),
        ("_jobs: set[asyncio.Task[None]] = set()\n\n", "_jobs.add(third)"),
    ],
)
def test_a_handle_that_is_declared_as_a_future_goes_into_a_set_of_futures(
    registry: str, third: str
) -> None:
    text = fix(FUTURES.format(registry=registry)).text
    assert "_background_futures: set[asyncio.Future[Any]] = set()" in text
    for added in ("_background_futures.add(first)", "_background_futures.add(second)", third):
        assert added in text
