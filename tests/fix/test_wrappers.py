"""A file's own ``create_task`` whose callers drop the task keeps it in itself."""

from __future__ import annotations

import pytest
from transform import check_declined, fix

CLIENT = """\
import asyncio


class Client:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def spawn(self, coroutine):
{body}

    def submit(self):
        self.spawn(self.send())

    def repeat(self):
        {repeat}

    async def send(self):
        await asyncio.sleep(1)
"""
NAMED = """\
        task = self._loop.create_task(coroutine)
        task.add_done_callback(print)
        return task
"""
KEPT = """\
        task = self._loop.create_task(coroutine)
        _background_tasks.add(task)
        task.add_done_callback(_background_tasks.discard)
        task.add_done_callback(print)
        return task
"""


def client(body: str, repeat: str = "self.spawn(self.send())") -> str:
    return CLIENT.format(body=body.rstrip("\n"), repeat=repeat)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (NAMED, KEPT),
        (
            f"        if self._loop.is_closed():\n            return None\n{NAMED}",
            f"        if self._loop.is_closed():\n            return None\n{KEPT}",
        ),
        (
            "        return asyncio.ensure_future(coroutine)",
            "        return _track(asyncio.ensure_future(coroutine))",
        ),
    ],
)
def test_the_wrapper_keeps_what_its_callers_drop(before: str, after: str) -> None:
    result = fix(client(before))
    assert [finding.code for finding in result.fixed] == ["TSK001", "TSK001"]
    assert client(after).partition("class")[2] == result.text.partition("class")[2]


@pytest.mark.parametrize(
    "body", [NAMED, "        return self._loop.create_task(coroutine)  # soon"]
)
@pytest.mark.parametrize(
    "discard", ["self._own.discard", "lambda t: self._own.discard(t)", "self.forget"]
)
def test_a_registry_of_its_class_takes_them(body: str, discard: str) -> None:
    own = (
        "task = asyncio.create_task(self.send())\n        self._own.add(task)\n"
        f"        task.add_done_callback({discard})\n\n"
        "    def forget(self, task):\n        print(task)\n        self._own.discard(task)"
    )
    before = client(body, own).replace(
        "self._loop = loop", "self._own = set()\n        self._loop = loop"
    )
    text = fix(before).text
    spawn = text.partition("def spawn")[2].partition("    def submit")[0]
    kept = "        self._own.add(task)\n        task.add_done_callback(self._own.discard)\n"
    assert kept in spawn
    assert "task = self._loop.create_task(coroutine)" in spawn
    assert spawn.endswith("        return task\n\n")
    assert ("# soon\n" in spawn) is ("# soon" in body)
    assert "_background_tasks" not in text
    assert "\n    def submit(self):\n        self.spawn(self.send())\n" in text


def test_what_a_spawner_of_the_class_makes_is_a_task() -> None:
    own = (
        "task = self.spawn(self.send())\n        self._own.add(task)\n"
        "        task.add_done_callback(self._own.discard)"
    )
    before = client(NAMED, own).replace(
        "self._loop = loop", "self._own = set()\n        self._loop = loop"
    )
    submit = fix(before).text.partition("def submit")[2].partition("def repeat")[0]
    assert submit.count("self._own") == len(("add", "discard"))


@pytest.mark.parametrize(
    "repeat",
    [
        "self.task = self.spawn(self.send())",
        "return self.spawn(self.send())",
        "tasks = [self.spawn(self.send())]; print(tasks); return tasks",
    ],
)
def test_a_task_that_another_caller_keeps_is_kept_by_the_callers(repeat: str) -> None:
    text = fix(client(NAMED, repeat)).text
    assert NAMED in text
    assert "_background_tasks.add(task)" in text.partition("def submit")[2]


@pytest.mark.parametrize(
    "body",
    [
        # Another task each time, or none of asyncio's.
        f"        if self._loop is None:\n            return print()\n{NAMED}".replace(
            "        task = self._loop.create_task(coroutine)\n",
            "        task = self._loop.create_task(coroutine)\n        task = task or print()\n",
        ),
    ],
)
def test_a_wrapper_that_is_not_understood_is_left_alone(body: str) -> None:
    check_declined(client(body), "keep the task in there")


def test_a_synchronous_route_is_refused_all_the_same() -> None:
    source = (
        "import asyncio\n\nfrom fastapi import FastAPI\n\napp = FastAPI()\n\n\n"
        "def spawn(coroutine):\n    task = asyncio.create_task(coroutine)\n    print(task)\n"
        '    return task\n\n\n@app.get("/")\ndef index():\n    spawn(work())\n\n\n'
        "async def work():\n    await asyncio.sleep(1)\n"
    )
    check_declined(source, "worker thread")


def test_an_application_ends_the_task_of_its_lifespan() -> None:
    source = (
        "import asyncio\nfrom contextlib import asynccontextmanager\n\n"
        "def spawn(coroutine):\n    task = asyncio.create_task(coroutine)\n    return task\n\n\n"
        "@asynccontextmanager\nasync def lifespan(app):\n    spawn(work())\n    yield\n\n\n"
        "async def work():\n    while True:\n        await asyncio.sleep(1)\n"
    )
    result = fix(source)
    assert result.fixed
    assert ".cancel()" in result.text.partition("yield")[2]


AWAITED = """\
import asyncio


async def start() -> asyncio.Task[None]:
    await asyncio.sleep(0)
    return asyncio.create_task(work())


async def main() -> None:
    await start()
    {other}


async def work() -> None:
    await asyncio.sleep(1)
"""


def test_a_coroutine_function_keeps_what_all_who_await_it_drop() -> None:
    result = fix(AWAITED.format(other="await start()"))
    assert [finding.code for finding in result.fixed] == ["TSK001", "TSK001"]
    made = '    return _track(asyncio.create_task(work(), name="work"))\n'
    assert made in result.text
    assert "    await start()\n    await start()\n" in result.text


def test_a_coroutine_function_of_which_one_caller_keeps_the_task_is_left_alone() -> None:
    check_declined(AWAITED.format(other="await (await start())"), "what awaiting the helper gives")
