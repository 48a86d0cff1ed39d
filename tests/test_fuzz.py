"""A short run of the fuzzer (``tests/fuzz/run.py``), its old finds, and that it finds anything."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import inputs
import invariants
import pytest
import run as fuzzer

from flake8_task_refs.analysis import check
from flake8_task_refs.fix import engine

if TYPE_CHECKING:
    from pathlib import Path

    from flake8_task_refs.fix.engine import FixResult, FixSettings

OLD_FINDS = sorted(inputs.REGRESSIONS.glob("*.py"))

forks = pytest.mark.skipif(
    multiprocessing.get_start_method() != "fork", reason="a child must be as patched as we are"
)


def test_a_short_run_finds_nothing() -> None:
    told: list[str] = []
    found = fuzzer.run(inputs.seeds(), range(300), seed=1, seconds=15, tell=told.append)
    assert not found.problems, told
    assert found.inputs >= 20


@pytest.mark.parametrize("path", OLD_FINDS, ids=lambda path: path.name)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    for number in range(8):
        assert not invariants.problem_of(path.read_bytes(), random.Random(number))  # noqa: S311


def test_an_input_is_the_same_each_time() -> None:
    texts = inputs.seeds()
    made = [inputs.make(texts, 3, number) for number in range(200)]
    assert made == [inputs.make(texts, 3, number) for number in range(200)]
    assert len(set(made)) > 190


# That each invariant can fail.


def _problems(monkeypatch: pytest.MonkeyPatch, change: str) -> set[str]:
    """Return what the fuzzer says of a fixer whose repairs ``change``."""
    real = engine.fix_source

    def broken(text: str, settings: FixSettings) -> FixResult:
        result = real(text, settings)
        if change == "again":
            return replace(result, text=f"{result.text}#")
        if not result.fixed:
            return result
        changed = {
            "comment": result.text.replace("# kept", ""),
            "token": result.text.replace("await asyncio.sleep(1)", "await asyncio.sleep(2)"),
            "syntax": f"{result.text})",
            "nothing": text,
        }
        return replace(result, text=changed[change])

    monkeypatch.setattr(invariants, "fix_source", broken)
    text = (
        "import asyncio\n\n\nasync def work():\n    await asyncio.sleep(1)  # kept\n\n\n"
        "async def f():\n    asyncio.create_task(work())\n"
    )
    return {invariants.problem_of(text.encode(), random.Random(n)) for n in range(5)}  # noqa: S311


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("comment", "a comment is lost"),
        ("token", "a token outside the edits is lost or moved"),
        ("syntax", "parsed before the repair, and not after it"),
        ("again", "a second repair changes something"),
        ("nothing", "fixed, but nothing changed"),
    ],
)
def test_a_broken_fixer_is_found_out(
    monkeypatch: pytest.MonkeyPatch, change: str, problem: str
) -> None:
    assert problem in _problems(monkeypatch, change)


def test_a_linter_that_looks_at_strangers_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # A synchronous handler of FastAPI's: a finding that stays, as nothing can repair it.
    text = (
        b"import asyncio\nfrom fastapi import FastAPI\n\napp = FastAPI()\n\n\n"
        b'@app.get("/")\ndef index():\n    asyncio.create_task(work())\n'
    )
    numbers = range(20)
    assert {invariants.problem_of(text, random.Random(n)) for n in numbers} == {""}  # noqa: S311
    real = check.check_source
    monkeypatch.setattr(
        invariants,
        "check_source",
        lambda text, settings: [] if "zq_" in text else real(text, settings),
    )
    said = {invariants.problem_of(text, random.Random(n)) for n in numbers}  # noqa: S311
    assert said == {"", "a definition of another name changes the findings"}


def test_an_exception_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str, settings: object) -> list[object]:
        del text, settings
        raise KeyError("x")

    monkeypatch.setattr(invariants, "check_source", broken)
    assert invariants.problem_of(b"x = 1\n").startswith("exception KeyError")


def _dies(texts: list[str], seed: int, number: int) -> str:
    del texts, seed
    if number == 33:
        os.kill(os.getpid(), signal.SIGKILL)
    return "odd" if number == 7 else ""


@forks
def test_a_death_is_found_out_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzer, "check", _dies)
    found = fuzzer.run([], range(100), jobs=2, tell=str)
    assert found.problems == {"kills its process": [33], "odd": [7]}
    assert found.inputs == 100
