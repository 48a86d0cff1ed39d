"""TSK202: a shutdown that waits for what it has cancelled, but for the task that runs it."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent, indent
from typing import TYPE_CHECKING

import pytest
from transform import check_declined, check_unchanged, fix

from flake8_task_refs.fix.homes.cancelled import (
    LOCKED,
    NO_TASK,
    NOT_ALONE,
    OVERTIME,
    TAKEN_OUT,
)
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from pathlib import Path

ASKED = Settings(enabled_codes=frozenset({"TSK202"}))
SERVICE = """\
import asyncio


class Service:
    def __init__(self):
        self.task = None
        self.server = None

    def start(self, peer):
        self.task = asyncio.create_task({coroutine})
        peer.server = asyncio.create_task(serve(peer))

    async def run(self):
        {run}

    async def stop(self):
        self.task.cancel()
        print("stopped")


class Worker:
    def __init__(self, owner):
        self._owner = owner

    async def run_for(self):
        {run_for}

    async def fail(self):
        await asyncio.sleep(0)
        {fail}


async def serve(peer):
    {serve}


async def leave(service):
    {leave}


async def pause():
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")


async def main():
    service = Service()
    service.start(Service())
    await asyncio.sleep(0.01)
    await service.stop()
    print("over")


if __name__ == "__main__":
    asyncio.run(main())
"""


def service(coroutine: str = "self.run()", **bodies: str) -> str:
    names = ("run", "run_for", "fail", "serve", "leave")
    texts = {name: bodies.get(name, "await pause()") for name in names}
    return SERVICE.format(coroutine=coroutine, **texts)


def said_by(text: str, directory: Path) -> list[str]:
    program = directory / "program.py"
    program.write_text(text, "utf-8")
    command = [sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "program",
    [
        service(run="await service.stop()"),
        service("Worker(self).run_for()", run_for="await self._owner.stop()"),
        service("Worker(self).run_for()", run_for="await self.fail()", fail="owner().stop()"),
        service("asyncio.wait_for(self.run(), 5)", run="await asyncio.wait([peer.stop()])"),
        service(run="await leave(self)", leave="await service.stop()"),
        service(run="await leave(self)", leave="await asyncio.shield(service.stop())"),
    ],
)
def test_a_task_that_stops_its_own_service_is_not_waited_for(program: str) -> None:
    check_declined(
        program, "may call stop() itself, and would wait there for its own end", analysis=ASKED
    )


@pytest.mark.parametrize(
    "run",
    [
        "await self.on_message(self)",
        "await asyncio.gather(*(handler(self) for handler in self.handlers))",
        "await asyncio.create_task(self.on_message('bye'))",
    ],
)
def test_a_task_that_runs_what_it_is_given_is_not_waited_for(run: str) -> None:
    program = service(run=run)
    check_declined(program, "calls what it is given, and that may call stop()", analysis=ASKED)


def test_a_task_of_another_librarys_function_is_looked_into() -> None:
    program = service(run="await self.on_message(self)")
    program = program.replace(
        "asyncio.create_task(self.run())", "hass.async_create_task(self.run())"
    )
    program = program.replace("self.task = None", "self.task: asyncio.Task | None = None")
    check_declined(program, "calls what it is given, and that may call stop()", analysis=ASKED)


def test_a_task_that_tells_another_object_of_itself_may_stop_it(tmp_path: Path) -> None:
    program = """\
import asyncio


class Trigger:
    def __init__(self, owner):
        self.owner = owner

    def start(self):
        self.task = asyncio.create_task(self.cycle())

    async def cycle(self):
        await asyncio.sleep(0)
        await self.owner.{call}

    async def stop(self):
        self.task.cancel()


# -- another file --
class Owner:
    async def {method}(self, *_):
        await self.trigger.stop()
        self.future.set_result("event")


async def main():
    owner = Owner()
    owner.future = asyncio.get_running_loop().create_future()
    owner.trigger = Trigger(owner)
    owner.trigger.start()
    print(await asyncio.wait_for(owner.future, 5))
