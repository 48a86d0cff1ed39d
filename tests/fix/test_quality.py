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
