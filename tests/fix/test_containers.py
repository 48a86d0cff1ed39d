"""Containers that grow lose their done tasks; a shutdown that cancels waits."""

from __future__ import annotations

import asyncio
from functools import partial
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any

import pytest
from commands import fix as run_fixer
from transform import check_declined, check_fixed, fix

from flake8_task_refs.fix.homes.container import USED_ELSEWHERE
from flake8_task_refs.fix.other_files import is_asked_for
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from pathlib import Path

DICT = """\
import asyncio


class Dispatcher:
    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Task[None]] = {{}}

    async def on_message(self, job_id: str) -> None:
{}

    async def handle(self, job_id: str) -> None:
        await asyncio.sleep(float(job_id))
"""


def dispatcher(body: str) -> str:
    return DICT.format(indent(dedent(body).strip(), " " * 8))


FORGET = """
    task = asyncio.create_task(self.handle(job_id), name="Dispatcher.handle")
    self.tasks[job_id] = task

    def forget(done: asyncio.Task[object]) -> None:
        if self.tasks.get(job_id) is done:
            del self.tasks[job_id]

    task.add_done_callback(forget)
    """


def test_an_entry_of_a_dictionary_is_taken_out() -> None:
    source = dispatcher("self.tasks[job_id] = asyncio.create_task(self.handle(job_id))")
    check_fixed(source, dispatcher(FORGET))


def test_the_users_own_local_is_used() -> None:
    before, _, after = dedent(FORGET).strip().partition("\n\n")
    before = before.replace(', name="Dispatcher.handle"', "")
    check_fixed(
        dispatcher(f"{before}\nprint(job_id)"), dispatcher(f"{before}\n\n{after}\nprint(job_id)")
    )


def test_only_its_own_entry_is_taken_out() -> None:
    text = fix(dispatcher("self.tasks[job_id] = asyncio.create_task(self.handle(job_id))")).text
    names: dict[str, Any] = {}
    exec(compile(text, "sample.py", "exec"), names)  # noqa: S102 (it is what we test)

    async def run() -> None:
        service = names["Dispatcher"]()
        await service.on_message("0.01")
        first = service.tasks["0.01"]
        await service.on_message("0.01")
        second = service.tasks["0.01"]
        first.cancel()
        await asyncio.sleep(0.005)
        assert service.tasks == {"0.01": second}
        await second
        await asyncio.sleep(0)
        assert service.tasks == {}

    asyncio.run(run())


@pytest.mark.parametrize(
    "body",
    [
        "while job_id:\n    self.tasks[job_id] = asyncio.create_task(self.handle(job_id))",
        "self.tasks[job_id] = asyncio.create_task(self.handle(job_id))\njob_id = ''",
    ],
)
def test_a_key_that_changes_is_declined(body: str) -> None:
    check_declined(dispatcher(body), "the key of this task may be another")


def test_a_key_that_was_bound_before_is_steady() -> None:
    stored = "self.tasks[job_id] = asyncio.create_task(self.handle(job_id))"
    assert fix(dispatcher(f"job_id = str(job_id)\n{stored}")).fixed


def test_a_key_is_computed_once() -> None:
    text = fix(dispatcher("self.tasks[id(job_id)] = asyncio.create_task(self.handle(job_id))")).text
    assert "        key = id(job_id)\n        self.tasks[key] = task\n" in text
    assert "            if self.tasks.get(key) is done:\n" in text
    stored = "task = asyncio.create_task(self.handle(job_id))\nself.tasks[id(job_id)] = task  # why"
    text = fix(dispatcher(stored)).text
    assert "        key = id(job_id)\n        self.tasks[key] = task  # why\n" in text


def test_a_task_that_is_the_key_is_taken_out() -> None:
    text = fix(
        dispatcher("task = asyncio.create_task(self.handle(job_id))\nself.tasks[task] = job_id")
    ).text
    assert "    task.add_done_callback(lambda done: self.tasks.pop(done, None))\n" in text


SHUTDOWN = """\
import asyncio


class Service:
    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.task = asyncio.create_task(run())
        self.tasks.add(asyncio.create_task(run()))

    async def close(self) -> None:
{}


async def run() -> None:
    await asyncio.sleep(3600)
"""
ASKED = Settings(enabled_codes=frozenset({"TSK202"}))


ONE = """\
if self.task:
    self.task.cancel()
    await asyncio.wait([self.task], timeout=10)
    self.task = None"""