"""
    for call, method in (("dispatch('it')", "dispatch"), ("add(self)", "add")):
        file, other = program.format(call=call, method=method).split("# -- another file --\n")
        result = fix(file, analysis=ASKED)
        assert "if self.task is not asyncio.current_task():" in result.text
        assert said_by(f"{result.text}\n{other}\n\nasyncio.run(main())\n", tmp_path) == ["event"]


def test_a_function_of_the_module_that_its_task_calls_does_not_wait_either() -> None:
    source = """\
import asyncio

task = None


def start():
    global task
    task = asyncio.create_task(run())


async def run():
    while True:
        await asyncio.sleep(1)
        await shutdown()


async def shutdown():
    task.cancel()
"""
    check_declined(source, "run(), which runs as the task, may call shutdown()", analysis=ASKED)
    text = fix(source.replace("await shutdown()", "await pause()"), analysis=ASKED).text
    assert "await asyncio.wait([task], timeout=10)" in text


@pytest.mark.parametrize("serve", ["await pause()", "await pause(); await peer.stop()"])
def test_any_other_task_is_waited_for(serve: str, tmp_path: Path) -> None:
    before = service(serve=serve)
    assert said_by(before, tmp_path)[0] == "stopped"
    after = fix(before, analysis=ASKED).text
    assert said_by(after, tmp_path)[:3] == ["cleaned up", "stopped", "over"]


POOL = """\
import asyncio


class Job:
    def __init__(self, number):
        self.task = asyncio.create_task(pause(number))


class Pool:
    def __init__(self):
        self.jobs = {{}}
        self.tasks = [None]

    def add(self, number):
        job = self.jobs[number] = Job(number)
        job.task.add_done_callback(lambda _: self.jobs.pop(number, None))
        task = asyncio.create_task(pause(number))
        self.tasks.append(task)

    async def close(self):
{close}


async def pause(number):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cancelled", number)
        await asyncio.sleep(0)
        print("cleaned up", number)
        raise


async def main():
    pool = Pool()
    pool.add(1)
    pool.add(2)
    await asyncio.sleep(0)
    await pool.close()
    print("closed")


if __name__ == "__main__":
    asyncio.run(main())
"""


def pool(close: str) -> str:
    return POOL.format(close=indent(dedent(close).strip("\n"), "        "))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            """
            for job in self.jobs.values():
                job.task.cancel()
            self.jobs.clear()
            """,
            """
            pending = []
            for job in self.jobs.values():
                job.task.cancel()
                pending.append(job.task)
            if pending:
                await asyncio.wait(pending, timeout=10)
            self.jobs.clear()
            """,
        ),
        (
            """
            for number in (1, 2):
                for job in list(self.jobs.values()):
                    job.task.cancel()
            """,
            """
            pending = []
            for number in (1, 2):
                for job in list(self.jobs.values()):
                    job.task.cancel()
                    pending.append(job.task)
            if pending:
                await asyncio.wait(pending, timeout=10)
            """,
        ),
        (
            """
            # Those that are there.
            for task in self.tasks:
                if task and not task.done():
                    task.cancel()
            """,
            """
            pending = []
            # Those that are there.
            for task in self.tasks:
                if task and not task.done():
                    task.cancel()
                    pending.append(task)
            if pending:
                await asyncio.wait(pending, timeout=10)
            """,
        ),
        (
            """
            while self.jobs:
                number, job = self.jobs.popitem()
                job.task.cancel()
            """,
            """
            pending = []
            while self.jobs:
                number, job = self.jobs.popitem()
                job.task.cancel()
                pending.append(job.task)
            if pending:
                await asyncio.wait(pending, timeout=10)
            """,
        ),
        (
            """
            self.tasks.remove(None)
            for task in self.tasks:
                if not task.done():
                    task.cancel()
            """,
            """
            self.tasks.remove(None)
            for task in self.tasks:
                if not task.done():
                    task.cancel()
            if self.tasks:
                await asyncio.wait(self.tasks, timeout=10)
            """,
        ),
    ],
)
def test_all_are_cancelled_before_any_is_waited_for(
    before: str, after: str, tmp_path: Path
) -> None:
    text = fix(pool(before), analysis=ASKED).text
    assert text == pool(after)
    said = said_by(text, tmp_path)
    assert "closed" not in said_by(pool(before), tmp_path)[-2:-1]
    assert sorted(said[:2]) == ["cancelled 1", "cancelled 2"]
    assert sorted(said[2:4]) == ["cleaned up 1", "cleaned up 2"]
    assert said[4] == "closed"


@pytest.mark.parametrize(
    "close",
    [
        "for job in self.jobs.values():\n    job.task.cancel()\n    if job.last:\n        return",
        "for job in self.jobs.values():\n    job.task.cancel()\n    yield job",
        "for job in self.jobs.values():\n    job.get().task.cancel()",
    ],
)
def test_a_loop_that_is_left_early_is_left_alone(close: str) -> None:
    check_declined(pool(close), NOT_ALONE, analysis=ASKED)


@pytest.mark.parametrize(
    "filtered",
    [
        "[task for task in self.tasks if task]",
        "{task for task in (*self.tasks,) if not task.done()}",
        "list(task for task in self.tasks)",
    ],
)
def test_some_of_them_are_waited_for_by_another_name(filtered: str) -> None:
    close = f"""
        for task in self.tasks:
            if task:
                task.cancel()
        left = {filtered}
        if left:
            await asyncio.gather(*left, return_exceptions=True)
    """
    check_unchanged(pool(close), analysis=ASKED)


def test_what_gives_its_tasks_one_after_the_other_is_collected() -> None:
    close = "async for task in self.tasks:\n    task.cancel()"
    text = fix(pool(close), analysis=ASKED).text
    assert "            pending.append(task)\n        if pending:\n" in text


def test_something_for_each_of_them_is_not_a_task() -> None:
    close = """
        for task in self.tasks:
            if task:
                task.cancel()
        left = [None for task in self.tasks]
        await asyncio.gather(*left)
    """
    assert fix(pool(close), analysis=ASKED).fixed


JOBS = """\
import asyncio


