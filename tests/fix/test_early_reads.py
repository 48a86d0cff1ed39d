"""What the inserted lines name is what the module calls so: no local, and no other import."""

from __future__ import annotations

from textwrap import dedent

import pytest
from transform import check_declined, fix

from flake8_task_refs.fix.early_reads import read_too_early


def test_what_a_function_reads_above_its_binding() -> None:
    text = """
        import asyncio
        import logging

        def early():
            print(asyncio, logging)
            import asyncio

        class A:
            async def method(self, given):
                given.cancel()
                given = None
                print(later)
                for later in (): ...

        def elsewhere():
            global asyncio
            print(asyncio)
            asyncio = None

            def nested():
                print(below)

            below = 1
    """
    assert read_too_early(dedent(text)) == {(".early", "asyncio"), (".A.method", "later")}
    assert read_too_early("def f(:") == set()


CLOSE = """\
import asyncio


class Service:
    def __init__(self):
        self.closed = False

    async def start(self):
        asyncio.create_task(self.run())

    async def run(self):
        while not self.closed:
            await asyncio.sleep(1)

    async def close(self):
        {}
        await asyncio.sleep(0.25)
"""


@pytest.mark.parametrize("line", ["import asyncio", "for asyncio in (asyncio_,): pass"])
def test_a_local_of_that_name(line: str) -> None:
    check_declined(CLOSE.format(line), "close() binds a name asyncio of its own")
    assert "current_task()}" in fix(CLOSE.format("import os")).text


@pytest.mark.parametrize(
    "head",
    [
        "logging = True",
        "from app import logging",
        "import logging\n\ndel logging",
    ],
)
def test_a_module_that_means_something_else(head: str) -> None:
    source = f"""\
import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI

{head}


@asynccontextmanager
async def lifespan(app: FastAPI):
    asyncio.create_task(app.state.worker.run())
    yield
"""
    check_declined(source, "the module means something else by a name")


@pytest.mark.parametrize(
    "head",
    [
        "log = None",
        "logger: logging.Logger",
        "logger = print",
        'if __name__ == "__main__":\n    logger = logging.getLogger()',
    ],
)
def test_a_logger_that_may_be_none(head: str) -> None:
    source = f"""\
import asyncio
import logging
from contextlib import asynccontextmanager

from fastapi import FastAPI

{head}


@asynccontextmanager
async def lifespan(app: FastAPI):
    asyncio.create_task(app.state.worker.run())
    yield
"""
    text = fix(source).text
    assert "logger = logging.getLogger(__name__)\n" in text
