"""Lifespans are repaired, then run: what is cancelled, closed and logged in which order."""

from __future__ import annotations

import asyncio
import logging
import sys
from textwrap import dedent, indent
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from transform import check_declined, fix

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

happened = []


class Resource:
    def __init__(self, name):
        self.name = name

    async def close(self):
        happened.append(f"{self.name} closed")

    async def vanish(self):
        await self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info):
        await self.close()


pool = Resource("pool")
client = Resource("client")


async def worker():
    try:
        while True:
            await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        happened.append("worker ended")


class Consumer:
    def __init__(self):
        self.queue = asyncio.Queue()

    async def consume(self):
        try:
            while True:
                item = await self.queue.get()
                await asyncio.sleep(0.01)
                happened.append(f"did {item}")
                self.queue.task_done()
        finally:
            happened.append("worker ended")


class Server:
    def __init__(self):
        self.stopping = asyncio.Event()
        self.done = asyncio.Event()

    async def serve(self):
        try:
            await self.stopping.wait()
            await asyncio.sleep(0.01)
            happened.append("said goodbye")
            self.done.set()
        except asyncio.CancelledError:
            happened.append("cut off")
            raise

    async def stop(self):
        self.stopping.set()
        await self.done.wait()

"""


def lifespan(body: str) -> str:
    """Return a module with the lifespan ``body``."""
    head = "\n@asynccontextmanager\nasync def lifespan(app):\n"
    return HEAD + head + indent(dedent(body).strip("\n"), "    ") + "\n"


def run(text: str, get: str = "lifespan") -> list[str]:
    """Enter the lifespan that the expression ``get`` names, leave it, return what happened."""
    names: dict[str, Any] = {"__name__": "sample"}
    exec(compile(text, "sample.py", "exec"), names)  # noqa: S102 (it is what we test)

    async def main() -> None:
        context = eval(get, names)(SimpleNamespace(state=SimpleNamespace()))  # noqa: S307
        async with context as state:
            names["happened"].append(f"yields {state}")
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), 5))
    happened: list[str] = names["happened"]
    return happened


@pytest.mark.parametrize("made", ["", "poller = "], ids=["discarded", "named"])
def test_what_quart_runs_while_it_serves_ends_its_tasks(made: str) -> None:
    body = f"{made}asyncio.create_task(worker())\nyield\nawait pool.close()"
    source = lifespan(body).replace("@asynccontextmanager", "@app.while_serving")
    head = "\napp = SimpleNamespace(while_serving=lambda function: function)\n"
    result = fix(source.replace("def lifespan(app)", "def lifespan()").replace(HEAD, HEAD + head))
    assert not result.declined
    names: dict[str, Any] = {"__name__": "sample", "SimpleNamespace": SimpleNamespace}
    exec(compile(result.text, "sample.py", "exec"), names)  # noqa: S102 (it is what we test)

    async def serve() -> None:
        generator = names["lifespan"]()
        await anext(generator)
        await asyncio.sleep(0.005)
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    asyncio.run(asyncio.wait_for(serve(), 5))
    assert names["happened"] == ["worker ended", "pool closed"]


# The shapes, each with what must happen in this order.
WORKER_THEN_POOL = ["yields None", "worker ended", "pool closed"]
SHAPES = {
    "close after the yield": (
        """
        asyncio.create_task(worker())
        yield
        await pool.close()
        """,
        WORKER_THEN_POOL,
    ),
    "a state is yielded": (
        """
        asyncio.create_task(worker())
        yield {"pool": 1}
        await pool.close()
        """,
        ["yields {'pool': 1}", "worker ended", "pool closed"],
    ),
    "create inside try, close in finally": (
        """
        try:
            asyncio.create_task(worker())
            yield
        finally:
            await pool.close()
        """,
        WORKER_THEN_POOL,
    ),
    "create before try, close in finally": (
        """
        asyncio.create_task(worker())
        try:
            yield
        finally:
            await pool.close()
        """,
        WORKER_THEN_POOL,
    ),
    "each block on one line": (
        """
        asyncio.create_task(worker())
        try: yield
        finally: happened.append("left")
        """,
        ["yields None", "left", "worker ended"],
    ),
    "close on the line of finally": (
        """
        asyncio.create_task(worker())
        try:
            yield
        finally: await pool.close()
        """,
        WORKER_THEN_POOL,
    ),
    "create before try, nothing closed in finally": (
        """
        asyncio.create_task(worker())
        try:
            yield
        finally:
            happened.append("bye")
        """,
        ["yields None", "bye", "worker ended"],
    ),
    "create inside async with": (
        """
        async with pool:
            asyncio.create_task(worker())
            yield
        """,
        WORKER_THEN_POOL,
    ),
    "close in a nested block after the yield": (
        """
        asyncio.create_task(worker())
        async with client:
            yield
            await pool.close()
        """,
        ["yields None", "worker ended", "pool closed", "client closed"],
    ),
    "close in a helper of the file": (
        """
        async def finish():
            await pool.close()

        asyncio.create_task(worker())
        try:
            yield
        finally:
            await finish()
        """,
        WORKER_THEN_POOL,
    ),
    "created in a branch": (
        """
        if app is not None:
            asyncio.create_task(worker())
        yield
        await pool.close()
        """,
        WORKER_THEN_POOL,
    ),
    "two yields": (
        """
        asyncio.create_task(worker())
        if app is None:
            yield
        else:
            yield
        await pool.close()
        """,
        WORKER_THEN_POOL,
    ),
    "create inside async with, in a try with finally": (
        """
        try:
            async with pool:
                asyncio.create_task(worker())
                yield
        finally:
            happened.append("bye")
        """,
        [*WORKER_THEN_POOL, "bye"],
    ),
    "kept inside async with, in a try with finally": (
        """
        try:
            async with pool:
                task = asyncio.create_task(worker())
                yield
        finally:
            happened.append("bye")
        """,
        [*WORKER_THEN_POOL, "bye"],
    ),
    "create on an exit stack": (
        """
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(pool)
                asyncio.create_task(worker())
                yield
        finally:
            happened.append("bye")
        """,
        [*WORKER_THEN_POOL, "bye"],
    ),
    "an inner finally": (
        """
        try:
            async with pool:
                asyncio.create_task(worker())
                try:
                    yield
                finally:
                    happened.append("inner")
        finally:
            happened.append("bye")
        """,
        ["yields None", "inner", "worker ended", "pool closed", "bye"],
    ),
    "an else": (
        """
        try:
            asyncio.create_task(worker())
            yield
        except RuntimeError:
            raise
        else:
            await pool.vanish()
        finally:
            happened.append("bye")
        """,
        [*WORKER_THEN_POOL, "bye"],
    ),
    "closed in the try, before its finally": (
        """
        try:
            asyncio.create_task(worker())
            yield
            await pool.close()
        finally:
            happened.append("bye")
        """,
        [*WORKER_THEN_POOL, "bye"],
    ),
    "a word before the finally": (
        """
        try:
            asyncio.create_task(worker())
            yield
            print("leaves")
        finally:
            await pool.close()
        """,
        WORKER_THEN_POOL,
    ),
    "drained in the try, closed in its finally": (
        """
        consumer = Consumer()
        try:
            asyncio.create_task(consumer.consume())
            consumer.queue.put_nowait("a")
            yield
            await consumer.queue.join()
        finally:
            await pool.close()
        """,
        ["yields None", "did a", *WORKER_THEN_POOL[1:]],
    ),
    "one task before the async with, one in it": (
        """
        asyncio.create_task(worker())
        async with pool:
            asyncio.create_task(worker())
            yield
        """,
        ["yields None", "worker ended", "worker ended", "pool closed"],
    ),
    "queue drained, then closed": (
        """
        consumer = Consumer()
        asyncio.create_task(consumer.consume())
        consumer.queue.put_nowait("a")
        consumer.queue.put_nowait("b")
        yield
        await consumer.queue.join()
        await pool.close()
        """,
        ["yields None", "did a", "did b", "worker ended", "pool closed"],
    ),
    "queue drained in finally": (
        """
        consumer = Consumer()
        queue = consumer.queue
        asyncio.create_task(consumer.consume())
        queue.put_nowait("a")
        try:
            yield
        finally:
            await queue.join()
            await pool.close()
        """,
        ["yields None", "did a", "worker ended", "pool closed"],
    ),
    "told to stop and waited for": (
        """
        server = Server()
        asyncio.create_task(server.serve())
        yield
        server.stopping.set()
        await server.done.wait()
        await pool.close()
        """,
        ["yields None", "said goodbye", "pool closed"],
    ),
    "stopped by its own method": (
        """
        server = Server()
        try:
            asyncio.create_task(server.serve())
            yield
        finally:
            await server.stop()
            await pool.close()
        """,
        ["yields None", "said goodbye", "pool closed"],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_tasks_end_in_the_right_order(shape: str) -> None:
    body, expected = SHAPES[shape]
    result = fix(lifespan(body))
    assert not result.declined
    assert run(result.text) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_gathered_ends_as_a_task_does(shape: str) -> None:
    body, expected = SHAPES[shape]
    result = fix(lifespan(body.replace("asyncio.create_task(", "asyncio.gather(")))
    assert not result.declined
    if not result.fixed:
        pytest.skip("it has a name already")
    assert run(result.text) == expected


def test_each_task_that_is_gathered_ends_and_a_failed_one_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = lifespan(
        """
        async def connect(number):
            raise OSError(f"no broker {number}")

        task = "taken"
        asyncio.create_task(worker())
        asyncio.gather(*[connect(broker) for broker in range(2)], return_exceptions=False)
        asyncio.gather(worker(), worker())
        yield
        await pool.close()
        """
    )
    result = fix(source)
    assert not result.declined
    assert "for broker in range(2):\n" in result.text
    with caplog.at_level(logging.ERROR):
        assert run(result.text) == ["yields None", *["worker ended"] * 3, "pool closed"]
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["Background task 'connect' failed"] * 2
    assert fix(result.text).text == result.text


@pytest.mark.parametrize(
    "statement",
    [
        "asyncio.gather(worker(), *others)",
        "asyncio.gather(worker(), other)",
        "asyncio.gather(worker(), asyncio.gather(worker()))",
        "asyncio.gather(worker(), loop.run_in_executor(None, print))",
        "asyncio.gather(worker(), asyncio.create_task(worker()))",
        "asyncio.gather(*(worker() for other in range(2) if other))",
        "asyncio.gather(*(worker() for server in range(2)))\n        server = None",
        "asyncio.gather(*(worker() for app in app.workers))",
        "asyncio.gather(*(worker() for _ in range(2)))\n        print(_('started'))",
        "asyncio.gather(worker())  # the only one",
        "asyncio.shield(worker())",
    ],
)
def test_what_is_gathered_in_another_way_is_only_kept(statement: str) -> None:
    text = fix(lifespan(f"\n        {statement}\n        yield\n")).text
    assert "_background_futures" in text
    assert "cancel()" not in text


def test_of_what_is_gathered_all_tasks_can_be_ended_or_none_is() -> None:
    source = lifespan(
        """
        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    pass

        asyncio.gather(worker(), stubborn())
        yield
        """
    )
    check_declined(source, "let it re-raise first")


def test_what_may_be_no_coroutine_is_taken_as_gather_takes_it() -> None:
    source = lifespan("\n        asyncio.gather(worker(), app.serve(1))\n        yield\n")
    text = fix(source).text
    assert 'task = asyncio.create_task(worker(), name="worker")' in text
    assert " = asyncio.ensure_future(app.serve(1))" in text


@pytest.mark.parametrize("shape", SHAPES)
def test_it_ends_as_well_when_waiting_for_ever(shape: str) -> None:
    body, expected = SHAPES[shape]
    result = fix(lifespan(body), shutdown_timeout=None)
    assert "asyncio.gather(" in result.text or "asyncio.wait([task])" in result.text
    assert "timeout" not in result.text
    assert run(result.text) == expected


def test_a_finally_that_is_reached_at_once_is_the_place() -> None:
    text = fix(lifespan(SHAPES["a word before the finally"][0])).text
    assert text.count("    try:\n        task = ") == 1
    assert text.partition("async def lifespan")[2].count("finally:") == 1


def test_in_a_factory() -> None:
    source = HEAD + dedent(
        """
        def create_app():
            @asynccontextmanager
            async def lifespan(app):
                asyncio.create_task(worker())
                yield
                await pool.close()

            return lifespan
        """
    )
    assert run(fix(source).text, "create_app()") == WORKER_THEN_POOL


def test_a_method() -> None:
    source = HEAD + dedent(
        """
        class Service:
            @asynccontextmanager
            async def lifespan(self, app):
                asyncio.create_task(worker())
                yield
                await pool.close()
        """
    )
    assert run(fix(source).text, "Service().lifespan") == WORKER_THEN_POOL


def test_a_failed_worker_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    source = lifespan(
        """
        async def connect():
            raise OSError("no broker")

        asyncio.create_task(connect())
        yield
        """
    )
    with caplog.at_level(logging.ERROR):
        assert run(fix(source).text) == ["yields None"]
    [record] = caplog.records
    assert record.getMessage() == "Background task 'connect' failed"
    assert record.name == "sample"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no broker"


def test_the_shutdown_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    source = lifespan(
        """
        async def stubborn():
            for _ in range(3):
                try:
                    await asyncio.sleep(0.2)
                except asyncio.CancelledError:
                    happened.append("ignored")

        asyncio.create_task(stubborn())
        yield
        await pool.close()
        """
    )
    with caplog.at_level(logging.ERROR):
        happened = run(fix(source, shutdown_timeout=0.05).text)
    assert happened[:3] == ["yields None", "ignored", "pool closed"]
    assert [record.getMessage() for record in caplog.records] == [
        "Background task 'stubborn' ignored cancellation"
    ]


TOLD_LAST = {
    "at the end": """
        server = Server()
        asyncio.create_task(server.serve())
        yield
        server.stopping.set()
        """,
    "in a finally": """
        server = Server()
        asyncio.create_task(server.serve())
        try:
            yield
        finally:
            server.stopping.set()
            print("bye")
        """,
    "before something is closed": """
        server = Server()
        try:
            asyncio.create_task(server.serve())
            yield
        finally:
            server.stopping.set()
            await pool.close()
        """,
    "by an item in its queue": """
        jobs = asyncio.Queue()

        async def work_off():
            while True:
                if await jobs.get() is None:
                    break
                for _ in range(3):
                    await asyncio.sleep(0)
            happened.append("said goodbye")

        asyncio.create_task(work_off())
        yield
        jobs.put_nowait(1)
        await jobs.put(None)
        """,
    "by an item in the queue that it was given": """
        jobs = asyncio.Queue()

        async def work_off(queue):
            while await queue.get() is not None:
                await asyncio.sleep(0)
            happened.append("said goodbye")

        asyncio.create_task(work_off(jobs))
        yield
        jobs.put_nowait(None)
        """,
}


@pytest.mark.parametrize("timeout", [10, None])
@pytest.mark.parametrize("shape", TOLD_LAST)
def test_a_worker_that_is_told_to_end_at_last_gets_time_for_it(
    shape: str, timeout: float | None
) -> None:
    happened = run(fix(lifespan(TOLD_LAST[shape]), shutdown_timeout=timeout).text)
    assert happened[:2] == ["yields None", "said goodbye"]
    assert happened[2:] == ["pool closed"] * (shape == "before something is closed")


@pytest.mark.parametrize(
    "run",
    [
        "while True:\n            await wake.wait()\n            wake.clear()",
        "await wake.wait()\n        while True:\n            await asyncio.sleep(0.001)",
        "await other.wake.wait()",
        "while True:\n            await wake.wait()\n            for _ in [1]: break",
    ],
    ids=["wakes up time and again", "starts then", "another event", "leaves only an inner loop"],
)
def test_what_an_event_does_not_end_is_not_waited_for(run: str) -> None:
    source = lifespan(
        f"""
    wake = asyncio.Event()

    async def flusher(other=None):
        {run}

    asyncio.create_task(flusher())
    yield
    wake.set()
    """
    )
    assert fix(source).text.count("asyncio.wait(") == 1


@pytest.mark.parametrize("item", ["1", '"stopped"', "happened", "make()"])
def test_what_is_put_last_may_be_one_item_more(item: str) -> None:
    body = TOLD_LAST["by an item in its queue"].replace("jobs.put(None)", f"jobs.put({item})")
    assert fix(lifespan(body)).text.count("asyncio.wait(") == 1
    assert fix(lifespan(TOLD_LAST["by an item in its queue"])).text.count("asyncio.wait(") == 2


@pytest.mark.parametrize("timeout", [10, None])
@pytest.mark.parametrize("first", [True, False], ids=["made first", "made last"])
@pytest.mark.parametrize("shape", [shape for shape in TOLD_LAST if "try:" not in TOLD_LAST[shape]])
def test_only_those_that_are_told_are_waited_for(
    shape: str, timeout: float | None, *, first: bool
) -> None:
    [told] = [line for line in TOLD_LAST[shape].splitlines() if "create_task(" in line]
    margin = told[: -len(told.lstrip())]
    both = [told, f"{margin}asyncio.create_task(worker())"][:: 1 if first else -1]
    source = lifespan(TOLD_LAST[shape].replace(told, "\n".join(both)))
    text = fix(source, shutdown_timeout=timeout).text
    assert "# It has been told to end." in text
    assert run(text) == ["yields None", "said goodbye", "worker ended"]
    assert fix(text).text == text


WRITERS = """
jobs = asyncio.Queue()