class Jobs:
    def __init__(self):
        self.jobs = {{}}
        self.lock = asyncio.Lock()

    def start(self, loop, work):
        self.jobs[1] = asyncio.create_task(work())
        {more}

    async def close(self):
        {before}
        for _, job in list(self.jobs.items()):
            job.cancel()
        {after}
"""


@pytest.mark.parametrize(
    ("bodies", "reason"),
    [
        ({"more": "timer = loop.call_later(3, print)\n        self.jobs[2] = timer"}, NO_TASK),
        ({"more": "self.jobs.update(\n            one=loop.call_later(3, print))"}, NO_TASK),
        ({"more": "self.jobs[2] = asyncio.run_coroutine_threadsafe(work(), loop)"}, NO_TASK),
        ({"before": "await self.lock.acquire()", "after": "self.lock.release()"}, LOCKED),
    ],
    ids=[
        "a timer under a name",
        "a timer on the next line",
        "a future of another thread",
        "a lock that is held",
    ],
)
def test_what_may_be_a_timer_or_need_a_lock_is_not_waited_for(
    bodies: dict[str, str], reason: str
) -> None:
    empty = dict.fromkeys(("more", "before", "after"), "pass")
    source = JOBS.format(**{**empty, **bodies})
    check_declined(source, reason, analysis=ASKED)
    assert fix(JOBS.format(**empty), analysis=ASKED).fixed


@pytest.mark.parametrize(
    ("manager", "locked"),
    [
        ("with self.write_locks[1]:", True),
        ("async with self.lock_of(self):", True),
        ("async with asyncio.Semaphore(3):", True),
        ("async with asyncio.timeout(seconds):", False),
        ("with suppress(BlockingIOError):", False),
    ],
)
def test_a_lock_is_known_by_the_words_of_its_name(manager: str, *, locked: bool) -> None:
    loop = "for _, job in list(self.jobs.items()):\n            job.cancel()"
    source = (
        JOBS.format(more="pass", before="pass", after="pass")
        .replace(loop, f"{manager}\n            self.job.cancel()")
        .replace("self.jobs[1] =", "self.job =")
    )
    if locked:
        check_declined(source, LOCKED, analysis=ASKED)
    else:
        assert fix(source, analysis=ASKED).fixed


@pytest.mark.parametrize("gives", ["return job", "yield job"])
def test_what_the_caller_gets_is_the_callers_to_await(gives: str) -> None:
    source = JOBS.format(more="pass", before="job = self.jobs[1]", after=gives)
    source = source.replace("for _, job in list(self.jobs.items()):\n            ", "")
    check_unchanged(source, analysis=ASKED)
    assert fix(source.replace(gives, "pass"), analysis=ASKED).fixed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            """
            self.first.cancel()
            self.second.cancel()  # at last
            """,
            """
            self.first.cancel()
            self.second.cancel()  # at last
            await asyncio.wait([self.first, self.second], timeout=10)
            """,
        ),
        (
            """
            self.first.cancel()
            print("between")
            self.second.cancel()
            """,
            """
            self.first.cancel()
            await asyncio.wait([self.first], timeout=10)
            print("between")
            self.second.cancel()
            await asyncio.wait([self.second], timeout=10)
            """,
        ),
        (
            """
            self.first.cancel()
            if self.second:
                self.second.cancel()
            """,
            """
            self.first.cancel()
            await asyncio.wait([self.first], timeout=10)
            if self.second:
                self.second.cancel()
                await asyncio.wait([self.second], timeout=10)
            """,
        ),
        (
            """
            self.first.cancel()
            self.pick().cancel()
            self.second.cancel()
            """,
            """
            self.first.cancel()
            await asyncio.wait([self.first], timeout=10)
            self.pick().cancel()
            self.second.cancel()
            await asyncio.wait([self.second], timeout=10)
            """,
        ),
    ],
)
def test_what_is_cancelled_line_by_line_is_waited_for_all_at_once(
    before: str, after: str, tmp_path: Path
) -> None:
    program = """\
