"""Code that looks like asyncio's, like a helper or like a handler, and what is really one."""

from __future__ import annotations

import pytest

from flake8_task_refs import FixSettings, Settings, check_source, fix_source

DROPPED = "async def g(): pass\nasync def f():\n    {}\n"
HANDLER = """
import asyncio
from fastapi import FastAPI
app = FastAPI()
async def loop():
    while True:
        await asyncio.sleep(1)
@app.{}
async def start():
    app.state.ticker = asyncio.create_task(loop())
"""


def codes(source: str) -> list[str]:
    return [finding.code for finding in check_source(source)]


@pytest.mark.parametrize(
    ("head", "call"),
    [
        ("from mylib.asyncio import create_task", "create_task(g())"),
        ("from .asyncio import create_task", "create_task(g())"),
        ("import mylib.asyncio", "mylib.asyncio.create_task(g())"),
        ("from . import asyncio", "asyncio.create_task(g())"),
        ("from redis import asyncio as aioredis", "aioredis.create_task(g())"),
    ],
)
def test_another_package_may_have_an_asyncio_of_its_own(head: str, call: str) -> None:
    assert codes(f"{head}\n{DROPPED.format(call)}") == []


@pytest.mark.parametrize(
    "head",
    [
        "import os; import asyncio",
        "import asyncio; import os",
        "from syncer import asyncio",
        "from .compat import asyncio",
        "try:\n    import asyncio\nexcept ImportError:\n    from . import asyncio",
    ],
)
def test_asyncio_is_known_however_it_is_imported(head: str) -> None:
    assert codes(f"{head}\n{DROPPED.format('asyncio.create_task(g())')}") == ["TSK001"]


def test_a_helper_is_known_by_where_it_is_defined() -> None:
    source = """
import asyncio
class A:
    async def start(self):
        def spawn(coroutine):
            return asyncio.create_task(coroutine)
        {}spawn(work())
class B:
    async def start(self, group):
        def spawn(coroutine):
            group.start_soon(coroutine)
        spawn(work())
"""
    assert codes(source.format("await ")) == []
    assert [finding.line for finding in check_source(source.format(""))] == [7]


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ('on_event("startup")', ["TSK201"]),
        ("on_event('startup')", ["TSK201"]),
        ('post("/startup")', []),
        ('post("/jobs/startup/run")', []),
    ],
)
def test_a_route_is_no_handler_whatever_its_path(decorator: str, expected: list[str]) -> None:
    assert codes(HANDLER.format(decorator)) == expected
    stop = "@app.{}\nasync def stop():\n    app.state.ticker.cancel()\n"
    ended = HANDLER.format('on_event("startup")') + stop
    assert codes(ended.format('on_event("shutdown")')) == []


def test_every_finding_of_a_call_is_accounted_for_where_one_is_declined() -> None:
    source = """
import asyncio
from contextlib import asynccontextmanager
from fastapi import FastAPI
@asynccontextmanager
async def lifespan(app: FastAPI):
    yield
    asyncio.create_task(work())
"""
    analysis = Settings(enabled_codes=frozenset({"TSK303"}))
    result = fix_source(source, FixSettings(analysis=analysis))
    told = [*result.fixed, *(refusal.finding for refusal in result.declined)]
    assert sorted(told) == check_source(source, analysis)
    assert {finding.code for finding in told} == {"TSK001", "TSK303"}


def test_done_callbacks_of_other_classes_are_their_own_business() -> None:
    source = """
import asyncio
class Promise:
    def add_done_callback(self, callback):
        callback()
    def listen(self):
        self.add_done_callback(lambda: None)
async def f():
    Promise().add_done_callback(lambda: None)
    promise = Promise()
    promise.add_done_callback(lambda: None)
    task = asyncio.create_task(g())
    task.add_done_callback(lambda: None)
    await task
"""
    assert [(finding.line, finding.code) for finding in check_source(source)] == [(13, "TSK102")]


def test_a_continued_line_begins_no_statement() -> None:
    method = "from asyncio import create_task\nasync def m():\n    o.\\\ncreate_task(g())\n"
    assert codes(method) == []
    comment = (
        "from asyncio import create_task\nasync def m():\n    # not: \\\n    create_task(g())\n"
    )
    assert codes(comment) == ["TSK001"]