async def write():
    while (job := await jobs.get()) is not None:
        happened.append(job)
    {last}
    await asyncio.sleep(0)
    happened.append("said goodbye")

{made}
yield
{told}
"""


@pytest.mark.parametrize(
    ("made", "told", "waits"),
    [
        (["asyncio.create_task(write())"] * 2, 1, False),
        (["asyncio.create_task(write())"] * 2, 2, True),
        (["for _ in range(2):\n    asyncio.create_task(write())"], 1, False),
        (["asyncio.create_task(write())"] * 2 + ["asyncio.create_task(worker())"], 1, False),
        (["asyncio.create_task(write())"] * 2 + ["asyncio.create_task(worker())"], 2, True),
    ],
)
def test_one_item_ends_one_of_those_that_share_a_queue(
    made: list[str], told: int, *, waits: bool
) -> None:
    lines = {"made": "\n".join(made), "told": "await jobs.put(None)\n" * told}
    text = fix(lifespan(WRITERS.format(last="", **lines)), shutdown_timeout=None).text
    assert ("been told to end" in text) is waits
    assert run(text).count("said goodbye") == 2 or not waits


@pytest.mark.parametrize("others", [[], ["asyncio.create_task(worker())"]])
def test_one_item_ends_all_that_put_it_back(others: list[str]) -> None:
    lines = {"made": "\n".join(["asyncio.create_task(write())"] * 2 + others)}
    body = WRITERS.format(last="jobs.put_nowait(None)", told="await jobs.put(None)", **lines)
    assert run(fix(lifespan(body)).text).count("said goodbye") == 2


def test_signs_of_both_kinds_are_counted_apart() -> None:
    made = ["asyncio.create_task(server.serve())", *["asyncio.create_task(write())"] * 2]
    signs = "server.stopping.set()\njobs.put_nowait(None)\nawait jobs.put(None)"
    body = WRITERS.format(last="", made="\n".join(["server = Server()", *made]), told=signs)
    assert run(fix(lifespan(body)).text).count("said goodbye") == 3


@pytest.mark.parametrize("block", ["async with lock:", "async with asyncio.timeout(0.005):"])
def test_who_is_told_under_a_lock_or_limit_is_waited_for_outside(block: str) -> None:
    if "timeout" in block and sys.version_info < (3, 11):
        pytest.skip("asyncio has no timeout()")
    source = lifespan(
        f"""
        lock, stop = asyncio.Lock(), asyncio.Event()

        async def save():
            await stop.wait()
            async with lock:
                await asyncio.sleep(0.02)
                happened.append("said goodbye")

        asyncio.create_task(save())
        asyncio.create_task(worker())
        yield
        {block}
            stop.set()
        """
    )
    assert run(fix(source).text) == ["yields None", "said goodbye", "worker ended"]


def test_who_may_not_have_been_told_is_not_waited_for() -> None:
    source = lifespan(
        """
        jobs = asyncio.Queue(1)

        async def work():
            await asyncio.sleep(0.05)
            while await jobs.get() is not None:
                pass

        asyncio.create_task(work())
        asyncio.create_task(worker())
        jobs.put_nowait(1)
        yield
        with suppress(asyncio.QueueFull):
            jobs.put_nowait(None)
        """
    )
    text = f"from contextlib import suppress\n{fix(source, shutdown_timeout=None).text}"
    assert "# It has been told to end." in text
    assert run(text) == ["yields None", "worker ended"]


def test_several_that_are_told_are_waited_for_together() -> None:
    source = lifespan(
        """
        first = Server()
        second = Server()
        asyncio.create_task(worker())
        asyncio.create_task(first.serve())
        asyncio.create_task(second.serve())
        yield
        first.stopping.set()
        print("bye")
        second.stopping.set()
        """
    )
    text = fix(source).text
    assert "await asyncio.wait([serve_task, serve_task_2], timeout=10)" in text
    assert run(text) == ["yields None", "said goodbye", "said goodbye", "worker ended"]


def test_all_that_are_told_by_several_signs_get_time_for_it() -> None:
    source = lifespan(
        """
        first, second = Server(), Server()
        asyncio.create_task(first.serve())
        asyncio.create_task(second.serve())
        yield
        first.stopping.set()
        second.stopping.set()
        """
    )
    assert run(fix(source).text) == ["yields None", "said goodbye", "said goodbye"]


@pytest.mark.parametrize(
    "made",
    [
        "if server: {}",
        "for _ in range(2): {}",
        "for _ in range(2):\n    said = {}\nsaid = {}",
        "def begin():\n    {}\nbegin()",
        "stack = AsyncExitStack()\nasync with stack:\n    {}",
    ],
    ids=["under a condition", "in a loop", "one name of several", "in a helper", "in a block"],
)
def test_a_task_that_no_name_surely_stands_for_is_cancelled_with_the_others(made: str) -> None:
    rest = "asyncio.create_task(worker())\nyield\nserver.stopping.set()"
    create = made.format(*["asyncio.create_task(server.serve())"] * 2)
    result = fix(lifespan(f"server = Server()\n{create}\n{rest}"))
    assert "been told to end" not in result.text
    assert "worker ended" in run(result.text)


def test_nobody_waits_for_one_that_could_not_be_told() -> None:
    source = lifespan(
        """
        server = Server()
        asyncio.create_task(worker())
        asyncio.create_task(server.serve())
        yield
        server.stopping.set()
        """
    )
    text = fix(source).text
    names: dict[str, Any] = {"__name__": "sample"}
    exec(compile(text, "sample.py", "exec"), names)  # noqa: S102 (it is what we test)

    async def fail() -> None:
        async with names["lifespan"](SimpleNamespace(state=SimpleNamespace())):
            await asyncio.sleep(0.005)
            raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        asyncio.run(asyncio.wait_for(fail(), 5))
    assert sorted(names["happened"]) == ["cut off", "worker ended"]


CONFLICTS = {
    "yielded twice, waited for in an else": """
        server = Server()
        asyncio.create_task(server.serve())
        try:
            yield
        except ValueError:
            yield
        else:
            await server.stop()
            await pool.close()
        """,
    "closed, then waited for": """
        consumer = Consumer()
        asyncio.create_task(consumer.consume())
        yield
        await pool.close()
        await consumer.queue.join()
        """,
    "closed inside the block, waited for after it": """
        consumer = Consumer()
        async with client:
            asyncio.create_task(consumer.consume())
            yield
        await consumer.queue.join()
        """,
    "both in one statement": """
        consumer = Consumer()
        asyncio.create_task(consumer.consume())
        yield
        if app is not None:
            await pool.close()
            await consumer.queue.join()
        """,
}


@pytest.mark.parametrize("shape", CONFLICTS)
def test_without_a_right_order_it_is_declined(shape: str) -> None:
    check_declined(lifespan(CONFLICTS[shape]), "no place to cancel it before that is clearly right")


@pytest.mark.parametrize("shape", CONFLICTS)
def test_an_unsafe_fix_chooses_a_place(shape: str) -> None:
    result = fix(lifespan(CONFLICTS[shape]), unsafe_fixes=True)
    assert not result.declined


def test_a_worker_that_cannot_be_cancelled_is_declined() -> None:
    body = """
        async def deaf():
            while True:
                try:
                    await asyncio.sleep(1)
                except {caught}:
                    {does}

        asyncio.create_task(deaf())
        yield
        """
    for caught, does in [
        ("asyncio.CancelledError", "pass"),
        ("BaseException", "continue"),
        ("(ValueError, asyncio.CancelledError)", "print()"),
    ]:
        source = lifespan(body.format(caught=caught, does=does))
        check_declined(source, "deaf() catches CancelledError")
        inner = source.replace("create_task(deaf())", "create_task(outer())").replace(
            "async def deaf", "async def outer():\n        await deaf()\n\n    async def deaf"
        )
        check_declined(inner, "deaf() catches CancelledError")
    for caught, does in [("Exception", "pass"), ("asyncio.CancelledError", "raise")]:
        assert not fix(lifespan(body.format(caught=caught, does=does))).declined


def test_a_task_of_the_teardown_is_declined() -> None:
    check_declined(
        lifespan(
            """
            yield
            asyncio.create_task(worker())
            """
        ),
        "after the yield",
    )


def test_an_aiohttp_cleanup_context_ends_its_tasks_before_it_closes() -> None:
    source = HEAD + dedent(
        """
        async def background(app):
            asyncio.create_task(worker())
            yield
            await pool.close()


        def setup(app):
            app.cleanup_ctx.append(background)
        """
    )
    assert run(fix(source).text, "asynccontextmanager(background)") == WORKER_THEN_POOL


def test_a_task_of_a_nested_function_lives_as_long_as_the_lifespan() -> None:
    source = lifespan(
        """
        async def restart():
            asyncio.create_task(worker())

        await restart()
        asyncio.create_task(worker())
        yield
        await pool.close()
        """
    )
    assert run(fix(source).text) == ["yields None", *["worker ended"] * 2, "pool closed"]


def test_what_is_made_in_expressions_ends_with_the_lifespan() -> None:
    text = fix(
        lifespan(
            """
            [asyncio.create_task(worker()) for _ in range(2)]
            pool and asyncio.create_task(worker())
            yield
            await pool.close()
            """
        )
    ).text
    assert run(text) == ["yields None", *["worker ended"] * 3, "pool closed"]


TOLD = """
class Job:
    def __init__(self):
        self.running = True
        self.finished = None

    async def run(self):
        try:
            while self.running:
                await asyncio.sleep(0.001)
            happened.append("said goodbye")
            if self.finished is not None:
                self.finished.set_result(None)
        except asyncio.CancelledError:
            happened.append("cut off")
            raise

    def request_exit(self):
        self.running = False

    async def farewell(self):
        self.request_exit()
        self.finished = asyncio.get_running_loop().create_future()
        await self.finished

    async def close(self):
        happened.append("job closed")


