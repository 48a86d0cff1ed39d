"""TSK002: an endless task that serves one call of a function ends with it."""

from __future__ import annotations

import asyncio
from textwrap import dedent, indent
from typing import Any

import pytest
from transform import check_declined, check_fixed, fix

HEAD = """\
import asyncio


async def beat(ws):
    while True:
        await ws.pong.wait()
        ws.pong.clear()


async def once(ws):
    await ws.pong.wait()


async def handle(self, ws, queue, items):
"""
CANCELS = "task.cancel()\n        await asyncio.wait([task], timeout=10)"


def module(body: str) -> str:
    """Return a program whose ``handle`` has this body."""
    return HEAD + indent(dedent(body).strip("\n"), "    ") + "\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            """
            task = asyncio.create_task(beat(ws))
            while (message := await ws.receive()) is not None:
                print(message)
            return len(items)
            """,
            """
            task = asyncio.create_task(beat(ws), name="beat")
            try:
                while (message := await ws.receive()) is not None:
                    print(message)
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=10)
            return len(items)
            """,
            id="a loop",
        ),
        pytest.param(
            """
            task = asyncio.create_task(beat(ws))
            try:
                async for message in ws:
                    print(message)
            except ConnectionError:
                print("gone")
            """,
            """
            task = asyncio.create_task(beat(ws), name="beat")
            try:
                async for message in ws:
                    print(message)
            except ConnectionError:
                print("gone")
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=10)
            """,
            id="a try that is there",
        ),
        pytest.param(
            """
            task = asyncio.create_task(beat(ws))
            try:
                async for message in ws:
                    print(message)
            finally:
                # Say so.
                print("gone")
            """,
            """
            task = asyncio.create_task(beat(ws), name="beat")
            try:
                async for message in ws:
                    print(message)
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=10)
                # Say so.
                print("gone")
            """,
            id="a finally that is there",
        ),
        pytest.param(
            """
            task = asyncio.create_task(beat(ws))
            count = 0
            try:
                async for message in ws:
                    count += 1
            finally:
                print(count)
            """,
            """
            task = asyncio.create_task(beat(ws), name="beat")
            count = 0
            try:
                async for message in ws:
                    count += 1
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=10)
                print(count)
            """,
            id="a finally further down",
        ),
        pytest.param(
            """
            workers = [asyncio.create_task(beat(queue)) for _ in range(3)]
            for item in items:
                queue.put_nowait(item)
            await queue.join()
            """,
            """
            workers = [asyncio.create_task(beat(queue), name="beat") for _ in range(3)]
            try:
                for item in items:
                    queue.put_nowait(item)
                await queue.join()
            finally:
                for worker in workers:
                    worker.cancel()
                if workers:
                    await asyncio.wait(workers, timeout=10)
            """,
            id="a list",
        ),
        pytest.param(
            """
            tasks = []
            for _ in range(3):
                task = asyncio.create_task(beat(queue))
                tasks.append(task)
            worker = await queue.join()
            return worker
            """,
            """
            tasks = []
            for _ in range(3):
                task = asyncio.create_task(beat(queue), name="beat")
                tasks.append(task)
            try:
                worker = await queue.join()
            finally:
                for worker_2 in tasks:
                    worker_2.cancel()
                if tasks:
                    await asyncio.wait(tasks, timeout=10)
            return worker
            """,
            id="a list that a loop fills",
        ),
        pytest.param(
            """
            tasks = []
            for _ in range(3):
                tasks.append(asyncio.create_task(beat(queue)))
            await queue.join()
            """,
            """
            tasks = []
            for _ in range(3):
                tasks.append(asyncio.create_task(beat(queue), name="beat"))
            try:
                await queue.join()
            finally:
                for worker in tasks:
                    worker.cancel()
                if tasks:
                    await asyncio.wait(tasks, timeout=10)
            """,
            id="a list that is filled at once",
        ),
        pytest.param(
            """
            one = asyncio.create_task(beat(ws))
            more = [asyncio.create_task(beat(item)) for item in items]
            async for message in ws:
                print(message)
            """,
            """
            one = asyncio.create_task(beat(ws), name="beat")
            more = [asyncio.create_task(beat(item), name="beat") for item in items]
            try:
                async for message in ws:
                    print(message)
            finally:
                one.cancel()
                for worker in more:
                    worker.cancel()
                await asyncio.wait([one, *more], timeout=10)
            """,
            id="several in a row",
        ),
    ],
)
def test_it_ends_with_the_call(before: str, after: str) -> None:
    check_fixed(module(before), module(after))


def test_a_name_that_is_there_stays() -> None:
    named = (
        'task = asyncio.create_task(beat(ws), name="mine")\nasync for one in ws:\n    print(one)'
    )
    assert (
        '    task = asyncio.create_task(beat(ws), name="mine")\n    try:\n'
        in fix(module(named)).text
    )


def test_without_a_time_limit() -> None:
    source = module(
        """
        one = asyncio.create_task(beat(ws))
        more = [asyncio.create_task(beat(item)) for item in items]
        async for message in ws:
            print(message)
        """
    )
    text = fix(source, shutdown_timeout=None).text
    assert "        await asyncio.gather(one, *more, return_exceptions=True)\n" in text


@pytest.mark.parametrize(
    "body",
    [
        # It is over by itself.
        "task = asyncio.create_task(once(ws))\nasync for message in ws:\n    print(message)",
        # It is over when its source is.
        (
            "async def pump():\n    async for one in items:\n        print(one)\n"
            "task = asyncio.create_task(pump())\nasync for message in ws:\n    print(message)"
        ),
        # The function may only begin what is to go on.
        "task = asyncio.create_task(beat(ws))\nawait ws.open()",
        "task = asyncio.create_task(beat(ws))\nwhile not ws.ready:\n    await asyncio.sleep(1)",
        "task = asyncio.create_task(beat(self))\nawait self.ready.wait()",
        # The name is for another task later.
        (
            "task = asyncio.create_task(beat(ws))\ntask = asyncio.create_task(beat(ws))\n"
            "async for message in ws:\n    print(message)"
        ),
        # The loop stands elsewhere.
        "if items:\n    task = asyncio.create_task(beat(ws))\nasync for one in ws:\n    print(one)",
    ],
)
def test_what_may_be_meant_to_go_on_is_kept(body: str) -> None:
    text = fix(module(body)).text
    assert "_background_tasks" in text
    assert "finally" not in text


def test_a_function_that_starts_something_lets_it_go_on() -> None:
    body = "task = asyncio.create_task(beat(ws))\nawait ws.ready.wait()"
    assert "finally" in fix(module(body)).text
    assert "finally" not in fix(module(body).replace("def handle", "def start")).text


def test_what_cannot_be_cancelled_is_declined() -> None:
    source = module("task = asyncio.create_task(beat(ws))\nasync for one in ws:\n    print(one)")
    waits = "        await ws.pong.wait()\n"
    stubborn = f"        try:\n    {waits}        except BaseException:\n            pass\n"
    check_declined(
        source.replace(f"{waits}        ws.pong.clear()\n", stubborn),
        "catches CancelledError in its loop",
    )


def test_no_worker_is_left_over_after_many_calls() -> None:
    source = module(
        """
        workers = [asyncio.create_task(beat(ws)) for _ in range(3)]
        queue.put_nowait(items)
        while (message := await queue.get()) is not None:
            print(message)
        """
    )
    namespace: dict[str, Any] = {}
    exec(fix(source).text, namespace)  # noqa: S102

    class WebSocket:
        def __init__(self) -> None:
            self.pong = asyncio.Event()

    async def calls() -> int:
        for _ in range(10):
            await namespace["handle"](None, WebSocket(), asyncio.Queue(), None)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(calls()) == 0