import asyncio


class Service:
    def start(self):
        self.first = asyncio.create_task(work(1))
        self.second = asyncio.create_task(work(2))

    def pick(self):
        return self.second

    async def close(self):
{}
        print("closed")


async def work(number):
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up", number)


async def main():
    service = Service()
    service.start()
    await asyncio.sleep(0)
    await service.close()


if __name__ == "__main__":
    asyncio.run(main())
"""
    source, wanted = (program.format(indent(dedent(it).strip(), " " * 8)) for it in (before, after))
    text = fix(source, analysis=ASKED).text
    assert text == wanted
    said = said_by(text, tmp_path)
    assert said[-1] == "closed"
    assert {"cleaned up 1", "cleaned up 2"} <= set(said)


@pytest.mark.parametrize(
    "body", ["await service.stop()", "await self.on_end(self)", "await pause()"]
)
def test_a_task_that_the_function_has_made_does_not_run_it(body: str, tmp_path: Path) -> None:
    program = f"""\
import asyncio


class Service:
    on_end = staticmethod(print)

    async def stop(self):
        timer = asyncio.create_task(self.limit())
        await asyncio.sleep(0)
        timer.cancel()
        print("stopped")

    async def limit(self):
        try:
            await asyncio.sleep(3600)
        finally:
            print("cleaned up")
        {body}

    async def on_signal(self):
        await self.stop()


async def pause():
    await asyncio.sleep(1)


service = Service()


if __name__ == "__main__":
    asyncio.run(service.on_signal())
"""
    text = fix(program, analysis=ASKED).text
    waiting = "timer.cancel()\n        await asyncio.wait([timer], timeout=10)\n"
    assert text == program.replace("timer.cancel()\n", waiting)
    assert said_by(text, tmp_path) == ["cleaned up", "stopped"]


def test_a_local_that_may_be_another_task_is_no_proof() -> None:
    program = """\
import asyncio


class Service:
    def start(self):
        self.timer = asyncio.create_task(self.limit())

    async def stop(self):
        timer = asyncio.create_task(self.limit())
        timer = self.timer or timer
        timer.cancel()
        print("stopped")

    async def limit(self):
        await asyncio.sleep(3600)
        await self.stop()