settings = {"running": True}
going = True
"""
SAID_GOODBYE = ["yields None", "said goodbye", "pool closed"]
TELLING = {
    "a flag": "job.running = False\nawait asyncio.sleep(0.05)",
    "a flag, a word, a pause": "job.running = False\nprint()\nawait asyncio.sleep(0.05)",
    "a method": "job.request_exit()\nawait asyncio.sleep(0.05)",
    "a method further down": "await job.farewell()",
    "a time limit": "try:\n    await asyncio.wait_for(job.farewell(), 1)\nfinally:\n    pass",
    "a future": (
        "job.finished = asyncio.get_running_loop().create_future()\n"
        "job.running = False\nawait asyncio.wait([job.finished])"
    ),
    "an attribute": (
        "job.finished = asyncio.get_running_loop().create_future()\n"
        "job.running = False\nawait job.finished"
    ),
}


@pytest.mark.parametrize("shape", TELLING)
@pytest.mark.parametrize("inside", [False, True], ids=["after", "finally"])
def test_a_worker_that_is_told_to_finish_gets_the_time_it_is_given(
    shape: str, inside: bool
) -> None:
    rest = f"{TELLING[shape]}\nawait pool.close()"
    if inside:
        rest = f"finally:\n{indent(rest, '    ')}"
    begin = "try:\n    yield" if inside else "yield"
    source = lifespan(f"job = Job()\nasyncio.create_task(job.run())\n{begin}\n{rest}")
    result = fix(source.replace(HEAD, HEAD + TOLD))
    assert not result.declined
    assert run(result.text) == SAID_GOODBYE


ELSEWHERE = """
import asyncio


