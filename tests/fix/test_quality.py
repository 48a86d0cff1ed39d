"""The applications: their repaired form is the fixer's, formatted, sorted and typed as before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transform import fix

APPS = sorted((Path(__file__).parents[2] / "fixtures" / "apps").glob("*/before.py"))
TOOLS = {
    "ruff format": ["ruff", "format", "--isolated", "--check"],
    "ruff isort": ["ruff", "check", "--isolated", "--select", "I,F,E9"],
    "black": ["black", "--quiet", "--check", "--config", "/dev/null"],
    "mypy": ["mypy", "--strict", "--config-file="],
}
# Applications with a worker that a shutdown could not end, or not at the right time.
REFUSED = {"fastapi_closes_then_waits", "fastapi_swallows_cancellation"}
each = pytest.mark.parametrize("app", APPS, ids=lambda path: path.parent.name)


@each
def test_after_is_what_the_fixer_makes_of_before(app: Path) -> None:
    result = fix(app.read_text("utf-8"))
    assert result.fixed
    assert bool(result.declined) == (app.parent.name in REFUSED)
    assert result.text == app.with_name("after.py").read_text("utf-8")


def _accepts(tool: str, path: Path) -> bool:
    command = [sys.executable, "-m", *TOOLS[tool], str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
@each
def test_a_tool_that_accepted_before_accepts_after(app: Path, tool: str) -> None:
    if not _accepts(tool, app):
        pytest.skip(f"{tool} does not accept it as it is")
    assert _accepts(tool, app.with_name("after.py"))


@pytest.mark.slow
@pytest.mark.parametrize("length", [60, 72, 88, 100])
@each
def test_the_line_length_is_respected(app: Path, length: int, tmp_path: Path) -> None:
    before = tmp_path / "before.py"
    before.write_text(app.read_text("utf-8"), "utf-8")
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={length}"]
    subprocess.run([*ruff, "--quiet", str(before)], check=True)
    text = fix(before.read_text("utf-8"), line_length=length).text
    before.write_text(text, "utf-8")
    done = subprocess.run([*ruff, "--diff", str(before)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_new_members_stand_where_isort_wants_them(tmp_path: Path) -> None:
    listed = (
        "Any, TypedDict",
        "TYPE_CHECKING, Tuple, cast",
        "Type",
        "TypedDict, Union",
        "cast",
    )
    for number, members in enumerate(listed):
        names = ", ".join(member.split()[-1] for member in members.split(","))
        source = f"""import asyncio
from typing import {members}


async def f(g, loop):
    loop.call_soon(lambda: asyncio.create_task(g({names})))
"""
        text = fix(source).text
        assert "TypeVar" in text
        (tmp_path / f"{number}.py").write_text(text, "utf-8")
    command = [sys.executable, "-m", *TOOLS["ruff isort"], "--no-cache", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


TYPED = """\
import asyncio
import functools
import signal
from collections.abc import Awaitable, Callable, Coroutine


async def work(number: int = 0) -> int:
    await asyncio.sleep(number)
    return number


async def statements(go: Callable[[], Coroutine[None, None, str]]) -> None:
    asyncio.create_task(work())
    _ = asyncio.ensure_future(work(1))
    task = asyncio.get_running_loop().create_task(go())
    task.set_name("go")
    asyncio.create_task(work()).add_done_callback(print)


async def expressions(numbers: list[int], go: bool) -> None:
    [asyncio.create_task(work(number)) for number in numbers]
    go and asyncio.create_task(work())
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: asyncio.create_task(work()))
    loop.add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(work()))
    loop.call_later(5, asyncio.create_task, work())
    loop.call_soon(functools.partial(asyncio.ensure_future, work()))


async def aggregates(numbers: list[int]) -> None:
    asyncio.gather(*(work(number) for number in numbers))
    asyncio.shield(work())
    asyncio.run_coroutine_threadsafe(work(), asyncio.get_running_loop())
    asyncio.run_coroutine_threadsafe(work(1), asyncio.get_running_loop())
    asyncio.run_coroutine_threadsafe(work(2), asyncio.get_running_loop())


class Service:
    def __init__(self) -> None:
        self.rounds = 0
        self.started: list[asyncio.Task[int]] = []

    async def start(self, then: Callable[[], Awaitable[None]]) -> None:
        asyncio.create_task(self._poll())
        self.started.append(asyncio.create_task(work()))
        await then()

    async def stop(self) -> None:
        self.rounds = 0

    async def _poll(self) -> None:
        while True:
            self.rounds += 1
            await asyncio.sleep(1)
"""


@pytest.mark.slow
def test_what_is_typed_strictly_stays_so(tmp_path: Path) -> None:
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(TYPED, "utf-8")
    result = fix(TYPED)
    assert len(result.fixed) >= 13
    assert len(result.declined) <= 1
    after.write_text(result.text, "utf-8")
    for path in (before, after):
        command = [sys.executable, "-m", *TOOLS["mypy"], str(path)]
        done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout.decode()
    for tool in ("ruff format", "ruff isort"):
        assert _accepts(tool, before)
        assert _accepts(tool, after)
