"""What else would notice a repair: whoever hears of failures, sees locals, or names of tasks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from transform import fix

FAILING = """\
import asyncio

seen = []


async def fails():
    raise ConnectionError("gone")


async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: seen.append(context["exception"].args[0]))
    {}
    for _ in range(3):
        await asyncio.sleep(0)
    seen.append("went on")
    {}


def run():
    asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["await asyncio.sleep(0)", "await asyncio.Event().wait()"])
@pytest.mark.parametrize(
    "made",
    [
        "asyncio.create_task(fails())",
        "asyncio.create_task(fails()).set_name('x')",
        "print(asyncio.create_task(fails()))",
    ],
)
def test_a_failure_is_heard_of_at_once_in_what_goes_on_for_ever(made: str, end: str) -> None:
    result = fix(FAILING.format(made, end))
    assert result.fixed
    space: dict[str, Any] = {}
    exec(result.text, space)  # noqa: S102

    async def for_a_while() -> None:
        main = asyncio.ensure_future(space["main"]())
        await asyncio.wait([main], timeout=0.1)
        main.cancel()

    asyncio.run(for_a_while())
    assert space["seen"] == ["gone", "went on"]


def test_who_handles_failures_itself_in_a_lifespan_hears_of_them_at_once() -> None:
    source = """\
import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI):
    asyncio.get_running_loop().set_exception_handler(app.state.failed)
    asyncio.create_task(app.state.worker.run())
    yield
"""
    text = fix(source).text
    assert "_log_failed_task" not in text
    assert "        _keep(\n            asyncio.create_task(app.state.worker.run()" in text


@pytest.mark.parametrize("call", ["locals()", "vars()", "'{a}'.format(**locals())"])
def test_a_function_that_shows_its_locals_gets_no_other(call: str) -> None:
    head = "import asyncio\n\n\nasync def f(work):\n"
    text = fix(f"{head}    asyncio.create_task(work())\n    return {call}\n").text
    assert "    _track(asyncio.create_task(work()))\n" in text.replace(', name="work"', "")
    assert "task = " not in text


@pytest.mark.parametrize(
    "elsewhere",
    [
        "asyncio.create_task = traced",
        'with patch("app.asyncio.create_task") as made:\n        made()',
        'return [t for t in asyncio.all_tasks() if t.get_name().startswith("Task-")]',
    ],
)
def test_who_knows_tasks_by_other_names_gets_none(elsewhere: str) -> None:
    text = fix(
        "import asyncio\nfrom unittest.mock import patch\n\n\n"
        "async def f(server):\n    asyncio.create_task(server.run())\n\n\n"
        f"def other(traced):\n    {elsewhere}\n"
    ).text
    assert "_background_tasks.add(task)" in text
    assert "name=" not in text


@pytest.mark.parametrize(
    "line",
    [
        "{}; self.count_of_all_things += 1",
        "tasks = [{}] + self.more",
    ],
)
def test_no_name_where_it_makes_a_line_too_long(line: str) -> None:
    call = "asyncio.create_task(self.some_long_name(argument, another))"
    text = fix(f"import asyncio\n\n\nasync def f(self):\n    {line.format(call)}\n").text
    assert f"    {line.format(f'_track({call})')}\n" in text


def test_one_blank_line_between_a_first_import_and_what_follows() -> None:
    text = fix("def start(loop, work):\n    loop.create_task(work())\n").text
    assert text.startswith("import asyncio\n\n# Strong references")


def test_a_failure_is_logged_where_a_method_that_goes_on_for_ever_would_keep_it() -> None:
    source = """\
import asyncio


class Service:
    def __init__(self):
        self.rounds = 0

    async def {name}(self):
        asyncio.create_task(self.beat())
        {goes_on}

    async def beat(self):
        while True:
            await asyncio.sleep(1)


service = Service()
"""
    loops = "while True:\n            await asyncio.sleep(1)"
    text = fix(source.format(name="run", goes_on=loops)).text
    assert "        task.add_done_callback(_log_failed_task)\n" in text
    text = fix(source.format(name="start", goes_on="self.rounds += 1")).text
    assert "self._background_tasks.add(task)\n" in text
    assert "_log_failed_task" not in text


def test_a_bare_tuple_that_gets_too_long_is_put_in_parentheses() -> None:
    source = """\
import asyncio


async def two(q):
    a, b = asyncio.create_task(q.first_of_it()), asyncio.create_task(q.another())
    return 1
"""
    assert (
        """\
    a, b = (
        _track(asyncio.create_task(q.first_of_it(), name="q.first_of_it")),
        _track(asyncio.create_task(q.another(), name="q.another")),
    )
"""
        in fix(source).text
    )