class Job:
    def __init__(self, happened):
        self.happened = happened
        self.running = True

    async def run(self):
        try:
            while self.running:
                await asyncio.sleep(0.001)
            self.happened.append("said goodbye")
        except asyncio.CancelledError:
            self.happened.append("cut off")
            raise

    def terminate(self):
        self.running = False

    async def graceful_shutdown(self):
        self.running = False

    quit = exit_gracefully = terminate
"""


@pytest.mark.parametrize(
    "tell",
    [
        "job.running = False",
        "setattr(job, 'running', False)",
        "job.terminate()",
        "job.quit()",
        "job.exit_gracefully()",
        "await job.graceful_shutdown()",
    ],
)
def test_a_worker_of_another_file_is_told_through_its_object(
    tell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere_told.py").write_text(ELSEWHERE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    head = HEAD + "\nfrom elsewhere_told import Job\n\njob = Job(happened)\n"
    source = lifespan(
        f"""
        asyncio.create_task(job.run())
        yield
        {tell}
        await asyncio.sleep(0.05)
        await pool.close()
        """
    )
    assert run(fix(source.replace(HEAD, head)).text) == SAID_GOODBYE


def test_what_a_worker_only_uses_is_terminated_after_it() -> None:
    source = lifespan(
        """
        asyncio.create_task(consume(pool))
        yield
        pool.terminate()
        await pool.wait_closed()
        """
    )
    text = fix(source).text
    assert text.index(".cancel()") < text.index("pool.terminate()")


@pytest.mark.parametrize(
    "rest",
    [
        "await pool.close()\njob.running = False",
        "await pool.close()\nawait asyncio.sleep(0.01)",
        "await pool.close()\njob.finished = None\nawait asyncio.sleep(0.01)",
        "if job:\n    job.running = False\n    await pool.close()",
        "await asyncio.gather(job.close(), pool.close())",
    ],
)
def test_what_nobody_waits_for_keeps_no_worker_going(rest: str) -> None:
    source = lifespan(f"job = Job()\nasyncio.create_task(job.run())\nyield\n{rest}")
    result = fix(source.replace(HEAD, HEAD + TOLD))
    assert not result.declined
    happened = run(result.text)
    assert happened.index("cut off") < happened.index("pool closed")


def test_a_worker_that_is_told_and_waited_for_after_its_pool_is_closed_is_declined() -> None:
    source = lifespan(
        """
        job = Job()
        asyncio.create_task(job.run())
        yield
        await pool.close()
        job.running = False
        await asyncio.sleep(0.01)
        """
    )
    check_declined(source.replace(HEAD, HEAD + TOLD), "no place to cancel it before that")


@pytest.mark.parametrize(
    ("test", "tell"),
    [
        ("settings['running']", "settings['running'] = False"),
        ("going", "going = False"),
        ("still", "still = False"),
    ],
)
def test_a_worker_reads_what_is_assigned_to(test: str, tell: str) -> None:
    source = lifespan(
        f"""
        global going
        still = True

        async def work():
            while {test}:
                await asyncio.sleep(0.001)
            happened.append("said goodbye")

        asyncio.create_task(work())
        yield
        {tell}
        await asyncio.sleep(0.05)
        await pool.close()
        """
    )
    assert run(fix(source.replace(HEAD, HEAD + TOLD)).text) == SAID_GOODBYE


def test_a_local_of_the_same_name_tells_nothing() -> None:
    source = lifespan(
        """
        async def work():
            count = 0
            while count < 1000:
                await asyncio.sleep(0.001)

        asyncio.create_task(work())
        yield
        count = 1
        await pool.close()
        """
    )
    text = fix(source).text
    assert text.index(".cancel()") < text.index("count = 1")


@pytest.mark.parametrize("annotation", [": FastAPI", ": Starlette"])
def test_an_application_with_a_state_of_its_own_gets_a_local_set_alone(annotation: str) -> None:
    source = lifespan("asyncio.create_task(worker())\nyield\nawait pool.close()")
    typed = source.replace("(app)", f"(app{annotation})")
    head = "from fastapi import FastAPI\nfrom starlette.applications import Starlette\n"
    assert "app.state.background_tasks = background_tasks" in fix(head + typed).text
    text = fix(
        f"{head}{typed}\n\napp = FastAPI(lifespan=lifespan)\napp.state = Resource('x')\n"
    ).text
    assert "app.state.background_tasks" not in text
    assert "background_tasks.add(task)" in text
    assert run(text) == WORKER_THEN_POOL


HELPER = """
from fastapi import FastAPI