ALL = """\
for task in list(self.tasks):
    if not task.done():
        task.cancel()
if self.tasks:
    await asyncio.wait(self.tasks, timeout=10)
print()"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ONE.replace("    await asyncio.wait([self.task], timeout=10)\n", ""), ONE),
        (ALL.replace(ALL[ALL.index("if self.tasks") : ALL.index("print")], ""), ALL),
    ],
)
def test_what_is_cancelled_is_awaited(before: str, after: str) -> None:
    def service(body: str) -> str:
        return SHUTDOWN.format(indent(body, " " * 8))

    check_fixed(service(before), service(after), analysis=ASKED)


def test_a_task_that_closes_its_owner_does_not_wait_for_itself() -> None:
    body = (
        "        self.task.cancel()\n\n    async def run(self) -> None:\n        await self.close()"
    )
    text = fix(SHUTDOWN.format(body), analysis=ASKED).text
    assert (
        "        if self.task is not asyncio.current_task():\n"
        "            await asyncio.wait([self.task], timeout=10)\n"
    ) in text


def test_a_loop_that_does_more_than_to_cancel_goes_on_without_a_wait() -> None:
    body = "        for task in self.tasks:\n            task.cancel()\n            self.count += 1"
    text = fix(SHUTDOWN.format(body), analysis=ASKED).text
    assert (
        "        pending = []\n        for task in self.tasks:\n            task.cancel()\n"
        "            pending.append(task)\n            self.count += 1\n"
        "        if pending:\n            await asyncio.wait(pending, timeout=10)\n"
    ) in text


def test_a_timer_beside_the_tasks_cannot_be_waited_for() -> None:
    body = (
        "        for task in self.tasks:\n            task.cancel()\n\n"
        "    def later(self) -> None:\n"
        "        self.tasks.append(asyncio.get_running_loop().call_later(60, print))"
    )
    check_declined(SHUTDOWN.format(body), "await it by hand", analysis=ASKED)


def test_a_lock_that_the_task_may_want_is_not_held_while_it_is_waited_for() -> None:
    body = "        async with self._lock:\n            self.task.cancel()"
    check_declined(SHUTDOWN.format(body), "what is locked here", analysis=ASKED)


HUB = """\
import asyncio


class Hub:
    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    async def on_message(self, text: str) -> None:
        self.tasks.add(asyncio.create_task(self.handle(text)))

    async def handle(self, text: str) -> None:
        await asyncio.sleep(len(text))

    async def read(self) -> object:
{}
"""


def hub(body: str) -> str:
    return HUB.format(indent(dedent(body).strip(), " " * 8))


@pytest.mark.parametrize(
    "body",
    [
        "for task in self.tasks:\n    await asyncio.sleep(1)\n    task.cancel()",
        "for task in iter(self.tasks):\n    async with asyncio.Lock():\n        task.cancel()",
        "return [await asyncio.wait_for(task, 1) for task in self.tasks]",
    ],
)
def test_a_container_that_changes_under_a_loop_is_declined(body: str) -> None:
    check_declined(hub(body), "loop over a copy")


def test_a_close_that_waits_in_its_loop_is_repaired_if_the_loop_is_over_a_copy() -> None:
    body = "for task in {}:\n    task.cancel()\n    await asyncio.wait([task])"
    source = hub(body).replace("read", "close")
    check_declined(source.format("self.tasks"), "loop over a copy")
    assert fix(source.format("list(self.tasks)")).fixed


@pytest.mark.parametrize(
    "body",
    [
        "return len(self.tasks)",
        "return len(list(self.tasks))",
        "return len(self.tasks) > 100",
        "while len(self.tasks) >= 1:\n    await asyncio.sleep(1)",
        "print(f'{len(self.tasks)} in all')",
    ],
)
def test_a_container_that_is_counted_is_declined(body: str) -> None:
    check_declined(hub(body), "counted with len()")


@pytest.mark.parametrize("use", ["self.tasks['1'].cancel()", "return self.tasks['1'].cancelled()"])
def test_a_container_that_is_read_under_a_key_is_declined(use: str) -> None:
    store = "self.tasks[job_id] = asyncio.create_task(self.handle(job_id))"
    source = dispatcher(store) + f"\n    def end(self) -> object:\n        {use}\n"
    check_declined(source, "read it with get()")


@pytest.mark.parametrize(
    "body",
    [
        "return [task.get_name() for task in self.tasks]",
        "return sum(1 for task in list(self.tasks))",
        "for number, task in enumerate(self.tasks):\n    print(number, task)",
        "return list(self.tasks)",
        "print(*self.tasks)",
        "return asyncio.current_task() in self.tasks",
    ],
)
def test_a_container_that_is_shown_is_declined(body: str) -> None:
    check_declined(hub(body), "would be missing there")


@pytest.mark.parametrize(
    "body",
    [
        "for task in self.tasks:\n    task.cancel()",
        "return len(self.tasks) > 0",
        "return not len(self.tasks) == 0",
        "if not len(self.tasks):\n    return 0",
        "if self.tasks:\n    return 1",
    ],
)
def test_a_container_that_is_ended_or_asked_whether_it_is_empty_is_repaired(body: str) -> None:
    assert "task.add_done_callback(self.tasks.discard)" in fix(hub(body)).text


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.gather(*self.tasks)",
        "await asyncio.wait_for(asyncio.gather(*self.tasks), 5)",
        "await asyncio.gather(*self.tasks, return_exceptions=False)",
        "each = list(self.tasks)\nawait asyncio.gather(*each)",
        "return await asyncio.gather(*self.tasks, return_exceptions=True)",
        "results = await asyncio.gather(*self.tasks, return_exceptions=True)\nprint(results)",
        "for one in asyncio.as_completed(self.tasks):\n    await one",
        "if self.tasks:\n    done, _ = await asyncio.wait(self.tasks)\n    print(done)",
    ],
)
def test_whoever_waits_for_what_became_of_the_tasks_is_not_kept_from_it(body: str) -> None:
    check_declined(hub(body).replace("read", "close"), "asked for tasks that are done")


@pytest.mark.parametrize("given", ["self.tasks", "list(self.tasks)"])
def test_wait_is_never_given_an_empty_container(given: str) -> None:
    source = hub(f"await asyncio.wait({given})").replace("read", "close")
    check_declined(source, "asyncio.wait() fails for a container that is empty")
    guarded = hub(f"if self.tasks:\n    await asyncio.wait({given})").replace("read", "close")
    early = hub(f"if not self.tasks:\n    return\nawait asyncio.wait({given})")
    for good in (guarded, early.replace("read", "close")):
        assert "task.add_done_callback(self.tasks.discard)" in fix(good).text


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.gather(*self.tasks, return_exceptions=True)",
        "each = list(self.tasks)\nawait asyncio.gather(*each, return_exceptions=True)",
    ],
)
def test_a_close_that_only_waits_is_as_good_with_fewer_tasks(body: str) -> None:
    result = fix(hub(body).replace("read", "close"))
    assert "task.add_done_callback(self.tasks.discard)" in result.text


@pytest.mark.parametrize("asked", ["job_id in self.tasks", "self.tasks.get(job_id)"])
def test_a_dictionary_that_is_asked_for_a_key_is_declined(asked: str) -> None:
    source = dispatcher("self.tasks[job_id] = asyncio.create_task(self.handle(job_id))")
    known = f"\n    def known(self, job_id: str) -> object:\n        return {asked}\n"
    check_declined(source + known, "would be missing there")
    old = asked.replace("job_id in self.tasks", "None")
    cancel = f"        old = {old}\n        if old:\n            old.cancel()\n"
    assert fix(f"{source}\n    def end(self, job_id: str) -> None:\n{cancel}").fixed


def test_a_list_that_is_indexed_by_position_is_left_alone() -> None:
    body = "return self.tasks[-1]"
    source = hub(body).replace("set[", "list[").replace("set()", "[]").replace(".add(", ".append(")
    assert fix(source).text == source


SIMULATOR = """\
import asyncio


