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
