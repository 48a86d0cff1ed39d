"""Endless tasks that a context manager makes end when what it lends is given back."""

from __future__ import annotations

import asyncio
from textwrap import dedent, indent
from typing import Any

import pytest
from transform import check_declined, fix

from flake8_task_refs.fix.homes.context_manager import LENT

HEAD = """\
import asyncio
from contextlib import asynccontextmanager

happened = []


async def beat(what="beat"):
    try:
        while True:
            await asyncio.sleep(0)
    finally:
        happened.append(f"{what} over")


"""
USE = """

async def use():
    async with lease() as lent:
        await asyncio.sleep(0)
        happened.append(f"has {lent}")
    happened.append("given back")
"""
SHAPES = {
    "bare": """
        asyncio.create_task(beat())
        yield 1
        """,
    "in a local": """
        task = asyncio.create_task(beat())
        yield 1
        """,
    "in a local, before a finally": """
        task = asyncio.create_task(beat())
        try:
            yield 1
        finally:
            happened.append("cleaned")
        """,
    "with a finally": """
        asyncio.create_task(beat())
        try:
            yield 1
        finally:
            happened.append("cleaned")
        """,
    "two": """
        asyncio.create_task(beat())
        asyncio.create_task(beat("second"))
        yield 1
        """,
    "in a with": """
        async with asyncio.Lock():
            asyncio.create_task(beat())
            yield 1
        """,
}


def lease(body: str, decorator: str = "@asynccontextmanager") -> str:
    """Return a module with the context manager, and what uses it."""
    function = f"{decorator}\nasync def lease():\n" + indent(dedent(body).strip("\n"), "    ")
    return HEAD + function + "\n" + USE


@pytest.mark.parametrize("shape", SHAPES)
def test_it_ends_when_what_is_lent_is_given_back(shape: str) -> None:
    text = fix(lease(SHAPES[shape])).text
    assert "_background_tasks" not in text
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 (it is what we test)
    asyncio.run(names["use"]())
    over = [event for event in names["happened"] if event.endswith("over")]
    assert sorted(over) == ["beat over", "second over"][: 1 + (shape == "two")]
    assert names["happened"].index("has 1") < names["happened"].index("beat over")
    assert names["happened"][-1] == "given back"
    assert fix(text).text == text


@pytest.mark.parametrize(
    "decorator", ["@pytest.fixture", "@pytest_asyncio.fixture(scope='module')"]
)
def test_so_it_does_with_a_fixture(decorator: str) -> None:
    assert "        task.cancel()\n" in fix(lease(SHAPES["bare"], decorator)).text


def test_so_it_does_with_a_dependency() -> None:
    source = lease(SHAPES["bare"], "# a dependency")
    assert "_background_tasks" in fix(source).text
    asked = "\n\nasync def answer(lent=Depends(lease)):\n    return lent\n"
    assert "        task.cancel()\n" in fix(source + asked).text


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(3):\n    asyncio.create_task(beat())\nyield 1",
        "if happened:\n    asyncio.create_task(beat())\nyield 1",
    ],
)
def test_what_has_no_name_for_good_is_declined(body: str) -> None:
    check_declined(lease(body), LENT)


@pytest.mark.parametrize(
    "body",
    [
        "asyncio.create_task(asyncio.sleep(1))\nyield 1",  # it ends by itself
        "yield 1\nasyncio.create_task(beat())",
    ],
)
def test_what_does_not_belong_to_it_is_kept(body: str) -> None:
    assert "_background_tasks.add(task)" in fix(lease(body)).text


def test_what_cannot_be_cancelled_is_declined() -> None:
    waits = "            await asyncio.sleep(0)\n"
    deaf = f"            try:\n    {waits}            except BaseException: pass\n"
    source = lease(SHAPES["bare"]).replace(waits, deaf, 1)
    check_declined(source, "catches CancelledError in its loop")