class Simulator:
    def __init__(self) -> None:
        self.sockets: list[asyncio.Task[None]] = []

    async def on_connect(self) -> None:
        self.sockets.append(asyncio.create_task(serve()))


async def serve() -> None:
    await asyncio.sleep(1)
"""


@pytest.mark.parametrize(
    ("other", "declined"),
    [
        ("from .simulator import Simulator\n\nx: Simulator\nx.sockets\n", True),
        ("class Mine(Simulator):\n    def n(self):\n        return len(self.sockets)\n", True),
        ("from .simulator import Simulator\n\nsockets = [Simulator()]\n", False),
        ("other.sockets\n", False),
        ("class Simulators:\n    def n(self):\n        return len(self.sockets)\n", False),
    ],
)
def test_a_container_that_another_file_may_read_is_declined(
    other: str, declined: bool, tmp_path: Path
) -> None:
    (tmp_path / "setup.py").touch()
    (tmp_path / "simulator.py").write_text(SIMULATOR)
    (tmp_path / "client.py").write_text(other)
    asked = partial(is_asked_for, str(tmp_path / "simulator.py"))
    if declined:
        check_declined(SIMULATOR, USED_ELSEWHERE, is_asked_for=asked)
    else:
        assert (
            "task.add_done_callback(self.sockets.remove)" in fix(SIMULATOR, is_asked_for=asked).text
        )


@pytest.mark.parametrize(
    ("other", "declined"),
    [
        ("from jobs import TASKS\n\nasyncio.gather(*TASKS)\n", True),
        ("import jobs\n\njobs.TASKS\n", True),
        ("TASKS = []\n", False),
    ],
)
def test_a_container_of_the_module_that_another_file_takes_is_declined(
    other: str, declined: bool, tmp_path: Path
) -> None:
    source = (
        "import asyncio\n\nTASKS = []\n\n\nasync def on_message(message):\n"
        "    TASKS.append(asyncio.create_task(asyncio.sleep(1)))\n"
    )
    (tmp_path / "other.py").write_text(other)
    (tmp_path / "jobs.py").write_text(source)
    done = run_fixer("--isolated", "jobs.py", cwd=tmp_path)
    assert (b"another file may use this container" in done.stdout + done.stderr) is declined
    assert ("add_done_callback" in (tmp_path / "jobs.py").read_text()) is not declined
