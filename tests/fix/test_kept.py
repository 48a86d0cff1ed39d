"""TSK201: a task that an application keeps gets an end, by its own name where that can be."""

from __future__ import annotations

import re
from textwrap import dedent, indent

import pytest
from test_lifespan_runs import SHAPES, lifespan, run
from transform import check_declined, check_fixed, fix

from flake8_task_refs.analysis.check import check_source
from flake8_task_refs.fix.engine import FixSettings, fix_source
from flake8_task_refs.options import Settings

# Here a worker that is known by name ends before the clean-up, which closes nothing.
BEFORE_THE_REST = "create before try, nothing closed in finally"

HEAD = """\
import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI


async def poll(every=60):
    while True:
        await asyncio.sleep(every)


@asynccontextmanager
async def lifespan(app: FastAPI):
"""


def in_lifespan(body: str) -> str:
    return HEAD + indent(dedent(body).strip("\n"), "    ") + "\n"


@pytest.mark.parametrize("handle", ["kept", "app.state.kept", "app.state.of['kept']"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_kept_task_ends_when_a_discarded_one_does(shape: str, handle: str) -> None:
    body, expected = SHAPES[shape]
    made = re.sub(r"(?m)^(\s*)asyncio\.create_task\(", rf"\1{handle} = asyncio.create_task(", body)
    source = lifespan(f"\n        app.state.of = {{}}\n{made}")
    found = [finding.code for finding in check_source(source)]
    if not found:
        pytest.skip("somebody tells it to end")
    result = fix(source)
    assert not result.declined
    assert not check_source(result.text)
    happened = run(result.text)
    if shape == BEFORE_THE_REST:
        assert sorted(happened) == sorted(expected)
    else:
        assert happened == expected


def test_by_its_name() -> None:
    check_fixed(
        in_lifespan(
            """
            app.state.poller = asyncio.create_task(poll())  # every minute
            yield
            """
        ),
        in_lifespan(
            """
            app.state.poller = asyncio.create_task(poll())  # every minute
            try:
                yield
            finally:
                app.state.poller.cancel()
                await asyncio.wait([app.state.poller], timeout=10)
            """
        ),
    )


def test_in_the_finally_that_is_there() -> None:
    check_fixed(
        in_lifespan(
            """
            poller = asyncio.create_task(poll())
            app.state.poller = poller
            poller.add_done_callback(print)

            try:
                yield
            finally:
                # The pool goes last.
                await app.state.pool.close()
            """
        ),
        in_lifespan(
            """
            poller = asyncio.create_task(poll())
            app.state.poller = poller
            poller.add_done_callback(print)

            try:
                yield
            finally:
                poller.cancel()
                await asyncio.wait([poller], timeout=10)
                # The pool goes last.
                await app.state.pool.close()
            """
        ),
    )


def test_several_at_once_and_without_a_bound() -> None:
    check_fixed(
        in_lifespan(
            """
            first = asyncio.create_task(poll(1))
            app.state.second = asyncio.create_task(poll(2))
            await app.state.pool.open()
            yield
            """
        ),
        in_lifespan(
            """
            first = asyncio.create_task(poll(1))
            app.state.second = asyncio.create_task(poll(2))
            try:
                await app.state.pool.open()
                yield
            finally:
                first.cancel()
                app.state.second.cancel()
                await asyncio.wait([first, app.state.second])
            """
        ),
        shutdown_timeout=None,
    )


@pytest.mark.parametrize(
    ("body", "elsewhere"),
    [
        # It may not have been made when the lifespan ends.
        ("if app.debug:\n    poller = asyncio.create_task(poll())\nyield", ""),
        (
            (
                "app.state.first = asyncio.create_task(poll(1))\n"
                "await app.state.pool.open()\n"
                "app.state.second = asyncio.create_task(poll(2))\n"
                "yield"
            ),
            "",
        ),
        # The name may stand for another task by then, or for none.
        (
            "poller = asyncio.create_task(poll(1))\npoller = asyncio.create_task(poll(2))\nyield",
            "",
        ),
        (
            "app.state.poller = asyncio.create_task(poll())\nyield",
            "def forget(app):\n    app.state.poller = None\n",
        ),
        (
            'app.state.of["poll"] = asyncio.create_task(poll())\nyield',
            'def forget(app):\n    del app.state.of["poll"]\n',
        ),
    ],
)
def test_a_registry_where_the_name_may_not_be_the_tasks(body: str, elsewhere: str) -> None:
    result = fix(f"{in_lifespan(body)}\n\n{elsewhere}")
    assert result.fixed
    assert "background_tasks.add(" in result.text
    assert "TSK201" not in [finding.code for finding in check_source(result.text)]


def test_whoever_asks_for_the_result_does_so_before_it_is_cancelled() -> None:
    check_fixed(
        in_lifespan(
            """
            poller = asyncio.create_task(poll())
            app.state.poller = poller
            try:
                yield
            finally:
                if poller.done():
                    poller.result()
                print("bye")
            """
        ),
        in_lifespan(
            """
            poller = asyncio.create_task(poll())
            app.state.poller = poller
            try:
                yield
            finally:
                if poller.done():
                    poller.result()
                poller.cancel()
                await asyncio.wait([poller], timeout=10)
                print("bye")
            """
        ),
    )
    check_declined(
        in_lifespan(
            """
            if app.debug:
                poller = asyncio.create_task(poll())
            yield
            if app.debug and poller.done():
                poller.result()
            """
        ),
        "the shutdown asks for the task itself",
    )


def test_what_is_in_a_container_of_ones_own_has_a_name_all_the_same() -> None:
    made = """
        tasks = set()
        task = asyncio.create_task(poll())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        """
    check_fixed(
        in_lifespan(f"{made}yield"),
        in_lifespan(
            f"""{made}try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=10)
            """
        ),
    )


@pytest.mark.parametrize(
    "made",
    [
        (
            "for every in (1, 2):\n"
            "    task = asyncio.create_task(poll(every))\n"
            "    app.state.tasks.append(task)\n"
        ),
        "app.state.tasks.append(asyncio.create_task(poll()))\n",
        "app.state.tasks = [asyncio.create_task(poll(1)), asyncio.create_task(poll(2))]\n",
    ],
)
def test_a_container_of_ones_own_is_emptied_by_oneself(made: str) -> None:
    check_declined(in_lifespan(f"{made}yield"), "the task is in a container of your own")


def test_a_startup_handlers_task_ends_in_the_shutdown_handler() -> None:
    source = dedent(
        """\
        import asyncio

        from fastapi import FastAPI

        app = FastAPI()


        async def poll():
            while True:
                await asyncio.sleep(60)


        @app.on_event("startup")
        async def start():
            app.state.poller = asyncio.create_task(poll())


        @app.on_event("shutdown")
        async def stop():
            await app.state.pool.close()
        """
    )
    result = fix(source)
    assert not result.declined
    assert not check_source(result.text)
    assert "    await asyncio.wait([app.state.poller], timeout=10)\n" in result.text
    assert result.text.index(".cancel()") < result.text.index("pool.close()")
    asks = source.replace("    await app.state.pool.close()\n", "    app.state.poller.result()\n")
    check_declined(asks, "the shutdown asks for the task itself")


def test_what_a_repair_keeps_is_ended_in_the_same_run() -> None:
    source = """\
import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI
from workers import poll

_pollers = set()


@asynccontextmanager
async def polled(app: FastAPI):
    task = asyncio.create_task(poll())
    _pollers.add(task)
    yield
"""
    assert [finding.code for finding in check_source(source)] == ["TSK101"]
    result = fix(source)
    assert "        task.cancel()\n" in result.text
    assert not result.unended
    assert fix(result.text).text == result.text


def test_what_a_fault_hides_keeps_nobody_from_repairing_it() -> None:
    source = in_lifespan(
        """
        app.state.poller = asyncio.create_task(poll(), name="poll")
        yield
        """
    )
    strict = Settings(enabled_codes=frozenset({"TSK304"}))
    assert [finding.code for finding in check_source(source, strict)] == ["TSK201"]
    result = fix_source(source, FixSettings(analysis=strict))
    assert "        app.state.poller.cancel()\n" in result.text
    assert {finding.code for finding in check_source(result.text, strict)} <= {"TSK304"}
    assert fix(result.text, analysis=strict).text == result.text
