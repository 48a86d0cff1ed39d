"""Whether an instance can hold tasks, where imports go, and what report-only rules do not stop."""

from __future__ import annotations

import asyncio
from typing import Any

import oracle
import pytest
from transform import fix

CLASS = """\
import asyncio


class Event:
    def __init__(self, text):
        self.text = text

    async def send(self):
        asyncio.create_task(upload(self.text))
{more}

async def upload(text):
    await asyncio.sleep(1)
{module}"""


def test_an_instance_that_nobody_holds_keeps_no_tasks() -> None:
    result = fix(CLASS.format(more="", module=""))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text
    assert "\n_background_tasks: set[" in result.text


def test_an_instance_that_the_module_holds_holds_its_tasks() -> None:
    result = fix(CLASS.format(more="", module="\n\nEVENT = Event('x')\n"))
    assert len(result.fixed) == 1
    assert "self._background_tasks.add(task)" in result.text


@pytest.mark.parametrize(
    "module",
    [
        "\n\nif __name__ == '__main__':\n    EVENT = Event('x')\n",
        "\n\nEVENT = Event('x')\n\n\ndef another():\n    return Event('y')\n",
        "\n\nEVENT = Event('x')\n\n\nclass Other(Event):\n    pass\n",
        "\n\nEVENT = Event('x')\nEVENT = None\n",
        "\n\nEVENT = Event('x')\n\n\ndef stop():\n    global EVENT\n    EVENT = None\n",
    ],
    ids=["main", "another", "subclass", "bound again", "let go"],
)
def test_only_instances_that_the_module_holds_for_good_hold_tasks(module: str) -> None:
    result = fix(CLASS.format(more="", module=module))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text


@pytest.mark.parametrize("made", ["cls('y')", "type(cls('y'))('z')"])
def test_a_class_that_makes_instances_itself_keeps_no_tasks_in_them(made: str) -> None:
    more = f"\n    @classmethod\n    def fresh(cls):\n        return {made}\n"
    result = fix(CLASS.format(more=more, module="\n\nEVENT = Event('x')\n"))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text


def test_a_task_that_ends_by_itself_is_not_cut_short_by_a_close_method() -> None:
    close = "\n    async def aclose(self):\n        await asyncio.sleep(0)\n"
    result = fix(CLASS.format(more=close, module="\n\nEVENT = Event('x')\n"))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text
    assert ".cancel()" not in result.text


LET_GO = """\
import asyncio

from oracle import worker


class Service:
    def __init__(self) -> None:
        self.made = 1

    async def start(self):
        asyncio.create_task(worker())

    async def close(self):
        await asyncio.sleep(0)


async def closed_and_let_go():
    service = Service()
    await service.start()
    await asyncio.sleep(1)
    await service.close()
"""
NESTED = """\
import asyncio
from contextlib import asynccontextmanager

from oracle import worker


@asynccontextmanager
async def lifespan(app):
    def start():
        asyncio.create_task(worker())

    start()
    yield


async def application_that_ends():
    async with lifespan(None):
        await asyncio.sleep(3600)
"""


@pytest.mark.parametrize("source", [LET_GO, NESTED], ids=["class", "nested function"])
def test_no_task_is_lost_with_its_owner(source: str) -> None:
    lost = [verdict.verdict for verdict in oracle.judge_source(source, "before.py")]
    assert lost == ["lost"]
    kept = oracle.judge_source(fix(source).text, "after.py")
    assert [verdict.verdict for verdict in kept] == ["kept"]


GRACEFUL = """\
import asyncio


class Service:
    def __init__(self, pool):
        self.pool = pool
        self.stopping = asyncio.Event()
        self.sent = asyncio.Event()

    async def start(self):
        asyncio.create_task(self.poll())
        asyncio.create_task(self.send())

    async def stop(self):
        self.stopping.set()
        await self.sent.wait()
        await self.pool.close()

    async def poll(self):
        while True:
            await asyncio.sleep(1)

    async def send(self):
        await self.stopping.wait()
        self.sent.set()
"""


def test_a_worker_that_is_waited_for_is_cancelled_after_that_and_before_its_pool_closes() -> None:
    result = fix(GRACEFUL)
    assert len(result.fixed) == 2
    stop = result.text.partition("async def stop")[2]
    places = [stop.index(text) for text in ("self.sent.wait()", ".cancel()", "self.pool.close()")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "heading", ["# Copyright 2022 Somebody\n#\n# All rights\n", "# Standard\n"]
)
def test_an_import_stands_below_the_heading(heading: str) -> None:
    source = (
        f"{heading}import json\n\n\nclass Model:\n    def go(self):\n        import asyncio\n\n"
        "        asyncio.create_task(self.run())\n"
    )
    result = fix(source)
    assert len(result.fixed) == 1
    assert result.text.startswith(f"{heading}import asyncio\nimport json\n")


def test_a_task_without_an_end_is_kept_all_the_same() -> None:
    source = (
        "import asyncio\n\nfrom quart import Quart\n\napp = Quart(__name__)\n\n\n"
        "@app.before_serving\nasync def start():\n    asyncio.create_task(poll())\n\n\n"
        "async def poll():\n    while True:\n        await asyncio.sleep(1)\n"
    )
    result = fix(source)
    assert [finding.code for finding in result.fixed] == ["TSK001"]
    assert "_background_tasks.add(task)" in result.text


FAILING = """\
import asyncio
{head}

    async def start(self=None):
        asyncio.create_task(fail())


async def fail():
    raise ValueError("heard")


{tail}
"""


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("if True:", "begin = start"),
        ("class A:\n    def __init__(self):\n        self.a = 1", "a = A()\nbegin = a.start"),
    ],
    ids=["module", "instance"],
)
def test_asyncio_reports_what_fails_in_a_registry(head: str, tail: str) -> None:
    text = fix(FAILING.format(head=head, tail=tail)).text
    assert "_background_tasks.add(task)" in text
    names: dict[str, Any] = {}
    exec(compile(text, "sample.py", "exec"), names)  # noqa: S102 (it is what we test)
    reported: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: reported.append(said))
        await names["begin"]()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert [str(said["exception"]) for said in reported] == ["heard"]


def test_what_is_started_anew_is_ended_with_what_was_started_first() -> None:
    text = fix(
        """
import asyncio


class Client:
    def __init__(self):
        self.socket = None

    async def start(self):
        self.socket = await connect()
        asyncio.create_task(self.receive())

    async def reconnect(self):
        await asyncio.sleep(1)
        asyncio.create_task(self.receive())

    async def receive(self):
        while True:
            await self.socket.receive()

    async def disconnect(self):
        await self.socket.close()
"""
    ).text
    assert text.count("self._background_tasks.add(task)") == 2
    assert "\n_background_tasks" not in text
