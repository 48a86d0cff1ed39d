"""Where things stand after edits, on which the fixer's look at its own work rests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flake8_task_refs.analysis import check
from flake8_task_refs.fix import engine
from flake8_task_refs.fix.edits import Edit, Moves, apply, in_order
from flake8_task_refs.fix.engine import FixSettings, fix_source
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.finding import Finding


@pytest.mark.parametrize(
    ("edits", "word", "expected"),
    [
        ([], "go", "go(x)"),
        ([Edit(0, 0, "import os\n")], "go", "go(x)"),
        ([Edit(5, 5, "keep(")], "go", "go(x)"),
        ([Edit(0, 4, "something()")], "go", "go(x)"),
        ([Edit(11, 11, ")")], "end", "end"),
        # All of a statement is written anew around what was there.
        ([Edit(5, 10, "keep(go(x, name='go'))")], "go", "go(x, name='go')"),
        ([Edit(5, 10, "go_on = keep(\n    go(x)\n)")], "go", "go(x)"),
        ([Edit(0, 0, "import os\n"), Edit(5, 10, "go(\n  x)\ngo(y)")], "x", "x)"),
        ([Edit(5, 10, "else_")], "go", "else_"),
    ],
)
def test_what_stood_somewhere_is_found_again(edits: list[Edit], word: str, expected: str) -> None:
    text = "pass\ngo(x)\nend\n"
    edits = in_order(edits)
    assert apply(text, edits)[Moves(text, edits)(text.index(word)) :].startswith(expected)


def test_a_call_is_found_again_among_like_ones() -> None:
    text = "a = [self.run(x), self.run(y)]\n"
    edits = [Edit(0, 30, "a = [\n    self.keep(self.run(x)),\n    self.keep(self.run(y)),\n]")]
    moved = Moves(text, edits)
    after = apply(text, edits)
    for call in ("self.run(x)", "self.run(y)"):
        assert after[moved(text.index(call)) :].startswith(call)


@pytest.mark.parametrize(
    "statement",
    [
        "asyncio.create_task(coro)",
        "tasks = [asyncio.create_task(coro), asyncio.create_task(work())]\n    print(len(tasks))",
        "tasks = {\n        1: asyncio.create_task(coro),  # one\n    }\n    print(len(tasks))",
    ],
)
def test_what_cannot_be_named_is_kept_all_the_same(statement: str) -> None:
    source = f"import asyncio\n\n\nasync def serve(coro, work):\n    {statement}\n"
    settings = FixSettings(analysis=Settings(enabled_codes=frozenset({"TSK303"})))
    result = fix_source(source, settings)
    assert {finding.code for finding in result.fixed} & {"TSK001", "TSK002"}
    assert {refusal.finding.code for refusal in result.declined} == {"TSK303"}
    assert fix_source(result.text, settings).text == result.text


def test_more_tasks_than_a_check_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_MAX_SITES", 40)
    starts = "".join(f"    asyncio.create_task(work({n}))\n" for n in range(30))
    source = (
        "import asyncio\nfrom contextlib import asynccontextmanager\n"
        "from fastapi import FastAPI\n\n\n@asynccontextmanager\nasync def lifespan(app):\n"
        f"{starts}    yield\n\n\napp = FastAPI(lifespan=lifespan)\n"
    )
    attempts: list[int] = []
    attempt = engine._Repair._attempt

    def noted(self: engine._Repair, wanted: Sequence[Finding]) -> engine._Done:
        attempts.append(len(wanted))
        return attempt(self, wanted)

    monkeypatch.setattr(engine._Repair, "_attempt", noted)
    result = fix_source(source)
    assert len(result.fixed) == 5  # each is mentioned twice more then
    assert {declined.reason for declined in result.declined} == {engine.TOO_MANY}
    assert len(attempts) < 15
    assert fix_source(result.text).text == result.text