"""
    text = fix(program, analysis=ASKED).text
    assert "timer.cancel()\n        if timer is not asyncio.current_task():\n" in text


@pytest.mark.parametrize(
    ("first", "limit", "declined"),
    [
        ("for task in self.tasks:\n    task.cancel()", ", timeout=1", True),
        ("for task in list(self.tasks):\n    task.cancel()", ", timeout=left", True),
        ("for task in self.tasks:\n    print(task)", ", timeout=1", False),
        ("for task in self.others:\n    task.cancel()", ", timeout=1", False),
    ],
)
def test_what_had_its_time_after_a_cancellation_gets_no_more(
    first: str, limit: str, *, declined: bool
) -> None:
    close = f"""
late: set[asyncio.Task[None]] = set()
{first}
_, late = await asyncio.wait(self.tasks{limit})
for task in late:
    task.cancel()
"""
    program = pool(close)
    if declined:
        check_declined(program, OVERTIME, analysis=ASKED)
    else:
        text = fix(program, analysis=ASKED).text
        assert "        if late:\n            await asyncio.wait(late, timeout=10)\n" in text


@pytest.mark.parametrize(
    ("other", "declined"),
    [
        ("self.task = asyncio.run_coroutine_threadsafe(work(), loop)", True),
        ("self.task = loop.call_later(3, print)", True),
        ("self.task = asyncio.ensure_future(work())", False),
        ("self.timer = loop.call_later(3, print)", False),
        ("task = loop.call_later(3, print)", False),
    ],
)
def test_what_may_be_something_else_than_a_task_is_not_waited_for(
    other: str, *, declined: bool
) -> None:
    program = f"""\
import asyncio


class Service:
    def start(self, work):
        self.task = asyncio.create_task(work())

    def start_otherwise(self, loop, work):
        {other}

    async def stop(self):
        self.task.cancel()
        print("stopped")


class Other:
    def start(self, loop):
        self.task = loop.call_later(3, print)
"""
    if declined:
        check_declined(program, NO_TASK, analysis=ASKED)
    else:
        waiting = "self.task.cancel()\n        await asyncio.wait([self.task], timeout=10)\n"
        assert waiting in fix(program, analysis=ASKED).text


SLOTS = """\
import asyncio


class Rooms:
    def __init__(self):
        self.saves = {{}}
        self.last = None

    def change(self, key):
        self.saves[key] = asyncio.create_task(self.save(key))
        self.last = asyncio.create_task(self.save(key))

    async def save(self, key):
        try:
            await asyncio.sleep(1)
        finally:
            self.saves.pop(key, None)

    async def disconnect(self, key):
        {body}


async def main():
    rooms = Rooms()
    rooms.change(1)
    await asyncio.sleep(0)
    await rooms.disconnect(1)
    print("left")


asyncio.run(main())
"""


@pytest.mark.parametrize(
    "taken",
    ["del self.saves[key]", "self.saves.pop(key)", "self.saves.pop(key, None)"],
)
def test_what_is_taken_out_after_the_cancel_is_not_waited_for_before(taken: str) -> None:
    for body in (
        f"self.saves[key].cancel()\n        {taken}",
        f"task = self.saves[key]\n        task.cancel()\n        {taken}",
        f"if (task := self.saves.get(key)):\n            task.cancel()\n            {taken}",
    ):
        check_declined(SLOTS.format(body=body), TAKEN_OUT, analysis=ASKED)
    check_declined(
        SLOTS.format(body="self.last.cancel()\n        del self.last"), TAKEN_OUT, analysis=ASKED
    )


@pytest.mark.parametrize(
    "body",
    [
        "task = self.saves.pop(key)\n        task.cancel()",
        "task = self.saves[key]\n        del self.saves[key]\n        task.cancel()",
        "task = self.saves[key]\n        task.cancel()\n        self.others.pop(key)",
        "self.saves[key].cancel()\n        self.others.pop(key)",
        "for key in list(self.saves):\n            self.saves[key].cancel()",
    ],
)
def test_what_is_taken_out_before_is_waited_for(body: str) -> None:
    text = fix(SLOTS.format(body=body), analysis=ASKED).text
    assert "await asyncio.wait(" in text