async def _start_workers(count: int, app: FastAPI) -> None:
    for _ in range(count):
        asyncio.create_task(worker())


@asynccontextmanager
async def lifespan(app: FastAPI):
    await _start_workers(2, app)
    yield
    await pool.close()
"""


def test_what_a_helper_starts_that_is_given_the_application_ends_with_the_lifespan() -> None:
    text = fix(HEAD + HELPER).text
    assert run(text) == ["yields None", *["worker ended"] * 2, "pool closed"]
    own = HELPER.replace("    yield\n", "    asyncio.create_task(worker())\n    yield\n")
    assert run(fix(HEAD + own).text) == ["yields None", *["worker ended"] * 3, "pool closed"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("await _start_workers(2, app)", "await _start_workers(2, other)"),
        ("await _start_workers(2, app)", "await _start_workers(*app)"),
        ("await _start_workers(2, app)", "await _start_workers(2, app)\n    app = None"),
        ("    for _", "    app = app.inner\n    for _"),
        ("    yield\n", "    yield\n    await _start_workers(1, app)\n"),
        ("(app: FastAPI):\n", "(app):\n"),
        ("    yield\n", "    app.state = pool\n    yield\n"),
        ("\n\nasync def _start", "\n\n@cache\nasync def _start"),
        (
            "    await _start_workers(2, app)\n    yield\n",
            "    yield\n    await _start_workers(2, app)\n",
        ),
        ("_start_workers", "start_workers"),
        ("    await pool.close()\n", "    await pool.close()\n\n\nother = _start_workers\n"),
    ],
)
def test_a_helper_of_others_or_without_the_application_only_keeps_its_tasks(
    old: str, new: str
) -> None:
    assert old in HELPER
    text = fix(HEAD + HELPER.replace(old, new)).text
    assert "\n_background_tasks: set[" in text
    assert ".cancel()" not in text
