"""What a scheduler is to make a task of later: only a coroutine makes the same task elsewhere."""

from __future__ import annotations

from textwrap import dedent

import pytest
from transform import check_declined, fix

from flake8_task_refs.fix.planner import AT_EXIT

HEAD = """\
import asyncio


async def work():
    await asyncio.sleep(1)


class Job:
    async def run(self):
        await asyncio.sleep(1)

    def start(self):
        call_soon = asyncio.get_running_loop().call_soon
"""


@pytest.mark.parametrize("given", ["work()", "self.run()"])
def test_a_coroutine_of_the_file_goes_to_the_helper(given: str) -> None:
    scheduled = f"asyncio.get_running_loop().call_soon(asyncio.ensure_future, {given})"
    result = fix(f"{HEAD}        {scheduled}\n")
    assert result.fixed
    assert not result.declined


@pytest.mark.parametrize("given", ["job.start()", "Late()", "asyncio.gather(work())"])
def test_what_may_be_another_awaitable_is_left_alone(given: str) -> None:
    source = dedent(
        f"""\
        import asyncio


        async def work():
            await asyncio.sleep(1)


        def start(loop, job, Late):
            loop.call_soon(asyncio.ensure_future, {given})
        """
    )
    check_declined(source, "pass a function that keeps the task")


@pytest.mark.parametrize("given", ["lambda: loop.create_task(work())", "loop.create_task, work()"])
def test_what_runs_at_the_programs_end_is_left_alone(given: str) -> None:
    start = f"def start(loop, work):\n    atexit.register({given})\n"
    check_declined(f"import asyncio\nimport atexit\n\n\n{start}", AT_EXIT)


@pytest.mark.parametrize(
    "handed", ["asyncio.create_task, work(), name='w'", "asyncio.create_task, work(), context=None"]
)
def test_what_a_partial_gives_the_creator_is_left_alone(handed: str) -> None:
    later = f"loop.call_soon(functools.partial({handed}))"
    source = f"import functools\n{HEAD}        loop = asyncio.get_running_loop()\n        {later}\n"
    check_declined(source, "pass a function that keeps the task")
